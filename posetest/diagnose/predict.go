package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/onnx"
)

// Unknown is the class of a cell that no rule tells.
const Unknown expect.Class = "unknown"

// A Cell is where a model would run.
type Cell struct {
	Provider     string   // "cpu", "openvino", …
	Distribution string   // "onnxruntime", "onnxruntime-openvino", …
	Version      string   // of the runtime: "1.23.2"
	Platform     string   // "linux/amd64", …
	Brings       []string // providers that the build brings
	Lacks        string   // what the machine lacks for the provider, though the build brings it; "" for nothing
}

// A Prediction is what a model will do in a cell.
type Prediction struct {
	Class    expect.Class `json:"class"`
	Unstable bool         `json:"unstable,omitempty"` // does so by chance, and else loads or fails
	Message  string       `json:"message,omitempty"`  // the runtime's exact words of a refusal; "" where they are not known
	// Elsewhere counts nodes that, at the least, run on another provider than the one asked for; Parts is what the provider
	// that was asked for takes, in parts of the graph, 0 where that is not known.
	Elsewhere int      `json:"nodes_elsewhere,omitempty"`
	Parts     int      `json:"parts,omitempty"`
	Slow      string   `json:"slow,omitempty"` // how slow, beside fp32
	Why       []Reason `json:"why,omitempty"`
}

// A Reason is a sentence with a public reference, "" where there is none.
type Reason struct {
	Text string `json:"text"`
	See  string `json:"see,omitempty"`
}

func (p *Prediction) because(see, format string, args ...any) {
	p.Why = append(p.Why, Reason{fmt.Sprintf(format, args...), see})
}

// Predict says what the model will do in a cell. The rules are asked in the order in which the runtime meets what they are
// about; the first that refuses the model ends it.
func (m Model) Predict(c Cell) Prediction {
	p := Prediction{Class: expect.ClassLoads}
	for _, rule := range []func(*Prediction, Cell) bool{m.unavailable, m.tooNew, m.foreign, m.placed, m.kernels} {
		if rule(&p, c) {
			return p
		}
	}
	m.wrong(&p)
	m.slow(&p, c)
	return p
}

// absent are the words of ONNX Runtime 1.22 to 1.32 on linux/amd64 for a provider that the build does not bring.
var absent = map[string]string{
	"coreml":   "CoreML execution provider is not supported in this build.",
	"cuda":     "CUDA execution provider is not enabled in this build.",
	"directml": "Specified provider is not supported.",
	"openvino": "SessionOptionsAppendExecutionProvider_OpenVINO_V2: Failed to load shared library",
	"tensorrt": "TensorRT execution provider is not enabled in this build.",
	"webgpu":   "WebGPU execution provider is not supported in this build.",
	"xnnpack":  "XNNPACK execution provider is not supported in this build.",
}

func (m Model) unavailable(p *Prediction, c Cell) bool {
	brought := slices.Contains(c.Brings, c.Provider)
	if brought && c.Lacks == "" {
		return false
	}
	p.Class = expect.ClassUnavailable
	if brought {
		p.because("https://onnxruntime.ai/docs/execution-providers/", "this machine lacks the %s that %s needs", c.Lacks, c.Provider)
		return true
	}
	if c.Platform == "linux/amd64" {
		p.Message = absent[c.Provider]
	}
	p.because("https://onnxruntime.ai/docs/execution-providers/", "%s for %s does not bring %s", c.Distribution, c.Platform, c.Provider)
	return true
}

// limits are the newest formats that releases open, as measured with models of one node. Of a release between two of them
// only what the earlier opens is known.
var limits = []struct {
	version   string
	ir, opset int64
}{{"1.22", 10, 22}, {"1.23", 11, 23}, {"1.24", 13, 25}, {"1.31", 13, 26}, {"1.32", 14, 28}}

const seeCompatibility = "https://onnxruntime.ai/docs/reference/compatibility.html"

func (m Model) tooNew(p *Prediction, c Cell) bool {
	opset := m.Opsets["ai.onnx"]
	if opset < 7 {
		p.Class = Unknown
		p.because(seeCompatibility, "opset %d is older than 7, the oldest that ONNX Runtime promises to open; export it again with opset 17", opset)
		return true
	}
	for _, l := range slices.Backward(limits) {
		if !in(c.Version, ">="+l.version) {
			continue
		}
		if m.IR <= l.ir && opset <= l.opset {
			return false
		}
		p.Class = expect.ClassFails
		if !in(c.Version, "~"+l.version) {
			p.Class = Unknown
		}
		p.because(seeCompatibility, "it has IR version %d and opset %d, and ONNX Runtime %s opens up to %d and %d; export it with opset %d", m.IR, opset, l.version, l.ir, l.opset, min(opset, l.opset))
		return true
	}
	p.Class = Unknown
	p.because(seeCompatibility, "no rule is for ONNX Runtime %s", c.Version)
	return true
}

