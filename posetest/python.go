package posetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/sums"
	"github.com/posetest/suite/posetest/whole"
)

// environment is the Python of a virtual environment in the cache, which has what the scripts need. It is made once for each
// list of requirements, from wheels whose sums that list has. When it was made, the sums of all its files are written beside it;
// before each use it is held to them, and what differs is told and made anew.
//
// That finds what was damaged, cut, mixed with another version or installed into it by hand, and a file that was put where
// Python looks (sitecustomize.py, a .pth, a .pyc). It is no wall against somebody who may write into the cache and means it:
// they can write the list as well. So a cache must not be writable by others. The host's own Python, to which the environment
// links, is trusted as every program on the PATH is.
func (d Derivation) environment(ctx context.Context, h *house) (python string, err error) {
	requirements := filepath.Join(h.Dir, "scripts", "requirements-quantize.txt")
	sum, err := catalog.Sum(requirements)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(h.Cache, "python-"+sum[:16])
	python = filepath.Join(dir, "bin", "python")
	if runtime.GOOS == "windows" {
		python = filepath.Join(dir, "Scripts", "python.exe")
	}
	if err := os.MkdirAll(h.Cache, 0o755); err != nil {
		return "", err
	}
	lock := flock.New(dir + ".lock")
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Path(), err)
	}
	defer lock.Unlock()
	list := dir + ".json"
	damage := asListed(ctx, dir, list, h.sums)
	if damage == nil || ctx.Err() != nil {
		return python, context.Cause(ctx)
	}
	if h.Offline {
		return "", fmt.Errorf("the Python environment of %s is not there whole (%w), and POSETEST_OFFLINE forbids to make it; run `make models` once without", requirements, damage)
	}
	if _, err := os.Stat(dir); err == nil {
		fmt.Fprintf(d.Log, "%v: it is made anew\n", damage)
	}
	if err := os.Remove(list); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := d.install(ctx, dir, python, requirements); err != nil {
		return "", err
	}
	return python, writeList(ctx, dir, list)
}

// install makes the environment.
func (d Derivation) install(ctx context.Context, dir, python, requirements string) error {
	host, err := exec.LookPath("python3")
	if err != nil {
		return errors.New("no python3 is on the PATH; install Python 3 with pip")
	}
	fmt.Fprintf(d.Log, "installing the quantizer into %s\n", dir)
	// Without its own pip, since some distributions part that from venv; the host's pip serves it.
	if err := d.run(ctx, os.Environ(), host, "-m", "venv", "--clear", "--without-pip", dir); err != nil {
		return err
	}
	return d.run(ctx, os.Environ(), host, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check", "--compile",
		"--only-binary", ":all:", "--require-hashes", "--requirement", requirements)
}

// asListed holds a folder to the list of its files.
func asListed(ctx context.Context, dir, list string, known *sums.Memo) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var files sums.List
	if err := json.Unmarshal(text, &files); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	return files.Check(ctx, dir, known, nil)
}

func writeList(ctx context.Context, dir, list string) error {
	files, err := sums.Tree(ctx, dir)
	if err != nil {
		return err
	}
	text, err := json.Marshal(files)
	if err != nil {
		return err
	}
	return whole.Write(list, text)
}

// unsteered is an environment without what makes Python run code from elsewhere, such as PYTHONPATH.
func unsteered(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool { return strings.HasPrefix(variable, "PYTHON") })
}
