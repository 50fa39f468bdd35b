package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/measure"
	"github.com/spf13/cobra"
)

// contestFlags are those of commands that let two sides take turns.
func contestFlags(cmd *cobra.Command, cfg *posetest.Config, c *posetest.Contest) {
	f := cmd.Flags()
	f.IntVar(&c.Pairs, "pairs", 0, fmt.Sprintf("pairs of turns, %d to %d (default 20)", measure.MinPairs, measure.MaxPairs))
	f.DurationVar(&c.Pair, "pair", 0, "time of a pair: both sides run by turns for about so long, twice at least, and the median turn counts (default 200ms; of compare A B, 1s)")
	f.IntVar(&c.Restarts, "restarts", 0, "pairs after which both workers are started anew (default 4 to 10: the longer it takes to start them, the more; of compare A B, 1)")
	f.Uint64Var(&c.Seed, "seed", 0, "seed of the order of turns")
	f.IntVar(&cfg.Threads, "threads", 0, "threads of one operator (default 1)")
	f.DurationVar(&cfg.Timeout, "timeout", 0, "time of one load or run (default 1m)")
}

func compareCommand(cfg *posetest.Config) *cobra.Command {
	var c posetest.Contest
	var ort string
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "How much longer does B take than A, and how sure is that?",
		Long: `Both sides are warm in a worker each and take turns in random order, so that what disturbs one disturbs the other. Each pair has
workers of its own, unless --restarts says otherwise: a process may be lucky as a whole, and only pairs that are independent are as many as they seem. The
answer is the ratio of their times on the clock and of the processor, with an exact interval of 95 %, the p-value of no change, and the
smallest change that this run could have seen.

A side is key=value parts joined by "/"; what B leaves out is as in A, and what A leaves out is precision=fp32, provider=cpu and
the newest runtime. Keys: model, precision, provider, ort, threads, batch, binding (reused, copy, bound, device), arena (on, off), spin
(on, off), stages (fused, separate), commit, program (another build of posetest; the last part).

With --ort OLD,NEW it compares two runtimes on all models and providers that run on both, and answers whether to upgrade.

Exit codes: 0 compared (with --ort: nothing got slower), 1 with --ort: something got slower, 2 could not compare.`,
		Example: `  posetest compare model=yolov8n-pose/precision=fp32 precision=int8-qdq
  posetest compare model=movenet-lightning/ort=1.31.1 ort=1.32.0
  posetest compare model=yolov8n-pose/binding=copy binding=bound --pairs 50
  posetest compare model=yolov8n-pose/commit=HEAD~1 commit=HEAD
  posetest compare --ort 1.31.1,1.32.0
  posetest compare --ort 1.31.1,1.32.0 --models movenet-lightning --providers cpu`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if ort != "" {
				if len(args) > 0 {
					return errors.New("compare takes --ort OLD,NEW, or two sides, not both")
				}
				return runUpgrade(cmd, *cfg, ort, c)
			}
			if len(args) != 2 {
				return fmt.Errorf("compare needs two sides, and got %d; see posetest compare --help", len(args))
			}
			return runCompare(cmd, *cfg, args[0], args[1], c)
		},
	}
	contestFlags(cmd, cfg, &c)
	cmd.Flags().StringVar(&ort, "ort", "", "two runtimes, OLD,NEW, to compare on all models")
	cmd.Flags().StringSliceVar(&cfg.Models, "models", nil, "with --ort: only these models, by id")
	cmd.Flags().StringSliceVar(&cfg.Precisions, "precisions", nil, "with --ort: only these precisions")
	cmd.Flags().StringSliceVar(&cfg.Providers, "providers", nil, "with --ort: only these execution providers")
	return cmd
}

