package bundle

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever bytes stand for a bundle: what is unpacked is whole, in its own folder, with the sums that it lists; or nothing is.
func FuzzUnpack(f *testing.F) {
	for _, name := range []string{"b.tar", "b.tar.gz", "b.tar.zst"} {
		out := Output{Path: filepath.Join(f.TempDir(), name)}
		parts, err := Pack(f.Context(), out, forTest, []File{{Name: "run", Content: []byte("x"), Program: true}, {Name: "a/b", Content: []byte("yy")}, {Name: "a/c", Content: []byte("yy")}})
		require.NoError(f, err)
		text, err := os.ReadFile(parts[0])
		require.NoError(f, err)
		f.Add(text)
		f.Add(text[:len(text)/2])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		root := t.TempDir()
		path, into := filepath.Join(root, "b.tar"), filepath.Join(root, "into")
		require.NoError(t, os.WriteFile(path, text, 0o644))
		folder, err := Unpack(t.Context(), []string{path}, into)
		assert.Subset(t, []string{"b.tar", "into"}, left(t, root))
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			if _, err := os.Stat(into); err == nil {
				assert.Empty(t, left(t, into))
			}
			return
		}
		assert.Equal(t, []string{filepath.Base(folder)}, left(t, into))
		m, err := Read(folder)
		require.NoError(t, err)
		require.NoError(t, m.Check(t.Context(), folder))
	})
}
