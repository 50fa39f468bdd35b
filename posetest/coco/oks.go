// Package coco measures persons found against persons annotated, as COCO defines it.
//
//	truth := coco.Truth{Keypoints: annotation, Area: area}
//	oks := coco.OKS(truth, person) // 1 is perfect, 0.5 is COCO's loosest bar
//
// The maths are of cocoapi's cocoeval.py (computeOks) and https://cocodataset.org/#keypoints-eval.
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
		dx, dy := person.Keypoints[i].X-k[0], person.Keypoints[i].Y-k[1]
		variance := 4 * Sigmas[i] * Sigmas[i]
		sum += math.Exp(-(dx*dx + dy*dy) / variance / (truth.Area + math.Nextafter(1, 2) - 1) / 2)
	}
	if labelled == 0 {
		return 0
	}
	return sum / float64(labelled)
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
