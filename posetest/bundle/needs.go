package bundle

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Needs says what a program or library of Linux asks of a machine: the oldest glibc that has all its symbols, "" if it asks for none,
// and the libraries that it is linked to, by name.
func Needs(path string) (glibc string, libraries []string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	if libraries, err = f.ImportedLibraries(); err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.SectionByType(elf.SHT_GNU_VERNEED) == nil { // a library that asks for no version
		return "", libraries, nil
	}
	needs, err := f.DynamicVersionNeeds()
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, library := range needs {
		for _, n := range library.Needs {
			if v := glibcVersion(n.Dep); Newer(v, glibc) {
				glibc = v
			}
		}
	}
	return glibc, libraries, nil
}

var glibcSymbol = regexp.MustCompile(`^GLIBC_(\d+\.\d+)(\.\d+)?$`)

// glibcVersion is the release that brought a version of symbols, "" if it is not glibc's.
func glibcVersion(symbols string) string {
	if symbols == "GLIBC_ABI_DT_RELR" { // no symbol, but what a linker notes that packs relocations
		return "2.36"
	}
	if m := glibcSymbol.FindStringSubmatch(symbols); m != nil {
		return m[1]
	}
	return ""
}

// Newer tells whether a version is above another, of which "" is below all.
func Newer(a, b string) bool {
	x, errX := semver.NewVersion(a)
	y, errY := semver.NewVersion(b)
	return errX == nil && (errY != nil || x.GreaterThan(y))
}

var glibcName = regexp.MustCompile(`^(ld-linux.*|lib(c|m|dl|pthread|rt|resolv|util|anl|mvec)\.so\.\d+)$`)

// OfGLIBC tells whether a library is a part of glibc, by its name.
func OfGLIBC(library string) bool { return glibcName.MatchString(library) }

// A Machine is what a bundle finds where it is unpacked.
type Machine struct {
	GLIBC string                   // the version; "" for none, or another libc
	Find  func(name string) string // where a library is, "" if nowhere
}

// ThisMachine is the one of this process.
func ThisMachine() Machine {
	m := Machine{Find: find}
	path := loaded()
	if path == "" {
		path = find("libc.so.6")
	}
	f, err := elf.Open(path)
	if err != nil {
		return m
	}
	defer f.Close()
	versions, err := f.DynamicVersions()
	if err != nil {
		return m
	}
	for _, v := range versions {
		if glibc := glibcVersion(v.Name); Newer(glibc, m.GLIBC) {
			m.GLIBC = glibc
		}
	}
	return m
}

var libcPath = regexp.MustCompile(`/libc(-[\d.]+\.so|\.so\.6)$`)

// loaded is the libc that this process runs with, "" if it has none or nothing tells.
func loaded() string {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return ""
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if _, path, ok := strings.Cut(lines.Text(), " /"); ok && libcPath.MatchString("/"+path) {
			return "/" + path
		}
	}
	return ""
}

// find looks where Linux keeps libraries. One of another processor's is none.
func find(name string) string {
	triple := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	dirs := filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))
	for _, dir := range append(dirs, "/lib/"+triple, "/usr/lib/"+triple, "/lib64", "/usr/lib64", "/lib", "/usr/lib") {
		path := filepath.Join(dir, name)
		f, err := elf.Open(path)
		if err != nil {
			continue
		}
		machine := f.Machine
		f.Close()
		if machine == map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH] {
			return path
		}
	}
	return ""
}

// Fits tells whether a machine has what a bundle in a folder needs, and returns the folders of the spares for what it lacks, for its
// dynamic linker to look into.
func (m Manifest) Fits(dir string, here Machine) (folders []string, err error) {
	if m.GLIBC == "" {
		return nil, nil
	}
	if here.GLIBC == "" {
		return nil, fmt.Errorf("this machine has no glibc, and the bundle needs glibc %s or newer; run it on another distribution", m.GLIBC)
	}
	if Newer(m.GLIBC, here.GLIBC) {
		return nil, fmt.Errorf("this machine has glibc %s, and the bundle needs %s or newer; pack it with the posetest of `make portable`, or with another runtime", here.GLIBC, m.GLIBC)
	}
	for _, s := range m.Spares {
		if here.Find(s.Name) != "" {
			continue
		}
		if Newer(s.GLIBC, here.GLIBC) {
			return nil, fmt.Errorf("this machine lacks %s, and the one in the bundle needs glibc %s, where %s is here; install %s from the distribution", s.Name, s.GLIBC, here.GLIBC, s.Name)
		}
		folders = append(folders, filepath.Join(dir, filepath.Dir(filepath.FromSlash(s.File()))))
	}
	return folders, nil
}
