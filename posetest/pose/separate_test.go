package pose

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Stage by stage or in one pass, the model sees the same bits, whichever went before and whatever its picture was.
func TestSeparately(t *testing.T) {
	sizes := []struct {
		why           string
		width, height int
	}{
		{"bars above and below", 640, 480},
		{"bars left and right", 375, 500},
		{"no bars", 640, 640},
		{"enlarged", 32, 20},
		{"made smaller, with an odd bar", 1921, 1083},
		{"a line", 640, 1},
		{"one pixel", 1, 1},
		{"bars above and below again: what was left and right must be grey", 640, 360},
	}
	for _, family := range []string{"yolov8-pose", "yolo-pose-nms"} {
		fresh := func() Separate { return pipelineOf(t, family).(Separate) }
		mixed := fresh()
		for i, size := range sizes {
			img := generated(size.width, size.height)
			want, err := fresh().Preprocess(img)
			require.NoError(t, err)
			alone, err := fresh().PreprocessSeparately(img)
			require.NoError(t, err)
			require.True(t, sameBits(want, alone), "%s: alone", size.why)
			ways := []func(*Image) (Tensor, error){mixed.Preprocess, mixed.PreprocessSeparately, mixed.PreprocessSeparately, mixed.Preprocess}
			if i%2 == 1 { // so that each way follows each, on the same picture and on another
				ways = []func(*Image) (Tensor, error){mixed.PreprocessSeparately, mixed.Preprocess, mixed.Preprocess, mixed.PreprocessSeparately}
			}
			for k, way := range ways {
				got, err := way(img)
				require.NoError(t, err)
				require.True(t, sameBits(want, got), "%s: way %d after others", size.why, k)
			}
		}
	}
}

func sameBits(a, b Tensor) bool {
	return a.Name == b.Name && slices.Equal(a.Shape, b.Shape) && slices.EqualFunc(a.Data.([]float32), b.Data.([]float32),
		func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// What is found is placed in the picture that went through the stages.
func TestSeparatelyMapsBack(t *testing.T) {
	p := pipelineOf(t, "yolov8-pose").(Separate)
	_, err := p.Decode(raw(), Options{})
	require.ErrorIs(t, err, errNotPreprocessed)
	_, err = p.PreprocessSeparately(generated(320, 160))
	require.NoError(t, err)
	persons, err := p.Decode(raw(box{100, 260, 40, 80, 0.5}), Options{})
	require.NoError(t, err)
	require.Len(t, persons, 1)
	assert.Equal(t, [4]float64{40, 30, 60, 70}, persons[0].Box)

	_, err = p.PreprocessSeparately(&Image{Width: 2, Height: 2})
	require.Error(t, err)
	_, err = p.Decode(raw(), Options{})
	require.ErrorIs(t, err, errNotPreprocessed, "the picture before is not the one that was asked for")
}

func TestOnlyYOLOSeparates(t *testing.T) {
	for _, name := range Families() {
		_, ok := pipelineOf(t, name).(Separate)
		assert.Equal(t, name == "yolov8-pose" || name == "yolo-pose-nms", ok, name)
	}
}
