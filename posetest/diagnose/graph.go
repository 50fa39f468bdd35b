package diagnose

import (
	"math"
	"slices"

	"github.com/posetest/suite/posetest/onnx"
)

// A graph is one with its edges.
type graph struct {
	onnx.Graph
	producer  map[string]int   // node that makes a tensor
	consumers map[string][]int // nodes that read it, each once a time it reads it
}

func newGraph(g onnx.Graph) graph {
	e := graph{g, map[string]int{}, map[string][]int{}}
	for i, n := range g.Nodes {
		for _, out := range n.Outputs {
			if out != "" {
				e.producer[out] = i
			}
		}
		for _, in := range n.Inputs {
			if in != "" {
				e.consumers[in] = append(e.consumers[in], i)
			}
		}
	}
	return e
}

// made is the node that makes a tensor, if one does.
func (g graph) made(tensor string) (n onnx.Node, ok bool) {
	i, ok := g.producer[tensor]
	if ok {
		n = g.Nodes[i]
	}
	return n, ok
}

// A layer is a convolution or matrix product with constant weights.
type layer struct {
	onnx.Node
	kind       string // "float", "dynamic", "QDQ", "QOperator", "weights only"
	weights    onnx.Tensor
	perChannel bool
	activation string // type of the quantized input
}

// depthwise tells a convolution with one input channel a filter.
func (l layer) depthwise() bool {
	return l.Group > 1 && len(l.weights.Dims) > 1 && l.weights.Dims[1] == 1
}

// layers are those of the graph, in its order.
func (g graph) layers() []layer {
	var all []layer
	for _, n := range g.Nodes {
		l := layer{Node: n}
		var known bool
		switch n.Type() {
		case "ConvInteger", "MatMulInteger":
			l.kind, l.activation = "dynamic", "uint8"
			l.weights, known = g.Tensors[n.Input(1)]
			l.perChannel = g.dynamicScale(n).Elements() > 1
		case "com.microsoft:DynamicQuantizeMatMul", "com.microsoft:MatMulIntegerToFloat":
			l.kind, l.activation = "dynamic", "uint8"
			l.weights, known = g.Tensors[n.Input(1)]
		case "QLinearConv", "QLinearMatMul", "com.microsoft:QLinearConv":
			l.kind, l.activation = "QOperator", g.Tensors[n.Input(2)].Type
			l.weights, known = g.Tensors[n.Input(3)]
			l.perChannel = g.Tensors[n.Input(4)].Elements() > 1
		case "Conv", "ConvTranspose", "Gemm", "MatMul", "com.microsoft:FusedConv", "com.microsoft:FusedMatMul", "com.microsoft:FusedGemm":
			l.kind = "float"
			if l.weights, known = g.constant(n.Input(1)); !known {
				known = g.dequantized(&l)
			}
		}
		if known {
			all = append(all, l)
		}
	}
	return all
}

// constant is the tensor behind a name, through what only moves or converts it.
func (g graph) constant(name string) (onnx.Tensor, bool) {
	for range 8 {
		if t, ok := g.Tensors[name]; ok {
			return t, true
		}
		n, ok := g.made(name)
		if !ok || !slices.Contains([]string{"Identity", "Cast", "Transpose", "Reshape"}, n.Type()) {
			break
		}
		name = n.Input(0)
	}
	return onnx.Tensor{}, false
}

// dequantized fills in a layer whose weights come from a DequantizeLinear, and tells whether they do.
func (g graph) dequantized(l *layer) bool {
	dq, ok := g.made(l.Input(1))
	if !ok || dq.Type() != "DequantizeLinear" {
		return false
	}
	l.weights, ok = g.constant(dq.Input(0))
	if q, made := g.made(dq.Input(0)); made && q.Type() == "QuantizeLinear" { // weights that are quantized when the session opens
		if l.weights, ok = g.constant(q.Input(0)); ok {
			l.weights.Type, l.weights.Data = g.zeroPoint(q), nil
		}
	}
	l.perChannel = g.Tensors[dq.Input(1)].Elements() > 1
	l.kind = "weights only"
	if in, made := g.made(l.Input(0)); made && in.Type() == "DequantizeLinear" {
		l.kind, l.activation = "QDQ", g.zeroPoint(in)
	}
	return ok
}

// zeroPoint is the type of a QuantizeLinear's or DequantizeLinear's zero point, which without one is uint8.
func (g graph) zeroPoint(n onnx.Node) string {
	if t, ok := g.Tensors[n.Input(2)]; ok {
		return t.Type
	}
	return "uint8"
}

