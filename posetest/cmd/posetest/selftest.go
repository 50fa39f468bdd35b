package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/whole"
	"github.com/spf13/cobra"
)

func selftestCommand(cfg *posetest.Config) *cobra.Command {
	var c posetest.Contest
	var trials, unchanged int
	var out, log string
	cmd := &cobra.Command{
		Use:   "selftest",
		Short: "Prove the gate: how often does it find slowdowns that were put in, and how often does it alarm without one?",
		Long: `Runs the gate again and again on one cell against itself, with slowdowns of 0, 2, 3 and 5 % put into the worker after
each real inference; on the machine as it is, and beside a load on every core, by turns. The sides of a trial share their first
side: five workers take turns. Trials without a slowdown go on until there are enough of them. --out has the table; --log, a line a trial, lets a run that was ended go on.`,
		Example: "  posetest gate selftest --trials 100 --log docs/gate-power.jsonl --out docs/gate-power.md\n  posetest gate selftest --trials 5 --models yolov8n-pose",
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
			if trials == 0 {
				trials = 100
			}
			if !cmd.Flags().Changed("unchanged") {
				unchanged = 3 * trials
			}
			return runSelftest(cmd.Context(), cmd.OutOrStdout(), *cfg, c, trials, unchanged, out, log)
		},
	}
	contestFlags(cmd, cfg, &c)
	cmd.Flags().IntVar(&trials, "trials", 0, "trials of each slowdown in each condition (default 100)")
	cmd.Flags().IntVar(&unchanged, "unchanged", 0, "trials without a slowdown, in both conditions together (default 3 times --trials)")
	cmd.Flags().StringSliceVar(&cfg.Models, "models", nil, "the model, by id (default movenet-lightning)")
	cmd.Flags().StringVar(&out, "out", "", "file for the table, beside standard output")
	cmd.Flags().StringVar(&log, "log", "", "file of trials to add to, and to go on with")
	return cmd
}

// slowdowns are put into the worker, as shares of each run's processor time.
var slowdowns = []float64{0, 0.02, 0.03, 0.05}

// A trial is what the gate said of each slowdown, or of the first alone, in one condition.
type trial struct {
	Cell     observe.Cell      `json:"cell"`
	Machine  observe.Machine   `json:"machine"`
	Method   int               `json:"method"` // posetest.ContestMethod
	Contest  posetest.Contest  `json:"contest"`
	Loaded   bool              `json:"loaded"` // beside a load on every core
	Verdicts []measure.Verdict `json:"verdicts"`
	Ratios   []float64         `json:"ratios"` // of processor time, by slowdown
	Took     time.Duration     `json:"took_ns"`
}

// comparable tells whether trials may stand in one log. Each machine has a table of its own in it.
func (t trial) comparable(u trial) bool {
	t.Contest.Seed, u.Contest.Seed = 0, 0
	return t.Cell == u.Cell && t.Method == u.Method && t.Contest == u.Contest
}

// on are the trials that were made on a kind of machine.
func on(machine observe.Machine, all []trial) []trial {
	return slices.DeleteFunc(slices.Clone(all), func(t trial) bool { return t.Machine != machine })
}

