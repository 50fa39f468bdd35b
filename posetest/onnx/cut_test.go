package onnx_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// node is a NodeProto with its field in a graph.
func node(op string, inputs, outputs []string, attributes ...[]byte) []byte {
	var b []byte
	for _, in := range inputs {
		b = append(b, text(1, in)...)
	}
	for _, out := range outputs {
		b = append(b, text(2, out)...)
	}
	b = append(b, text(3, "node of "+outputs[0])...)
	return text(1, b, text(4, op), bytes.Join(attributes, nil))
}

// chain is x → quantize → ConvInteger with weights → Cast → Add with a bias → y, as quantize_dynamic makes it.
func chain() []byte {
	to := text(5, text(1, "to"), varint(3, 1))
	return join(varint(1, 8), text(2, "test"), text(14, text(1, "author"), text(2, "somebody")),
		text(7,
			node("DynamicQuantizeLinear", []string{"x"}, []string{"q", "scale", "zero"}),
			node("ConvInteger", []string{"q", "w", "zero", ""}, []string{"i"}),
			node("Cast", []string{"i"}, []string{"f"}, to),
			node("Add", []string{"f", "bias"}, []string{"y"}),
			text(2, "graph"),
			text(5, varint(1, 2), varint(1, 3), varint(2, 3), text(8, "w"), text(9, "\x01\x02\x03\x04\x05\xff")),
			text(5, varint(1, 1), varint(2, 1), text(8, "bias"), text(9, "\x00\x00\x80\x3f")),
			info(11, "x", 1, int64(1), int64(3)), info(12, "y", 1, int64(1)), info(13, "f", 1, int64(1), int64(7))),
		text(8, varint(2, 17)))
}

func TestCut(t *testing.T) {
	parts, err := onnx.ReadParts(chain())
	require.NoError(t, err)
	require.Equal(t, 4, parts.Nodes())
	for _, row := range []struct {
		why     string
		keep    []int
		hollow  string
		nodes   string
		inputs  []tensor.Info
		outputs string
		tensors string
	}{
		{"all: as it was", []int{0, 1, 2, 3}, "", "DynamicQuantizeLinear ConvInteger Cast Add", []tensor.Info{{Name: "x", Type: "float32", Shape: []int64{1, 3}}}, "scale y", "w bias"},
		{"the first alone: what it makes goes out", []int{0}, "", "DynamicQuantizeLinear", []tensor.Info{{Name: "x", Type: "float32", Shape: []int64{1, 3}}}, "q scale zero", ""},
		{"inputs whose type only the operator before tells", []int{1}, "", "ConvInteger", []tensor.Info{{Name: "q", Type: "uint8"}, {Name: "zero", Type: "uint8"}}, "i", "w"},
		{"the shape of a value between is kept", []int{3}, "", "Add", []tensor.Info{{Name: "f", Type: "float32", Shape: []int64{1, 7}}}, "y", "bias"},
		{"a hole in the middle makes two parts", []int{0, 2}, "", "DynamicQuantizeLinear Cast", []tensor.Info{{Name: "x", Type: "float32", Shape: []int64{1, 3}}, {Name: "i", Type: "int32"}}, "q scale zero f", ""},
		{"weights without data become an input", []int{1}, "w", "ConvInteger", []tensor.Info{{Name: "w", Type: "int8", Shape: []int64{2, 3}}, {Name: "q", Type: "uint8"}, {Name: "zero", Type: "uint8"}}, "i", ""},
	} {
		t.Run(row.why, func(t *testing.T) {
			cut, err := parts.Cut(row.keep, map[string]bool{row.hollow: true})
			require.NoError(t, err)
			g, err := readGraph(cut.Model)
			require.NoError(t, err)
			var nodes, outputs []string
			for _, n := range g.Nodes {
				nodes = append(nodes, n.Op)
			}
			for _, out := range g.Outputs {
				outputs = append(outputs, out.Name)
			}
			assert.Equal(t, row.nodes, strings.Join(nodes, " "))
			assert.Equal(t, row.inputs, g.Inputs)
			assert.Equal(t, row.outputs, strings.Join(outputs, " "))
			assert.Len(t, g.Tensors, len(strings.Fields(row.tensors)))
			for _, name := range strings.Fields(row.tensors) {
				assert.Contains(t, g.Tensors, name)
			}
			assert.EqualValues(t, 17, g.Opset)
			assert.Len(t, cut.Inputs, len(g.Inputs))
			assert.Len(t, cut.Outputs, len(g.Outputs))
			assert.NotContains(t, string(cut.Model), "somebody", "nothing of who made it, for an issue that anybody reads")
		})
	}
	none, err := parts.Cut(nil, nil)
	require.NoError(t, err)
	assert.Empty(t, none.Outputs)
	assert.Equal(t, map[string]bool{"x": true, "q": true, "scale": true, "zero": true, "w": true, "i": true, "f": true, "bias": true, "y": true,
		"node of q": true, "node of i": true, "node of f": true, "node of y": true}, parts.Names())
	assert.Contains(t, parts.Weights([]int{1}), "w")
	assert.NotContains(t, parts.Weights([]int{1}), "bias")
}

