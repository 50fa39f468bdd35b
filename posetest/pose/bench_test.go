package pose

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the project promises: a decoded 640×480 photograph becomes YOLO's input
// and 20 persons in half the time that NumPy and OpenCV take on one thread.
func BenchmarkYOLO(b *testing.B) {
	for _, size := range [][2]int{{640, 480}, {500, 375}, {1920, 1080}, {1280, 960}} {
		b.Run(fmt.Sprintf("stage=both/photo=%dx%d", size[0], size[1]), func(b *testing.B) {
			p := pipelineOf(b, "yolov8-pose")
			img := generated(size[0], size[1])
			outputs := []Tensor{crowd(20)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Preprocess(img); err != nil {
					b.Fatal(err)
				}
				if persons, err := p.Decode(outputs, Options{}); err != nil || len(persons) != 20 {
					b.Fatal(len(persons), err)
				}
			}
		})
	}
}

func BenchmarkPreprocess(b *testing.B) {
	img := generated(640, 480)
	for _, name := range Families() {
		b.Run("family="+name, func(b *testing.B) {
			p := pipelineOf(b, name)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Preprocess(img); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The worst output there is: every box a person, none overlapping enough to go.
func BenchmarkDecodeEverythingFound(b *testing.B) {
	p := pipelineOf(b, "yolov8-pose")
	_, err := p.Preprocess(generated(640, 480))
	require.NoError(b, err)
	outputs := []Tensor{crowd(8400)}
	b.ReportAllocs()
	for b.Loop() {
		if persons, err := p.Decode(outputs, Options{}); err != nil || len(persons) != 300 {
			b.Fatal(len(persons), err)
		}
	}
}

// crowd is an output of yolov8-pose with n persons side by side, the first the
// surest, each found by two boxes where there is room.
func crowd(n int) Tensor {
	const boxes = 8400
	data := make([]float32, 56*boxes)
	person := func(i int, score float32) {
		k := i % n
		set := func(row int, v float32) { data[row*boxes+i] = v }
		x, y := float32(k%92)*7, float32(k/92)*7
		set(0, x+3)
		set(1, y+3)
		set(2, 6)
		set(3, 6)
		set(4, score)
		for j := range 17 {
			set(5+3*j, x+float32(j)/4)
			set(6+3*j, y+float32(j)/8)
			set(7+3*j, 0.9)
		}
	}
	for i := range min(2*n, boxes) {
		person(i, 0.9-float32(i)*0.00005)
	}
	return Tensor{Name: "output0", Shape: []int64{1, 56, boxes}, Data: data}
}
