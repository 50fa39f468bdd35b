// Package coco measures persons found against persons annotated, as COCO defines it.
//
//	oks := coco.OKS(truth, person) // one pair: 1 is perfect, 0.5 is COCO's loosest bar
//	annotations, err := coco.ReadAnnotations("person_keypoints_val2017.json")
//	stats, err := coco.Evaluate(annotations, detections) // the whole set: stats.AP is COCO's figure
//
// The maths are of cocoapi's cocoeval.py and https://cocodataset.org/#keypoints-eval.
package coco

import (
	"math"

	"github.com/posetest/suite/posetest/pose"
)

// Joints is the number of keypoints of a COCO person.
const Joints = 17

// Sigmas are the standard deviations of human annotators by joint, as a share of the person's scale, in COCO's order.
var Sigmas = [Joints]float64{.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089}

// A Truth is an annotated person. Keypoints are x, y in image pixels and v: 0 not labelled, 1 hidden, 2 visible. Area
// is of the person's outline, in square pixels.
type Truth struct {
	Keypoints [Joints][3]float64
	Area      float64
}

// AreaOfBox estimates the area of a person's outline from its box, where nobody drew the outline: 0.53 of it, as
// xtcocotools' cocoeval.py and Ultralytics' PoseValidator do.
func AreaOfBox(width, height float64) float64 { return 0.53 * width * height }

// OKS is the object keypoint similarity, 0…1, of a person to a truth over the joints that are labelled. It is 0 if none
// is, or if the person has other joints than COCO's.
func OKS(truth Truth, person pose.Person) float64 {
	if len(person.Keypoints) != Joints {
		return 0
	}
	sum, labelled := 0.0, 0
	for i, k := range truth.Keypoints {
		if k[2] <= 0 {
			continue
		}
		labelled++
		sum += closeness(i, person.Keypoints[i].X-k[0], person.Keypoints[i].Y-k[1], truth.Area)
	}
	if labelled == 0 {
		return 0
	}
	return sum / float64(labelled)
}

// epsilon is NumPy's spacing(1).
const epsilon = 0x1p-52

// closeness is the similarity of one joint, dx and dy pixels off.
func closeness(joint int, dx, dy, area float64) float64 {
	variance := 4 * Sigmas[joint] * Sigmas[joint]
	// The conversions keep a compiler from fusing, so that each processor has the same ties.
	return math.Exp(-(float64(dx*dx) + float64(dy*dy)) / variance / (area + epsilon) / 2)
}

// Best is the highest OKS of any of the persons to any of the truths, 0 without one.
func Best(truths []Truth, persons []pose.Person) float64 {
	best := 0.0
	for _, t := range truths {
		for _, p := range persons {
			best = max(best, OKS(t, p))
		}
	}
	return best
}
