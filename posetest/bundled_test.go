package posetest

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/bundle"
	"github.com/posetest/suite/posetest/sums"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A worker looks into the folders that a bundle brings after those that its user named, and into no other.
func TestLibrariesOfABundle(t *testing.T) {
	if runtime.GOOS == "windows" {
		assert.Empty(t, Config{}.Libraries, "Windows has no such variable")
		return
	}
	a, b := filepath.Join(t.TempDir(), "cuda"), filepath.Join(t.TempDir(), "spare")
	path := func(c Config) string {
		environ := c.environ(filepath.Join(t.TempDir(), "libonnxruntime.so"))
		all := slices.DeleteFunc(environ, func(v string) bool { return !strings.HasPrefix(v, "LD_LIBRARY_PATH=") })
		return strings.Join(all, " ")
	}
	t.Setenv("LD_LIBRARY_PATH", a)
	assert.Equal(t, "LD_LIBRARY_PATH="+a, path(Config{}))
	assert.Equal(t, "LD_LIBRARY_PATH="+a+":"+b, path(Config{Libraries: []string{b}}))
	t.Setenv("LD_LIBRARY_PATH", "")
	assert.Equal(t, "LD_LIBRARY_PATH="+b, path(Config{Libraries: []string{b}}))
}

// What is asked of a bundle is what it holds, and all of it where nothing is asked.
func TestHeld(t *testing.T) {
	m := bundle.Manifest{Runtimes: []string{"1.23.2", "openvino-1.24.1"}, Precisions: []string{"fp32", "int8"},
		Files: sums.List{{Name: "run"}, {Name: "data/models/a.onnx"}, {Name: "data-1a2b3c4d/models/a.onnx"}, {Name: "database/x"}}}
	for _, row := range []struct {
		list, want, says string
	}{
		{"", "1.23.2,openvino-1.24.1", ""},
		{"all", "1.23.2,openvino-1.24.1", ""},
		{"onnxruntime@1.23.2", "onnxruntime@1.23.2", ""},
		{"openvino-1.24.1,1.32.0", "", "the bundle holds no runtime 1.32.0, but 1.23.2, openvino-1.24.1"},
		{"9.9.9", "", `runtime "9.9.9" is unknown`},
	} {
		got, err := heldRuntimes(m, row.list)
		if row.says != "" {
			require.ErrorContains(t, err, row.says)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, row.want, got, row.list)
	}
	cfg, err := held(Config{Models: []string{"any"}, Precisions: []string{"int8"}}, m)
	require.NoError(t, err)
	assert.Equal(t, [][]string{{"any"}, {"int8"}, nil}, [][]string{cfg.Models, cfg.Precisions, cfg.Providers})
	cfg, err = held(Config{}, m)
	require.NoError(t, err)
	assert.Equal(t, m.Precisions, cfg.Precisions)
	_, err = held(Config{Precisions: []string{"fp16"}}, m)
	require.ErrorIs(t, err, ErrSetup)
	require.ErrorContains(t, err, "--precisions: the bundle was packed without fp16, for fp32, int8")
	assert.Equal(t, []string{filepath.Join("b", "data"), filepath.Join("b", "data-1a2b3c4d")}, dataFolders(m, "b"))
	assert.Empty(t, BundleOfProgram(), "a test is no bundle's program")
}
