package ortlib

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/posetest/suite/posetest/sums"
)

// A Store is a folder of installed runtimes. The zero value is the user's own.
type Store struct {
	Dir     string    // default: posetest/runtimes in the user's cache folder
	Offline bool      // never download
	Python  string    // command that runs pip as "-m pip"; default: python3, python, or py -3 on Windows
	Log     io.Writer // lines for a person, and pip's progress when it is a terminal; default: none

	// Sums has what was read already, so that a library can be asked for before each use; default: all is read each time.
	Sums *sums.Memo
}

// A NotInstalledError says that a runtime is not in the store, or no longer whole, and how to install it.
type NotInstalledError struct {
	Runtime Runtime
	Dir     string // where it should be
	Reason  string
}

func (e *NotInstalledError) Error() string {
	return fmt.Sprintf(`%s is not installed (%s): install it with "posetest runtime install %s"`, e.Runtime, e.Reason, e.Runtime.ID())
}

// A manifest lists what an installed runtime consists of.
type manifest struct {
	Runtime     string    `json:"runtime"`
	WheelSHA256 string    `json:"wheelSHA256"`
	Files       sums.List `json:"files"`
}

const manifestName = "manifest.json"

// Library returns the path of r's ONNX Runtime library, verified: the library has the sha256 that runtimes.json pins, each
// file that came with it the one that was taken when it was unpacked, and nothing else is there, since the dynamic linker
// looks in that folder first. Where runtimes.json pins filesSHA256, the sums themselves are held to it; where it does not, and
// for a release that was adopted, whoever may write into the store can replace them together with their files.
// It reads all files (20 to 230 MB, some 0.1 s), without Sums each time. The error is a *NotInstalledError when Install would help.
func (s Store) Library(r Runtime) (string, error) {
	p, err := r.Here()
	if err != nil {
		return "", err
	}
	dir, err := s.dir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, folder(r))
	if reason := damage(dir, r, p, s.Sums); reason != "" {
		return "", &NotInstalledError{r, dir, reason}
	}
	return filepath.Join(dir, path.Base(p.Library)), nil
}

func (s Store) dir() (string, error) {
	if s.Dir != "" {
		return filepath.Abs(s.Dir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for runtimes: %w: set HOME, or point POSETEST_ORT at a library of your own", err)
	}
	return filepath.Join(cache, "posetest", "runtimes"), nil
}

// folder names the machine as well: a home folder may serve several kinds.
func folder(r Runtime) string {
	return r.String() + "-" + strings.ReplaceAll(machine, "/", "-")
}

// damage says why dir does not hold r whole, "" when it does; known may be nil.
func damage(dir string, r Runtime, p Platform, known *sums.Memo) string {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return dir + " holds no " + manifestName
	}
	if err != nil {
		return err.Error()
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return filepath.Join(dir, manifestName) + " is damaged"
	}
	if m.Runtime != r.String() || m.WheelSHA256 != p.WheelSHA256 {
		return fmt.Sprintf("%s holds %s from another wheel than runtimes.json pins", dir, m.Runtime)
	}
	if reason := notPinned(m.Files, p); reason != "" {
		return filepath.Join(dir, manifestName) + " " + reason
	}
	if err := m.Files.Check(context.Background(), dir, known, notLoaded); err != nil {
		return err.Error()
	}
	return ""
}

// notPinned says what in a list of unpacked files is not what runtimes.json says, "" if nothing is.
func notPinned(files sums.List, p Platform) string {
	i := slices.IndexFunc(files, func(f sums.Entry) bool { return f.Name == path.Base(p.Library) })
	switch {
	case i < 0:
		return fmt.Sprintf("holds no %s, which runtimes.json says", p.Library)
	case files[i].SHA256 != p.LibrarySHA256:
		return fmt.Sprintf("holds %s with sha256 %s, runtimes.json says %s", p.Library, files[i].SHA256, p.LibrarySHA256)
	case p.FilesSHA256 != "" && files.SHA256() != p.FilesSHA256:
		return fmt.Sprintf("holds files of the sum %s, runtimes.json says %s", files.SHA256(), p.FilesSHA256)
	}
	return ""
}

// notLoaded tells of a name that no library or folder of libraries can have: the manifest's, and hidden ones, as file managers
// leave behind.
func notLoaded(name string) bool {
	return name == manifestName || strings.HasPrefix(name, ".") && !strings.Contains(name, "/")
}

// Install returns the library of r as Library does, installing it first where it is missing or damaged. It waits for another
// process that installs the same runtime. A download that was interrupted after the wheel was whole is not
// repeated. When ctx ends, so do pip and what it started.
func (s Store) Install(ctx context.Context, r Runtime) (string, error) {
	library, err := s.Library(r)
	var missing *NotInstalledError
	if err == nil {
		sweep(filepath.Dir(library))
	}
	if err == nil || !errors.As(err, &missing) {
		return library, err
	}
	if err := s.install(ctx, r, missing.Dir); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("installing %s was interrupted (%w): run it again, it goes on with what is whole", r, ctx.Err())
		}
		return "", fmt.Errorf("installing %s: %w", r, err)
	}
	return s.Library(r)
}

// sweep removes what an installation left that was killed when all but its tidying was done.
func sweep(dir string) {
	if _, err := os.Stat(dir + ".staging"); err != nil {
		return
	}
	lock := flock.New(dir + ".lock")
	if locked, err := lock.TryLock(); err == nil && locked {
		defer lock.Unlock()
		os.RemoveAll(dir + ".staging")
	}
}

