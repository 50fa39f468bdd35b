package posetest_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func BenchmarkInfer(b *testing.B)    { suite.BenchmarkInfer(b) }
func BenchmarkLoad(b *testing.B)     { suite.BenchmarkLoad(b) }
func BenchmarkPipeline(b *testing.B) { suite.BenchmarkPipeline(b) }

// go test -bench writes what benchstat reads: the same names and metrics as posetest bench, timed in the workers.
func TestGoBenchmarks(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-test.run=^$", "-test.benchtime=3x", "-test.count=2",
		"-test.bench=^Benchmark(Infer|Load|Pipeline)$/model=movenet-lightning/precision=(fp32|int8-qdq)$/provider=cpu")
	cmd.Env = append(os.Environ(), "POSETEST_RUNTIMES=1.23.2")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s%s", out, stderr.String())
	if strings.Contains(string(out), "--- SKIP") { // an error where CI or POSETEST_REQUIRE says so
		t.Skipf("%s", out)
	}
	cells, err := posetest.CheckBenchmarks(bytes.NewReader(out), "go test -bench")
	require.NoError(t, err, "%s", out)
	assert.Equal(t, 6, cells, "%s", out)
	for line := range strings.Lines(string(out)) {
		kind, _, ok := strings.Cut(line, "/model=movenet-lightning/precision=")
		if !ok {
			continue
		}
		fields := strings.Fields(line)
		assert.Equal(t, "3", fields[1], "runs in %s", line)
		for _, unit := range []string{"ns/op", "peak-B", "model-B", "fps", "p50-ns", "p90-ns", "cpu-ns/op", "first-ns"} {
			loads := kind == "BenchmarkLoad" && unit != "ns/op" && !strings.HasSuffix(unit, "-B")
			assert.Equal(t, !loads, strings.Contains(line, " "+unit), "%s in %s", unit, line)
		}
	}
}
