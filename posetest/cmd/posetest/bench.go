package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/worker"
	"github.com/spf13/cobra"
)

// A benching is what a run of benchmarks is asked for.
type benching struct {
	vary           posetest.Vary
	kinds, binding []string
	count          int
	benchtime      string
	seed           uint64
	each           posetest.Benchtime // benchtime, read
}

// defaultCount is the number of samples from which benchstat tells an interval.
const defaultCount = 6

func benchCommand(cfg *posetest.Config) *cobra.Command {
	var b benching
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Time the cells that load, in Go's benchmark format, for benchstat",
		Long: `Takes --count samples of each cell, in rounds over all cells in changing order, and prints them in Go's benchmark
format: nothing else is on standard output. A sample is a fresh worker, warmed up, that times itself for --benchtime. Exit
code 2 where a cell has not all its samples.

--threads, --batch, --binding, --arena and --stages each take a list, and are in a benchmark's name where they are given.`,
		Example: `  posetest bench | go tool benchstat -col /precision -
  posetest bench --models movenet-lightning --precisions fp32,int8-qdq --runtimes 1.22.1,1.32.0
  posetest bench --kinds pipeline --stages separate,fused --count 10
  posetest bench --threads 1,2 --benchtime 662x
  posetest bench check bench.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			for _, word := range b.kinds {
				kind := posetest.Kind(word)
				if i := slices.IndexFunc(posetest.Kinds(), func(k posetest.Kind) bool { return strings.EqualFold(string(k), word) }); i >= 0 {
					kind = posetest.Kinds()[i]
				}
				b.vary.Kinds = append(b.vary.Kinds, kind)
			}
			for _, word := range b.binding {
				b.vary.Binding = append(b.vary.Binding, worker.Binding(word))
			}
			if b.benchtime != "" {
				if b.each, err = posetest.ParseBenchtime(b.benchtime); err != nil {
					return fmt.Errorf("--benchtime: %w", err)
				}
			}
			if b.count < 0 {
				return fmt.Errorf("--count %d: there must be at least one round", b.count)
			}
			if b.count == 0 {
				b.count = defaultCount
			}
			return runBench(cmd, *cfg, b)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&b.kinds, "kinds", nil, "what to time: infer, load, pipeline (default infer)")
	f.StringVar(&cfg.Runtimes, "runtimes", "", `runtimes, or "all" (default $POSETEST_RUNTIMES, or the default set)`)
	f.StringSliceVar(&cfg.Models, "models", nil, "only these models, by id")
	f.StringSliceVar(&cfg.Precisions, "precisions", nil, "only these precisions")
	f.StringSliceVar(&cfg.Providers, "providers", nil, "only these execution providers")
	f.IntSliceVar(&b.vary.Threads, "threads", nil, "threads of one operator (default 1)")
	f.IntSliceVar(&b.vary.Batch, "batch", nil, "photographs a run, for models of open batch")
	f.StringSliceVar(&b.binding, "binding", nil, "copy, bound, device: tensors copied each run, bound once, or bound once on the provider's device")
	f.StringSliceVar(&b.vary.Arena, "arena", nil, "on, off: the runtime's memory arena")
	f.StringSliceVar(&b.vary.Stages, "stages", nil, "separate, fused: preprocessing of the pipeline")
	f.IntVar(&b.count, "count", 0, "samples a cell (default 6: benchstat tells no interval of fewer)")
	f.StringVar(&b.benchtime, "benchtime", "", `timed runs a sample, as time or number, such as "662x" (default 300ms, and at least 5 runs)`)
	f.Uint64Var(&b.seed, "seed", 0, "of the order of the cells in each round")
	f.DurationVar(&cfg.Timeout, "timeout", 0, "time of one load or run (default 1m)")
	cmd.AddCommand(benchCheckCommand())
	return cmd
}

func benchCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE…",
		Short: "Tell whether benchstat would lose or mix anything of these files",
		Long: `benchstat leaves out lines that it can't read, and compares the rest. Exit code 2 and a sentence, unless each file (- is
standard input) is whole, of one machine, without a line of a log, with the same number of samples of each cell, and all
have at least two cells together.`,
		Example: "  posetest bench > bench.txt && posetest bench check bench.txt",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			cells := 0
			for _, name := range files {
				n, err := checkFile(name)
				if err != nil {
					return err
				}
				cells += n
			}
			if cells < 2 {
				return fmt.Errorf("%s: fewer than two cells (%d), so that nothing can be compared; measure another precision or runtime too", strings.Join(files, ", "), cells)
			}
			return nil
		},
	}
}

func checkFile(name string) (cells int, err error) {
	if name == "-" {
		return posetest.CheckBenchmarks(os.Stdin, "standard input")
	}
	file, err := os.Open(name)
	if err != nil {
		return 0, fmt.Errorf("%w; name a file that posetest bench wrote", err)
	}
	defer file.Close()
	return posetest.CheckBenchmarks(file, name)
}

func runBench(cmd *cobra.Command, cfg posetest.Config, b benching) error {
	ctx := cmd.Context()
	suite := posetest.New(cfg)
	plan, err := suite.Plan(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if err := benchable(suite.Config(), plan, os.Stderr); err != nil {
		return err
	}
	all, left, err := suite.Benchmarks(plan, b.vary)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		fmt.Fprintf(os.Stderr, "not timed: %v\n", left)
	}
	out, err := posetest.NewBenchWriter(cmd.OutOrStdout(), observe.ThisMachine())
	if err != nil {
		return err
	}
	bar := newBar(len(all)*b.count, "samples")
	defer bar.stop()
	times := slices.Repeat([]posetest.Benchtime{b.each}, len(all)) // all samples of a cell have as many runs as its first
	samples := make([]int, len(all))
	failures := make([]error, len(all))
	for round := range b.count {
		for _, i := range order(len(all), round, b.seed) {
			bar.step(all[i].String())
			if failures[i] != nil {
				continue
			}
			sample, err := suite.Sample(ctx, all[i], times[i])
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if failures[i] = err; err != nil {
				continue
			}
			if err := out.Write(all[i], sample); err != nil {
				return err
			}
			times[i] = posetest.Benchtime{Runs: len(sample.Runs)}
			samples[i]++
		}
	}
	if err := incomplete(all, samples, failures, b.count); err != nil {
		return err
	}
	return out.Complete(len(all), b.count)
}

// order is a round's, of so many cells: the first is as listed, which is how benchstat shows them, and each further one is
// another, so that no cell always runs after the same one.
func order(cells, round int, seed uint64) []int {
	order := rand.New(rand.NewPCG(seed, uint64(round))).Perm(cells)
	if round == 0 {
		slices.Sort(order)
	}
	return order
}

// benchable tells of what is not here and was asked for by name or is required, and says on log what else is missing.
func benchable(cfg posetest.Config, plan *posetest.Plan, log io.Writer) error {
	for _, m := range plan.Missing {
		if cfg.Requires(m.ID) {
			return fmt.Errorf("%w; %s may not be skipped (POSETEST_REQUIRE)", m.Err, m.ID)
		}
		if len(m.Cells) == 0 { // a photograph
			continue
		}
		byName := len(cfg.Models) > 0
		if m.ID == m.Cells[0].ORT {
			byName = cfg.Runtimes != "" && cfg.Runtimes != "all"
		}
		if byName || len(plan.Cells) == 0 {
			return fmt.Errorf("%d cells that were asked for can't be timed: %w", len(m.Cells), m.Err)
		}
		fmt.Fprintf(log, "not timed: %d cells: %v\n", len(m.Cells), m.Err)
	}
	return nil
}

// incomplete says which cells lack samples, and why; nil if none does.
func incomplete(all []posetest.Benchmark, samples []int, failures []error, count int) error {
	var lacking []string
	for i, b := range all {
		if samples[i] < count {
			lacking = append(lacking, fmt.Sprintf("%v has %d of %d (%v)", b, samples[i], count, failures[i]))
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d cells lack samples, so that nothing may be made of this output: %s", len(lacking), len(all), strings.Join(lacking, "; "))
}
