package posetest

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchproc"
	"golang.org/x/perf/benchunit"
)

// timedCell is a cell as a plan has it.
func timedCell(precision, ort string, row expect.Row) Planned {
	return Planned{Row: row, Model: catalog.Model{Family: "movenet"}, File: catalog.File{Size: 2_828_185},
		Head: onnx.Model{
			Inputs:  []tensor.Info{{Name: "input", Type: "int32", Shape: []int64{1, 192, 192, 3}}},
			Outputs: []tensor.Info{{Name: "output_0", Type: "float32", Shape: []int64{1, 1, 17, 3}}},
		},
		Place: expect.Place{Cell: observe.Cell{Model: "movenet-lightning", Precision: precision, Provider: "cpu", ORT: ort}}}
}

var loads = expect.Row{Want: observe.Loads}

// A name has the cell and what was asked for, and benchstat reads it as it was meant.
func TestBenchmarkNames(t *testing.T) {
	for _, row := range []struct {
		benchmark Benchmark
		want      string
		keys      map[string]string // as benchstat sees them
		why       string
	}{
		{Benchmark{Kind: KindInfer, Planned: timedCell("fp32", "1.32.0", loads)}, "Infer/model=movenet-lightning/precision=fp32/provider=cpu/ort=1.32.0",
			map[string]string{".name": "Infer", "/ort": "1.32.0", "/gomaxprocs": ""}, "what is as always is in no name"},
		{Benchmark{Kind: KindLoad, Planned: timedCell("int8-qdq-pt", "openvino-1.24.1", loads)}, "Load/model=movenet-lightning/precision=int8-qdq-pt/provider=cpu/ort=openvino-1.24.1",
			map[string]string{".name": "Load", "/precision": "int8-qdq-pt", "/ort": "openvino-1.24.1", "/gomaxprocs": ""}, "the end is no -N of GOMAXPROCS"},
		{Benchmark{Kind: KindInfer, Planned: timedCell("fp32", "1.32.0", loads), Threads: 1, Batch: 8, Binding: worker.Bound, Arena: "off"},
			"Infer/model=movenet-lightning/precision=fp32/provider=cpu/ort=1.32.0/threads=1/batch=8/binding=bound/arena=off",
			map[string]string{"/threads": "1", "/batch": "8", "/binding": "bound", "/arena": "off"}, "in one order, also what is the default"},
		{Benchmark{Kind: KindPipeline, Planned: timedCell("fp32", "1.32.0", loads), Stages: "separate"},
			"Pipeline/model=movenet-lightning/precision=fp32/provider=cpu/ort=1.32.0/stages=separate", map[string]string{"/stages": "separate"}, ""},
	} {
		assert.Equal(t, row.want, row.benchmark.String(), row.why)
		for key, want := range row.keys {
			projection, err := new(benchproc.ProjectionParser).Parse(key, nil)
			require.NoError(t, err)
			got := projection.Project(&benchfmt.Result{Name: benchfmt.Name(row.want)})
			assert.Equal(t, want, got.Get(projection.Fields()[0]), "%s of %s: %s", key, row.want, row.why)
		}
	}
}

