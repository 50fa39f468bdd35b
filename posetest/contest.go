package posetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/worker"
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

// warmUps are the runs before any is timed: the first ones fill caches, choose algorithms and let the processor speed up.
const warmUps = 3

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
	if _, err := all.turn(ctx, warmUps); err != nil {
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
const ContestMethod = 2

// A Contest says how sides are compared. The zero value has the defaults.
type Contest struct {
	Pairs    int           // default 20
	Pair     time.Duration // a pair takes two sides about so long, by turns of one run each, if nothing disturbs; default 200 ms
	Restarts int           // pairs after which all workers are started anew, since a process may be lucky as a whole; default see [serves]
	Seed     uint64        // of the order of the turns
}

// A Round is some turns of each side, by side: the i-th runs of all were taken one directly after the other.
type Round [][]worker.Sample

// Compare lets two sides take turns and compares B's times with A's, on the clock and of the processor.
func (s *Suite) Compare(ctx context.Context, a, b Side, c Contest) (measure.Comparison, error) {
	all, err := s.CompareAll(ctx, a, []Side{b}, c)
	if err != nil {
		return measure.Comparison{}, err
	}
	return all[0], nil
}

// CompareAll is Compare for several sides against one, all of which take turns.
func (s *Suite) CompareAll(ctx context.Context, a Side, others []Side, c Contest) ([]measure.Comparison, error) {
	rounds, err := s.Rounds(ctx, append([]Side{a}, others...), c)
	if err != nil {
		return nil, err
	}
	all := make([]measure.Comparison, len(others))
	for i := range all {
		for _, clock := range []struct {
			name  string
			time  func(worker.Sample) time.Duration
			ratio *measure.Ratio
		}{
			{"time on the clock", func(s worker.Sample) time.Duration { return s.Wall }, &all[i].Wall},
			{"processor time", func(s worker.Sample) time.Duration { return s.CPU }, &all[i].CPU},
		} {
			if *clock.ratio, err = measure.Paired(fastest(rounds, 0, clock.time), fastest(rounds, i+1, clock.time)); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrSetup, clock.name, err)
			}
		}
	}
	return all, nil
}

// fastest are a side's times in seconds, of the fastest run in each round: what disturbs a run makes it slower, never
// faster.
func fastest(rounds []Round, side int, clock func(worker.Sample) time.Duration) []float64 {
	times := make([]float64, len(rounds))
	for i, r := range rounds {
		best := clock(r[side][0])
		for _, sample := range r[side][1:] {
			best = min(best, clock(sample))
		}
		times[i] = best.Seconds()
	}
	return times
}

// Rounds lets sides take turns, in random order, all warm.
func (s *Suite) Rounds(ctx context.Context, sides []Side, c Contest) ([]Round, error) {
	c.Pairs, c.Pair = orDefault(c.Pairs, 20), orDefault(c.Pair, 200*time.Millisecond)
	random := rand.New(rand.NewPCG(c.Seed, 0))
	var rounds []Round
	for len(rounds) < c.Pairs {
		more, err := s.rounds(ctx, sides, c, c.Pairs-len(rounds), random)
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, more...)
	}
	return rounds, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// A round ends once each side had enough runs that nothing disturbed, those within a share of the side's fastest run so
// far, but not before it had its turns, and not after some times as many. The rule is the same for all sides, so that it favours none.
const (
	undisturbed = 1.1
	enough      = 0.5 // of the turns
	patience    = 4   // times the turns
)

// serves is for how many rounds workers serve that took so long to get ready: for 4, or as long as that took, but not for
// more than 10. Processes are lucky as a whole by up to 1 %, so that the more of them there are, the less that counts;
// with ten rounds each, one gate of 184 without a change alarmed (docs/gate-power.md).
func serves(ready, round time.Duration) int { return int(min(max(ready/round, 4), 10)) }

// rounds are some of them with the same workers, at most n.
func (s *Suite) rounds(ctx context.Context, sides []Side, c Contest, n int, random *rand.Rand) ([]Round, error) {
	begin := time.Now()
	workers := make([]*warm, len(sides))
	best := make([]time.Duration, len(sides))
	var once time.Duration                      // a run of each
	for _, i := range random.Perm(len(sides)) { // the one that starts later has other memory
		w, err := s.warm(ctx, sides[i])
		if err != nil {
			return nil, err
		}
		defer w.Close()
		workers[i] = w
		sample, err := w.turn(ctx, 1)
		if err != nil {
			return nil, setupUnlessDone(ctx, fmt.Errorf("%s: %w", sides[i].Cell, err))
		}
		best[i] = sample[0].Wall
		once += best[i]
	}
	length := c.Pair * time.Duration(len(sides)) / 2
	turns := max(1, int(length/max(once, 1)))
	all := make([]Round, min(n, orDefault(c.Restarts, serves(time.Since(begin), length))))
	for k := range all {
		round := make(Round, len(sides))
		for turn := 0; turn < turns || turn < patience*turns && !calm(round, best, enough*float64(turns)); turn++ {
			for _, i := range random.Perm(len(sides)) {
				sample, err := workers[i].turn(ctx, 1)
				if err != nil {
					return nil, setupUnlessDone(ctx, fmt.Errorf("%s: %w", sides[i].Cell, err))
				}
				round[i] = append(round[i], sample[0])
				best[i] = min(best[i], sample[0].Wall)
			}
		}
		all[k] = round
	}
	return all, nil
}

// calm tells whether each side had so many runs that nothing disturbed.
func calm(round Round, best []time.Duration, wanted float64) bool {
	for i, samples := range round {
		n := 0
		for _, sample := range samples {
			if float64(sample.Wall) <= undisturbed*float64(best[i]) {
				n++
			}
		}
		if float64(n) < wanted {
			return false
		}
	}
	return true
}
