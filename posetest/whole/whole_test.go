//go:build unix

package whole

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), mode))
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// entries are the names in a folder.
func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteAll(t *testing.T) {
	for _, row := range []struct {
		why     string
		prepare func(t *testing.T, dir string)
		fails   string // "" where a and b are written
	}{
		{why: "new files", prepare: func(*testing.T, string) {}},
		{why: "files that are there", prepare: func(t *testing.T, dir string) { put(t, filepath.Join(dir, "b"), "old", 0o644) }},
		{why: "a folder in the place of the second: the first is not written", fails: "/b: it is no file that could be replaced",
			prepare: func(t *testing.T, dir string) { require.NoError(t, os.Mkdir(filepath.Join(dir, "b"), 0o755)) }},
		{why: "a device, as of --out /dev/null, stays one", fails: "/b: it is no file that could be replaced",
			prepare: func(t *testing.T, dir string) { require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "b"), 0o644)) }},
		{why: "no folder", fails: "/a: no such file or directory", prepare: func(t *testing.T, dir string) { require.NoError(t, os.Remove(dir)) }},
	} {
		t.Run(row.why, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			require.NoError(t, os.Mkdir(dir, 0o755))
			row.prepare(t, dir)
			a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
			err := WriteAll([]File{{a, []byte("new a")}, {b, []byte("new b")}})
			if row.fails != "" {
				require.ErrorContains(t, err, row.fails)
				assert.NotContains(t, err.Error(), suffix, "the name of a temporary file")
				assert.NoFileExists(t, a)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, "new a", text(t, a))
			assert.Equal(t, "new b", text(t, b))
			assert.Equal(t, []string{"a", "b"}, entries(t, dir))
		})
	}
}

// A file keeps its permissions when it is replaced.
func TestWriteKeepsPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	put(t, path, "old", 0o600)
	require.NoError(t, Write(path, []byte("new")))
	stat, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), stat.Mode().Perm())
}

// What a dead process left goes, however old it seems; what a living one has at hand stays; and so does what is not ours.
func TestSweep(t *testing.T) {
	for name, when := range map[string]time.Time{"now": time.Now(), "1970": time.Unix(0, 0), "2040": time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, ".f.1.new"), "half", 0o644)
			put(t, filepath.Join(dir, ".g.1.new"), "of another file", 0o644)
			put(t, filepath.Join(dir, "work-dead"), "a file", 0o644)
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "work-left", "deep"), 0o755))
			require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(dir, "work-link")))
			living, err := create(dir, ".f.", 0o644)
			require.NoError(t, err)
			defer living.Close()
			folder, err := Temporary(dir, "work-")
			require.NoError(t, err)
			for _, e := range entries(t, dir) {
				require.NoError(t, os.Chtimes(filepath.Join(dir, e), when, when))
			}
			require.NoError(t, Write(filepath.Join(dir, "f"), nil))
			other, err := Temporary(dir, "work-")
			require.NoError(t, err)
			assert.ElementsMatch(t, []string{".g.1.new", "f", "work-link", filepath.Base(living.Name()), filepath.Base(folder.Path), filepath.Base(other.Path)}, entries(t, dir))
			require.NoError(t, folder.Remove())
			require.NoError(t, other.Remove())
			assert.NoDirExists(t, folder.Path)
			assert.NoDirExists(t, other.Path)
		})
	}
}

// Who sweeps never takes what somebody else has just made.
func TestTemporaryAtOnce(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				folder, err := Temporary(dir, "work-")
				if !assert.NoError(t, err) {
					return
				}
				path := filepath.Join(folder.Path, "f")
				assert.NoError(t, Write(path, []byte("mine")))
				assert.FileExists(t, path)
				assert.NoError(t, folder.Remove())
			}
		})
	}
	group.Wait()
	assert.Empty(t, entries(t, dir))
}

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, Writable(dir))
	assert.Empty(t, entries(t, dir))
	require.ErrorContains(t, Writable(filepath.Join(dir, "nowhere")), "write into "+filepath.Join(dir, "nowhere")+": no such file or directory")
}