// ours are the domains of operators that ONNX Runtime brings.
var ours = []string{"", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "ai.onnx.training", "ai.onnx.preview.training", "org.pytorch.aten", "com.ms.internal.nhwc"}

// foreign finds operators that nobody defines.
func (m Model) foreign(p *Prediction, c Cell) bool {
	for _, n := range slices.Concat(m.g.Nodes, m.g.Inner) {
		if slices.Contains(ours, n.Domain) || m.g.Functions[n.Type()] {
			continue
		}
		p.Class = expect.ClassFails
		if _, imported := m.Opsets[n.Domain]; imported {
			p.Message = fmt.Sprintf("Load model from {model} failed:Fatal error: %s(-1) is not a registered function/op", n.Type())
		}
		p.because("https://onnxruntime.ai/docs/reference/operators/add-custom-op.html", "operator %s is in no domain that ONNX Runtime brings, and the file does not define it; register the library that does", n.Type())
		return true
	}
	return false
}

// notTaken are operators of quantized models that providers leave to the cpu provider, by what their documentation lists.
var notTaken = map[string]struct {
	operators []string
	see       string
}{
	"coreml": {[]string{"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"},
		"https://onnxruntime.ai/docs/execution-providers/CoreML-ExecutionProvider.html#supported-operators"},
	"cuda": {[]string{"DynamicQuantizeLinear", "ConvInteger", "QLinearConv", "QLinearMatMul"},
		"https://github.com/microsoft/onnxruntime/issues/5127"},
	"tensorrt": {[]string{"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"},
		"https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html"},
}

// placed decides which nodes the provider leaves to the cpu provider.
func (m Model) placed(p *Prediction, c Cell) bool {
	switch c.Provider {
	case "cpu":
		return false
	case "openvino":
		return m.onOpenVINO(p, c)
	}
	rule, known := notTaken[c.Provider]
	for _, n := range m.g.Nodes {
		if slices.Contains(rule.operators, n.Type()) {
			p.Elsewhere++
		}
	}
	if !known || p.Elsewhere == 0 {
		p.Class = Unknown
		p.because("", "no rule tells which nodes %s takes; try it there with --run", c.Provider)
		m.wrong(p)
		return true
	}
	p.Class = expect.ClassFallsBack
	p.because(rule.see, "%s has no %s: the cpu provider runs these %d nodes, at the least", c.Provider, m.named(rule.operators), p.Elsewhere)
	return false
}

// named lists those of the operators that the model has, with their counts.
func (m Model) named(operators []string) string {
	var words []string
	for _, o := range m.Operators {
		if slices.Contains(operators, o.What) {
			words = append(words, fmt.Sprintf("%s (%d)", o.What, o.N))
		}
	}
	return strings.Join(words, ", ")
}

const seeOpenVINO = "https://github.com/microsoft/onnxruntime/blob/v%s/onnxruntime/core/providers/openvino/ov_versions/capability.cc"

func (m Model) onOpenVINO(p *Prediction, c Cell) bool {
	unknown := func(format string, args ...any) bool {
		p.Class = Unknown
		p.because("", format, args...)
		m.wrong(p)
		return true
	}
	if !in(c.Version, ">=1.22, <1.25") {
		return unknown("the list of operators that openvino takes is known for 1.22, 1.23 and 1.24, not for %s", c.Version)
	}
	if slices.ContainsFunc(m.g.Nodes, func(n onnx.Node) bool { return n.Subgraphs > 0 }) {
		return unknown("no rule tells what openvino makes of subgraphs (If, Loop, Scan); try it with --run")
	}
	parts := m.g.partitions(c.Version)
	if len(parts.odd) > 0 {
		return unknown("whether openvino takes %s is not known; try it with --run", strings.Join(sorted(parts.odd), ", "))
	}
	p.Parts, p.Elsewhere = parts.parts, len(parts.left)
	see := fmt.Sprintf(seeOpenVINO, c.Version)
	switch left := leftovers(parts.left); {
	case parts.lone && in(c.Version, ">=1.23, <1.24"):
		p.Class, p.Unstable = expect.ClassCrashes, true
		p.because(see, "openvino leaves %s to the cpu provider, and a single node between two of them finds no later part that it could join: this release then dies, fails with a node index that makes no sense, or loads, by chance, as if it read past the last part", left)
		return true
	case parts.cyclic:
		p.Class, p.Message = expect.ClassFails, "This is an invalid model. Error: the graph is not acyclic."
		p.because(see, "openvino leaves %s to the cpu provider, and joins a single node before one of them with what comes behind it: the two wait for each other; the model itself is valid", left)
		return true
	case p.Elsewhere > 0:
		p.Class = expect.ClassFallsBack
		in := "parts"
		if p.Parts > 0 {
			in = fmt.Sprintf("%d parts", p.Parts)
		}
		p.because(see, "openvino takes the graph in %s, and leaves %s to the cpu provider", in, left)
	}
	return false
}