// Cells that do what can be timed are listed, and the others counted.
func TestBenchmarks(t *testing.T) {
	opened := timedCell("fp32", "1.32.0", loads)
	opened.Head.Inputs = []tensor.Info{{Name: "input", Type: "int32", Shape: []int64{-1, 192, 192, 3}}}
	yolo := timedCell("fp32", "1.32.0", loads)
	yolo.Model.Family = "yolov8-pose"
	yolo.Head = onnx.Model{Inputs: []tensor.Info{{Name: "images", Type: "float32", Shape: []int64{1, 3, 640, 640}}},
		Outputs: []tensor.Info{{Name: "output0", Type: "float32", Shape: []int64{1, 56, 8400}}}}
	const cpu = "model=movenet-lightning/precision=fp32/provider=cpu/ort=1.32.0"

	for _, row := range []struct {
		why     string
		cells   []Planned
		threads int // of the suite
		vary    Vary
		want    []string // ends of names
		left    string
		err     string
	}{
		{why: "fp32 first, since benchstat compares with what it sees first", cells: []Planned{timedCell("fp16", "1.32.0", loads), opened},
			want: []string{"Infer/model=movenet-lightning/precision=fp32/provider=cpu/ort=1.32.0", "Infer/model=movenet-lightning/precision=fp16/provider=cpu/ort=1.32.0"}},
		{why: "a cell that fails, crashes, or does neither always, is no benchmark",
			cells: []Planned{opened, timedCell("int8", "1.23.2", expect.Row{Want: observe.Fails}), timedCell("int8", "openvino-1.24.1", expect.Row{Want: observe.Crashes}),
				timedCell("uint8", "1.23.2", expect.Row{Want: observe.Fails}), timedCell("fp16", "1.23.2", expect.Row{Want: observe.Loads, Sometimes: expect.Set{"crashes"}})},
			want: []string{"Infer/" + cpu}, left: "1 crashes, 1 unstable, 2 fails"},
		{why: "what can't run can load", cells: []Planned{timedCell("fp32", "1.32.0", expect.Row{Want: observe.Loads, Finds: expect.NotRun})},
			vary: Vary{Kinds: Kinds()}, want: []string{"Load/" + cpu}, left: "2 can't run"},
		{why: "each combination once", cells: []Planned{opened}, vary: Vary{Threads: []int{1, 2, 1}, Binding: []worker.Binding{worker.Copy, worker.Bound}},
			want: []string{"/threads=1/binding=copy", "/threads=1/binding=bound", "/threads=2/binding=copy", "/threads=2/binding=bound"}},
		{why: "each kind has its own", cells: []Planned{yolo}, vary: Vary{Kinds: []Kind{KindPipeline, KindInfer, KindInfer}, Stages: []string{"separate", "fused"}, Binding: []worker.Binding{worker.Copy}},
			want: []string{"/stages=separate", "/stages=fused", "/binding=copy"}},
		{why: "a batch needs an open dimension", cells: []Planned{opened, timedCell("fp16", "1.32.0", loads)}, vary: Vary{Batch: []int{1, 4}},
			want: []string{"fp32/provider=cpu/ort=1.32.0/batch=1", "/batch=4", "fp16/provider=cpu/ort=1.32.0/batch=1"}, left: "1 of a fixed batch"},
		{why: "MoveNet preprocesses in one way", cells: []Planned{opened}, vary: Vary{Kinds: []Kind{KindPipeline}, Stages: []string{"separate", "fused"}},
			want: []string{"/stages=fused"}, left: "1 without separate stages"},
		{why: "a suite of two threads says so in its names", cells: []Planned{opened}, threads: 2, want: []string{"/ort=1.32.0/threads=2"}},

		{why: "nothing is left", cells: []Planned{timedCell("int8", "1.23.2", expect.Row{Want: observe.Fails})}, err: "nothing that was asked for can be timed: 1 fails"},
		{why: "a typo", cells: []Planned{opened}, vary: Vary{Kinds: []Kind{"infre"}}, err: `kinds: "infre" is unknown; choose from Infer, Load, Pipeline`},
		{why: "a typo", cells: []Planned{opened}, vary: Vary{Binding: []worker.Binding{"bind"}}, err: `binding: "bind" is unknown; choose from copy, bound, device`},
		{why: "no thread", cells: []Planned{opened}, vary: Vary{Threads: []int{0}}, err: "threads: 0 is too few"},
		{why: "asked for in vain", cells: []Planned{opened}, vary: Vary{Stages: []string{"fused"}}, err: "stages: no benchmark that was asked for has it; ask for kind Pipeline"},
	} {
		t.Run(row.why, func(t *testing.T) {
			s := New(Config{Threads: max(1, row.threads)})
			all, left, err := s.Benchmarks(&Plan{Cells: row.cells}, row.vary)
			if row.err != "" {
				require.ErrorIs(t, err, ErrSetup)
				assert.Contains(t, err.Error(), row.err)
				assert.NotContains(t, err.Error(), "\n")
				return
			}
			require.NoError(t, err)
			require.Len(t, all, len(row.want), "%v", all)
			for i, b := range all {
				assert.True(t, strings.HasSuffix(b.String(), row.want[i]), "%s, want …%s", b, row.want[i])
			}
			assert.Equal(t, row.left, left.String())
		})
	}
}

// A sample's metrics, in units that benchstat knows: 200 runs of 1, 2, … 200 ms.
func TestMetrics(t *testing.T) {
	runs := func(n int) []worker.Sample {
		var all []worker.Sample
		for i := n; i > 0; i-- {
			all = append(all, worker.Sample{Wall: time.Duration(i) * time.Millisecond, CPU: 2 * time.Duration(i) * time.Millisecond})
		}
		return all
	}
	sample := func(n int) Sample {
		return Sample{Kind: KindInfer, Runs: runs(n), First: 7 * time.Millisecond, PeakMemory: 64 << 20, ModelSize: 2_828_185}
	}
	batch := sample(200)
	batch.Batch = 4
	load := sample(2)
	load.Kind = KindLoad
	for _, row := range []struct {
		why    string
		sample Sample
		want   map[string]float64 // as benchstat tidies them
	}{
		{"means, nearest ranks", sample(200), map[string]float64{"sec/op": 0.1005, "fps": 1 / 0.1005, "p50-sec": 0.100, "p90-sec": 0.180, "cpu-sec/op": 0.201,
			"first-sec": 0.007, "peak-B": 64 << 20, "model-B": 2_828_185}},
		{"photographs a second, not runs", batch, map[string]float64{"sec/op": 0.1005, "fps": 4 / 0.1005, "p50-sec": 0.100, "p90-sec": 0.180, "cpu-sec/op": 0.201,
			"first-sec": 0.007, "peak-B": 64 << 20, "model-B": 2_828_185}},
		{"one run too few for a p99", sample(661), map[string]float64{"sec/op": 0.331, "fps": 1 / 0.331, "p50-sec": 0.331, "p90-sec": 0.595, "cpu-sec/op": 0.662,
			"first-sec": 0.007, "peak-B": 64 << 20, "model-B": 2_828_185}},
		{"enough", sample(662), map[string]float64{"sec/op": 0.3315, "fps": 1 / 0.3315, "p50-sec": 0.331, "p90-sec": 0.596, "p99-sec": 0.656, "cpu-sec/op": 0.663,
			"first-sec": 0.007, "peak-B": 64 << 20, "model-B": 2_828_185}},
		{"a load runs nothing", load, map[string]float64{"sec/op": 0.0015, "peak-B": 64 << 20, "model-B": 2_828_185}},
	} {
		got := map[string]float64{}
		for _, m := range row.sample.Metrics() {
			value, unit := benchunit.Tidy(m.Value, m.Unit)
			assert.NotContains(t, got, unit)
			got[unit] = value
		}
		assert.InDeltaMapValues(t, row.want, got, 1e-9, row.why)
		assert.Len(t, got, len(row.want), row.why)
	}
	assert.Equal(t, benchunit.Binary, benchunit.ClassOf("peak-B"), "MiB")
	assert.Equal(t, benchunit.Decimal, benchunit.ClassOf("fps"))
}

