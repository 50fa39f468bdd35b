package posetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/alert"
	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/gpu"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/sums"
	"github.com/posetest/suite/posetest/worker"
	"golang.org/x/sync/errgroup"
)

// Log is where a run says what takes long, such as the download of a runtime, in lines for a person.
type Log = io.Writer

// A Suite runs the cells of one configuration. Each is observed once, however many tests look at it, and again when a
// test is run again, as by -count.
type Suite struct {
	cfg Config

	once sync.Once
	plan *Plan
	err  error
	sums *sums.Memo // of models and runtimes

	seen    memo[observe.Observation]
	figures memo[coco.Stats] // on COCO's photographs of the data path
}

// New makes a suite. It reads nothing yet: errors of the configuration come from Plan and from the tests.
func New(cfg Config) *Suite {
	return &Suite{cfg: cfg}
}

// Plan reads catalogue and table, installs the runtimes that are missing, and lists what will run. Its error wraps
// [ErrSetup] unless the context ended.
func (s *Suite) Plan(ctx context.Context, log Log) (*Plan, error) {
	s.once.Do(func() {
		h, err := open(s.cfg)
		if err != nil {
			s.err = err
			return
		}
		s.cfg, s.sums = h.Config, h.sums
		s.plan, s.err = h.plan(ctx, log)
	})
	return s.plan, s.err
}

// Config is the configuration with all that was empty filled in, once Plan has returned.
func (s *Suite) Config() Config { return s.cfg }

// observation returns what was seen of a cell; user is the test that looks at it.
func (s *Suite) observation(ctx context.Context, p Planned, user string) (observe.Observation, error) {
	return s.seen.get(p.Cell, user, func() (observe.Observation, error) { return s.Observe(ctx, p) })
}

// Observe runs one cell in a worker of its own: one in quarantine until it does what its row wants, [expect.Attempts] times
// at most, and each as often as the configuration says. What the runtime, the provider or the model does is in the
// observation; an error means that nothing could be observed, and wraps [ErrSetup] unless the context ended.
func (s *Suite) Observe(ctx context.Context, p Planned) (observe.Observation, error) {
	if s.cfg.Repeat > 1 {
		return s.repeat(ctx, p)
	}
	var earlier []observe.Outcome
	for {
		o, err := s.attempt(ctx, p)
		o.Earlier = earlier
		if err != nil || !p.Row.InQuarantine(p.Today) || o.Outcome == p.Row.Want || len(earlier) == expect.Attempts-1 {
			return o, err
		}
		earlier = append(earlier, o.Outcome)
	}
}

// repeat runs a cell as often as the configuration says, whatever its row wants, and sums up what was seen.
func (s *Suite) repeat(ctx context.Context, p Planned) (observe.Observation, error) {
	var all []observe.Observation
	for range s.cfg.Repeat {
		o, err := s.attempt(ctx, p)
		if err != nil {
			return o, err
		}
		all = append(all, o)
	}
	return observe.Repeated(all)
}

func (s *Suite) attempt(ctx context.Context, p Planned) (observe.Observation, error) {
	o := observe.Observation{Cell: p.Cell, Family: p.Model.Family, ModelFile: filepath.Base(p.File.Path), ModelSHA256: p.File.SHA256, ModelSize: p.File.Size,
		Machine: observe.ThisMachine(), Threads: s.cfg.Threads, When: time.Now().UTC().Truncate(time.Second), Lacks: p.Lacks, Outcome: observe.Loads}
	used, err := s.use(ctx, p)
	if err != nil {
		return o, setupUnlessDone(ctx, fmt.Errorf("%s: %w", p.Cell, err))
	}
	begin := time.Now()
	spec := s.spec(p.Library)
	spec.CPU = s.cellCPU()
	w, err := worker.Start(ctx, spec)
	if err != nil {
		return o, setupUnlessDone(ctx, err)
	}
	defer w.Close()
	err = s.drive(ctx, w, p, &o, begin)
	if ctx.Err() != nil {
		return o, context.Cause(ctx)
	}
	if changed := used.same(ctx); changed != nil {
		err = changed // whatever was seen, nobody knows of what
	}

	if err := noteOutcome(&o, err); err != nil {
		return o, setupUnlessDone(ctx, fmt.Errorf("%s: %w", p.Cell, err))
	}
	end := w.Close()
	o.Placement, o.LogErrors, o.PeakMemory = end.Placement, end.Errors, end.PeakMemory
	return o, nil
}

