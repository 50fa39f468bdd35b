package report

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// The rows that the hand-made results were judged by, as a table file has them.
const supportTable = `
[[row]]
precision = "fp32 fp16"
want = "loads"
status = "verified linux/amd64 2026-11-24"

[[row]]
precision = "int8"
provider = "cpu"
want = "fails"
message = "Could not find an implementation for ConvInteger(10) node with name '/model.0/conv/Conv_quant'"
why = "no kernel for signed weights"
see = "https://github.com/microsoft/onnxruntime/pull/26585"
status = "verified linux/amd64 2026-11-24"

[[row]]
precision = "uint8"
want = "loads"
finds = "nobody"
why = "one scale a tensor is too coarse"
status = "verified linux/amd64 2026-11-24"

[[row]]
precision = "int8-qop"
provider = "openvino"
want = "crashes"
sometimes = "fails"
owner = "posetest maintainers"
see = "https://example.org/issues/1"
until = 2027-02-22
signal = "SIGSEGV"
during = "open"
why = "OpenVINO 2025.3 dies of it, mostly"
status = "verified linux/amd64 2026-11-24"

[[row]]
precision = "int8-naive"
want = "hangs"
during = "infer"
why = "a loop without an end | or so"
status = "verified linux/amd64 2026-11-24"

[[row]]
provider = "coreml cuda openvino"
want = "unavailable"
message = "not in this build"
why = "CoreML is macOS's"
status = "verified linux/amd64 2026-11-24"

[[row]]
precision = "int8-qdq"
want = "loads"
placement = {OpenVINOExecutionProvider = 249, CPUExecutionProvider = 1}
why = "OpenVINO leaves one node to cpu"
status = "verified linux/amd64 2026-11-24"

[[row]]
platform = "darwin/arm64"
provider = "coreml"
precision = "int8"
ort = "<1.24"
want = "fails"
why = "the same as on cpu"
status = "reported by the team that shipped this file"

[[row]]
platform = "darwin/arm64"
provider = "coreml"
precision = "uint8"
want = "loads"
finds = "nobody"
why = "the same as on cpu"
status = "unverified"
`

// page has a cell of each class, an unexpected one of each kind, an unstable one, one without a row, and names and words
// that could break a table.
func page(t testing.TB) Page {
	table, err := expect.Parse([]byte(supportTable), "golden/support.toml")
	require.NoError(t, err)
	const (
		yolo = "yolov8n-pose"
		ov23 = "openvino-1.23.0"
	)
	machine := observe.Machine{OS: "linux", Arch: "amd64", CPU: "AMD EPYC", ISA: "avx2", Core: 2}
	result := func(row int, model, precision, provider, ort string, class expect.Class, load, run time.Duration) Result {
		r := Result{Observation: observe.Observation{Cell: observe.Cell{Model: model, Precision: precision, Provider: provider, ORT: ort}, Outcome: observe.Loads, Load: load, Run: run,
			Machine: machine, Threads: 1, When: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}, Class: class, Share: 1}
		if row >= 0 {
			r.Row = table[row]
		}
		return r
	}
	failed := func(r Result, outcome observe.Outcome, message string) Result {
		r.Outcome, r.Failure = outcome, &observe.Failure{Message: message}
		return r
	}
	died := func(r Result, outcome observe.Outcome, d observe.Death) Result {
		r.Outcome, r.Death = outcome, &d
		return r
	}
	unexpected := func(r Result, problem string) Result {
		r.Problem = errors.New(problem)
		return r
	}
	mostly := result(6, yolo, "int8-qdq", "openvino", ov23, expect.ClassFallsBack, 1909*time.Millisecond, 175400*time.Microsecond)
	mostly.Share = 249. / 250
	const (
		ms      = time.Millisecond
		refused = "Could not find an implementation for ConvInteger(10) node with name '/model.0/conv/Conv_quant'"
	)
	return Page{
		Table:   table,
		Missing: []string{"model wide: 写真.onnx is missing; put it into POSETEST_DATA", "model yolo11n-pose is missing; run `make yolo`"},
		Results: []Result{
			result(0, yolo, "fp32", "cpu", "1.9.0", expect.ClassLoads, 79*ms, 129*ms),
			result(0, yolo, "fp32", "cpu", "1.23.2", expect.ClassLoads, 9949*time.Microsecond, 9960*time.Microsecond),
			result(0, yolo, "fp16", "cpu", "1.23.2", expect.ClassLoads, 56*ms, 149*ms),
			failed(result(1, yolo, "int8", "cpu", "1.23.2", expect.ClassFails, 0, 0), observe.Fails, refused),
			failed(result(1, yolo, "int8", "cpu", "1.9.0", expect.ClassFails, 0, 0), observe.Fails, refused),
			result(2, yolo, "uint8", "cpu", "1.23.2", expect.ClassWrong, 54*ms, 0),
			died(result(3, yolo, "int8-qop", "openvino", ov23, expect.ClassCrashes, 0, 0), observe.Crashes, observe.Death{During: "open", Signal: "SIGSEGV"}),
			died(result(4, yolo, "int8-naive", "openvino", ov23, expect.ClassHangs, 0, 0), observe.Hangs, observe.Death{During: "infer", Limit: "time 1m0s"}),
			failed(result(5, yolo, "fp32", "coreml", "1.23.2", expect.ClassUnavailable, 0, 0), observe.Unavailable, "CoreML execution provider is not supported in this build."),
			failed(result(5, yolo, "fp16", "coreml", "1.9.0", expect.ClassUnavailable, 0, 0), observe.Unavailable, "CoreML execution provider is not supported in this build."),
			failed(result(5, yolo, "fp32", "cuda", "1.23.2", expect.ClassUnavailable, 0, 0), observe.Unavailable, "a | b <c> *d*\nand a second line"),
			mostly,
			unexpected(result(1, "写真モデル", "int8", "cpu", "1.23.2", expect.ClassLoads, 70*ms, 428*ms), "loads, want fails: no | kernel; if the runtime was fixed,\nclose the range of golden/support.toml:7\n  second <line>"),
			unexpected(failed(result(5, "写真モデル", "fp32", "openvino", ov23, expect.ClassUnavailable, 0, 0), observe.Unavailable, "gone"), "unavailable: gone, want loads"),
			unexpected(result(-1, "写真モデル", "fp64", "cpu", "1.23.2", expect.ClassWrong, 12*ms, 34*ms), "no row is for this cell; add one that says what it does"),
		},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "write it with go test -update ./posetest/report")
	gotPath := filepath.Join("testdata", name+".got")
	if bytes.Equal(got, want) {
		os.Remove(gotPath) // of a run before
		return
	}
	require.NoError(t, os.WriteFile(gotPath, got, 0o644))
	t.Errorf("%s differs from %s; compare them, and if it is right, run go test -update ./posetest/report", gotPath, path)
}

