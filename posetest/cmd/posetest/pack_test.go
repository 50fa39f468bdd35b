package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/bundle"
	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bundleProgram is the file in a bundle that is run.
var bundleProgram = map[bool]string{false: "run", true: "run.exe"}[runtime.GOOS == "windows"]

// packed packs a house into parts, and returns their paths.
func packed(t *testing.T, h *house, out string, more ...string) []string {
	t.Helper()
	r := command(t, []string{"POSETEST_OFFLINE=1"}, append([]string{"pack", "--dir", h.dir, "--provider", "cpu", "--runtime", ort, "-o", out}, more...)...)
	require.Equal(t, 0, r.exit(t), r.err.String())
	return strings.Fields(r.out.String())
}

// unpacked unpacks a bundle with the command, and returns its folder.
func unpacked(t *testing.T, parts []string) string {
	t.Helper()
	r := command(t, nil, append([]string{"unpack", "--into", t.TempDir()}, parts...)...)
	require.Equal(t, 0, r.exit(t), r.err.String())
	return strings.TrimSpace(r.out.String())
}

// A bundle of one cell is carried over in parts, runs where nothing is but glibc, nothing of it can be written and no network is, and
// what it observed is taken in at home. What happened to it on the way is told in one sentence.
func TestBundle(t *testing.T) {
	installed(t)
	h := newHouse(t, "fp32")
	h.write(t)
	out := filepath.Join(t.TempDir(), "bundle.tar") // the compressors have tests of their own
	parts := packed(t, h, out, "--split", "30MB")
	require.Greater(t, len(parts), 1)
	again := filepath.Join(t.TempDir(), "bundle.tar")
	packed(t, h, again, "--split", "30MB")
	assert.Equal(t, read(t, out+".sha256"), read(t, again+".sha256"), "the same inputs give the same bytes")
	slices.Reverse(parts)
	dir := unpacked(t, parts)
	assert.Contains(t, read(t, filepath.Join(dir, "README.txt")), "Runtimes: "+ort)

	t.Run("run", func(t *testing.T) {
		at := t.TempDir()
		cmd, _ := bare(t, dir, at, []string{beCommand + "=1", "GORACE=atexit_sleep_ms=0"}, nil)
		r := run{Cmd: cmd}
		r.Stdout, r.Stderr = &r.out, &r.err
		require.NoError(t, r.Run(), "%s%s", r.out.String(), r.err.String())
		assert.Contains(t, r.out.String(), "1 cells: 1 loads; all as expected")
		assert.Contains(t, r.out.String(), "cpu@"+ort)

		seen := filepath.Join(at, "report", "observations.jsonl")
		file, err := os.Open(seen)
		require.NoError(t, err)
		defer file.Close()
		set, err := observe.Read(file, seen)
		require.NoError(t, err)
		require.Len(t, set.Observations, 1)
		assert.Equal(t, sum(t, h.model("fp32")), set.Observations[0].ModelSHA256)
		assert.Len(t, set.Observations[0].Photos, 2)
		assert.Empty(t, set.Parts[0].Missing)

		m := command(t, nothing(t), "merge", seen, "--dir", h.dir, "--out", filepath.Join(t.TempDir(), "out"))
		require.Equal(t, 0, m.exit(t), "%s%s", m.out.String(), m.err.String())
		assert.Contains(t, m.out.String(), "1 cells: 1 loads; all as expected")
	})
	for _, row := range []struct {
		name string
		harm func(t *testing.T) // nil for none
		args []string
		says []string
	}{
		{name: "a runtime that it does not hold", args: []string{"--runtimes", "1.32.0"}, says: []string{"the bundle holds no runtime 1.32.0, but " + ort, "--runtimes 1.32.0"}},
		{name: "a runtime that nobody knows", args: []string{"--runtimes", "9.9.9"}, says: []string{`runtime "9.9.9" is unknown`}},
		{name: "a provider that it was not packed for", args: []string{"--providers", "cuda"}, says: []string{"--providers: the bundle was packed without cuda, for cpu"}},
		{name: "a model that nobody knows", args: []string{"--models", "nosuch"}, says: []string{`models: "nosuch" is unknown`}},
		{name: "cut", harm: remove(dir, bundle.Name), says: []string{"is no whole bundle: it has no bundle.json, which is packed last"}},
		{name: "a manifest that is damaged", harm: rewrite(dir, bundle.Name, func(text string) string { return text[:100] }), says: []string{"bundle.json is damaged", "unpack it again"}},
		{name: "for another architecture", harm: manifest(dir, func(m *bundle.Manifest) { m.Platform = "linux/riscv64" }), says: []string{"is for linux/riscv64, and this is " + runtime.GOOS + "/" + runtime.GOARCH}},
		{name: "a glibc that is too old", harm: manifest(dir, func(m *bundle.Manifest) { m.GLIBC = "9.9" }), says: []string{"and the bundle needs", "9.9"}},
		{name: "a model that is another", harm: rewrite(dir, "models/movenet-lightning.onnx", flipped), says: []string{"is not as it was packed: models/movenet-lightning.onnx in "}},
		{name: "a program that is another", harm: rewrite(dir, bundleProgram, func(text string) string { return text + "x" }), says: []string{"is not as it was packed: " + bundleProgram + " in "}},
		{name: "a photograph that is missing", harm: remove(dir, "fixtures/astronaut.png"), says: []string{"fixtures/astronaut.png is missing"}},
		{name: "an expectation that is another", harm: rewrite(dir, "golden/support.toml", flipped), says: []string{"golden/support.toml in "}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.harm != nil {
				row.harm(t)
			}
			at := t.TempDir()
			r := command(t, nil, row.args...)
			r.Cmd.Path, r.Cmd.Dir = filepath.Join(dir, bundleProgram), at
			require.Equal(t, 2, r.exit(t), "exit code; %s%s", r.out.String(), r.err.String())
			said := r.sentence(t)
			for _, words := range row.says {
				assert.Contains(t, said, words)
			}
			assert.Empty(t, r.out.String())
			assert.Empty(t, names(t, at), "nothing is written for it")
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func flipped(text string) string {
	bytes := []byte(text)
	bytes[len(bytes)/2] ^= 1
	return string(bytes)
}

// rewrite changes a file of a bundle for the length of a test.
func rewrite(dir, name string, change func(string) string) func(*testing.T) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	return func(t *testing.T) {
		t.Helper()
		before := read(t, path)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, []byte(change(before)), info.Mode()))
		t.Cleanup(func() { require.NoError(t, os.WriteFile(path, []byte(before), info.Mode())) })
	}
}