// dynamicScale is the scale of a dynamically quantized layer's weights, as onnxruntime.quantization writes it: the result is
// cast, and multiplied by the product of the input's scale and the weights'.
func (g graph) dynamicScale(n onnx.Node) onnx.Tensor {
	cast, ok := g.next(n, "Cast")
	if !ok {
		return onnx.Tensor{}
	}
	mul, ok := g.next(cast, "Mul")
	if !ok {
		return onnx.Tensor{}
	}
	for _, in := range mul.Inputs {
		if scales, ok := g.made(in); ok && scales.Type() == "Mul" {
			for _, in := range scales.Inputs {
				if t, ok := g.Tensors[in]; ok {
					return t
				}
			}
		}
	}
	return onnx.Tensor{}
}

// next is the consumer of a node's first output that has an operator.
func (g graph) next(n onnx.Node, op string) (onnx.Node, bool) {
	if len(n.Outputs) > 0 {
		for _, i := range g.consumers[n.Outputs[0]] {
			if g.Nodes[i].Type() == op {
				return g.Nodes[i], true
			}
		}
	}
	return onnx.Node{}, false
}

func (g graph) quantization() Quantization {
	q := Quantization{Kind: "none"}
	kinds, weights, activations := counter{}, counter{}, counter{}
	for _, l := range g.layers() {
		q.Layers++
		if l.depthwise() {
			q.Depthwise++
		}
		kinds[l.kind]++
		if l.kind == "float" {
			q.Float++
			q.Half = q.Half || l.weights.Type == "float16"
			continue
		}
		scale := "per tensor"
		if l.perChannel {
			scale = "per channel"
		}
		weights[l.weights.Type+" "+scale]++
		if l.activation != "" {
			activations[l.activation]++
		}
		if l.depthwise() && !l.perChannel {
			q.OneScale++
			switch starved, seen := l.starved(); {
			case !seen:
				q.Unseen++
			case starved:
				q.Starved++
			}
		}
	}
	q.Weights, q.Activations = weights.sorted(), activations.sorted()
	q.Kind, q.Format = kindOf(kinds)
	for _, out := range g.Outputs {
		if s, shared := g.shared(out.Name); shared {
			q.Shared = append(q.Shared, s)
		}
	}
	return q
}

func kindOf(kinds counter) (kind, format string) {
	static := ""
	switch {
	case kinds["QDQ"] > 0 && kinds["QOperator"] > 0:
		static, format = "static", "QDQ and QOperator"
	case kinds["QDQ"] > 0:
		static, format = "static", "QDQ"
	case kinds["QOperator"] > 0:
		static, format = "static", "QOperator"
	}
	switch {
	case kinds["dynamic"] > 0 && static != "":
		return "dynamic and static", format
	case kinds["dynamic"] > 0:
		return "dynamic", format
	case static != "":
		return static, format
	case kinds["weights only"] > 0:
		return "weights only", format
	}
	return "none", format
}

// starved tells whether at least half of the channels use less than starvedLevels of the scale's levels, and whether the
// weights were looked at. A channel is that poor where others of its tensor are larger by orders of magnitude:
// https://arxiv.org/abs/1806.08342, section 3.
func (l layer) starved() (starved, seen bool) {
	channels := int(l.weights.Dims[0])
	if l.weights.Data == nil || channels < 1 {
		return false, false
	}
	per, poor := len(l.weights.Data)/channels, 0
	for c := range channels {
		low, high := math.MaxInt, math.MinInt
		for _, b := range l.weights.Data[c*per : (c+1)*per] {
			v := int(b)
			if l.weights.Type == "int8" {
				v = int(int8(b))
			}
			low, high = min(low, v), max(high, v)
		}
		if high-low < starvedLevels {
			poor++
		}
	}
	return 2*poor >= channels, true
}

// shared tells of an output that was quantized after several parts were joined in it: they have one scale.
func (g graph) shared(output string) (Shared, bool) {
	s, quantized := Shared{Output: output}, false
	for range len(g.Nodes) {
		n, ok := g.made(output)
		if !ok {
			break
		}
		switch n.Type() {
		case "QuantizeLinear", "DequantizeLinear":
			quantized = true
			if step, known := g.Tensors[n.Input(1)].Float(); known {
				s.Step = step
			}
		case "com.microsoft:QLinearConcat":
			if step, known := g.Tensors[n.Input(0)].Float(); known {
				s.Step = step
			}
			return s, len(n.Inputs) > 5
		case "Concat":
			return s, quantized && len(n.Inputs) > 1
		case "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast":
		default:
			return s, false
		}
		output = n.Input(0)
	}
	return s, false
}
