package coco

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/pose"
)

// A Detection is a person found on an image of the annotations. Its box plays no part: as in pycocotools, which takes
// results without a "bbox", the size of a detection is that of the box around its keypoints.
type Detection struct {
	Image  int64
	Person pose.Person
}

// Stats are COCO's ten figures, each 0…1, or -1 where no annotated person counts. AP and AR are means over the OKS
// thresholds 0.50, 0.55 … 0.95; medium persons have an area of 32² to 96² pixels, large ones of 96² and more.
type Stats struct {
	AP       float64 `json:"AP"`
	AP50     float64 `json:"AP50"`
	AP75     float64 `json:"AP75"`
	APMedium float64 `json:"AP_medium"`
	APLarge  float64 `json:"AP_large"`
	AR       float64 `json:"AR"`
	AR50     float64 `json:"AR50"`
	AR75     float64 `json:"AR75"`
	ARMedium float64 `json:"AR_medium"`
	ARLarge  float64 `json:"AR_large"`
}

// String has all figures on one line, to four decimals.
func (s Stats) String() string {
	names := []string{"AP", "AP50", "AP75", "AP-M", "AP-L", "AR", "AR50", "AR75", "AR-M", "AR-L"}
	for i, figure := range []float64{s.AP, s.AP50, s.AP75, s.APMedium, s.APLarge, s.AR, s.AR50, s.AR75, s.ARMedium, s.ARLarge} {
		if figure < 0 {
			names[i] += " none"
		} else {
			names[i] += fmt.Sprintf(" %.4f", figure)
		}
	}
	return strings.Join(names, ", ")
}

// MaxDetections is how many detections of an image count: those of the highest scores.
const MaxDetections = 20

// thresholds of OKS, to the bit what NumPy's linspace(.5, .95, 10) gives pycocotools.
var thresholds = [...]float64{.5, .55, .6, .65, .7, .75, .8, .85, .8999999999999999, .95}

const at50, at75 = 0, 5 // in thresholds

// areas are the ranges of a person's size in square pixels. A size on a border is in both ranges.
var areas = [...]struct{ from, to float64 }{{0, 1e10}, {32 * 32, 96 * 96}, {96 * 96, 1e10}}

const all, medium, large = 0, 1, 2 // in areas

func outside(size float64, area int) bool { return size < areas[area].from || size > areas[area].to }

// A marks has a bit for each area range and threshold.
type marks uint32

func bit(area, threshold int) marks { return 1 << (area*len(thresholds) + threshold) }

// A verdict is what became of a detection: where it is neither right nor wrong, it is ignored.
type verdict struct {
	score        float64
	right, wrong marks
}

// Evaluate computes COCO's figures for the detections on the annotated images, as pycocotools' COCOeval does with
// iouType "keypoints": crowds and persons without labelled keypoints are neither to be found nor wrong to find, the best
// 20 detections of an image count, and of equal scores the earlier one goes first, by image id and then by the order
// given. Annotations of images that are not in annotations.Images do not count, so that a shorter list of images
// measures a part.
//
// A detection on an image that is not listed, with other joints than COCO's 17 or with a score or joint that is not
// finite is an error.
//
// The maths are of cocoapi's cocoeval.py (evaluateImg, accumulate, summarize).
func Evaluate(annotations *Annotations, detections []Detection) (Stats, error) {
	images := make([]int64, len(annotations.Images))
	for i, image := range annotations.Images {
		images[i] = image.ID
	}
	slices.Sort(images)
	for i, d := range detections {
		if err := d.check(images); err != nil {
			return Stats{}, fmt.Errorf("detection %d of image %d: %w", i, d.Image, err)
		}
	}

	truths, found := order(annotations, detections)
	verdicts := make([]verdict, 0, len(detections))
	var toFind [len(areas)]int
	var m matcher
	for _, image := range images {
		m.truths, truths = take(m.truths[:0], truths, image, func(a *Annotation) int64 { return a.Image })
		m.found, found = take(m.found[:0], found, image, func(d *Detection) int64 { return d.Image })
		m.found = m.found[:min(len(m.found), MaxDetections)]
		verdicts = m.match(verdicts, &toFind)
	}
	slices.SortStableFunc(verdicts, func(a, b verdict) int { return cmp.Compare(b.score, a.score) })

	s := summary{verdicts: verdicts, toFind: toFind}
	var ap, ar [len(areas)][len(thresholds)]float64
	for a := range areas {
		for t := range thresholds {
			ap[a][t], ar[a][t] = s.precisionAndRecall(a, t)
		}
	}
	return Stats{
		AP: mean(ap[all]), AP50: ap[all][at50], AP75: ap[all][at75], APMedium: mean(ap[medium]), APLarge: mean(ap[large]),
		AR: mean(ar[all]), AR50: ar[all][at50], AR75: ar[all][at75], ARMedium: mean(ar[medium]), ARLarge: mean(ar[large]),
	}, nil
}