// spec is how a worker for a runtime is started.
func (s *Suite) spec(library string) worker.Spec {
	return worker.Spec{Timeout: s.cfg.Timeout, Environ: s.cfg.environ(library)}
}

// cellCPU is the processor time of a cell's worker: of five requests that each take all their time, with all threads of the
// session and one that makes images ready. One that works alone meets its time limit first; a provider that spins on more threads
// than it was given meets this. The cells of the repository's matrix take seconds.
func (s *Suite) cellCPU() time.Duration {
	return 5 * cmp.Or(s.cfg.Timeout, worker.DefaultTimeout) * time.Duration(s.cfg.Threads+1)
}

// noteOutcome notes what an error of a worker tells of its cell, and returns it if it tells nothing.
func noteOutcome(o *observe.Observation, err error) error {
	var refusal *worker.Refusal
	var death *worker.DeathError
	switch {
	case errors.As(err, &refusal) && refusal.Kind == worker.Unavailable:
		o.Outcome, o.Failure = observe.Unavailable, &refusal.Failure
	case errors.As(err, &refusal) && refusal.Kind != worker.Misuse: // of whatever request: other cells must not suffer
		o.Outcome, o.Failure = observe.Fails, &refusal.Failure
	case errors.As(err, &death):
		o.Outcome, o.Death = observe.Crashes, &death.Death
		if death.TimedOut() {
			o.Outcome = observe.Hangs
		}
	default:
		return err
	}
	return nil
}

func setupUnlessDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrSetup, err)
}

// drive leads a worker through its cell and notes what it sees.
func (s *Suite) drive(ctx context.Context, w *worker.Worker, p Planned, o *observe.Observation, begin time.Time) (err error) {
	started, err := s.openIn(ctx, w, p, o)
	o.Start = started.Sub(begin)
	if err != nil {
		return err
	}
	for i, f := range s.plan.Fixtures {
		photo, err := w.Infer(ctx, worker.Inference{Image: f.Path})
		var refusal *worker.Refusal
		if errors.As(err, &refusal) {
			photo.Error = refusal.Message
		} else if err != nil {
			return err
		}
		photo.Fixture, photo.SHA256, photo.People = f.ID, f.SHA256, len(f.Truth)
		photo.OKS = coco.Best(f.Truth, photo.Persons)
		o.Photos = append(o.Photos, photo)
		o.Worker += photo.Infer
		if i == 0 {
			o.FirstRun = photo.Infer
		}
	}
	if len(o.Photos) > 0 && o.Photos[len(o.Photos)-1].Error == "" {
		if err := s.timeRuns(ctx, w, p, o); err != nil {
			return err
		}
	}
	return w.Finish(ctx)
}

// How long a graphics processor works before it is timed: first until its clocks have settled and power, which is the mean of a second,
// with them; and once more after it was asked for both, which may not happen beside what is timed.
const (
	settle   = 1500 * time.Millisecond
	resettle = 200 * time.Millisecond
	maxState = 20 * time.Second // waited for an answer, at most
)

// timeRuns times inferences of the last photograph. Where the provider has memory of its own, that is once with the copies of inputs
// and outputs there and back, and once without.
func (s *Suite) timeRuns(ctx context.Context, w *worker.Worker, p Planned, o *observe.Observation) error {
	timing := worker.Timing{Runs: s.cfg.Runs}
	onDevice := session.DeviceMemory(p.Provider) != ""
	if onDevice {
		state := gpuState(ctx, session.DeviceID(p.Provider))
		_, err := w.Time(ctx, worker.Timing{Runs: 1, Warm: settle})
		if o.GPU = state(); err != nil {
			return err
		}
		timing.Warm = resettle
	}
	runs, err := w.Time(ctx, timing)
	if err != nil {
		return err
	}
	for _, run := range runs {
		o.Worker += run.Wall
	}
	o.Runs = walls(runs)
	o.Run = median(slices.Clone(o.Runs))
	if !onDevice {
		return nil
	}
	timing.Binding = worker.Device
	if runs, err = w.Time(ctx, timing); err != nil {
		return err
	}
	o.DeviceRuns = walls(runs)
	return nil
}

