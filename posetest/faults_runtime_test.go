//go:build linux

package posetest_test

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runtimeFaults names a library of the user's own that is broken in some way.
func runtimeFaults(t *testing.T) {
	s := newShim(t)
	whole := s.build(t)
	h := newFaultyHouse(t)
	h.addWhole(t, "healthy")
	refusedRuntimes(t, s, h, whole)
	usedRuntimes(t, s, h, whole)
	t.Run("fault=program-replaced", func(t *testing.T) { replacedProgram(t, h, whole) })
}

// replacedProgram is a suite whose own program is another one by the time that it starts workers, as when somebody builds it
// anew: the workers are of the program that runs.
func replacedProgram(t *testing.T, h *faultyHouse, library string) {
	t.Attr("promise", noneLost)
	const variable = "POSETEST_TEST_REPLACE"
	if path := os.Getenv(variable); path != "" {
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\necho another program\n"), 0o755))
		p, o := planAndRun(t, h.config(t, library), nil).of(t, "healthy", "cpu")
		require.NoError(t, healthy(p, o))
		return
	}
	program, err := os.Executable()
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), "posetest.test")
	linkTo(t, program, copied)
	require.NoError(t, os.Chmod(copied, 0o755))
	cmd := exec.Command(copied, "-test.v", "-test.run=^TestFaults$/^in=runtime$/^fault=program-replaced$")
	cmd.Env = append(os.Environ(), variable+"="+copied)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "--- PASS: TestFaults/in=runtime/fault=program-replaced")
}

// refusedRuntimes are told in the plan, and nothing runs.
func refusedRuntimes(t *testing.T, s *shim, h *faultyHouse, whole string) {
	other, otherName := elf.EM_AARCH64, "linux/arm64"
	if runtime.GOARCH == "arm64" {
		other, otherName = elf.EM_X86_64, "linux/amd64"
	}
	here := runtime.GOOS + "/" + runtime.GOARCH
	for _, row := range []struct {
		fault   string
		library func(t *testing.T) string
		says    []string
	}{
		{"missing", func(t *testing.T) string { return filepath.Join(t.TempDir(), "libonnxruntime.so") },
			[]string{"no such file or directory", "correct the path"}},
		{"folder", func(t *testing.T) string { return t.TempDir() }, []string{"is a folder", "name the library file in it"}},
		{"empty", func(t *testing.T) string { return changed(t, whole, func([]byte) []byte { return nil }) }, []string{"is empty", "get the library again"}},
		{"truncated", func(t *testing.T) string { return changed(t, whole, func(b []byte) []byte { return b[:len(b)/2] }) },
			[]string{"damaged or cut short", "get the library again"}},
		{"wrong-architecture", func(t *testing.T) string {
			return changed(t, whole, func(b []byte) []byte {
				binary.LittleEndian.PutUint16(b[18:], uint16(other)) // e_machine
				return b
			})
		}, []string{"is for " + otherName + ", " + here + " is wanted here"}},
		{"no-entry-point", func(t *testing.T) string { return compiled(t, "int nothing;") }, []string{"does not export OrtGetApiBase"}},
		{"too-old", func(t *testing.T) string { return s.build(t, "-DTOO_OLD", `-DVERSION="1.10.0"`) },
			[]string{"it is ONNX Runtime 1.10.0, and this program needs API version 22: ONNX Runtime 1.22 or newer"}},
		{"version-that-is-none", func(t *testing.T) string { return s.build(t, `-DVERSION="1.23\x1b[2J/x"`) },
			[]string{`says that it is ONNX Runtime "1.23\x1b[2J/x", which is no version`}},
		{"no-interface", func(t *testing.T) string { return s.build(t, "-DNO_BASE") }, []string{"Error setting ORT API base: 1", "give the path of an ONNX Runtime library"}},
		{"dependency-missing", func(t *testing.T) string {
			needed := compiled(t, "int needed(void) { return 1; }")
			library := s.build(t, "-DNEEDS", needed)
			require.NoError(t, os.Remove(needed))
			return library
		}, []string{"cannot open shared object file", "give the path of an ONNX Runtime library"}},
		{"crashes-when-opened", func(t *testing.T) string { return s.build(t, "-DCONSTRUCTOR=*(volatile int*)0=1") },
			[]string{"died of SIGSEGV during library, so it is no ONNX Runtime that works here"}},
		{"exits-when-opened", func(t *testing.T) string { return s.build(t, "-DCONSTRUCTOR=exit(0)") },
			[]string{"left with exit code 0 during library, so it is no ONNX Runtime that works here"}},
		{"hangs-when-opened", func(t *testing.T) string { return s.build(t, "-DCONSTRUCTOR=hang()") },
			[]string{"stopped during library by the limit of time 2s, so it is no ONNX Runtime that works here"}},
	} {
		t.Run("fault="+row.fault, func(t *testing.T) {
			t.Attr("promise", clearError)
			cfg := h.config(t, row.library(t))
			if row.fault == "hangs-when-opened" {
				cfg.Timeout = 2 * time.Second
			}
			r := planAndRun(t, cfg, nil)
			require.ErrorIs(t, r.err, posetest.ErrSetup)
			for _, words := range append(row.says, cfg.Library, "POSETEST_ORT") {
				assert.ErrorContains(t, r.err, words)
			}
			assert.NotContains(t, r.err.Error(), "\n", "one sentence")
		})
	}
}

