package posetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/bundle"
	"github.com/posetest/suite/posetest/ortlib"
)

// BundleOfProgram is the folder of the unpacked bundle that the running program belongs to, "" if it is no bundle's. Its name alone
// tells, so that one whose other files did not arrive is told of, too.
func BundleOfProgram() string {
	path, err := os.Executable()
	if err == nil { // on some systems it is the link that it was started by
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil || filepath.Base(path) != programFile() {
		return ""
	}
	return filepath.Dir(path)
}

// UseBundle makes a configuration run what an unpacked bundle holds, once each of its files has the sum that it was packed with. What
// was asked for and is not in the bundle is an error, as is a machine that it can't run on; each wraps [ErrSetup] unless the context
// ended. The bundle itself may be where nothing can be written.
func UseBundle(ctx context.Context, cfg Config, dir string) (Config, error) {
	fail := func(err error) (Config, error) { return cfg, setupUnlessDone(ctx, err) }
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fail(err)
	}
	m, err := bundle.Read(dir)
	if err != nil {
		return fail(err)
	}
	if here := runtime.GOOS + "/" + runtime.GOARCH; m.Platform != here {
		return fail(fmt.Errorf("bundle %s is for %s, and this is %s; pack one on a machine of this kind", dir, m.Platform, here))
	}
	if err := m.Check(ctx, dir); err != nil {
		return fail(err)
	}
	folders, err := m.Fits(dir, bundle.ThisMachine())
	if err != nil {
		return fail(err)
	}
	cfg.Dir, cfg.Cache, cfg.Offline = cmp.Or(cfg.Dir, dir), cmp.Or(cfg.Cache, filepath.Join(dir, "cache")), true
	if cfg, err = cfg.complete(); err != nil {
		return cfg, err
	}
	cfg.Libraries = append(cfg.Libraries, folders...)
	cfg.Data = append(dataFolders(m, dir), cfg.Data...)
	if cfg.Library == "" {
		if cfg.Runtimes, err = heldRuntimes(m, cfg.Runtimes); err != nil {
			return fail(err)
		}
	}
	return held(cfg, m)
}

// dataFolders are a bundle's part of the data path.
func dataFolders(m bundle.Manifest, dir string) []string {
	var all []string
	for _, f := range m.Files {
		name, _, _ := strings.Cut(f.Name, "/")
		folder := filepath.Join(dir, name)
		if (name == dataFolder || strings.HasPrefix(name, dataFolder+"-")) && !slices.Contains(all, folder) {
			all = append(all, folder)
		}
	}
	return all
}

// heldRuntimes are the runtimes of a bundle that a list asks for.
func heldRuntimes(m bundle.Manifest, list string) (string, error) {
	if list == "" || list == "all" {
		return strings.Join(m.Runtimes, ","), nil
	}
	known, err := ortlib.Known()
	if err != nil {
		return "", err
	}
	chosen, err := ortlib.Select(known, list)
	if err != nil {
		return "", err
	}
	for _, r := range chosen {
		if !slices.Contains(m.Runtimes, r.ID()) {
			return "", fmt.Errorf("the bundle holds no runtime %s, but %s; run one of those, or pack another bundle with --runtimes %s", r.ID(), strings.Join(m.Runtimes, ", "), r.ID())
		}
	}
	return list, nil
}

// held narrows a configuration to the models, precisions and providers that a bundle was packed for.
func held(cfg Config, m bundle.Manifest) (Config, error) {
	var errs []error
	for _, f := range []struct {
		flag  string
		asked *[]string
		holds []string
	}{{"models", &cfg.Models, m.Models}, {"precisions", &cfg.Precisions, m.Precisions}, {"providers", &cfg.Providers, m.Providers}} {
		for _, word := range *f.asked {
			if !selected(f.holds, word) {
				errs = append(errs, fmt.Errorf("--%s: the bundle was packed without %s, for %s; run one of those, or pack another bundle", f.flag, word, strings.Join(f.holds, ", ")))
			}
		}
		if len(*f.asked) == 0 {
			*f.asked = f.holds
		}
	}
	if len(errs) > 0 {
		return cfg, fmt.Errorf("%w: %w", ErrSetup, errors.Join(errs...))
	}
	return cfg, nil
}

// environ is this process's environment for a worker that opens a library: see [ortlib.Environ].
func (c Config) environ(library string) []string {
	environ := os.Environ()
	if len(c.Libraries) > 0 {
		dirs := append(filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")), c.Libraries...)
		environ = append(slices.DeleteFunc(environ, func(v string) bool { return strings.HasPrefix(v, "LD_LIBRARY_PATH=") }),
			"LD_LIBRARY_PATH="+strings.Join(dirs, string(filepath.ListSeparator)))
	}
	return ortlib.Environ(library, environ)
}
