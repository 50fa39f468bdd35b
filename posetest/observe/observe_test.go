package observe_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var cell = observe.Cell{Model: "yolov8n-pose", Precision: "int8-qdq", Provider: "cpu", ORT: "1.23.2"}

// full is an observation with every field set, whatever its outcome would leave out.
func full() observe.Observation {
	return observe.Observation{
		Cell: cell, ModelFile: "yolov8n-pose-int8-qdq.onnx", ModelSHA256: strings.Repeat("ab", 32), ModelSize: 3_854_311, Runtime: "1.23.2",
		Machine: observe.Machine{OS: "linux", Arch: "amd64", CPU: "AMD EPYC <9B14> & co", ISA: observe.VNNI, Core: 2},
		Family:  "yolov8-pose", Threads: 2, When: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Outcome: observe.Fails,
		Failure:   &observe.Failure{Message: "Load model from {model} failed:\n\"ConvInteger\"", Op: "ConvInteger", Opset: 10, Node: "/model.0/conv/Conv_quant"},
		Death:     &observe.Death{During: "infer", Signal: "SIGSEGV", Exit: 2, Limit: "time 60s", Breach: "no JSON", Log: []string{"a", "b"}},
		Placement: map[string]int{"CPUExecutionProvider": 10, "OpenVINOExecutionProvider": 240},
		Earlier:   []observe.Outcome{observe.Loads},
		Variants: []observe.Variant{{Times: 7, Outcome: observe.Fails, Failure: &observe.Failure{Message: "no kernel"}, Placement: map[string]int{"CPUExecutionProvider": 10}},
			{Times: 3, Outcome: observe.Crashes, Death: &observe.Death{During: "open", Signal: "SIGSEGV"}, Differs: []string{"log_errors is nothing, not 1 of them"}}},
		Start: time.Millisecond, Load: 31 * time.Millisecond, FirstRun: 17 * time.Millisecond, Run: 16 * time.Millisecond, Runs: []time.Duration{15 * time.Millisecond, 16 * time.Millisecond, 17 * time.Millisecond},
		Lacks: observe.LacksDevice, DeviceRuns: []time.Duration{9 * time.Millisecond, 8 * time.Millisecond},
		GPU: &observe.GPU{Name: "NVIDIA T4", Driver: "580.95.05", Memory: 15360 << 20, PState: "P0", Clock: 1500, MaxClock: 1590, MemoryClock: 5000,
			Power: 65.5, PowerLimit: 70, Temperature: 61},
		COCO:       &observe.COCO{Images: 79, AP: 0.46, AP50: 0.8, AR: 0.5},
		PeakMemory: 1 << 28, Worker: time.Second,
		Photos: []observe.Photo{{Fixture: "band", SHA256: strings.Repeat("cd", 32), Width: 1024, Height: 416, People: 4, OKS: 0.1 + 0.2,
			Persons:   []pose.Person{{Score: 0.9, Box: [4]float64{1, 2, 3, math.Pi}, Keypoints: []pose.Keypoint{{X: -0.5, Y: 1e-9, Score: 1.5}}}},
			Candidate: &pose.Person{Score: 0.1, Box: [4]float64{1, 2, 3, 4}, Keypoints: []pose.Keypoint{{X: 1, Y: 2, Score: 0.5}}},
			Infer:     15 * time.Millisecond, Error: "output has a NaN"}},
		LogErrors: []string{"[W:onnxruntime] über"},
	}
}

func TestWriteReadRoundTrip(t *testing.T) {
	least := observe.Observation{Cell: observe.Cell{Model: "a", Precision: "fp32", Provider: "cpu", ORT: "1.23.2"}, Outcome: observe.Loads}
	for _, row := range []struct {
		why string
		all []observe.Observation
	}{
		{"no observation: the first line alone, as of a shard that has no cell", nil},
		{"the least, with every optional field left out", []observe.Observation{least}},
		{"every field", []observe.Observation{full()}},
		{"both, in order", []observe.Observation{least, full()}},
	} {
		t.Run(row.why, func(t *testing.T) {
			var file bytes.Buffer
			require.NoError(t, observe.Write(&file, observe.Whole(row.all)))
			assert.Equal(t, 1+len(row.all), bytes.Count(file.Bytes(), []byte("\n")), "the first line, and one each")
			got, err := observe.Read(&file, "matrix.jsonl")
			require.NoError(t, err)
			assert.Equal(t, observe.Whole(row.all), got)
		})
	}
}

