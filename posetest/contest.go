package posetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/worker"
	"golang.org/x/sync/errgroup"
)

// A Side is one of two things whose speed is compared.
type Side struct {
	Planned
	Program string         // a posetest program to run it with, such as that of another commit; default: this one
	Threads int            // of one operator; default the configuration's
	Tuning  session.Tuning // of the session; it is always quiet
	Timing  worker.Timing  // what is timed; its Runs are chosen
}

// A warm is a side's worker with its session, ready to be timed.
type warm struct {
	*worker.Worker
	timing worker.Timing
	first  time.Duration // the first run
	load   time.Duration
}

// warmUps is how many runs come before any that is timed, after a first that took so long: the first ones fill caches, choose
// algorithms and let the processor speed up, which needs some runs, or some time.
func warmUps(first time.Duration) int { return int(min(max(100*time.Millisecond/max(first, 1), 1), 3)) }

// warm starts a side's worker and gets it ready. Its error wraps [ErrSetup] unless the context ended.
func (s *Suite) warm(ctx context.Context, side Side) (_ *warm, err error) {
	if len(s.plan.Fixtures) == 0 {
		return nil, fmt.Errorf("%w: there is no photograph to run", ErrSetup)
	}
	used, err := s.use(ctx, side.Planned)
	if err != nil {
		return nil, setupUnlessDone(ctx, fmt.Errorf("%s: %w", side.Cell, err))
	}
	spec := s.spec(side.Library)
	spec.Program = side.Program
	w, err := worker.Start(ctx, spec)
	if err != nil {
		return nil, setupUnlessDone(ctx, err)
	}
	defer func() {
		if err != nil {
			w.Close()
			err = setupUnlessDone(ctx, fmt.Errorf("%s: %w", side.Cell, err))
		}
	}()
	side.Tuning.Quiet = true
	var o observe.Observation
	if _, err := s.openSide(ctx, w, side, &o); err != nil {
		return nil, err
	}
	if err := used.same(ctx); err != nil {
		return nil, err
	}
	photo, err := w.Infer(ctx, worker.Inference{Image: s.plan.Fixtures[0].Path})
	if err == nil && photo.Error != "" {
		err = errors.New(photo.Error)
	}
	if err != nil {
		return nil, err
	}
	all := &warm{Worker: w, timing: side.Timing, first: photo.Infer, load: o.Load}
	all.timing.Slowdown = 0
	if _, err := all.turn(ctx, warmUps(photo.Infer)); err != nil {
		return nil, err
	}
	all.timing = side.Timing
	return all, nil
}

// turn times so many runs.
func (w *warm) turn(ctx context.Context, runs int) ([]worker.Sample, error) {
	t := w.timing
	t.Runs = runs
	samples, err := w.Time(ctx, t)
	if err == nil && len(samples) != runs {
		err = fmt.Errorf("the worker timed %d runs of %d", len(samples), runs)
	}
	return samples, err
}

// ContestMethod counts up when sides are compared in another way, so that what was learned of one is not taken for the other.
const ContestMethod = 4

// A Contest says how sides are compared. The zero value has the defaults.
type Contest struct {
	Pairs    int           // default 20
	Pair     time.Duration // a pair takes two sides about so long, by turns of one run each, but no less than two; default 200 ms
	Restarts int           // pairs after which all workers are started anew, since a process may be lucky as a whole; default see [serves]
	Seed     uint64        // of the order of the turns
}

// A Round is some turns of each side, by side: the i-th runs of all were taken one directly after the other.
type Round [][]worker.Sample

// Compare lets two sides take turns and compares B's times with A's, on the clock and of the processor. Done, which may be
// nil, is told of each pair.
func (s *Suite) Compare(ctx context.Context, a, b Side, c Contest, done func()) (measure.Comparison, error) {
	all, err := s.CompareAll(ctx, a, []Side{b}, c, done)
	if err != nil {
		return measure.Comparison{}, err
	}
	return all[0], nil
}

