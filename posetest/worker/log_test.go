package worker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	cpu      = "CPUExecutionProvider"
	openVINO = "OpenVINOExecutionProvider"
)

func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

// Lines as the runtimes write them on Linux, one of each wording and source line.
func TestLog(t *testing.T) {
	const time = "2026-11-24 10:17:50.962714891 "
	for _, test := range []struct {
		name string
		text string
		want Log
	}{
		{"1.22.1 and openvino-1.22.0", time + "[V:onnxruntime:, session_state.cc:1263 VerifyEachNodeIsAssignedToAnEp]  All nodes placed on [CPUExecutionProvider]. Number of nodes: 150\n",
			Log{Placement: map[string]int{cpu: 150}}},
		{"1.23.2", time + "[V:onnxruntime:, session_state.cc:1299 VerifyEachNodeIsAssignedToAnEp]  All nodes placed on [CPUExecutionProvider]. Number of nodes: 172\n",
			Log{Placement: map[string]int{cpu: 172}}},
		{"1.24.4", time + "[V:onnxruntime:, session_state.cc:1310 VerifyEachNodeIsAssignedToAnEp]  All nodes placed on [CPUExecutionProvider]. Number of nodes: 563\n",
			Log{Placement: map[string]int{cpu: 563}}},
		{"1.32.0", time + "[V:onnxruntime:, session_state.cc:1601 VerifyEachNodeIsAssignedToAnEp]  All nodes placed on [CPUExecutionProvider]. Number of nodes: 150\n",
			Log{Placement: map[string]int{cpu: 150}}},
		{"openvino-1.23.0, one fused node", time + "[V:onnxruntime:, session_state.cc:1290 VerifyEachNodeIsAssignedToAnEp]  All nodes placed on [OpenVINOExecutionProvider]. Number of nodes: 1\n",
			Log{Placement: map[string]int{openVINO: 1}}},
		{"openvino-1.24.1, in two parts with a warning in colour", lines(
			time+"[V:onnxruntime:, session_state.cc:1313 VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on [OpenVINOExecutionProvider]. Number of nodes: 6",
			time+"[V:onnxruntime:, session_state.cc:1313 VerifyEachNodeIsAssignedToAnEp]   QLinearConv (model/Conv1/Relu6_quant)",
			time+"[V:onnxruntime:, session_state.cc:1313 VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on [CPUExecutionProvider]. Number of nodes: 95",
			"\x1b[0;93m"+time+"[W:onnxruntime:, session_state.cc:1327 VerifyEachNodeIsAssignedToAnEp] Some nodes were not assigned to the preferred execution providers\x1b[m"),
			Log{Placement: map[string]int{openVINO: 6, cpu: 95}, Errors: []string{"W: Some nodes were not assigned to the preferred execution providers"}}},
		{"a subgraph tells its nodes by itself", lines(
			"[V:onnxruntime:, session_state.cc:1299 VerifyEachNodeIsAssignedToAnEp]  All nodes placed on [CPUExecutionProvider]. Number of nodes: 2",
			"[V:onnxruntime:, session_state.cc:1299 VerifyEachNodeIsAssignedToAnEp]  All nodes placed on [CPUExecutionProvider]. Number of nodes: 3"),
			Log{Placement: map[string]int{cpu: 5}}},
		{"a line of Windows", "[V:onnxruntime:, session_state.cc:1299 onnxruntime::VerifyEachNodeIsAssignedToAnEp]  All nodes placed on [DmlExecutionProvider]. Number of nodes: 2\r\n",
			Log{Placement: map[string]int{"DmlExecutionProvider": 2}}},
		{"an error in colour, whose end is on a line of its own", "\x1b[1;31m" + time + "[E:onnxruntime:Golang onnxruntime environment, provider_bridge_ort.cc:2390 operator()] /onnxruntime_src/provider_bridge_ort.cc:2059 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library\n\x1b[m\n",
			Log{Errors: []string{"E: /onnxruntime_src/provider_bridge_ort.cc:2059 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library"}}},
		{"Go's words for a signal in C", lines("loading", "SIGSEGV: segmentation violation", "PC=0x7fd2cd28d43a m=0 sigcode=128 addr=0x0", "signal arrived during cgo execution", "", "goroutine 1 gp=0x3d708b8b61e0 m=0 mp=0xc9ec80 [syscall]:", "runtime.cgocall(0x6b6100, 0x3d708b9f16a0)"),
			Log{Signal: "SIGSEGV", Tail: []string{"loading", "SIGSEGV: segmentation violation", "PC=0x7fd2cd28d43a m=0 sigcode=128 addr=0x0", "signal arrived during cgo execution"}}},
		{"Go's words for a signal in its own runtime", lines("fatal error: unexpected signal during runtime execution", "[signal SIGBUS: bus error code=0x2 addr=0x1 pc=0x7f]", "", "runtime stack:", "runtime.throw({0x1, 0x2})", "goroutine 1:"),
			Log{Signal: "SIGBUS", Tail: []string{"fatal error: unexpected signal during runtime execution", "[signal SIGBUS: bus error code=0x2 addr=0x1 pc=0x7f]", "runtime stack:"}}},
		{"libstdc++'s words for an exception that nobody caught", lines("terminate called after throwing an instance of 'std::bad_alloc'", "  what():  std::bad_alloc", "SIGABRT: abort", "PC=0x7f m=0 sigcode=18446744073709551610", "goroutine 0 [idle]:", "a", "b"),
			Log{Signal: "SIGABRT", Tail: []string{"terminate called after throwing an instance of 'std::bad_alloc'", "  what():  std::bad_alloc", "SIGABRT: abort", "PC=0x7f m=0 sigcode=18446744073709551610", "goroutine 0 [idle]:"}}},
		{"a panic in the worker keeps its words, not those of the last goroutine", lines("panic: runtime error: index out of range [0] with length 0", "", "goroutine 1 [running]:", "main.main()", "\t/x.go:3", "exit status 2"),
			Log{Tail: []string{"panic: runtime error: index out of range [0] with length 0", "goroutine 1 [running]:", "main.main()"}}},
		{"no newline at the end", "[W:onnxruntime:, a.cc:1 f] last words", Log{Errors: []string{"W: last words"}}},
		{"a word that only looks like a signal", "SIGNATURE: valid\nSIGNAL: strong\n", Log{Tail: []string{"SIGNATURE: valid", "SIGNAL: strong"}}},
		{"numbers that no graph has", lines("placed on [CPUExecutionProvider]. Number of nodes: 99999999999999999999", "placed on [CPUExecutionProvider]. Number of nodes: -1", "placed on [CPUExecutionProvider]. Number of nodes: 1x"), Log{}},
		{"a provider without a name", "placed on []. Number of nodes: 5\n", Log{}},
		{"control characters and broken UTF-8", "a\x00b\x1b[2Jc\xff\n", Log{Tail: []string{"a b [2Jc�"}}},
		{"empty lines", "\n\r\n\n", Log{}},
		{"nothing", "", Log{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := readLog(strings.NewReader(test.text))
			if test.want.Tail == nil { // the row is about something else
				got.Tail = nil
			}
			if test.want.Placement == nil {
				test.want.Placement = map[string]int{}
			}
			assert.Equal(t, test.want, got)
		})
	}
}

