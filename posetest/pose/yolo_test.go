package pose

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A box is one of a YOLO output: centre and size in pixels of the input, joint
// j at the centre plus j in both directions.
type box struct{ x, y, w, h, score float32 }

func raw(boxes ...box) []Tensor {
	n := len(boxes)
	data := make([]float32, 56*n)
	for i, b := range boxes {
		for row, v := range []float32{b.x, b.y, b.w, b.h, b.score} {
			data[row*n+i] = v
		}
		for j := range 17 {
			data[(5+3*j)*n+i] = b.x + float32(j)
			data[(6+3*j)*n+i] = b.y + float32(j)
			data[(7+3*j)*n+i] = float32(j) / 17
		}
	}
	return []Tensor{{Name: "output0", Shape: []int64{1, 56, int64(n)}, Data: data}}
}

func suppressed(boxes ...box) []Tensor {
	var data []float32
	for _, b := range boxes {
		data = append(data, b.x-b.w/2, b.y-b.h/2, b.x+b.w/2, b.y+b.h/2, b.score, 0)
		for j := range 17 {
			data = append(data, b.x+float32(j), b.y+float32(j), float32(j)/17)
		}
	}
	return []Tensor{{Name: "output0", Shape: []int64{1, int64(len(boxes)), 57}, Data: data}}
}

// From the input back to the photograph: 320×160 doubles, with bars of 160 above and below.
func TestYOLOMapsBack(t *testing.T) {
	for name, outputs := range map[string][]Tensor{
		"yolov8-pose":   raw(box{100, 260, 40, 80, 0.5}),
		"yolo-pose-nms": suppressed(box{}, box{100, 260, 40, 80, 0.5}),
	} {
		p := pipelineOf(t, name)
		_, err := p.Preprocess(generated(320, 160))
		require.NoError(t, err)
		persons, err := p.Decode(outputs, Options{})
		require.NoError(t, err)
		require.Len(t, persons, 1, name)
		assert.Equal(t, 0.5, persons[0].Score)
		assert.Equal(t, [4]float64{40, 30, 60, 70}, persons[0].Box)
		for j, k := range persons[0].Keypoints {
			assert.Equal(t, Keypoint{50 + float64(j)/2, 50 + float64(j)/2, float64(float32(j) / 17)}, k)
		}
	}
}

func TestYOLOChooses(t *testing.T) {
	// Boxes 100 wide and high; beside each other by 10, their IoU is 90/110 = 0.818, by 20 it is 80/120 = 0.667, by 25 75/125 = 0.6.
	at := func(x, score float32) box { return box{x, 300, 100, 100, score} }
	for why, row := range map[string]struct {
		boxes []box
		opt   Options
		want  []float64
		graph []float64 // with NMS in the graph, nothing more is suppressed
	}{
		"the best first": {[]box{at(100, 0.5), at(300, 0.75), at(500, 0.625)}, Options{},
			[]float64{0.75, 0.625, 0.5}, []float64{0.75, 0.625, 0.5}},
		"the confidence must be exceeded": {[]box{at(100, 0.25), at(300, 0.3125)}, Options{}, []float64{0.3125}, []float64{0.3125}},
		"another confidence":              {[]box{at(100, 0.5), at(300, 0.75)}, Options{Confidence: 0.5}, []float64{0.75}, []float64{0.75}},
		"more overlap than 0.7 goes":      {[]box{at(100, 0.5), at(110, 0.75)}, Options{}, []float64{0.75}, []float64{0.75, 0.5}},
		"less stays":                      {[]box{at(100, 0.5), at(120, 0.75)}, Options{}, []float64{0.75, 0.5}, []float64{0.75, 0.5}},
		"another IoU":                     {[]box{at(100, 0.5), at(120, 0.75)}, Options{IoU: 0.6}, []float64{0.75}, []float64{0.75, 0.5}},
		"as much as the IoU stays":        {[]box{at(100, 0.5), at(125, 0.75)}, Options{IoU: 0.6}, []float64{0.75, 0.5}, []float64{0.75, 0.5}},
		"what is suppressed suppresses nothing": {[]box{at(100, 0.75), at(115, 0.625), at(130, 0.5)}, Options{},
			[]float64{0.75, 0.5}, []float64{0.75, 0.625, 0.5}},
		"two at most":           {[]box{at(100, 0.5), at(300, 0.75), at(500, 0.625)}, Options{Max: 2}, []float64{0.75, 0.625}, []float64{0.75, 0.625}},
		"boxes without an area": {[]box{{100, 100, 0, 0, 0.5}, {100, 100, 0, 0, 0.75}}, Options{}, []float64{0.75, 0.5}, []float64{0.75, 0.5}},
		"a score above 1, as a quantized model may give": {[]box{at(100, 1.0625)}, Options{}, []float64{1.0625}, []float64{1.0625}},
		"no boxes": {nil, Options{}, nil, nil},
	} {
		for name, of := range map[string]struct {
			outputs []Tensor
			want    []float64
		}{"yolov8-pose": {raw(row.boxes...), row.want}, "yolo-pose-nms": {suppressed(row.boxes...), row.graph}} {
			t.Run(why+"/family="+name, func(t *testing.T) {
				p := pipelineOf(t, name)
				_, err := p.Preprocess(generated(640, 640))
				require.NoError(t, err)
				persons, err := p.Decode(of.outputs, row.opt)
				require.NoError(t, err)
				var scores []float64
				for _, person := range persons {
					scores = append(scores, person.Score)
				}
				assert.Equal(t, of.want, scores)
			})
		}
	}
}