// leftovers counts nodes by operator, the most frequent few.
func leftovers(nodes []onnx.Node) string {
	types := counter{}
	for _, n := range nodes {
		types[n.Type()]++
	}
	var words []string
	for i, c := range types.sorted() {
		if i == 4 {
			words = append(words, "others")
			break
		}
		words = append(words, fmt.Sprintf("%d %s", c.N, c.What))
	}
	return strings.Join(words, ", ")
}

func sorted(set map[string]bool) []string {
	var all []string
	for word := range set {
		all = append(all, word)
	}
	slices.Sort(all)
	return all
}

const seeConvInteger = "https://github.com/microsoft/onnxruntime/pull/26585"

// kernels looks for what the cpu provider, which runs all that others leave, has no kernel for.
func (m Model) kernels(p *Prediction, c Cell) bool {
	if in(c.Version, "<1.24") {
		for _, n := range m.g.Nodes { // the runtime names the first
			if n.Type() != "ConvInteger" || m.g.Tensors[n.Input(1)].Type != "int8" {
				continue
			}
			p.Class, p.Elsewhere, p.Parts = expect.ClassFails, 0, 0
			p.Message = fmt.Sprintf("Could not find an implementation for ConvInteger(10) node with name '%s'", n.Name)
			p.because(seeConvInteger, "%d ConvInteger nodes take signed weights; ONNX Runtime before 1.24 has no cpu kernel for them", m.signedConvInteger())
			return true
		}
	}
	if c.Provider != "cpu" {
		return false
	}
	odd := map[string]bool{}
	for _, n := range slices.Concat(m.g.Nodes, m.g.Inner) {
		if has, _ := cpuOperators.has(n.Type(), c.Version); !has && !m.g.Functions[n.Type()] {
			odd[n.Type()] = true
		}
	}
	types := map[string]bool{}
	for _, t := range m.g.Tensors {
		switch t.Type {
		case "float32", "float16", "float64", "int8", "uint8", "int32", "int64", "bool":
		default:
			types[t.Type] = true
		}
	}
	if len(odd)+len(types) == 0 {
		return false
	}
	p.Class = Unknown
	if len(odd) > 0 {
		p.because("https://github.com/microsoft/onnxruntime/blob/main/docs/OperatorKernels.md", "no rule tells whether the cpu provider has a kernel for %s", strings.Join(sorted(odd), ", "))
	}
	if len(types) > 0 {
		p.because("https://github.com/microsoft/onnxruntime/blob/main/docs/OperatorKernels.md", "no rule tells whether the cpu provider has kernels for tensors of %s", strings.Join(sorted(types), ", "))
	}
	return true
}

// signedConvInteger counts the ConvInteger nodes with signed weights.
func (m Model) signedConvInteger() int {
	n := 0
	for _, node := range m.g.Nodes {
		if node.Type() == "ConvInteger" && m.g.Tensors[node.Input(1)].Type == "int8" {
			n++
		}
	}
	return n
}

const seeDepthwise = "https://arxiv.org/abs/1806.08342"

// starvedShare is the part of a model's depthwise convolutions from which it is lost when they are starved. MoveNet, which is,
// has 8 or 9 of 24 starved with one scale a tensor, and none with one a channel; nothing was measured between the two.
const starvedShare = 0.25

// wrong finds what makes a model's results useless wherever it loads.
func (m Model) wrong(p *Prediction) {
	worse := func(class expect.Class) {
		if p.Class != Unknown && p.Class != expect.ClassWrong {
			p.Class = class
		}
	}
	q := m.Quantization
	switch {
	case q.Starved > 0 && float64(q.Starved) >= starvedShare*float64(q.Depthwise):
		worse(expect.ClassWrong)
		p.because(seeDepthwise, "%d of %d depthwise convolutions have one scale a tensor that leaves at least half of their channels less than %d of 256 levels: such a model finds nothing any more", q.Starved, q.Depthwise, starvedLevels)
	case q.Starved > 0:
		worse(Unknown)
		p.because(seeDepthwise, "%d of %d depthwise convolutions have one scale a tensor that leaves at least half of their channels less than %d of 256 levels; what that costs must be tried", q.Starved, q.Depthwise, starvedLevels)
	case q.Unseen > 0:
		worse(Unknown)
		p.because(seeDepthwise, "%d of %d depthwise convolutions have one scale a tensor, which is too coarse for most; what it costs must be tried", q.Unseen, q.Depthwise)
	}
	for _, s := range q.Shared {
		switch {
		case s.Step >= coarseStep:
			worse(expect.ClassWrong)
			p.because("", "output %s joins its parts under one scale, in steps of %.3g: a score, which is between 0 and 1, is always rounded away", s.Output, s.Step)
		case s.Step == 0:
			worse(Unknown)
			p.because("", "output %s joins its parts under one scale that the file does not tell; if one part has much larger values, the others are lost", s.Output)
		}
	}
}

