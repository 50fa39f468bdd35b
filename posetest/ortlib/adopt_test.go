package ortlib

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/sums"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListedVersions(t *testing.T) {
	for _, row := range []struct {
		why, out string
		want     []string
	}{
		{"as pip 23.2.1 prints them", "onnxruntime (1.32.0)\nAvailable versions: 1.32.0, 1.31.1\n", []string{"1.32.0", "1.31.1"}},
		{"and with one installed", "onnxruntime (1.32.0)\r\nAvailable versions: 1.32.0\r\n  INSTALLED: 1.31.1\r\n", []string{"1.32.0"}},
		{"another wording", "onnxruntime 1.32.0", nil},
		{"nothing", "", nil},
	} {
		t.Run(row.why, func(t *testing.T) { assert.Equal(t, row.want, listedVersions(row.out)) })
	}
}

func TestReleases(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("serve")
	all, err := g.Releases(t.Context(), "onnxruntime-fake")
	require.NoError(t, err)
	assert.Equal(t, []Runtime{
		{Distribution: "onnxruntime-fake", Version: "9.9.8"}, {Distribution: "onnxruntime-fake", Version: "9.9.9"}, {Distribution: "onnxruntime-fake", Version: "9.10.0"},
	}, all, "ascending as versions count, each once, without release candidates")

	known, err := Known()
	require.NoError(t, err)
	pinned := 0
	for _, r := range known {
		if _, err := r.Here(); err == nil && r.Distribution == "onnxruntime" {
			pinned++
		}
	}
	for _, row := range []struct {
		why  string
		mode string
		off  bool
		want string
	}{
		{"the registry is away", "unreachable", false, "the package registry cannot be reached"},
		{"nothing may be asked", "serve", true, "POSETEST_OFFLINE forbids to ask pip's index"},
	} {
		t.Run(row.why, func(t *testing.T) {
			g.pip(row.mode)
			s := g.Store
			s.Offline = row.off
			all, err := s.Releases(t.Context(), "onnxruntime")
			require.ErrorContains(t, err, row.want)
			assert.Len(t, all, pinned, "what runtimes.json has is known without")
		})
	}
}

// A release that nobody pinned is held to the sums that were taken first.
func TestAdopt(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the fake wheel is for Linux on x86-64 or arm64")
	}
	g := newRig(t, wheelEntries)
	g.pip("serve")
	tag := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	wheel := filepath.Join(g.served, "onnxruntime_fake-1.33.0-cp312-cp312-manylinux2014_"+tag+".whl")
	writeWheel(t, wheel, libraryDir+"/libonnxruntime.so.1.33.0", libraryHere(t))
	offline := g.Store
	offline.Offline = true
	_, err := offline.Adopt(t.Context(), "onnxruntime-fake@1.33.0")
	require.ErrorContains(t, err, "POSETEST_OFFLINE forbids to download its wheel")

	r, err := g.Adopt(t.Context(), "onnxruntime-fake@1.33.0")
	require.NoError(t, err)
	sum, size, err := sums.Of(t.Context(), wheel)
	require.NoError(t, err)
	p, err := r.Here()
	require.NoError(t, err)
	assert.Equal(t, []any{sum, size, []string{"cpu"}}, []any{p.WheelSHA256, p.WheelSize, p.Providers})
	assert.Contains(t, g.log.String(), "which runtimes.json does not have: its sums are taken now, and not reviewed")

	downloads := len(g.calls())
	library, err := offline.Install(t.Context(), r)
	require.NoError(t, err, "the wheel is kept, so that nothing is downloaded twice")
	require.NoError(t, CheckLibrary(library))
	again, err := offline.Adopt(t.Context(), "fake-1.33.0")
	require.NoError(t, err)
	assert.Equal(t, r, again)
	assert.Len(t, g.calls(), downloads)
	all, err := offline.Releases(t.Context(), "onnxruntime-fake")
	require.Error(t, err)
	assert.Equal(t, []Runtime{r}, all, "it is known from now on")

	require.NoError(t, os.RemoveAll(filepath.Dir(library)))
	writeWheel(t, wheel, libraryDir+"/libonnxruntime.so.1.33.1", libraryHere(t))
	_, err = g.Install(t.Context(), again)
	require.ErrorContains(t, err, "has sha256", "the registry serves something else now")

	record := filepath.Join(g.Dir, folder(r)+adoptedSuffix)
	require.NoError(t, os.WriteFile(record, []byte("{"), 0o644))
	_, err = g.Adopt(t.Context(), "onnxruntime-fake@1.33.0")
	require.ErrorContains(t, err, "remove the file, to take the sums again")
	assert.NotContains(t, err.Error(), "\n")

	_, err = g.Adopt(t.Context(), "onnxruntime-fake@1.99.0")
	require.ErrorIs(t, err, errNoWheel)
	_, err = g.Adopt(t.Context(), "numpy@2.0.0")
	require.ErrorContains(t, err, "is no runtime")
	for _, left := range g.left() {
		assert.False(t, strings.Contains(left, "1.99.0"), "%s is left of what failed", left)
	}
}

// libraryHere is a library of the binding's for arm64, with this machine's number in its head.
func libraryHere(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(bindingLibraries(t), "onnxruntime_arm64.so"))
	require.NoError(t, err)
	binary.LittleEndian.PutUint16(content[18:], map[string]uint16{"amd64": 62, "arm64": 183}[runtime.GOARCH]) // e_machine of ELF
	path := filepath.Join(t.TempDir(), "libonnxruntime.so")
	require.NoError(t, os.WriteFile(path, content, 0o644))
	return path
}