func runSelftest(ctx context.Context, w io.Writer, cfg posetest.Config, c posetest.Contest, trials, unchanged int, out, log string) error {
	suite := posetest.New(cfg)
	plan, err := suite.Plan(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if len(plan.Cells) != 1 {
		return fmt.Errorf("selftest runs one cell, and %d match", len(plan.Cells))
	}
	now := trial{Cell: plan.Cells[0].Cell, Machine: observe.ThisMachine(), Method: posetest.ContestMethod, Contest: c}
	all, err := readTrials(log, now)
	if err != nil {
		return err
	}
	done := func(loaded bool, slowdowns int) (n int) {
		for _, t := range on(now.Machine, all) {
			if t.Loaded == loaded && len(t.Verdicts) >= slowdowns {
				n++
			}
		}
		return n
	}
	bar := newBar(max(2*trials, unchanged), "trials")
	for range on(now.Machine, all) {
		bar.step("before")
	}
	for err == nil {
		which := slowdowns
		if done(true, len(slowdowns)) >= trials && done(false, len(slowdowns)) >= trials {
			which = slowdowns[:1]
		}
		if len(which) == 1 && len(on(now.Machine, all)) >= unchanged {
			break
		}
		now.Loaded = done(true, len(which)) < done(false, len(which))
		now.Contest.Seed = c.Seed + uint64(len(all))*1000
		t, problem := now.run(ctx, suite, plan.Cells[0], which)
		if err = problem; err == nil {
			all = append(all, t)
			err = writeTrials(log, all)
		}
		bar.step(fmt.Sprintf("loaded: %v", now.Loaded))
	}
	bar.stop()
	if len(all) == 0 {
		return err
	}
	return errors.Join(err, printPage(w, powerTable(all), out))
}

// run is one trial: what `posetest gate` would say of each slowdown.
func (t trial) run(ctx context.Context, suite *posetest.Suite, cell posetest.Planned, slowdowns []float64) (trial, error) {
	if t.Loaded {
		defer startLoad(ctx)()
	}
	base := posetest.Side{Planned: cell}
	look := func(seed uint64, which []int) (map[int]measure.Comparison, map[int]error, error) {
		var sides []posetest.Side
		for _, i := range which {
			slowed := base
			slowed.Timing.Slowdown = slowdowns[i]
			sides = append(sides, slowed)
		}
		contest := t.Contest
		contest.Seed += seed
		comparisons, err := suite.CompareAll(ctx, base, sides, contest, nil)
		if err != nil {
			return nil, nil, err
		}
		seen := map[int]measure.Comparison{}
		for k, i := range which {
			comparisons[k].Limit = measure.Limit{High: 1}
			seen[i] = comparisons[k]
		}
		return seen, nil, nil
	}
	each := func(all []measure.Comparison) []measure.Finding { // as a gate of that slowdown alone would
		findings := make([]measure.Finding, len(all))
		for i, c := range all {
			findings[i] = measure.Policy{}.Judge([]measure.Comparison{c})[0]
		}
		return findings
	}
	begin := time.Now()
	rulings, err := posetest.Settle(len(slowdowns), look, each)
	if err != nil {
		return t, err
	}
	t.Verdicts, t.Ratios = nil, nil
	for _, r := range rulings {
		t.Verdicts, t.Ratios = append(t.Verdicts, r.Verdict), append(t.Ratios, r.Comparison.CPU.Ratio)
	}
	t.Took = time.Since(begin)
	return t, nil
}

// powerTable is the page of trials, with a table for each kind of machine.
func powerTable(all []trial) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What the gate finds\n\nMade by `make gate-selftest`: the gate with its defaults (20 pairs, and as many again, up to four times, to confirm or to tell)\n"+
		"on %s against itself, with a slowdown put into the worker after each real inference. Each\n"+
		"trial has workers of its own, and one first side for its slowdowns; the trials are in gate-power.jsonl.\n\n", all[0].Cell)
	var machines []observe.Machine
	for _, t := range all {
		if !slices.Contains(machines, t.Machine) {
			machines = append(machines, t.Machine)
		}
	}
	for _, m := range machines {
		fmt.Fprintf(&b, "## %s, %d cores, %s, class %s\n\n%s", m.CPU, m.Core, m.Platform(), m.ISA, powerOn(on(m, all)))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func powerOn(all []trial) string {
	var b strings.Builder
	t := newTable("slowdown", "beside", "trials", "regressed", "ok", "inconclusive", "found", "ratio seen, median")
	var took time.Duration
	for _, loaded := range []bool{false, true} {
		for i, slowdown := range slowdowns {
			said, trials := map[measure.Verdict]int{}, 0
			var ratios []float64
			for _, t := range all {
				if t.Loaded == loaded && i < len(t.Verdicts) {
					said[t.Verdicts[i]]++
					trials++
					ratios = append(ratios, t.Ratios[i])
				}
			}
			if trials == 0 {
				continue
			}
			slices.Sort(ratios)
			beside := map[bool]string{false: "nothing", true: "a load on every core"}[loaded]
			t.AppendRow([]any{fmt.Sprintf("%.0f %%", 100*slowdown), beside, trials, said[measure.Regressed], said[measure.OK], said[measure.Inconclusive],
				fmt.Sprintf("%.0f %%", 100*float64(said[measure.Regressed])/float64(trials)), fmt.Sprintf("%.3f", ratios[trials/2])})
		}
	}
	for _, t := range all {
		took += t.Took
	}
	b.WriteString(t.RenderMarkdown())
	fmt.Fprintf(&b, "\n\n%d trials took %v.\n\n", len(all), took.Round(time.Second))
	return b.String()
}

// readTrials reads what an earlier run left, which must be of the same kind.
func readTrials(path string, now trial) ([]trial, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--log: %w", err)
	}
	var all []trial
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	for dec.More() {
		var t trial
		if err := dec.Decode(&t); err != nil {
			return nil, fmt.Errorf("--log: %s: trial %d: %w; remove it, or begin another file", path, len(all)+1, err)
		}
		if !t.comparable(now) || len(t.Verdicts) == 0 || len(t.Verdicts) > len(slowdowns) || len(t.Ratios) != len(t.Verdicts) {
			return nil, fmt.Errorf("--log: %s: trial %d is of another cell or way to compare; begin another file", path, len(all)+1)
		}
		all = append(all, t)
	}
	if _, err := dec.Token(); err != io.EOF { // More takes a closing bracket for the end
		return nil, fmt.Errorf("--log: %s: after trial %d something else follows; remove it, or begin another file", path, len(all))
	}
	return all, nil
}

func writeTrials(path string, all []trial) error {
	if path == "" {
		return nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, t := range all {
		if err := enc.Encode(t); err != nil {
			return err
		}
	}
	if err := whole.Write(path, b.Bytes()); err != nil {
		return fmt.Errorf("--log: %w; its trials before are whole: make room there, or choose a file that can be written", err)
	}
	return nil
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
