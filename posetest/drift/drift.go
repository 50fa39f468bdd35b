// Package drift tells what a precision costs: what it finds against what FP32 of the same model finds, on the same
// provider and runtime.
//
//	pairs, err := drift.Pairs(fp32.Photos, int8.Photos, drift.Options{OnePerson: family.Single()})
//	d := drift.Of(pairs)
//	err = drift.Bars{Kept: 1, MeanOKS: 0.9}.Check(d)
//
// FP32 is no truth: what it gets wrong, a precision may get wrong alike. Accuracy is package coco's matter.
package drift

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/golden"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
)

// A Mode is what happened to a person that FP32 finds.
type Mode string

const (
	// None: found again, and no joint that FP32 sees moved by more than [JitterShare].
	None Mode = "none"
	// Jitter: the person is still there, with joints somewhat or altogether elsewhere.
	Jitter Mode = "jitter"
	// NothingFound: nobody is found there, and no candidate below the confidence either, or a right one: scores are lost.
	NothingFound Mode = "nothing found"
	// ScaleCollapsed: there are joints, but not the person's: their layout has nothing to do with it (see [Follows]). So
	// it looks where channels of different magnitude were given one scale: heatmaps go flat, joints gather in few places.
	ScaleCollapsed Mode = "scale collapsed"
)

// Modes are all, the worst last.
func Modes() []Mode { return []Mode{None, Jitter, NothingFound, ScaleCollapsed} }

// JitterShare is the share of a person's size by which a joint may move before it is said to jitter: FP16 stays below
// 0.022 in all cells observed, while each static or dynamic INT8 moves some joint of nearly every person by more.
const JitterShare = 0.03

// Over all cells observed, the layout of matched persons correlates with FP32's by 0.989 or more, and is 0.93 to 1.06
// times as wide; where MoveNet has collapsed, by 0.84 or less, and it is 0.2 to 1.9 times as wide.
const (
	minCorrelation = 0.9
	maxExtent      = 2.0
)

// Follows tells whether the joints got are laid out as those wanted which FP32 sees, wherever they are: whether the two
// sets of points, each about its mean, correlate with 0.9 or more, and neither is over twice as wide as the other.
func Follows(got, want pose.Person) bool {
	truth := golden.Truth(want)
	if len(got.Keypoints) != len(truth.Keypoints) {
		return false
	}
	var n, gx, gy, wx, wy float64
	each := func(f func(g pose.Keypoint, w [3]float64)) {
		for j, w := range truth.Keypoints {
			if w[2] > 0 {
				f(got.Keypoints[j], w)
			}
		}
	}
	each(func(g pose.Keypoint, w [3]float64) { n, gx, gy, wx, wy = n+1, gx+g.X, gy+g.Y, wx+w[0], wy+w[1] })
	var gg, ww, gw float64
	each(func(g pose.Keypoint, w [3]float64) {
		dgx, dgy, dwx, dwy := g.X-gx/n, g.Y-gy/n, w[0]-wx/n, w[1]-wy/n
		gg, ww, gw = gg+dgx*dgx+dgy*dgy, ww+dwx*dwx+dwy*dwy, gw+dgx*dwx+dgy*dwy
	})
	if gg == 0 || ww == 0 {
		return gg == ww // a single point follows a single point
	}
	extent := math.Sqrt(gg / ww)
	return gw/math.Sqrt(gg*ww) >= minCorrelation && extent <= maxExtent && extent >= 1/maxExtent
}

// A Pair is what FP32 and the precision found in one photograph.
type Pair struct {
	Fixture   string
	FP32, Got []pose.Person
	// Candidate is the best person below the confidence where Got has nobody; nil if there is none with a score of 0.01.
	// Without it a collapse can't be told from finding nothing.
	Candidate *pose.Person
}

// Options say what to compare.
type Options struct {
	OnePerson bool // the model looks for one person: leave out photographs of several, or of none
}

