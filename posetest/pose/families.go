package pose

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// families are the kinds of model that the suite knows.
var families = []Family{
	&family{
		name:    "yolov8-pose",
		input:   want{"float32", []int64{1, 3, height, width}},
		outputs: []want{{"float32", []int64{1, 56, boxes}}},
		build:   newYOLO,
	},
	&family{
		name:    "yolo-pose-nms",
		input:   want{"float32", []int64{1, 3, height, width}},
		outputs: []want{{"float32", []int64{1, boxes, 57}}},
		build:   newYOLOWithNMS,
	},
	&family{
		name:    "movenet",
		input:   want{"int32", []int64{1, height, width, 3}},
		outputs: []want{{"float32", []int64{1, 1, 17, 3}}},
		build:   newMoveNet,
		single:  true,
	},
	&family{
		name:    "heatmap",
		input:   want{"float32", []int64{1, 3, height, width}},
		outputs: []want{{"float32", []int64{1, 17, mapHeight, mapWidth}}},
		build:   newHeatmap,
		single:  true,
	},
	&family{
		name:    "simcc",
		input:   want{"float32", []int64{1, 3, height, width}},
		outputs: []want{{"float32", []int64{1, 17, binsX}}, {"float32", []int64{1, 17, binsY}}},
		build:   newSimCC,
		single:  true,
	},
}

// Dimensions that a family leaves to the model.
const (
	height = -1 - iota
	width
	boxes
	mapHeight
	mapWidth
	binsX
	binsY
)

var dimensionNames = map[int64]string{
	height: "height", width: "width", boxes: "boxes",
	mapHeight: "map height", mapWidth: "map width", binsX: "bins of x", binsY: "bins of y",
}

// A family is told by the type and shape of its models' input and outputs.
type family struct {
	name    string
	input   want
	outputs []want
	build   func(canvas) Pipeline
	single  bool
}

// A canvas is what a photograph is drawn on: a model's input.
type canvas struct {
	name          string
	width, height int
}

// or gives c with a size for what the model leaves free.
func (c canvas) or(width, height int) canvas {
	if c.width == 0 {
		c.width = width
	}
	if c.height == 0 {
		c.height = height
	}
	return c
}

// A want is an element type and a shape; dimensions below 0 are the model's choice.
type want struct {
	typ   string
	shape []int64
}

func (w want) String() string {
	dims := make([]string, len(w.shape))
	for i, d := range w.shape {
		if dims[i] = dimensionNames[d]; d >= 0 {
			dims[i] = fmt.Sprint(d)
		}
	}
	return w.typ + " [" + strings.Join(dims, ",") + "]"
}

func (w want) fits(ti TensorInfo) bool {
	if ti.Type != w.typ || len(ti.Shape) != len(w.shape) {
		return false
	}
	for i, d := range ti.Shape {
		if d != -1 && (d < 1 || w.shape[i] > 0 && d != w.shape[i]) {
			return false
		}
	}
	return true
}

func (f *family) Name() string { return f.name }

func (f *family) Single() bool { return f.single }

// maxInput bounds a model's input: 67 million elements, far beyond any pose model.
const maxInput = 1 << 26

func (f *family) Check(inputs, outputs []TensorInfo) error {
	if !f.fits(inputs, outputs) {
		return fmt.Errorf("family %s wants input %v and output %s, but the model has input %s and output %s: %s",
			f.name, f.input, join(f.outputs), join(inputs), join(outputs), remedy(inputs, outputs))
	}
	size := int64(1)
	for _, d := range inputs[0].Shape {
		if size *= max(d, 1); size > maxInput || d > maxInput {
			return fmt.Errorf("model's input %v has more than %d elements: export it for a smaller photograph", inputs[0], maxInput)
		}
	}
	return nil
}

func (f *family) fits(inputs, outputs []TensorInfo) bool {
	if len(inputs) != 1 || !f.input.fits(inputs[0]) || len(outputs) != len(f.outputs) {
		return false
	}
	for i, o := range outputs {
		if !f.outputs[i].fits(o) {
			return false
		}
	}
	return true
}

func remedy(inputs, outputs []TensorInfo) string {
	var fitting []string
	for _, f := range families {
		if f.(*family).fits(inputs, outputs) {
			fitting = append(fitting, f.Name())
		}
	}
	if len(fitting) == 0 {
		return "no known family has such models, export it for one of " + strings.Join(Families(), ", ")
	}
	return "it looks like " + strings.Join(fitting, " or ") + ", name that as its family"
}

func join[T fmt.Stringer](list []T) string {
	if len(list) == 0 {
		return "none"
	}
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = v.String()
	}
	return strings.Join(parts, " and ")
}

func (f *family) NewPipeline(inputs, outputs []TensorInfo) (Pipeline, error) {
	if err := f.Check(inputs, outputs); err != nil {
		return nil, err
	}
	size := map[int64]int{}
	for i, d := range inputs[0].Shape {
		size[f.input.shape[i]] = int(max(d, 0))
	}
	return f.build(canvas{inputs[0].Name, size[width], size[height]}), nil
}

// or gives o with the defaults d for its zero values.
func (o Options) or(d Options) (Options, error) {
	if !(o.Confidence >= 0 && o.Confidence < 1) || !(o.IoU >= 0 && o.IoU <= 1) || o.Max < 0 {
		return o, fmt.Errorf("options %+v: give a confidence from 0 to below 1, an IoU from 0 to 1 and a maximum of 0 or more", o)
	}
	if o.Confidence == 0 {
		o.Confidence = d.Confidence
	}
	if o.IoU == 0 {
		o.IoU = d.IoU
	}
	if o.Max == 0 {
		o.Max = d.Max
	}
	return o, nil
}

var errNotPreprocessed = errors.New("no photograph to decode for: call Preprocess first, and stop where it fails")

// values gives an output's elements; -1 in shape stands for any size.
func values(outputs []Tensor, i, of int, shape ...int64) ([]float32, error) {
	if len(outputs) != of {
		return nil, fmt.Errorf("model gave %d outputs, want %d: run it with all of the family's outputs", len(outputs), of)
	}
	t := outputs[i]
	data, ok := t.Data.([]float32)
	if !ok {
		return nil, fmt.Errorf("output %s is %T, want []float32: export the model with float32 outputs", t.Name, t.Data)
	}
	fits, size := len(t.Shape) == len(shape), 1.0 // a float64 cannot wrap around to len(data)
	for j, want := range shape {
		if fits {
			d := t.Shape[j]
			fits = d >= 0 && (want == -1 || d == want)
			size *= float64(d)
		}
	}
	if !fits || size != float64(len(data)) {
		return nil, fmt.Errorf("output %s has shape %s and %d elements, want %s with -1 for any: name the family that the model is of",
			t.Name, shapeString(t.Shape), len(data), shapeString(slices.Clone(shape)))
	}
	return data, nil
}

func finite(values ...float32) bool {
	for _, v := range values {
		if v-v != 0 {
			return false
		}
	}
	return true
}
