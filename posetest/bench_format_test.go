package posetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchfmt"
)

// wholeRun is what a run of two cells and three samples writes.
func wholeRun(t testing.TB) string {
	var b bytes.Buffer
	w, err := NewBenchWriter(&b, observe.Machine{OS: "linux", Arch: "amd64", CPU: "AMD  EPYC", ISA: observe.AVX2, Core: 2})
	require.NoError(t, err)
	for round := range 3 {
		for _, precision := range []string{"fp32", "int8-qdq"} {
			wall := time.Duration(10+round) * time.Millisecond
			s := Sample{Kind: KindInfer, Runs: []worker.Sample{{Wall: wall, CPU: wall}}, First: wall, PeakMemory: 1 << 26, ModelSize: 1 << 20}
			require.NoError(t, w.Write(Benchmark{Kind: KindInfer, Planned: timedCell(precision, "openvino-1.24.1", loads)}, s))
		}
	}
	require.NoError(t, w.Complete(2, 3))
	return b.String()
}

// What is written is read as it was meant, and configuration comes once, before the first sample.
func TestBenchWriter(t *testing.T) {
	text := wholeRun(t)
	assert.True(t, strings.HasPrefix(text, "complete:\nUnit fps better=higher\nUnit model-B assume=exact\n"+
		"goos: linux\ngoarch: amd64\ncpu: AMD EPYC\nisa: avx2\ncores: 2\n\nBenchmarkInfer/model="), text)
	assert.True(t, strings.HasSuffix(text, "\ncomplete: 2 cells of 3 samples\n"), text)
	assert.Equal(t, 6, strings.Count(text, "\nBenchmark"))
	n, err := CheckBenchmarks(strings.NewReader(text), "bench.txt")
	require.NoError(t, err)
	assert.Equal(t, 2, n)

	r := benchfmt.NewReader(strings.NewReader(text+text), "")
	for r.Scan() {
		if result, ok := r.Result().(*benchfmt.Result); ok {
			assert.Empty(t, result.GetConfig("complete"), "runs that are appended to each other stay one table")
			assert.Equal(t, "avx2", result.GetConfig("isa"))
		}
	}

	for _, after := range []int{0, 1, 2} {
		w, err := NewBenchWriter(&full{after: after}, observe.ThisMachine())
		if err == nil {
			err = w.Write(Benchmark{}, Sample{Runs: make([]worker.Sample, 1)})
		}
		assert.ErrorIs(t, err, io.ErrShortWrite, "a full disk is told")
	}
}

// full is a disk that is full after so many writes.
type full struct{ after int }