// Pairs joins the photographs of two observations. It is an error if they are not the same photographs, or one could not
// be run.
func Pairs(fp32, got []observe.Photo, o Options) ([]Pair, error) {
	if len(fp32) != len(got) {
		return nil, fmt.Errorf("FP32 saw %d photographs and the precision %d; observe both with the same", len(fp32), len(got))
	}
	var pairs []Pair
	for i, base := range fp32 {
		switch p := got[i]; {
		case base.Fixture != p.Fixture || base.SHA256 != p.SHA256:
			return nil, fmt.Errorf("photograph %d is %s (%.12s…) for FP32 and %s (%.12s…) for the precision; observe both with the same", i+1, base.Fixture, base.SHA256, p.Fixture, p.SHA256)
		case base.Error != "":
			return nil, fmt.Errorf("%s: FP32 could not be run: %s", base.Fixture, base.Error)
		case p.Error != "":
			return nil, fmt.Errorf("%s: %s", p.Fixture, p.Error)
		case o.OnePerson && base.People != 1:
		default:
			pairs = append(pairs, Pair{Fixture: base.Fixture, FP32: base.Persons, Got: p.Persons, Candidate: p.Candidate})
		}
	}
	return pairs, nil
}

// A Drift is what a precision costs. Errors are distances as a share of the person's size, the square root of its area
// (see [golden.Truth]), over the joints that FP32 sees of matched persons. Without matched persons they are 0.
type Drift struct {
	Photos  int `json:"photos"`
	Persons int `json:"persons"` // that FP32 finds
	Matched int `json:"matched"` // of them found again: the others are lost
	Gained  int `json:"gained"`  // persons that FP32 does not find

	MeanOKS float64 `json:"mean_oks"` // of matched persons, to FP32's
	MinOKS  float64 `json:"min_oks"`

	Error  Error        `json:"error"` // of all joints
	Worst  string       `json:"worst"` // where its maximum is: "band, person 2, left_wrist"
	Joints []JointError `json:"joints"`

	Mode  Mode         `json:"mode"`  // what happened to most persons; of equally many the worst
	Modes map[Mode]int `json:"modes"` // persons by what happened to them

	AP *AP `json:"ap,omitempty"` // nil where COCO's photographs were not run; [Of] leaves it so
}

// An AP is COCO's average precision, 0…1, of both on the same photographs; see [coco.Stats].
type AP struct {
	FP32 float64 `json:"fp32"`
	Got  float64 `json:"got"`
}

// Loss is what the precision's AP lacks of FP32's; below 0 if it has more.
func (a AP) Loss() float64 { return a.FP32 - a.Got }

func (a AP) String() string {
	side := "below"
	if a.Loss() < 0 {
		side = "above"
	}
	return fmt.Sprintf("AP %.4f is %.2f points %s FP32's %.4f", a.Got, 100*math.Abs(a.Loss()), side, a.FP32)
}

// An Error sums up errors of joints.
type Error struct {
	Joints int     `json:"joints"` // how many
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	Max    float64 `json:"max"`
}

// A JointError is the error of one joint of the skeleton.
type JointError struct {
	Joint string `json:"joint"`
	Error
}

// Lost is the number of FP32's persons that are not found.
func (d Drift) Lost() int { return d.Persons - d.Matched }

// Of measures the drift over all pairs. Persons are matched by [golden.Match].
func Of(pairs []Pair) Drift {
	d := Drift{Photos: len(pairs), Mode: None, Modes: map[Mode]int{}}
	var all []float64
	byJoint := make([][]float64, len(pose.Joints))
	for _, p := range pairs {
		matches := golden.Match(p.Got, p.FP32)
		d.Persons += len(p.FP32)
		d.Gained += len(p.Got) - len(matches)
		for w, want := range p.FP32 {
			i := slices.IndexFunc(matches, func(m golden.Pair) bool { return m.Want == w })
			if i < 0 {
				d.Modes[lostMode(want, p, matches)]++
				continue
			}
			m := matches[i]
			if d.Matched == 0 || m.OKS < d.MinOKS {
				d.MinOKS = m.OKS
			}
			d.Matched++
			d.MeanOKS += m.OKS
			mode := None
			truth, size := golden.Truth(want), Size(want)
			for j, k := range p.Got[m.Got].Keypoints {
				if truth.Keypoints[j][2] == 0 {
					continue
				}
				e := math.Hypot(k.X-truth.Keypoints[j][0], k.Y-truth.Keypoints[j][1]) / size
				if len(all) == 0 || e > d.Error.Max {
					d.Error.Max, d.Worst = e, fmt.Sprintf("%s, person %d, %s", p.Fixture, w+1, pose.Joints[j])
				}
				if e > JitterShare {
					mode = Jitter
				}
				all, byJoint[j] = append(all, e), append(byJoint[j], e)
			}
			d.Modes[mode]++
		}
	}
	if d.Matched > 0 {
		d.MeanOKS /= float64(d.Matched)
	}
	d.Error = summary(all)
	for j, errs := range byJoint {
		d.Joints = append(d.Joints, JointError{pose.Joints[j], summary(errs)})
	}
	for _, mode := range Modes() {
		if d.Modes[mode] > 0 && d.Modes[mode] >= d.Modes[d.Mode] {
			d.Mode = mode
		}
	}
	return d
}

