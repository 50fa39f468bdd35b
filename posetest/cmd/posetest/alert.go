package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/alert"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/measure"
)

// alertOf says what failed, and all that was seen, where people work under GitHub Actions; elsewhere nothing. What can't be
// said there is no reason for another exit code.
func alertOf(failures []alert.Failure, summary func(io.Writer) error) {
	hub := alert.FromEnv(os.Getenv)
	if !hub.On() {
		return
	}
	hub.Annotate(os.Stderr, failures)
	var markdown bytes.Buffer
	err := summary(&markdown)
	if err == nil {
		err = hub.Summarize(markdown.String())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "posetest:", err)
	}
}

// slowed are the comparisons that regressed, at the bar of speed that was missed, or at the row of the cell where it is
// held to a baseline, and the drifts.
func slowed(cfg posetest.Config, speeds expect.Speeds, rulings []posetest.Ruling, drifts []string) []alert.Failure {
	var all []alert.Failure
	for _, r := range rulings {
		if r.Verdict != measure.Regressed {
			continue
		}
		f := alert.Failure{Subject: r.Bout.String(), Problem: r.Finding.Why + " (" + r.Bout.Why + ")"}
		if bar, has, err := speeds.Match(r.B.Place); r.Against == "fp32" && has && err == nil {
			f.File, f.Line = posetest.InFolder(cfg, bar.File), bar.Line
		} else if r.B.Row.Line != 0 {
			f.File, f.Line = posetest.InFolder(cfg, r.B.Row.File), r.B.Row.Line
		}
		all = append(all, f)
	}
	for _, d := range drifts {
		all = append(all, alert.Failure{Subject: "a cell became slower bit by bit", Problem: d})
	}
	return all
}

func gateMarkdown(w io.Writer, sum string, rulings []posetest.Ruling, drifts []string) error {
	t := rulingsTable(rulings)
	_, err := fmt.Fprintf(w, "# Has a cell become slower?\n\n%s\n\n%s\n\n", sum, t.RenderMarkdown())
	for _, d := range drifts {
		fmt.Fprintf(w, "- %s\n", d)
	}
	for _, r := range rulings {
		if r.Verdict != measure.OK {
			fmt.Fprintf(w, "- **%s** %s: %s (%s)\n", r.Verdict, r.Bout, r.Finding.Why, r.Bout.Why)
		}
	}
	return err
}
