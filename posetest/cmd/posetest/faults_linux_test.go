package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/faulttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func beOnADisk() { faulttest.Main() }

// What a fault must not break.
const (
	noOtherLost = "no other cell is lost"
	childEnds   = "every child ends"
	filesWhole  = "every file is whole"
	clearError  = "a clear error"
)

// A fault is tried on a promise, with a report that there is.
type fault struct {
	name, promise string
	test          func(t *testing.T, was reported)
}

// The faults of what surrounds the command: disks, outputs, signals, terminals, clocks and other processes.
func TestFaults(t *testing.T) {
	installed(t)
	was := newReported(t)
	for _, f := range append(append(append([]fault{
		{"ten suites at once on one empty cache", filesWhole, tenSuites},
		{"observations and files of 1970 and 2040", clearError, fromAnotherTime},
		{"a clock that jumps while cells run", noOtherLost, jumpingClock},
	}, diskFaults()...), outputFaults()...), endFaults()...) {
		t.Run(f.name, func(t *testing.T) {
			t.Attr("promise", f.promise)
			t.Parallel()
			f.test(t, was)
		})
	}
}

// reported is a house and the report of a run in it.
type reported struct {
	dir   string            // of the house
	out   string            // of the report
	files map[string]string // of the report
}

func newReported(t *testing.T) reported {
	t.Helper()
	h := newHouse(t, "fp32", "uint8")
	h.write(t)
	was := reported{dir: h.dir, out: filepath.Join(t.TempDir(), "out")}
	r := was.report(t, was.out)
	require.Equal(t, 0, r.exit(t), "%s%s", r.out.String(), r.err.String())
	was.files = folder(t, was.out)
	require.Len(t, was.files, 3)
	return was
}

// report is the command that runs the house's two cells.
func (was reported) report(t *testing.T, out string) *run {
	t.Helper()
	return command(t, []string{"POSETEST_RUNTIMES=" + ort}, "report", "--dir", was.dir, "--providers", "cpu", "--workers", "2", "--out", out)
}

// again is the command that makes the report once more, of its observations.
func (was reported) again(t *testing.T, out string) *run {
	t.Helper()
	return command(t, nothing(t), "report", "--dir", was.dir, "--from", filepath.Join(was.out, "observations.jsonl"), "--out", out)
}

// oldReport is a folder with a report that must stay.
func oldReport(t *testing.T) (out string, files map[string]string) {
	t.Helper()
	out = filepath.Join(t.TempDir(), "out")
	require.NoError(t, os.Mkdir(out, 0o755))
	files = map[string]string{}
	for _, name := range []string{"observations.jsonl", "matrix.md", "index.html"} {
		files[name] = "the last report's " + name + "\n"
		require.NoError(t, os.WriteFile(filepath.Join(out, name), []byte(files[name]), 0o644))
	}
	return out, files
}

// wholeReport sees that a folder holds a report, each file to its end, and nothing else.
func wholeReport(t *testing.T, out string, says ...string) {
	t.Helper()
	set, err := readSet(filepath.Join(out, "observations.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, set.Observations)
	files := folder(t, out)
	assert.True(t, strings.HasSuffix(strings.TrimSpace(files["index.html"]), "</html>"), "the end of index.html")
	assert.NotEmpty(t, files["matrix.md"])
	assert.Len(t, files, 3, "files of a report")
	for _, words := range says {
		assert.Contains(t, files["matrix.md"], words)
	}
}