// Size is the square root of a person's area, in pixels.
func Size(p pose.Person) float64 { return math.Sqrt(golden.Truth(p).Area) }

// lostMode looks at what there is in place of a person that is lost: the person nearest to it of those that are nobody
// else, or else the candidate.
func lostMode(want pose.Person, p Pair, matches []golden.Pair) Mode {
	var instead *pose.Person
	for g := range p.Got {
		if !slices.ContainsFunc(matches, func(m golden.Pair) bool { return m.Got == g }) &&
			(instead == nil || apart(p.Got[g], want) < apart(*instead, want)) {
			instead = &p.Got[g]
		}
	}
	if instead != nil && apart(*instead, want) > Size(want) {
		instead = nil // somebody found elsewhere
	}
	if len(p.Got) == 0 {
		instead = p.Candidate
	}
	switch {
	case instead == nil:
		return NothingFound
	case !Follows(*instead, want):
		return ScaleCollapsed
	case coco.OKS(golden.Truth(want), *instead) >= golden.MinOKS:
		return NothingFound // right, but for its score
	}
	return Jitter
}

// apart is the distance of the centres of two persons' boxes in pixels.
func apart(a, b pose.Person) float64 {
	return math.Hypot(a.Box[0]+a.Box[2]-b.Box[0]-b.Box[2], a.Box[1]+a.Box[3]-b.Box[1]-b.Box[3]) / 2
}

// summary takes the nearest ranks: half, and 95 %, of all errors are at most so large.
func summary(errs []float64) Error {
	if len(errs) == 0 {
		return Error{}
	}
	sorted := slices.Sorted(slices.Values(errs))
	rank := func(share float64) float64 { return sorted[int(math.Ceil(share*float64(len(sorted))))-1] }
	return Error{Joints: len(errs), Median: rank(0.5), P95: rank(0.95), Max: rank(1)}
}

// String is the drift in a few lines.
func (d Drift) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: of %d persons of FP32 in %d photographs %d lost, %d gained", d.Mode, d.Persons, d.Photos, d.Lost(), d.Gained)
	for _, mode := range Modes() {
		if n := d.Modes[mode]; n > 0 {
			fmt.Fprintf(&b, "; %d %s", n, mode)
		}
	}
	if d.AP != nil {
		fmt.Fprintf(&b, "\n%v", *d.AP)
	}
	if d.Matched == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, "\nOKS mean %.4f, least %.4f; error in %% of person size: median %.2f, 95th percentile %.2f, most %.2f (%s)", d.MeanOKS, d.MinOKS,
		100*d.Error.Median, 100*d.Error.P95, 100*d.Error.Max, d.Worst)
	worst := slices.SortedStableFunc(slices.Values(d.Joints), func(a, b JointError) int { return cmp.Compare(b.P95, a.P95) })
	fmt.Fprintf(&b, "\nworst joints by their 95th percentile:")
	for _, j := range worst[:3] {
		fmt.Fprintf(&b, " %s %.2f", j.Joint, 100*j.P95)
	}
	return b.String()
}

