package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refuses runs a report that can't judge: exit code 2, one sentence with these words, and not a file or folder written.
func refuses(t *testing.T, env, args []string, says ...string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	r := command(t, env, append(append([]string{"report"}, args...), "--out", out)...)
	require.Equal(t, 2, r.exit(t), "exit code; %s%s", r.out.String(), r.err.String())
	sentence := r.sentence(t)
	for _, words := range says {
		assert.Contains(t, sentence, words)
	}
	assert.Empty(t, r.out.String())
	assert.NoFileExists(t, out)
	assert.NoDirExists(t, out)
}

// A user's own file that can't be run is told before any runtime is opened.
func TestOwnModelRefused(t *testing.T) {
	movenet := filepath.Join(repository, "models", "movenet-lightning.onnx")
	whole, err := os.ReadFile(movenet)
	require.NoError(t, err)
	for _, row := range []struct {
		name   string
		make   func(t *testing.T, path string)
		family string
		says   []string
	}{
		{name: "missing", make: func(*testing.T, string) {}, says: []string{"no such file", "check the path"}},
		{name: "empty", make: content(nil), says: []string{"the file is empty", "export or download it again"}},
		{name: "truncated", make: content(whole[:len(whole)/2]), says: []string{"cut short", "export or download it again"}},
		{name: "garbage", make: content([]byte("<!DOCTYPE html><title>404</title>")), says: []string{"no ONNX model", "export or download it again"}},
		{name: "3 GB", make: sparse(3 << 30), says: []string{"3221225472 bytes", "protobuf's limit of 2 GiB", "external data"}},
		{name: "folder", make: func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o755)) }, says: []string{"a folder", "name the .onnx file"}},
		{name: "wrong family", make: content(whole), family: "yolov8-pose",
			says: []string{"family yolov8-pose wants input float32 [1,3,height,width]", "has input input int32 [1,192,192,3]", "looks like movenet"}},
		{name: "unknown family", make: content(whole), family: "yolov99", says: []string{`family "yolov99" is unknown`, "movenet"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "their.onnx")
			row.make(t, path)
			if row.family == "" {
				row.family = "movenet"
			}
			if row.name != "unknown family" { // where it is the flag that is wrong
				row.says = append(row.says, path)
			}
			refuses(t, nothing(t), []string{"--model", path, "--family", row.family}, row.says...)
		})
	}
}

func content(text []byte) func(*testing.T, string) {
	return func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, text, 0o644)) }
}

func sparse(size int64) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		require.NoError(t, os.WriteFile(path, nil, 0o644))
		require.NoError(t, os.Truncate(path, size))
	}
}

// What is wrong in a house is told by file, place in it, and remedy, whatever runtimes there are.
func TestHouseRefused(t *testing.T) {
	const models, fixtures, table = "models.json", "fixtures.json", "golden/support.toml"
	for _, row := range []struct {
		name   string
		damage func(t *testing.T, h *house) // after all is written
		says   []string
	}{
		{"model is not the one of its entry", func(t *testing.T, h *house) {
			copyFile(t, filepath.Join(repository, "models", "movenet-lightning-int8.onnx"), h.model("fp32"))
		},
			[]string{"movenet-lightning.onnx", "sha256 is ba015e2b", "says 73a4d5a6", models, "restore the file"}},
		{"model cut short", func(t *testing.T, h *house) { require.NoError(t, os.Truncate(h.model("fp32"), 1000)) },
			[]string{"movenet-lightning.onnx", "(1000 bytes)", "(9351685 bytes)", "restore the file"}},
		{"model is a folder", func(t *testing.T, h *house) {
			require.NoError(t, os.Remove(h.model("fp32")))
			require.NoError(t, os.Mkdir(h.model("fp32"), 0o755))
		}, []string{"movenet-lightning.onnx", "is a folder", "remove it"}},
		{"model of another family than its entry", func(t *testing.T, h *house) {
			h.models["models"][0]["family"] = "yolov8-pose"
			h.write(t)
		}, []string{"movenet-lightning.onnx", "family yolov8-pose wants", "looks like movenet"}},
		{"family with a typo", func(t *testing.T, h *house) {
			h.models["models"][0]["family"] = "movnet"
			h.write(t)
		}, []string{models, "movenet-lightning fp32", `family "movnet" is unknown`, "movenet"}},
		{"catalogue with a field too many", edit("models/models.json", `"family"`, `"famly"`), []string{models + ":", `unknown field "famly"`, "correct it there"}},
		{"catalogue that is no JSON", edit("models/models.json", `"models": [`, `"models": {`), []string{models + ":", "correct it there"}},
		{"catalogue cut short", func(t *testing.T, h *house) {
			require.NoError(t, os.Truncate(filepath.Join(h.dir, "models", "models.json"), 40))
		}, []string{models + ":", "unexpected EOF", "correct it there"}},
		{"catalogue with a sum too short", edit("models/models.json", "73a4d5a6c6f25714", "73a4"), []string{models, "entry 1 (movenet-lightning fp32)", "sha256", "64 hexadecimal digits"}},
		{"photographs with a wrong count", func(t *testing.T, h *house) {
			h.fixtures["fixtures"][0]["people"] = 7
			h.write(t)
		}, []string{fixtures, "entry 1 (astronaut)", "persons", "people says 7"}},
		{"photograph is not the one of its entry", func(t *testing.T, h *house) {
			copyFile(t, filepath.Join(repository, "fixtures", "camera.png"), filepath.Join(h.dir, "fixtures", "astronaut.png"))
		}, []string{"astronaut.png", "sha256 is", "restore the file"}},
		{"table with a field too many", edit(table, `precision = "uint8"`, `precison = "uint8"`), []string{table + ":", `unknown field "row.precison"`, "correct it there"}},
		{"table with an outcome that is none", edit(table, `finds = "nobody"`, `finds = "noone"`), []string{table + ":", `finds "noone"`, "people, nobody, some or error"}},
		{"table that is no TOML", edit(table, `op = "ConvInteger"`, `op = ConvInteger`), []string{table + ":", "correct it there"}},
		{"table without a reason", edit(table, "why = \"collapsed\"\n", ""), []string{table + ":", "why must tell the reason"}},
		{"table that is empty", func(t *testing.T, h *house) { h.file(t, table, "") }, []string{table, "no [[row]]"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t, "fp32")
			h.write(t)
			row.damage(t, h)
			refuses(t, nothing(t), []string{"--dir", h.dir}, row.says...)
		})
	}
}

