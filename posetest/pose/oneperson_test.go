package pose

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// MoveNet's input: a photograph twice as wide as high fills the width, with
// black above and below, in whole numbers.
func TestMoveNetInput(t *testing.T) {
	white := &Image{384, 192, make([]uint8, 3*384*192)}
	for i := range white.Pix {
		white.Pix[i] = uint8(200 + i%3)
	}
	input, err := pipelineOf(t, "movenet").Preprocess(white)
	require.NoError(t, err)
	for i, v := range input.Data.([]int32) {
		y, want := i/(3*192), int32(0)
		if y >= 48 && y < 144 {
			want = int32(200 + i%3)
		}
		require.Equal(t, want, v, "row %d", y)
	}
}

// tf.image.resize_with_pad rounds down where Ultralytics rounds: 640×425 is
// 127.5 high in 192 and lies at 32.25.
func TestMoveNetRoundsDown(t *testing.T) {
	l := letterbox{canvas: canvas{"input", 192, 192}}
	l.tensorflow(generated(640, 425))
	assert.Equal(t, [4]int{0, 32, 192, 127}, [4]int{l.left, l.top, l.scaled.width, l.scaled.height})
	x, y := l.back(96, 32+127)
	assert.InDelta(t, 320, x, 1e-9)
	assert.InDelta(t, 425, y, 1e-9)
}

func TestMoveNetDecode(t *testing.T) {
	p := pipelineOf(t, "movenet")
	_, err := p.Preprocess(generated(384, 192))
	require.NoError(t, err)
	outputs := outputsOf("movenet")
	data := outputs[0].Data.([]float32)
	for j := range 17 {
		data[3*j], data[3*j+1], data[3*j+2] = 0.5, float32(j)/32, 0.5
	}
	data[2], data[3*16+2] = 0.25, 0.75 // the nose is at the bar, the mean at 0.5
	persons, err := p.Decode(outputs, Options{})
	require.NoError(t, err)
	require.Len(t, persons, 1)
	assert.InDelta(t, 0.5, persons[0].Score, 1e-9)
	for j, k := range persons[0].Keypoints {
		assert.Equal(t, Keypoint{float64(j) * 12, 96, float64(data[3*j+2])}, k)
	}
	assert.Equal(t, [4]float64{12, 96, 192, 96}, persons[0].Box, "of the joints that exceed the bar")

	persons, err = p.Decode(outputs, Options{Confidence: 0.5625})
	require.NoError(t, err)
	assert.Empty(t, persons)
}

// The whole photograph, 192×256, is the box; widened by a quarter it is
// 240×320 from (-24, -32), and a cell of the 48×64 map 5 pixels.
func TestHeatmapDecode(t *testing.T) {
	p := pipelineOf(t, "heatmap")
	_, err := p.Preprocess(generated(192, 256))
	require.NoError(t, err)
	outputs := outputsOf("heatmap")
	maps := outputs[0].Data.([]float32)
	set := func(joint, x, y int, v float32) { maps[joint*64*48+y*48+x] = v }
	for j := range 17 {
		set(j, 20, 30, 0.5)
	}
	set(1, 21, 30, 0.25) // a quarter to the right
	set(2, 20, 29, 0.25) // a quarter up
	set(3, 20, 30, 0)
	set(3, 47, 63, 0.75) // in the corner, where nothing is moved
	set(3, 46, 63, 0.5)
	set(4, 30, 40, 0.5) // as high as the first, which stays
	persons, err := p.Decode(outputs, Options{})
	require.NoError(t, err)
	require.Len(t, persons, 1)
	assert.InDelta(t, (16*0.5+0.75)/17, persons[0].Score, 1e-9)
	assert.Equal(t, [4]float64{0, 0, 192, 256}, persons[0].Box)
	for j, want := range map[int]Keypoint{
		0:  {76, 118, 0.5},
		1:  {76 + 1.25, 118, 0.5},
		2:  {76, 118 - 1.25, 0.5},
		3:  {47*5 - 24, 63*5 - 32, 0.75},
		4:  {76, 118, 0.5},
		16: {76, 118, 0.5},
	} {
		assert.Equal(t, want, persons[0].Keypoints[j], Joints[j])
	}
}

