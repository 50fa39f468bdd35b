package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2/maybe"
	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/spf13/cobra"
)

func selftestCommand(cfg *posetest.Config) *cobra.Command {
	var c posetest.Contest
	var trials int
	var out string
	cmd := &cobra.Command{
		Use:   "selftest",
		Short: "Prove the gate: how often does it find slowdowns that were put in, and how often does it alarm without one?",
		Long: `Runs the gate again and again on one cell against itself, with slowdowns of 0, 2, 3 and 5 % put into the worker after
each real inference; on the machine as it is, and beside a load generator. Writes the table of what was found.`,
		Example: "  posetest gate selftest --trials 100 --out docs/gate-power.md\n  posetest gate selftest --trials 5 --models yolov8n-pose",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(cfg.Models) == 0 {
				cfg.Models = []string{"movenet-lightning"}
			}
			cfg.Precisions, cfg.Providers = []string{"fp32"}, []string{"cpu"}
			newest, err := posetest.NewestRuntime()
			if err != nil {
				return err
			}
			cfg.Runtimes = newest
			if c.Pair == 0 {
				c.Pair = 60 * time.Millisecond
			}
			if trials == 0 {
				trials = 100
			}
			return runSelftest(cmd.Context(), *cfg, c, trials, out)
		},
	}
	contestFlags(cmd, cfg, &c)
	cmd.Flags().IntVar(&trials, "trials", 0, "trials of each slowdown, in each condition, and half as many again without one (default 100)")
	cmd.Flags().StringSliceVar(&cfg.Models, "models", nil, "the model, by id (default movenet-lightning)")
	cmd.Flags().StringVar(&out, "out", "", "file for the table, beside standard output")
	return cmd
}

// slowdowns are put into the worker, as shares of each run's processor time.
var slowdowns = []float64{0, 0.02, 0.03, 0.05}

// A power is what the gate said of one slowdown in one condition.
type power struct {
	slowdown float64
	beside   string
	said     map[measure.Verdict]int
	trials   int
	took     time.Duration
}

func runSelftest(ctx context.Context, cfg posetest.Config, c posetest.Contest, trials int, out string) error {
	suite := posetest.New(cfg)
	plan, err := suite.Plan(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if len(plan.Cells) != 1 {
		return fmt.Errorf("selftest runs one cell, and %d match", len(plan.Cells))
	}
	side := posetest.Side{Planned: plan.Cells[0]}
	conditions := []struct {
		name string
		load func(context.Context) (stop func())
	}{{"nothing", func(context.Context) func() { return func() {} }}, {"a load on every core", startLoad}}
	total := 0
	for _, slowdown := range slowdowns {
		total += len(conditions) * trialsOf(trials, slowdown)
	}
	bar := newBar(total, "trials")
	defer bar.stop()
	var all []power
	seed := c.Seed
	for _, condition := range conditions {
		stop := condition.load(ctx)
		for _, slowdown := range slowdowns {
			p := power{slowdown: slowdown, beside: condition.name, said: map[measure.Verdict]int{}, trials: trialsOf(trials, slowdown)}
			begin := time.Now()
			for range p.trials {
				slowed := side
				slowed.Timing.Slowdown = slowdown
				bout := posetest.Bout{A: side, B: slowed, Limit: measure.Limit{High: 1}, Against: "itself"}
				seed += 1000
				c.Seed = seed
				rulings, err := suite.Gate(ctx, []posetest.Bout{bout}, c, measure.Policy{}, func(posetest.Bout) {})
				if err == nil {
					err = rulings[0].Err
				}
				if err != nil {
					stop()
					return err
				}
				p.said[rulings[0].Verdict]++
				bar.step(fmt.Sprintf("%.0f %% beside %s", 100*slowdown, condition.name))
			}
			p.took = time.Since(begin)
			all = append(all, p)
			fmt.Fprintln(os.Stderr, p)
		}
		stop()
	}
	text := powerTable(all, side, trials)
	fmt.Print(text)
	if out == "" {
		return nil
	}
	return maybe.WriteFile(out, []byte(text), 0o644)
}

func trialsOf(trials int, slowdown float64) int {
	if slowdown == 0 {
		return trials * 3 / 2
	}
	return trials
}

func (p power) String() string {
	return fmt.Sprintf("%.0f %% beside %s: %d trials, %d regressed, %d ok, %d inconclusive, %v a trial", 100*p.slowdown, p.beside, p.trials,
		p.said[measure.Regressed], p.said[measure.OK], p.said[measure.Inconclusive], (p.took / time.Duration(p.trials)).Round(10*time.Millisecond))
}

func powerTable(all []power, side posetest.Side, trials int) string {
	machine := observe.ThisMachine()
	var b strings.Builder
	fmt.Fprintf(&b, "# What the gate finds\n\nMade by `make gate-selftest` (%d trials) on %s, %d cores, %s, class %s: the gate with 20 pairs, its\n"+
		"default, on %s against itself, with a slowdown put into the worker after each real inference. Pairs are of 60 ms, where those of a\n"+
		"real gate are of 400 ms, so that a real gate sees no less.\n\n", trials, machine.CPU, machine.Core, machine.Platform(), machine.ISA, side.Cell)
	t := newTable("slowdown", "beside", "trials", "regressed", "ok", "inconclusive", "found", "time of a trial")
	t.SetOutputMirror(nil)
	for _, p := range all {
		t.AppendRow([]any{fmt.Sprintf("%.0f %%", 100*p.slowdown), p.beside, p.trials, p.said[measure.Regressed], p.said[measure.OK],
			p.said[measure.Inconclusive], fmt.Sprintf("%.0f %%", 100*float64(p.said[measure.Regressed])/float64(p.trials)), (p.took / time.Duration(p.trials)).Round(10 * time.Millisecond)})
	}
	b.WriteString(t.RenderMarkdown() + "\n")
	return b.String()
}

// startLoad keeps every core busy by fits and starts, as other programs do, until stop is called.
func startLoad(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	cores := runtime.NumCPU()
	before := runtime.GOMAXPROCS(2 * cores) // the load shall not keep us from reading our pipes
	var group sync.WaitGroup
	for i := range cores {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			fit := func() time.Duration { return time.Duration(1+random.IntN(100)) * time.Millisecond }
			for ctx.Err() == nil {
				for until := time.Now().Add(fit()); time.Now().Before(until); {
				}
				time.Sleep(fit())
			}
		})
	}
	return func() {
		cancel()
		group.Wait()
		runtime.GOMAXPROCS(before)
	}
}
