package ortlib

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/posetest/suite/posetest/child"
	"golang.org/x/term"
)

// tries is how often a download is started before the last reason is given. Newer pips (25.1 and on) go on where a
// connection broke, up to PIP_RESUME_RETRIES times within each; older ones ignore that variable and begin anew.
const tries = 3

// Two answers of pip that trying again at once does not change.
var (
	errNoWheel     = errors.New("the package registry has no such wheel")
	errUnreachable = errors.New("the package registry cannot be reached") // pip has tried six times itself
)

// A fullError is pip's word that a disk is full: the store's, or the one where pip has its own cache.
type fullError string

func (e fullError) Error() string      { return "pip failed: " + string(e) }
func (fullError) Is(target error) bool { return target == syscall.ENOSPC }

// A wrongSumError is a wheel that is not the pinned one, or a cut download: pip before 25.1 takes that for a whole one
// and finds only its sum wrong. It is final when the same sum comes twice.
type wrongSumError struct{ file, want, got string }

func (e *wrongSumError) Error() string {
	return fmt.Sprintf("%s has sha256 %s, runtimes.json says %s: it was thrown away; if the registry serves what you trust, pin it again with \"posetest runtime pin\"", e.file, e.got, e.want)
}

// A request is what pip is asked for.
type request struct {
	runtime   Runtime
	python    string // version that the wheel is for: 3.11
	abi       string // "" leaves it to pip
	platforms []string
	sha256    string // "" takes what comes
	noCache   bool   // keeps pip from its own cache, which may hold what was cut
}

// download lets pip put the requested wheel into a fresh folder inside dir, which also serves it as its folder for temporary
// files, and returns the wheel's path. When it fails nothing is left.
func (s Store) download(ctx context.Context, dir string, req request) (wheel string, err error) {
	python, err := s.python(ctx)
	if err != nil {
		return "", err
	}
	lastSum := ""
	for n := 1; ; n++ {
		wheel, err = s.downloadOnce(ctx, python, dir, req)
		if err == nil || ctx.Err() != nil || errors.Is(err, errNoWheel) || errors.Is(err, errUnreachable) || errors.Is(err, syscall.ENOSPC) || n == tries {
			return wheel, err
		}
		if wrong, ok := errors.AsType[*wrongSumError](err); ok {
			if wrong.got == lastSum {
				return "", err
			}
			lastSum, req.noCache = wrong.got, true
		}
		s.logf("try %d of %d to download %s failed: %v; trying again", n, tries, req.runtime, err)
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Duration(n) * 500 * time.Millisecond):
		}
	}
}

func (s Store) downloadOnce(ctx context.Context, python []string, dir string, req request) (_ string, err error) {
	work, err := os.MkdirTemp(dir, "pip-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(work)
		}
	}()
	line := req.runtime.Distribution + "==" + req.runtime.Version
	args := []string{"-m", "pip", "download", "--no-input", "--retries=5", "--no-deps", "--only-binary=:all:", "--implementation=cp", "--python-version=" + req.python}
	if req.abi != "" {
		args = append(args, "--abi="+req.abi)
	}
	if req.noCache {
		args = append(args, "--no-cache-dir")
	}
	for _, p := range req.platforms {
		args = append(args, "--platform="+p)
	}
	if req.sha256 != "" {
		args = append(args, "--require-hashes")
		line += " --hash=sha256:" + req.sha256
	}
	requirements := filepath.Join(work, "requirements.txt")
	if err := os.WriteFile(requirements, []byte(line+"\n"), 0o644); err != nil {
		return "", err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, python[0], append(python[1:], append(args, "-d", work, "-r", requirements)...)...)
	if f, ok := s.Log.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		cmd.Stdout = f // pip draws its progress bar there
	} else {
		cmd.Args = append(cmd.Args, "--quiet")
	}
	cmd.Stderr = &stderr
	cmd.Env = append([]string{"PIP_RESUME_RETRIES=10"}, os.Environ()...) // the user's own value comes later and wins
	cmd.Env = append(cmd.Env, "PIP_REQUIRE_VIRTUALENV=0", "PIP_DISABLE_PIP_VERSION_CHECK=1", "TMPDIR="+work, "TEMP="+work, "TMP="+work)
	defer child.Tie(cmd)()
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", pipError(req, err, stderr.String())
	}
	wheels, err := filepath.Glob(filepath.Join(work, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return "", fmt.Errorf("pip said it downloaded %s, but left %d wheels", req.runtime, len(wheels))
	}
	return wheels[0], nil
}

var gotSum = regexp.MustCompile(`Got\s+([0-9a-f]{64})`)

// pipError makes one sentence of what pip wrote.
func pipError(req request, exit error, stderr string) error {
	if m := gotSum.FindStringSubmatch(stderr); m != nil && req.sha256 != "" {
		return &wrongSumError{"the wheel of " + req.runtime.String(), req.sha256, m[1]}
	}
	said, last := "", exit.Error()
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
		if text, ok := strings.CutPrefix(line, "ERROR: "); ok && text != "Exception:" { // a traceback follows that one
			said = text
		}
	}
	if said == "" {
		said = last
	}
	// pip says "No matching distribution" for an unreachable registry as well, but then warns of its retries before.
	switch retried := strings.Contains(stderr, "Retrying ("); {
	case retried:
		return fmt.Errorf("%w (pip: %s): check the network and pip's settings, or point POSETEST_ORT at a library of your own", errUnreachable, said)
	case strings.Contains(stderr, "No matching distribution"):
		return fmt.Errorf("%w (pip: %s)", errNoWheel, said)
	}
	if strings.Contains(strings.ToLower(said), "no space left") {
		return fullError(said)
	}
	return fmt.Errorf("pip failed: %s", said)
}

// python returns the command of a Python 3 that has pip.
func (s Store) python(ctx context.Context) ([]string, error) {
	candidates := [][]string{{"python3"}, {"python"}}
	if runtime.GOOS == "windows" {
		candidates = append(candidates, []string{"py", "-3"})
	}
	if s.Python != "" {
		candidates = [][]string{{s.Python}}
	}
	var found, tried []string
	for _, c := range candidates {
		tried = append(tried, strings.Join(c, " "))
		if _, err := exec.LookPath(c[0]); err != nil {
			continue
		}
		found = c
		cmd := exec.CommandContext(ctx, c[0], append(c[1:], "-m", "pip", "--version")...)
		untie := child.Tie(cmd)
		out, err := cmd.Output()
		untie()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && bytes.Contains(out, []byte("(python 3")) {
			return c, nil
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no Python 3 was found (tried %s), and runtimes are downloaded with its pip: install Python 3 with pip, or point POSETEST_ORT at a library of your own", strings.Join(tried, ", "))
	}
	return nil, fmt.Errorf("%s has no pip for Python 3, with which runtimes are downloaded: install it (as in \"apt install python3-pip\" or \"python3 -m ensurepip\"), or point POSETEST_ORT at a library of your own", strings.Join(found, " "))
}
