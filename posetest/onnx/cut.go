package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/posetest/suite/posetest/tensor"
	"google.golang.org/protobuf/encoding/protowire"
)

// Parts are a model of which nodes can be left out. Messages of what stays are those of the file, byte by byte.
type Parts struct {
	around  []byte // the model's fields beside its graph: versions, producer, opsets, functions
	name    []byte // of the graph
	nodes   []part
	weights []weight          // initializers, in the order of the file
	infos   map[string][]byte // ValueInfoProto of inputs, outputs and values between
	outputs map[string]bool
	types   map[string]uint64 // TensorProto.DataType by tensor; 0 where it can't be told
}

// A part is a NodeProto.
type part struct {
	message         []byte
	name, op        string
	inputs, outputs []string // with what its subgraphs use
}

// A weight is a TensorProto.
type weight struct {
	message []byte
	name    string
	kind    uint64
	dims    []int64
}

// ErrUntyped says that a cut needs an input whose type the file does not tell.
var ErrUntyped = errors.New("the type of a tensor at the cut is not known")

// ReadParts reads a model that [ReadGraph] accepts.
func ReadParts(model []byte) (*Parts, error) {
	p := &Parts{infos: map[string][]byte{}, outputs: map[string]bool{}, types: map[string]uint64{}}
	err := fields(model, func(number protowire.Number, whole, value []byte, _ uint64) error {
		switch number {
		case 7:
			return p.graph(value)
		case 1, 2, 3, 4, 5, 8, 25:
			p.around = append(p.around, whole...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	made := map[string]bool{}
	for _, n := range p.nodes {
		for _, out := range n.outputs {
			made[out] = true
		}
	}
	for _, w := range p.weights {
		if !made[w.name] { // as in Cut: what a node makes is no weight
			p.types[w.name] = w.kind
		}
	}
	for name, info := range p.infos {
		if kind := find(info, 2, 1, 1).number; kind != 0 {
			p.types[name] = kind
		}
	}
	for _, n := range p.nodes {
		for i, out := range n.outputs {
			if p.types[out] == 0 {
				p.types[out] = n.outputType(i, p.types)
			}
		}
	}
	return p, nil
}

func (p *Parts) graph(graph []byte) error {
	return fields(graph, func(number protowire.Number, _, value []byte, _ uint64) error {
		switch number {
		case 1:
			n, err := readPart(value)
			p.nodes = append(p.nodes, n)
			return err
		case 2:
			p.name = value
		case 5:
			w, err := readWeight(value)
			p.weights = append(p.weights, w)
			return err
		case 11, 12, 13:
			name := string(find(value, 1).bytes)
			p.infos[name] = value
			if number == 12 {
				p.outputs[name] = true
			}
		}
		return nil
	})
}

func readPart(message []byte) (n part, err error) {
	n.message = message
	err = fields(message, func(number protowire.Number, _, value []byte, _ uint64) error {
		switch number {
		case 1:
			n.inputs = append(n.inputs, string(value))
		case 2:
			n.outputs = append(n.outputs, string(value))
		case 3:
			n.name = string(value)
		case 4:
			n.op = string(value)
		case 5:
			return n.uses(value, 0)
		}
		return nil
	})
	return n, err
}

// uses adds the inputs of an attribute's subgraphs: some are tensors of the graph around.
func (n *part) uses(attribute []byte, depth int) error {
	if depth > maxDepth {
		return errTooMuch
	}
	return fields(attribute, func(number protowire.Number, _, graph []byte, _ uint64) error {
		if number != 6 && number != 11 {
			return nil
		}
		return fields(graph, func(number protowire.Number, _, node []byte, _ uint64) error {
			if number != 1 {
				return nil
			}
			return fields(node, func(number protowire.Number, _, value []byte, _ uint64) error {
				switch number {
				case 1:
					n.inputs = append(n.inputs, string(value))
				case 5:
					return n.uses(value, depth+1)
				}
				return nil
			})
		})
	})
}

func readWeight(message []byte) (w weight, err error) {
	w.message = message
	err = fields(message, func(number protowire.Number, _, value []byte, v uint64) error {
		switch {
		case number == 1 && value == nil:
			w.dims = append(w.dims, int64(v))
		case number == 1: // packed
			for len(value) > 0 {
				v, n := protowire.ConsumeVarint(value)
				if n < 0 {
					return protowire.ParseError(n)
				}
				w.dims, value = append(w.dims, int64(v)), value[n:]
			}
		case number == 2:
			w.kind = v
		case number == 8:
			w.name = string(value)
		case number == 13:
			return errors.New("it keeps weights in another file; save it as one file first")
		}
		return nil
	})
	return w, err
}

// Nodes is how many there are.
func (p *Parts) Nodes() int { return len(p.nodes) }

// Operator is what the i-th node does: Conv.
func (p *Parts) Operator(i int) string { return p.nodes[i].op }

// Names are those of all nodes and tensors.
func (p *Parts) Names() map[string]bool {
	names := map[string]bool{}
	for _, n := range p.nodes {
		names[n.name] = true
		for _, t := range slices.Concat(n.inputs, n.outputs) {
			names[t] = true
		}
	}
	delete(names, "")
	return names
}

// Weights are the initializers that some nodes use, by name, with the bytes that each takes in the file.
func (p *Parts) Weights(keep []int) map[string]int {
	used := p.used(keep)
	sizes := map[string]int{}
	for _, w := range p.weights {
		if used[w.name] {
			sizes[w.name] = len(w.message)
		}
	}
	return sizes
}

func (p *Parts) used(keep []int) map[string]bool {
	used := map[string]bool{}
	for _, i := range keep {
		for _, in := range p.nodes[i].inputs {
			used[in] = true
		}
	}
	delete(used, "")
	return used
}

// A Cut is a model of some of the nodes of another.
type Cut struct {
	Model           []byte
	Inputs, Outputs []tensor.Info
}

// Cut makes a model of some of the nodes, given in ascending order. What they use and none of them makes becomes an input, with the
// type and shape that the file tells of it; what none of them uses becomes an output, and what was one stays one. Initializers
// that nobody uses are dropped, and those named in hollow become inputs, without data. Its error is [ErrUntyped].
func (p *Parts) Cut(keep []int, hollow map[string]bool) (Cut, error) {
	var c Cut
	var graph []byte
	made, used := map[string]bool{}, p.used(keep)
	for _, i := range keep {
		graph = appendMessage(graph, 1, p.nodes[i].message)
		for _, out := range p.nodes[i].outputs {
			made[out] = true
		}
	}
	graph = appendMessage(graph, 2, p.name)
	given := map[string]bool{}
	for _, w := range p.weights {
		if !used[w.name] || made[w.name] || given[w.name] {
			continue
		}
		given[w.name] = true
		if hollow[w.name] {
			graph = appendMessage(graph, 11, info(w.name, w.kind, w.dims))
			c.Inputs = append(c.Inputs, tensor.Info{Name: w.name, Type: elementType(w.kind), Shape: w.dims})
		} else {
			graph = appendMessage(graph, 5, w.message)
		}
	}
	for _, i := range keep {
		for _, in := range p.nodes[i].inputs {
			if in == "" || made[in] || given[in] {
				continue
			}
			given[in] = true
			if p.types[in] == 0 {
				return Cut{}, fmt.Errorf("%w: %s", ErrUntyped, in)
			}
			graph = appendMessage(graph, 11, p.infoOf(in))
			c.Inputs = append(c.Inputs, tensor.Info{Name: in, Type: elementType(p.types[in])})
		}
	}
	for _, i := range keep {
		for _, out := range p.nodes[i].outputs {
			switch {
			case out == "":
			case !used[out] || p.outputs[out]:
				graph = appendMessage(graph, 12, p.infoOf(out))
				c.Outputs = append(c.Outputs, tensor.Info{Name: out, Type: elementType(p.types[out])})
			case p.infos[out] != nil:
				graph = appendMessage(graph, 13, p.infos[out])
			}
		}
	}
	c.Model = appendMessage(slices.Clone(p.around), 7, graph)
	return c, nil
}

// infoOf is the file's ValueInfoProto of a tensor, or one of its type alone.
func (p *Parts) infoOf(name string) []byte {
	if known := p.infos[name]; known != nil {
		return known
	}
	return info(name, p.types[name], nil)
}

// info makes a ValueInfoProto; without dims it says nothing of a shape.
func info(name string, kind uint64, dims []int64) []byte {
	tensor := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), kind)
	if dims != nil {
		var shape []byte
		for _, d := range dims {
			shape = appendMessage(shape, 1, protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(d)))
		}
		tensor = appendMessage(tensor, 2, shape)
	}
	b := appendMessage(nil, 1, []byte(name))
	if kind == 0 {
		return b
	}
	return appendMessage(b, 2, appendMessage(nil, 1, tensor))
}

func appendMessage(b []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), value)
}

