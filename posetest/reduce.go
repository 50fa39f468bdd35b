package posetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/reduce"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/posetest/suite/posetest/whole"
	"github.com/posetest/suite/posetest/worker"
)

// A Reduction says which failure to cut to its smallest model.
type Reduction struct {
	Model    string // path
	Provider string
	Runtime  string // id, such as "openvino-1.24.1"; "" with a library of the user's own
	// Tries is how often a model must be opened without the failure before it counts as one that does not have it. Default: 1 for words;
	// a crash must come in 3 tries of as many as its share among the first tries of the whole model asks for.
	Tries int
}

// A Reduced is the smallest model with the failure of another.
type Reduced struct {
	Observed      observe.Observation // of the small model: Outcome, Failure, Death
	Nodes, Before int
	Bytes         int
	BytesBefore   int
	Operators     []string // of the nodes that are left, in their order
	Again, Tried  int      // in so many of so many tries the small model failed
	Opened        int      // models that were tried
}

// Reduce cuts a model that a runtime refuses, or that crashes it, to the smallest that fails with the same words, but for names and
// numbers, or dies of the same signal while it opens; and writes it to out. Its error wraps [ErrSetup] unless the context ended.
func Reduce(ctx context.Context, cfg Config, r Reduction, out string, log Log) (Reduced, error) {
	fail := func(err error) (Reduced, error) { return Reduced{}, setupUnlessDone(ctx, err) }
	cfg, err := cfg.complete()
	if err != nil {
		return Reduced{}, err
	}
	if !slices.Contains(session.Providers(), r.Provider) {
		return fail(fmt.Errorf("provider %q is unknown; choose from %s", r.Provider, strings.Join(session.Providers(), ", ")))
	}
	text, parts, err := partsOf(r.Model)
	if err != nil {
		return fail(err)
	}
	if stat, err := os.Stat(filepath.Dir(out)); err != nil || !stat.IsDir() {
		return fail(fmt.Errorf("%s can't be written: there is no folder %s; name another file with -o", out, filepath.Dir(out)))
	}
	library, err := cfg.libraryOf(ctx, r.Runtime, log)
	if err != nil {
		return fail(err)
	}
	scratch, err := whole.Temporary("", "posetest-reduce-")
	if err != nil {
		return fail(err)
	}
	defer scratch.Remove()
	j := &reducing{cfg: cfg, Reduction: r, library: library, parts: parts, scratch: scratch.Path, log: log, names: parts.Names()}
	if err := j.first(ctx, text); err != nil {
		return fail(err)
	}
	small, keep, err := j.smallest(ctx)
	if err != nil {
		return fail(err)
	}
	result := Reduced{Nodes: len(keep), Before: parts.Nodes(), Bytes: len(small.Model), BytesBefore: len(text), Opened: j.opened}
	for _, i := range keep {
		result.Operators = append(result.Operators, parts.Operator(i))
	}
	if err := j.again(ctx, small, &result); err != nil {
		return fail(err)
	}
	if err := whole.Write(out, small.Model); err != nil {
		return fail(fmt.Errorf("%w; name another file with -o", err))
	}
	return result, nil
}

