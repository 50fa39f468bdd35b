package golden

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
)

// Seen is the score from which a keypoint of a reference counts as seen, and is held to. MoveNet gives joints in plain
// sight some 0.3 to 0.9, and YOLOv8-pose some 0.5 to 1; what both score lower is guessed, and moves by itself. 0.3 is
// what TensorFlow.js' MoveNet demo draws joints from, too (pose-detection, scoreThreshold).
const Seen = 0.3

// MinOKS is what two persons must reach to be one and the same: COCO's loosest bar.
const MinOKS = 0.5

// Truth is a person found as a reference for other findings: the joints with a score of [Seen] or more are labelled, or
// all if none has it. Its area is [coco.AreaOfBox] of its box, and of its joints' extent where that is larger, as MoveNet
// has no box but that of some joints; 1 px² at least.
func Truth(p pose.Person) coco.Truth {
	var t coco.Truth
	if len(p.Keypoints) != coco.Joints {
		return t
	}
	seen := func(k pose.Keypoint) bool { return k.Score >= Seen }
	all := !slices.ContainsFunc(p.Keypoints, seen)
	box := [4]float64{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for i, k := range p.Keypoints {
		t.Keypoints[i] = [3]float64{k.X, k.Y, 0}
		if all || seen(k) {
			t.Keypoints[i][2] = 2
			box = [4]float64{min(box[0], k.X), min(box[1], k.Y), max(box[2], k.X), max(box[3], k.Y)}
		}
	}
	t.Area = max(1, coco.AreaOfBox(p.Box[2]-p.Box[0], p.Box[3]-p.Box[1]), coco.AreaOfBox(box[2]-box[0], box[3]-box[1]))
	return t
}

// A Pair is a person got and the person wanted that it is, by their places in two lists.
type Pair struct {
	Got, Want int
	OKS       float64 // of the person got to the one wanted
}

// Match pairs persons got with persons wanted, the most alike first, from [MinOKS] on; ties go by place. Pairs are in the
// order of those wanted. Persons in no pair are missing or extra.
func Match(got, want []pose.Person) []Pair {
	var all []Pair
	for w := range want {
		truth := Truth(want[w])
		for g := range got {
			if oks := coco.OKS(truth, got[g]); oks >= MinOKS {
				all = append(all, Pair{g, w, oks})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Pair) int { return cmp.Compare(b.OKS, a.OKS) })
	var pairs []Pair
	for _, p := range all {
		if !slices.ContainsFunc(pairs, func(q Pair) bool { return q.Got == p.Got || q.Want == p.Want }) {
			pairs = append(pairs, p)
		}
	}
	slices.SortFunc(pairs, func(a, b Pair) int { return cmp.Compare(a.Want, b.Want) })
	return pairs
}

// A Tolerance is how far findings may be from a golden. A zero field stands for that of [Default].
type Tolerance struct {
	Pixels float64 // that a joint may move by
	OKS    float64 // that a joint must keep: exp(-d²/2s²k²) of COCO, so that small persons and eyes are held closer
	Score  float64 // that the score of a joint or a person may change by
}

// Default has twice the room that runtimes of one provider and class of processor need: from 1.22 to 1.32 they moved
// joints of fp16 by 0.4 px, OKS 0.9997, score 0.0005 at most, and those of other precisions by nothing, or by so much that
// it is another golden.
var Default = Tolerance{Pixels: 1, OKS: 0.99, Score: 0.01}

func (t Tolerance) orDefault() Tolerance {
	return Tolerance{cmp.Or(t.Pixels, Default.Pixels), cmp.Or(t.OKS, Default.OKS), cmp.Or(t.Score, Default.Score)}
}

// Compare reports every difference between the persons got and a golden's, joined; nil without any. Persons are matched
// by [Match] and numbered as the golden has them, from 1, left to right. Of a joint that the golden does not see nothing
// is asked, nor of boxes, which MoveNet does not have.
func Compare(got, want []pose.Person, tolerance Tolerance) error {
	tol := tolerance.orDefault()
	pairs := Match(got, want)
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for w, person := range want {
		i := slices.IndexFunc(pairs, func(p Pair) bool { return p.Want == w })
		if i < 0 {
			bad("person %d %s is missing: of %d persons got the most alike has OKS %.2f, want at least %.2f", w+1, where(person), len(got), coco.Best([]coco.Truth{Truth(person)}, got), MinOKS)
			continue
		}
		found := got[pairs[i].Got]
		if d := math.Abs(found.Score - person.Score); !(d <= tol.Score) {
			bad("person %d %s: score %.3f, want %.3f within %.3f", w+1, where(person), found.Score, person.Score, tol.Score)
		}
		for j, k := range person.Keypoints {
			if k.Score < Seen {
				continue
			}
			f := found.Keypoints[j]
			distance, oks := math.Hypot(f.X-k.X, f.Y-k.Y), jointOKS(person, found, j)
			if !(distance <= tol.Pixels && oks >= tol.OKS) {
				bad("person %d %s %s: got %.2f,%.2f, want %.2f,%.2f: %.2f px away, at most %.2f allowed, and OKS %.4f, at least %.4f wanted", w+1, where(person), pose.Joints[j], f.X, f.Y, k.X, k.Y, distance, tol.Pixels, oks, tol.OKS)
			}
			if d := math.Abs(f.Score - k.Score); !(d <= tol.Score) {
				bad("person %d %s %s: score %.3f, want %.3f within %.3f", w+1, where(person), pose.Joints[j], f.Score, k.Score, tol.Score)
			}
		}
	}
	for g, person := range got {
		if !slices.ContainsFunc(pairs, func(p Pair) bool { return p.Got == g }) {
			bad("a person %s with score %.3f is extra: the golden has nobody there", where(person), person.Score)
		}
	}
	return errors.Join(errs...)
}

// jointOKS is the OKS of one joint alone.
func jointOKS(want, got pose.Person, joint int) float64 {
	truth := Truth(want)
	for i := range truth.Keypoints {
		truth.Keypoints[i][2] = 0
	}
	truth.Keypoints[joint][2] = 2
	return coco.OKS(truth, got)
}

// where says which person is meant to one who looks at the photograph.
func where(p pose.Person) string {
	return fmt.Sprintf("(box %.0f,%.0f to %.0f,%.0f)", p.Box[0], p.Box[1], p.Box[2], p.Box[3])
}

// A Difference is one photograph whose persons are not the golden's.
type Difference struct {
	Fixture   string
	Got, Want []pose.Person
	Err       error // all that differs
}

// Check holds an observation to the golden: an error if the golden is of another model or another photograph, or knows
// a photograph not; else the photographs in which the persons differ. Photographs of the golden that were not run are
// not asked for.
func (g Golden) Check(o observe.Observation, tolerance Tolerance) ([]Difference, error) {
	if g.ModelSHA256 != o.ModelSHA256 {
		return nil, fmt.Errorf("%s: its golden is of the model %.12s…, and this one is %.12s…; look at what the new model finds, then run -update", o.Cell, g.ModelSHA256, o.ModelSHA256)
	}
	var differences []Difference
	for _, p := range o.Photos {
		i := slices.IndexFunc(g.Photos, func(q Photo) bool { return q.Fixture == p.Fixture })
		if i < 0 {
			return nil, fmt.Errorf("%s: its golden has no photograph %s; look at what is found in it, then run -update", o.Cell, p.Fixture)
		}
		want := g.Photos[i]
		if want.SHA256 != p.SHA256 {
			return nil, fmt.Errorf("%s: its golden is of the photograph %s with sum %.12s…, and this one has %.12s…; look at what is found in the new one, then run -update", o.Cell, p.Fixture, want.SHA256, p.SHA256)
		}
		err := Compare(p.Persons, want.Persons, tolerance)
		if p.Error != "" {
			err = errors.New(p.Error)
		}
		if err != nil {
			differences = append(differences, Difference{p.Fixture, p.Persons, want.Persons, err})
		}
	}
	return differences, nil
}
