package posetest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/worker"
)

// A Kind is what a benchmark times.
type Kind string

const (
	KindInfer    Kind = "Infer"    // the session's run alone
	KindLoad     Kind = "Load"     // the session's creation alone, each in a fresh worker
	KindPipeline Kind = "Pipeline" // from a photograph's pixels to persons
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{KindInfer, KindLoad, KindPipeline} }

// A Benchmark is one thing to time. What is empty is as the suite has it, and not in the name.
type Benchmark struct {
	Kind Kind
	Planned
	Threads int            // of one operator
	Batch   int            // copies of the photograph in one tensor
	Binding worker.Binding // how tensors reach the runtime and come back
	Arena   string         // "on", "off": the runtime's memory arena, with its pattern of a run
	Stages  string         // "separate", "fused": preprocessing in one pass over the picture a stage, or one for all
}

// String is the benchmark's name, without the word Benchmark:
// Infer/model=yolov8n-pose/precision=int8-qdq/provider=cpu/ort=1.32.0/threads=2.
func (b Benchmark) String() string {
	name := string(b.Kind) + "/" + b.Cell.String()
	for _, part := range []struct{ key, value string }{
		{"threads", number(b.Threads)}, {"batch", number(b.Batch)}, {"binding", string(b.Binding)}, {"arena", b.Arena}, {"stages", b.Stages},
	} {
		if part.value != "" {
			name += "/" + part.key + "=" + part.value
		}
	}
	return name
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (b Benchmark) side() Side {
	return Side{Planned: b.Planned, Threads: b.Threads, Tuning: session.Tuning{NoArena: b.Arena == "off", Quiet: true},
		Timing: worker.Timing{Pipeline: b.Kind == KindPipeline, Separate: b.Stages == "separate", Binding: b.Binding, Batch: b.Batch}}
}

// Vary says which benchmarks a cell has: one for each combination that its kind knows of. A list that is nil leaves its
// part as it is, and out of the name.
type Vary struct {
	Kinds   []Kind // default: KindInfer
	Threads []int
	Batch   []int            // of KindInfer
	Binding []worker.Binding // of KindInfer: worker.Copy, worker.Bound
	Arena   []string         // "on", "off"
	Stages  []string         // of KindPipeline: "separate", "fused"
}

// check tells of a word that means nothing, so that a typo doesn't pass for a run of less.
func (v Vary) check() error {
	return cmp.Or(
		known("kinds", v.Kinds, Kinds()...),
		known("binding", v.Binding, worker.Copy, worker.Bound, worker.Device),
		known("arena", v.Arena, "on", "off"),
		known("stages", v.Stages, "separate", "fused"),
		positive("threads", v.Threads),
		positive("batch", v.Batch),
		v.hasKind(KindInfer, "batch", len(v.Batch)),
		v.hasKind(KindInfer, "binding", len(v.Binding)),
		v.hasKind(KindPipeline, "stages", len(v.Stages)),
	)
}

func known[T ~string](name string, words []T, from ...T) error {
	for _, word := range words {
		if !slices.Contains(from, word) {
			return fmt.Errorf("%s: %q is unknown; choose from %s", name, word, strings.Join(wordsOf(from), ", "))
		}
	}
	return nil
}

func wordsOf[T ~string](all []T) []string {
	words := make([]string, len(all))
	for i, word := range all {
		words[i] = string(word)
	}
	return words
}

func positive(name string, all []int) error {
	for _, n := range all {
		if n < 1 {
			return fmt.Errorf("%s: %d is too few; give 1 or more", name, n)
		}
	}
	return nil
}

func (v Vary) hasKind(kind Kind, part string, values int) error {
	if values > 0 && !slices.Contains(v.kinds(), kind) {
		return fmt.Errorf("%s: no benchmark that was asked for has it; ask for kind %s", part, kind)
	}
	return nil
}

func (v Vary) kinds() []Kind {
	if len(v.Kinds) == 0 {
		return []Kind{KindInfer}
	}
	return v.Kinds
}

// of are the benchmarks of one kind that a cell has.
func (v Vary) of(kind Kind, p Planned) []Benchmark {
	all := []Benchmark{{Kind: kind, Planned: p}}
	all = times(all, v.Threads, func(b *Benchmark, n int) { b.Threads = n })
	if kind == KindInfer {
		all = times(all, v.Batch, func(b *Benchmark, n int) { b.Batch = n })
		all = times(all, v.Binding, func(b *Benchmark, binding worker.Binding) { b.Binding = binding })
	}
	all = times(all, v.Arena, func(b *Benchmark, word string) { b.Arena = word })
	if kind == KindPipeline {
		all = times(all, v.Stages, func(b *Benchmark, word string) { b.Stages = word })
	}
	return all
}

// times is each benchmark with each different value.
func times[T comparable](all []Benchmark, values []T, set func(*Benchmark, T)) []Benchmark {
	if len(values) == 0 {
		return all
	}
	var more []Benchmark
	for _, b := range all {
		for i, value := range values {
			if !slices.Contains(values[:i], value) {
				set(&b, value)
				more = append(more, b)
			}
		}
	}
	return more
}

// LeftOut counts what can't be timed, by reason.
type LeftOut map[string]int

// String is "46 unavailable, 5 fails".
func (l LeftOut) String() string {
	var parts []string
	for reason, n := range l {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// Benchmarks lists what can be timed in a plan of this suite: of the cells that load, as their rows say, and always do.
// Its error wraps [ErrSetup].
func (s *Suite) Benchmarks(plan *Plan, v Vary) ([]Benchmark, LeftOut, error) {
	if err := v.check(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	if s.cfg.Threads > 1 && len(v.Threads) == 0 {
		v.Threads = []int{s.cfg.Threads}
	}
	var all []Benchmark
	left := LeftOut{}
	for i, kind := range v.kinds() {
		if slices.Contains(v.kinds()[:i], kind) {
			continue
		}
		for _, p := range plan.Cells {
			if p.Err != nil {
				return nil, nil, fmt.Errorf("%w: %w", ErrSetup, p.Err)
			}
			for _, b := range v.of(kind, p) {
				if reason := b.cannot(); reason != "" {
					left[reason]++
				} else {
					all = append(all, b)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Benchmark) int { return cmp.Compare(a.rank(), b.rank()) })
	if len(all) == 0 {
		return nil, left, fmt.Errorf("%w: nothing that was asked for can be timed: %v; ask for cells that load", ErrSetup, left)
	}
	return all, left, nil
}

// rank puts fp32 first: benchstat compares with the column that it sees first.
func (b Benchmark) rank() int {
	if b.Precision == "fp32" {
		return 0
	}
	return 1
}

// cannot says why a benchmark can't be timed, "" if it can.
func (b Benchmark) cannot() string {
	switch {
	case b.Row.Want != observe.Loads:
		return string(b.Row.Want)
	case len(b.Row.Sometimes) > 0:
		return "unstable"
	case b.Row.Finds == expect.NotRun && b.Kind != KindLoad:
		return "can't run"
	case b.Batch > 1 && !b.openBatch():
		return "of a fixed batch"
	case b.Stages == "separate" && !b.separable():
		return "without separate stages"
	}
	return ""
}

func (b Benchmark) openBatch() bool {
	return len(b.Head.Inputs) > 0 && len(b.Head.Inputs[0].Shape) > 0 && b.Head.Inputs[0].Shape[0] < 0
}

func (b Benchmark) separable() bool {
	family, err := pose.Lookup(b.Model.Family)
	if err != nil {
		return false
	}
	pipeline, err := family.NewPipeline(b.Head.Inputs, b.Head.Outputs)
	_, ok := pipeline.(pose.Separate)
	return err == nil && ok
}
