package diagnose_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/posetest/suite/posetest/diagnose"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// look reads one of the repository's models, which are what every rule was seen on.
func look(t testing.TB, name string) diagnose.Model {
	t.Helper()
	g, err := onnx.ReadGraphFile("../../models/movenet-lightning" + name + ".onnx")
	require.NoError(t, err)
	return diagnose.Look(g)
}

func TestLook(t *testing.T) {
	m := look(t, "-int8-qop")
	assert.EqualValues(t, 8, m.IR)
	assert.Equal(t, map[string]int64{"ai.onnx": 17, "com.microsoft": 1}, m.Opsets)
	assert.Equal(t, "onnx.quantize 0.1.0", m.Producer)
	assert.Equal(t, []tensor.Info{{Name: "input", Type: "int32", Shape: []int64{1, 192, 192, 3}}}, m.Inputs)
	assert.Equal(t, 178, m.Nodes)
	assert.Equal(t, diagnose.Count{What: "QLinearConv", N: 73}, m.Operators[0])
	assert.EqualValues(t, 2361181, m.Parameters)
}

func TestQuantization(t *testing.T) {
	for _, row := range []struct{ model, want string }{
		{"", "no"},
		{"-fp16", "no: float16"},
		{"-int8", "dynamic; 74 × weights int8 per tensor; 74 × activations uint8"},
		{"-uint8", "dynamic; 74 × weights uint8 per tensor; 74 × activations uint8"},
		{"-int8-qdq", "static, QDQ; 73 × weights int8 per channel; 73 × activations uint8; 1 of 74 layers in float"},
		{"-int8-qdq-pt", "static, QDQ; 73 × weights int8 per tensor; 73 × activations uint8; 1 of 74 layers in float"},
		{"-int8-qop", "static, QOperator; 73 × weights int8 per channel; 73 × activations uint8; 1 of 74 layers in float"},
	} {
		assert.Equal(t, row.want, look(t, row.model).Quantization.String(), row.model)
	}
}

// on is a cell of linux/amd64.
func on(provider, distribution, version string) diagnose.Cell {
	c := diagnose.Cell{Provider: provider, Distribution: distribution, Version: version, Platform: "linux/amd64", Brings: []string{"cpu"}}
	switch distribution {
	case "onnxruntime-openvino":
		c.Brings = append(c.Brings, "openvino")
	case "onnxruntime-gpu":
		c.Brings = append(c.Brings, "cuda", "tensorrt")
	}
	return c
}

func TestPredict(t *testing.T) {
	const ort, ov = "onnxruntime", "onnxruntime-openvino"
	for _, row := range []struct {
		model string
		cell  diagnose.Cell
		class expect.Class
		why   string // in the first reason
	}{
		{"", on("cpu", ort, "1.22.1"), expect.ClassLoads, ""},
		{"", on("cpu", ort, "1.40.0"), expect.ClassLoads, ""},
		{"", on("cuda", ort, "1.32.0"), expect.ClassUnavailable, "does not bring cuda"},
		{"", on("openvino", ov, "1.24.1"), expect.ClassLoads, ""},
		{"", on("openvino", ov, "1.25.0"), diagnose.Unknown, "not for 1.25.0"},
		{"", on("cuda", "onnxruntime-gpu", "1.31.1"), diagnose.Unknown, "no rule tells which nodes cuda takes"},
		{"-int8", on("cpu", ort, "1.23.2"), expect.ClassFails, "74 ConvInteger nodes take signed weights"},
		{"-int8", on("cpu", ort, "1.24.4"), expect.ClassWrong, "depthwise"},
		{"-int8", on("openvino", ov, "1.23.0"), expect.ClassFails, "leaves 74 ConvInteger"},
		{"-uint8", on("openvino", ov, "1.22.0"), expect.ClassWrong, "68 DynamicQuantizeLinear"},
		{"-uint8", on("openvino", ov, "1.23.0"), expect.ClassWrong, "in 75 parts"},
		{"-int8-qdq", on("openvino", ov, "1.24.1"), expect.ClassLoads, ""},
		{"-int8-qdq-pt", on("cpu", ort, "1.32.0"), expect.ClassWrong, "9 of 24 depthwise convolutions"},
		{"-int8-qop", on("openvino", ov, "1.24.1"), expect.ClassFallsBack, "in 6 parts"},
		{"-int8-qop", on("openvino", ov, "1.23.0"), expect.ClassCrashes, "by chance"},
		{"-int8-qop", on("cuda", "onnxruntime-gpu", "1.31.1"), expect.ClassFallsBack, "QLinearConv (73)"},
	} {
		t.Run(fmt.Sprintf("movenet%s on %s@%s", row.model, row.cell.Provider, row.cell.Version), func(t *testing.T) {
			p := look(t, row.model).Predict(row.cell)
			assert.Equal(t, row.class, p.Class, "%v", p)
			if row.why == "" {
				assert.Empty(t, p.Why)
			} else if assert.NotEmpty(t, p.Why) {
				assert.Contains(t, p.Why[0].Text, row.why)
			}
			assert.Equal(t, row.class == expect.ClassCrashes, p.Unstable)
		})
	}
}

