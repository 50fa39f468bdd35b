package coco_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// halfRight is a truth with two labelled joints and a person who has the one right and the other nowhere near.
func halfRight() (coco.Truth, pose.Person) {
	truth, person := stand(100, 0)
	truth.Keypoints[0][2], truth.Keypoints[1][2] = 2, 1
	person.Keypoints[1].X = 1e6
	return truth, person
}

// A detection counts from an OKS of exactly the threshold on, and of two persons that it is as similar to it takes the last.
func TestEvaluateToTheBit(t *testing.T) {
	truth, person := halfRight()
	require.Equal(t, 0.5, coco.OKS(truth, person))
	a := coco.Annotations{Images: []coco.Image{{ID: 1}}, Persons: []coco.Annotation{{ID: 1, Image: 1, Truth: truth, Labelled: 2}}}
	stats, err := coco.Evaluate(&a, []coco.Detection{{Image: 1, Person: person}})
	require.NoError(t, err)
	assert.EqualValues(t, 1, stats.AR50, "0.5 is enough")
	assert.EqualValues(t, 0, stats.AR75)
	assert.InDelta(t, 0.1, stats.AR, 1e-12, "at one threshold of ten")

	// Of two that it is as similar to it takes the last, and leaves the first to a detection that only that one fits.
	label := func(joints ...int) coco.Truth {
		t, _ := stand(100, 0)
		for _, j := range joints {
			t.Keypoints[j][2] = 2
		}
		return t
	}
	right := func(score float64, joints ...int) coco.Detection {
		_, p := stand(100, 0)
		p.Score = score
		for j := range p.Keypoints {
			if !slices.Contains(joints, j) {
				p.Keypoints[j].X = 1e6
			}
		}
		return coco.Detection{Image: 1, Person: p}
	}
	a.Persons = []coco.Annotation{{ID: 1, Image: 1, Truth: label(0, 1, 2, 3, 6), Labelled: 5}, {ID: 2, Image: 1, Truth: label(0, 1, 4, 5, 7), Labelled: 5}}
	stats, err = coco.Evaluate(&a, []coco.Detection{right(0.9, 0, 1, 2, 6, 4, 7), right(0.8, 2, 3, 6)})
	require.NoError(t, err)
	assert.EqualValues(t, 1, stats.AR50, "0.8 to both, then 0.6 to the first alone")
}

// Whoever is to be found goes before a crowd, even if the crowd is as near; a crowd takes any number.
func TestEvaluateCrowds(t *testing.T) {
	truth, person := stand(100, 2)
	near := person
	near.Keypoints = append([]pose.Keypoint(nil), person.Keypoints...)
	for j := range near.Keypoints {
		near.Keypoints[j].X += 3
	}
	crowd := coco.Annotation{ID: 9, Image: 1, Truth: truth, Labelled: 17, Crowd: true}
	for j := range crowd.Keypoints {
		crowd.Keypoints[j][0] += 3
	}
	a := coco.Annotations{Images: []coco.Image{{ID: 1}}, Persons: []coco.Annotation{crowd, {ID: 1, Image: 1, Truth: truth, Labelled: 17}}}
	stats, err := coco.Evaluate(&a, []coco.Detection{{Image: 1, Person: near}})
	require.NoError(t, err)
	assert.EqualValues(t, 1, stats.AR50, "the crowd is nearer, and still it is the person who is found")
	score := func(p pose.Person, s float64) coco.Detection { p.Score = s; return coco.Detection{Image: 1, Person: p} }
	stats, err = coco.Evaluate(&a, []coco.Detection{score(person, 0.9), score(near, 0.8), score(near, 0.7)})
	require.NoError(t, err)
	assert.InDelta(t, 1, stats.AP, 1e-12, "two more are the crowd's, and not wrong")

	unlabelled := coco.Annotation{ID: 9, Image: 1, Truth: coco.Truth{Area: 5000}, Box: [4]float64{90, 0, 20, 160}}
	a.Persons[0] = unlabelled
	stats, err = coco.Evaluate(&a, []coco.Detection{score(near, 0.9), score(person, 0.8), score(person, 0.7)})
	require.NoError(t, err)
	assert.InDelta(t, 1, stats.AP, 1e-12, "one more is the unlabelled person's")
}

// Persons of no size, and of a size on a border, count where COCO says.
func TestEvaluateSizes(t *testing.T) {
	for _, row := range []struct {
		area                float64
		all, medium, larger float64
	}{
		{0, 1, -1, -1},
		{1024, 1, 1, -1},
		{9216, 1, 1, 1},
		{1e10, 1, -1, 1},
	} {
		truth, person := stand(100, 2)
		truth.Area = row.area
		a := coco.Annotations{Images: []coco.Image{{ID: 1}}, Persons: []coco.Annotation{{ID: 1, Image: 1, Truth: truth, Labelled: 17}}}
		stats, err := coco.Evaluate(&a, []coco.Detection{{Image: 1, Person: person}})
		require.NoError(t, err)
		assert.Equal(t, [3]float64{row.all, row.medium, row.larger}, [3]float64{stats.AR, stats.ARMedium, stats.ARLarge}, "%v px²", row.area)
	}
}

// What an annotation may just have, and what the lenient reader leaves out.
func TestAnnotationsToTheBit(t *testing.T) {
	const images = `{"images": [{"id": 7, "file_name": "pair.jpg"}, {"file_name": "unnumbered.jpg"}], "annotations": [`
	const whole = `{"id": 5, "image_id": 7, "category_id": 1, "num_keypoints": 17, "area": 0, "iscrowd": 0, "bbox": [0, 0, 0, 0], "keypoints": ` + joints + `}`
	a, err := coco.ReadAnnotations(write(t, strings.Replace(images, `, {"file_name": "unnumbered.jpg"}`, "", 1)+whole+"]}"))
	require.NoError(t, err, "17 joints, no area, a box of no size")
	assert.Equal(t, 17, a.Persons[0].Labelled)

	path := write(t, images+whole+`,
		{"id": 6, "num_keypoints": 17, "area": 1, "keypoints": `+joints+`},
		{"id": 7, "image_id": 7, "area": 2, "keypoints": `+joints+`},
		{"id": 8, "image_id": 7, "num_keypoints": 16, "area": 3, "keypoints": `+joints+`}]}`)
	truths, err := coco.ReadTruth(path, "pair.jpg")
	require.NoError(t, err)
	require.Len(t, truths, 2, "one of no image and one without a number of joints are left out; one without iscrowd is no crowd")
	assert.Equal(t, []float64{0, 3}, []float64{truths[0].Area, truths[1].Area})
	_, err = coco.ReadTruth(path, "unnumbered.jpg")
	assert.ErrorContains(t, err, "image unnumbered.jpg has no id")
}
