package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/alert"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/report"
	"github.com/posetest/suite/posetest/whole"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// A reporting is what a report is made from and where it goes.
type reporting struct {
	own          posetest.OwnModel
	run          string
	shard        string
	ap           bool
	from, since  string
	out          string
	readme       string
	shardOfCells posetest.Shard
	observeOnly  bool
	before       *observe.Set
}

func reportCommand(cfg *posetest.Config) *cobra.Command {
	var r reporting
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Run the matrix, print it, and write it down",
		Long: `Runs every cell, prints the table, and writes observations.jsonl, matrix.md and index.html into the folder --out: all
of them, or none where something goes wrong. With --from nothing is run: the report is made of observations that there are.

Families for --family: ` + strings.Join(pose.Families(), ", ") + ".",
		Example: `  posetest report
  posetest report --runtimes 1.23.2,1.32.0 --precisions fp32,int8
  posetest report --since report/observations.jsonl
  posetest report --from observations.jsonl --out elsewhere
  posetest report --runtimes all --shard 2/4 --out part2
  posetest report --run cuda --providers cuda --runtimes gpu-1.31.1 --shard 1/2 --observe-only --out cuda-1
  posetest report --repeat 10 --precisions int8-qop
  posetest report --model their.onnx --family yolov8-pose --runtimes all
  POSETEST_ORT=/opt/ort/libonnxruntime.so posetest report`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if r.own.Path != "" || r.own.Family != "" {
				if r.own.Path == "" || r.own.Family == "" {
					return errors.New("--model and --family go together: the family says how to read the model's output")
				}
				cfg.Own = &r.own
			}
			if r.before, err = sinceFile(r.since); err != nil {
				return err
			}
			if r.from == "" {
				if r.shardOfCells, err = posetest.ShardOf(r.shard, os.Getenv); err != nil {
					return err
				}
				r.run = cmp.Or(r.run, os.Getenv("POSETEST_RUN"))
				if err := observe.CheckRun(r.run); err != nil {
					return fmt.Errorf("--run, POSETEST_RUN: %w", err)
				}
				return runReport(cmd, *cfg, r)
			}
			for _, name := range []string{"model", "runtimes", "models", "precisions", "providers", "threads", "workers", "timeout", "run", "shard", "observe-only", "ap", "repeat"} {
				if cmd.Flags().Changed(name) {
					return fmt.Errorf("--from runs nothing, so --%s has no meaning beside it; leave one of them out", name)
				}
			}
			set, err := readSet(r.from)
			if err != nil {
				return err
			}
			if err := writable(r.out); err != nil {
				return err
			}
			return present(cmd.OutOrStdout(), *cfg, set, r.before, r.out, r.readme)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.own.Path, "model", "", "an ONNX file of your own, instead of the catalogue")
	f.StringVar(&r.own.Family, "family", "", "its family")
	f.StringVar(&cfg.Runtimes, "runtimes", "", `runtimes, or "all" (default $POSETEST_RUNTIMES, or the default set)`)
	f.StringSliceVar(&cfg.Models, "models", nil, "only these models, by id")
	f.StringSliceVar(&cfg.Precisions, "precisions", nil, "only these precisions")
	f.StringSliceVar(&cfg.Providers, "providers", nil, "only these execution providers")
	f.IntVar(&cfg.Threads, "threads", 0, "threads of one operator (default 1)")
	f.IntVar(&cfg.Workers, "workers", 0, "cells at a time (default: the number of cores)")
	f.DurationVar(&cfg.Timeout, "timeout", 0, "time of one load or run (default 1m)")
	f.StringVar(&r.shard, "shard", "", "only this part of the cells, such as 2/4; posetest merge joins the parts (default $POSETEST_SHARD, or all)")
	f.StringVar(&r.run, "run", "", "name of the run that this is a shard of, such as its provider: its shards may be on several kinds of machine, and posetest merge asks for it by name (default $POSETEST_RUN)")
	f.BoolVar(&r.observeOnly, "observe-only", false, "exit code 0 although a cell is not as expected: posetest merge judges all shards")
	f.IntVar(&cfg.Repeat, "repeat", 0, "times to run each cell, each in a process of its own: one that differs is flaky, and not as expected unless quarantined (default $POSETEST_REPEAT, or 1)")
	f.BoolVar(&r.ap, "ap", false, "take COCO's AP as well, of each cell whose row has one, on the photographs of the data path")
	f.StringVar(&r.from, "from", "", "make the report of this observations.jsonl, and run nothing")
	sinceFlag(cmd, &r.since)
	f.StringVar(&r.out, "out", "report", "folder to write to")
	f.StringVar(&r.readme, "readme", "", "write the matrix into this Markdown file as well, between the lines "+matrixBegin+" and "+matrixEnd)
	return cmd
}

