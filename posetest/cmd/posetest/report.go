package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2/maybe"
	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/report"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func reportCommand(cfg *posetest.Config) *cobra.Command {
	var own posetest.OwnModel
	var out string
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Run the matrix, print it, and write it down",
		Long: `Runs every cell, prints the table, and writes observations.jsonl and matrix.md into the folder --out.

Families for --family: ` + strings.Join(pose.Families(), ", ") + ".",
		Example: `  posetest report
  posetest report --runtimes 1.23.2,1.32.0 --precisions fp32,int8
  posetest report --model their.onnx --family yolov8-pose --runtimes all
  POSETEST_ORT=/opt/ort/libonnxruntime.so posetest report`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if own.Path != "" || own.Family != "" {
				if own.Path == "" || own.Family == "" {
					return errors.New("--model and --family go together: the family says how to read the model's output")
				}
				cfg.Own = &own
			}
			return runReport(cmd, *cfg, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&own.Path, "model", "", "an ONNX file of your own, instead of the catalogue")
	f.StringVar(&own.Family, "family", "", "its family")
	f.StringVar(&cfg.Runtimes, "runtimes", "", `runtimes, or "all" (default $POSETEST_RUNTIMES, or the default set)`)
	f.StringSliceVar(&cfg.Models, "models", nil, "only these models, by id")
	f.StringSliceVar(&cfg.Precisions, "precisions", nil, "only these precisions")
	f.StringSliceVar(&cfg.Providers, "providers", nil, "only these execution providers")
	f.IntVar(&cfg.Threads, "threads", 0, "threads of one operator (default 1)")
	f.IntVar(&cfg.Workers, "workers", 0, "cells at a time (default: the number of cores)")
	f.DurationVar(&cfg.Timeout, "timeout", 0, "time of one load or run (default 1m)")
	f.StringVar(&out, "out", "report", "folder to write to")
	return cmd
}

func runReport(cmd *cobra.Command, cfg posetest.Config, out string) error {
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
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("--out: %w; choose a folder that can be written", err)
	}
	begin := time.Now()
	bar := newBar(len(plan.Cells), "cells")
	results, err := suite.Run(ctx, plan, func(p posetest.Planned) { bar.step(p.Model.ID + " " + p.Precision + " " + p.Provider + "@" + p.ORT) })
	bar.stop()
	if err != nil {
		return err
	}
	wall := time.Since(begin)
	page := report.Page{Results: results, Table: plan.Table, Machine: observe.ThisMachine(), Threads: suite.Config().Threads}
	var photographs []error
	for _, m := range plan.Missing {
		if len(m.Cells) > 0 {
			page.Missing = append(page.Missing, fmt.Sprintf("%v (%d cells)", m.Err, len(m.Cells)))
		} else {
			photographs = append(photographs, m.Err)
		}
	}
	switch n := len(photographs); n {
	case 0:
	case 1:
		page.Missing = append(page.Missing, photographs[0].Error())
	default:
		page.Missing = append(page.Missing, fmt.Sprintf("%v (and %d more)", photographs[0], n-1))
	}
	page.Text(os.Stdout, styleOf(os.Stdout))
	if err := write(page, out); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "written: %s and %s\n", filepath.Join(out, "observations.jsonl"), filepath.Join(out, "matrix.md"))
	fmt.Fprintf(os.Stderr, "%s\n", efficiency(results, wall, suite.Config().Workers))
	if len(page.Unexpected()) > 0 {
		return errRegression
	}
	return nil
}

// efficiency compares the time of the run with what the workers spent in loads and inferences.
func efficiency(results []report.Result, wall time.Duration, workers int) string {
	var own time.Duration
	for _, r := range results {
		own += r.Worker
	}
	share := own / time.Duration(workers)
	return fmt.Sprintf("took %v: %.2f × the workers' own load and run times (%v) over %d workers",
		wall.Round(time.Second), float64(wall)/float64(max(share, 1)), own.Round(time.Second), workers)
}

func write(page report.Page, out string) error {
	var lines, markdown bytes.Buffer
	all := make([]observe.Observation, len(page.Results))
	for i, r := range page.Results {
		all[i] = r.Observation
	}
	if err := errors.Join(observe.Write(&lines, all), page.Markdown(&markdown)); err != nil {
		return err
	}
	return errors.Join(maybe.WriteFile(filepath.Join(out, "observations.jsonl"), lines.Bytes(), 0o644),
		maybe.WriteFile(filepath.Join(out, "matrix.md"), markdown.Bytes(), 0o644))
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