func render(p Page, style Style) []byte {
	var b bytes.Buffer
	p.Text(&b, style)
	return b.Bytes()
}

func markdownOf(t testing.TB, p Page) []byte {
	var b bytes.Buffer
	require.NoError(t, p.Markdown(&b))
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	p := page(t)
	golden(t, "wide.txt", render(p, Style{}))
	golden(t, "width100.txt", render(p, Style{Width: 100}))
	golden(t, "color.txt", render(p, Style{Width: 140, Color: true}))
	golden(t, "matrix.md", markdownOf(t, p))
	golden(t, "empty.txt", render(Page{Missing: []string{"everything"}}, Style{Width: 80}))
	golden(t, "empty.md", markdownOf(t, Page{}))
	golden(t, "empty.html", htmlOf(t, Page{}))
	golden(t, "full.txt", render(full(t), Style{}))
	golden(t, "full.md", markdownOf(t, full(t)))
	golden(t, "full.html", htmlOf(t, full(t)))
	golden(t, "machines.txt", render(machines(t), Style{Width: 120}))
	golden(t, "machines.md", markdownOf(t, machines(t)))
}

// The order in which cells finished, and things were found missing, is no part of a page.
func TestAnyOrderGivesTheSameBytes(t *testing.T) {
	p := full(t)
	wantText, wantMarkdown, wantHTML := render(p, Style{Width: 120, Color: true}), markdownOf(t, p), htmlOf(t, p)
	for range 15 {
		rand.Shuffle(len(p.Before), func(i, j int) { p.Before[i], p.Before[j] = p.Before[j], p.Before[i] })
		rand.Shuffle(len(p.Results), func(i, j int) { p.Results[i], p.Results[j] = p.Results[j], p.Results[i] })
		rand.Shuffle(len(p.Missing), func(i, j int) { p.Missing[i], p.Missing[j] = p.Missing[j], p.Missing[i] })
		before := slices.Clone(p.Missing)
		require.Equal(t, string(wantText), string(render(p, Style{Width: 120, Color: true})))
		require.Equal(t, string(wantMarkdown), string(markdownOf(t, p)))
		require.Equal(t, string(wantHTML), string(htmlOf(t, p)))
		require.Equal(t, before, p.Missing, "the caller's page is left alone")
	}
}

