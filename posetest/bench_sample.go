package posetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/worker"
	"golang.org/x/perf/benchfmt"
)

// A Benchtime says how much one sample times: so many runs, or as many as take so long. The zero value is 300 ms.
type Benchtime struct {
	Time time.Duration
	Runs int
}

// minRuns are those of a sample that is told by time.
const minRuns = 5

// ParseBenchtime reads "300ms" or "662x", as go test -benchtime does.
func ParseBenchtime(text string) (Benchtime, error) {
	var t Benchtime
	var err error
	if runs, ok := strings.CutSuffix(text, "x"); ok {
		t.Runs, err = strconv.Atoi(runs)
	} else {
		t.Time, err = time.ParseDuration(text)
	}
	if err != nil || t.Runs <= 0 && t.Time <= 0 {
		return t, fmt.Errorf(`%q is no time and no number of runs; write it as "300ms" or "662x"`, text)
	}
	return t, nil
}

// more are the runs still to time after n that took so long.
func (t Benchtime) more(n int, took time.Duration, least int) int {
	if t.Runs > 0 {
		return t.Runs - n
	}
	if n < least {
		return least - n
	}
	rest := cmp.Or(t.Time, 300*time.Millisecond) - took
	if rest <= 0 {
		return 0
	}
	each := max(took/time.Duration(n), 1)
	return int((rest + each - 1) / each)
}

// A Sample is what one fresh worker took.
type Sample struct {
	Kind       Kind
	Runs       []worker.Sample // of [KindLoad] the loads, without CPU time
	Batch      int             // photographs a run; 0 is 1
	First      time.Duration   // the worker's first run of the session, before it was warm
	PeakMemory int64           // resident bytes of the worker
	ModelSize  int64           // bytes of the file
}

// tailRuns is the number of runs from which a p99 is told: the smallest with which two runs are slower than the true 99th
// percentile with 99 % confidence, so that it lies within what was seen even if the slowest run is an accident. It is
// Wilks' two-sided tolerance limit of 99 % at 99 %: 1 - 0.99^n - n·0.01·0.99^(n-1) ≥ 0.99 (S. S. Wilks, Determination of
// Sample Sizes for Setting Tolerance Limits, Annals of Mathematical Statistics 12, 1941).
const tailRuns = 662

// Metrics are the sample's values, in units that benchstat turns into seconds, bytes and plain numbers: means a run in
// ns/op and cpu-ns/op (all threads of the worker), fps in photographs, percentiles by nearest rank, p99-ns from 662 runs on.
func (s Sample) Metrics() []benchfmt.Value {
	walls := walls(s.Runs)
	slices.Sort(walls)
	var wall, cpu time.Duration
	for _, run := range s.Runs {
		wall, cpu = wall+run.Wall, cpu+run.CPU
	}
	n := float64(len(s.Runs))
	all := []benchfmt.Value{{Value: float64(wall) / n, Unit: "ns/op"}}
	if s.Kind != KindLoad {
		all = append(all,
			benchfmt.Value{Value: float64(max(s.Batch, 1)) * n / wall.Seconds(), Unit: "fps"},
			benchfmt.Value{Value: float64(percentile(walls, 50)), Unit: "p50-ns"},
			benchfmt.Value{Value: float64(percentile(walls, 90)), Unit: "p90-ns"})
		if len(walls) >= tailRuns {
			all = append(all, benchfmt.Value{Value: float64(percentile(walls, 99)), Unit: "p99-ns"})
		}
		all = append(all,
			benchfmt.Value{Value: float64(cpu) / n, Unit: "cpu-ns/op"},
			benchfmt.Value{Value: float64(s.First), Unit: "first-ns"})
	}
	return append(all,
		benchfmt.Value{Value: float64(s.PeakMemory), Unit: "peak-B"},
		benchfmt.Value{Value: float64(s.ModelSize), Unit: "model-B"})
}

// percentile of what is sorted, by nearest rank: the smallest that at least p % are no slower than.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1]
}

// A stopwatch is a [testing.B]: it decides from the time between Start and Stop how many runs come next.
type stopwatch interface {
	StartTimer()
	StopTimer()
}

type noStopwatch struct{}

func (noStopwatch) StartTimer() {}
func (noStopwatch) StopTimer()  {}

// Sample takes one sample in a fresh worker, warmed up and timed inside. Its error wraps [ErrSetup] unless the context
// ended.
func (s *Suite) Sample(ctx context.Context, b Benchmark, t Benchtime) (Sample, error) {
	return s.sample(ctx, b, t, noStopwatch{})
}

func (s *Suite) sample(ctx context.Context, b Benchmark, t Benchtime, watch stopwatch) (Sample, error) {
	sample := Sample{Kind: b.Kind, Batch: b.Batch, ModelSize: b.File.Size}
	if b.Kind == KindLoad {
		return sample, s.loads(ctx, b, t, watch, &sample)
	}
	w, err := s.warm(ctx, b.side())
	if err != nil {
		return sample, err
	}
	defer w.Close()
	sample.First = w.first
	watch.StartTimer()
	sample.Runs, err = w.runs(ctx, t)
	watch.StopTimer()
	if err == nil {
		err = w.Finish(ctx)
	}
	if err != nil {
		return sample, setupUnlessDone(ctx, fmt.Errorf("%s: %w", b.Cell, err))
	}
	sample.PeakMemory = w.Close().PeakMemory
	return sample, nil
}

// request bounds the runs of one request to a worker, which has a time limit.
const request = 5 * time.Second

// runs times as many runs as wanted.
func (w *warm) runs(ctx context.Context, t Benchtime) ([]worker.Sample, error) {
	var all []worker.Sample
	var took time.Duration
	for next := min(minRuns, t.more(0, 0, minRuns)); next > 0; {
		samples, err := w.turn(ctx, next)
		if err != nil {
			return nil, err
		}
		for _, sample := range samples {
			took += sample.Wall
		}
		all = append(all, samples...)
		fit := max(1, int(request/max(took/time.Duration(len(all)), 1)))
		next = min(fit, t.more(len(all), took, minRuns))
	}
	return all, nil
}

// loads opens the session in fresh workers, one a time.
func (s *Suite) loads(ctx context.Context, b Benchmark, t Benchtime, watch stopwatch, sample *Sample) error {
	var took time.Duration
	for t.more(len(sample.Runs), took, 1) > 0 {
		load, peak, err := s.load(ctx, b.side(), watch)
		if err != nil {
			return setupUnlessDone(ctx, fmt.Errorf("%s: %w", b.Cell, err))
		}
		took += load
		sample.Runs = append(sample.Runs, worker.Sample{Wall: load})
		sample.PeakMemory = max(sample.PeakMemory, peak)
	}
	return nil
}

func (s *Suite) load(ctx context.Context, side Side, watch stopwatch) (load time.Duration, peak int64, err error) {
	used, err := s.use(ctx, side.Planned)
	if err != nil {
		return 0, 0, err
	}
	w, err := worker.Start(ctx, s.spec(side.Library))
	if err != nil {
		return 0, 0, err
	}
	defer w.Close()
	var o observe.Observation
	watch.StartTimer()
	_, err = s.openSide(ctx, w, side, &o)
	watch.StopTimer()
	if err == nil {
		err = used.same(ctx)
	}
	if err == nil {
		err = w.Finish(ctx)
	}
	return o.Load, w.Close().PeakMemory, err
}