func runCompare(cmd *cobra.Command, cfg posetest.Config, textA, textB string, c posetest.Contest) error {
	newest, err := posetest.NewestRuntime()
	if err != nil {
		return err
	}
	wordsA, err := posetest.ParseWords(textA, posetest.Words{"precision": "fp32", "provider": "cpu", "ort": newest})
	if err != nil {
		return err
	}
	wordsB, err := posetest.ParseWords(textB, wordsA)
	if err != nil {
		return err
	}
	switch {
	case wordsA["model"] == "":
		return fmt.Errorf("side %q names no model; write model=… first", textA)
	case maps.Equal(wordsA, wordsB):
		return fmt.Errorf("both sides are %s; let B differ", wordsA)
	}
	cfg.Models, cfg.Precisions, cfg.Providers = both(wordsA, wordsB, "model"), both(wordsA, wordsB, "precision"), both(wordsA, wordsB, "provider")
	cfg.Runtimes = strings.Join(both(wordsA, wordsB, "ort"), ",")
	suite := posetest.New(cfg)
	if _, err := suite.Plan(cmd.Context(), os.Stderr); err != nil {
		return err
	}
	a, err := suite.Side(cmd.Context(), wordsA, os.Stderr)
	if err != nil {
		return err
	}
	b, err := suite.Side(cmd.Context(), wordsB, os.Stderr)
	if err != nil {
		return err
	}
	if a.Timing.Pipeline || b.Timing.Pipeline {
		a.Timing.Pipeline, b.Timing.Pipeline = true, true
	}
	c = oneQuestion(c)
	bar := newBar(c.Pairs, "pairs")
	comparison, err := suite.Compare(cmd.Context(), a, b, c, func() { bar.step("pairs") })
	bar.stop()
	if err != nil {
		return err
	}
	nameA, nameB := wordsA.Beside(wordsB), wordsB.Beside(wordsA)
	if nameA == "" {
		nameA = "the same without"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n", wordsA)
	fmt.Fprintln(cmd.OutOrStdout(), "On the clock:      ", comparison.Wall.Sentence(nameA, nameB))
	fmt.Fprintln(cmd.OutOrStdout(), "Of the processor:  ", comparison.CPU.Sentence(nameA, nameB))
	return nil
}

func both(a, b posetest.Words, key string) []string {
	return slices.Compact(slices.Sorted(slices.Values([]string{a[key], b[key]})))
}

// oneQuestion is how two sides are compared, where nothing else says so. Pairs of one process are alike, which makes intervals too
// narrow (docs/gate.md), so that each has workers of its own, and then as much time as it takes to start them: one comparison has
// the time for that, and a gate has not.
func oneQuestion(c posetest.Contest) posetest.Contest {
	c.Pairs, c.Pair, c.Restarts = cmp.Or(c.Pairs, 20), cmp.Or(c.Pair, time.Second), cmp.Or(c.Restarts, 1)
	return c
}

func runUpgrade(cmd *cobra.Command, cfg posetest.Config, ort string, c posetest.Contest) error {
	from, to, ok := strings.Cut(ort, ",")
	if !ok || from == "" || to == "" || from == to || strings.Contains(to, ",") {
		return fmt.Errorf("--ort %q must be two runtimes, OLD,NEW", ort)
	}
	cfg.Runtimes = ort
	suite := posetest.New(cfg)
	if _, err := suite.Plan(cmd.Context(), os.Stderr); err != nil {
		return err
	}
	bouts, err := suite.Bouts(posetest.Baseline{ORT: from})
	if err != nil {
		return err
	}
	bouts = slices.DeleteFunc(bouts, func(b posetest.Bout) bool { return b.Against == "fp32" })
	rulings, err := gate(cmd.Context(), suite, bouts, c)
	if err != nil {
		return err
	}
	printRulings(cmd.OutOrStdout(), rulings)
	slower, unsure, faster := 0, 0, 0
	for _, r := range rulings {
		switch {
		case r.Verdict == measure.Regressed:
			slower++
		case r.Verdict == measure.Inconclusive:
			unsure++
		case r.Comparison.Wall.High < 0.99:
			faster++
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "From %s to %s, %d cells: %d got slower, %d got faster by 1 %% or more, %d could not be told, the others stayed.\n",
		from, to, len(rulings), slower, faster, unsure)
	switch {
	case slower > 0:
		fmt.Fprintln(cmd.OutOrStdout(), "Upgrade only if the slower cells are not yours.")
		return errRegression
	case unsure > 0:
		return untold(rulings)
	}
	fmt.Fprintln(cmd.OutOrStdout(), "As to speed, you may upgrade; `posetest report` says whether all loads and finds the same.")
	return nil
}

// roundTime is a duration that a person reads.
func roundTime(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