func TestSlow(t *testing.T) {
	for model, want := range map[string]string{"": "", "-int8-qdq": "", "-fp16": "up to twice", "-uint8": "up to 4 times", "-int8": "3 to 7 times"} {
		slow := look(t, model).Predict(on("cpu", "onnxruntime", "1.32.0")).Slow
		assert.Equal(t, want == "", slow == "", model)
		assert.Contains(t, slow, want, model)
	}
}

// A chain is a graph whose nodes are said in words, one a row: operator, inputs, outputs.
type chain struct {
	opset, ir int64
	imports   map[string]int64
	nodes     []onnx.Node
	tensors   map[string]onnx.Tensor
	functions map[string]bool
	output    string
}

func (c chain) graph() onnx.Graph {
	g := onnx.Graph{Opsets: map[string]int64{"": 17}, Nodes: c.nodes, Tensors: c.tensors, Functions: c.functions}
	g.IR, g.Opset = 8, 17
	if c.opset > 0 {
		g.Opsets[""], g.Opset = c.opset, c.opset
	}
	if c.ir > 0 {
		g.IR = c.ir
	}
	for domain, version := range c.imports {
		g.Opsets[domain] = version
	}
	g.Inputs, g.Outputs = []tensor.Info{{Name: "x", Type: "float32"}}, []tensor.Info{{Name: "y", Type: "float32"}}
	if c.output != "" {
		g.Outputs[0].Name = c.output
	}
	return g
}

func node(op string, inputs []string, outputs ...string) onnx.Node {
	return onnx.Node{Name: op + outputs[0], Op: op, Inputs: inputs, Outputs: outputs, Group: 1}
}

type in = []string