// Types of TensorProto.DataType that operators fix by themselves.
const (
	typeFloat = 1
	typeUint8 = 2
	typeInt32 = 6
	typeInt64 = 7
	typeBool  = 9
)

// outputType is the type of a node's i-th output, by the rules of its operator; 0 where its inputs' are not known. Files tell the
// types of what lies between nodes, but quantizers don't of what they put there.
func (n part) outputType(i int, types map[string]uint64) uint64 {
	in := func(i int) uint64 {
		if i < len(n.inputs) {
			return types[n.inputs[i]]
		}
		return 0
	}
	switch n.op {
	case "Cast":
		return n.attribute("to", 3)
	case "Constant", "ConstantOfShape":
		if kind := n.attribute("value", 5, 2); kind != 0 || n.op == "Constant" {
			return kind
		}
		return typeFloat
	case "DynamicQuantizeLinear":
		return [...]uint64{typeUint8, typeFloat, typeUint8}[min(i, 2)]
	case "ConvInteger", "MatMulInteger":
		return typeInt32
	case "QuantizeLinear":
		if len(n.inputs) < 3 || n.inputs[2] == "" {
			return typeUint8
		}
		return in(2)
	case "DequantizeLinear", "QLinearConcat", "Where":
		return in(1)
	case "QLinearConv", "QLinearMatMul":
		return in(7)
	case "Shape", "Size", "ArgMax", "ArgMin", "NonZero":
		return typeInt64
	case "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not", "And", "Or", "Xor", "IsNaN", "IsInf":
		return typeBool
	case "TopK", "MaxPool":
		if i == 1 {
			return typeInt64
		}
	case "If", "Loop", "Scan":
		return 0
	}
	return in(0)
}

