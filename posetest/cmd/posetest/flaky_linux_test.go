package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// flakySource is a library that dies of every third time that it is opened, and is ONNX Runtime otherwise. It counts by
// the length of a file.
const flakySource = `
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void count(void) {
	FILE *f = fopen(COUNT, "a");
	fputc('.', f);
	long n = ftell(f);
	fclose(f);
	if (n % 3 == 0) *(volatile int *)0 = 0;
}

const void *OrtGetApiBase(void) {
	void *library = dlopen(REAL, RTLD_NOW);
	return ((const void *(*)(void))dlsym(library, "OrtGetApiBase"))();
}
`

// flakyLibrary builds it around a runtime.
func flakyLibrary(t *testing.T, real string) string {
	t.Helper()
	dir := t.TempDir()
	source, library := filepath.Join(dir, "flaky.c"), filepath.Join(dir, "libonnxruntime.so")
	require.NoError(t, os.WriteFile(source, []byte(flakySource), 0o644))
	out, err := exec.Command("cc", "-shared", "-fPIC", fmt.Sprintf("-DREAL=%q", real), fmt.Sprintf("-DCOUNT=%q", filepath.Join(dir, "count")), "-o", library, source, "-ldl").CombinedOutput()
	require.NoError(t, err, "cgo needs a C compiler, and so does this test: %s", out)
	return library
}

// A cell that crashes in 3 of 10 repetitions is told from one that loads: it is shown with how often it did what, and is
// not as expected, unless its row has a quarantine that is not over.
func TestFlaky(t *testing.T) {
	h := newHouse(t, "fp32")
	h.write(t)
	out := filepath.Join(t.TempDir(), "out")
	r := command(t, append(nothing(t), "POSETEST_ORT="+flakyLibrary(t, installed(t))), "report", "--dir", h.dir, "--repeat", "10", "--workers", "1", "--out", out)
	require.Equal(t, 1, r.exit(t), "%s%s", r.out.String(), r.err.String())
	const tally = "loads 7 of 10, crashes 3 of 10"
	for _, words := range []string{"loads", "(flaky)", "1 cells were run 10 times each: 1 flaky.", "Flaky:", ": " + tally + "\n", "7 × loads", "3 × crashes: died of SIGSEGV during", "not quarantined",
		"flaky: " + tally + "; find the cause, or quarantine the cell in a row of its own (sometimes, owner, see, until), beside golden/support.toml:2"} {
		assert.Contains(t, r.out.String(), words)
	}
	seen := filepath.Join(out, "observations.jsonl")
	set, err := readSet(seen)
	require.NoError(t, err)
	require.Len(t, set.Observations, 1)
	require.Len(t, set.Observations[0].Variants, 2)
	assert.Equal(t, tally, set.Observations[0].Tally())
	assert.Equal(t, observe.Loads, set.Observations[0].Outcome)
	for _, name := range []string{"matrix.md", "index.html"} {
		assert.Contains(t, folder(t, out)[name], tally, name)
	}

	quarantine := func(days int) string {
		return fmt.Sprintf("want = \"loads\"\nsometimes = \"crashes\"\nowner = \"us\"\nsee = \"https://example.org/issues/1\"\nuntil = %s\nwhy = \"by chance\"",
			time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly))
	}
	for _, row := range []struct {
		why, row string
		code     int
		says     []string
		warns    bool // under GitHub Actions
	}{
		{"in quarantine", quarantine(90), 0, []string{"(flaky)", tally, "In quarantine:", "owner us, https://example.org/issues/1", " days left", "all as expected"}, false},
		{"in its last days", quarantine(10), 0, []string{"all as expected"}, true},
		{"in quarantine for something else", strings.Replace(quarantine(90), `"crashes"`, `"fails"`, 1), 1, []string{"3 of 10 times: crashes: died of SIGSEGV", "want loads"}, false},
		{"past its quarantine", quarantine(-2), 1, []string{"flaky: " + tally, "the quarantine in golden/support.toml:2 ended on ", "(owner us, https://example.org/issues/1): mend the cell", " ago"}, true},
	} {
		t.Run(row.why, func(t *testing.T) {
			h.table = strings.Replace(rightTable, `want = "loads"`, row.row, 1)
			h.write(t)
			r := command(t, []string{"GITHUB_ACTIONS=true"}, "report", "--dir", h.dir, "--from", seen, "--out", t.TempDir())
			require.Equal(t, row.code, r.exit(t), "%s%s", r.out.String(), r.err.String())
			for _, words := range row.says {
				assert.Contains(t, r.out.String(), words)
			}
			assert.Equal(t, row.warns, strings.Contains(r.err.String(), "::warning file="), "a warning: %s", r.err.String())
		})
	}
}
