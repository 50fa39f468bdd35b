package posetest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
)

// A Bout is one comparison of a gate: B against A.
type Bout struct {
	A, B  Side
	Limit measure.Limit // of B's time by A's
	// Against is what B is held to: "fp32", "ort=1.31.1", "commit=1a2b3c4", …
	Against string
	Why     string // where the limit comes from
}

// String names the bout: model=…/precision=…/provider=…/ort=… against=….
func (b Bout) String() string { return b.B.Cell.String() + " against " + b.Against }

// A Baseline is what each cell is held to, beside the bars of its speed. The zero value is nothing.
type Baseline struct {
	ORT     string // the id of another runtime
	Program string // another build of posetest, which preprocesses, runs and decodes
	Name    string // of the program
}

// Bouts lists what a gate compares: each cell that loads and finds people with fp32 of the same model, where the table has a bar
// of its speed, and with the baseline. Cells of the baseline itself are held to nothing.
func (s *Suite) Bouts(base Baseline) ([]Bout, error) {
	var all []Bout
	for _, p := range s.plan.Cells {
		if p.Err != nil || !Steady(p.Row) || p.ORT == base.ORT {
			continue
		}
		bar, has, err := s.plan.Speeds.Match(p.Place)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSetup, err)
		}
		if i := s.plan.fp32Of(p); has && i < 0 {
			return nil, fmt.Errorf("%w: fp32 of %s, which %s holds %s to, is not among the cells that run; let it run, too", ErrSetup, p.Cell.Model, bar.Where(), p.Precision)
		} else if has {
			all = append(all, Bout{A: Side{Planned: s.plan.Cells[i]}, B: Side{Planned: p}, Limit: measure.Limit{Low: inverse(bar.AtMost), High: inverse(bar.AtLeast)},
				Against: "fp32", Why: bar.Where() + ": " + bar.Why})
		}
		if base.ORT != "" {
			a := p.Cell
			a.ORT = base.ORT
			i := slices.IndexFunc(s.plan.Cells, func(q Planned) bool { return q.Cell == a })
			if i < 0 {
				return nil, fmt.Errorf("%w: the baseline has no %s; choose one that has it, or fewer models and providers", ErrSetup, a)
			}
			if !Steady(s.plan.Cells[i].Row) {
				continue // it does not run there, which the matrix says
			}
			all = append(all, Bout{A: Side{Planned: s.plan.Cells[i]}, B: Side{Planned: p}, Limit: measure.Limit{High: 1}, Against: "ort=" + base.ORT, Why: "no slower than the baseline"})
		}
		if base.Program != "" {
			a, b := Side{Planned: p, Program: base.Program}, Side{Planned: p}
			a.Timing.Pipeline, b.Timing.Pipeline = true, true
			all = append(all, Bout{A: a, B: b, Limit: measure.Limit{High: 1}, Against: base.Name, Why: "no slower than the baseline"})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: there is nothing to compare: no cell that runs has a bar of speed, and no baseline is given", ErrSetup)
	}
	return all, nil
}

// Steady tells whether the cells of a row can be timed: they load, always, and find people.
func Steady(r expect.Row) bool {
	return r.Want == observe.Loads && r.Finds == expect.People && r.Sometimes == nil
}

func inverse(speed float64) float64 {
	if speed == 0 {
		return 0
	}
	return 1 / speed
}

// A Ruling is a gate's verdict on one bout.
type Ruling struct {
	Bout
	measure.Finding
	Comparison measure.Comparison // of all its pairs
	Repeated   bool               // it was run again, with new workers
	Err        error              // it could not be measured
}

// Gate runs all bouts, those together that share sides, and says what they are: see [Settle]. Each done is told of a bout
// that was run. An error ends the gate only if the context ended.
func (s *Suite) Gate(ctx context.Context, bouts []Bout, c Contest, policy measure.Policy, done func(Bout)) ([]Ruling, error) {
	look := func(seed uint64, which []int) (map[int]measure.Comparison, map[int]error, error) {
		seen, failed := map[int]measure.Comparison{}, map[int]error{}
		groups := together(bouts, which)
		for len(groups) > 0 {
			g := groups[0]
			groups = groups[1:]
			c := c
			c.Seed += seed + uint64(g.bouts[0])
			comparisons, err := s.compareGroup(ctx, g, bouts, c)
			if ctx.Err() != nil {
				return nil, nil, context.Cause(ctx)
			}
			if err != nil && len(g.bouts) > 1 { // one that fails costs no other its verdict
				for _, i := range g.bouts {
					groups = append(groups, together(bouts, []int{i})...)
				}
				continue
			}
			for k, i := range g.bouts {
				done(bouts[i])
				if err != nil {
					failed[i] = err
				} else {
					seen[i] = comparisons[k]
				}
			}
		}
		return seen, failed, nil
	}
	rulings, err := Settle(len(bouts), look, policy.Judge)
	for i := range rulings {
		rulings[i].Bout = bouts[i]
	}
	return rulings, err
}

// reruns is how often at most is measured again, with so many pairs each time, what can't be told: once at least, so that
// nothing has regressed that was seen but once.
func reruns(pairs int) int { return max(1, min(4, measure.MaxPairs/pairs-1)) }