// gpuState asks for the state of a GPU as it is most of the way through the time in which it is warmed up, and returns what waits for
// the answer: nil, if nothing tells.
func gpuState(ctx context.Context, device int) func() *observe.GPU {
	answer := make(chan *observe.GPU, 1)
	go func() {
		defer close(answer)
		select {
		case <-ctx.Done():
			return
		case <-time.After(settle * 2 / 3):
		}
		all, err := gpu.Query(ctx)
		if err != nil {
			return
		}
		if g, ok := gpu.Visible(all, os.Environ(), device); ok {
			answer <- &g.GPU
		}
	}()
	return func() *observe.GPU {
		select {
		case g := <-answer:
			return g
		case <-time.After(maxState): // nobody can end a tool that waits in the driver
			return nil
		}
	}
}

// openIn opens the runtime and the session of a cell in a worker, notes what it sees, and returns when the runtime was
// open.
func (s *Suite) openIn(ctx context.Context, w *worker.Worker, p Planned, o *observe.Observation) (started time.Time, err error) {
	return s.openSide(ctx, w, Side{Planned: p}, o)
}

func (s *Suite) openSide(ctx context.Context, w *worker.Worker, p Side, o *observe.Observation) (started time.Time, err error) {
	o.Runtime, _, err = w.OpenLibrary(ctx, p.Library)
	started = time.Now()
	if err != nil {
		return started, err
	}
	o.Load, err = w.Open(ctx, worker.Model{Path: p.File.Path, Family: p.Model.Family, Provider: p.Provider, Plugin: s.cfg.plugin(p.Provider), Threads: cmp.Or(p.Threads, s.cfg.Threads),
		Inputs: p.Head.Inputs, Outputs: p.Head.Outputs, Tuning: p.Tuning})
	o.Worker = time.Since(started)
	return started, err
}

// An UnobservedError says of which cells nothing could be observed, and why.
type UnobservedError struct{ Errs []error }

func (e *UnobservedError) Error() string {
	if n := len(e.Errs); n > 1 {
		return fmt.Sprintf("%v (and so %d more cells)", e.Errs[0], n-1)
	}
	return e.Errs[0].Error()
}

// Unwrap returns all of the errors.
func (e *UnobservedError) Unwrap() []error { return e.Errs }

