package bundle

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/faulttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func beOnADisk() { faulttest.Main() }

func faultsHere(t *testing.T) {
	full, readOnly := faulttest.Disk{Room: 10 * 4096}, faulttest.Disk{ReadOnly: true}
	faulttest.Try(t, "a disk that is full part-way through a bundle", "every file is whole", func(t *testing.T) { onADisk(t, packOnce, full) })
	faulttest.Try(t, "a disk that is full part-way through unpacking", "every file is whole", func(t *testing.T) { onADisk(t, unpackOnce, full) })
	faulttest.Try(t, "a folder for a bundle that may only be read", "a clear error", func(t *testing.T) { onADisk(t, packOnce, readOnly) })
	faulttest.Try(t, "a folder to unpack into that may only be read", "a clear error", func(t *testing.T) { onADisk(t, unpackOnce, readOnly) })
}

// What can't be written is told in a sentence with a remedy; what was there stays, and nothing comes to lie beside it.
func onADisk(t *testing.T, do string, disk faulttest.Disk) {
	disk.Dir = t.TempDir()
	path := filepath.Join(disk.Dir, "b.tar")
	require.NoError(t, packTurn(path, 1))
	require.NoError(t, os.Mkdir(filepath.Join(disk.Dir, "into"), 0o755))
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	cmd := startAgain(t, do, path)
	seen := disk.Under(t, cmd)
	said, err := cmd.CombinedOutput()
	require.Error(t, err)
	text := string(said)
	assert.Contains(t, strings.ToLower(text), disk.Words())
	if strings.Contains(text, "no space left on device") {
		assert.Contains(t, text, "; make room in "+disk.Dir)
	}
	if disk.ReadOnly {
		assert.Contains(t, text, "; choose a folder that ")
	}
	assert.NotContains(t, text, "\n", "one sentence")
	assert.NotContains(t, text, ".posetest-", "a folder that nobody knows")
	assert.Equal(t, []string{"b.tar", "b.tar.sha256", "into"}, left(t, seen))
	assert.Empty(t, left(t, filepath.Join(seen, "into")))
	after, err := os.ReadFile(filepath.Join(seen, "b.tar"))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(before, after), "the bundle that was there")
}
