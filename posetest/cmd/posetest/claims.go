package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/whole"
	"github.com/spf13/cobra"
)

func claimsCommand(cfg *posetest.Config) *cobra.Command {
	var c posetest.Contest
	var out string
	cmd := &cobra.Command{
		Use:   "claims",
		Short: "Measure what was promised of zero-copy tensors, the memory arena, pipeline fusion and INT8",
		Long: `Each claim is measured by turns, with and without, on every provider and runtime that is chosen, and answered:
confirmed, refuted, depends (on what), or unclear.`,
		Example: "  posetest claims --runtimes all --out docs/claims.md\n  posetest claims --models movenet-lightning --providers cpu",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runClaims(cmd, *cfg, c, out) },
	}
	contestFlags(cmd, cfg, &c)
	f := cmd.Flags()
	f.StringVar(&cfg.Runtimes, "runtimes", "", `runtimes, or "all" (default $POSETEST_RUNTIMES, or the default set)`)
	f.StringSliceVar(&cfg.Models, "models", nil, "only these models, by id")
	f.StringSliceVar(&cfg.Providers, "providers", nil, "only these execution providers")
	f.StringVar(&out, "out", "", "file to write the answers to, beside standard output")
	return cmd
}

func runClaims(cmd *cobra.Command, cfg posetest.Config, c posetest.Contest, out string) error {
	suite := posetest.New(cfg)
	plan, err := suite.Plan(cmd.Context(), os.Stderr)
	if err != nil {
		return err
	}
	var b bar
	claims, err := suite.Claims(cmd.Context(), c, func(n int) { b = newBar(n, "comparisons") }, func(name string) { b.step(name) })
	b.stop()
	if err != nil {
		return err
	}
	return printPage(cmd.OutOrStdout(), claimsPage(claims, plan.Sizes(), suite.Config().Threads), out)
}

// printPage prints a page, and writes it to a file if one is named.
func printPage(w io.Writer, text, out string) error {
	fmt.Fprint(w, text)
	if out == "" {
		return nil
	}
	if err := whole.Write(out, []byte(text)); err != nil {
		return fmt.Errorf("--out: %w; it is printed above: make room there, or choose a file that can be written", err)
	}
	return nil
}

func claimsPage(claims []posetest.Claimed, sizes []posetest.Size, threads int) string {
	machine := observe.ThisMachine()
	var b strings.Builder
	fmt.Fprintf(&b, "# What was promised, and what is so\n\nMade by `make claims` on %s, %d cores, %s, class %s, %d thread(s) a session. Each ratio is the time with what was promised by\n"+
		"the time without, both measured by turns, with an interval of 95 %% (how far it goes: docs/gate.md); the claim is confirmed where the whole interval lies at or beyond\n"+
		"the least that was promised, and refuted where none of it does.\n\n", machine.CPU, machine.Core, machine.Platform(), machine.ISA, threads)
	summary := newTable("claim", "promised", "answer", "confirmed", "refuted", "unclear", "time with ÷ without")
	for _, c := range claims {
		answers := c.Answers()
		summary.AppendRow([]any{c.Name, c.Promised, measure.Together(answers), count(answers, measure.Confirmed), count(answers, measure.Refuted),
			count(answers, measure.Unclear), spread(c)})
	}
	var size []measure.Answer
	for _, s := range sizes {
		if strings.HasPrefix(s.Precision, "int8") || s.Precision == "uint8" {
			size = append(size, sizeAnswer(s))
		}
	}
	summary.AppendRow([]any{"INT8 size", "−72 %", measure.Together(size), count(size, measure.Confirmed), count(size, measure.Refuted), 0, "–"})
	b.WriteString(summary.RenderMarkdown() + "\n")
	for _, c := range claims {
		fmt.Fprintf(&b, "\n## %s: %s\n\nMeasured: %s. %s\n\n", c.Name, c.Promised, c.How, onWhat(c))
		t := newTable("cell", "on the clock", "of the processor", "answer")
		for _, cell := range c.Cells {
			t.AppendRow([]any{fmt.Sprintf("%s %s %s@%s", cell.Cell.Model, cell.Precision, cell.Provider, cell.ORT), cell.Comparison.Wall, cell.Comparison.CPU, cell.Answer})
		}
		b.WriteString(t.RenderMarkdown() + "\n")
	}
	b.WriteString("\n## INT8 size: −72 %\n\n")
	t := newTable("model", "precision", "bytes", "fp32", "smaller", "answer")
	for _, s := range sizes {
		t.AppendRow([]any{s.Model, s.Precision, s.Bytes, s.FP32, fmt.Sprintf("%.1f %%", 100*s.Share()), sizeAnswer(s)})
	}
	b.WriteString(t.RenderMarkdown() + "\n")
	return b.String()
}

// sizeAnswer holds a file to "72 % smaller", as it is rounded.
func sizeAnswer(s posetest.Size) measure.Answer {
	if s.Share() >= 0.715 {
		return measure.Confirmed
	}
	return measure.Refuted
}

func count(all []measure.Answer, which measure.Answer) int {
	n := 0
	for _, a := range all {
		if a == which {
			n++
		}
	}
	return n
}

// onWhat says in a sentence where a claim holds and where it does not.
func onWhat(c posetest.Claimed) string {
	where := map[measure.Answer][]string{}
	for _, cell := range c.Cells {
		name := strings.Join([]string{cell.Cell.Model, cell.Precision, cell.Provider}, " ")
		if !slices.Contains(where[cell.Answer], name) {
			where[cell.Answer] = append(where[cell.Answer], name)
		}
	}
	var parts []string
	for _, answer := range []measure.Answer{measure.Confirmed, measure.Refuted, measure.Unclear} {
		if names := where[answer]; len(names) > 0 {
			parts = append(parts, fmt.Sprintf("**%s** on %s", answer, strings.Join(names, ", ")))
		}
	}
	if len(parts) == 0 {
		return "Nothing here could show it."
	}
	return strings.Join(parts, "; ") + "."
}

// spread is the least and the most of a claim's ratios, with their cells.
func spread(c posetest.Claimed) string {
	if len(c.Cells) == 0 {
		return "nothing to measure it on"
	}
	by := func(a, b posetest.ClaimCell) int {
		switch {
		case a.Comparison.Wall.Ratio < b.Comparison.Wall.Ratio:
			return -1
		case a.Comparison.Wall.Ratio > b.Comparison.Wall.Ratio:
			return 1
		}
		return 0
	}
	name := func(c posetest.ClaimCell) string {
		return fmt.Sprintf("%.2f (%s %s %s@%s)", c.Comparison.Wall.Ratio, c.Cell.Model, c.Precision, c.Provider, c.ORT)
	}
	return name(slices.MinFunc(c.Cells, by)) + " … " + name(slices.MaxFunc(c.Cells, by))
}