// CompareAll is Compare for several sides against one, all of which take turns.
func (s *Suite) CompareAll(ctx context.Context, a Side, others []Side, c Contest, done func()) ([]measure.Comparison, error) {
	rounds, err := s.Rounds(ctx, append([]Side{a}, others...), c, done)
	if err != nil {
		return nil, err
	}
	all := make([]measure.Comparison, len(others))
	for i := range all {
		if all[i], err = compare(rounds, 0, i+1); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// compare compares side b's times with side a's.
func compare(rounds []Round, a, b int) (c measure.Comparison, err error) {
	for _, clock := range []struct {
		name  string
		time  func(worker.Sample) time.Duration
		ratio *measure.Ratio
	}{
		{"time on the clock", func(s worker.Sample) time.Duration { return s.Wall }, &c.Wall},
		{"processor time", func(s worker.Sample) time.Duration { return s.CPU }, &c.CPU},
	} {
		if *clock.ratio, err = measure.Paired(typical(rounds, a, b, clock.time)); err != nil {
			return c, fmt.Errorf("%w: %s: %w", ErrSetup, clock.name, err)
		}
	}
	return c, nil
}

// A disturbance hits one run of a turn, or both alike: a machine has phases in which everything takes longer, by half or
// more, and a turn lies within one of them, or on its edge. Turns whose ratio is by a tenth away from the median turn's
// are on an edge, and do not count.
const edge = 1.1

// typical are two sides' times in seconds, by round, of the median of those turns that count.
func typical(rounds []Round, a, b int, clock func(worker.Sample) time.Duration) (as, bs []float64) {
	var all []turn
	for _, r := range rounds {
		all = append(all, turns(r, a, b, clock)...)
	}
	middle := medianTurn(all).ratio()
	for _, r := range rounds {
		counting := slices.DeleteFunc(turns(r, a, b, clock), func(t turn) bool { return t.ratio() > middle*edge || t.ratio() < middle/edge })
		if len(counting) == 0 {
			counting = turns(r, a, b, clock)
		}
		t := medianTurn(counting)
		as, bs = append(as, t.a), append(bs, t.b)
	}
	return as, bs
}

// A turn is the times in seconds of one run of each of two sides, one soon after the other.
type turn struct{ a, b float64 }

func (t turn) ratio() float64 { return t.b / t.a }

// turns has each run of side a beside side b's of the same turn, and of the turns directly before and after, which were
// as near: of nine turns that makes 25, from which the median is known as well as from half as many turns again.
func turns(r Round, a, b int, clock func(worker.Sample) time.Duration) []turn {
	var all []turn
	for i, s := range r[a] {
		for _, t := range r[b][max(0, i-1):min(len(r[b]), i+2)] {
			all = append(all, turn{clock(s).Seconds(), clock(t).Seconds()})
		}
	}
	return all
}

// medianTurn is the one whose ratio is the median; of an even number, the geometric mean of the two in the middle.
func medianTurn(all []turn) turn {
	slices.SortFunc(all, func(s, t turn) int { return cmp.Compare(s.ratio(), t.ratio()) })
	s, t := all[(len(all)-1)/2], all[len(all)/2]
	return turn{math.Sqrt(s.a * t.a), math.Sqrt(s.b * t.b)}
}

// Rounds lets sides take turns, in random order, all warm. Done, which may be nil, is told of each round.
func (s *Suite) Rounds(ctx context.Context, sides []Side, c Contest, done func()) ([]Round, error) {
	c.Pairs, c.Pair = cmp.Or(c.Pairs, 20), cmp.Or(c.Pair, 200*time.Millisecond)
	random := rand.New(rand.NewPCG(c.Seed, 0))
	var rounds []Round
	for len(rounds) < c.Pairs {
		more, err := s.rounds(ctx, sides, c, c.Pairs-len(rounds), random, done)
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, more...)
	}
	return rounds, nil
}

// serves is for how many rounds workers serve that took so long to get ready: for 4, or as long as that took, but not for
// more than 10. Processes are lucky as a whole by up to 1 %, so that the more of them there are, the less that counts;
// with ten rounds each, one gate of 184 without a change alarmed.
func serves(ready, round time.Duration) int { return int(min(max(ready/round, 4), 10)) }

// turnsIn is how many turns a round of a length has, of which one takes so long: two at least, as a median of one is what it is.
func turnsIn(round, once time.Duration) int { return max(2, int(round/max(once, 1))) }

// rounds are some of them with the same workers, at most n.
func (s *Suite) rounds(ctx context.Context, sides []Side, c Contest, n int, random *rand.Rand, done func()) ([]Round, error) {
	begin := time.Now()
	workers, err := s.warmAll(ctx, sides, random)
	for _, w := range workers {
		defer w.Close()
	}
	if err != nil {
		return nil, err
	}
	var once time.Duration // a run of each
	for i, w := range workers {
		sample, err := w.turn(ctx, 1)
		if err != nil {
			return nil, setupUnlessDone(ctx, fmt.Errorf("%s: %w", sides[i].Cell, err))
		}
		once += sample[0].Wall
	}
	length := c.Pair * time.Duration(len(sides)) / 2
	turns := turnsIn(length, once)
	all := make([]Round, min(n, cmp.Or(c.Restarts, serves(time.Since(begin), length))))
	for k := range all {
		round := make(Round, len(sides))
		for range turns {
			for _, i := range random.Perm(len(sides)) {
				sample, err := workers[i].turn(ctx, 1)
				if err != nil {
					return nil, setupUnlessDone(ctx, fmt.Errorf("%s: %w", sides[i].Cell, err))
				}
				round[i] = append(round[i], sample[0])
			}
		}
		all[k] = round
		if done != nil {
			done()
		}
	}
	return all, nil
}

// warmAll gets all sides ready, as many at a time as there are cores, and returns the workers there are, beside an error, too.
func (s *Suite) warmAll(ctx context.Context, sides []Side, random *rand.Rand) ([]*warm, error) {
	workers := make([]*warm, len(sides))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for _, i := range random.Perm(len(sides)) { // the one that starts later has other memory
		group.Go(func() (err error) {
			workers[i], err = s.warm(ctx, sides[i])
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(workers, func(w *warm) bool { return w == nil }), err
}
