package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/alert"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Under GitHub Actions a report that differs from its table says so at the line of the row, and writes the job's summary;
// the exit code is what it is everywhere.
func TestReportAlerts(t *testing.T) {
	installed(t)
	h := newHouse(t, "fp32")
	h.write(t)
	tmp := t.TempDir()
	summary := filepath.Join(tmp, "summary.md")
	read := func() string {
		text, err := os.ReadFile(summary)
		require.NoError(t, err)
		return string(text)
	}
	github := []string{"POSETEST_RUNTIMES=" + ort, "GITHUB_ACTIONS=true", "GITHUB_WORKSPACE=" + h.dir, "GITHUB_STEP_SUMMARY=" + summary}
	r := command(t, github, "report", "--providers", "cpu", "--dir", h.dir, "--out", filepath.Join(tmp, "out"))
	require.Zero(t, r.exit(t), "%s", r.err.String())
	assert.NotContains(t, r.err.String(), "::error")
	first := read()
	assert.Contains(t, first, "all as expected")
	assert.Contains(t, first, "| movenet-lightning | fp32 |")

	inRow(`precision = "fp32"`, `want = "loads"`, `want = "fails"`+"\nmessage = \"never: 100 %\"\nwhy = \"so we believed\"")(t, h)
	h.write(t)
	from := []string{"report", "--from", filepath.Join(tmp, "out", "observations.jsonl"), "--dir", h.dir, "--out", filepath.Join(tmp, "again")}
	r = command(t, github, from...)
	assert.Equal(t, exitRegression, r.exit(t))
	var annotations []string
	for line := range strings.Lines(r.err.String()) {
		if strings.HasPrefix(line, "::") {
			annotations = append(annotations, strings.TrimSpace(line))
		}
	}
	require.Len(t, annotations, 1)
	table, err := os.ReadFile(filepath.Join(h.dir, "golden", "support.toml"))
	require.NoError(t, err)
	assert.Regexp(t, `^::error file=golden/support\.toml,line=\d+,title=model=movenet-lightning/precision=fp32/provider=cpu/ort=`+ort+
		`::loads, want fails: never: 100 %25; if the runtime was fixed, close the range of golden/support\.toml:\d+%0A`, annotations[0])
	assert.NotRegexp(t, `%0A$`, annotations[0])
	line := strings.Split(string(table), "\n")[lineOf(t, annotations[0])-1]
	assert.Equal(t, "[[row]]", line, "where the annotation is")
	assert.Contains(t, read(), "1 NOT as expected")
	assert.True(t, strings.HasPrefix(read(), first), "a summary is added to")

	r = command(t, nil, from...)
	assert.Equal(t, exitRegression, r.exit(t))
	assert.NotContains(t, r.err.String()+r.out.String(), "::error", "elsewhere nothing")

	r = command(t, append(github, "GITHUB_STEP_SUMMARY="+tmp), from...)
	assert.Equal(t, exitRegression, r.exit(t), "a summary that can't be written changes no exit code")
	assert.Contains(t, r.err.String(), "posetest: GITHUB_STEP_SUMMARY: ")
}

// lineOf is the line that an annotation names.
func lineOf(t *testing.T, annotation string) (n int) {
	t.Helper()
	_, after, ok := strings.Cut(annotation, ",line=")
	require.True(t, ok)
	for _, digit := range after {
		if digit < '0' || digit > '9' {
			break
		}
		n = 10*n + int(digit-'0')
	}
	return n
}

func TestGateAlerts(t *testing.T) {
	dir := t.TempDir()
	speeds, err := expect.ParseSpeeds([]byte("\n[[speed]]\nprecision = \"int8\"\nprovider = \"cpu\"\nisa = \"avx2\"\nat_least = 1.5\nwhy = \"measured\"\nstatus = \"unverified\"\n"), "golden/support.toml")
	require.NoError(t, err)
	bout := func(precision, against string) posetest.Bout {
		p := posetest.Planned{Row: expect.Row{File: "golden/support.toml", Line: 7}}
		p.Cell = observe.Cell{Model: "m", Precision: precision, Provider: "cpu", ORT: "1.32.0"}
		p.ISA, p.Model.ID = observe.AVX2, "m"
		return posetest.Bout{B: posetest.Side{Planned: p}, Against: against, Why: "the bar"}
	}
	ruling := func(b posetest.Bout, v measure.Verdict) posetest.Ruling {
		return posetest.Ruling{Bout: b, Finding: measure.Finding{Verdict: v, Why: "20 % slower"}, Err: errors.New("not shown")}
	}
	rulings := []posetest.Ruling{
		ruling(bout("int8", "fp32"), measure.Regressed),
		ruling(bout("int8", "ort=1.31.1"), measure.Regressed),
		ruling(bout("fp32", "ort=1.31.1"), measure.OK),
		ruling(bout("fp32", "commit=1a2b"), measure.Inconclusive),
	}
	table := filepath.Join(dir, "golden", "support.toml")
	const cell = "model=m/precision=int8/provider=cpu/ort=1.32.0 against "
	assert.Equal(t, []alert.Failure{
		{File: table, Line: 2, Subject: cell + "fp32", Problem: "20 % slower (the bar)"},       // at the bar
		{File: table, Line: 7, Subject: cell + "ort=1.31.1", Problem: "20 % slower (the bar)"}, // at the cell's row
		{Subject: "a cell became slower bit by bit", Problem: "drift: x"},
	}, slowed(posetest.Config{Dir: dir}, speeds, rulings, []string{"drift: x"}))

	var b strings.Builder
	require.NoError(t, gateMarkdown(&b, "4 comparisons.", rulings, []string{"drift: x"}))
	for _, want := range []string{"4 comparisons.", "| m int8 cpu@1.32.0 | fp32 |", "- drift: x\n", "- **regressed** " + cell + "fp32: 20 % slower (the bar)\n", "- **inconclusive** "} {
		assert.Contains(t, b.String(), want)
	}
	assert.NotContains(t, b.String(), "**ok**")
}