// attribute is the number at a path within the attribute of that name, 0 if there is none.
func (n part) attribute(name string, path ...protowire.Number) (v uint64) {
	// The message was read before, so that it has no errors left.
	fields(n.message, func(number protowire.Number, _, value []byte, _ uint64) error {
		if number == 5 && string(find(value, 1).bytes) == name {
			v = find(value, path...).number
		}
		return nil
	})
	return v
}

// A field's value: bytes of one that has a length, number of a varint.
type field struct {
	bytes  []byte
	number uint64
}

// find is the last value at a path of fields, zero where there is none.
func find(message []byte, path ...protowire.Number) (found field) {
	fields(message, func(number protowire.Number, _, value []byte, v uint64) error {
		if number == path[0] && len(path) == 1 {
			found = field{value, v}
		} else if number == path[0] {
			found = find(value, path[1:]...)
		}
		return nil
	})
	return found
}

// fields calls f with every field of a message in memory: whole is the field with its tag, value is nil of one without a
// length.
func fields(message []byte, f func(number protowire.Number, whole, value []byte, v uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeField(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		whole := message[:n:n]
		_, _, tag := protowire.ConsumeTag(whole)
		var value []byte
		var v uint64
		switch kind {
		case protowire.BytesType:
			value, _ = protowire.ConsumeBytes(whole[tag:])
			if value == nil {
				value = []byte{}
			}
		case protowire.VarintType:
			v, _ = protowire.ConsumeVarint(whole[tag:])
		}
		if err := f(number, whole, value, v); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}