// remove takes it away for that long.
func remove(dir, name string) func(*testing.T) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	return func(t *testing.T) {
		t.Helper()
		require.NoError(t, os.Rename(path, path+"~"))
		t.Cleanup(func() { require.NoError(t, os.Rename(path+"~", path)) })
	}
}

func manifest(dir string, change func(*bundle.Manifest)) func(*testing.T) {
	return rewrite(dir, bundle.Name, func(text string) string {
		var m bundle.Manifest
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return ""
		}
		change(&m)
		changed, err := json.Marshal(m)
		if err != nil {
			return ""
		}
		return string(changed)
	})
}

// Precisions that are derived from a model of the data path come along with what they were derived from, and photographs of the data
// path with their annotations: the bundle plans what is planned here.
func TestBundleOfData(t *testing.T) {
	installed(t)
	h := newHouse(t, "fp32", "uint8")
	h.models["models"][0]["where"], h.models["models"][1]["where"] = "data", "derived"
	h.write(t)
	data, cache := t.TempDir(), t.TempDir()
	fp32, uint8 := filepath.Base(h.model("fp32")), filepath.Base(h.model("uint8"))
	copyFile(t, h.model("fp32"), filepath.Join(data, "models", fp32))
	derived := (&catalog.Finder{Cache: cache}).DerivedDir(sum(t, h.model("fp32")))
	copyFile(t, h.model("uint8"), filepath.Join(derived, uint8))
	require.NoError(t, os.RemoveAll(filepath.Join(h.dir, "models", fp32)))
	require.NoError(t, os.RemoveAll(filepath.Join(h.dir, "models", uint8)))
	require.NoError(t, os.CopyFS(filepath.Join(cache, "runtimes", filepath.Base(filepath.Dir(installed(t)))), os.DirFS(filepath.Dir(installed(t)))))
	licence := filepath.Join(t.TempDir(), "licences.txt")
	require.NoError(t, os.WriteFile(licence, []byte("as it is"), 0o644))

	dir := unpacked(t, packed(t, h, filepath.Join(t.TempDir(), "b.tar"), "--cache", cache, "--data", data, "--precision", "uint8", "--with", licence))
	assert.Equal(t, "as it is", read(t, filepath.Join(dir, "licences.txt")))
	assert.FileExists(t, filepath.Join(dir, "data", "models", fp32), "what uint8 was derived from")
	r := command(t, nil, "--providers", "cpu", "--out", filepath.Join(t.TempDir(), "out"))
	r.Cmd.Path = filepath.Join(dir, bundleProgram)
	require.Equal(t, 0, r.exit(t), "%s%s", r.out.String(), r.err.String())
	assert.Contains(t, r.out.String(), "1 cells: 1 wrong; all as expected")
}