// check tells why a detection can't be judged. The images are sorted.
func (d *Detection) check(images []int64) error {
	if _, listed := slices.BinarySearch(images, d.Image); !listed {
		return fmt.Errorf("the annotations do not list that image; use those of the detections' own set")
	}
	if n := len(d.Person.Keypoints); n != Joints {
		return fmt.Errorf("has %d joints, want COCO's %d", n, Joints)
	}
	if !finite(d.Person.Score) {
		return fmt.Errorf("has the score %v; a score is a finite number", d.Person.Score)
	}
	for j, k := range d.Person.Keypoints {
		if !finite(k.X) || !finite(k.Y) {
			return fmt.Errorf("has joint %d at %v, %v; a joint is at finite numbers", j, k.X, k.Y)
		}
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// order sorts what is annotated by image, and what was found by image and then by score, the best first.
func order(annotations *Annotations, detections []Detection) ([]*Annotation, []*Detection) {
	truths := make([]*Annotation, len(annotations.Persons))
	for i := range truths {
		truths[i] = &annotations.Persons[i]
	}
	slices.SortStableFunc(truths, func(a, b *Annotation) int { return cmp.Compare(a.Image, b.Image) })
	found := make([]*Detection, len(detections))
	for i := range found {
		found[i] = &detections[i]
	}
	slices.SortStableFunc(found, func(a, b *Detection) int {
		return cmp.Or(cmp.Compare(a.Image, b.Image), cmp.Compare(b.Person.Score, a.Person.Score))
	})
	return truths, found
}

// take appends what is of the image to into, and returns what comes after it. The images before it are passed over.
func take[T any](into, from []*T, image int64, of func(*T) int64) ([]*T, []*T) {
	for len(from) > 0 && of(from[0]) < image {
		from = from[1:]
	}
	for len(from) > 0 && of(from[0]) == image {
		into, from = append(into, from[0]), from[1:]
	}
	return into, from
}

// A matcher matches what was found on one image with what is annotated there.
type matcher struct {
	truths []*Annotation
	found  []*Detection // the best first

	oks   []float64 // by detection, then truth
	order []int     // of truths, those to find first
	taken []bool    // by truth
}

// match appends the image's verdicts, and adds the persons to find in each area range.
func (m *matcher) match(verdicts []verdict, toFind *[len(areas)]int) []verdict {
	m.oks = m.oks[:0]
	first := len(verdicts)
	for _, d := range m.found {
		verdicts = append(verdicts, verdict{score: d.Person.Score})
		for _, truth := range m.truths {
			m.oks = append(m.oks, truth.similarity(d.Person))
		}
	}
	for area := range areas {
		m.order = m.order[:0]
		for i, truth := range m.truths {
			if !truth.ignored(area) {
				m.order = append(m.order, i)
			}
		}
		wanted := len(m.order)
		for i, truth := range m.truths {
			if truth.ignored(area) {
				m.order = append(m.order, i)
			}
		}
		toFind[area] += wanted
		for t := range thresholds {
			m.matchAt(verdicts[first:], area, t, wanted)
		}
	}
	return verdicts
}

// matchAt decides on the image's detections for one area range and threshold. Each takes, in turn, the most similar of
// the persons to find that are left, or else of those to ignore; a crowd can be taken again and again. Of equally similar
// ones it takes the last.
func (m *matcher) matchAt(verdicts []verdict, area, t, wanted int) {
	m.taken = append(m.taken[:0], make([]bool, len(m.truths))...)
	for i, d := range m.found {
		oks := m.oks[i*len(m.truths):]
		best, at := thresholds[t], -1
		for n, truth := range m.order {
			if n == wanted && at >= 0 {
				break
			}
			if oks[truth] >= best && (!m.taken[truth] || m.truths[truth].Crowd) {
				best, at = oks[truth], n
			}
		}
		switch {
		case at >= 0:
			m.taken[m.order[at]] = true
			if at < wanted {
				verdicts[i].right |= bit(area, t)
			}
		case !outside(size(d.Person), area):
			verdicts[i].wrong |= bit(area, t)
		}
	}
}

// size is the area of the box around a person's joints.
func size(person pose.Person) float64 {
	first := person.Keypoints[0]
	x0, y0, x1, y1 := first.X, first.Y, first.X, first.Y
	for _, k := range person.Keypoints[1:] {
		x0, y0, x1, y1 = min(x0, k.X), min(y0, k.Y), max(x1, k.X), max(y1, k.Y)
	}
	return (x1 - x0) * (y1 - y0)
}

// ignored tells whether it does not matter in an area range if the person is found.
func (a *Annotation) ignored(area int) bool {
	return a.Crowd || a.Labelled == 0 || outside(a.Area, area)
}

// similarity is the OKS. Where no joint is labelled it is high for a person whose joints are all near the box, doubled
// on all sides, so that who finds the unlabelled is not wrong.
func (a *Annotation) similarity(person pose.Person) float64 {
	if slices.ContainsFunc(a.Keypoints[:], func(k [3]float64) bool { return k[2] > 0 }) {
		return OKS(a.Truth, person)
	}
	x, y, width, height := a.Box[0], a.Box[1], a.Box[2], a.Box[3]
	sum := 0.0
	for j, k := range person.Keypoints {
		dx := max(0, x-width-k.X) + max(0, k.X-(x+2*width))
		dy := max(0, y-height-k.Y) + max(0, k.Y-(y+2*height))
		sum += closeness(j, dx, dy, a.Area)
	}
	return sum / Joints
}

// A summary turns verdicts, sorted by score, into precision and recall.
type summary struct {
	verdicts  []verdict
	toFind    [len(areas)]int
	right     []int     // among the verdicts up to here
	precision []float64 // up to here
}

// precisionAndRecall is the precision over the recalls 0, 0.01 … 1, and the recall in the end; -1, -1 if there was nobody
// to find.
func (s *summary) precisionAndRecall(area, t int) (precision, recall float64) {
	toFind := float64(s.toFind[area])
	if toFind == 0 {
		return -1, -1
	}
	s.right, s.precision = s.right[:0], s.precision[:0]
	mask, right, wrong := bit(area, t), 0, 0
	for _, v := range s.verdicts {
		switch {
		case v.right&mask != 0:
			right++
		case v.wrong&mask != 0:
			wrong++
		}
		s.right = append(s.right, right)
		s.precision = append(s.precision, float64(right)/(float64(right+wrong)+epsilon))
	}
	for i := len(s.precision) - 1; i > 0; i-- {
		s.precision[i-1] = max(s.precision[i-1], s.precision[i])
	}
	const steps = 100
	sum, i := 0.0, 0
	for step := range steps + 1 {
		// Not step/100: as NumPy's linspace has it, 7 of 20 is below a recall of 35 × 0.01.
		for i < len(s.right) && float64(s.right[i])/toFind < float64(step)*(1.0/steps) {
			i++
		}
		if i == len(s.right) {
			break
		}
		sum += s.precision[i]
	}
	return sum / (steps + 1), float64(right) / toFind
}

func mean(of [len(thresholds)]float64) float64 {
	sum := 0.0
	for _, x := range of {
		sum += x
	}
	return sum / float64(len(of))
}
