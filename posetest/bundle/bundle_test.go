package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var forTest = Manifest{Platform: "linux/amd64", Runtimes: []string{"1.23.2"}}

// some are files of a bundle: a program, a library under two names, an empty file, and content that comes from a file.
func some(t *testing.T) []File {
	t.Helper()
	noise := make([]byte, 100_000) // that nothing compresses
	r := rand.NewChaCha8([32]byte{})
	r.Read(noise)
	source := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.WriteFile(source, bytes.Repeat([]byte("model "), 2_000), 0o600))
	return []File{
		{Name: "run", Content: []byte("#!/bin/sh\n"), Program: true},
		{Name: "models/a.onnx", Source: source},
		{Name: "cache/runtimes/x/lib.so.1", Content: noise},
		{Name: "cache/runtimes/x/lib.so", Content: noise},
		{Name: "empty", Content: nil},
		{Name: "void", Content: nil},
	}
}

// packed packs them into a folder of its own.
func pack(t *testing.T, name string, split int64) []string {
	t.Helper()
	parts, err := Pack(t.Context(), Output{Path: filepath.Join(t.TempDir(), name), Split: split}, forTest, some(t))
	require.NoError(t, err)
	return parts
}

// holds sees that a folder has those files, and nothing else.
func holds(t *testing.T, dir string, files []File) {
	t.Helper()
	seen := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			seen++
		}
		return err
	}))
	assert.Equal(t, len(files)+1, seen, "files in %s, with the manifest", dir)
	for _, f := range files {
		want := f.Content
		if f.Source != "" {
			var err error
			want, err = os.ReadFile(f.Source)
			require.NoError(t, err)
		}
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Name)))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got), f.Name)
	}
}

func left(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// What was packed comes out, however it was compressed and parted, and in whatever order the parts are named.
func TestPackAndUnpack(t *testing.T) {
	for _, row := range []struct {
		name  string
		split int64
		parts []string // names
	}{
		{"b.tar.zst", 0, []string{"b.tar.zst"}},
		{"b.tar.gz", 0, []string{"b.tar.gz"}},
		{"b.tar", 0, []string{"b.tar"}},
		{"b.tar.zst", 60_000, []string{"b.tar.zst.1of2", "b.tar.zst.2of2"}},
		{"b.tar.gz", 1 << 40, []string{"b.tar.gz.1of1"}}, // whoever asks for parts gets names of parts
	} {
		t.Run(fmt.Sprintf("%s/split=%d", row.name, row.split), func(t *testing.T) {
			parts := pack(t, row.name, row.split)
			dir := filepath.Dir(parts[0])
			assert.Equal(t, append(slices.Clone(row.parts), row.name+".sha256"), left(t, dir), "nothing else is left there")
			slices.Reverse(parts)
			into := filepath.Join(t.TempDir(), "new", "folder")
			folder, err := Unpack(t.Context(), parts, into)
			require.NoError(t, err)
			assert.Equal(t, filepath.Join(into, "posetest-linux-amd64"), folder)
			assert.Equal(t, []string{"posetest-linux-amd64"}, left(t, into))
			files := some(t)
			holds(t, folder, files)
			m, err := Read(folder)
			require.NoError(t, err)
			require.NoError(t, m.Check(t.Context(), folder))
			assert.Equal(t, []any{forTest.Platform, forTest.Runtimes, len(files)}, []any{m.Platform, m.Runtimes, len(m.Files)})
			info, err := os.Stat(filepath.Join(folder, "run"))
			require.NoError(t, err)
			assert.NotZero(t, info.Mode()&0o100, "the program may be executed")

			_, err = Unpack(t.Context(), parts, into)
			require.EqualError(t, err, folder+" is there already; remove it, or unpack elsewhere")
			assert.Equal(t, []string{"posetest-linux-amd64"}, left(t, into))
		})
	}
}

// The same files give the same bytes, in whatever order they are given, whenever they were written.
func TestSameBytes(t *testing.T) {
	for _, name := range []string{"b.tar.zst", "b.tar.gz", "b.tar"} {
		first, err := os.ReadFile(pack(t, name, 0)[0])
		require.NoError(t, err)
		files := some(t)
		slices.Reverse(files)
		parts, err := Pack(t.Context(), Output{Path: filepath.Join(t.TempDir(), name)}, forTest, files)
		require.NoError(t, err)
		second, err := os.ReadFile(parts[0])
		require.NoError(t, err)
		assert.True(t, bytes.Equal(first, second), name)
	}
}

// Two names of one content take its room once.
func TestOneContentOnce(t *testing.T) {
	info, err := os.Stat(pack(t, "b.tar", 0)[0])
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(2*100_000))
}