// Of equal scores the output's order decides, so that a run repeats itself.
func TestYOLOEverythingFound(t *testing.T) {
	boxes := make([]box, 8400)
	for i := range boxes {
		boxes[i] = box{float32(i%100) * 6, float32(i/100) * 6, 5, 5, 0.5}
	}
	p := pipelineOf(t, "yolov8-pose")
	_, err := p.Preprocess(generated(640, 640))
	require.NoError(t, err)
	persons, err := p.Decode(raw(boxes...), Options{})
	require.NoError(t, err)
	require.Len(t, persons, 300)
	for i, person := range persons {
		assert.Equal(t, float64(boxes[i].x), person.Keypoints[0].X)
	}
	persons, err = p.Decode(raw(boxes...), Options{Max: 10000})
	require.NoError(t, err)
	require.Len(t, persons, 8400)
	withNMS := pipelineOf(t, "yolo-pose-nms")
	_, err = withNMS.Preprocess(generated(640, 640))
	require.NoError(t, err)
	persons, err = withNMS.Decode(suppressed(boxes...), Options{})
	require.NoError(t, err)
	require.Len(t, persons, 300, "of an export that keeps all")
	allTheSame := make([]box, 8400)
	for i := range allTheSame {
		allTheSame[i] = box{320, 320, 50, 90, 0.875}
	}
	persons, err = p.Decode(raw(allTheSame...), Options{})
	require.NoError(t, err)
	require.Len(t, persons, 1)
}

// One bad number is an error where it makes a person, and only there.
func TestYOLONotFinite(t *testing.T) {
	good, low := box{100, 100, 50, 50, 0.5}, box{300, 300, 50, 50, 0.1}
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for why, row := range map[string]struct {
		outputs []Tensor
		want    string
	}{
		"score":              {raw(good, box{300, 300, 50, 50, nan}), "has a detection with score NaN"},
		"box":                {raw(good, box{300, inf, 50, 50, 0.5}), "has a detection with score 0.5 and box [275 -Inf 325 -Inf]"},
		"box of low score":   {raw(good, box{300, nan, 50, 50, 0.1}), ""},
		"joint":              {with(raw(good, low), 2*(5+3*9), nan), "has a person whose left_wrist is at NaN, 109 with score 0.5294"},
		"joint's score":      {with(raw(good, low), 2*(7+3*16), inf), "whose right_ankle is at 116, 116 with score -Inf"},
		"joint of low score": {with(raw(good, low), 2*(5+3*9)+1, nan), ""},
	} {
		t.Run(why, func(t *testing.T) {
			p := pipelineOf(t, "yolov8-pose")
			_, err := p.Preprocess(generated(640, 640))
			require.NoError(t, err)
			persons, err := p.Decode(row.outputs, Options{})
			if row.want == "" {
				require.NoError(t, err)
				assert.Len(t, persons, 1)
				return
			}
			assert.ErrorContains(t, err, row.want)
		})
	}
}

func with(outputs []Tensor, at int, v float32) []Tensor {
	outputs[0].Data.([]float32)[at] = v
	return outputs
}