// Whatever the width, no line is longer, but for a column or a word that is wider itself; no cell is lost.
func TestWidths(t *testing.T) {
	p := page(t)
	for width := 70; width <= 200; width += 10 {
		out := string(render(p, Style{Width: width}))
		for line := range strings.Lines(out) {
			if strings.Contains(line, "UNEXPECTED") { // a cell's whole name, to be copied
				continue
			}
			assert.LessOrEqual(t, text.StringWidth(strings.TrimRight(line, "\n")), width, "columns of %s", line)
		}
		for _, column := range []string{"cpu@1.9.0", "cpu@1.23.2", "openvino@openvino-1.23.0"} {
			assert.Equal(t, 1, strings.Count(out, column), "%s at width %d", column, width)
		}
	}
	assert.Greater(t, strings.Count(string(render(p, Style{Width: 1})), "┌"), 2, "a part for each column, however narrow")
}

// The lines of a table are of one length, also where characters are two columns wide or coloured.
func TestAlignment(t *testing.T) {
	for _, style := range []Style{{}, {Width: 100}, {Width: 100, Color: true}} {
		width := 0
		for line := range strings.Lines(string(render(page(t), style))) {
			line = strings.TrimRight(line, "\n")
			if strings.HasPrefix(line, "┌") {
				width = text.StringWidthWithoutEscSequences(line)
			}
			if strings.ContainsAny(line[:min(3, len(line))], "┌│├└") {
				assert.Equal(t, width, text.StringWidthWithoutEscSequences(line), line)
			}
		}
		require.NotZero(t, width)
	}
}

// No message can break a table or hide as HTML.
func TestMarkdownTablesAreWhole(t *testing.T) {
	columns := 0
	for line := range strings.Lines(string(markdownOf(t, page(t)))) {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if columns == 0 {
			columns = n
		}
		assert.Equal(t, columns, n, "bars of %s", line)
		assert.NotContains(t, line, "<")
	}
}

func TestColorOnlyWhereAsked(t *testing.T) {
	p := page(t)
	assert.NotContains(t, string(render(p, Style{})), "\x1b")
	assert.NotContains(t, string(markdownOf(t, p)), "\x1b")
	assert.Contains(t, string(render(p, Style{Color: true})), "\x1b[32mloads")
}

func TestSummary(t *testing.T) {
	p := page(t)
	assert.Equal(t, "15 cells: 4 loads, 1 falls back, 2 wrong, 2 fails, 1 crashes, 1 hangs, 4 unavailable; 3 NOT as expected.", p.Summary())
	p.Results = p.Results[:3]
	assert.Equal(t, "3 cells: 3 loads; all as expected.", p.Summary())
	p.Results = nil
	assert.Equal(t, "0 cells: nothing was run.", p.Summary())
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "–", time.Microsecond: "0.0", 9949 * time.Microsecond: "9.9", 9950 * time.Microsecond: "10", 10 * time.Millisecond: "10", 2510 * time.Millisecond: "2510"} {
		assert.Equal(t, want, ms(d), "%v", d)
	}
}

// Few and nearly all nodes on another provider are neither none nor all.
func TestFallsBackIsNeverZero(t *testing.T) {
	for share, want := range map[float64]string{0.999: "falls back 1% –/–", 0.5: "falls back 50% –/–", 0.0001: "falls back 99% –/–"} {
		r := Result{Observation: observe.Observation{Outcome: observe.Loads}, Class: expect.ClassFallsBack, Share: share}
		assert.Equal(t, want, r.word())
	}
}

func TestOrder(t *testing.T) {
	orts := []string{"1.9.0", "1.10.0", "1.22.1", "1.23.0-rc.1", "1.32.0", "openvino-1.9.0", "openvino-1.24.1", "own"}
	precisions := []string{"fp32", "fp16", "int8", "int8-naive", "int8-qdq", "own", "uint8"}
	for _, test := range []struct {
		want    []string
		compare func(a, b string) int
	}{{orts, compareORT}, {precisions, comparePrecision}} {
		for i, a := range test.want {
			for j, b := range test.want {
				got, want := test.compare(a, b), i-j
				assert.Equal(t, [2]bool{want < 0, want > 0}, [2]bool{got < 0, got > 0}, "%s and %s compare as %d", a, b, got)
			}
		}
	}
}

func BenchmarkPage(b *testing.B) {
	p := page(b)
	one := p.Results[:12]
	p.Results = nil
	for i := range 500 {
		r := one[i%len(one)]
		r.Model = fmt.Sprintf("model-%d", i/120)
		r.ORT = fmt.Sprintf("1.%d.0", i/12%10)
		p.Results = append(p.Results, r)
	}
	b.Run("to=text", func(b *testing.B) {
		for b.Loop() {
			p.Text(io.Discard, Style{Width: 160, Color: true})
		}
	})
	b.Run("to=markdown", func(b *testing.B) {
		for b.Loop() {
			if err := p.Markdown(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}