func TestPackRefuses(t *testing.T) {
	dir := t.TempDir()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range []struct {
		name  string
		ctx   context.Context
		path  string
		files []File
		says  string
	}{
		{"an ending that says nothing", t.Context(), "b.zip", nil, "end it with one of .tar.zst, .tar.gz, .tar"},
		{"an ending alone", t.Context(), ".tar.gz", nil, "end it with one of"},
		{"a folder that is not there", t.Context(), "no/b.tar", nil, "choose a folder that is there and can be written"},
		{"a file that is not there", t.Context(), "b.tar", []File{{Name: "a", Source: filepath.Join(dir, "gone")}}, "gone"},
		{"a name that leaves the folder", t.Context(), "b.tar", []File{{Name: "../a"}}, `"../a" can't be in a bundle`},
		{"a name of Windows", t.Context(), "b.tar", []File{{Name: `a\b`}}, "can't be in a bundle"},
		{"the manifest's name", t.Context(), "b.tar", []File{{Name: Name}}, "can't be in a bundle"},
		{"a name twice", t.Context(), "b.tar", []File{{Name: "a"}, {Name: "a"}}, "or is there twice"},
		{"an end of patience", cancelled, "b.tar", []File{{Name: "a", Source: filepath.Join(dir, "x")}}, "context canceled"},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "x"), []byte("x"), 0o644))
			into := t.TempDir()
			_, err := Pack(row.ctx, Output{Path: filepath.Join(into, row.path)}, forTest, row.files)
			require.ErrorContains(t, err, row.says)
			assert.Empty(t, left(t, into))
		})
	}
}

// Wherever a bundle was cut, nothing of it is unpacked, and one sentence says so.
func TestCut(t *testing.T) {
	for _, name := range []string{"b.tar.zst", "b.tar.gz", "b.tar"} {
		whole, err := os.ReadFile(pack(t, name, 0)[0])
		require.NoError(t, err)
		cuts := []int{0, 1, 3, 10, 511, 512, 513, 1024, len(whole) - 1025, len(whole) - 600, len(whole) - 1}
		for i := range 8 {
			cuts = append(cuts, len(whole)*(i+1)/9)
		}
		for _, n := range cuts {
			if name == "b.tar" && n > len(whole)-1024-512 {
				continue // the zeros at the end of a tar are nobody's content
			}
			path, into := filepath.Join(t.TempDir(), name), t.TempDir()
			require.NoError(t, os.WriteFile(path, whole[:n], 0o644))
			_, err := Unpack(t.Context(), []string{path}, into)
			require.Error(t, err, "%s cut to %d of %d bytes", name, n, len(whole))
			assert.Regexp(t, `cut|damaged|it is empty|no whole bundle`, err, "%s cut to %d of %d bytes", name, n, len(whole))
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, err.Error(), ".posetest-unpack-")
			assert.Empty(t, left(t, into))
		}
	}
}

// Whichever byte was changed on the way, what comes out is what was packed, or nothing.
func TestAltered(t *testing.T) {
	files := some(t)
	for _, name := range []string{"b.tar.zst", "b.tar.gz", "b.tar"} {
		whole, err := os.ReadFile(pack(t, name, 0)[0])
		require.NoError(t, err)
		refused := 0
		for i := range 24 {
			at := (len(whole)*i + i*i) / 24 % len(whole)
			altered := slices.Clone(whole)
			altered[at] ^= 0x20
			path, into := filepath.Join(t.TempDir(), name), t.TempDir()
			require.NoError(t, os.WriteFile(path, altered, 0o644))
			folder, err := Unpack(t.Context(), []string{path}, into)
			if err == nil { // it was in what a tar pads with, or a time
				holds(t, folder, files)
				continue
			}
			refused++
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, err.Error(), ".posetest-unpack-")
			assert.Empty(t, left(t, into), "byte %d of %s", at, name)
		}
		assert.Greater(t, refused, 12, name)
	}
}

