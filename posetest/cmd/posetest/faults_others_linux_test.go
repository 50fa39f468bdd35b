package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Ten suites that begin at once on a cache that has neither runtime nor photographs: one installs, the others wait, and all run.
func tenSuites(t *testing.T, _ reported) {
	cache, dir := filepath.Join(t.TempDir(), "cache"), t.TempDir()
	h := newHouse(t, "fp32") // of which a list and a model are enough
	h.write(t)
	for _, name := range []string{"models.json", filepath.Base(h.model("fp32"))} {
		copyFile(t, filepath.Join(h.dir, "models", name), filepath.Join(dir, "models", name))
	}
	if os.Getenv("POSETEST_OFFLINE") == "1" { // then only the photographs are everybody's to bring
		library := filepath.Dir(installed(t))
		require.NoError(t, os.CopyFS(filepath.Join(cache, "runtimes", filepath.Base(library)), os.DirFS(library)))
	}
	var all []*run
	for range 10 {
		r := command(t, []string{"POSETEST_CACHE=" + cache, "POSETEST_RUNTIMES=" + ort}, "report", "--dir", dir, "--workers", "1", "--out", filepath.Join(t.TempDir(), "out"))
		require.NoError(t, r.Start())
		all = append(all, r)
	}
	installing := 0
	for _, r := range all {
		require.NoError(t, r.Wait(), "%s%s", r.out.String(), r.err.String())
		assert.Contains(t, r.out.String(), "1 cells: 1 loads; all as expected.")
		wholeReport(t, r.Args[len(r.Args)-1])
		installing += strings.Count(r.err.String(), "installing onnxruntime@"+ort)
	}
	assert.LessOrEqual(t, installing, 1, "suites that installed the runtime")
	for _, path := range names(t, cache) {
		assert.False(t, strings.HasPrefix(filepath.Base(path), ".") || strings.Contains(path, ".staging"), "%s was left", path)
	}
	found, err := filepath.Glob(filepath.Join(cache, "runtimes", "*", "manifest.json"))
	require.NoError(t, err)
	assert.Len(t, found, 1)
}

// Clocks jump: what was observed in another time is read, shown and compared, and no file's time decides anything.
func fromAnotherTime(t *testing.T, was reported) {
	past, future := time.Unix(0, 0).UTC(), time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	moved := func(name string, when ...time.Time) string {
		t.Helper()
		all := lines(t, filepath.Join(was.out, "observations.jsonl"))
		require.Len(t, all[1:], len(when))
		for i, line := range all[1:] {
			var o map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &o))
			require.Contains(t, o, "when")
			o["when"] = when[i]
			text, err := json.Marshal(o)
			require.NoError(t, err)
			all[1+i] = string(text)
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(all, "\n")+"\n"), 0o644))
		require.NoError(t, os.Chtimes(path, when[0], when[0]))
		return path
	}
	for _, row := range []struct {
		why         string
		from, since string
	}{
		{"from the future", moved("future.jsonl", future, future), ""},
		{"a clock that was set back between two cells", moved("back.jsonl", future, past), ""},
		{"the report before is of the future", moved("past.jsonl", past, past), moved("later.jsonl", future, future)},
	} {
		out, _ := oldReport(t)
		for _, path := range names(t, out) {
			require.NoError(t, os.Chtimes(path, future, future))
		}
		args := []string{"report", "--dir", was.dir, "--from", row.from, "--out", out}
		if row.since != "" {
			args = append(args, "--since", row.since)
		}
		r := command(t, nothing(t), args...)
		require.Equal(t, 0, r.exit(t), "%s: %s", row.why, r.err.String())
		assert.Contains(t, r.out.String(), "2 cells: 1 loads, 1 wrong; all as expected.", row.why)
		if row.since != "" {
			assert.Contains(t, r.out.String(), "Nothing changed since the report before", row.why)
		}
		wholeReport(t, out)
	}
}

// A clock of the day that jumps while cells run, for the command, its workers and their runtime: by an hour, a day, fifteen
// years, back and forth, at each third look. Nothing waits, gives up or is timed by it.
func jumpingClock(t *testing.T, was reported) {
	clock := filepath.Join(t.TempDir(), "jumpingclock")
	built, err := exec.Command("cc", "-O1", "-o", clock, filepath.Join("testdata", "jumpingclock.c")).CombinedOutput()
	require.NoError(t, err, "cgo needs a C compiler, and so does this test: %s", built)
	out := filepath.Join(t.TempDir(), "out")
	r := was.report(t, out)
	r.Path, r.Args = clock, append([]string{clock, r.Path}, r.Args[1:]...)
	begin := time.Now()
	require.Equal(t, 0, r.exit(t), "tracing must be allowed here: %s", r.err.String())
	took := time.Since(begin)
	assert.Regexp(t, `jumpingclock: the clock was looked at \d{2,} times`, r.err.String())
	assert.Contains(t, r.out.String(), "2 cells: 1 loads, 1 wrong; all as expected.")
	wholeReport(t, out)

	now, err := readSet(filepath.Join(out, "observations.jsonl"))
	require.NoError(t, err)
	before, err := readSet(filepath.Join(was.out, "observations.jsonl"))
	require.NoError(t, err)
	require.Len(t, now.Observations, len(before.Observations))
	jumped := false
	for i, o := range now.Observations {
		assert.Equal(t, before.Observations[i].Timeless(), o.Timeless())
		for what, d := range map[string]time.Duration{"load": o.Load, "first run": o.FirstRun, "run": o.Run, "worker": o.Worker} {
			assert.Positive(t, d, "%s: %s", o.Cell, what)
			assert.Less(t, d, took, "%s: %s", o.Cell, what)
		}
		jumped = jumped || o.When.Sub(begin).Abs() > 30*time.Minute
	}
	assert.True(t, jumped, "no observation is of another time")
}
