package posetest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// set is forty images with a person each, who stands elsewhere on each.
func set() *coco.Annotations {
	all := &coco.Annotations{}
	for id := int64(1); id <= 40; id++ {
		all.Images = append(all.Images, coco.Image{ID: id})
		a := coco.Annotation{ID: id, Image: id, Box: [4]float64{0, 0, 100, 200}, Labelled: coco.Joints, Truth: coco.Truth{Area: 100 * 200}}
		for j, k := range person(id, 0).Keypoints {
			a.Keypoints[j] = [3]float64{k.X, k.Y, 2}
		}
		all.Persons = append(all.Persons, a)
	}
	return all
}

// person is the one on an image, a little off.
func person(image int64, off float64) pose.Person {
	p := pose.Person{Score: 0.5}
	for j := range coco.Joints {
		p.Keypoints = append(p.Keypoints, pose.Keypoint{X: float64(10*j) + float64(image) + off, Y: float64(7 * j), Score: 1})
	}
	return p
}

func head(shard posetest.Shard) posetest.DetectionsHead {
	return posetest.DetectionsHead{Cell: observe.Cell{Model: "m", Precision: "fp32", Provider: "cpu", ORT: "1.32.0"}, AnnotationsSHA256: "a", Images: 40, Shard: shard}
}

// write writes a file of a shard's detections, each off by its image's number of pixels.
func write(t *testing.T, h posetest.DetectionsHead) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "part.jsonl")
	f, err := posetest.OpenDetections(path, h)
	require.NoError(t, err)
	for _, image := range set().Images {
		if h.Shard.Has(image.ID) {
			require.NoError(t, f.Add(image.ID, []pose.Person{person(image.ID, float64(image.ID))}))
		}
	}
	require.NoError(t, f.Close())
	return path
}

func TestShardsGiveTheFiguresOfTheWhole(t *testing.T) {
	_, whole, err := posetest.MergeDetections([]string{write(t, head(posetest.Shard{}))}, set(), "a")
	require.NoError(t, err)
	assert.Positive(t, whole.AP)
	assert.Less(t, whole.AP, 0.99, "the test must have something to lose")
	var parts []string
	for i := 3; i > 0; i-- {
		parts = append(parts, write(t, head(posetest.Shard{Index: i, Of: 3})))
	}
	_, merged, err := posetest.MergeDetections(parts, set(), "a")
	require.NoError(t, err)
	assert.Equal(t, whole, merged)
}

func TestMergeErrors(t *testing.T) {
	part := func(i int) string { return write(t, head(posetest.Shard{Index: i, Of: 2})) }
	other := head(posetest.Shard{Index: 2, Of: 2})
	other.ModelSHA256 = "another"
	cut := part(2)
	text, err := os.ReadFile(cut)
	require.NoError(t, err)
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	edited := func(text string) string {
		path := filepath.Join(t.TempDir(), "edited.jsonl")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	for _, test := range []struct {
		why   string
		paths []string
		want  string
	}{
		{"a shard that nobody ran", []string{part(1)}, "shard 2/2 is missing"},
		{"a shard that is named twice", []string{part(1), part(1)}, "are both of shard 1/2"},
		{"another model's", []string{part(1), write(t, other)}, "of another cell, model, set or number of parts"},
		{"another number of parts", []string{part(1), write(t, head(posetest.Shard{Index: 2, Of: 3}))}, "of another cell, model, set or number of parts"},
		{"one that was killed and not run again", []string{part(1), edited(strings.Join(lines[:len(lines)-1], ""))}, "1 of 40 images are missing"},
		{"one that was cut in a line", []string{part(1), edited(string(text[:len(text)-10]))}, "the line is cut; run the same command again"},
		{"an image twice", []string{part(1), edited(string(text) + lines[len(lines)-1] + "\n")}, "already"},
		{"garbage", []string{edited("garbage\n")}, "no detections of this version of posetest"},
		{"another skeleton", []string{edited(`{"model":"m","precision":"fp32","provider":"cpu","ort":"1","annotations_sha256":"a","images":40}` + "\n" + everybody(`[{"score":1,"keypoints":[]}]`))},
			"edited.jsonl: detection 0 of image 1: has 0 joints, want COCO's 17; delete what is damaged and run again"},
		{"no file", []string{"nowhere.jsonl"}, "nowhere.jsonl"},
	} {
		_, _, err := posetest.MergeDetections(test.paths, set(), "a")
		assert.ErrorContains(t, err, test.want, test.why)
	}
	_, _, err = posetest.MergeDetections([]string{part(1), part(2)}, set(), "b")
	assert.ErrorContains(t, err, "other annotations")
}

// everybody are lines of the same persons on each image.
func everybody(persons string) string {
	var lines strings.Builder
	for _, image := range set().Images {
		fmt.Fprintf(&lines, "{\"image\":%d,\"persons\":%s}\n", image.ID, persons)
	}
	return lines.String()
}

// Two runs of one file would do each image twice: the second is refused, and the file is free when the first has ended.
func TestDetectionsOfOneRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "part.jsonl")
	first, err := posetest.OpenDetections(path, head(posetest.Shard{}))
	require.NoError(t, err)
	_, err = posetest.OpenDetections(path, head(posetest.Shard{}))
	assert.ErrorContains(t, err, "another run writes "+path+" just now; wait for its end")
	require.NoError(t, first.Add(1, nil))
	require.NoError(t, first.Close())
	second, err := posetest.OpenDetections(path, head(posetest.Shard{}))
	require.NoError(t, err)
	assert.Equal(t, map[int64]bool{1: true}, second.Done)
	require.NoError(t, second.Close())
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "no lock is left behind")
}