// Parts that are not those of one bundle are told by their names.
func TestParts(t *testing.T) {
	for _, row := range []struct {
		name  string
		paths []string
		want  []string
		says  string
	}{
		{"one whole bundle, whatever its name", []string{"x"}, []string{"x"}, ""},
		{"in any order", []string{"b.2of3", "b.3of3", "b.1of3"}, []string{"b.1of3", "b.2of3", "b.3of3"}, ""},
		{"numbers, not words", []string{"b.10of10", "b.01of10", "b.02of10", "b.03of10", "b.04of10", "b.05of10", "b.06of10", "b.07of10", "b.08of10", "b.09of10"},
			[]string{"b.01of10", "b.02of10", "b.03of10", "b.04of10", "b.05of10", "b.06of10", "b.07of10", "b.08of10", "b.09of10", "b.10of10"}, ""},
		{"one is missing", []string{"b.1of3", "b.3of3"}, nil, "of the 3 parts of b, number 2 is missing"},
		{"the last are missing", []string{"b.1of3"}, nil, "of the 3 parts of b, numbers 2, 3 are missing"},
		{"many are missing", []string{"b.01of99"}, nil, "numbers 2, 3, 4, 5, 6, 7, 8, 9 … are missing"},
		{"one is there twice", []string{"b.1of2", "b.2of2", "other/b.1of2"}, nil, "b.1of2 and other/b.1of2 are both part 1 of 2"},
		{"of two bundles", []string{"a.1of2", "b.2of2"}, nil, "a.1of2 and b.2of2 are parts of different bundles"},
		{"of two ways to part one", []string{"b.1of2", "b.2of3"}, nil, "are parts of different bundles"},
		{"something else", []string{"b.1of2", "notes.txt"}, nil, "notes.txt is no part of a bundle"},
		{"a number that can't be", []string{"b.3of2", "b.1of2"}, nil, "there is no part 3 of 2"},
		{"none is number 0", []string{"b.0of1"}, nil, "there is no part 0 of 1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := inOrder(row.paths)
			if row.says == "" {
				require.NoError(t, err)
				assert.Equal(t, row.want, got)
				return
			}
			require.ErrorContains(t, err, row.says)
		})
	}
}

// With the file of sums at hand, the part that is another is named; without it, the bundle is refused all the same.
func TestPartAltered(t *testing.T) {
	parts := pack(t, "b.tar.zst", 60_000)
	text, err := os.ReadFile(parts[1])
	require.NoError(t, err)
	text[len(text)/2] ^= 1
	require.NoError(t, os.WriteFile(parts[1], text, 0o644))
	into := t.TempDir()
	_, err = Unpack(t.Context(), parts, into)
	require.ErrorContains(t, err, parts[1]+" is not as it was packed")
	require.NoError(t, os.Remove(filepath.Join(filepath.Dir(parts[0]), "b.tar.zst.sha256")))
	_, err = Unpack(t.Context(), parts, into)
	require.ErrorContains(t, err, "carry it over")
	assert.Empty(t, left(t, into))
}

// A join by hand in which a part stands twice is told.
func TestJoinedTwice(t *testing.T) {
	for _, name := range []string{"b.tar.zst", "b.tar.gz", "b.tar"} {
		whole, err := os.ReadFile(pack(t, name, 0)[0])
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, append(slices.Clone(whole), whole...), 0o644))
		_, err = Unpack(t.Context(), []string{path}, t.TempDir())
		require.ErrorContains(t, err, "something follows its end", name)
	}
}