// However a run or a merge came upon its cells, the file is the same, so that two of them compare line by line.
func TestWriteOrder(t *testing.T) {
	on := func(model, precision, provider, ort, os, isa string) observe.Observation {
		return observe.Observation{Cell: observe.Cell{Model: model, Precision: precision, Provider: provider, ORT: ort},
			Machine: observe.Machine{OS: os, Arch: "amd64", ISA: isa}, Outcome: observe.Loads}
	}
	want := []observe.Observation{
		on("a", "fp32", "cpu", "1.22.1", "linux", "vnni"),
		on("a", "fp32", "cpu", "1.23.2", "linux", "avx2"),
		on("a", "fp32", "cpu", "1.23.2", "linux", "vnni"),
		on("a", "fp32", "cpu", "1.23.2", "windows", "avx2"),
		on("a", "fp32", "openvino", "1.22.1", "linux", "vnni"),
		on("a", "int8", "cpu", "1.22.1", "linux", "vnni"),
		on("b", "fp32", "cpu", "1.22.1", "linux", "vnni"),
	}
	var inOrder bytes.Buffer
	require.NoError(t, observe.Write(&inOrder, observe.Whole(want)))
	shuffled := slices.Clone(want)
	for range want {
		shuffled = append(shuffled[1:], shuffled[0])
		before := slices.Clone(shuffled)
		var file bytes.Buffer
		require.NoError(t, observe.Write(&file, observe.Whole(shuffled)))
		assert.Equal(t, inOrder.String(), file.String())
		assert.Equal(t, before, shuffled, "the caller's own order stays")
	}
	slices.Reverse(shuffled)
	var file bytes.Buffer
	require.NoError(t, observe.Write(&file, observe.Whole(shuffled)))
	assert.Equal(t, inOrder.String(), file.String())
	got, err := observe.Read(&inOrder, "matrix.jsonl")
	require.NoError(t, err)
	assert.Equal(t, want, got.Observations)
}

func TestWriteRefuses(t *testing.T) {
	nan := full()
	nan.Photos[0].OKS = math.NaN()
	err := observe.Write(io.Discard, observe.Whole([]observe.Observation{nan}))
	require.ErrorContains(t, err, "observation model=yolov8n-pose/precision=int8-qdq/provider=cpu/ort=1.23.2: ", "a NaN is no JSON, and the cell that has it is named")

	broken := errors.New("no space left on device")
	pipe, w := io.Pipe()
	require.NoError(t, pipe.CloseWithError(broken))
	require.ErrorIs(t, observe.Write(w, observe.Whole([]observe.Observation{full()})), broken, "a full disk")
}

