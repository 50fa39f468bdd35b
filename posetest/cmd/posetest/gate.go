package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/whole"
	"github.com/spf13/cobra"
)

func gateCommand(cfg *posetest.Config) *cobra.Command {
	var c posetest.Contest
	var base posetest.Baseline
	var commit, history string
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Has a cell become slower, than a baseline or than its bar allows?",
		Long: `Holds each cell that runs to its bar of speed against fp32 ([[speed]] in golden/support.toml), and to a baseline, if one is
given: another runtime, another commit, or another build of posetest. All is measured now, on this machine, by turns; no time from elsewhere counts.

Three verdicts a cell: ok, regressed, inconclusive. A cell regresses if the exact paired test says that it misses its limit by more than 1 %, after
Holm's adjustment over all cells, and what was measured again with new workers is by itself not ok either. What is not ok at once is measured again, four
times at most, until all its pairs together say what it is.

With --history FILE the ratios are added to that file (JSON Lines), and a slow drift over its runs, which no single run would show,
is a regression, too.

Exit codes: 0 all ok, 1 something regressed, 2 something is inconclusive, or could not be measured.`,
		Example: `  posetest gate                                  # bars of speed only
  posetest gate --against-ort 1.31.1 --runtimes 1.32.0
  posetest gate --against-commit HEAD~1 --history gate.jsonl
  posetest gate --against-program ./posetest-before --models movenet-lightning --pairs 40`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runGate(cmd, *cfg, c, base, commit, history) },
	}
	contestFlags(cmd, cfg, &c)
	f := cmd.Flags()
	f.StringVar(&base.ORT, "against-ort", "", "baseline: another runtime, by id")
	f.StringVar(&base.Program, "against-program", "", "baseline: another build of posetest")
	f.StringVar(&commit, "against-commit", "", "baseline: the posetest of another commit, built when needed")
	f.StringVar(&history, "history", "", "file of ratios to add to, and to look for a slow drift in")
	f.StringVar(&cfg.Runtimes, "runtimes", "", `runtimes, or "all" (default $POSETEST_RUNTIMES, or the newest)`)
	f.StringSliceVar(&cfg.Models, "models", nil, "only these models, by id")
	f.StringSliceVar(&cfg.Precisions, "precisions", nil, "only these precisions")
	f.StringSliceVar(&cfg.Providers, "providers", nil, "only these execution providers")
	cmd.AddCommand(selftestCommand(cfg))
	return cmd
}

func runGate(cmd *cobra.Command, cfg posetest.Config, c posetest.Contest, base posetest.Baseline, commit, history string) error {
	given := 0
	for _, b := range []string{base.ORT, base.Program, commit} {
		if b != "" {
			given++
		}
	}
	if given > 1 {
		return errors.New("--against-ort, --against-program and --against-commit: give one")
	}
	past, err := readHistory(history)
	if err != nil {
		return err
	}
	if history != "" { // before anything is measured for it
		if err := whole.Writable(filepath.Dir(history)); err != nil {
			return fmt.Errorf("--history: %w; make room there, or choose a file that can be written", err)
		}
	}
	if cfg.Runtimes == "" && os.Getenv("POSETEST_RUNTIMES") == "" {
		if cfg.Runtimes, err = posetest.NewestRuntime(); err != nil {
			return err
		}
	}
	if base.ORT != "" && cfg.Runtimes != "" && cfg.Runtimes != "all" {
		cfg.Runtimes += "," + base.ORT
	}
	added := len(cfg.Precisions) > 0 && !slices.Contains(cfg.Precisions, "fp32")
	if added { // what the others are held to
		cfg.Precisions = append(cfg.Precisions, "fp32")
	}
	begin := time.Now()
	suite := posetest.New(cfg)
	plan, err := suite.Plan(cmd.Context(), os.Stderr)
	if err != nil {
		return err
	}
	for _, m := range plan.Missing {
		if suite.Config().Requires(m.ID) {
			return fmt.Errorf("%w; %s may not be skipped (POSETEST_REQUIRE)", m.Err, m.ID)
		}
	}
	switch {
	case commit != "":
		var full string
		if base.Program, full, err = suite.BuildCommit(cmd.Context(), commit, os.Stderr); err != nil {
			return err
		}
		base.Name = "commit=" + full[:12]
	case base.Program != "":
		if base.Program, err = filepath.Abs(base.Program); err != nil {
			return err
		}
		if _, err := os.Stat(base.Program); err != nil {
			return fmt.Errorf("--against-program: %w; give the path of another build of posetest", err)
		}
		base.Name = "program=" + filepath.Base(base.Program)
	}
	bouts, err := suite.Bouts(base)
	if err != nil {
		return err
	}
	if added {
		bouts = slices.DeleteFunc(bouts, func(b posetest.Bout) bool { return b.B.Precision == "fp32" })
	}
	rulings, err := gate(cmd.Context(), suite, bouts, c)
	if err != nil {
		return err
	}
	printRulings(cmd.OutOrStdout(), rulings)
	now := records(rulings)
	drifts := drifting(past, now)
	for _, d := range drifts {
		fmt.Fprintln(cmd.OutOrStdout(), d)
	}
	count := map[measure.Verdict]int{}
	for _, r := range rulings {
		count[r.Verdict]++
	}
	sum := fmt.Sprintf("%d comparisons: %d ok, %d regressed, %d inconclusive; %d drift. Took %v.", len(rulings), count[measure.OK], count[measure.Regressed],
		count[measure.Inconclusive], len(drifts), roundTime(time.Since(begin)))
	fmt.Fprintln(cmd.OutOrStdout(), sum)
	alertOf(slowed(suite.Config(), plan.Speeds, rulings, drifts), func(w io.Writer) error { return gateMarkdown(w, sum, rulings, drifts) })
	if history != "" {
		if err := writeHistory(history, append(past, now...)); err != nil {
			return err
		}
	}
	switch {
	case count[measure.Regressed] > 0 || len(drifts) > 0:
		return errRegression
	case count[measure.Inconclusive] > 0:
		return untold(rulings)
	}
	return nil
}