// What models other than the repository's have, and what to say of it.
func TestPredictOthers(t *testing.T) {
	relu := []onnx.Node{node("Relu", in{"x"}, "y")}
	mine := onnx.Node{Op: "Mine", Domain: "my.ops", Inputs: in{"x"}, Outputs: in{"y"}}
	scale := func(v string) onnx.Tensor { return onnx.Tensor{Type: "float32", Data: []byte(v)} }
	const one, hundredth = "\x00\x00\x80\x3f", "\x0a\xd7\x23\x3c"
	joined := func(scale onnx.Tensor) chain {
		return chain{tensors: map[string]onnx.Tensor{"s": scale, "z": {Type: "uint8"}}, nodes: []onnx.Node{node("Relu", in{"x"}, "a"), node("Sigmoid", in{"x"}, "b"),
			node("Concat", in{"a", "b"}, "c"), node("QuantizeLinear", in{"c", "s", "z"}, "q"), node("DequantizeLinear", in{"q", "s", "z"}, "y")}}
	}
	depthwise := func(data []byte) chain {
		conv := node("Conv", in{"x", "w"}, "y")
		conv.Group = 4
		return chain{tensors: map[string]onnx.Tensor{"wq": {Type: "int8", Dims: []int64{4, 1, 1, 2}, Data: data}, "s": scale(one), "z": {Type: "int8"}},
			nodes: []onnx.Node{node("DequantizeLinear", in{"wq", "s", "z"}, "w"), conv}}
	}
	for _, row := range []struct {
		why     string
		chain   chain
		version string
		class   expect.Class
		says    string
		message string
	}{
		{"opset that the release does not know", chain{nodes: relu, opset: 24}, "1.23.2", expect.ClassFails, "opens up to 11 and 23; export it with opset 23", ""},
		{"the next one does", chain{nodes: relu, opset: 24}, "1.24.4", expect.ClassLoads, "", ""},
		{"a release in between, which nobody tried", chain{nodes: relu, opset: 26}, "1.27.0", diagnose.Unknown, "opens up to 13 and 25", ""},
		{"IR version that the release does not know", chain{nodes: relu, ir: 11}, "1.22.1", expect.ClassFails, "IR version 11", ""},
		{"opset before what is promised", chain{nodes: relu, opset: 6}, "1.32.0", diagnose.Unknown, "older than 7", ""},
		{"operator of somebody's", chain{nodes: []onnx.Node{mine}, imports: map[string]int64{"my.ops": 1}}, "1.32.0", expect.ClassFails, "my.ops:Mine",
			"Load model from {model} failed:Fatal error: my.ops:Mine(-1) is not a registered function/op"},
		{"operator that the file defines", chain{nodes: []onnx.Node{mine}, functions: map[string]bool{"my.ops:Mine": true}}, "1.32.0", expect.ClassLoads, "", ""},
		{"operator that no list has", chain{nodes: []onnx.Node{node("DeformConv", in{"x"}, "y")}}, "1.32.0", diagnose.Unknown, "kernel for DeformConv", ""},
		{"type of which no kernel is known", chain{nodes: relu, tensors: map[string]onnx.Tensor{"w": {Type: "bfloat16"}}}, "1.32.0", diagnose.Unknown, "bfloat16", ""},
		{"output that joins parts in coarse steps", joined(scale(one)), "1.32.0", expect.ClassWrong, "in steps of 1", ""},
		{"in fine steps", joined(scale(hundredth)), "1.32.0", expect.ClassLoads, "", ""},
		{"in steps that the file does not tell", joined(onnx.Tensor{Type: "float32"}), "1.32.0", diagnose.Unknown, "does not tell", ""},
		{"depthwise weights of one range", depthwise([]byte{100, 156, 90, 170, 80, 180, 100, 150}), "1.32.0", expect.ClassLoads, "", ""},
		{"of ranges apart by orders of magnitude", depthwise([]byte{100, 156, 1, 2, 3, 2, 1, 255}), "1.32.0", expect.ClassWrong, "1 of 1 depthwise", ""},
		{"that the file keeps elsewhere", depthwise(nil), "1.32.0", diagnose.Unknown, "must be tried", ""},
	} {
		t.Run(row.why, func(t *testing.T) {
			p := diagnose.Look(row.chain.graph()).Predict(on("cpu", "onnxruntime", row.version))
			assert.Equal(t, row.class, p.Class, "%v", p)
			assert.Equal(t, row.message, p.Message)
			text := ""
			for _, why := range p.Why {
				text += why.Text
			}
			assert.Contains(t, text, row.says)
			assert.Equal(t, row.says == "", text == "", text)
		})
	}
}

// A node that stands alone between two that the provider leaves is joined with what comes behind: see partitions. Here
// DynamicQuantizeLinear is: its result goes through ConvInteger into the part that its scale goes into as well.
func TestCycle(t *testing.T) {
	quantized := func(i, from, to string) []onnx.Node {
		return []onnx.Node{node("DynamicQuantizeLinear", in{from}, "q"+i, "s"+i, "z"+i), node("Mul", in{"s" + i, "k"}, "m"+i),
			node("ConvInteger", in{"q" + i, "w", "z" + i}, "c"+i), node("Cast", in{"c" + i}, "f"+i), node("Mul", in{"f" + i, "m" + i}, to)}
	}
	tensors := map[string]onnx.Tensor{"w": {Type: "uint8", Dims: []int64{4, 4, 1, 1}}, "k": {Type: "float32"}}
	line := chain{tensors: tensors, nodes: append([]onnx.Node{node("Relu", in{"x"}, "a")}, append(quantized("0", "a", "b"), node("Sigmoid", in{"b"}, "y"))...)}
	cell := on("openvino", "onnxruntime-openvino", "1.24.1")
	p := diagnose.Look(line.graph()).Predict(cell)
	assert.Equal(t, expect.ClassFallsBack, p.Class, "%v", p)
	assert.Equal(t, 2, p.Parts)
	assert.Equal(t, 1, p.Elsewhere)

	line.nodes = append(quantized("0", "x", "b"), node("Sigmoid", in{"b"}, "y"))
	p = diagnose.Look(line.graph()).Predict(cell)
	assert.Equal(t, expect.ClassFails, p.Class, "%v", p)
	assert.Equal(t, "This is an invalid model. Error: the graph is not acyclic.", p.Message)
	cell.Version = "1.22.0"
	assert.Equal(t, expect.ClassFallsBack, diagnose.Look(line.graph()).Predict(cell).Class, "openvino then left DynamicQuantizeLinear, too")
}