// As for the heatmap, with two bins a pixel of the input, 192×256.
func TestSimCCDecode(t *testing.T) {
	p := pipelineOf(t, "simcc")
	_, err := p.Preprocess(generated(192, 256))
	require.NoError(t, err)
	outputs := outputsOf("simcc")
	xs, ys := outputs[0].Data.([]float32), outputs[1].Data.([]float32)
	for j := range 17 {
		xs[j*384+160+j], ys[j*512+256] = 0.5, 0.75
	}
	persons, err := p.Decode(outputs, Options{})
	require.NoError(t, err)
	require.Len(t, persons, 1)
	assert.InDelta(t, 0.5, persons[0].Score, 1e-9)
	for j, k := range persons[0].Keypoints {
		assert.InDelta(t, float64(160+j)/2*1.25-24, k.X, 1e-9)
		assert.InDelta(t, 256/2*1.25-32, k.Y, 1e-9)
		assert.Equal(t, 0.5, k.Score, "the lesser of both")
	}
}

// PreprocessBox against the same arithmetic in floating point.
func TestTopDownCrop(t *testing.T) {
	img := generated(100, 80)
	p := pipelineOf(t, "heatmap").(TopDown)
	for _, box := range [][4]float64{{10, 20, 60, 70}, {-30, -20, 40, 90}, {0, 0, 100, 80}, {99, 79, 99.5, 79.25}, {500, 500, 600, 600}} {
		input, err := p.PreprocessBox(img, box)
		require.NoError(t, err)
		data := input.Data.([]float32)
		w, h := box[2]-box[0], box[3]-box[1]
		w, h = max(w, h*0.75), max(h, w/0.75)
		x0, y0 := (box[0]+box[2])/2-1.25*w/2, (box[1]+box[3])/2-1.25*h/2
		for y := range 256 {
			for x := range 192 {
				sx, sy := x0+float64(x)*1.25*w/192, y0+float64(y)*1.25*h/256
				for c, mean := range []float64{123.675, 116.28, 103.53} {
					want := bilinearAt(img, sx, sy, c)
					got := float64(data[c*192*256+y*192+x])*[]float64{58.395, 57.12, 57.375}[c] + mean
					if math.Abs(got-want) > 1.1 { // a byte, and the weights' 11 bits
						t.Fatalf("box %v (%d, %d) channel %d: %.2f, want %.2f", box, x, y, c, got, want)
					}
				}
			}
		}
	}
}

func bilinearAt(img *Image, x, y float64, c int) float64 {
	sum := 0.0
	x0, y0 := math.Floor(x), math.Floor(y)
	for _, d := range [][2]float64{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
		px, py := x0+d[0], y0+d[1]
		if px < 0 || py < 0 || px >= float64(img.Width) || py >= float64(img.Height) {
			continue
		}
		sum += (1 - math.Abs(x-px)) * (1 - math.Abs(y-py)) * float64(img.row(int(py))[3*int(px)+c])
	}
	return sum
}

func TestTopDownBadBox(t *testing.T) {
	p := pipelineOf(t, "simcc").(TopDown)
	for _, box := range [][4]float64{{}, {10, 10, 10, 20}, {10, 20, 20, 10}, {math.NaN(), 0, 1, 1}, {0, 0, math.Inf(1), 1}, {-math.MaxFloat64, 0, math.MaxFloat64, 1}} {
		_, err := p.PreprocessBox(generated(20, 20), box)
		assert.ErrorContains(t, err, "has no area: give x0, y0, x1, y1 with x0 < x1 and y0 < y1")
		_, err = p.Decode(outputsOf("simcc"), Options{})
		assert.EqualError(t, err, errNotPreprocessed.Error())
	}
}