// A tar that somebody else made leaves its folder nowhere.
func TestNoBundle(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }
	for _, row := range []struct {
		name    string
		entries []tar.Header
		says    string
	}{
		{"upwards", []tar.Header{file("../evil")}, `it has a file "../evil"`},
		{"upwards from within", []tar.Header{file("b/../../evil")}, "it has a file"},
		{"absolute", []tar.Header{file("/tmp/evil")}, "it has a file"},
		{"another drive", []tar.Header{file("C:/evil")}, "it has a file"},
		{"two folders", []tar.Header{file("a/x"), file("b/x")}, `it has a file "b/x"`},
		{"a symbolic link", []tar.Header{{Typeflag: tar.TypeSymlink, Name: "a/x", Linkname: "/etc"}}, "neither a file nor a folder"},
		{"a link to what is outside", []tar.Header{{Typeflag: tar.TypeLink, Name: "a/x", Linkname: "../../etc/passwd"}}, `it has a link "a/x" to "../../etc/passwd"`},
		{"a link to a folder", []tar.Header{file("a/d/x"), {Typeflag: tar.TypeLink, Name: "a/y", Linkname: "a/d"}}, `it has a link "a/y" to "a/d", which is no file before it`},
		{"a link to nothing", []tar.Header{{Typeflag: tar.TypeLink, Name: "a/y", Linkname: "a/x"}}, `it has a link "a/y" to "a/x", which is no file before it`},
		{"a file for a folder", []tar.Header{file("a/x"), file("a/x/y")}, "a/x: not a directory"},
		{"a name that a terminal would obey", []tar.Header{file("a/\x1b[2J")}, `it has a file "a/\x1b[2J"`},
		{"a name of two lines", []tar.Header{file("a/x\ny")}, `it has a file "a/x\ny"`},
		{"a device", []tar.Header{{Typeflag: tar.TypeChar, Name: "a/x"}}, "neither a file nor a folder"},
		{"a name twice", []tar.Header{file("a/x"), file("a/x")}, "exists"},
		{"another tar", []tar.Header{file("a/x")}, "it has no bundle.json"},
		{"nothing", nil, "it is empty, or no bundle"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for _, h := range row.entries {
				require.NoError(t, w.WriteHeader(&h))
			}
			require.NoError(t, w.Close())
			path, into := filepath.Join(t.TempDir(), "b.tar"), t.TempDir()
			require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
			_, err := Unpack(t.Context(), []string{path}, into)
			require.ErrorContains(t, err, row.says)
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, err.Error(), ".posetest-unpack-")
			assert.Empty(t, left(t, into))
		})
	}
	path := filepath.Join(t.TempDir(), "b.tar.gz")
	require.NoError(t, os.WriteFile(path, []byte("<!DOCTYPE html><title>404</title>"+strings.Repeat(" ", 1000)), 0o644))
	_, err := Unpack(t.Context(), []string{path}, t.TempDir())
	require.ErrorContains(t, err, "it is damaged, or no bundle")
}

// A bundle whose sums are right names its own folder, and no other that somebody looks into.
func TestFolderOfAnother(t *testing.T) {
	whole, err := os.ReadFile(pack(t, "b.tar", 0)[0])
	require.NoError(t, err)
	var b bytes.Buffer
	r, w := tar.NewReader(bytes.NewReader(whole)), tar.NewWriter(&b)
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		for _, name := range []*string{&h.Name, &h.Linkname} {
			*name = strings.Replace(*name, forTest.Folder(), ".ssh", 1)
		}
		require.NoError(t, w.WriteHeader(h))
		_, err = io.Copy(w, r)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	path, into := filepath.Join(t.TempDir(), "b.tar"), t.TempDir()
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	_, err = Unpack(t.Context(), []string{path}, into)
	require.EqualError(t, err, path+`: it is no bundle of posetest: its folder is ".ssh", and bundle.json says "posetest-linux-amd64"`)
	assert.Empty(t, left(t, into))
}

