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
