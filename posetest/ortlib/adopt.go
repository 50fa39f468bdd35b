package ortlib

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"
	"github.com/posetest/suite/posetest/child"
	"github.com/posetest/suite/posetest/whole"
)

// Releases are all releases of a distribution that are known for this machine, ascending: those of runtimes.json, those that were
// adopted, and, without their Platforms, the others that pip's index lists. If the index can't be asked, the error says why, and
// the releases are those that are known without it.
func (s Store) Releases(ctx context.Context, distribution string) ([]Runtime, error) {
	all, err := Known()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(r Runtime) bool { return r.Distribution != distribution || r.Platforms[machine].Wheel == "" })
	add := func(r Runtime) {
		if !slices.ContainsFunc(all, func(known Runtime) bool { return known.Version == r.Version }) {
			all = append(all, r)
		}
	}
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	records, err := filepath.Glob(filepath.Join(dir, distribution+"@*"+adoptedSuffix))
	if err != nil {
		return nil, err
	}
	for _, path := range records {
		if r, err := adopted(path); err == nil && r.Platforms[machine].Wheel != "" {
			add(r)
		}
	}
	listed, err := s.index(ctx, distribution)
	for _, version := range listed {
		if versionNumber.MatchString(version) { // without release candidates
			add(Runtime{Distribution: distribution, Version: version})
		}
	}
	slices.SortFunc(all, compare)
	return all, err
}

// index asks pip for the versions that there are for this machine. A release supports some successive Pythons, so that of two
// asked for, the oldest and the newest, it has one.
func (s Store) index(ctx context.Context, distribution string) (versions []string, err error) {
	if s.Offline {
		return nil, errors.New("POSETEST_OFFLINE forbids to ask pip's index for other releases")
	}
	python, err := s.python(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range []string{pythons[0], pythons[len(pythons)-1]} {
		cmd := exec.CommandContext(ctx, python[0], append(python[1:], "-m", "pip", "index", "versions", distribution, "--only-binary=:all:", "--python-version="+version)...)
		cmd.Env = append(os.Environ(), "PIP_REQUIRE_VIRTUALENV=0", "PIP_DISABLE_PIP_VERSION_CHECK=1")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		untie := child.Tie(cmd)
		out, runErr := cmd.Output()
		untie()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if runErr != nil {
			err = pipError(request{}, runErr, stderr.String())
			continue
		}
		versions = append(versions, listedVersions(string(out))...)
	}
	if len(versions) > 0 {
		return versions, nil
	}
	return nil, err
}

// listedVersions reads what "pip index versions" prints.
func listedVersions(out string) []string {
	for line := range strings.Lines(out) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "Available versions: "); ok {
			return strings.Split(list, ", ")
		}
	}
	return nil
}

const adoptedSuffix = ".adopted.json"

func adopted(path string) (Runtime, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Runtime{}, err
	}
	all, err := Parse(text)
	if err != nil {
		return Runtime{}, fmt.Errorf("%s: %w; remove the file, to take the sums again", path, err)
	}
	return all[0], nil
}

// Adopt returns the entry of a release that runtimes.json does not have, for this machine alone, ready to be installed. The first
// time its wheel is downloaded and its sums are taken: nobody has reviewed them. They are kept in the store, and from then on the
// release is held to them. To have them reviewed, use [Pin].
func (s Store) Adopt(ctx context.Context, name string) (Runtime, error) {
	r, err := parseID(name)
	if err != nil {
		return r, err
	}
	fail := func(err error) (Runtime, error) { return r, fmt.Errorf("taking the sums of %s: %w", r, err) }
	dir, err := s.dir()
	if err != nil {
		return fail(err)
	}
	record := filepath.Join(dir, folder(r)+adoptedSuffix)
	if known, err := adopted(record); err == nil || !errors.Is(err, os.ErrNotExist) {
		return known, err
	}
	if s.Offline {
		return fail(errors.New("POSETEST_OFFLINE forbids to download its wheel: allow it once"))
	}
	i := slices.IndexFunc(targets, func(t target) bool { return t.platform == machine })
	if i < 0 {
		return fail(fmt.Errorf("nobody knows the tags of wheels for %s", machine))
	}
	staging := filepath.Join(dir, folder(r)+".staging") // where Install looks for a wheel first
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return fail(err)
	}
	lock := flock.New(filepath.Join(dir, folder(r)+".lock"))
	if err := s.lock(ctx, lock, r); err != nil {
		return fail(err)
	}
	defer lock.Unlock()
	defer os.Remove(staging) // only when it is empty
	s.logf("downloading %s, which runtimes.json does not have: its sums are taken now, and not reviewed …", r)
	wheel, err := s.wheelOf(ctx, r, staging, targets[i].tags)
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(filepath.Dir(wheel))
	p, err := describe(ctx, wheel, machine)
	if err != nil {
		return fail(err)
	}
	r.Platforms = map[string]Platform{machine: p}
	if err := r.validate(); err != nil {
		return fail(err)
	}
	text, err := Marshal([]Runtime{r})
	if err != nil {
		return fail(err)
	}
	if err := os.Rename(wheel, filepath.Join(staging, p.Wheel)); err != nil {
		return fail(err)
	}
	if err := whole.Write(record, text); err != nil {
		return fail(err)
	}
	return r, nil
}

// ParseID reads an id, such as openvino-1.24.1, or a distribution@version, known or not.
func ParseID(name string) (Runtime, error) { return parseID(name) }