// What happened to a bundle since it was unpacked is told, before anything of it is used.
func TestCheck(t *testing.T) {
	for _, row := range []struct {
		name string
		harm func(dir string) error
		says string // "" for nothing
	}{
		{"nothing", func(string) error { return nil }, ""},
		{"a report beside it", func(dir string) error {
			return os.CopyFS(filepath.Join(dir, "report"), os.DirFS(filepath.Join(dir, "models")))
		}, ""},
		{"a file manager's trace", func(dir string) error { return os.WriteFile(filepath.Join(dir, "models", ".DS_Store"), nil, 0o644) }, ""},
		{"a byte of a model", func(dir string) error { return flip(filepath.Join(dir, "models", "a.onnx")) }, "models/a.onnx in "},
		{"a model that was cut", func(dir string) error { return os.Truncate(filepath.Join(dir, "models", "a.onnx"), 7) }, "has 7 bytes, want 12000"},
		{"a library gone", func(dir string) error { return os.Remove(filepath.Join(dir, "cache", "runtimes", "x", "lib.so")) }, "cache/runtimes/x/lib.so is missing"},
		{"a library too many", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "cache", "runtimes", "x", "libevil.so"), nil, 0o644)
		}, "cache/runtimes/x/libevil.so in "},
		{"the manifest gone, as when it was cut", func(dir string) error { return os.Remove(filepath.Join(dir, Name)) }, "is no whole bundle: it has no bundle.json"},
		{"the manifest cut", func(dir string) error { return os.Truncate(filepath.Join(dir, Name), 100) }, "bundle.json is damaged"},
		{"the manifest emptied", func(dir string) error { return os.Truncate(filepath.Join(dir, Name), 0) }, "bundle.json is damaged"},
		{"a manifest of another time", func(dir string) error { return replace(filepath.Join(dir, Name), `"format": 1`, `"format": 2`) }, "is of format 2, and this posetest reads format 1"},
		{"a manifest that looks elsewhere", func(dir string) error { return replace(filepath.Join(dir, Name), `"models/a.onnx"`, `"../../a.onnx"`) }, `names the file "../../a.onnx"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir, err := Unpack(t.Context(), pack(t, "b.tar", 0), t.TempDir())
			require.NoError(t, err)
			require.NoError(t, row.harm(dir))
			m, err := Read(dir)
			if err == nil {
				err = m.Check(t.Context(), dir)
			}
			if row.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.says)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func flip(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text[len(text)/2] ^= 1
	return os.WriteFile(path, text, 0o644)
}

func replace(path, old, new string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(old)) {
		return fmt.Errorf("%s has no %s", path, old)
	}
	return os.WriteFile(path, bytes.ReplaceAll(text, []byte(old), []byte(new)), 0o644)
}

// What a machine has decides which spares are taken, and whether the bundle runs at all.
func TestFits(t *testing.T) {
	m := Manifest{GLIBC: "2.28", Spares: []Spare{{"libstdc++.so.6", "2.36"}, {"libz.so.1", "2.14"}}}
	has := func(names ...string) func(string) string {
		return func(name string) string {
			if slices.Contains(names, name) {
				return "/lib/" + name
			}
			return ""
		}
	}
	spare := func(name string) string { return filepath.Join("b", "spares", name) }
	for _, row := range []struct {
		name     string
		manifest Manifest
		here     Machine
		want     []string
		says     string
	}{
		{"has everything, and is as old as it may be", m, Machine{"2.28", has("libstdc++.so.6", "libz.so.1")}, nil, ""},
		{"lacks one: no spare of what it has is taken, which could be older", m, Machine{"2.40", has("libstdc++.so.6")}, []string{spare("libz.so.1")}, ""},
		{"lacks both", m, Machine{"2.36", has()}, []string{spare("libstdc++.so.6"), spare("libz.so.1")}, ""},
		{"is too old for the spare that it needs", m, Machine{"2.28", has("libz.so.1")}, nil,
			"this machine lacks libstdc++.so.6, and the one in the bundle needs glibc 2.36, where 2.28 is here; install libstdc++.so.6 from the distribution"},
		{"is too old, as numbers count", Manifest{GLIBC: "2.28"}, Machine{"2.9", has()}, nil, "this machine has glibc 2.9, and the bundle needs 2.28 or newer"},
		{"has another libc", m, Machine{"", has()}, nil, "this machine has no glibc, and the bundle needs glibc 2.28"},
		{"is no Linux", Manifest{}, Machine{"", has()}, nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := row.manifest.Fits("b", row.here)
			if row.says != "" {
				require.ErrorContains(t, err, row.says)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, row.want, got)
		})
	}
}

func TestGLIBCVersion(t *testing.T) {
	for _, row := range []struct{ symbols, want string }{
		{"GLIBC_2.2.5", "2.2"},
		{"GLIBC_2.34", "2.34"},
		{"GLIBC_ABI_DT_RELR", "2.36"},
		{"GLIBC_PRIVATE", ""},
		{"GLIBCXX_3.4.30", ""},
	} {
		assert.Equal(t, row.want, glibcVersion(row.symbols), row.symbols)
	}
	for _, row := range []struct {
		a, b  string
		newer bool
	}{{"2.34", "2.28", true}, {"2.28", "2.34", false}, {"2.28", "2.28", false}, {"2.10", "2.9", true}, {"2.1", "", true}, {"", "2.1", false}, {"", "", false}} {
		assert.Equal(t, row.newer, Newer(row.a, row.b), "%q %q", row.a, row.b)
	}
	for library, want := range map[string]bool{"libc.so.6": true, "ld-linux-x86-64.so.2": true, "libpthread.so.0": true, "libstdc++.so.6": false, "libcudart.so.13": false, "libcrypt.so.1": false} {
		assert.Equal(t, want, OfGLIBC(library), library)
	}
}