// 662 is the smallest number of runs of which at least two are above the 99th percentile with 99 % confidence.
func TestTailRuns(t *testing.T) {
	twoAbove := func(n float64) float64 { return 1 - math.Pow(0.99, n) - n*0.01*math.Pow(0.99, n-1) }
	assert.GreaterOrEqual(t, twoAbove(tailRuns), 0.99)
	assert.Less(t, twoAbove(tailRuns-1), 0.99)
}

func TestBenchtime(t *testing.T) {
	for _, row := range []struct {
		text string
		want Benchtime
		err  string
	}{
		{"300ms", Benchtime{Time: 300 * time.Millisecond}, ""},
		{"662x", Benchtime{Runs: 662}, ""},
		{"0x", Benchtime{}, `"0x" is no time`},
		{"-1s", Benchtime{}, "write it as"},
		{"12", Benchtime{}, "write it as"},
		{"", Benchtime{}, "write it as"},
	} {
		got, err := ParseBenchtime(row.text)
		if row.err != "" {
			assert.ErrorContains(t, err, row.err)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, row.want, got)
	}

	for _, row := range []struct {
		why  string
		t    Benchtime
		n    int
		took time.Duration
		want int
	}{
		{"the least, before anything is known", Benchtime{}, 0, 0, 5},
		{"the least, however long they take", Benchtime{}, 4, time.Hour, 1},
		{"the rest of 300 ms", Benchtime{}, 5, 50 * time.Millisecond, 25},
		{"rounded up", Benchtime{}, 5, 299 * time.Millisecond, 1},
		{"enough", Benchtime{}, 5, 300 * time.Millisecond, 0},
		{"a clock that stands still", Benchtime{Time: time.Microsecond}, 5, 0, 1000},
		{"a number is that number", Benchtime{Runs: 1}, 0, 0, 1},
		{"and no more", Benchtime{Runs: 7}, 7, 0, 0},
	} {
		assert.Equal(t, row.want, row.t.more(row.n, row.took, 5), row.why)
	}
}

// Samples are taken in a worker of a real runtime: as many runs as asked for, with times that can be.
func TestSample(t *testing.T) {
	s := New(Config{Runtimes: "1.23.2", Models: []string{"movenet-lightning"}, Precisions: []string{"fp32"}, Providers: []string{"cpu"}})
	plan, err := s.Plan(t.Context(), t.Output())
	require.NoError(t, err)
	if len(plan.Cells) == 0 {
		if s.Config().Requires("1.23.2") {
			t.Fatal(plan.Missing[0].Err)
		}
		t.Skip(plan.Missing[0].Err)
	}
	all, _, err := s.Benchmarks(plan, Vary{Kinds: Kinds(), Arena: []string{"off"}})
	require.NoError(t, err)
	require.Len(t, all, 3)
	for _, b := range all {
		sample, err := s.Sample(t.Context(), b, Benchtime{Runs: 2})
		require.NoError(t, err)
		require.Len(t, sample.Runs, 2)
		for _, run := range sample.Runs {
			assert.Positive(t, run.Wall)
			assert.Equal(t, b.Kind == KindLoad, run.CPU == 0, "only a load has no CPU time")
		}
		assert.Equal(t, b.Kind == KindLoad, sample.First == 0)
		assert.EqualValues(t, 9_351_685, sample.ModelSize)
		assert.Greater(t, sample.PeakMemory, sample.ModelSize)
	}

	broken := all[slices.IndexFunc(all, func(b Benchmark) bool { return b.Kind == KindInfer })]
	broken.File.Path = t.TempDir()
	_, err = s.Sample(t.Context(), broken, Benchtime{})
	require.ErrorIs(t, err, ErrSetup)
	assert.ErrorContains(t, err, broken.Cell.String(), "names the cell")
}