// A graph of which nothing is taken, and one that the runtime folds away.
func TestNothingLeft(t *testing.T) {
	cell := on("openvino", "onnxruntime-openvino", "1.23.0")
	none := chain{nodes: []onnx.Node{node("TopK", in{"x"}, "y")}}
	p := diagnose.Look(none.graph()).Predict(cell)
	assert.Equal(t, expect.ClassFallsBack, p.Class, "%v", p)
	assert.Equal(t, 1, p.Elsewhere)
	all := chain{nodes: []onnx.Node{node("Relu", in{"w"}, "y")}, tensors: map[string]onnx.Tensor{"w": {Type: "float32"}}}
	assert.Equal(t, expect.ClassLoads, diagnose.Look(all.graph()).Predict(cell).Class)
}

func TestAdvice(t *testing.T) {
	advice := func(model string, cells ...diagnose.Cell) string {
		m := look(t, model)
		var all []diagnose.Prediction
		for _, c := range cells {
			all = append(all, m.Predict(c))
		}
		return fmt.Sprint(m.Advice(all))
	}
	cpu, openvino := on("cpu", "onnxruntime", "1.32.0"), on("openvino", "onnxruntime-openvino", "1.24.1")
	assert.Equal(t, "[]", advice("", cpu, openvino))
	assert.Equal(t, "[]", advice("-int8-qdq", cpu, openvino))
	assert.Equal(t, "[]", advice("-int8-qop", cpu))
	assert.Contains(t, advice("-int8-qop", cpu, openvino), "QDQ instead of QOperator")
	assert.Contains(t, advice("-int8", cpu), "quantize statically")
	assert.Contains(t, advice("-int8-naive", cpu), "one scale a channel")
	assert.Contains(t, advice("-fp16", cpu), "run the fp32 model on cpu")
}

func TestCheck(t *testing.T) {
	fails := diagnose.Prediction{Class: expect.ClassFails, Message: "words", Why: []diagnose.Reason{{Text: "for a reason"}}}
	chance := diagnose.Prediction{Class: expect.ClassCrashes, Unstable: true}
	parts := diagnose.Prediction{Class: expect.ClassFallsBack, Parts: 6}
	words := func(s string) observe.Observation { return observe.Observation{Failure: &observe.Failure{Message: s}} }
	placed := func(n int) observe.Observation { return observe.Observation{Placement: map[string]int{"P": n, "C": 9}} }
	for _, row := range []struct {
		why   string
		p     diagnose.Prediction
		class expect.Class
		o     observe.Observation
		want  string
	}{
		{"as predicted", fails, expect.ClassFails, words("words"), ""},
		{"for another reason", fails, expect.ClassFails, words("other"), "predicted the words\n  words\nobserved\n  other"},
		{"not at all", fails, expect.ClassLoads, observe.Observation{}, "predicted fails; for a reason, observed loads"},
		{"another failure", parts, expect.ClassFails, words("other"), "predicted falls back, observed fails other"},
		{"words that no rule knows", diagnose.Prediction{Class: expect.ClassFails}, expect.ClassFails, words("any"), ""},
		{"by chance it crashes", chance, expect.ClassCrashes, observe.Observation{}, ""},
		{"by chance it loads", chance, expect.ClassFallsBack, placed(6), ""},
		{"and is not wrong", chance, expect.ClassWrong, observe.Observation{}, "observed that it wrong"},
		{"in so many parts", parts, expect.ClassFallsBack, placed(6), ""},
		{"in others", parts, expect.ClassFallsBack, placed(7), "in 6 parts, observed 7"},
		{"unknown is never wrong", diagnose.Prediction{Class: diagnose.Unknown}, expect.ClassHangs, observe.Observation{}, ""},
	} {
		err := row.p.Check(row.class, row.o, "P")
		if row.want == "" {
			assert.NoError(t, err, row.why)
		} else {
			assert.ErrorContains(t, err, row.want, row.why)
		}
	}
}

