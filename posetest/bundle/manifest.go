// Package bundle packs files for a machine that has neither toolchain nor network, says what that machine must have, and sees
// there that every file arrived.
//
//	paths, err := bundle.Pack(ctx, bundle.Output{Path: "bundle.tar.zst", Split: 60e6}, manifest, files)
//	folder, err := bundle.Unpack(ctx, paths, ".")
//	manifest, err := bundle.Read(folder)
//	err = manifest.Check(ctx, folder) // each file has the sum that it was packed with
//
// A bundle is a tar, compressed with zstd or gzip, so that the tools of a machine unpack it as well. What is in the files is the
// caller's matter.
package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/posetest/suite/posetest/sums"
)

// Name is that of the manifest, in the bundle's folder.
const Name = "bundle.json"

// format counts up when the manifest changes its meaning.
const format = 1

// A Manifest says what a bundle is for, and what it holds.
type Manifest struct {
	Format   int      `json:"format"`
	Platform string   `json:"platform"`         // "linux/amd64"
	GLIBC    string   `json:"glibc,omitempty"`  // the oldest that its programs and libraries run with; "" where there is none
	Spares   []Spare  `json:"spares,omitempty"` // for a machine that lacks them
	Lacks    []string `json:"lacks,omitempty"`  // libraries that are asked for and are neither here nor glibc's: "libcudart.so.13"
	Commit   string   `json:"commit,omitempty"`

	Runtimes   []string `json:"runtimes"`             // by id
	Models     []string `json:"models,omitempty"`     // that were chosen, by id; none for all, as of what follows
	Precisions []string `json:"precisions,omitempty"` // that were chosen
	Providers  []string `json:"providers,omitempty"`  // that were chosen

	Files sums.List `json:"files"` // all but this one
}

// A Spare is a library that a machine's own comes before. It is at [Spare.File].
type Spare struct {
	Name  string `json:"name"`  // "libstdc++.so.6"
	GLIBC string `json:"glibc"` // the oldest that it runs with
}

// File is where a spare is in a bundle. Each has a folder of its own, so that one that is missing brings no other along.
func (s Spare) File() string { return path.Join("spares", s.Name, s.Name) }

// Folder is the name of the folder that a bundle unpacks to.
func (m Manifest) Folder() string { return "posetest-" + strings.ReplaceAll(m.Platform, "/", "-") }

// again is what helps against a bundle that is not whole.
const again = "carry it over and unpack it again"

// Read reads the manifest of an unpacked bundle, and looks at no other file.
func Read(dir string) (m Manifest, err error) {
	text, err := readUpTo(filepath.Join(dir, Name), mostManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("%s is no whole bundle: it has no %s, which is packed last; %s", dir, Name, again)
	}
	if err != nil {
		return m, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err = dec.Decode(&m)
	if m.Format != format && m.Format != 0 {
		return m, fmt.Errorf("bundle %s is of format %d, and this posetest reads format %d; run it with the program that is in it", dir, m.Format, format)
	}
	if err != nil || m.Format == 0 {
		return m, fmt.Errorf("bundle %s: %s is damaged; %s", dir, Name, again)
	}
	return m, nil
}

// mostManifest is more than a manifest can have, which takes 200 bytes a file.
const mostManifest = 16 << 20 // bytes

// readUpTo reads a file, and of one that is longer no more than that, which is then no JSON.
func readUpTo(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// Check holds the files of an unpacked bundle to the sums that they were packed with. One too many among them is an error as well,
// since a library can be loaded by its place; what stands beside them, such as a report, is not looked at. It reads all, some 1 GB/s.
func (m Manifest) Check(ctx context.Context, dir string) error {
	holds := map[string]bool{}
	for _, f := range m.Files {
		if !inside(f.Name) {
			return fmt.Errorf("bundle %s: %s names the file %q, which is none of a bundle; %s", dir, Name, f.Name, again)
		}
		holds[top(f.Name)] = true
	}
	beside := func(name string) bool { return !holds[top(name)] || strings.HasPrefix(path.Base(name), ".") }
	if err := m.Files.Check(ctx, dir, nil, beside); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("bundle %s is not as it was packed: %w; %s", dir, err, again)
	}
	return nil
}

// inside tells whether a name stays in its folder, on every system, and can be printed.
func inside(name string) bool {
	return filepath.IsLocal(filepath.FromSlash(name)) && path.Clean(name) == name && name != "." && !strings.ContainsAny(name, `\:`) &&
		utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// top is the first element of a path with slashes.
func top(name string) string {
	first, _, _ := strings.Cut(name, "/")
	return first
}