func TestLogOfHugeLines(t *testing.T) {
	huge := strings.Repeat("ä", 1<<20)
	log := readLog(strings.NewReader(huge + "\nplaced on [CPUExecutionProvider]. Number of nodes: 7\n[E:onnxruntime:, a.cc:1 f] " + huge))
	assert.Equal(t, map[string]int{cpu: 7}, log.Placement, "the line behind a huge one is read")
	require.Len(t, log.Errors, 1)
	checkLog(t, log)
}

func TestLogOfManyProviders(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		b.WriteString("placed on [X" + strings.Repeat("x", i%50) + "]. Number of nodes: 1\n")
	}
	checkLog(t, readLog(strings.NewReader(b.String())))
}

// checkLog holds what is kept to its bounds.
func checkLog(t *testing.T, log Log) {
	t.Helper()
	if len(log.Placement) > providers || len(log.Errors) > errorLines || len(log.Tail) > tailLines {
		t.Errorf("keeps %d providers, %d errors, %d lines, want at most %d, %d, %d", len(log.Placement), len(log.Errors), len(log.Tail), providers, errorLines, tailLines)
	}
	for provider, n := range log.Placement {
		if n < 0 || provider == "" {
			t.Errorf("%d nodes on %q", n, provider)
		}
	}
	for _, line := range slices.Concat(log.Errors, log.Tail) {
		if len(line) > 3*lineLength+len("E: …") || !utf8.ValidString(line) || strings.ContainsAny(line, "\n\r\x00\x1b") {
			t.Errorf("keeps %d bytes that are no line for a terminal: %.80q", len(line), line)
		}
	}
}