// A run that is killed anywhere goes on where it was, and its file ends the same, byte for byte.
func TestDetectionsGoOn(t *testing.T) {
	whole, err := os.ReadFile(write(t, head(posetest.Shard{})))
	require.NoError(t, err)
	for _, at := range []int{0, 1, 50, len(whole) / 3, len(whole) / 2, len(whole) - 1, len(whole)} {
		path := filepath.Join(t.TempDir(), "part.jsonl")
		require.NoError(t, os.WriteFile(path, whole[:at], 0o644))
		f, err := posetest.OpenDetections(path, head(posetest.Shard{}))
		require.NoError(t, err, "cut at byte %d", at)
		for _, image := range set().Images {
			if !f.Done[image.ID] {
				require.NoError(t, f.Add(image.ID, []pose.Person{person(image.ID, float64(image.ID))}))
			}
		}
		require.NoError(t, f.Close())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, string(whole), string(got), "cut at byte %d", at)
	}
}

func TestDetectionsOfAnotherRunAreLeftAlone(t *testing.T) {
	path := write(t, head(posetest.Shard{}))
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	other := head(posetest.Shard{})
	other.Precision = "int8"
	_, err = posetest.OpenDetections(path, other)
	assert.ErrorContains(t, err, "holds other detections")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
}

// A word of the user's that was named by mistake is no detections that a kill cut.
func TestDetectionsSpareOtherFiles(t *testing.T) {
	for _, text := range []string{"mine", "mine\n", `{"model":"m"}`, `{"model":"m","precision":"fp32"` + strings.Repeat(" ", 1000)} {
		path := filepath.Join(t.TempDir(), "part.jsonl")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		_, err := posetest.OpenDetections(path, head(posetest.Shard{}))
		assert.ErrorContains(t, err, path)
		assert.ErrorContains(t, err, "no detections")
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, text, string(after))
	}
}

// The flag comes first, and a pod of an Indexed Job counts from 0.
func TestShardOf(t *testing.T) {
	for _, row := range []struct {
		why, flag, shard, shards, index string
		want                            posetest.Shard
		says                            string // "" for no error
	}{
		{why: "all, where nothing says anything"},
		{why: "all, in an Indexed Job that is not ours to part", index: "1"},
		{why: "a flag", flag: "2/3", want: posetest.Shard{Index: 2, Of: 3}},
		{why: "a flag comes before variables", flag: "2/3", shard: "1/3", shards: "4", want: posetest.Shard{Index: 2, Of: 3}},
		{why: "a variable", shard: "1/3", want: posetest.Shard{Index: 1, Of: 3}},
		{why: "the first pod", shards: "3", index: "0", want: posetest.Shard{Index: 1, Of: 3}},
		{why: "the last pod", shards: "3", index: "2", want: posetest.Shard{Index: 3, Of: 3}},

		{why: "a flag that is none", flag: "3", says: `--shard: shard "3" must be as 2/8`},
		{why: "a variable that is none", shard: "4/3", says: `POSETEST_SHARD: shard "4/3" must be as 2/8`},
		{why: "a Job that is not Indexed: each pod would run the same", shards: "3", says: "JOB_COMPLETION_INDEX, which says which of them this is, is not set; a Job of Kubernetes sets it with completionMode: Indexed"},
		{why: "a Job of more completions than shards: the last pod would have nothing", shards: "3", index: "3", says: `JOB_COMPLETION_INDEX="3" must be 0 to 2, since POSETEST_SHARDS=3; give the Job as many completions`},
		{why: "no number", shards: "3", index: "first", says: `JOB_COMPLETION_INDEX="first" must be 0 to 2`},
		{why: "none of them", shards: "0", index: "0", says: `POSETEST_SHARDS="0" must be the number of shards, 1 to 100000`},
		{why: "which of the two?", shard: "1/3", shards: "3", index: "2", says: "POSETEST_SHARD=1/3 and POSETEST_SHARDS=3 both say which shard this is; unset one"},
	} {
		env := map[string]string{"POSETEST_SHARD": row.shard, "POSETEST_SHARDS": row.shards, "JOB_COMPLETION_INDEX": row.index}
		got, err := posetest.ShardOf(row.flag, func(name string) string { return env[name] })
		assert.Equal(t, row.want, got, row.why)
		if row.says == "" {
			assert.NoError(t, err, row.why)
		} else {
			assert.ErrorContains(t, err, row.says, row.why)
		}
	}
}

func TestParseShard(t *testing.T) {
	for text, ok := range map[string]bool{"1/1": true, "8/8": true, "0/8": false, "9/8": false, "1": false, "a/b": false, "": false, "-1/2": false} {
		_, err := posetest.ParseShard(text)
		assert.Equal(t, ok, err == nil, "%q: %v", text, err)
	}
	images := 0
	for id := range int64(1000) {
		in := 0
		for i := 1; i <= 7; i++ {
			if (posetest.Shard{Index: i, Of: 7}).Has(id) {
				in++
			}
		}
		images += in
		assert.Equal(t, 1, in, "shards that have image %d", id)
	}
	assert.Equal(t, 1000, images)
}

func FuzzDetections(f *testing.F) {
	f.Add([]byte("{\"model\":\"m\",\"precision\":\"fp32\",\"provider\":\"cpu\",\"ort\":\"1\",\"images\":1}\n{\"image\":1,\"persons\":[]}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "f.jsonl")
		require.NoError(t, os.WriteFile(path, text, 0o644))
		_, _, _ = posetest.MergeDetections([]string{path}, set(), "a")
	})
}
