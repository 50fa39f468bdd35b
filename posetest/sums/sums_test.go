package sums

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

const (
	sumOfText   = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1" // of "text"
	sumOfNought = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func TestOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "text")
	sum, size, err := Of(t.Context(), path)
	require.NoError(t, err)
	assert.Equal(t, sumOfText, sum)
	assert.Equal(t, int64(4), size)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = Of(done, path)
	assert.ErrorIs(t, err, context.Canceled)
	_, _, err = Of(t.Context(), path+"s")
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, _, err = Of(t.Context(), filepath.Dir(path))
	assert.Error(t, err, "a folder")
}

// Whatever is done to a file leaves another stamp, also where its size and its time are made to be as they were.
func TestStamp(t *testing.T) {
	tells := runtime.GOOS == "linux" || runtime.GOOS == "darwin" // the kernel's own time of a change, and a file's number
	before := time.Now().Add(-time.Hour).Truncate(time.Second)
	rows := []struct {
		why    string
		change func(t *testing.T, path string)
		same   bool
	}{
		{"nothing", func(*testing.T, string) {}, true},
		{"it is read", func(t *testing.T, path string) {
			_, err := os.ReadFile(path)
			require.NoError(t, err)
		}, true},
		{"it grew", func(t *testing.T, path string) { write(t, path, "texts") }, false},
		{"other bytes, of the same number", func(t *testing.T, path string) { write(t, path, "test") }, false},
		{"other bytes, and its time set back", func(t *testing.T, path string) {
			write(t, path, "test")
			require.NoError(t, os.Chtimes(path, before, before))
		}, !tells},
		{"another file in its place, of the same time", func(t *testing.T, path string) {
			write(t, path+".new", "test")
			require.NoError(t, os.Chtimes(path+".new", before, before))
			require.NoError(t, os.Rename(path+".new", path))
		}, !tells},
		{"another file in its place, and then itself again", func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path, path+".old"))
			write(t, path, "test")
			require.NoError(t, os.Rename(path+".old", path))
		}, runtime.GOOS != "linux"},
	}
	if runtime.GOOS == "darwin" {
		rows = rows[:len(rows)-1] // whether a new name counts as a change is the file system's matter
	}
	for _, row := range rows {
		t.Run(row.why, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, "text")
			require.NoError(t, os.Chtimes(path, before, before))
			was, err := StampOf(path)
			require.NoError(t, err)
			time.Sleep(20 * time.Millisecond) // more than a tick of the kernel's clock
			row.change(t, path)
			is, err := StampOf(path)
			require.NoError(t, err)
			assert.Equal(t, row.same, was == is)
		})
	}
	_, err := StampOf(t.TempDir())
	assert.ErrorContains(t, err, "is a folder or a device, not a file; remove it")
}

// A memo never gives the sum of what a file was, and reads what is old only once.
func TestMemo(t *testing.T) {
	var memo Memo
	remembered := func() (n int) {
		memo.sums.Range(func(any, any) bool { n++; return true })
		return n
	}
	path := filepath.Join(t.TempDir(), "file")
	for _, text := range []string{"text", "test", "text", ""} {
		write(t, path, text)
		sum, stamp, err := memo.Of(t.Context(), path)
		require.NoError(t, err)
		want, _, err := Of(t.Context(), path)
		require.NoError(t, err)
		assert.Equal(t, want, sum)
		still, err := StampOf(path)
		require.NoError(t, err)
		assert.Equal(t, stamp, still)
	}
	assert.Zero(t, remembered(), "a file that was just written may be written again within the same tick")

	const old = "doc.go" // as old as the checkout
	first, stamp, err := memo.Of(t.Context(), old)
	require.NoError(t, err)
	assert.Equal(t, 1, remembered())
	memo.sums.Store(stamp, sumOfNought)
	second, _, err := memo.Of(t.Context(), old)
	require.NoError(t, err)
	assert.Equal(t, sumOfNought, second, "it was not read again")
	third, _, err := (*Memo)(nil).Of(t.Context(), old)
	require.NoError(t, err)
	assert.Equal(t, first, third, "a nil memo reads")

	_, _, err = memo.Of(t.Context(), path+"s")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// One sum stands for all: it can be had with `sha256sum * | sha256sum`, and changes with any of the files and names.
func TestListSum(t *testing.T) {
	list := List{{Name: "b", SHA256: sumOfNought}, {Name: "a", SHA256: sumOfText}}
	const want = "f1bac0fbe1613c948e10f7a4ea61978ece1fb40acd05d87d8d5339b70a5e0bfe"
	assert.Equal(t, want, list.SHA256())
	assert.Equal(t, "b", list[0].Name, "the list itself stays as it is")
	for why, other := range map[string]List{
		"another file":   {{Name: "b", SHA256: sumOfText}, {Name: "a", SHA256: sumOfText}},
		"another name":   {{Name: "c", SHA256: sumOfNought}, {Name: "a", SHA256: sumOfText}},
		"one less":       {{Name: "a", SHA256: sumOfText}},
		"a link instead": {{Name: "b", Link: "a"}, {Name: "a", SHA256: sumOfText}},
	} {
		assert.NotEqual(t, want, other.SHA256(), why)
	}
}
