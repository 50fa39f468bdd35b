//go:build unix

package posetest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The Python environment of the cache runs only as it was made. What is another by then is made anew, or, where nothing may be
// downloaded, an error.
func TestFaultsOfPythonEnvironment(t *testing.T) {
	write := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		}
	}
	for _, row := range []struct {
		fault  string
		change func(t *testing.T, dir string)
		says   string // of the damage; none if there is none
	}{
		{"none", func(*testing.T, string) {}, ""},
		{"a module with one letter changed", write("lib/numpy.py", "import thus"), "lib/numpy.py in DIR has sha256 "},
		{"a module that was cut", write("lib/numpy.py", ""), "lib/numpy.py in DIR has 0 bytes, want 11"},
		{"a module that Python runs unasked", write("lib/sitecustomize.py", "import that"), "lib/sitecustomize.py in DIR belongs to nothing"},
		{"another interpreter", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "bin", "python")))
			require.NoError(t, os.Symlink("/bin/false", filepath.Join(dir, "bin", "python")))
		}, `bin/python in DIR links to "/bin/false"`},
		{"one of a version that kept no list", func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir+".json")) }, "DIR.json: no such file"},
		{"a list that was cut", func(t *testing.T, dir string) { require.NoError(t, os.Truncate(dir+".json", 10)) }, "DIR.json: unexpected end of JSON"},
		{"the whole of it gone", func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(dir)) }, "DIR: no such file or directory"},
	} {
		t.Run(row.fault, func(t *testing.T) {
			t.Attr("promise", "a clear error")
			bare(t)
			d := newDerivable(t)
			require.NoError(t, os.MkdirAll(filepath.Join(d.dir, "scripts"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(d.dir, "scripts", "requirements-quantize.txt"), nil, 0o644))
			path := t.TempDir()
			self, err := os.Executable()
			require.NoError(t, err)
			require.NoError(t, os.Symlink(self, filepath.Join(path, "python3")))
			t.Setenv("PATH", path)
			called := filepath.Join(t.TempDir(), "calls")
			t.Setenv(fakePython, called)
			t.Setenv("PYTHONPATH", "/evil")
			var log bytes.Buffer
			quantized := func(offline bool) (calls []string, err error) {
				require.NoError(t, os.RemoveAll(called))
				log.Reset()
				err = Derivation{Log: &log}.Make(t.Context(), Config{Dir: d.dir, Data: []string{d.data}, Cache: d.cache, Offline: offline})
				text, readErr := os.ReadFile(called)
				if os.IsNotExist(readErr) {
					return nil, err
				}
				require.NoError(t, readErr)
				return strings.Split(strings.TrimSpace(string(text)), "\n"), err
			}
			calls, err := quantized(false)
			require.NoError(t, err)
			require.Len(t, calls, 3, "venv, pip, the quantizer")
			assert.NotContains(t, calls[2], "PYTHONPATH", "nothing leads the environment to other code")
			dirs, err := filepath.Glob(filepath.Join(d.cache, "python-*.json"))
			require.NoError(t, err)
			require.Len(t, dirs, 1)
			dir := strings.TrimSuffix(dirs[0], ".json")

			row.change(t, dir)
			says := strings.ReplaceAll(row.says, "DIR", dir)
			calls, err = quantized(true)
			if row.says == "" {
				require.NoError(t, err)
				assert.Len(t, calls, 1, "the quantizer alone")
				return
			}
			require.ErrorIs(t, err, ErrSetup)
			assert.ErrorContains(t, err, says)
			assert.ErrorContains(t, err, "POSETEST_OFFLINE forbids to make it; run `make models` once without")
			assert.Empty(t, calls, "nothing of it was run")

			calls, err = quantized(false)
			require.NoError(t, err)
			assert.Len(t, calls, 3, "it was made anew")
			if row.fault != "the whole of it gone" {
				assert.Contains(t, log.String(), says)
				assert.Contains(t, log.String(), ": it is made anew")
			}
			calls, err = quantized(true)
			require.NoError(t, err)
			assert.Len(t, calls, 1, "and serves")
		})
	}
}