func (f *full) Write(b []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

const goTest = `goos: linux
goarch: amd64
pkg: example.com/m
cpu: AMD EPYC
BenchmarkA/x=1-2 	     10	     120 ns/op	       3 fps
BenchmarkA/x=2-2 	     10	     130 ns/op	       4 fps
PASS
ok  	example.com/m	1.2s
`

// Whatever benchstat would drop, mix or split is refused, by line.
func TestCheckBenchmarks(t *testing.T) {
	whole := wholeRun(t)
	second := regexp.MustCompile(`(?s)^(.*?\nBenchmark.*?\n)(Benchmark\S+ 1)(.*)$`) // before, begin and rest of the second sample, line 11
	firstLine := regexp.MustCompile(`(?s)^(.*?\n)Benchmark[^\n]*\n`)
	lastLines := regexp.MustCompile(`(Benchmark.*\n){2}(complete.*)`)
	in := func(old, new string) string {
		require.Contains(t, whole, old)
		return strings.Replace(whole, old, new, 1)
	}
	for _, row := range []struct{ why, text, err string }{
		{"as written", whole, ""},
		{"two runs, one after the other", whole + whole, ""},
		{"what go test wrote", goTest, ""},
		{"of several packages", goTest + goTest, ""},
		{"a Windows tool was there", strings.ReplaceAll(whole, "\n", "\r\n"), ""},

		{"empty", "", "bench.txt: is empty"},
		{"a line of a log within a benchmark line", second.ReplaceAllString(whole, "${1}${2} 2026-11-24 warning: x\n${3}"), "bench.txt:11: parsing measurement"},
		{"with an end of line before", second.ReplaceAllString(whole, "${1}${2}\nopening the runtime${3}"), "bench.txt:11: missing measurements"},
		{"before the number of runs", strings.Replace(goTest, "x=2-2 \t", "x=2-2 \tloading\n", 1), "bench.txt:6: parsing iteration count"},
		{"right after the name: benchstat takes it for go test -v", strings.Replace(goTest, "x=2-2 \t", "x=2-2\nloading\n", 1), "bench.txt:6: neither a whole benchmark line"},
		{"a log that looks like a metric", second.ReplaceAllString(whole, "${1}${2} 3 retries${3}"), "bench.txt:13: this sample has"},
		{"a metric twice", second.ReplaceAllString(whole, "${1}${2} 3 fps${3}"), "bench.txt:11: a unit comes twice"},
		{"between lines", second.ReplaceAllString(whole, "${1}2026-11-24 warning\n${2}${3}"), "bench.txt:11: neither a whole benchmark line nor configuration"},
		{"that looks like configuration", second.ReplaceAllString(whole, "${1}warning: no placement\n${2}${3}"), "bench.txt:11: benchstat would take warning for configuration"},
		{"a failure of go test", strings.Replace(goTest, "PASS\n", "--- FAIL: BenchmarkA\n", 1), "bench.txt:7: neither"},
		{"units in disorder", in("Unit fps better=higher", "Unit fps better"), "bench.txt:2: expected key=value"},
		{"no number", strings.Replace(goTest, "130 ns", "NaN ns", 1), "bench.txt:6: NaN is no measurement"},

		{"cut within a line", whole[:len(whole)-40], "the last line has no end"},
		{"cut after a line", whole[:strings.Index(whole, "complete: 2")], "no line says that the run is complete"},
		{"cut after a line, of go test", goTest[:strings.Index(goTest, "PASS")], "no line says that the run is complete"},
		{"cut at its begin", whole[strings.Index(whole, "goos"):], "a run ends that did not begin"},
		{"cut, and another run appended", whole[:strings.Index(whole, "complete: 2")] + whole, "bench.txt:16: a run ends that did not begin, or begins before"},
		{"a round is lost", lastLines.ReplaceAllString(whole, "$2"), "bench.txt:14: the run has 2 cells of 2 samples before this line"},
		{"a sample is lost", firstLine.ReplaceAllString(whole, "$1"), "bench.txt:15: unequal samples: Infer/"},
		{"a cell is lost", regexp.MustCompile(`(?m)^Benchmark.*fp32.*\n`).ReplaceAllString(whole, ""), "the run has 1 cells of 3 samples before this line"},
		{"unequal samples of go test", strings.Replace(goTest, "PASS\n", "BenchmarkA/x=2-2 10 130 ns/op 4 fps\nPASS\n", 1), "bench.txt:9: unequal samples: A/x=1-2 has 1, and A/x=2-2 2"},
		{"mixed machines", whole + strings.Replace(whole, "AMD EPYC", "Apple M4", 1), "mixed machines: goos linux, goarch amd64, cpu Apple M4"},
		{"another class of INT8 kernels", whole + strings.Replace(whole, "isa: avx2", "isa: vnni", 1), "mixed machines"},
		{"another system", goTest + strings.Replace(goTest, "goos: linux", "goos: darwin", 1), "bench.txt:13: mixed machines"},
		{"no benchmarks at all", "Usage: posetest [command]\n", "bench.txt:1: neither"},
	} {
		t.Run(row.why, func(t *testing.T) {
			_, err := CheckBenchmarks(strings.NewReader(row.text), "bench.txt")
			if row.err == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Contains(t, err.Error(), row.err)
			assert.NotContains(t, err.Error(), "\n", "one sentence")
		})
	}

	_, err := CheckBenchmarks(io.MultiReader(strings.NewReader(whole), failing{}), "bench.txt")
	assert.ErrorContains(t, err, "bench.txt: the disk is gone")
	_, err = CheckBenchmarks(strings.NewReader(goTest+strings.Repeat("x", 1<<17)+"\n"), "bench.txt")
	assert.Error(t, err, "a line longer than benchstat reads")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

// What is accepted, benchstat reads without a word, with every sample of every cell; and nobody can slip a line in.
func FuzzCheckBenchmarks(f *testing.F) {
	whole := wholeRun(f)
	f.Add(whole, "warning", 300)
	f.Add(goTest, "x: y", 90)
	f.Add(whole+whole, "BenchmarkX 1", 1000)
	f.Add("Unit fps better=higher better=lower\nPASS\n", "", 0)
	f.Fuzz(func(t *testing.T, text, log string, at int) {
		n, err := CheckBenchmarks(strings.NewReader(text), "bench.txt")
		if err != nil {
			return
		}
		samples := map[string]int{}
		r := benchfmt.NewReader(strings.NewReader(text), "")
		for r.Scan() {
			switch record := r.Result().(type) {
			case *benchfmt.Result:
				samples[string(record.Name)]++
			case *benchfmt.SyntaxError:
				t.Fatalf("accepted with %v:\n%s", record, text)
			}
		}
		require.NoError(t, r.Err())
		require.Len(t, samples, n)
		require.NoError(t, equal(samples))

		if at < 0 || at > len(text) || n == 0 {
			return
		}
		slipped := fmt.Sprintf("%s\n2026/11/24 %s\n%s", text[:at], strings.ReplaceAll(log, "\n", " "), text[at:])
		_, err = CheckBenchmarks(strings.NewReader(slipped), "bench.txt")
		require.Error(t, err, "with a line of a log:\n%s", slipped)
	})
}