// Settle looks at n comparisons, and again, with new workers, at those that are not ok at once, until all their pairs say
// what they are, or for a number of times. Nothing has regressed that was not seen again: see [Confirmed]. What fails is
// inconclusive. A look takes a seed and which are looked at; those that it says nothing of are not judged.
func Settle(n int, look func(seed uint64, which []int) (map[int]measure.Comparison, map[int]error, error), judge func([]measure.Comparison) []measure.Finding) ([]Ruling, error) {
	which := make([]int, n)
	for i := range which {
		which[i] = i
	}
	rulings := make([]Ruling, n)
	seen, again := map[int]measure.Comparison{}, map[int]measure.Comparison{} // of all looks, and of all but the first
	for k, most := 0, 1; k <= most && len(which) > 0; k++ {
		more, failed, err := look(uint64(k*n), which)
		if err != nil {
			return nil, err
		}
		for i, err := range failed {
			rulings[i] = Ruling{Finding: measure.Finding{Verdict: measure.Inconclusive, Why: "not measured: " + err.Error(), P: 1}, Err: err}
		}
		for i, c := range more {
			most = reruns(c.Wall.Pairs)
			if k > 0 {
				again[i] = join(again, i, c)
			}
			seen[i] = join(seen, i, c)
		}
		all, confirming := judged(judge, seen), judged(judge, again)
		which = nil
		for i := range n {
			if _, now := more[i]; !now {
				continue
			}
			rulings[i] = Ruling{Finding: all[i], Comparison: seen[i], Repeated: k > 0}
			if k > 0 {
				rulings[i].Finding = Confirmed(confirming[i], all[i])
			}
			if v := rulings[i].Verdict; v == measure.Inconclusive || v == measure.Regressed && k == 0 {
				which = append(which, i)
			}
		}
	}
	return rulings, nil
}

func join(all map[int]measure.Comparison, i int, c measure.Comparison) measure.Comparison {
	if before, has := all[i]; has {
		return before.Join(c)
	}
	return c
}

// judged has the findings of some comparisons, judged together.
func judged(judge func([]measure.Comparison) []measure.Finding, some map[int]measure.Comparison) map[int]measure.Finding {
	order := slices.Sorted(maps.Keys(some))
	comparisons := make([]measure.Comparison, len(order))
	for k, i := range order {
		comparisons[k] = some[i]
	}
	findings := map[int]measure.Finding{}
	for k, f := range judge(comparisons) {
		findings[order[k]] = f
	}
	return findings
}

// Confirmed is the finding of what was looked at again: what all its pairs say, but it has regressed only if those of the
// later looks, without the first, for which we looked again, are not ok by themselves.
func Confirmed(again, all measure.Finding) measure.Finding {
	if all.Verdict == measure.Regressed && again.Verdict == measure.OK {
		all.Verdict, all.Why = measure.Inconclusive, "not seen again: "+all.Why
	}
	return all
}

// A group is bouts whose sides take turns together, since bouts share sides: fp32 is what all its precisions are held to.
type group struct {
	sides []Side
	bouts []int
	pairs [][2]int // A's and B's side of each of the bouts
}

// most sides take turns together: more would wait for long between turns, and need more memory.
const most = 6

// together are some of the bouts in groups, each with as many as there is room for.
func together(bouts []Bout, which []int) []group {
	var all []group
	for _, i := range which {
		k := slices.IndexFunc(all, func(g group) bool {
			missing := len(g.with(bouts[i], i).sides) - len(g.sides)
			return missing < 2 && len(g.sides)+missing <= most
		})
		if k < 0 {
			k = len(all)
			all = append(all, group{})
		}
		all[k] = all[k].with(bouts[i], i)
	}
	return all
}

// with is the group with bout i, too. A side that is held to itself has two workers.
func (g group) with(b Bout, i int) group {
	g.sides = slices.Clone(g.sides)
	index := func(side Side, not int) int {
		for k, s := range g.sides {
			if k != not && s.same(side) {
				return k
			}
		}
		g.sides = append(g.sides, side)
		return len(g.sides) - 1
	}
	first := index(b.A, -1)
	g.pairs = append(slices.Clone(g.pairs), [2]int{first, index(b.B, first)})
	g.bouts = append(slices.Clone(g.bouts), i)
	return g
}

// same tells whether one worker can be both sides.
func (s Side) same(t Side) bool {
	return s.Cell == t.Cell && s.Program == t.Program && s.Threads == t.Threads && s.Tuning == t.Tuning && s.Timing == t.Timing
}

// compareGroup compares the sides of each of a group's bouts.
func (s *Suite) compareGroup(ctx context.Context, g group, bouts []Bout, c Contest) ([]measure.Comparison, error) {
	rounds, err := s.Rounds(ctx, g.sides, c, nil)
	if err != nil {
		return nil, err
	}
	all := make([]measure.Comparison, len(g.bouts))
	for k, i := range g.bouts {
		if all[k], err = compare(rounds, g.pairs[k][0], g.pairs[k][1]); err != nil {
			return nil, fmt.Errorf("%s: %w", bouts[i], err)
		}
		all[k].Limit = bouts[i].Limit
	}
	return all, nil
}
