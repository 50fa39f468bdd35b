package session_test

import (
	"slices"
	"testing"

	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dots is an image on which MoveNet finds something else than on a grey one.
func dots(seed uint32) tensor.Tensor {
	t := grey(0)
	for i, data := 0, t.Data.([]int32); i < len(data); i++ {
		seed = seed*1664525 + 1013904223
		data[i] = int32(seed >> 24)
	}
	return t
}

// However tensors reach the runtime and come back, the run gives the same numbers.
func TestBindings(t *testing.T) {
	s := openMoveNet(t)
	input := dots(1)
	run := func(in tensor.Tensor) []float32 {
		outputs, _, err := s.Run(in)
		require.NoError(t, err)
		return slices.Clone(outputs[0].Data.([]float32))
	}
	want, other := run(input), run(dots(2))
	require.NotEqual(t, want, other, "the inputs make a difference")

	b, err := s.Bind(input)
	require.NoError(t, err)
	defer b.Close()
	require.Len(t, b.Outputs, 1)
	assert.Equal(t, "output_0", b.Outputs[0].Name)
	assert.Equal(t, []int64{1, 1, 17, 3}, b.Outputs[0].Shape)
	got := b.Outputs[0].Data.([]float32)
	require.NoError(t, b.Run())
	assert.Equal(t, want, got)
	copy(input.Data.([]int32), dots(2).Data.([]int32))
	require.NoError(t, b.Run())
	assert.Equal(t, other, got, "it reads and writes in place")

	first, err := s.RunCopy(dots(1))
	require.NoError(t, err)
	second, err := s.RunCopy(dots(2))
	require.NoError(t, err)
	assert.Equal(t, want, first[0].Data, "a copy stays as it is in later runs")
	assert.Equal(t, other, second[0].Data)
	assert.Equal(t, want, run(dots(1)), "a plain run after that")
	assert.Equal(t, other, got, "and what is bound is untouched by other runs")

	b.Close()
	b.Close()
	assert.Equal(t, want, run(dots(1)), "the session outlives its binding")
}

// What can't be bound or run is an error, and the session goes on.
func TestBindErrors(t *testing.T) {
	s := openMoveNet(t)
	for _, test := range []struct {
		name  string
		input []tensor.Tensor
		want  string
	}{
		{"no input", nil, "bind: a run needs at least one input"},
		{"a scalar has no batch", []tensor.Tensor{{Name: "input", Data: []int32{1}}}, "bind: a run needs at least one input"},
		{"another name", []tensor.Tensor{{Name: "nosuch", Shape: []int64{1}, Data: []int32{1}}}, "bind input nosuch: "},
		{"a type that no model takes", []tensor.Tensor{{Name: "input", Shape: []int64{1}, Data: []complex64{1}}}, "bind input input: no tensors of []complex64"},
		{"fewer elements than its shape", []tensor.Tensor{{Name: "input", Shape: []int64{1, 192, 192, 3}, Data: []int32{1}}}, "bind input input: has 1 elements"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.Bind(test.input...)
			require.ErrorContains(t, err, test.want)
			_, _, err = s.Run(grey(0))
			require.NoError(t, err)
		})
	}
	two, err := s.Bind(grey(0).Repeat(2))
	if err == nil { // the runtime may see it at the run only
		defer two.Close()
		err = two.Run()
	}
	require.ErrorContains(t, err, "input")

	_, err = s.RunCopy(grey(0).Repeat(2))
	require.ErrorContains(t, err, "Got invalid dimensions for input: input")
	_, err = s.RunCopy(grey(0))
	require.NoError(t, err, "the run after that")
}

// An output of open shape can't be bound before a run has told it, but for the batch, which is the input's.
func TestBindOpenShapes(t *testing.T) {
	for _, row := range []struct {
		why   string
		shape []int64
		want  string
	}{
		{"the batch is the input's", []int64{-1, 1, 17, 3}, ""},
		{"another dimension", []int64{1, 1, -1, 3}, "bind output output_0: shape [1 1 -1 3] is open, and memory can't be bound before it is known"},
	} {
		o := options("movenet-lightning.onnx", "cpu")
		o.Outputs[0].Shape = row.shape
		s, _, err := session.Open(o)
		require.NoError(t, err)
		b, err := s.Bind(grey(0))
		if row.want != "" {
			require.EqualError(t, err, row.want, row.why)
		} else {
			require.NoError(t, err, row.why)
			require.NoError(t, b.Run())
			assert.Equal(t, []int64{1, 1, 17, 3}, b.Outputs[0].Shape)
			assert.Equal(t, row.shape, o.Outputs[0].Shape, "the session's own description stays")
			b.Close()
		}
		require.NoError(t, s.Close())
	}
	o := options("movenet-lightning.onnx", "cpu")
	o.Outputs[0].Type = "float16"
	s, _, err := session.Open(o)
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Bind(grey(0))
	require.EqualError(t, err, "bind output output_0: no memory of type float16")
}

// What an app sets for speed changes no number.
func TestTuning(t *testing.T) {
	want, _, err := openMoveNet(t).Run(dots(1))
	require.NoError(t, err)
	for _, tuning := range []session.Tuning{{Quiet: true}, {NoArena: true, Quiet: true}, {NoSpin: true, Quiet: true}, {NoArena: true, NoSpin: true}} {
		for _, threads := range []int{1, 2} {
			o := options("movenet-lightning.onnx", "cpu")
			o.Tuning, o.Threads = tuning, threads
			s, _, err := session.Open(o)
			require.NoError(t, err, "%+v", tuning)
			for range 2 { // the second uses what the first left
				got, _, err := s.Run(dots(1))
				require.NoError(t, err, "%+v", tuning)
				assert.Equal(t, want[0].Data, got[0].Data, "%+v, %d threads", tuning, threads)
			}
			require.NoError(t, s.Close())
		}
	}
}
