// Package tensor is the plain value that passes between a model's file, its session and its decoder.
//
//	t := tensor.Tensor{Name: "images", Shape: []int64{1, 3, 640, 640}, Data: make([]float32, 3*640*640)}
//	info := tensor.Info{Name: "images", Type: "float32", Shape: t.Shape}
//	fmt.Println(info) // images float32 [1,3,640,640]
package tensor

import (
	"slices"
	"strconv"
	"strings"
)

// A Tensor is one input or output of a model. Data is a []float32, []int32, []int64 or []uint8 in row-major order.
type Tensor struct {
	Name  string
	Shape []int64
	Data  any
}

// Clone is the tensor in memory of its own.
func (t Tensor) Clone() Tensor { return t.Repeat(1) }

// Repeat is n copies of the tensor one after the other, joined along its first dimension.
func (t Tensor) Repeat(n int) Tensor {
	t.Shape = slices.Clone(t.Shape)
	if n != 1 && len(t.Shape) > 0 {
		t.Shape[0] *= int64(n)
	}
	switch data := t.Data.(type) {
	case []float32:
		t.Data = slices.Repeat(data, n)
	case []int32:
		t.Data = slices.Repeat(data, n)
	case []int64:
		t.Data = slices.Repeat(data, n)
	case []uint8:
		t.Data = slices.Repeat(data, n)
	}
	return t
}

// Info describes an input or output without its data. A free dimension is -1.
type Info struct {
	Name  string  `json:"name"`
	Type  string  `json:"type"` // "float32", "int32", …
	Shape []int64 `json:"shape"`
}

// String is "images float32 [1,3,640,640]", a free dimension as "?".
func (i Info) String() string {
	dims := make([]string, len(i.Shape))
	for k, d := range i.Shape {
		if dims[k] = strconv.FormatInt(d, 10); d < 0 {
			dims[k] = "?"
		}
	}
	return i.Name + " " + i.Type + " [" + strings.Join(dims, ",") + "]"
}

// Static tells whether every dimension is known.
func (i Info) Static() bool {
	for _, d := range i.Shape {
		if d < 0 {
			return false
		}
	}
	return true
}
