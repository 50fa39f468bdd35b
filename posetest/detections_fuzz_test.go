package posetest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever a file of detections holds, a run goes on with its whole lines, or leaves it as it is and names it; what it adds is
// there the next time.
func FuzzOpenDetections(f *testing.F) {
	const first = `{"model":"m","precision":"fp32","provider":"cpu","ort":"1.32.0","model_sha256":"","annotations_sha256":"a","options":{"confidence":0,"iou":0,"max":0},"images":40,"shard":{"Index":0,"Of":0}}` + "\n"
	f.Add([]byte(first + `{"image":1,"persons":[]}` + "\n" + `{"image":2,"pers`))
	f.Add([]byte(first[:30]))
	f.Add([]byte(first + `{"image":1,"persons":null}{"image":2,"persons":null}` + "\n"))
	f.Add([]byte(strings.Replace(first, `"Index":0,"Of":0`, `"Index":1,"Of":1000000000000000000`, 1)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "f.jsonl")
		require.NoError(t, os.WriteFile(path, text, 0o644))
		file, err := posetest.OpenDetections(path, head(posetest.Shard{}))
		if err != nil {
			assert.ErrorContains(t, err, path)
			left, readErr := os.ReadFile(path)
			require.NoError(t, readErr)
			assert.Equal(t, string(text), string(left), "what is refused is left as it is")
			return
		}
		done := len(file.Done)
		const fresh = -12345
		if file.Done[fresh] {
			require.NoError(t, file.Close())
			return
		}
		require.NoError(t, file.Add(fresh, nil))
		require.NoError(t, file.Close())
		left, err := os.ReadFile(path)
		require.NoError(t, err)
		if done > 0 {
			kept := text[:strings.LastIndexByte(string(text), '\n')+1]
			assert.True(t, strings.HasPrefix(string(left), string(kept)), "whole lines stay: %q", left)
		}
		again, err := posetest.OpenDetections(path, head(posetest.Shard{}))
		require.NoError(t, err)
		assert.Len(t, again.Done, done+1)
		assert.True(t, again.Done[fresh])
		require.NoError(t, again.Close())
		unlocked, err := filepath.Glob(path + ".*")
		require.NoError(t, err)
		assert.Empty(t, unlocked, "no lock is left")
	})
}

// What no run writes is refused with the line, and in no time.
func TestDetectionsThatCannotBe(t *testing.T) {
	whole, err := os.ReadFile(write(t, head(posetest.Shard{Index: 1, Of: 2})))
	require.NoError(t, err)
	lines := strings.SplitAfter(string(whole), "\n")
	for _, row := range []struct{ why, text, want string }{
		{"10^18 parts: to count those that are missing would take years", strings.Replace(string(whole), `"Of":2`, `"Of":1000000000000000000`, 1), "there can be no shard 1/1000000000000000000"},
		{"a part beyond its number", strings.Replace(string(whole), `"Index":1`, `"Index":3`, 1), "there can be no shard 3/2"},
		{"no parts", strings.Replace(string(whole), `"Of":2`, `"Of":0`, 1), "there can be no shard 1/0"},
		{"two images on one line: the second would be lost", lines[0] + strings.TrimSuffix(lines[1], "\n") + lines[2], ":2: no detections of this version of posetest: something follows on the line"},
	} {
		t.Run(row.why, func(t *testing.T) {
			require.NotEqual(t, string(whole), row.text)
			path := filepath.Join(t.TempDir(), "f.jsonl")
			require.NoError(t, os.WriteFile(path, []byte(row.text), 0o644))
			_, _, err := posetest.MergeDetections([]string{path}, set(), "a")
			assert.ErrorContains(t, err, row.want)
			assert.ErrorContains(t, err, path)
		})
	}
	for _, text := range []string{"1/4294967296", "100001/100001", "1/1000000000000000000"} {
		_, err := posetest.ParseShard(text)
		assert.ErrorContains(t, err, "must be as 2/8", text)
	}
	last, err := posetest.ParseShard("100000/100000")
	require.NoError(t, err)
	_ = last.Has(1)
}