func TestReadRefuses(t *testing.T) {
	var file bytes.Buffer
	require.NoError(t, observe.Write(&file, observe.Whole([]observe.Observation{full()})))
	first, line, _ := strings.Cut(file.String(), "\n")
	first += "\n"
	with := func(old, new string) string {
		require.Contains(t, line, old)
		return strings.Replace(line, old, new, 1)
	}
	// bare is an observation that has neither failure nor death.
	bare := func(outcome observe.Outcome) string {
		var file bytes.Buffer
		require.NoError(t, observe.Write(&file, observe.Whole([]observe.Observation{{Cell: cell, Outcome: outcome}})))
		_, line, _ := strings.Cut(file.String(), "\n")
		return line
	}
	for _, row := range []struct{ why, text, want string }{
		{"the disk was full in the last line", line + line[:len(line)/2], "matrix.jsonl:3: the last line is cut; write the observations again"},
		{"only the line's end is lost: the rest may be, too", line[:len(line)-1], "matrix.jsonl:2: the last line is cut"},
		{"a line was cut, and others follow", line[:len(line)/2] + "\n" + line, "matrix.jsonl:2: not an observation of this version of posetest: "},
		{"a field of another version", with(`"threads"`, `"threats"`), `matrix.jsonl:2: not an observation of this version of posetest: json: unknown field "threats"`},
		{"a field of another version deep inside", with(`"fixture"`, `"photo"`), `unknown field "photo"`},
		{"a word for a number", with(`"threads":2`, `"threads":"2"`), "cannot unmarshal string"},
		{"two observations on a line: the second would be lost", strings.TrimSpace(line) + line, "something follows it on its line"},
		{"garbage behind an observation", strings.TrimSpace(line) + "}\n", "something follows it on its line"},
		{"an empty line", "\n" + line, "matrix.jsonl:2: not an observation"},
		{"another file", "# Matrix\n", "matrix.jsonl:2: not an observation"},
		{"JSON, but no object", "[]\n", "cannot unmarshal array"},
		{"an object without anything", "{}\n", "its cell model=/precision=/provider=/ort= is not whole"},
		{"a cell without its runtime", with(`"ort":"1.23.2"`, `"ort":""`), "its cell model=yolov8n-pose/precision=int8-qdq/provider=cpu/ort= is not whole"},
		{"an outcome of another version", with(`"fails"`, `"burns"`), `outcome "burns" is none of [loads fails crashes hangs unavailable]`},
		{"no outcome", with(`"fails"`, `""`), `outcome "" is none of`},
		{"a failure that nobody can compare", bare(observe.Fails), `outcome "fails" lacks its failure`},
		{"nor what is unavailable", bare(observe.Unavailable), `outcome "unavailable" lacks its failure`},
		{"a crash without its signal", bare(observe.Crashes), `outcome "crashes" lacks its death`},
		{"a time-out without its limit", bare(observe.Hangs), `outcome "hangs" lacks its death`},
		{"words that a terminal would obey", with(`"fails"`, `"fails","runtime":"\u001b[2J"`), `it has control characters in "\x1b[2J"`},
		{"a variant that nobody saw", with(`{"times":3`, `{"times":0`), "a variant of it was seen 0 times"},
		{"a variant without what its outcome needs", with(`"outcome":"crashes","death":{"during":"open","signal":"SIGSEGV"}`, `"outcome":"crashes"`), `a variant of it: outcome "crashes" lacks its death`},
		{"a variant of no outcome", with(`"times":3,"outcome":"crashes"`, `"times":3,"outcome":""`), `a variant of it: outcome "" is none of`},
		{"variants of another observation", with(`"outcome":"fails","failure":{"message":"Load`, `"outcome":"loads","failure":{"message":"Load`), `its outcome is "loads", and that of its first variant "fails"`},
		{"a single variant of another observation", strings.Replace(bare(observe.Loads), `"start_ns"`, `"variants":[{"times":1,"outcome":"unavailable","failure":{"message":"a"}}],"start_ns"`, 1), `its outcome is "loads", and that of its first variant "unavailable"`},
		{"a cell twice, as when a shard is merged twice", line + line, "matrix.jsonl:3: cell model=yolov8n-pose/precision=int8-qdq/provider=cpu/ort=1.23.2 stands on line 2 already, of linux/amd64 vnni, too; remove one of the lines"},
	} {
		t.Run(row.why, func(t *testing.T) {
			got, err := observe.Read(strings.NewReader(first+row.text), "matrix.jsonl")
			require.ErrorContains(t, err, row.want)
			assert.Zero(t, got)
		})
	}
	for _, row := range []struct{ why, text, want string }{
		{"an empty file", "", "matrix.jsonl: is empty; write the observations again"},
		{"the first line was cut", first[:len(first)-5], "matrix.jsonl:1: the last line is cut"},
		{"no first line, as before there was one", line, "matrix.jsonl: does not begin as observations of this version of posetest do"},
		{"another file", "# Matrix\n", "matrix.jsonl: does not begin as observations"},
		{"a newer version's", strings.Replace(first, `"posetest_format":2`, `"posetest_format":3`, 1) + line, "matrix.jsonl: is of format 3, and this posetest reads format 2; write it again"},
		{"a field of another version in the first line", strings.Replace(first, `"cells"`, `"sells"`, 1) + line, `its first line: json: unknown field "sells"`},
		{"a shard that can't be", strings.Replace(first, `"shard":1`, `"shard":2`, 1) + line, `its first line: shard 2/1 of "linux/amd64"`},
		{"a run whose name would break a sentence", strings.Replace(first, `"shard":1`, `"run":"a b","shard":1`, 1) + line, `its first line: a run can't be named "a b"`},
		{"the file was cut between two lines", first, "matrix.jsonl: holds 0 cells of linux/amd64 vnni, and its first line says 1; it was cut or edited"},
		{"a line was put in", first + line + strings.Replace(line, `"cpu"`, `"xnnpack"`, 1), "matrix.jsonl: holds 2 cells of linux/amd64 vnni, and its first line says 1"},
		{"a line of a machine that no part is of", first + line + strings.Replace(line, `"arch":"amd64"`, `"arch":"arm64"`, 1), "matrix.jsonl: holds 1 cells of linux/arm64 vnni, and its first line says 0"},
	} {
		t.Run(row.why, func(t *testing.T) {
			got, err := observe.Read(strings.NewReader(row.text), "matrix.jsonl")
			require.ErrorContains(t, err, row.want)
			assert.Zero(t, got)
		})
	}
	broken := errors.New("input/output error")
	_, err := observe.Read(io.MultiReader(strings.NewReader(first+line), iotest.ErrReader(broken)), "matrix.jsonl")
	require.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "matrix.jsonl:3: ")
}

