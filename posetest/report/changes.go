package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
)

// A change is what is not as it was in the report before.
type change struct {
	cells  string
	what   []string
	result *Result // nil for several cells
}

// changes compares with the report before, and says in a sentence what was compared. Both are empty without one.
func (p Page) changes() (all []change, note string) {
	if p.Before == nil {
		return nil, ""
	}
	before := byPlace(p.Before)
	noise := p.noise(before)
	var added, gone []Result
	compared := 0
	for i := range p.Results {
		r := &p.Results[i]
		was, known := before[r.place()]
		if !known {
			added = append(added, *r)
			continue
		}
		compared++
		if what := r.since(was, noise[r.Machine.Kind()]); len(what) > 0 {
			all = append(all, change{r.Cell.String() + p.on(r.Machine.Kind()), what, r})
		}
	}
	now := byPlace(p.Results)
	for _, r := range (Page{Results: p.Before}).sorted().Results {
		if _, known := now[r.place()]; !known {
			gone = append(gone, r)
		}
	}
	for _, group := range []struct {
		results []Result
		what    string
	}{{added, "new"}, {gone, "not run any more"}} {
		if len(group.results) > 0 {
			all = append(all, change{p.summarize(group.results), []string{fmt.Sprintf("%d cells %s: %s", len(group.results), group.what, counts(group.results))}, nil})
		}
	}
	note = fmt.Sprintf("%d cells compared.", compared)
	for _, kind := range slices.Sorted(maps.Keys(noise)) {
		note += fmt.Sprintf(" The fastest runs of %d cells%s %s", noise[kind].cells, p.on(kind), noise[kind])
	}
	return all, note
}

// since says in what a result differs from an earlier one of the same cell.
func (r Result) since(was Result, noise noise) []string {
	var what []string
	say := func(format string, args ...any) { what = append(what, fmt.Sprintf(format, args...)) }
	if r.ModelSHA256 != was.ModelSHA256 {
		say("the model's file is another: %.12s…, was %.12s…", r.ModelSHA256, was.ModelSHA256)
	}
	if r.Class != was.Class {
		say("%s, was %s", r.Class, was.Class)
	}
	if got, before := expect.Describe(r.Observation), expect.Describe(was.Observation); got != before && r.Outcome != observe.Loads {
		say("%s; was: %s", got, before)
	}
	if r.Outcome != observe.Loads || was.Outcome != observe.Loads {
		return what
	}
	if !maps.Equal(r.Placement, was.Placement) {
		say("nodes are on %s, were on %s", placement(r.Placement), placement(was.Placement))
	}
	pairs, err := drift.Pairs(was.Photos, r.Photos, drift.Options{})
	if err != nil {
		say("what it finds can't be compared: %v", strings.NewReplacer("FP32", "the report before", "the precision", "this one").Replace(err.Error()))
	} else if d := drift.Of(pairs); d.Lost() > 0 || d.Gained > 0 {
		say("of %d persons found before %d are not found, and %d are found that were not", d.Persons, d.Lost(), d.Gained)
	} else if d.Error.Max > drift.JitterShare {
		say("joints moved by up to %.1f %% of a person's size (%s)", 100*d.Error.Max, d.Worst)
	}
	if r.COCO != nil && was.COCO != nil && math.Abs(r.COCO.AP-was.COCO.AP) > expect.APSlack {
		say("AP %.4f, was %.4f", r.COCO.AP, was.COCO.AP)
	}
	if ratio, beyond := noise.judge(was, r); beyond {
		say("the fastest run takes %.2f × as long: %s ms, was %s ms", ratio, ms(fastest(r)), ms(fastest(was)))
	}
	return what
}

// noise is how run times of two reports differ by themselves.
type noise struct {
	cells  int
	middle float64 // ratio of the median cell
	factor float64 // beyond which, from the middle, a ratio is said
}

// A change by less than a fifth is not said, and where cells differ by themselves, three standard deviations of that: in
// each report a cell is run a few times only, beside other cells. The fastest run is compared, as neighbours disturb it
// least: in two reports made on a busy machine the median runs of a cell differed by 2.8 × (one deviation), and the fastest
// by 2.0 ×.
const (
	leastFactor = 1.2
	deviations  = 3
)

// noise estimates, for each kind of machine, from all cells: most have not changed, so the spread of their ratios (its
// median absolute deviation, which a few changed ones do not move) is what time and neighbours do.
func (p Page) noise(before map[place]Result) map[string]noise {
	logs := map[string][]float64{}
	for _, r := range p.Results {
		if was, known := before[r.place()]; known && r.Run > 0 && was.Run > 0 {
			logs[r.Machine.Kind()] = append(logs[r.Machine.Kind()], math.Log(float64(fastest(r))/float64(fastest(was))))
		}
	}
	all := map[string]noise{}
	for kind, ratios := range logs {
		middle := medianOf(ratios)
		var apart []float64
		for _, x := range ratios {
			apart = append(apart, math.Abs(x-middle))
		}
		all[kind] = noise{len(ratios), math.Exp(middle), max(leastFactor, math.Exp(deviations*1.4826*medianOf(apart)))}
	}
	return all
}

func (n noise) String() string {
	return fmt.Sprintf("take %.2f × as long in the median, and vary by %.2f × around that, so only more is said; `posetest compare` measures less.", n.middle, n.factor)
}

// judge tells whether the ratio of a cell's run times is beyond noise: no run of the one is among those of the other,
// and it is far from the middle.
func (n noise) judge(was, now Result) (ratio float64, beyond bool) {
	if was.Run == 0 || now.Run == 0 || n.middle == 0 {
		return 0, false
	}
	ratio = float64(fastest(now)) / float64(fastest(was))
	relative := ratio / n.middle
	apart := slices.Max(runs(was)) < slices.Min(runs(now)) || slices.Min(runs(was)) > slices.Max(runs(now))
	return ratio, apart && (relative > n.factor || relative < 1/n.factor)
}

// runs are the single times, or the one that there is.
func runs(r Result) []time.Duration {
	if len(r.Runs) == 0 {
		return []time.Duration{r.Run}
	}
	return r.Runs
}

// fastest is the shortest of them.
func fastest(r Result) time.Duration { return slices.Min(runs(r)) }

// medianOf is the median of numbers; 0 of none.
func medianOf(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// placement is a distribution of nodes in words.
func placement(nodes map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, nodes[name]))
	}
	if len(parts) == 0 {
		return "nothing that is known"
	}
	return strings.Join(parts, ", ")
}