func sinceFlag(cmd *cobra.Command, since *string) {
	cmd.Flags().StringVar(since, "since", "", "say what changed since this observations.jsonl of a report before")
}

func sinceFile(path string) (*observe.Set, error) {
	if path == "" {
		return nil, nil
	}
	set, err := readSet(path)
	if err != nil {
		return nil, fmt.Errorf("--since: %w", err)
	}
	return &set, nil
}

func readSet(path string) (observe.Set, error) {
	file, err := os.Open(path)
	if err != nil {
		return observe.Set{}, fmt.Errorf("%w; name an observations.jsonl that a report wrote", err)
	}
	defer file.Close()
	return observe.Read(file, path)
}

func runReport(cmd *cobra.Command, cfg posetest.Config, r reporting) error {
	ctx := cmd.Context()
	suite := posetest.New(cfg)
	plan, err := suite.Plan(ctx, os.Stderr)
	if err != nil {
		return err
	}
	for _, m := range plan.Missing {
		if suite.Config().Requires(m.ID) {
			return fmt.Errorf("%w; %s may not be skipped (POSETEST_REQUIRE)", m.Err, m.ID)
		}
	}
	if len(plan.Cells) == 0 {
		i := slices.IndexFunc(plan.Missing, func(m posetest.Missing) bool { return len(m.Cells) > 0 })
		return fmt.Errorf("nothing to run: %w", plan.Missing[i].Err)
	}
	part := plan.Part(r.shardOfCells)
	part.Run = r.run
	if r.ap {
		if err := suite.CanAP(); err != nil {
			return fmt.Errorf("--ap: %w", err)
		}
	}
	if err := writable(r.out); err != nil {
		return err
	}
	begin := time.Now()
	bar := newBar(len(plan.Cells), "cells")
	all, err := suite.Run(ctx, plan, func(p posetest.Planned) { bar.step(p.Model.ID + " " + p.Precision + " " + p.Provider + "@" + p.ORT) })
	bar.stop()
	if unobserved, ok := errors.AsType[*posetest.UnobservedError](err); ok {
		part.Cells = len(all)
		for _, err := range unobserved.Errs {
			part.Unobserved = append(part.Unobserved, err.Error())
		}
	}
	if err != nil && len(all) == 0 {
		return err
	}
	wall := time.Since(begin)
	if r.ap {
		bar := newBar(len(plan.Cells), "cells' AP")
		err := suite.RunAP(ctx, plan, all, func(p posetest.Planned) { bar.step(p.Model.ID + " " + p.Precision + " " + p.Provider + "@" + p.ORT) })
		bar.stop()
		if err != nil {
			return err
		}
	}
	err = present(cmd.OutOrStdout(), suite.Config(), observe.Set{Parts: []observe.Part{part}, Observations: all}, r.before, r.out, r.readme)
	if len(all) > 0 && (err == nil || errors.Is(err, errRegression)) {
		fmt.Fprintf(os.Stderr, "%s\n", efficiency(all, wall, suite.Config().Workers))
	}
	if r.observeOnly && errors.Is(err, errRegression) {
		return nil
	}
	return err
}

// unobserved is an error if there are cells of a set of which nothing could be observed: that others are as expected is no
// answer then, here and wherever the set is merged.
func unobserved(set observe.Set) error {
	var e posetest.UnobservedError
	for _, p := range set.Parts {
		for _, why := range p.Unobserved {
			e.Errs = append(e.Errs, errors.New(why))
		}
	}
	if len(e.Errs) == 0 {
		return nil
	}
	return &e
}