// Every class that is told has a reason, and every reason is a sentence without a hole.
func TestReasons(t *testing.T) {
	for _, model := range []string{"", "-fp16", "-int8", "-uint8", "-int8-naive", "-int8-qdq", "-int8-qdq-pt", "-int8-qop", "-int8-tuned"} {
		m := look(t, model)
		for _, platform := range []string{"linux/amd64", "darwin/arm64"} {
			for _, provider := range []string{"cpu", "openvino", "coreml", "cuda", "tensorrt", "directml", "webgpu", "xnnpack", "new"} {
				for _, version := range []string{"1.22.0", "1.23.0", "1.24.1", "1.32.0", "2.0.0", "main"} {
					for _, brings := range [][]string{{"cpu"}, {"cpu", provider}} {
						p := m.Predict(diagnose.Cell{Provider: provider, Distribution: "onnxruntime", Version: version, Platform: platform, Brings: brings})
						if p.Class != expect.ClassLoads || p.Slow != "" {
							assert.NotEmpty(t, p.Why, "%s %s %s", model, provider, version)
						}
						for _, why := range p.Why {
							assert.NotEmpty(t, why.Text)
							assert.NotContains(t, why.Text, "%!")
							assert.NotContains(t, why.Text, " ,")
						}
					}
				}
			}
		}
	}
}

// A user waits for this: to read a graph, and to predict all cells.
func BenchmarkDiagnose(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		m := look(b, "-int8-qdq")
		for _, version := range []string{"1.22.0", "1.23.0", "1.24.1"} {
			m.Predict(on("cpu", "onnxruntime", version))
			m.Predict(on("openvino", "onnxruntime-openvino", version))
		}
	}
}

// Whatever a graph has, there is a prediction.
func FuzzPredict(f *testing.F) {
	f.Add([]byte("ConvInteger\x01\x02\x03Relu\x04"))
	f.Add(bytes.Repeat([]byte("\x00\x01\x02\x03\x04\x05\x06\x07"), 20))
	ops := []string{"Conv", "ConvInteger", "DynamicQuantizeLinear", "Cast", "Mul", "Concat", "QuantizeLinear", "DequantizeLinear", "Identity", "QLinearConv", "If", "Constant"}
	f.Fuzz(func(t *testing.T, b []byte) {
		g := chain{tensors: map[string]onnx.Tensor{"t0": {Type: "int8", Dims: []int64{2, 1}, Data: []byte{1, 2}}, "t1": {Type: "float32", Dims: []int64{-1}}}, output: "t9"}.graph()
		name := func(v byte) string { return fmt.Sprint("t", v%16) }
		for ; len(b) >= 5; b = b[5:] {
			g.Nodes = append(g.Nodes, onnx.Node{Op: ops[int(b[0])%len(ops)], Inputs: in{name(b[1]), name(b[2]), "x"}, Outputs: in{name(b[3])}[:b[4]%2], Group: int64(b[4])})
		}
		m := diagnose.Look(g)
		for _, c := range []diagnose.Cell{on("cpu", "onnxruntime", "1.23.2"), on("openvino", "onnxruntime-openvino", "1.23.0"), on("openvino", "onnxruntime-openvino", "1.22.0")} {
			p := m.Predict(c)
			assert.NotEmpty(t, p.Class)
			assert.GreaterOrEqual(t, p.Elsewhere, 0)
			assert.LessOrEqual(t, p.Elsewhere, len(g.Nodes))
		}
	})
}