// The same cell may stand in one file for several machines: INT8 results differ between processor classes.
func TestReadSameCellElsewhere(t *testing.T) {
	arm, old, windows := full(), full(), full()
	arm.Machine.Arch, arm.Machine.ISA = "arm64", observe.ARM64
	old.Machine.ISA = observe.AVX2
	windows.Machine.OS = "windows"
	var file bytes.Buffer
	require.NoError(t, observe.Write(&file, observe.Whole([]observe.Observation{full(), arm, old, windows})))
	got, err := observe.Read(&file, "matrix.jsonl")
	require.NoError(t, err)
	assert.Len(t, got.Observations, 4)
	assert.Len(t, got.Parts, 4)
}

func TestCell(t *testing.T) {
	assert.Equal(t, "model=yolov8n-pose/precision=int8-qdq/provider=cpu/ort=1.23.2", cell.String())
	assert.Equal(t, "yolov8n-pose", cell.BaseModel())
	export := cell
	export.Model = "yolov8n-pose~1a2b3c4d"
	assert.Equal(t, "yolov8n-pose", export.BaseModel(), "another export is expected to do what the model does")
	assert.Zero(t, cell.Compare(cell))
	assert.Negative(t, cell.Compare(export))
	assert.Positive(t, export.Compare(cell))
}

func TestDeath(t *testing.T) {
	for _, row := range []struct {
		why   string
		death observe.Death
		want  string
	}{
		{"a provider crashed", observe.Death{During: "open", Signal: "SIGSEGV"}, "died of SIGSEGV during open"},
		{"a library called exit", observe.Death{During: "infer", Exit: 3}, "left with exit code 3 during infer"},
		{"even with success it left unasked", observe.Death{During: "infer"}, "left with exit code 0 during infer"},
		{"a limit killed it: the signal is only how", observe.Death{During: "open", Signal: "SIGKILL", Limit: "time 60s"}, "stopped during open by the limit of time 60s"},
		{"its log is for another place", observe.Death{During: "open", Signal: "SIGABRT", Log: []string{"terminate called"}}, "died of SIGABRT during open"},
	} {
		t.Run(row.why, func(t *testing.T) { assert.Equal(t, row.want, row.death.String()) })
	}
}

func TestShare(t *testing.T) {
	for _, row := range []struct {
		why       string
		placement map[string]int
		share     float64
		known     bool
	}{
		{"all nodes there", map[string]int{"OpenVINOExecutionProvider": 250}, 1, true},
		{"most fell back to the CPU", map[string]int{"OpenVINOExecutionProvider": 10, "CPUExecutionProvider": 240}, 0.04, true},
		{"none there is known, and not the same as unknown", map[string]int{"CPUExecutionProvider": 250}, 0, true},
		{"the runtime said nothing", nil, 0, false},
		{"a graph without nodes", map[string]int{"OpenVINOExecutionProvider": 0}, 0, false},
	} {
		t.Run(row.why, func(t *testing.T) {
			share, known := observe.Observation{Placement: row.placement}.Share("OpenVINOExecutionProvider")
			assert.InDelta(t, row.share, share, 1e-12)
			assert.Equal(t, row.known, known)
		})
	}
}

func TestThisMachine(t *testing.T) {
	m := observe.ThisMachine()
	assert.Equal(t, runtime.GOOS+"/"+runtime.GOARCH, m.Platform())
	assert.Positive(t, m.Core)
	switch runtime.GOARCH { // the support table has rows for these
	case "amd64":
		assert.Contains(t, []string{observe.VNNI, observe.AVX2, observe.SSE}, m.ISA)
	case "arm64":
		assert.Equal(t, observe.ARM64, m.ISA)
	}
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(observe.ISAs()))), 4, "classes, each once")
}

// Whatever Read takes, Write writes so that it reads the same again.
func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	require.NoError(f, observe.Write(&file, observe.Whole([]observe.Observation{full()})))
	f.Add(file.Bytes())
	f.Add(file.Bytes()[:file.Len()/2])
	f.Add([]byte(`{"model":"a","precision":"fp32","provider":"cpu","ort":"1.23.2","outcome":"loads"}` + "\n"))
	f.Add([]byte(`{"model":"a","precision":"fp32","provider":"cpu","ort":"1.23.2","outcome":"hangs","death":{"during":"open"}}` + "\r\n"))
	f.Add([]byte("{}\n"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := observe.Read(bytes.NewReader(text), "fuzz")
		if err != nil {
			assert.Contains(t, err.Error(), "fuzz:")
			return
		}
		var once, twice bytes.Buffer
		require.NoError(t, observe.Write(&once, all))
		again, err := observe.Read(bytes.NewReader(once.Bytes()), "again")
		require.NoError(t, err)
		require.NoError(t, observe.Write(&twice, again))
		assert.Equal(t, once.String(), twice.String())
	})
}