// usedRuntimes open, and go wrong where they are used, or not at all. The cell of the cpu provider is healthy beside them.
func usedRuntimes(t *testing.T, s *shim, h *faultyHouse, whole string) {
	for _, row := range []struct {
		fault    string
		library  func(t *testing.T) string
		provider string
		promise  string
		want     []string // of the provider's verdict
		cpu      bool     // is healthy
	}{
		{"too-new", func(t *testing.T) string { return s.build(t, `-DVERSION="9.0.0"`) }, "cpu", oneVerdict, []string{"loads"}, true},
		{"provider-unusable", func(t *testing.T) string { return s.build(t, "-DPROVIDER_FAILS") }, "xnnpack", oneVerdict,
			[]string{"unavailable: ", "the provider is listed, and its device is lost"}, true},
		{"provider-fails-with-every-model", func(t *testing.T) string { return s.build(t, "-DDEVICE_FAILS") }, "xnnpack", oneVerdict,
			[]string{"unavailable: the provider is taken, and its device is lost"}, true},
		{"provider-fails-with-this-model", func(t *testing.T) string { return s.build(t, "-DMODEL_FAILS") }, "xnnpack", oneVerdict,
			[]string{"fails: the provider is taken, and its device is lost"}, true},
		{"provider-crashes", func(t *testing.T) string { return s.build(t, "-DPROVIDER_CRASHES") }, "xnnpack", noneLost,
			[]string{"crashes: died of SIGABRT during open"}, true},
		{"options-refused", func(t *testing.T) string { return s.build(t, "-DOPTIONS_FAIL") }, "cpu", noneLost,
			[]string{"fails: session options: ", "no log is kept here"}, false},
		{"provider-missing", func(t *testing.T) string { return withoutParts(t, "libonnxruntime_providers_openvino.so") }, "openvino", oneVerdict,
			[]string{"unavailable: ", "Failed to load library ", "libonnxruntime_providers_openvino.so"}, true},
		{"provider-dependency-missing", func(t *testing.T) string { return withoutParts(t, "libopenvino.so") }, "openvino", oneVerdict,
			[]string{"unavailable: ", "libopenvino.so", "cannot open shared object file"}, true},
		{"cut-between-plan-and-run", func(t *testing.T) string { return changed(t, whole, func(b []byte) []byte { return b }) }, "cpu", oneVerdict,
			[]string{"fails: runtime library ", "cannot read file data", "give the path of an ONNX Runtime library"}, false},
	} {
		t.Run("fault="+row.fault, func(t *testing.T) {
			t.Attr("promise", row.promise)
			cfg := h.config(t, row.library(t))
			if cfg.Library == "" {
				return // this machine has no OpenVINO, and nobody promises it
			}
			cfg.Providers = []string{"cpu"}
			if row.provider != "cpu" {
				cfg.Providers = append(cfg.Providers, row.provider)
			}
			r := planAndRun(t, cfg, func(*posetest.Plan) {
				if row.fault == "cut-between-plan-and-run" {
					assert.NoError(t, os.Truncate(cfg.Library, 100))
				}
			})
			require.NoError(t, r.err)
			assert.NoError(t, checkPromises(cellsOf(r.plan), r.seen, r.told))
			_, o := r.of(t, "healthy", row.provider)
			for _, words := range row.want {
				assert.Contains(t, strings.Join(append(o.LogErrors, expect.Describe(o)), "\n"), words)
			}
			p, o := r.of(t, "healthy", "cpu")
			if row.cpu {
				assert.NoError(t, healthy(p, o))
			}
			if row.fault == "too-new" {
				assert.Equal(t, "own-9.0.0", o.ORT)
			}
		})
	}
}

// changed is a copy of a library with other bytes.
func changed(t *testing.T, library string, change func([]byte) []byte) string {
	t.Helper()
	text, err := os.ReadFile(library)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "libonnxruntime.so")
	require.NoError(t, os.WriteFile(path, change(text), 0o755))
	return path
}

// compiled is a library of a line of C.
func compiled(t *testing.T, source string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "libneeded.so")
	compile(t, source, "-shared", "-fPIC", "-o", path, "-x", "c", "-")
	return path
}

// withoutParts is onnxruntime-openvino without the files whose names begin so; "" where there is none for this machine.
func withoutParts(t *testing.T, part string) (library string) {
	t.Helper()
	const id = "openvino-1.24.1"
	known, err := ortlib.Known()
	require.NoError(t, err)
	picked, err := ortlib.Select(known, id)
	require.NoError(t, err)
	if _, err := picked[0].Here(); err != nil {
		return ""
	}
	library = realRuntime(t, id)
	dir, err := os.MkdirTemp("", "ov-") // a short name: the runtime's words have it twice, and a line of its log is clipped
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	entries, err := os.ReadDir(filepath.Dir(library))
	require.NoError(t, err)
	left := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), part) {
			left++
			continue
		}
		linkTo(t, filepath.Join(filepath.Dir(library), e.Name()), filepath.Join(dir, e.Name()))
	}
	require.Positive(t, left, "files that begin with %s", part)
	return filepath.Join(dir, filepath.Base(library))
}