// Run observes all cells, as many at a time as the configuration says, and returns them in the order of the plan. Each
// done is told of a cell that is finished; it may be called from several goroutines. A cell of which nothing can be observed costs
// no other one: it is left out of the plan and of what Run returns, beside an [UnobservedError].
func (s *Suite) Run(ctx context.Context, plan *Plan, done func(Planned)) ([]observe.Observation, error) {
	all, errs := make([]observe.Observation, len(plan.Cells)), make([]error, len(plan.Cells))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.cfg.Workers)
	for i, p := range plan.Cells {
		group.Go(func() error {
			if all[i], errs[i] = s.Observe(ctx, p); ctx.Err() != nil {
				return context.Cause(ctx)
			}
			done(p)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var seen []observe.Observation
	var cells []Planned
	var unobserved UnobservedError
	for i, p := range plan.Cells {
		if errs[i] != nil {
			unobserved.Errs = append(unobserved.Errs, errs[i])
			continue
		}
		seen, cells = append(seen, all[i]), append(cells, p)
	}
	plan.Cells = cells
	if len(unobserved.Errs) > 0 {
		return seen, &unobserved
	}
	return seen, nil
}

// walls are the times on the clock.
func walls(samples []worker.Sample) []time.Duration {
	all := make([]time.Duration, len(samples))
	for i, s := range samples {
		all[i] = s.Wall
	}
	return all
}

// median of an odd or even number of times; it sorts them.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

// Main is the TestMain of a package that has a suite: it turns the process into a worker if it was started as one, and
// runs the tests otherwise.
func Main(m *testing.M) {
	worker.ServeIfAsked()
	os.Exit(m.Run())
}

// TestLoad has one sub-test a cell: does its session open, or fail exactly as its row says?
func (s *Suite) TestLoad(t *testing.T) {
	s.each(t, facet{user: "load"}, func(t *testing.T, p Planned, o observe.Observation) error { return p.Judge().Load(o) })
}

// TestInfer has one sub-test a cell that loads: does it find the people in the photographs, as its row says?
func (s *Suite) TestInfer(t *testing.T) {
	loads := func(p Planned) bool { return p.Row.Want == observe.Loads }
	s.each(t, facet{user: "infer", of: loads}, func(t *testing.T, p Planned, o observe.Observation) error { return p.Judge().Infer(o) })
}

// COCO's val2017 on the data path.
const (
	cocoImages      = "coco/val2017"
	cocoAnnotations = "coco/annotations/person_keypoints_val2017.json"
)

// TestCOCO has one sub-test a cell that finds people, of a family that finds several: is its average precision on the
// photographs of the data path what its row says?
func (s *Suite) TestCOCO(t *testing.T) {
	plan, err := s.Plan(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	set, err := s.cocoSet()
	if err != nil {
		t.Fatal(err)
	}
	if set == nil {
		if s.cfg.Requires("coco") {
			t.Fatalf("%s is missing, and POSETEST_REQUIRE allows no skip of coco; set POSETEST_DATA to the folder that holds it", cocoAnnotations)
		}
		t.Skipf("%s is missing; set POSETEST_DATA to the folder that holds it", cocoAnnotations)
	}
	watch := watching(t)
	for _, p := range plan.Cells {
		if p.Single || p.Err != nil || p.Row.Want != observe.Loads || p.Row.Finds != expect.People {
			continue // TestLoad and TestInfer judge it
		}
		t.Run(p.Cell.String(), func(t *testing.T) {
			t.Parallel()
			attributes(t, p)
			watch.judge(t, failureAt(s.cfg, p.Row, p.Cell), func() error {
				stats, err := s.cocoFigures(t.Context(), p, *set, "coco")
				if err != nil {
					return err
				}
				t.Log(stats)
				return p.Judge().AP(p.Precision, stats.AP)
			})
		})
	}
}

// cocoSet opens COCO's photographs of the data path; nil if it has none.
func (s *Suite) cocoSet() (*COCOSet, error) {
	annotations := s.onDataPath(cocoAnnotations)
	if annotations == "" {
		return nil, nil
	}
	set, err := OpenCOCOSet(s.onDataPath(cocoImages), annotations)
	return &set, err
}

// cocoFigures are a cell's on them; user is the test that looks at it.
func (s *Suite) cocoFigures(ctx context.Context, p Planned, set COCOSet, user string) (coco.Stats, error) {
	return s.figures.get(p.Cell, user, func() (coco.Stats, error) { return s.COCO(ctx, p, set) })
}

// onDataPath is where the data path has a file or folder, "" if nowhere.
func (s *Suite) onDataPath(name string) string {
	for _, dir := range s.cfg.Data {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// A facet is what a test looks at.
type facet struct {
	user     string             // the test, for [Suite.observation]
	of       func(Planned) bool // the cells that have it; nil for all
	oneByOne bool               // in the order of the plan, not beside each other
}

// each runs a sub-test for each cell, those that are skipped for want of something among them. What a test returns is why
// the cell fails.
func (s *Suite) each(t *testing.T, f facet, test func(*testing.T, Planned, observe.Observation) error) {
	plan, err := s.Plan(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	watch := watching(t)
	for _, m := range plan.Missing {
		skip := func(t *testing.T) {
			if !s.cfg.Requires(m.ID) {
				t.Skip(m.Err)
			}
			watch.judge(t, alert.Failure{Subject: m.ID}, func() error { return fmt.Errorf("%w (POSETEST_REQUIRE allows no skip of %s)", m.Err, m.ID) })
		}
		for _, c := range m.Cells {
			t.Run(c.String(), skip)
		}
		if len(m.Cells) == 0 {
			t.Run("fixture="+m.ID, skip)
		}
	}
	for _, p := range plan.Cells {
		if p.Err == nil && f.of != nil && !f.of(p) {
			continue // TestLoad judges it
		}
		t.Run(p.Cell.String(), func(t *testing.T) {
			if !f.oneByOne {
				t.Parallel()
			}
			attributes(t, p)
			watch.judge(t, failureAt(s.cfg, p.Row, p.Cell), func() error {
				if p.Err != nil {
					return p.Err
				}
				o, err := s.observation(t.Context(), p, f.user)
				if err != nil {
					return err
				}
				return test(t, p, o)
			})
		})
	}
}

// attributes give a sub-test the keys of its cell, for what reads the output of go test -json.
func attributes(t *testing.T, p Planned) {
	for _, a := range [][2]string{{"model", p.Cell.Model}, {"precision", p.Precision}, {"provider", p.Provider}, {"ort", p.ORT},
		{"platform", p.Platform}, {"isa", p.ISA}, {"row", p.Row.Where()}} {
		t.Attr(a[0], a[1])
	}
}