// Words that are all known, and that no cell has together, are no run without failures.
func TestNothingToRun(t *testing.T) {
	h := newHouse(t, "fp32", "int8")
	h.models["models"][1]["id"] = "other"
	h.write(t)
	refuses(t, nothing(t), []string{"--dir", h.dir, "--models", "other", "--precisions", "fp32"},
		"no cell has models [other], precisions [fp32]", "ask for fewer of them")
}

// edit replaces what stands once in a file of the house.
func edit(name, old, new string) func(*testing.T, *house) {
	return func(t *testing.T, h *house) {
		text, err := os.ReadFile(filepath.Join(h.dir, filepath.FromSlash(name)))
		require.NoError(t, err)
		h.file(t, name, replace(t, string(text), old, new))
	}
}

// A library of the user's that can't serve is told by its path, and what would serve instead.
func TestOwnLibraryRefused(t *testing.T) {
	binding, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	require.NoError(t, err)
	shipped := func(name string) func(*testing.T) string {
		return func(*testing.T) string {
			return filepath.Join(strings.TrimSpace(string(binding)), "test_data", name)
		}
	}
	otherMachine := "onnxruntime_arm64.so"
	if runtime.GOARCH == "arm64" {
		otherMachine = "onnxruntime.dll"
	}
	here := runtime.GOOS + "/" + runtime.GOARCH
	for _, row := range []struct {
		name    string
		library func(t *testing.T) string
		says    []string
	}{
		{"missing", func(t *testing.T) string { return filepath.Join(t.TempDir(), "libonnxruntime.so") }, []string{"no such file", "correct the path", "posetest runtime list"}},
		{"folder", func(t *testing.T) string { return t.TempDir() }, []string{"is a folder", "name the library file"}},
		{"text", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "libonnxruntime.so")
			content([]byte("not found\n"))(t, path)
			return path
		}, []string{"is no shared library", here}},
		{"for another machine", shipped(otherMachine), []string{"is for ", here + " is wanted here", "get the library for " + here}},
		{"no ONNX Runtime", compiled(`int nothing(void) { return 0; }`), []string{"does not export OrtGetApiBase", "name the main library"}},
		{"too old", compiled(refusing("1.21.0")), []string{"it is ONNX Runtime 1.21.0", "1.22 or newer", "posetest runtime list"}},
		{"too new", compiled(refusing("2.0.0")), []string{"it is ONNX Runtime 2.0.0", "1.22 or newer", "posetest runtime list"}},
		{"dies when it is opened", compiled(`#include <stdlib.h>
			void *OrtGetApiBase(void) { abort(); }`), []string{"SIGABRT", "1.22 or newer", "posetest runtime list"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			library := row.library(t)
			refuses(t, append(nothing(t), "POSETEST_ORT="+library), nil, append(row.says, "POSETEST_ORT", library)...)
		})
	}
}

// compiled is a shared library of that C text.
func compiled(text string) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		if runtime.GOOS == "windows" {
			t.Skip("a library is made here with the options of cc on Unix")
		}
		source, library := filepath.Join(t.TempDir(), "own.c"), filepath.Join(t.TempDir(), "libonnxruntime.so")
		require.NoError(t, os.WriteFile(source, []byte(text), 0o644))
		out, err := exec.Command("cc", "-shared", "-fPIC", "-o", library, source).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return library
	}
}

// refusing is an ONNX Runtime of another time: it has a version, and none of the API versions that it is asked for.
func refusing(version string) string {
	return `#include <stdint.h>
		typedef struct { const void *(*GetApi)(uint32_t); const char *(*GetVersionString)(void); } OrtApiBase;
		static const void *api(uint32_t version) { (void)version; return 0; }
		static const char *version(void) { return "` + version + `"; }
		static const OrtApiBase base = {api, version};
		const OrtApiBase *OrtGetApiBase(void) { return &base; }`
}

// A report that has no place to be written is told before the run, and what is in the way stays.
func TestOutRefused(t *testing.T) {
	installed(t)
	h := newHouse(t, "fp32")
	h.write(t)
	inTheWay := filepath.Join(t.TempDir(), "report")
	require.NoError(t, os.WriteFile(inTheWay, []byte("mine"), 0o644))
	for _, out := range []string{inTheWay, filepath.Join(inTheWay, "below")} {
		r := command(t, []string{"POSETEST_RUNTIMES=" + ort}, "report", "--dir", h.dir, "--out", out)
		require.Equal(t, 2, r.exit(t))
		for _, words := range []string{"--out", inTheWay, "choose a folder that can be written"} {
			assert.Contains(t, r.sentence(t), words)
		}
		assert.Empty(t, r.out.String(), "a table of a run that was not kept")
		text, err := os.ReadFile(inTheWay)
		require.NoError(t, err)
		assert.Equal(t, "mine", string(text))
	}
}
