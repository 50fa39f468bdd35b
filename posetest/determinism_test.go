package posetest_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/faulttest"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// determined is what TestDeterminism runs: cells that load and find, of fp32 and quantized ones, one that finds nobody, one
// that the runtime refuses, one whose provider the build lacks, and where there is OpenVINO, two on it. Photographs of the
// data path are left out.
func determined() posetest.Config {
	cfg := posetest.Config{Runtimes: "1.23.2", Models: []string{"movenet-lightning"}, Precisions: []string{"fp32", "int8", "int8-qdq", "uint8"},
		Providers: []string{"cpu", "openvino"}, Data: []string{}, Today: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)}
	if withOpenVINO() {
		cfg.Runtimes += ",openvino-1.24.1"
	}
	return cfg
}

func withOpenVINO() bool { return observe.ThisMachine().Platform() == "linux/amd64" }

// determines tells whether a cell is one of those.
func determines(p posetest.Planned) bool {
	switch {
	case p.ORT != "1.23.2":
		return p.Provider == "openvino" && (p.Precision == "fp32" || p.Precision == "int8-qdq")
	case p.Provider == "openvino":
		return p.Precision == "fp32"
	}
	return true
}

// Same inputs, same observations and same report, timings apart, byte for byte: in whatever order the cells run, beside how
// many others, and on however many threads of this process. POSETEST_FULL=1 makes 20 runs of it.
func TestDeterminism(t *testing.T) {
	t.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0")) // under -race each worker would sleep for a second at its end
	runs := faulttest.Times(3, 20)
	first := runDetermined(t, 0)
	requireAll(t, first)
	want := pages(t, first)
	for i := 1; i < runs; i++ {
		same(t, want, pages(t, runDetermined(t, i)), fmt.Sprintf("run %d", i+1))
	}

	// The tester is tested: a keypoint that moves by as little as a number can is seen.
	moved := first.Timeless()
	nose := someNose(t, moved)
	nose.X = math.Nextafter(nose.X, math.Inf(1))
	assert.NotEqual(t, want["observations.jsonl"], pages(t, moved)["observations.jsonl"], "a keypoint is elsewhere")
	nose.X = math.Nextafter(nose.X, math.Inf(-1))
	later := observe.Set{Parts: first.Parts, Observations: slices.Clone(first.Observations)}
	later.Observations[0].When = later.Observations[0].When.Add(time.Hour)
	same(t, want, pages(t, later), "the same an hour later")
}

// someNose is a keypoint of a set.
func someNose(t *testing.T, set observe.Set) *pose.Keypoint {
	t.Helper()
	for _, o := range set.Observations {
		for _, photo := range o.Photos {
			for _, person := range photo.Persons {
				return &person.Keypoints[0]
			}
		}
	}
	t.Fatal("nobody is found")
	return nil
}

// runDetermined runs the cells as the i-th time asks for: i says how they are shuffled, how many run beside each other,
// and on how many threads this process and its workers may run Go code.
func runDetermined(t *testing.T, i int) observe.Set {
	t.Helper()
	threads := []int{1, 2, 8}[i%3]
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
	t.Setenv("GOMAXPROCS", strconv.Itoa(threads))
	cfg := determined()
	cfg.Workers = []int{4, 1, 3, 2}[i%4]
	suite := posetest.New(cfg)
	plan, err := suite.Plan(t.Context(), os.Stderr)
	require.NoError(t, err)
	skipWithout(t, suite, plan)
	plan.Cells = slices.DeleteFunc(plan.Cells, func(p posetest.Planned) bool { return !determines(p) })
	part := plan.Part(posetest.Shard{})
	random := rand.New(rand.NewPCG(7, uint64(i)))
	random.Shuffle(len(plan.Cells), func(a, b int) { plan.Cells[a], plan.Cells[b] = plan.Cells[b], plan.Cells[a] })
	all, err := suite.Run(t.Context(), plan, func(posetest.Planned) {})
	require.NoError(t, err)
	return observe.Set{Parts: []observe.Part{part}, Observations: all}
}

// skipWithout skips on a machine of a person who has not these runtimes.
func skipWithout(t *testing.T, suite *posetest.Suite, plan *posetest.Plan) {
	t.Helper()
	for _, m := range plan.Missing {
		if len(m.Cells) > 0 && !suite.Config().Requires(m.ID) {
			t.Skip(m.Err)
		}
		require.Empty(t, m.Cells, "%v", m.Err)
	}
}

// requireAll makes sure that what is compared has something of each kind in it.
func requireAll(t *testing.T, set observe.Set) {
	t.Helper()
	outcomes, providers := map[observe.Outcome]int{}, map[string]int{}
	persons := 0
	for _, o := range set.Observations {
		outcomes[o.Outcome]++
		providers[o.Provider]++
		for _, p := range o.Photos {
			persons += len(p.Persons)
		}
	}
	assert.Positive(t, outcomes[observe.Loads], "cells that load, of %v", outcomes)
	assert.Positive(t, outcomes[observe.Fails], "cells that fail, of %v", outcomes)
	assert.Positive(t, outcomes[observe.Unavailable], "cells without their provider, of %v", outcomes)
	if withOpenVINO() {
		assert.Greater(t, providers["openvino"], 1, "cells on OpenVINO, of %v", providers)
	}
	assert.Positive(t, persons, "persons found")
}

// pages are the files of a report of a set without its times.
func pages(t *testing.T, set observe.Set) map[string]string {
	t.Helper()
	set = set.Timeless()
	page, err := posetest.NewPage(determined(), set, nil)
	require.NoError(t, err)
	all := map[string]string{}
	for name, write := range map[string]func(io.Writer) error{
		"observations.jsonl": func(w io.Writer) error { return observe.Write(w, set) },
		"matrix.md":          page.Markdown,
		"index.html":         page.HTML,
	} {
		var b bytes.Buffer
		require.NoError(t, write(&b))
		all[name] = b.String()
	}
	return all
}

// same asserts that files are equal byte for byte, and says where they are not.
func same(t *testing.T, want, got map[string]string, run string) {
	t.Helper()
	for name := range want {
		if difference := firstDifference(want[name], got[name]); difference != "" {
			t.Errorf("%s: %s is not that of the first run: %s", run, name, difference)
		}
	}
}

// firstDifference is where two texts part, with what stands there; "" if they are equal.
func firstDifference(want, got string) string {
	if want == got {
		return ""
	}
	n := 0
	for n < min(len(want), len(got)) && want[n] == got[n] {
		n++
	}
	around := func(s string) string { return s[max(0, n-60):min(len(s), n+60)] }
	return fmt.Sprintf("byte %d, line %d\n  want …%q…\n  got  …%q…", n, 1+strings.Count(want[:n], "\n"), around(want), around(got))
}

func TestFirstDifference(t *testing.T) {
	for _, row := range []struct{ why, want, got, difference string }{
		{"equal", "a\nb", "a\nb", ""},
		{"a byte", "a\nb", "a\nc", "byte 2, line 2\n  want …\"a\\nb\"…\n  got  …\"a\\nc\"…"},
		{"an end", "a\nb", "a\n", "byte 2, line 2\n  want …\"a\\nb\"…\n  got  …\"a\\n\"…"},
		{"more", "a", "ab", "byte 1, line 1\n  want …\"a\"…\n  got  …\"ab\"…"},
	} {
		assert.Equal(t, row.difference, firstDifference(row.want, row.got), row.why)
	}
}