const seeQuantization = "https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html"

// slow says what is slower than fp32 on the cpu provider, as measured here on x86-64 with AVX2.
func (m Model) slow(p *Prediction, c Cell) {
	note := func(slow, see, format string, args ...any) {
		p.Slow = cmp.Or(p.Slow, slow)
		p.because(see, format, args...)
	}
	if p.Class == Unknown || c.Provider != "cpu" && p.Elsewhere == 0 {
		return
	}
	if n := m.signedConvInteger(); n > 0 {
		note("3 to 7 times the run time of fp32", seeConvInteger, "%d ConvInteger nodes take signed weights, for which the cpu provider has no fast kernel", n)
	} else if n := m.count("ConvInteger"); n > 0 {
		note("up to 4 times the run time of fp32, and 0.7 of it at best", seeQuantization, "%d ConvInteger nodes are quantized anew at each run, and each is followed by a Cast and a Mul over its whole result", n)
	}
	if m.Quantization.Half && c.Provider == "cpu" {
		note("up to twice the run time of fp32", "", "the cpu provider has no float16 kernels for most operators, and converts around each")
	}
	signed := slices.ContainsFunc(m.Quantization.Activations, func(a Count) bool { return a.What == "int8" })
	if signed && m.Quantization.Format != "" && strings.HasSuffix(c.Platform, "/amd64") {
		note("slower than fp32", seeQuantization, "activations are signed, which is not fused into integer kernels on x86-64")
	}
}

// Advice says what to run instead, in the order of what helps most; empty for a model that is fine.
func (m Model) Advice(predictions []Prediction) []string {
	var advice []string
	add := func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); !slices.Contains(advice, s) {
			advice = append(advice, s)
		}
	}
	const static = "scripts/quantize.py calibrate, then make --precision int8-qdq (see scripts/README.md)"
	q := m.Quantization
	if strings.Contains(q.Kind, "dynamic") && m.count("ConvInteger") > 0 {
		add("quantize statically, one scale a channel: %s", static)
	}
	if q.Starved+q.Unseen > 0 {
		add("give depthwise convolutions one scale a channel: %s", static)
	}
	if len(q.Shared) > 0 {
		add("leave what follows the last convolutions in float: %s", static)
	}
	for _, p := range predictions {
		switch {
		case strings.Contains(q.Format, "QOperator") && (p.Class == expect.ClassFallsBack || p.Class == expect.ClassCrashes):
			add("write QDQ instead of QOperator, which other providers than cpu do not take: %s", static)
		case q.Half && p.Slow != "":
			add("run the fp32 model on cpu, and float16 where a provider computes in it")
		case p.Slow != "" && q.Format != "":
			add("make activations unsigned: %s", static)
		}
	}
	return advice
}

// Check holds a prediction to what was observed; class is the observation's. Its error says in what they differ; what is
// predicted to be unknown differs from nothing.
func (p Prediction) Check(class expect.Class, o observe.Observation, provider string) error {
	message := ""
	if o.Failure != nil {
		message = o.Failure.Message
	}
	switch {
	case p.Class == Unknown:
		return nil
	case p.Unstable:
		if !slices.Contains([]expect.Class{expect.ClassCrashes, expect.ClassFails, expect.ClassLoads, expect.ClassFallsBack}, class) {
			return fmt.Errorf("predicted that it crashes, fails or loads by chance, observed that it %s", class)
		}
		return nil
	case p.Class != class:
		return fmt.Errorf("predicted %s, observed %s", p.words(), strings.Join(strings.Fields(string(class)+" "+message), " "))
	case p.Message != "" && p.Message != message:
		return fmt.Errorf("predicted the words\n  %s\nobserved\n  %s", p.Message, message)
	}
	if parts, known := o.Placement[provider]; known && p.Parts > 0 && parts != p.Parts {
		return fmt.Errorf("predicted that %s takes the graph in %d parts, observed %d", provider, p.Parts, parts)
	}
	return nil
}

func (p Prediction) words() string {
	words := string(p.Class)
	for _, why := range p.Why {
		words += "; " + why.Text
	}
	return words
}
