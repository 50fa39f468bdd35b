//go:build unix

package sums

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A folder is as listed, or what is not is told by name.
func TestList(t *testing.T) {
	swap := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), text) }
	}
	link := func(to, name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
			require.NoError(t, os.Symlink(to, filepath.Join(dir, name)))
		}
	}
	for _, row := range []struct {
		why    string
		change func(t *testing.T, dir string)
		want   string // error
	}{
		{"nothing was changed", func(*testing.T, string) {}, ""},
		{"a file beside, of a name to be ignored", swap("mine.txt", ""), ""},
		{"one byte is another", swap("lib/a.so", "tesT"), "lib/a.so in DIR has sha256 "},
		{"a file was cut", swap("lib/a.so", "tes"), "lib/a.so in DIR has 3 bytes, want 4"},
		{"a file is gone", func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "b"))) }, "b is missing in DIR"},
		{"a library that nobody listed, where it would be found", swap("lib/extra.so", "x"), "lib/extra.so in DIR belongs to nothing that was put there"},
		{"in a new folder", swap("lib/hwcaps/v3/a.so", "x"), "lib/hwcaps/v3/a.so in DIR belongs to nothing"},
		{"a link for a file", link("/etc/passwd", "b"), `b in DIR links to "/etc/passwd", want ""`},
		{"a link to elsewhere", link("/etc", "lib64"), `lib64 in DIR links to "/etc", want "lib"`},
		{"a link for a folder", func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "lib"), dir+"-moved"))
			t.Cleanup(func() { os.RemoveAll(dir + "-moved") })
			require.NoError(t, os.Symlink(dir+"-moved", filepath.Join(dir, "lib")))
		}, "lib/a.so is missing in DIR"},
	} {
		t.Run(row.why, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dir")
			write(t, filepath.Join(dir, "lib", "a.so"), "text")
			write(t, filepath.Join(dir, "b"), "")
			require.NoError(t, os.Symlink("lib", filepath.Join(dir, "lib64")))
			list, err := Tree(t.Context(), dir)
			require.NoError(t, err)
			assert.Equal(t, List{{Name: "b", SHA256: sumOfNought}, {Name: "lib/a.so", Size: 4, SHA256: sumOfText}, {Name: "lib64", Link: "lib"}}, list)
			row.change(t, dir)
			err = list.Check(t.Context(), dir, new(Memo), func(name string) bool { return name == "mine.txt" })
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, strings.ReplaceAll(row.want, "DIR", dir))
		})
	}
	assert.Error(t, List{}.Check(t.Context(), "/nowhere", nil, nil), "no folder")
}