// Bars are what a precision may cost. A zero field is no bar.
type Bars struct {
	Mode        Mode    `toml:"mode"`         // exactly this must happen to most persons
	Kept        float64 `toml:"kept"`         // share of FP32's persons that must be found; 1 for all
	Shared      float64 `toml:"shared"`       // share of the persons found that FP32 must find, too; 1 for all
	MeanOKS     float64 `toml:"mean_oks"`     // of matched persons, at least
	MinOKS      float64 `toml:"min_oks"`      // of the worst of them, at least
	MedianError float64 `toml:"median_error"` // of joints, as a share of person size, at most
	P95Error    float64 `toml:"p95_error"`    // 95 % of joints, at most
	MaxError    float64 `toml:"max_error"`    // every joint, at most
	APLoss      float64 `toml:"ap_loss"`      // by which COCO's AP may be below FP32's, at most; held to where [Drift].AP is
}

// Valid tells of bars that everything would pass, or nothing: a share, an OKS or a loss beyond 0…1, an error that is negative
// or infinite, NaN, an unknown mode, no bar at all.
func (b Bars) Valid() error {
	if b == (Bars{}) {
		return errors.New("has no bar; write at least one of mode, kept, shared, mean_oks, min_oks, median_error, p95_error, max_error, ap_loss")
	}
	if b.Mode != "" && !slices.Contains(Modes(), b.Mode) {
		return fmt.Errorf("mode %q must be one of %q", b.Mode, Modes())
	}
	for _, bar := range []struct {
		name      string
		got, most float64
	}{
		{"kept", b.Kept, 1}, {"shared", b.Shared, 1}, {"mean_oks", b.MeanOKS, 1}, {"min_oks", b.MinOKS, 1}, {"ap_loss", b.APLoss, 1},
		{"median_error", b.MedianError, math.MaxFloat64}, {"p95_error", b.P95Error, math.MaxFloat64}, {"max_error", b.MaxError, math.MaxFloat64},
	} {
		if !(bar.got >= 0 && bar.got <= bar.most) {
			return fmt.Errorf("%s %v must be in 0…%g", bar.name, bar.got, bar.most)
		}
	}
	return nil
}

// Check reports every bar that is missed, joined; nil if none is. A drift without persons is an error: nothing was
// compared. So is one without matched persons, for bars of persons or joints.
func (b Bars) Check(d Drift) error {
	if d.Persons == 0 {
		return fmt.Errorf("FP32 finds nobody in %d photographs: nothing was compared; bring photographs with people", d.Photos)
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	least := func(name string, got, want float64) {
		if want != 0 && !(got >= want) {
			bad("%s %.4f, want at least %.4f", name, got, want)
		}
	}
	most := func(name string, got, want float64) {
		if want != 0 && !(got <= want && d.Error.Joints > 0) {
			bad("%s %.2f %% of person size over %d joints, want at most %.2f %%", name, 100*got, d.Error.Joints, 100*want)
		}
	}
	if b.Mode != "" && d.Mode != b.Mode {
		bad("%s, want %s: of %d persons %v", d.Mode, b.Mode, d.Persons, d.Modes)
	}
	least(fmt.Sprintf("%d of %d persons of FP32 found: share", d.Matched, d.Persons), float64(d.Matched)/float64(d.Persons), b.Kept)
	found := d.Matched + d.Gained
	least(fmt.Sprintf("%d of %d persons found are FP32's: share", d.Matched, found), float64(d.Matched)/float64(max(1, found)), b.Shared)
	least("mean OKS of persons", d.MeanOKS, b.MeanOKS)
	least("least OKS of a person", d.MinOKS, b.MinOKS)
	most("median error of joints", d.Error.Median, b.MedianError)
	most("95th percentile of the errors of joints", d.Error.P95, b.P95Error)
	most("error of the worst joint ("+d.Worst+")", d.Error.Max, b.MaxError)
	if a := d.AP; a != nil && b.APLoss != 0 {
		switch {
		case !(a.FP32 > 0):
			bad("AP of FP32 is %.4f: nothing was compared; bring photographs with people", a.FP32)
		case !(a.Loss() <= b.APLoss):
			bad("%v, want at most %.2f", a, 100*b.APLoss)
		}
	}
	return errors.Join(errs...)
}