// What a branch uses of the graph around is an input of its If.
func TestCutSubgraph(t *testing.T) {
	branch := text(5, text(1, "then_branch"), text(6, node("Relu", []string{"outer"}, []string{"inner"}), text(5, varint(2, 1), text(8, "own"))))
	model := join(varint(1, 8), text(7,
		node("Relu", []string{"x"}, []string{"outer"}),
		node("If", []string{"condition"}, []string{"y"}, branch),
		node("Neg", []string{"y"}, []string{"z"}),
		info(11, "x", 1, int64(1)), info(11, "condition", 9, int64(1)), info(12, "z", 1, int64(1))), text(8, varint(2, 17)))
	parts, err := onnx.ReadParts(model)
	require.NoError(t, err)
	cut, err := parts.Cut([]int{1}, nil)
	require.NoError(t, err)
	assert.Equal(t, []tensor.Info{{Name: "condition", Type: "bool"}, {Name: "outer", Type: "float32"}}, cut.Inputs)
	_, err = parts.Cut([]int{2}, nil)
	require.ErrorIs(t, err, onnx.ErrUntyped, "an If's output may be anything")
}

// A cut of a real model is what the file says, byte by byte: all nodes and weights again.
func TestCutReal(t *testing.T) {
	model, err := os.ReadFile("../../models/movenet-lightning-int8.onnx")
	require.NoError(t, err)
	whole, err := readGraph(model)
	require.NoError(t, err)
	parts, err := onnx.ReadParts(model)
	require.NoError(t, err)
	all := make([]int, parts.Nodes())
	for i := range all {
		all[i] = i
	}
	cut, err := parts.Cut(all, nil)
	require.NoError(t, err)
	got, err := readGraph(cut.Model)
	require.NoError(t, err)
	assert.Equal(t, whole.Nodes, got.Nodes)
	assert.Equal(t, whole.Inputs, got.Inputs)
	assert.Equal(t, whole.Outputs, got.Outputs)
	for i := range all { // every single node can be cut out: all types are known
		cut, err := parts.Cut(all[i:i+1], nil)
		require.NoError(t, err)
		for _, in := range cut.Inputs {
			assert.NotEqual(t, "undefined", in.Type, in.Name)
		}
	}
}

func TestReadPartsRefuses(t *testing.T) {
	_, err := onnx.ReadParts(join(varint(1, 8), text(7, text(5, text(8, "w"), text(13, text(1, "location"), text(2, "weights.bin"))))))
	require.ErrorContains(t, err, "it keeps weights in another file; save it as one file first")
	for n := range len(chain()) {
		if parts, err := onnx.ReadParts(chain()[:n]); err == nil {
			assert.Contains(t, []int{0, 4}, parts.Nodes(), "the first %d bytes", n)
		}
	}
}

// Whatever the bytes are, reading and cutting end, and a cut is a message again.
func FuzzCut(f *testing.F) {
	f.Add(chain())
	f.Add(small())
	f.Add(bytes.Repeat([]byte{0xff}, 16))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := onnx.ReadParts(b)
		if err != nil {
			return
		}
		for i := range min(parts.Nodes(), 16) {
			cut, err := parts.Cut([]int{i}, nil)
			if err != nil {
				assert.ErrorIs(t, err, onnx.ErrUntyped)
				continue
			}
			for rest := cut.Model; len(rest) > 0; {
				_, _, n := protowire.ConsumeField(rest)
				require.Positive(t, n)
				rest = rest[n:]
			}
		}
	})
}