func FuzzLog(f *testing.F) {
	f.Add([]byte("[V:onnxruntime:, session_state.cc:1299 f]  Node(s) placed on [CPUExecutionProvider]. Number of nodes: 150\n"))
	f.Add([]byte("\x1b[1;31m2026 [E:onnxruntime:Golang onnxruntime environment, a.cc:1 operator()] words\x1b[m\n"))
	f.Add([]byte("SIGSEGV: segmentation violation\nPC=0x7f m=0 sigcode=128\n\ngoroutine 1:\n"))
	f.Add([]byte("[signal SIGBUS: bus error\r\n\x00\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		log := readLog(bytes.NewReader(text))
		checkLog(t, log)
		twice := readLog(bytes.NewReader(slices.Concat([]byte("placed on [Y]. Number of nodes: 1\n"), text)))
		if twice.Placement["Y"] != log.Placement["Y"]+1 && len(log.Placement) < providers {
			t.Errorf("a line before changes what is read: %v, then %v", log.Placement, twice.Placement)
		}
	})
}

// A protocol line is read as written, whatever the buffer's size, and what is no line is an error that says why.
func TestReadLine(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"an empty object", "{}\n", ""},
		{"a field of a newer version", `{"later":1}` + "\n", ""},
		{"the other side ended between lines", "", "EOF"},
		{"it ended within a line", `{"took_ns":1`, "was cut"},
		{"an empty line", "\n", "is no JSON"},
		{"two values", "{}{}\n", "is no JSON"},
		{"words", "loaded fine, trust me\n", `is no JSON: invalid character 'l' looking for beginning of value: "loaded fine, trust me\n"`},
		{"another type", `{"took_ns":"soon"}` + "\n", "is no JSON"},
		{"a number that overflows", `{"took_ns":9223372036854775808}` + "\n", "is no JSON"},
		{"a value that is too long", strings.Repeat(" ", maxLine+1<<10), "is over 8388608 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var r reply
			err := readLine(bufio.NewReader(strings.NewReader(test.text)), &r)
			if test.want == "" {
				assert.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
			assert.Equal(t, test.text == "", errors.Is(err, io.EOF), "EOF means an end between lines and nothing else")
		})
	}
}

func FuzzProtocol(f *testing.F) {
	for _, seed := range []string{"{}\n", `{"refusal":{"kind":"load","message":"m","op":"ConvInteger","opset":10,"node":"n"}}` + "\n",
		`{"photo":{"fixture":"","persons":[{"keypoints":[{"x":1}]}],"infer_ns":5}}` + "\n", `{"runs_ns":[1,2]}`, "\n\n", "{}\n{", "null\n", `{"took_ns":1e3}` + "\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(text), 16)
		for range bytes.Count(text, []byte("\n")) + 1 {
			var a reply
			err := readLine(in, &a)
			if err == nil {
				var b bytes.Buffer
				if err := writeLine(&b, a); err != nil {
					t.Fatalf("a reply that was read can't be written: %v", err)
				}
				var again reply
				if err := readLine(bufio.NewReader(&b), &again); err != nil {
					t.Fatalf("a reply that was written can't be read: %v", err)
				}
				first, _ := json.Marshal(a)
				second, _ := json.Marshal(again)
				if !bytes.Equal(first, second) {
					t.Fatalf("%s came back as %s", first, second)
				}
			}
		}
		var a reply
		if err := readLine(in, &a); !errors.Is(err, io.EOF) {
			t.Fatalf("after all lines got %v, want EOF", err)
		}
	})
}

func BenchmarkLog(b *testing.B) {
	text := strings.Repeat("2026-11-24 10:17:50.962714891 [V:onnxruntime:, graph_transformer.cc:33 Apply] GraphTransformer ConstantFolding modified: 1 with status: OK\n"+
		"2026-11-24 10:17:50.962714891 [I:onnxruntime:, inference_session.cc:583 TraceSessionOptions] Session Options {  execution_mode:0 }\n"+
		"   Conv (model/Conv1_relu/Relu6)\n", 1000) + "[V:onnxruntime:, session_state.cc:1263 f]  All nodes placed on [CPUExecutionProvider]. Number of nodes: 150\n"
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	want := map[string]int{cpu: 150}
	for b.Loop() {
		if got := readLog(strings.NewReader(text)).Placement; !maps.Equal(got, want) {
			b.Fatalf("got %v", got)
		}
	}
}
