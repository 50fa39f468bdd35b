package posetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
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
	w, err := worker.Start(ctx, worker.Spec{Program: side.Program, Timeout: s.cfg.Timeout, Environ: ortlib.Environ(side.Library, os.Environ())})
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

// A Contest says how two sides are compared. The zero value has the defaults.
type Contest struct {
	Pairs    int           // default 20
	Pair     time.Duration // a pair takes about so long: both sides run by turns, once each at least; default 400 ms
	Restarts int           // pairs after which both workers are started anew, since a process may be lucky as a whole; default 10
	Seed     uint64        // of the order of the turns
}

// A Pair is some turns of each side: A's i-th run and B's were taken one directly after the other.
type Pair struct{ A, B []worker.Sample }

// Fastest are the pairs' times in seconds, of the fastest run on each side: what disturbs a run makes it slower, never
// faster.
func Fastest(pairs []Pair, clock func(worker.Sample) time.Duration) (a, b []float64) {
	fastest := func(samples []worker.Sample) float64 {
		best := clock(samples[0])
		for _, s := range samples[1:] {
			best = min(best, clock(s))
		}
		return best.Seconds()
	}
	for _, p := range pairs {
		a, b = append(a, fastest(p.A)), append(b, fastest(p.B))
	}
	return a, b
}

// Compare lets two sides take turns and compares their times on the clock and of the processor.
func (s *Suite) Compare(ctx context.Context, a, b Side, c Contest) (measure.Comparison, error) {
	pairs, err := s.Pairs(ctx, a, b, c)
	if err != nil {
		return measure.Comparison{}, err
	}
	wall, err := measure.Paired(Fastest(pairs, func(s worker.Sample) time.Duration { return s.Wall }))
	if err != nil {
		return measure.Comparison{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	cpu, err := measure.Paired(Fastest(pairs, func(s worker.Sample) time.Duration { return s.CPU }))
	if err != nil {
		return measure.Comparison{}, fmt.Errorf("%w: processor time: %w", ErrSetup, err)
	}
	return measure.Comparison{Wall: wall, CPU: cpu}, nil
}

// Pairs lets two sides take turns, in random order, both warm.
func (s *Suite) Pairs(ctx context.Context, a, b Side, c Contest) ([]Pair, error) {
	c.Pairs, c.Pair, c.Restarts = orDefault(c.Pairs, 20), orDefault(c.Pair, 400*time.Millisecond), orDefault(c.Restarts, 10)
	random := rand.New(rand.NewPCG(c.Seed, 0))
	var pairs []Pair
	for len(pairs) < c.Pairs {
		more, err := s.pairs(ctx, a, b, min(c.Restarts, c.Pairs-len(pairs)), c.Pair, random)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, more...)
	}
	return pairs, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (s *Suite) pairs(ctx context.Context, a, b Side, n int, length time.Duration, random *rand.Rand) ([]Pair, error) {
	sides := [2]*warm{}
	var once time.Duration             // a run of each
	for _, i := range random.Perm(2) { // the one that starts later has other memory
		side := a
		if i == 1 {
			side = b
		}
		w, err := s.warm(ctx, side)
		if err != nil {
			return nil, err
		}
		defer w.Close()
		sides[i] = w
		sample, err := w.turn(ctx, 1)
		if err != nil {
			return nil, setupUnlessDone(ctx, fmt.Errorf("%s: %w", side.Cell, err))
		}
		once += sample[0].Wall
	}
	turns := max(1, int(length/max(once, 1)))
	pairs := make([]Pair, n)
	for k := range pairs {
		for range turns {
			for _, i := range random.Perm(2) {
				samples, err := sides[i].turn(ctx, 1)
				if err != nil {
					return nil, setupUnlessDone(ctx, fmt.Errorf("%s: %w", [2]Side{a, b}[i].Cell, err))
				}
				of := [2]*[]worker.Sample{&pairs[k].A, &pairs[k].B}[i]
				*of = append(*of, samples...)
			}
		}
	}
	return pairs, nil
}
