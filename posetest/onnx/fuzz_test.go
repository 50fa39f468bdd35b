package onnx_test

import (
	"bytes"
	"testing"

	"github.com/posetest/suite/posetest/onnx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A cut of all nodes can be cut again, and that changes nothing more.
func FuzzCutAgain(f *testing.F) {
	f.Add(chain())
	f.Add(small())
	f.Add(join(chain(), chain()))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := onnx.ReadParts(b)
		if err != nil {
			return
		}
		once, err := whole(parts)
		if err != nil {
			assert.ErrorIs(t, err, onnx.ErrUntyped)
			return
		}
		again, err := onnx.ReadParts(once.Model)
		require.NoError(t, err, "what was cut is read")
		require.Equal(t, parts.Nodes(), again.Nodes())
		twice, err := whole(again)
		require.NoError(t, err, "the types of a cut are known")
		assert.True(t, bytes.Equal(once.Model, twice.Model), "cut again:\n%x\n%x", once.Model, twice.Model)
		assert.Equal(t, once.Inputs, twice.Inputs)
		assert.Equal(t, once.Outputs, twice.Outputs)
	})
}

// whole is a cut of all nodes.
func whole(parts *onnx.Parts) (onnx.Cut, error) {
	keep := make([]int, parts.Nodes())
	for i := range keep {
		keep[i] = i
	}
	return parts.Cut(keep, nil)
}

// The dimensions of an input, too, are counted while they are read, and not when all of a file is in memory.
func TestReadManyDimensionsOfAnInput(t *testing.T) {
	shape := bytes.Repeat([]byte("\x0a\x00"), 10<<20)
	model := join(varint(1, 8), text(7, text(11, text(1, "x"), text(2, text(1, varint(1, 1), text(2, shape)))), info(12, "y", 1)), text(8, varint(2, 17)))
	var err error
	allocated := allocates(func() { _, err = read(model) })
	require.ErrorContains(t, err, "larger or deeper than any")
	assert.Less(t, allocated, uint64(64<<20), "bytes")
}