func partsOf(path string) ([]byte, *onnx.Parts, error) {
	if _, err := onnx.ReadGraphFile(path); err != nil { // it has the sentences on what is no model
		return nil, nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	parts, err := onnx.ReadParts(text)
	if err != nil {
		return nil, nil, fmt.Errorf("model %s: %w", path, err)
	}
	return text, parts, nil
}

// libraryOf installs a runtime where it is missing, and returns its library.
func (c Config) libraryOf(ctx context.Context, id string, log Log) (string, error) {
	if c.Library != "" && id == "" {
		return c.Library, nil
	}
	known, err := ortlib.Known()
	if err != nil {
		return "", err
	}
	chosen, err := ortlib.Select(known, id)
	if err != nil {
		return "", err
	}
	if id == "" || id == "all" || len(chosen) != 1 {
		return "", errors.New("a model is reduced in one runtime; name one of `posetest runtime list`, or set POSETEST_ORT to a library of your own")
	}
	return c.store(log).Install(ctx, chosen[0])
}

// A reducing is a reduction at work.
type reducing struct {
	cfg Config
	Reduction
	library string
	parts   *onnx.Parts
	scratch string
	log     Log
	names   map[string]bool

	want   observe.Observation // what the whole model does
	words  string              // its message, names and numbers hidden
	need   int                 // how often a smaller one must fail in its tries
	opened int                 // models so far
}

// firstTries are those of the whole model: from them follows how often a smaller one must be tried.
const firstTries = 6

// missed is the chance at most that a model which has the failure counts as one that does not.
const missed = 0.01

// first sees what the whole model does, and how surely.
func (j *reducing) first(ctx context.Context, model []byte) error {
	whole := onnx.Cut{Model: model, Outputs: []tensor.Info{{Name: "none"}}}
	tries, failed := 0, 0
	for tries < max(firstTries, j.Tries) {
		o, err := j.open(ctx, whole)
		if err != nil {
			return err
		}
		tries++
		if o.Outcome == observe.Unavailable {
			return fmt.Errorf("provider %s is not in %s (%s); choose another --runtime", j.Provider, j.Runtime, o.Failure.Message)
		}
		if o.Outcome == observe.Loads {
			continue
		}
		if failed == 0 {
			j.want = o
			if o.Failure != nil {
				j.words = hideNames(o.Failure.Message, j.names)
			}
			if o.Outcome != observe.Crashes && j.Tries == 0 && tries == 1 {
				failed = 1
				break // a refusal in words, or a wait without end, seldom comes by chance
			}
		}
		if j.same(o) {
			failed++
		}
	}
	if failed == 0 {
		return fmt.Errorf("%s loads on %s in %s, in %d tries of %d: there is nothing to reduce", j.Model, j.Provider, cmp.Or(j.Runtime, j.library), tries, tries)
	}
	j.need = 1
	if j.Tries == 0 {
		j.Tries, j.need = triesFor(failed, tries)
	}
	fmt.Fprintf(j.log, "%d nodes, %d bytes: %s, in %d of %d tries; a smaller model must fail in %d of %d\n",
		j.parts.Nodes(), len(model), expect.Describe(j.want), failed, tries, j.need, j.Tries)
	return nil
}

// often is how many times a model must crash in its tries: one that crashes seldom is no use in an issue, and without this bar
// each cut would be content with a rarer crash than the one before.
const often = 3

// triesFor is how often a model must be tried that failed in so many of so many tries, to see it fail need times but for a hundredth of
// cases at most. More than half is counted as half, since a smaller model may crash less surely than the whole.
func triesFor(failed, tries int) (n, need int) {
	if tries == 1 {
		return 1, 1
	}
	share := min(float64(failed)/float64(tries), 0.5)
	for n = often; ; n++ {
		fewer := 0.0 // chance of less than often
		for k := range often {
			fewer += binomial(n, k) * math.Pow(share, float64(k)) * math.Pow(1-share, float64(n-k))
		}
		if fewer <= missed {
			return n, often
		}
	}
}

// binomial is the number of ways to choose k of n.
func binomial(n, k int) float64 {
	ways := 1.0
	for i := range k {
		ways *= float64(n-i) / float64(i+1)
	}
	return ways
}

// smallest cuts nodes first, then the weights' data.
func (j *reducing) smallest(ctx context.Context) (onnx.Cut, []int, error) {
	nodes, err := reduce.Minimize(j.parts.Nodes(), func(keep []int) (bool, error) { return j.fails(ctx, keep, nil) })
	if err != nil {
		return onnx.Cut{}, nil, err
	}
	var heavy []string
	for name, size := range j.parts.Weights(nodes) {
		if size > heavyBytes {
			heavy = append(heavy, name)
		}
	}
	slices.Sort(heavy)
	hollow := func(data []int) map[string]bool {
		all := map[string]bool{}
		for i, name := range heavy {
			all[name] = !slices.Contains(data, i)
		}
		return all
	}
	data, err := reduce.Minimize(len(heavy), func(data []int) (bool, error) { return j.fails(ctx, nodes, hollow(data)) })
	if err != nil {
		return onnx.Cut{}, nil, err
	}
	small, err := j.parts.Cut(nodes, hollow(data))
	return small, nodes, err
}

// again tries the smallest model, so that an issue can say how often it fails.
func (j *reducing) again(ctx context.Context, small onnx.Cut, result *Reduced) error {
	for result.Tried < max(3, 2*j.Tries) {
		o, err := j.open(ctx, small)
		if err != nil {
			return err
		}
		result.Tried++
		if j.same(o) {
			result.Again, result.Observed = result.Again+1, o
		}
	}
	if result.Again == 0 {
		return fmt.Errorf("the failure of %s comes and goes: the smallest model failed %d times, and then not in %d tries; ask for other --tries than %d", j.Model, j.need, result.Tried, j.Tries)
	}
	return nil
}

// heavyBytes is the size from which an initializer's data are worth leaving out.
const heavyBytes = 128

// fails tells whether some of the nodes fail as all do, and says so if they do.
func (j *reducing) fails(ctx context.Context, keep []int, hollow map[string]bool) (bool, error) {
	cut, err := j.parts.Cut(keep, hollow)
	if errors.Is(err, onnx.ErrUntyped) || len(cut.Outputs) == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	failed := 0
	for left := j.Tries; left >= j.need-failed; left-- {
		o, err := j.open(ctx, cut)
		if err != nil {
			return false, err
		}
		if j.same(o) {
			failed++
		}
		if failed == j.need {
			fmt.Fprintf(j.log, "try %d: %d of %d nodes, %d bytes: fails the same\n", j.opened, len(keep), j.parts.Nodes(), len(cut.Model))
			return true, nil
		}
	}
	return false, nil
}

// open opens a model in a worker of its own.
func (j *reducing) open(ctx context.Context, cut onnx.Cut) (o observe.Observation, err error) {
	path := filepath.Join(j.scratch, "model.onnx")
	if err := os.WriteFile(path, cut.Model, 0o644); err != nil {
		return o, err
	}
	j.opened++
	w, err := worker.Start(ctx, worker.Spec{Timeout: j.cfg.Timeout, Environ: j.cfg.environ(j.library)})
	if err != nil {
		return o, err
	}
	defer w.Close()
	o.Outcome = observe.Loads
	if o.Runtime, _, err = w.OpenLibrary(ctx, j.library); err == nil {
		_, err = w.Open(ctx, worker.Model{Path: path, Provider: j.Provider, Threads: j.cfg.Threads, Inputs: cut.Inputs, Outputs: cut.Outputs,
			Tuning: session.Tuning{Quiet: true}})
	}
	if ctx.Err() != nil {
		return o, context.Cause(ctx)
	}
	return o, noteOutcome(&o, err)
}

// same tells whether a model fails as the whole does.
func (j *reducing) same(o observe.Observation) bool {
	if o.Outcome != j.want.Outcome {
		return false
	}
	switch o.Outcome {
	case observe.Fails:
		return hideNames(o.Failure.Message, j.names) == j.words
	case observe.Crashes:
		return o.Death.Signal == j.want.Death.Signal && o.Death.During == j.want.Death.During && o.Death.Exit == j.want.Death.Exit
	}
	return o.Outcome == observe.Hangs
}

var (
	word   = regexp.MustCompile(`[^\s'"(),;:\[\]{}]+`)
	digits = regexp.MustCompile(`\d+`)
)

// hideNames leaves of a message what does not change when nodes around the fault go: names of the model's nodes and tensors are
// hidden, and numbers.
func hideNames(message string, names map[string]bool) string {
	message = word.ReplaceAllStringFunc(message, func(w string) string {
		if names[strings.TrimRight(w, ".")] {
			return "…"
		}
		return w
	})
	return digits.ReplaceAllString(message, "#")
}
