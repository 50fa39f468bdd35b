package ortlib

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/posetest/suite/posetest/sums"
	"github.com/posetest/suite/posetest/whole"
)

// targets are the machines that Pin looks for, with the wheel tags that pip is asked for: on Linux one for each glibc
// that ONNX Runtime was ever built against and that a present system has; macOS tags include all that are lower.
var targets = []target{
	{"darwin/arm64", []string{"macosx_26_0_arm64"}},
	{"linux/amd64", []string{"manylinux2014_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64", "manylinux_2_31_x86_64", "manylinux_2_34_x86_64", "manylinux_2_39_x86_64"}},
	{"linux/arm64", []string{"manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64", "manylinux_2_31_aarch64", "manylinux_2_34_aarch64", "manylinux_2_39_aarch64"}},
	{"windows/amd64", []string{"win_amd64"}},
}

type target struct {
	platform string // GOOS/GOARCH
	tags     []string
}

// pythons are tried in this order, since each release drops the oldest. The library inside is the same for all.
var pythons = []string{"3.11", "3.12", "3.13", "3.14"}

// Pin makes the runtimes.json entry of a release, such as "onnxruntime@1.33.0": it downloads the wheel for each
// platform, takes the sums of wheel and library, and looks which providers the build brings. Nothing is left in
// the store. Platforms without a wheel are left out; none at all is an error. Default is left false.
func Pin(ctx context.Context, s Store, name string) (Runtime, error) {
	r, err := parseID(name)
	if err != nil {
		return r, err
	}
	if s.Offline {
		return r, fmt.Errorf("pinning %s: it needs its wheels and POSETEST_OFFLINE forbids to download them: allow it once", r)
	}
	dir, err := s.dir()
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	var scratch *whole.Folder
	if err == nil {
		scratch, err = whole.Temporary(dir, "pin-")
	}
	if err != nil {
		return r, fmt.Errorf("pinning %s: %w: make the folder writable, or choose another", r, err)
	}
	defer scratch.Remove()
	r.Platforms = map[string]Platform{}
	for _, target := range targets {
		p, err := s.pin(ctx, r, scratch.Path, target.platform, target.tags)
		if errors.Is(err, errNoWheel) {
			continue
		}
		if err != nil {
			return r, fmt.Errorf("pinning %s for %s: %w", r, target.platform, err)
		}
		r.Platforms[target.platform] = p
	}
	if len(r.Platforms) == 0 {
		return r, fmt.Errorf("pinning %s: %w for Python %s on any platform: check the name and the version", r, errNoWheel, join(pythons))
	}
	return r, r.validate()
}

func (s Store) pin(ctx context.Context, r Runtime, dir, platform string, tags []string) (Platform, error) {
	wheel, err := s.wheelOf(ctx, r, dir, tags)
	if err != nil {
		return Platform{}, err
	}
	defer os.RemoveAll(filepath.Dir(wheel))
	return describe(ctx, wheel, platform)
}

// wheelOf downloads the wheel of a release into a fresh folder inside dir.
func (s Store) wheelOf(ctx context.Context, r Runtime, dir string, tags []string) (wheel string, err error) {
	for _, python := range pythons {
		wheel, err = s.download(ctx, dir, request{runtime: r, python: python, platforms: tags})
		if !errors.Is(err, errNoWheel) {
			break
		}
	}
	return wheel, err
}

// describe takes the sums of a wheel and of its library, and unpacks it beside itself for that.
func describe(ctx context.Context, wheel, platform string) (p Platform, err error) {
	p.Wheel = filepath.Base(wheel)
	if p.WheelSHA256, p.WheelSize, err = sums.Of(ctx, wheel); err != nil {
		return p, err
	}
	unpacked := filepath.Join(filepath.Dir(wheel), "unpacked")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		return p, err
	}
	files, err := unpack(ctx, wheel, unpacked)
	if err != nil {
		return p, err
	}
	i := slices.IndexFunc(files, func(f sums.Entry) bool { return mainLibrary.MatchString(f.Name) })
	if i < 0 {
		return p, fmt.Errorf("%s holds no ONNX Runtime library in %s", p.Wheel, libraryDir)
	}
	library := files[i]
	p.Library, p.LibrarySHA256, p.FilesSHA256 = libraryDir+"/"+library.Name, library.SHA256, files.SHA256()
	if err := checkFile(filepath.Join(unpacked, library.Name), platform); err != nil {
		return p, err
	}
	p.Providers, err = providers(unpacked, library.Name, files)
	return p, err
}
