package posetest_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/alert"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/report"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A failure is at the line of the cell's row; where no row is for it, at no file.
func TestFailures(t *testing.T) {
	dir := t.TempDir()
	cell := observe.Cell{Model: "m", Precision: "int8", Provider: "cpu", ORT: "1.32.0"}
	result := func(row expect.Row, problem error) report.Result {
		return report.Result{Observation: observe.Observation{Cell: cell}, Row: row, Problem: problem}
	}
	assert.Equal(t, []alert.Failure{
		{File: filepath.Join(dir, "golden", "support.toml"), Line: 41, Subject: cell.String(), Problem: "fails, want loads"},
		{Subject: cell.String(), Problem: "no row is for it"},
		{Subject: cell.String(), Problem: "finds nobody"},
	}, posetest.Failures(posetest.Config{Dir: dir}, []report.Result{
		result(expect.Row{File: "golden/support.toml", Line: 41}, errors.New("fails, want loads")),
		result(expect.Row{File: "golden/support.toml", Line: 42}, nil),
		result(expect.Row{}, errors.New("no row is for it")),
		result(expect.Own(), errors.New("finds nobody")),
	}))
}

// A quarantine is warned of in its last two weeks, and when it is over, at the line of its row.
func TestEnding(t *testing.T) {
	dir := t.TempDir()
	table, err := expect.Parse([]byte(`[[row]]
want = "loads"
sometimes = "crashes"
owner = "us"
see = "https://example.org/issues/1"
until = 2027-02-22
why = "by chance"
status = "unverified"

[[row]]
want = "loads"
status = "unverified"
`), "golden/support.toml")
	require.NoError(t, err)
	for today, term := range map[string]string{"2027-02-08": "", "2027-02-09": "13 days left", "2027-02-22": "which is today", "2027-02-23": "which was 1 day ago"} {
		day, err := time.Parse(time.DateOnly, today)
		require.NoError(t, err)
		var want []alert.Failure
		if term != "" {
			want = []alert.Failure{{File: filepath.Join(dir, "golden", "support.toml"), Line: 1, Subject: "a quarantine ends",
				Problem: "golden/support.toml:1: quarantined until 2027-02-22, " + term + " (owner us, https://example.org/issues/1)"}}
		}
		assert.Equal(t, want, posetest.Ending(posetest.Config{Dir: dir}, report.Page{Table: table, Today: day}), today)
	}
}

// Tests that fail under GitHub Actions say so there, once they are over: here for a model that is not here and may not be
// skipped.
func TestTestsAlert(t *testing.T) {
	program, err := os.Executable()
	require.NoError(t, err)
	summary := filepath.Join(t.TempDir(), "summary.md")
	run := func(env ...string) string {
		cmd := exec.Command(program, "-test.run", "^(TestLoad|TestAvailable)$/^model=yolov8n-pose$/^precision=fp32$")
		for _, variable := range os.Environ() {
			if !strings.HasPrefix(variable, "POSETEST_") && !strings.HasPrefix(variable, "GITHUB_") && !strings.HasPrefix(variable, "CI=") {
				cmd.Env = append(cmd.Env, variable)
			}
		}
		cmd.Env = append(cmd.Env, "POSETEST_CACHE="+t.TempDir(), "POSETEST_OFFLINE=1", "POSETEST_RUNTIMES=1.23.2", "GITHUB_STEP_SUMMARY="+summary)
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil {
			require.ErrorAs(t, err, &exit, "%s", out)
		}
		return string(out)
	}
	const annotation = "::error title=yolov8n-pose::model yolov8n-pose.onnx is missing; set POSETEST_DATA"
	assert.NotContains(t, run("CI=true"), "::error", "in another CI")
	assert.NotContains(t, run("GITHUB_ACTIONS=true"), "::error", "what is skipped is no failure")
	assert.NoFileExists(t, summary, "nor has a test without a failure a summary")

	out := run("CI=true", "GITHUB_ACTIONS=true")
	found := false
	for line := range strings.Lines(out) {
		found = found || strings.HasPrefix(strings.TrimSpace(line), annotation)
	}
	assert.True(t, found, "an annotation is what its line begins with:\n%s", out)
	text, err := os.ReadFile(summary)
	require.NoError(t, err)
	assert.Contains(t, string(text), "### TestLoad: 1 of 1 are not as expected\n")
	if observe.ThisMachine().Platform() == "linux/amd64" { // where it is called available
		assert.Contains(t, string(text), "### TestAvailable: 1 of 1 are not as expected\n")
		assert.Contains(t, string(text), "| model=yolov8n-pose/precision=fp32/platform=linux_amd64 | models.json |")
	}
}
