package tensor_test

import (
	"encoding/json"
	"testing"

	"github.com/posetest/suite/posetest/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInfo(t *testing.T) {
	for _, row := range []struct {
		why    string
		shape  []int64
		want   string
		static bool
	}{
		{"every dimension is known", []int64{1, 3, 640, 640}, "images float32 [1,3,640,640]", true},
		{"a free batch", []int64{-1, 3, 640, 640}, "images float32 [?,3,640,640]", false},
		{"the last one free", []int64{1, -1}, "images float32 [1,?]", false},
		{"an empty tensor has a known shape", []int64{0, 3}, "images float32 [0,3]", true},
		{"a scalar has no dimensions", nil, "images float32 []", true},
	} {
		t.Run(row.why, func(t *testing.T) {
			info := tensor.Info{Name: "images", Type: "float32", Shape: row.shape}
			assert.Equal(t, row.want, info.String())
			assert.Equal(t, row.static, info.Static())
		})
	}
}

// models.json holds them.
func TestInfoJSON(t *testing.T) {
	const text = `{"name":"images","type":"float32","shape":[-1,3,640,640]}`
	var info tensor.Info
	require.NoError(t, json.Unmarshal([]byte(text), &info))
	assert.Equal(t, tensor.Info{Name: "images", Type: "float32", Shape: []int64{-1, 3, 640, 640}}, info)
	back, err := json.Marshal(info)
	require.NoError(t, err)
	assert.Equal(t, text, string(back))
}

// Copies have memory of their own, and a batch of them is longer in its first dimension only.
func TestRepeat(t *testing.T) {
	for _, row := range []struct {
		why   string
		in    tensor.Tensor
		n     int
		shape []int64
		data  any
	}{
		{"a batch of two", tensor.Tensor{Shape: []int64{1, 2}, Data: []float32{1, 2}}, 2, []int64{2, 2}, []float32{1, 2, 1, 2}},
		{"a batch of a batch", tensor.Tensor{Shape: []int64{2, 1}, Data: []int32{1, 2}}, 3, []int64{6, 1}, []int32{1, 2, 1, 2, 1, 2}},
		{"one, which is a clone", tensor.Tensor{Shape: []int64{1, 2}, Data: []int64{1, 2}}, 1, []int64{1, 2}, []int64{1, 2}},
		{"bytes", tensor.Tensor{Shape: []int64{1}, Data: []uint8{7}}, 2, []int64{2}, []uint8{7, 7}},
		{"a scalar once", tensor.Tensor{Data: []float32{7}}, 1, nil, []float32{7}},
		{"nothing at all", tensor.Tensor{}, 2, nil, nil},
	} {
		t.Run(row.why, func(t *testing.T) {
			assert.Equal(t, row.in, row.in.Clone())
			got := row.in.Repeat(row.n)
			assert.Equal(t, row.shape, got.Shape)
			assert.Equal(t, row.data, got.Data)
			if len(row.in.Shape) > 0 {
				row.in.Shape[0] = 99
				assert.Equal(t, row.shape, got.Shape, "its shape is its own")
			}
			switch data := row.in.Data.(type) {
			case []float32:
				data[0] = 99
			case []int32:
				data[0] = 99
			case []int64:
				data[0] = 99
			case []uint8:
				data[0] = 99
			}
			assert.Equal(t, row.data, got.Data, "its memory is its own")
		})
	}
}