func (s Store) install(ctx context.Context, r Runtime, dir string) error {
	p, err := r.Here()
	if err != nil {
		return err
	}
	staging := dir + ".staging"
	if s.Offline && !isWheel(ctx, filepath.Join(staging, p.Wheel), p) {
		return fmt.Errorf("its wheel %s (%s) is missing and POSETEST_OFFLINE forbids to download it: allow it once, or point POSETEST_ORT at a library of your own", p.Wheel, megabytes(p.WheelSize))
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("the folder for runtimes cannot be made (%w): make its parent writable, or choose another folder", err)
	}
	lock := flock.New(dir + ".lock")
	if err := s.lock(ctx, lock, r); err != nil {
		return err
	}
	defer lock.Unlock()
	if damage(dir, r, p, s.Sums) == "" {
		return nil // the process we waited for did it
	}
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return fmt.Errorf("cannot write to the folder for runtimes: %w: make it writable, or choose another folder", err)
	}
	defer os.Remove(staging) // only when it is empty
	if err := s.fetch(ctx, r, p, staging); err != nil {
		return withRemedy(err, dir)
	}
	if err := assemble(ctx, r, p, staging, dir); err != nil {
		return withRemedy(err, dir)
	}
	return os.RemoveAll(staging)
}

// withRemedy says what to do where a disk is full.
func withRemedy(err error, dir string) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: make room for some 500 MB in %s, or choose another folder with POSETEST_CACHE", err, filepath.Dir(dir))
	}
	return err
}

func (s Store) lock(ctx context.Context, lock *flock.Flock, r Runtime) error {
	locked, err := lock.TryLock()
	if err == nil && !locked {
		s.logf("waiting for another process that installs %s …", r)
		_, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("cannot lock %s: %w: make the folder for runtimes writable, or choose another", lock.Path(), err)
	}
	return err
}

// fetch makes sure that staging holds the wheel whole.
func (s Store) fetch(ctx context.Context, r Runtime, p Platform, staging string) error {
	wheel := filepath.Join(staging, p.Wheel)
	// A killed process may leave pip's folders behind, and in one of them even the whole wheel.
	left, err := filepath.Glob(filepath.Join(staging, "pip-*"))
	if err != nil {
		return err
	}
	for _, old := range left {
		if !isWheel(ctx, wheel, p) && isWheel(ctx, filepath.Join(old, p.Wheel), p) {
			if err := os.Rename(filepath.Join(old, p.Wheel), wheel); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	if isWheel(ctx, wheel, p) {
		s.logf("installing %s (downloaded before) …", r)
		return nil
	}
	tags, err := parseWheel(p.Wheel)
	if err != nil {
		return err
	}
	s.logf("installing %s (%s) …", r, megabytes(p.WheelSize))
	got, err := s.download(ctx, staging, request{runtime: r, python: tags.python, abi: tags.abi, platforms: tags.platforms, sha256: p.WheelSHA256})
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(got))
	sum, size, err := sums.Of(ctx, got)
	if err != nil {
		return err
	}
	if sum != p.WheelSHA256 || size != p.WheelSize {
		return &wrongSumError{fmt.Sprintf("%s (%d bytes, want %d)", filepath.Base(got), size, p.WheelSize), p.WheelSHA256, sum}
	}
	return os.Rename(got, wheel)
}

func isWheel(ctx context.Context, path string, p Platform) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() != p.WheelSize {
		return false
	}
	sum, _, err := sums.Of(ctx, path)
	return err == nil && sum == p.WheelSHA256
}

// assemble unpacks the staged wheel beside it and moves the result to dir in one step.
func assemble(ctx context.Context, r Runtime, p Platform, staging, dir string) error {
	fresh := filepath.Join(staging, "unpacked")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	files, err := unpack(ctx, filepath.Join(staging, p.Wheel), fresh)
	if err != nil {
		return err
	}
	if reason := notPinned(files, p); reason != "" {
		return fmt.Errorf("%s %s: pin it again with \"posetest runtime pin %s\"", p.Wheel, reason, r)
	}
	text, err := json.MarshalIndent(manifest{r.String(), p.WheelSHA256, files}, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(fresh, manifestName), append(text, '\n')); err != nil {
		return err
	}
	if err := syncDir(fresh); err != nil {
		return err
	}
	if err := os.Rename(dir, filepath.Join(staging, "replaced")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the damaged %s cannot be replaced: %w: end what uses it", dir, err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// Environ returns environ for a process that opens library, less the folders of LD_LIBRARY_PATH that hold parts of another ONNX
// Runtime. Up to 1.23 its providers are opened by bare name, so that those folders come before its own: a
// library of OpenVINO 2025.4 then serves onnxruntime-openvino@1.23.0, and plain onnxruntime suddenly has OpenVINO.
func Environ(library string, environ []string) []string {
	own := filepath.Dir(library)
	var kept []string
	for _, variable := range environ {
		if list, ok := strings.CutPrefix(variable, "LD_LIBRARY_PATH="); ok {
			dirs := slices.DeleteFunc(filepath.SplitList(list), func(dir string) bool {
				parts, err := filepath.Glob(filepath.Join(dir, "libonnxruntime*"))
				return filepath.Clean(dir) != own && err == nil && len(parts) > 0
			})
			if len(dirs) == 0 {
				continue
			}
			variable = "LD_LIBRARY_PATH=" + strings.Join(dirs, string(filepath.ListSeparator))
		}
		kept = append(kept, variable)
	}
	return kept
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(text))
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes new names survive a power cut. Windows has nothing of the kind.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s Store) logf(format string, args ...any) {
	if s.Log != nil {
		fmt.Fprintf(s.Log, format+"\n", args...)
	}
}

// megabytes is 10^6 bytes, as package registries count.
func megabytes(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }

func join(names []string) string { return strings.Join(names, ", ") }
