package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/spf13/cobra"
)

func scalingCommand(cfg *posetest.Config) *cobra.Command {
	var c posetest.Contest
	var out string
	cmd := &cobra.Command{
		Use:   "scaling",
		Short: "What more threads, spinning and batches bring",
		Long: `Measures, by turns: 2, 4, … threads against 1; threads that spin against those that sleep, on the machine as it is and
beside a load on every core, since an app rarely has the machine to itself; and batches of 2, 4 and 8 against 1, where the model's
batch dimension can be opened.`,
		Example: "  posetest scaling --out docs/scaling.md\n  posetest scaling --models movenet-lightning --precisions fp32 --providers cpu",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runScaling(cmd, *cfg, c, out) },
	}
	contestFlags(cmd, cfg, &c)
	f := cmd.Flags()
	f.StringVar(&cfg.Runtimes, "runtimes", "", `runtimes, or "all" (default $POSETEST_RUNTIMES, or the newest)`)
	f.StringSliceVar(&cfg.Models, "models", nil, "only these models, by id")
	f.StringSliceVar(&cfg.Precisions, "precisions", nil, "only these precisions (default fp32,int8-tuned)")
	f.StringSliceVar(&cfg.Providers, "providers", nil, "only these execution providers")
	f.StringVar(&out, "out", "", "file to write the tables to, beside standard output")
	return cmd
}

// A step is one comparison of a scaling table: what B has that A lacks.
type step struct {
	name   string // "2 threads"
	a, b   posetest.Words
	loaded bool // beside a load on every core
	images int  // in a run of B, for one in a run of A
}

// steps of one cell.
func steps(cell posetest.Words, cores int) []step {
	with := func(pairs ...string) posetest.Words {
		words := maps.Clone(cell)
		for i := 0; i < len(pairs); i += 2 {
			words[pairs[i]] = pairs[i+1]
		}
		return words
	}
	var all []step
	for n := 2; n <= cores; n *= 2 {
		threads := strconv.Itoa(n)
		all = append(all, step{name: threads + " threads ÷ 1", a: with("threads", "1"), b: with("threads", threads), images: 1})
	}
	if cores > 1 {
		threads := strconv.Itoa(cores)
		spinning, sleeping := with("threads", threads), with("threads", threads, "spin", "off")
		all = append(all, step{name: threads + " threads, sleeping ÷ spinning", a: spinning, b: sleeping, images: 1},
			step{name: threads + " threads, sleeping ÷ spinning, beside a load", a: spinning, b: sleeping, images: 1, loaded: true})
	}
	for _, n := range []int{2, 4, 8} {
		all = append(all, step{name: fmt.Sprintf("batch of %d ÷ 1, an image", n), a: with("threads", "1"), b: with("threads", "1", "batch", strconv.Itoa(n)), images: n})
	}
	return all
}

func runScaling(cmd *cobra.Command, cfg posetest.Config, c posetest.Contest, out string) error {
	if len(cfg.Precisions) == 0 {
		cfg.Precisions = []string{"fp32", "int8-tuned"}
	}
	if cfg.Runtimes == "" && os.Getenv("POSETEST_RUNTIMES") == "" {
		newest, err := posetest.NewestRuntime()
		if err != nil {
			return err
		}
		cfg.Runtimes = newest
	}
	suite := posetest.New(cfg)
	plan, err := suite.Plan(cmd.Context(), os.Stderr)
	if err != nil {
		return err
	}
	var cells []posetest.Words
	for _, p := range plan.Cells {
		if p.Err == nil && posetest.Steady(p.Row) {
			cells = append(cells, posetest.Words{"model": p.Cell.Model, "precision": p.Precision, "provider": p.Provider, "ort": p.ORT})
		}
	}
	if len(cells) == 0 {
		return errors.New("no cell that was chosen loads and finds people, so that there is nothing to scale")
	}
	cores := runtime.NumCPU()
	bar := newBar(len(cells)*len(steps(cells[0], cores)), "comparisons")
	defer bar.stop()
	var page strings.Builder
	machine := observe.ThisMachine()
	fmt.Fprintf(&page, "# What threads, spinning and batches bring\n\nMade by `make scaling` on %s, %d cores, %s, class %s. Each figure is a ratio of times, measured by turns, with an\n"+
		"interval of 95 %% (how far it goes: docs/gate.md): below 1 is a gain. Of the processor: what it costs beside the clock.\n", machine.CPU, cores, machine.Platform(), machine.ISA)
	for _, cell := range cells {
		fmt.Fprintf(&page, "\n## %s %s on %s@%s\n\n", cell["model"], cell["precision"], cell["provider"], cell["ort"])
		t := newTable("what", "on the clock", "of the processor")
		for _, s := range steps(cell, cores) {
			bar.step(cell.String() + " " + s.name)
			wall, cpu, err := s.measure(cmd.Context(), suite, c)
			if err != nil {
				return err
			}
			t.AppendRow([]any{s.name, wall, cpu})
		}
		page.WriteString(t.RenderMarkdown() + "\n")
	}
	return printPage(cmd.OutOrStdout(), page.String(), out)
}

func (s step) measure(ctx context.Context, suite *posetest.Suite, c posetest.Contest) (wall, cpu string, err error) {
	a, err := suite.Side(ctx, s.a, os.Stderr)
	if err != nil {
		return "", "", err
	}
	b, err := suite.Side(ctx, s.b, os.Stderr)
	if errors.Is(err, posetest.ErrOneImage) {
		return "one image at a time", "", nil
	}
	if err != nil {
		return "", "", err
	}
	if s.loaded {
		defer startLoad(ctx)()
	}
	comparison, err := suite.Compare(ctx, a, b, c, nil)
	if err != nil {
		return "", "", err
	}
	per := func(r measure.Ratio) string { return r.Per(s.images).String() }
	return per(comparison.Wall), per(comparison.CPU), nil
}