// What can't be packed is told before anything is written.
func TestPackRefuses(t *testing.T) {
	library := installed(t)
	for _, row := range []struct {
		name string
		args []string
		env  []string
		says []string
	}{
		{name: "a name that does not say how", args: []string{"-o", "bundle.zip"}, says: []string{"--out: ", "bundle.zip", "end it with one of .tar.zst, .tar.gz, .tar"}},
		{name: "a folder that is not there", args: []string{"-o", filepath.Join("no", "bundle.tar")}, says: []string{"--out: ", "choose a folder that is there and can be written"}},
		{name: "parts of no size", args: []string{"--split", "60MX"}, says: []string{`--split: "60MX" is no size; write it as 60MB`}},
		{name: "parts of a few bytes", args: []string{"--split", "60"}, says: []string{`--split: "60" is no size of a part`}},
		{name: "a runtime that is not here", args: []string{"--runtimes", "1.32.0"}, env: nothing(t), says: []string{"onnxruntime@1.32.0", "POSETEST_OFFLINE forbids", "or leave it out with --models, --precisions or --runtimes"}},
		{name: "a model that is not here", args: []string{"--models", "yolov8n-pose"}, says: []string{"yolov8n-pose.onnx is missing", "or leave it out"}},
		{name: "a library of one's own", args: []string{"--models", "movenet-lightning"}, env: []string{"POSETEST_ORT=" + library}, says: []string{"POSETEST_ORT", "can't be packed"}},
		{name: "COCO that is not here", args: []string{"--models", "movenet-lightning", "--precisions", "fp32", "--coco"}, says: []string{"--coco: coco/annotations/person_keypoints_val2017.json is missing"}},
		{name: "a glibc that is no version", args: []string{"--models", "movenet-lightning", "--precisions", "fp32", "--glibc", "newest"}, says: []string{`--glibc: "newest" is no version; write it as 2.28`}},
		{name: "a further file that is not here", args: []string{"--models", "movenet-lightning", "--precisions", "fp32", "--with", "nosuch.txt"}, says: []string{"--with nosuch.txt: there is no such file"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			at := t.TempDir()
			r := command(t, append([]string{"POSETEST_RUNTIMES=" + ort}, row.env...), append([]string{"pack"}, row.args...)...)
			r.Args = append(r.Args, "--dir", absolute(t, repository))
			r.Dir = at
			require.Equal(t, 2, r.exit(t), "exit code; %s%s", r.out.String(), r.err.String())
			said := r.sentence(t)
			for _, words := range row.says {
				assert.Contains(t, said, words)
			}
			assert.Empty(t, names(t, at))
		})
	}
	if runtime.GOOS != "linux" {
		return
	}
	r := command(t, []string{"POSETEST_RUNTIMES=" + ort}, "pack", "--dir", absolute(t, repository), "--models", "movenet-lightning", "--precisions", "fp32", "--glibc", "2.2", "-o", filepath.Join(t.TempDir(), "b.tar"))
	require.Equal(t, 2, r.exit(t))
	assert.Regexp(t, `--glibc 2\.2: \S+ needs glibc 2\.\d+; `, r.sentence(t))
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	return path
}

// Parts that did not all arrive, or twice, are told by name.
func TestUnpackRefuses(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o644))
		return path
	}
	for _, row := range []struct {
		name string
		args []string
		says string
	}{
		{"no name", nil, "name a bundle, or all its parts"},
		{"nothing there", []string{filepath.Join(dir, "nosuch.tar.zst")}, "nosuch.tar.zst"},
		{"a part is missing", []string{path("b.tar.1of3"), path("b.tar.3of3")}, "of the 3 parts of b.tar, number 2 is missing"},
		{"a part is there twice", []string{path("b.tar.1of2"), path("b.tar.2of2"), path("b.tar.1of2")}, "are both part 1 of 2"},
		{"parts of two bundles", []string{path("a.tar.1of2"), path("b.tar.2of2")}, "are parts of different bundles"},
		{"another file", []string{path("notes.txt")}, "carry it over again"},
	} {
		t.Run(row.name, func(t *testing.T) {
			into := t.TempDir()
			r := command(t, nil, append([]string{"unpack", "--into", into}, row.args...)...)
			require.Equal(t, 2, r.exit(t))
			assert.Contains(t, r.sentence(t), row.says)
			assert.Empty(t, names(t, into))
		})
	}
}
