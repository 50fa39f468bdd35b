package worker

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is in a folder that a worker shut can't be removed, by anybody but root, until it is opened again.
func TestOpenFolders(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // where a folder can't be shut in this way
	}
	dir, outside := t.TempDir(), t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	require.NoError(t, os.MkdirAll(deep, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(deep, "file"), nil, 0o400))
	require.NoError(t, os.Chmod(outside, 0o750))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	require.NoError(t, os.Chmod(deep, 0o500))
	require.NoError(t, os.Chmod(filepath.Dir(deep), 0))

	openFolders(dir)
	mode := func(path string) fs.FileMode {
		stat, err := os.Stat(path)
		require.NoError(t, err)
		return stat.Mode().Perm()
	}
	assert.Equal(t, fs.FileMode(0o700), mode(deep))
	assert.Equal(t, fs.FileMode(0o400), mode(filepath.Join(deep, "file")), "files need no more")
	assert.Equal(t, fs.FileMode(0o750), mode(outside), "a link is not followed")
	openFolders(filepath.Join(dir, "gone")) // and no panic
}
