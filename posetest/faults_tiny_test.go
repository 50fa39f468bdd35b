//go:build linux

package posetest_test

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// tinyModel is a model of MoveNet's family of some hundred bytes, so that nearly every byte matters: the picture's mean
// times nothing, and weights that are the person. With a location its weights are in that file instead.
func tinyModel(location string) []byte {
	const float32s, int32s = 1, 6
	weights := protoJoin(protoNumber(1, 1), protoNumber(1, 1), protoNumber(1, 17), protoNumber(1, 3), protoNumber(2, float32s), protoBytes(8, []byte("person")))
	if location == "" {
		weights = append(weights, protoBytes(9, tinyPerson())...)
	} else {
		for _, entry := range [][2]string{{"location", location}, {"length", "204"}} {
			weights = append(weights, protoBytes(13, protoBytes(1, []byte(entry[0])), protoBytes(2, []byte(entry[1])))...)
		}
		weights = append(weights, protoNumber(14, 1)...) // EXTERNAL
	}
	graph := protoJoin(
		protoNode("Cast", "input", "", "picture", protoAttribute("to", 2, protoNumber(3, float32s))),
		protoNode("ReduceMean", "picture", "", "mean", protoAttribute("axes", 7, protoNumber(8, 1), protoNumber(8, 2)), protoAttribute("keepdims", 2, protoNumber(3, 1))),
		protoNode("Mul", "mean", "nothing", "zero"),
		protoNode("Add", "zero", "person", "output_0"),
		protoBytes(2, []byte("tiny")),
		protoBytes(5, protoNumber(1, 1), protoNumber(2, float32s), protoBytes(8, []byte("nothing")), protoBytes(9, make([]byte, 4))),
		protoBytes(5, weights),
		protoValue(11, "input", int32s, 1, 192, 192, 3),
		protoValue(12, "output_0", float32s, 1, 1, 17, 3))
	return protoJoin(protoNumber(1, 8), protoBytes(2, []byte("posetest")), protoBytes(7, graph), protoBytes(8, protoNumber(2, 17)))
}

// tinyPerson is the weights: y, x and score of 17 joints.
func tinyPerson() []byte {
	var b []byte
	for i := range 17 {
		for _, v := range []float32{0.1 + 0.05*float32(i), 0.5, 0.9} {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b
}

// protoNode is a NodeProto of a graph, with one input or two.
func protoNode(op, first, second, output string, attributes ...[]byte) []byte {
	n := protoBytes(1, []byte(first))
	if second != "" {
		n = append(n, protoBytes(1, []byte(second))...)
	}
	return protoBytes(1, n, protoBytes(2, []byte(output)), protoBytes(3, []byte(op+"_1")), protoBytes(4, []byte(op)), protoJoin(attributes...))
}

// protoAttribute is an AttributeProto of a NodeProto; kind is its AttributeType.
func protoAttribute(name string, kind uint64, value ...[]byte) []byte {
	return protoBytes(5, protoBytes(1, []byte(name)), protoJoin(value...), protoNumber(20, kind))
}

// protoValue is a ValueInfoProto of a tensor.
func protoValue(of protowire.Number, name string, kind uint64, dims ...uint64) []byte {
	var shape []byte
	for _, d := range dims {
		shape = append(shape, protoBytes(1, protoNumber(1, d))...)
	}
	return protoBytes(of, protoBytes(1, []byte(name)), protoBytes(2, protoBytes(1, protoNumber(1, kind), protoBytes(2, shape))))
}

// protoBytes is a field that holds bytes or a message.
func protoBytes(as protowire.Number, of ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, as, protowire.BytesType), protoJoin(of...))
}

// protoNumber is a field that holds a number.
func protoNumber(of protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, of, protowire.VarintType), v)
}

func protoJoin(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
