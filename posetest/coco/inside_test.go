package coco

import (
	"math"
	"testing"

	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
)

// all17 is a person with all joints at one place.
func all17(x, y float64) pose.Person {
	var p pose.Person
	for range Joints {
		p.Keypoints = append(p.Keypoints, pose.Keypoint{X: x, Y: y})
	}
	return p
}

// Nobody has labelled a joint of the person in the box 100,200 of 50 × 80 pixels: whose joints are within the box doubled on all
// sides, 50,120 to 200,360, is as good as can be, and who is beyond by some pixels is as much worse as OKS says.
func TestSimilarityToABox(t *testing.T) {
	a := Annotation{Truth: Truth{Area: 4000}, Box: [4]float64{100, 200, 50, 80}}
	beyond := func(dx, dy float64) float64 {
		sum := 0.0
		for j := range Joints {
			sum += closeness(j, dx, dy, a.Area)
		}
		return sum / Joints
	}
	for _, row := range []struct {
		why  string
		x, y float64
		want float64
	}{
		{"in its middle", 125, 240, 1},
		{"at its left upper corner", 50, 120, 1},
		{"at its right lower corner", 200, 360, 1},
		{"3 px to the left", 47, 240, beyond(3, 0)},
		{"3 px to the right", 203, 240, beyond(3, 0)},
		{"4 px above", 125, 116, beyond(0, 4)},
		{"4 px below", 125, 364, beyond(0, 4)},
		{"beyond a corner", 47, 364, beyond(3, 4)},
	} {
		assert.InDelta(t, row.want, a.similarity(all17(row.x, row.y)), 1e-12, row.why)
	}
	assert.Less(t, beyond(3, 4), beyond(3, 0))
	a.Keypoints[5] = [3]float64{125, 240, 1}
	assert.Equal(t, OKS(a.Truth, all17(47, 364)), a.similarity(all17(47, 364)), "with one joint that is labelled, only that counts")
}

func TestSize(t *testing.T) {
	p := all17(100, 200)
	assert.Zero(t, size(p))
	p.Keypoints[3] = pose.Keypoint{X: 90, Y: 230}
	p.Keypoints[9] = pose.Keypoint{X: 130, Y: 190}
	assert.EqualValues(t, 40*40, size(p))
	p.Keypoints[0] = pose.Keypoint{X: 140, Y: 200}
	assert.EqualValues(t, 50*40, size(p), "the first joint among them")
}

// A size on a border is in both ranges.
func TestAreasShareTheirBorders(t *testing.T) {
	for _, row := range []struct {
		size float64
		in   [3]bool // all, medium, large
	}{
		{0, [3]bool{true, false, false}},
		{1023.9, [3]bool{true, false, false}},
		{1024, [3]bool{true, true, false}},
		{9215.9, [3]bool{true, true, false}},
		{9216, [3]bool{true, true, true}},
		{9216.1, [3]bool{true, false, true}},
		{1e10, [3]bool{true, false, true}},
		{1.0001e10, [3]bool{false, false, false}},
	} {
		for area, in := range row.in {
			assert.Equal(t, !in, outside(row.size, area), "%v in range %d", row.size, area)
		}
	}
}

// Each area range and threshold has a bit of its own.
func TestBits(t *testing.T) {
	seen := marks(0)
	for a := range areas {
		for i := range thresholds {
			assert.Zero(t, seen&bit(a, i), "area %d, threshold %d", a, i)
			seen |= bit(a, i)
		}
	}
	assert.EqualValues(t, 1<<30-1, seen)
}

// A person without an extent is met exactly or not at all.
func TestClosenessOfNothing(t *testing.T) {
	assert.EqualValues(t, 1, closeness(0, 0, 0, 0))
	assert.Zero(t, closeness(0, 1, 0, 0))
	assert.Zero(t, closeness(16, 0, -1, 0))
	assert.InDelta(t, math.Exp(-(9.0+16)/(4*0.026*0.026)/1000/2), closeness(0, 3, -4, 1000), 1e-12)
}

// Precision is the best from a recall on, over 101 recalls; which of them a finding reaches is told by NumPy's steps.
func TestPrecisionAndRecall(t *testing.T) {
	right, wrong := verdict{right: bit(all, at50)}, verdict{wrong: bit(all, at50)}
	for _, row := range []struct {
		why               string
		verdicts          []verdict
		toFind            int
		precision, recall float64
	}{
		{"nobody to find", []verdict{wrong}, 0, -1, -1},
		{"nothing found", nil, 2, 0, 0},
		{"all", []verdict{right, right}, 2, 1, 1},
		{"half: recalls 0 to 0.50 are reached", []verdict{right}, 2, 51.0 / 101, 0.5},
		{"a wrong one before counts for all of them", []verdict{wrong, right}, 2, 0.5 * 51 / 101, 0.5},
		{"a wrong one after for none", []verdict{right, wrong}, 2, 51.0 / 101, 0.5},
		{"later precision that is better counts before, too", []verdict{right, wrong, right, right}, 3, (34 + 67*0.75) / 101, 1},
		{"what is ignored is neither", []verdict{{}, right, {}}, 1, 1, 1},
		{"7 of 20 is below a recall of 35 × 0.01, as NumPy has it", slicesOf(right, 7), 20, 35.0 / 101, 0.35},
	} {
		s := summary{verdicts: row.verdicts, toFind: [len(areas)]int{all: row.toFind}}
		precision, recall := s.precisionAndRecall(all, at50)
		assert.InDelta(t, row.precision, precision, 1e-12, row.why)
		assert.InDelta(t, row.recall, recall, 1e-12, row.why)
	}
}

func slicesOf(v verdict, n int) []verdict {
	all := make([]verdict, n)
	for i := range all {
		all[i] = v
	}
	return all
}

func TestMean(t *testing.T) {
	var of [len(thresholds)]float64
	for i := range of {
		of[i] = float64(i)
	}
	assert.EqualValues(t, 4.5, mean(of))
}