// gate runs bouts behind a progress bar.
func gate(ctx context.Context, suite *posetest.Suite, bouts []posetest.Bout, c posetest.Contest) ([]posetest.Ruling, error) {
	bar := newBar(len(bouts), "comparisons")
	defer bar.stop()
	policy := measure.Policy{}
	if c.Pairs > 0 {
		policy.Pairs = min(c.Pairs, 20)
	}
	return suite.Gate(ctx, bouts, c, policy, func(b posetest.Bout) { bar.step(b.String()) })
}

// untold says what to do about comparisons that are inconclusive: a quiet machine helps those alone that were measured.
func untold(rulings []posetest.Ruling) error {
	noisy, failed := 0, 0
	for _, r := range rulings {
		switch {
		case r.Err != nil:
			failed++
		case r.Verdict == measure.Inconclusive:
			noisy++
		}
	}
	var parts []string
	if failed > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d comparisons could not be measured, for what is said above", failed, len(rulings)))
	}
	if noisy > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d could not be told: run it again on a quieter machine, or with more --pairs", noisy, len(rulings)))
	}
	return errors.New(strings.Join(parts, "; "))
}

func rulingsTable(rulings []posetest.Ruling) table.Writer {
	t := newTable("cell", "against", "wall time", "processor time", "p", "verdict")
	for _, r := range rulings {
		cell := fmt.Sprintf("%s %s %s@%s", r.B.Model.ID, r.B.Precision, r.B.Provider, r.B.ORT)
		wall, cpu := "–", "–"
		if r.Err == nil {
			wall, cpu = r.Comparison.Wall.String(), r.Comparison.CPU.String()
		}
		t.AppendRow([]any{cell, r.Against, wall, cpu, fmt.Sprintf("%.2g", r.P), r.Verdict})
	}
	return t
}

func printRulings(w io.Writer, rulings []posetest.Ruling) {
	fmt.Fprintln(w, rulingsTable(rulings).Render())
	for _, r := range rulings {
		if r.Verdict != measure.OK {
			fmt.Fprintf(w, "%s: %s: %s (%s)\n", r.Verdict, r.Bout, r.Finding.Why, r.Bout.Why)
		}
	}
}

// A record is one comparison of a gate in its history.
type record struct {
	When    time.Time       `json:"when"`
	Commit  string          `json:"commit,omitempty"` // of the program that measured
	Machine observe.Machine `json:"machine"`
	Method  int             `json:"method,omitempty"` // [posetest.ContestMethod]
	Cell    observe.Cell    `json:"cell"`
	Against string          `json:"against"`
	Wall    measure.Ratio   `json:"wall"`
	CPU     measure.Ratio   `json:"cpu"`
	Verdict measure.Verdict `json:"verdict"`
}

// sameSeries tells whether two records belong to one history: ratios of other machines, baselines or ways to compare are not comparable.
func (r record) sameSeries(s record) bool {
	return r.Cell == s.Cell && r.Against == s.Against && r.Machine == s.Machine && r.Method == s.Method
}

func records(rulings []posetest.Ruling) []record {
	commit := posetest.Commit()
	var all []record
	for _, r := range rulings {
		if r.Err != nil {
			continue
		}
		all = append(all, record{When: time.Now().UTC().Truncate(time.Second), Commit: commit, Machine: observe.ThisMachine(), Method: posetest.ContestMethod, Cell: r.B.Cell,
			Against: r.Against, Wall: r.Comparison.Wall, CPU: r.Comparison.CPU, Verdict: r.Verdict})
	}
	return all
}

// drifting are the cells that became slower bit by bit, in a sentence each. A baseline that is a commit moves with the history, and its
// ratios are steps; they are not looked at.
func drifting(past, now []record) []string {
	var all []string
	for _, r := range now {
		if strings.HasPrefix(r.Against, "commit=") {
			continue
		}
		var ratios []float64
		for _, p := range append(slices.Clone(past), r) {
			if p.sameSeries(r) {
				ratios = append(ratios, p.CPU.Ratio)
			}
		}
		if trend := measure.Rising(ratios); trend.Drifts() {
			all = append(all, fmt.Sprintf("drift: %s against %s: %.1f %% slower over %d runs, bit by bit (p = %.2g)", r.Cell, r.Against, 100*trend.Change, trend.Points, trend.P))
		}
	}
	return all
}

func readHistory(path string) ([]record, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--history: %w", err)
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		return nil, fmt.Errorf("--history: %s: its last line is cut; remove that line", path)
	}
	var all []record
	for i, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var r record
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		err := dec.Decode(&r)
		if _, more := dec.Token(); err == nil && more != io.EOF {
			err = errors.New("something follows on the line")
		}
		if err != nil || r.Cell.Model == "" || !(r.CPU.Ratio > 0) || !(r.Wall.Ratio > 0) {
			return nil, fmt.Errorf("--history: %s:%d: not a record of this version of posetest (%v); remove the line, or begin another file", path, i+1, err)
		}
		all = append(all, r)
	}
	return all, nil
}

func writeHistory(path string, all []record) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, r := range all {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if err := whole.Write(path, out.Bytes()); err != nil {
		return fmt.Errorf("--history: %w; its runs before are whole, and this one is not among them: make room there, or choose a file that can be written", err)
	}
	return nil
}
