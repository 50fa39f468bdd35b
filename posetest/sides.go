package posetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/child"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/whole"
	"github.com/posetest/suite/posetest/worker"
)

// Words say what a side of a comparison is, by key: model, precision, provider, ort, and what may vary beside: threads,
// batch, binding (reused, copy, bound, device), arena (on, off), spin (on, off), stages (fused, separate), commit, program.
type Words map[string]string

// wordKeys are the keys of [Words], in the order of names.
var wordKeys = []string{"model", "precision", "provider", "ort", "threads", "batch", "binding", "arena", "spin", "stages", "commit", "program"}

// wordChoices are what a word may be, where that is a choice.
var wordChoices = map[string][]string{
	"binding": {"reused", "copy", "bound", "device"}, "arena": {"on", "off"}, "spin": {"on", "off"}, "stages": {"fused", "separate"},
}

// ParseWords reads "model=yolov8n-pose/precision=int8"; what it leaves out is that of base. A program's path may hold
// slashes, and comes last.
func ParseWords(text string, base Words) (Words, error) {
	words := Words{}
	for k, v := range base {
		words[k] = v
	}
	parts := func(r rune) bool { return r == '/' || r == ' ' }
	rest, program, has := strings.Cut(text, "program=")
	switch {
	case has && program == "":
		return nil, fmt.Errorf("%q must name a program behind program=", text)
	case has && rest != "" && !parts(rune(rest[len(rest)-1])):
		return nil, fmt.Errorf("%q must part its words by /, that of the program among them", text)
	case has:
		words["program"] = program
	}
	for _, part := range strings.FieldsFunc(rest, parts) {
		key, value, ok := strings.Cut(part, "=")
		if !ok || value == "" || !slices.Contains(wordKeys, key) {
			return nil, fmt.Errorf("%q in %q must be key=value, with a key of %s", part, text, strings.Join(wordKeys, ", "))
		}
		if choice := wordChoices[key]; choice != nil && !slices.Contains(choice, value) {
			return nil, fmt.Errorf("%q in %q must be one of %s", part, text, strings.Join(choice, ", "))
		}
		words[key] = value
	}
	return words, nil
}

// String is the words in the order of names, those of base left out.
func (w Words) String() string { return w.Beside(nil) }

// Beside is what differs from base.
func (w Words) Beside(base Words) string {
	var parts []string
	for _, k := range wordKeys {
		if v, ok := w[k]; ok && base[k] != v {
			parts = append(parts, k+"="+v)
		}
	}
	return strings.Join(parts, "/")
}

// NewestRuntime is the id of the newest release of ONNX Runtime itself that there is for this machine.
func NewestRuntime() (string, error) {
	known, err := ortlib.Known()
	if err != nil {
		return "", err
	}
	for _, r := range slices.Backward(known) { // sorted by distribution and version
		if _, err := r.Here(); err == nil && r.Distribution == "onnxruntime" {
			return r.ID(), nil
		}
	}
	return "", fmt.Errorf("%w: runtimes.json has no onnxruntime for this machine; name one of `posetest runtime list`, or set POSETEST_ORT", ErrSetup)
}

// Side finds what the words name in the plan of the suite, and builds the posetest of another commit if they ask for it.
func (s *Suite) Side(ctx context.Context, w Words, log Log) (Side, error) {
	cell := observe.Cell{Model: w["model"], Precision: w["precision"], Provider: w["provider"], ORT: w["ort"]}
	i := slices.IndexFunc(s.plan.Cells, func(p Planned) bool { return p.Cell == cell })
	if i < 0 {
		for _, m := range s.plan.Missing {
			if slices.Contains(m.Cells, cell) {
				return Side{}, fmt.Errorf("%w: %s: %w", ErrSetup, cell, m.Err)
			}
		}
		return Side{}, fmt.Errorf("%w: there is no cell %s; `posetest models list` and `posetest runtime list` name what there is", ErrSetup, cell)
	}
	side := Side{Planned: s.plan.Cells[i], Program: w["program"]}
	for _, number := range []struct {
		key   string
		field *int
	}{{"threads", &side.Threads}, {"batch", &side.Timing.Batch}} {
		if w[number.key] == "" {
			continue
		}
		n, err := strconv.Atoi(w[number.key])
		if err != nil || n < 1 {
			return Side{}, fmt.Errorf("%w: %s=%s must be a number from 1 on", ErrSetup, number.key, w[number.key])
		}
		*number.field = n
	}
	if binding := w["binding"]; binding != "reused" {
		side.Timing.Binding = worker.Binding(binding)
	}
	side.Tuning.NoArena, side.Tuning.NoSpin = w["arena"] == "off", w["spin"] == "off"
	side.Timing.Pipeline, side.Timing.Separate = w["stages"] != "" || w["commit"] != "" || w["program"] != "", w["stages"] == "separate"
	if side.Timing.Batch > 1 {
		batch, err := BatchModel(ctx, s.cfg, side.Planned)
		if err != nil {
			return Side{}, err
		}
		side.Planned = batch
	}
	if commit := w["commit"]; commit != "" {
		var err error
		if side.Program, _, err = s.BuildCommit(ctx, commit, log); err != nil {
			return Side{}, err
		}
	}
	return side, nil
}

// BuildCommit builds the posetest of a commit of the repository that the suite runs in, into the cache, each time anew: what
// lies there from before has no sum to be checked by, and is not to be run. It returns the program and the commit's full name.
func (s *Suite) BuildCommit(ctx context.Context, revision string, log Log) (program, commit string, err error) {
	fail := func(err error) (string, string, error) {
		return "", "", setupUnlessDone(ctx, fmt.Errorf("build posetest of commit %s: %w", revision, err))
	}
	run := func(dir, name string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		defer child.Tie(cmd)()
		out, err := cmd.Output()
		if exit, ok := err.(*exec.ExitError); ok {
			return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(exit.Stderr)))
		}
		return strings.TrimSpace(string(out)), err
	}
	if commit, err = run(s.cfg.Dir, "git", "rev-parse", "--verify", "--end-of-options", revision+"^{commit}"); err != nil {
		return fail(err)
	}
	dir := filepath.Join(s.cfg.Cache, "commits")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	lock := flock.New(filepath.Join(dir, commit+".lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return fail(err)
	}
	defer lock.Unlock()
	program = filepath.Join(dir, commit)
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	fmt.Fprintf(log, "building posetest of commit %.12s\n", commit)
	source, err := whole.Temporary(dir, "source-")
	if err != nil {
		return fail(err)
	}
	defer source.Remove()
	archive, built := filepath.Join(source.Path, "source.tar"), filepath.Join(source.Path, "built")
	for _, step := range [][]string{
		{s.cfg.Dir, "git", "archive", "--output", archive, commit},
		{source.Path, "tar", "-xf", archive},
		{source.Path, "go", "build", "-trimpath", "-buildvcs=false", "-o", built, "./posetest/cmd/posetest"},
	} {
		if _, err := run(step[0], step[1], step[2:]...); err != nil {
			return fail(err)
		}
	}
	if same, err := sameFile(built, program); err == nil && same {
		return program, commit, nil // it may be running, and Windows then lets nobody replace it
	}
	if err := os.Rename(built, program); err != nil {
		return fail(err)
	}
	return program, commit, nil
}

// sameFile tells whether two files hold the same.
func sameFile(a, b string) (bool, error) {
	sumA, err := catalog.Sum(a)
	if err != nil {
		return false, err
	}
	sumB, err := catalog.Sum(b)
	return sumA == sumB, err
}
