package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func outputFaults() []fault {
	return []fault{
		{"standard output on a full disk", filesWhole, fullOutput},
		{"standard output of benchmarks on a full disk", clearError, fullBenchOutput},
		{"a reader of the report that has read enough", filesWhole, readerGone},
		{"a reader of benchmarks that is gone", clearError, benchReaderGone},
		{"standard error that nobody reads", filesWhole, errorReaderGone},
		{"standard output closed", filesWhole, func(t *testing.T, was reported) { closed(t, was, ">&-") }},
		{"standard error closed", filesWhole, func(t *testing.T, was reported) { closed(t, was, "2>&-") }},
		{"standard input closed", filesWhole, func(t *testing.T, was reported) { closed(t, was, "<&-") }},
		{"all three closed", filesWhole, func(t *testing.T, was reported) { closed(t, was, "<&- >&- 2>&-") }},
	}
}

func full(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

const lostOutput = "standard output: no space left on device; what was printed is not whole: print it to a place that has room"

// What can't be printed is written down all the same.
func fullOutput(t *testing.T, was reported) {
	out := filepath.Join(t.TempDir(), "out")
	r := was.again(t, out)
	r.Stdout = full(t)
	require.Equal(t, 2, r.exit(t))
	assert.True(t, strings.HasSuffix(r.err.String(), "posetest: "+lostOutput+"\n"), r.err.String())
	wholeReport(t, out)
	for _, args := range [][]string{{"runtime", "list"}, {"models", "list"}, {"--help"}} {
		r := command(t, nothing(t), args...)
		r.Stdout = full(t)
		require.Equal(t, 2, r.exit(t), "%v", args)
		assert.Equal(t, lostOutput, r.sentence(t), "%v", args)
	}
}

// bench is the command that times the house's first cell for much longer than a test.
func (was reported) bench(t *testing.T) *run {
	t.Helper()
	return command(t, nil, "bench", "--dir", was.dir, "--runtimes", ort, "--providers", "cpu", "--precisions", "fp32", "--count", "1000", "--benchtime", "5x")
}

// Nothing is measured that can't be printed.
func fullBenchOutput(t *testing.T, was reported) {
	r := was.bench(t)
	r.Stdout = full(t)
	begin := time.Now()
	require.Equal(t, 2, r.exit(t))
	assert.Less(t, time.Since(begin), 30*time.Second)
	assert.Equal(t, lostOutput, r.sentence(t))
}

// unread is the write end of a pipe that nobody reads.
func unread(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	t.Cleanup(func() { w.Close() })
	return w
}

// As of posetest report | head -1: nobody has lost anything.
func readerGone(t *testing.T, was reported) {
	out := filepath.Join(t.TempDir(), "out")
	r := was.report(t, out)
	r.Stdout = unread(t)
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.NotContains(t, r.err.String(), "posetest:")
	wholeReport(t, out)
}

func benchReaderGone(t *testing.T, was reported) {
	r := was.bench(t)
	r.Stdout = nil
	out, err := r.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, r.Start())
	_, err = out.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, out.Close())
	begin := time.Now()
	r.Wait()
	assert.Equal(t, 2, r.ProcessState.ExitCode())
	assert.Less(t, time.Since(begin), 30*time.Second, "a thousand samples take longer")
	assert.Contains(t, r.sentence(t), "standard output: broken pipe")
	assert.Empty(t, names(t, r.tmp))
}

func errorReaderGone(t *testing.T, was reported) {
	out := filepath.Join(t.TempDir(), "out")
	r := was.report(t, out)
	r.Stderr = unread(t)
	require.Equal(t, 0, r.exit(t))
	assert.Contains(t, r.out.String(), "all as expected.")
	wholeReport(t, out)
}

// throughShell starts a command as a line of sh does; "$@" is the command.
func (r *run) throughShell(line string) {
	r.Args = append([]string{"sh", "-c", line, "sh", r.Path}, r.Args[1:]...)
	r.Path = "/bin/sh"
}

// A file that is opened must not become an output that was closed.
func closed(t *testing.T, was reported, redirection string) {
	out := filepath.Join(t.TempDir(), "out")
	r := was.report(t, out)
	r.throughShell(`exec "$@" ` + redirection)
	require.Equal(t, 0, r.exit(t), r.err.String())
	wholeReport(t, out)
}