// efficiency compares the time of the run with what the workers spent in loads and inferences.
func efficiency(all []observe.Observation, wall time.Duration, workers int) string {
	var own time.Duration
	for _, o := range all {
		own += o.Worker
	}
	share := own / time.Duration(workers)
	return fmt.Sprintf("took %v: %.2f × the workers' own load and run times (%v) over %d workers",
		wall.Round(time.Second), float64(wall)/float64(max(share, 1)), own.Round(time.Second), workers)
}

// present writes the report of a set down and prints it to w; where it can't be written it is printed all the same. Its
// error is [errRegression] if a cell is not as expected.
func present(w io.Writer, cfg posetest.Config, set observe.Set, before *observe.Set, out, readme string) error {
	page, err := posetest.NewPage(cfg, set, before)
	if err != nil {
		return err
	}
	files, err := render(page, set, out)
	if err != nil {
		return err
	}
	notWritten := writeAll(out, files)
	if notWritten == nil && readme != "" {
		notWritten = writeMatrix(readme, page)
	}
	page.Text(w, styleOf(os.Stdout))
	if notWritten == nil {
		for _, f := range files {
			fmt.Fprintln(os.Stderr, "written:", f.Path)
		}
	}
	alertOf(posetest.Failures(cfg, page.Unexpected()), page.Markdown)
	alert.FromEnv(os.Getenv).Warn(os.Stderr, posetest.Ending(cfg, page))
	if notWritten != nil {
		return notWritten
	}
	if err := unobserved(set); err != nil {
		return err
	}
	if len(page.Unexpected()) > 0 {
		return errRegression
	}
	return nil
}

// render makes the files of a report in a folder.
func render(page report.Page, set observe.Set, out string) ([]whole.File, error) {
	var files []whole.File
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"observations.jsonl", func(w io.Writer) error { return observe.Write(w, set) }},
		{"matrix.md", page.Markdown},
		{"index.html", page.HTML},
	} {
		var b bytes.Buffer
		if err := f.write(&b); err != nil {
			return nil, err
		}
		files = append(files, whole.File{Path: filepath.Join(out, f.name), Text: b.Bytes()})
	}
	return files, nil
}

// writable makes the folder of a report and tells whether it can be written, before anything is run for it.
func writable(out string) error {
	err := os.MkdirAll(out, 0o755)
	if err == nil {
		err = whole.Writable(out)
	}
	if err != nil {
		return fmt.Errorf("--out: %w; make room there, or choose a folder that can be written", err)
	}
	return nil
}

// writeAll writes all files of a report, or, where one can't be, none: the report before stays as it was.
func writeAll(out string, files []whole.File) error {
	err := os.MkdirAll(out, 0o755) // it may have gone while the cells ran
	if err == nil {
		err = whole.WriteAll(files)
	}
	if err != nil {
		return fmt.Errorf("--out: %w; the report before is as it was, and this one is printed: make room there, or choose a folder that can be written", err)
	}
	return nil
}

// styleOf is coloured and fitted on a terminal, and plain elsewhere.
func styleOf(f *os.File) report.Style {
	if !term.IsTerminal(int(f.Fd())) {
		return report.Style{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return report.Style{Width: width, Color: os.Getenv("NO_COLOR") == ""}
}

// What stands around the matrix in a Markdown file.
const (
	matrixBegin = "<!-- matrix -->"
	matrixEnd   = "<!-- end of matrix -->"
)

// writeMatrix puts the matrix between the marks of a Markdown file.
func writeMatrix(path string, page report.Page) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--readme: %w", err)
	}
	before, rest, begins := strings.Cut(string(text), matrixBegin+"\n")
	_, after, ends := strings.Cut(rest, matrixEnd)
	if !begins || !ends {
		return fmt.Errorf("--readme: %s has no lines %s and %s; write them where the matrix is to be", path, matrixBegin, matrixEnd)
	}
	var matrix strings.Builder
	if err := page.Matrix(&matrix); err != nil {
		return err
	}
	if err := whole.Write(path, []byte(before+matrixBegin+"\n```\n"+matrix.String()+"```\n"+matrixEnd+after)); err != nil {
		return fmt.Errorf("--readme: %w; make room there, or choose a file that can be written", err)
	}
	return nil
}
