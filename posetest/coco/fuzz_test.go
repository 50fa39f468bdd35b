package coco_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scene makes persons and detections on two images of bytes, the detections with a score each, the best first.
func scene(persons, found []byte) (*coco.Annotations, []coco.Detection) {
	a := &coco.Annotations{Images: []coco.Image{{ID: 1}, {ID: 2}}}
	for ; len(persons) >= 4 && len(a.Persons) < 8; persons = persons[4:] {
		truth, _ := stand(float64(persons[0]), 0)
		labelled := 0
		for j := range truth.Keypoints {
			if persons[1]>>(j%8)&1 == 1 {
				truth.Keypoints[j][2] = 2
				labelled++
			}
		}
		truth.Area = float64(persons[2]) * float64(persons[2])
		a.Persons = append(a.Persons, coco.Annotation{ID: int64(1 + len(a.Persons)), Image: int64(1 + persons[3]&1), Truth: truth,
			Box: [4]float64{float64(persons[0]) - 5, 0, 10, 160}, Labelled: labelled, Crowd: persons[3]&2 != 0})
	}
	var all []coco.Detection
	for ; len(found) >= 3 && len(all) < 2*coco.MaxDetections; found = found[3:] {
		_, p := stand(float64(found[0]), 0)
		for j := range p.Keypoints {
			p.Keypoints[j].Y += float64(found[1]%16) / 4
		}
		p.Score = 1 - float64(len(all))/100
		all = append(all, coco.Detection{Image: int64(1 + found[2]&1), Person: p})
	}
	return a, all
}

// Figures are 0…1 or none, and depend on no order of detections; one more of a lower score costs no recall, as long as it counts.
func FuzzEvaluate(f *testing.F) {
	f.Add([]byte{100, 255, 70, 0, 100, 255, 70, 1}, []byte{100, 0, 0, 101, 1, 1, 200, 0, 0})
	f.Add([]byte{100, 0, 70, 0, 100, 255, 70, 2, 50, 3, 200, 0}, []byte{100, 0, 0, 50, 3, 0, 55, 7, 0})
	f.Add([]byte{0, 1, 0, 0}, []byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, persons, found []byte) {
		a, all := scene(persons, found)
		stats, err := coco.Evaluate(a, all)
		require.NoError(t, err)
		for _, figure := range figures(stats) {
			require.True(t, figure == -1 || figure >= 0 && figure <= 1, "%v", stats)
		}
		reversed := slices.Clone(all)
		slices.Reverse(reversed)
		again, err := coco.Evaluate(a, reversed)
		require.NoError(t, err)
		assert.Equal(t, stats, again, "the order is the scores'")
		if len(all) == 0 {
			return
		}
		fewer, err := coco.Evaluate(a, all[:len(all)-1])
		require.NoError(t, err)
		assert.LessOrEqual(t, fewer.AR, stats.AR)
		assert.LessOrEqual(t, fewer.AR50, stats.AR50)
	})
}

// Where the whole file is right, the persons of one image are those that the lenient reader has, too; its error names the file.
func FuzzReadTruth(f *testing.F) {
	f.Add(annotations, "pair.jpg")
	f.Add(`{"images": [{"id": 7, "file_name": "a"}, {"id": 7, "file_name": "a"}], "annotations": [null]}`, "a")
	f.Add(`{"images": [{"id": 7, "file_name": "a"}], "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "num_keypoints": 16, "area": 5e3, "iscrowd": 0, "bbox": [1, 2, 3, 4], "keypoints": `+joints+`}]}`, "a")
	path := filepath.Join(f.TempDir(), "fuzz.json")
	f.Fuzz(func(t *testing.T, text, image string) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		truths, err := coco.ReadTruth(path, image)
		if err != nil {
			assert.ErrorContains(t, err, path)
			assert.Empty(t, truths)
		}
		a, strict := coco.ReadAnnotations(path)
		if strict != nil {
			return
		}
		i := slices.IndexFunc(a.Images, func(i coco.Image) bool { return i.Name == image })
		if i < 0 {
			assert.Error(t, err)
			return
		}
		require.NoError(t, err)
		var want []coco.Truth
		for _, p := range a.Persons {
			if p.Image == a.Images[i].ID && !p.Crowd && p.Labelled > 0 {
				want = append(want, p.Truth)
			}
		}
		assert.Equal(t, want, truths)
		for _, truth := range truths {
			var p pose.Person
			for _, k := range truth.Keypoints {
				p.Keypoints = append(p.Keypoints, pose.Keypoint{X: k[0], Y: k[1]})
			}
			oks := coco.OKS(truth, p)
			assert.True(t, oks == 0 || oks == 1, "who is exactly there has %v", oks)
		}
	})
}
