package ortlib

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A provider whose library needs another one that is not there is told of, by the name of that one.
func TestUnfound(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	build := func(name, source string, needs ...string) string {
		path, code := filepath.Join(dir, name), filepath.Join(t.TempDir(), "a.c")
		require.NoError(t, os.WriteFile(code, []byte(source), 0o644))
		out, err := exec.Command("cc", append([]string{"-shared", "-fPIC", "-Wl,-soname," + name, "-o", path, code}, needs...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return path
	}
	library := build("libonnxruntime.so.1.0.0", "int main_library;")
	needed := build("libvendor.so.13", "int vendor(void) { return 1; }")
	provider := build("libonnxruntime_providers_some.so", "int vendor(void); int provider(void) { return vendor(); }", needed)
	ask := func(provider string, environ ...string) []string {
		missing, err := Unfound(t.Context(), library, provider, environ)
		require.NoError(t, err)
		return missing
	}
	assert.Equal(t, []string{"libvendor.so.13"}, ask("some"), "beside it is not where the linker looks")
	assert.Empty(t, ask("some", "LD_LIBRARY_PATH="+dir))
	require.NoError(t, os.Rename(needed, filepath.Join(elsewhere, "libvendor.so.13")))
	assert.Equal(t, []string{"libvendor.so.13"}, ask("some", "LD_LIBRARY_PATH="+dir))
	assert.Empty(t, ask("some", "LD_LIBRARY_PATH="+elsewhere))
	assert.Empty(t, ask("other"), "what is no library of its own needs none")

	require.NoError(t, os.WriteFile(provider, []byte("no library"), 0o644))
	_, err := Unfound(t.Context(), library, "some", nil)
	assert.ErrorContains(t, err, "ask the dynamic linker for the libraries of "+provider)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Unfound(ctx, library, "some", nil)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestInterpreter(t *testing.T) {
	path, err := interpreter("/proc/self/exe")
	require.NoError(t, err)
	assert.FileExists(t, path)
	_, err = interpreter("unfound_linux_test.go")
	assert.Error(t, err)
}
