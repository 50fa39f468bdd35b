package pose

import (
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A model is what a session reports of one.
type model struct{ inputs, outputs []TensorInfo }

func infos(list ...TensorInfo) []TensorInfo { return list }

func info(name, typ string, shape ...int64) TensorInfo {
	return TensorInfo{Name: name, Type: typ, Shape: shape}
}

// models has one of each family.
var models = map[string]model{
	"yolov8-pose":   {infos(info("images", "float32", 1, 3, 640, 640)), infos(info("output0", "float32", 1, 56, 8400))},
	"yolo-pose-nms": {infos(info("images", "float32", 1, 3, 640, 640)), infos(info("output0", "float32", 1, 300, 57))},
	"movenet":       {infos(info("input", "int32", 1, 192, 192, 3)), infos(info("output_0", "float32", 1, 1, 17, 3))},
	"heatmap":       {infos(info("input", "float32", 1, 3, 256, 192)), infos(info("output", "float32", 1, 17, 64, 48))},
	"simcc": {infos(info("input", "float32", -1, 3, 256, 192)),
		infos(info("simcc_x", "float32", -1, 17, 384), info("simcc_y", "float32", -1, 17, 512))},
}

func pipelineOf(t testing.TB, name string) Pipeline {
	f, err := Lookup(name)
	require.NoError(t, err)
	p, err := f.NewPipeline(models[name].inputs, models[name].outputs)
	require.NoError(t, err)
	return p
}

// outputsOf are a model's outputs, all zero.
func outputsOf(name string) []Tensor {
	var outputs []Tensor
	for _, o := range models[name].outputs {
		shape, size := slices.Clone(o.Shape), int64(1)
		for i := range shape {
			shape[i] = max(shape[i], 1)
			size *= shape[i]
		}
		outputs = append(outputs, Tensor{Name: o.Name, Shape: shape, Data: make([]float32, size)})
	}
	return outputs
}

func TestLookup(t *testing.T) {
	require.Len(t, models, len(Families()))
	for _, name := range Families() {
		f, err := Lookup(name)
		require.NoError(t, err)
		assert.Equal(t, name, f.Name())
	}
	_, err := Lookup("yolov8")
	assert.EqualError(t, err, `family "yolov8" is unknown: choose one of yolov8-pose, yolo-pose-nms, movenet, heatmap, simcc`)
}

// Each family takes its own model and no other's.
func TestCheckTellsFamiliesApart(t *testing.T) {
	for _, name := range Families() {
		f, err := Lookup(name)
		require.NoError(t, err)
		for other, m := range models {
			err := f.Check(m.inputs, m.outputs)
			if other == name {
				assert.NoError(t, err, name)
				continue
			}
			assert.ErrorContains(t, err, "it looks like "+other+", name that as its family", name)
			_, err = f.NewPipeline(m.inputs, m.outputs)
			assert.Error(t, err)
		}
	}
}

func TestCheck(t *testing.T) {
	images := infos(info("images", "float32", 1, 3, 640, 640))
	for why, row := range map[string]struct {
		family string
		model  model
		want   string
	}{
		"every dimension is free": {"yolov8-pose",
			model{infos(info("images", "float32", -1, 3, -1, -1)), infos(info("output0", "float32", -1, 56, -1))}, ""},
		"another size": {"movenet",
			model{infos(info("input", "int32", 1, 256, 256, 3)), models["movenet"].outputs}, ""},
		"a detector": {"yolov8-pose", model{images, infos(info("output0", "float32", 1, 84, 8400))},
			"family yolov8-pose wants input float32 [1,3,height,width] and output float32 [1,56,boxes], but the model has " +
				"input images float32 [1,3,640,640] and output output0 float32 [1,84,8400]: no known family has such models, " +
				"export it for one of yolov8-pose, yolo-pose-nms, movenet, heatmap, simcc"},
		"an end-to-end export": {"yolov8-pose", model{images, infos(info("output0", "float32", 1, 300, 57))},
			"family yolov8-pose wants input float32 [1,3,height,width] and output float32 [1,56,boxes], but the model has " +
				"input images float32 [1,3,640,640] and output output0 float32 [1,300,57]: it looks like yolo-pose-nms, name that as its family"},
		"no outputs": {"simcc", model{images, nil},
			"family simcc wants input float32 [1,3,height,width] and output float32 [1,17,bins of x] and float32 [1,17,bins of y], but the model has " +
				"input images float32 [1,3,640,640] and output none: no known family has such models, " +
				"export it for one of yolov8-pose, yolo-pose-nms, movenet, heatmap, simcc"},
		"an input that no memory holds": {"heatmap",
			model{infos(info("images", "float32", 1, 3, 1<<62, 640)), models["heatmap"].outputs},
			"model's input images float32 [1,3,4611686018427387904,640] has more than 67108864 elements: export it for a smaller photograph"},
	} {
		t.Run(why, func(t *testing.T) {
			f, err := Lookup(row.family)
			require.NoError(t, err)
			if err := f.Check(row.model.inputs, row.model.outputs); row.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, row.want)
			}
		})
	}
}

// What holds of every family.
func TestEveryPipeline(t *testing.T) {
	img := generated(64, 48)
	for _, name := range Families() {
		t.Run("family="+name, func(t *testing.T) {
			p := pipelineOf(t, name)
			outputs := outputsOf(name)

			_, err := p.Decode(outputs, Options{})
			assert.EqualError(t, err, errNotPreprocessed.Error())

			input, err := p.Preprocess(img)
			require.NoError(t, err)
			assert.Equal(t, models[name].inputs[0].Name, input.Name)
			for i, d := range models[name].inputs[0].Shape {
				assert.Equal(t, max(d, 1), input.Shape[i])
			}

			persons, err := p.Decode(outputs, Options{})
			assert.NoError(t, err)
			assert.Empty(t, persons, "an output of zeros has nobody in it")

			allocations := testing.AllocsPerRun(10, func() {
				if _, err := p.Preprocess(img); err != nil {
					t.Error(err)
				}
				if _, err := p.Decode(outputs, Options{}); err != nil {
					t.Error(err)
				}
			})
			assert.Zero(t, allocations)

			for _, odd := range []*Image{generated(1, 1), generated(1, 300), generated(300, 1), generated(2000, 2)} {
				_, err := p.Preprocess(odd)
				assert.NoError(t, err, "%d×%d", odd.Width, odd.Height)
			}
			again, err := p.Preprocess(img)
			require.NoError(t, err)
			fresh, err := pipelineOf(t, name).Preprocess(img)
			require.NoError(t, err)
			assert.True(t, reflect.DeepEqual(fresh, again), "photographs of other sizes leave something behind")

			for want, bad := range map[string]*Image{
				"photograph is missing":                             nil,
				"photograph is 0×7 pixels: give one that has any":   {0, 7, nil},
				"photograph of 2×2 pixels has 11 bytes, want 12":    {2, 2, make([]uint8, 11)},
				"photograph is -1×-1 pixels: give one that has any": {-1, -1, make([]uint8, 3)},
			} {
				_, err := p.Preprocess(bad)
				assert.EqualError(t, err, want)
				_, err = p.Decode(outputs, Options{})
				assert.EqualError(t, err, errNotPreprocessed.Error(), "after a photograph that failed")
			}
		})
	}
}

func TestBadOutputs(t *testing.T) {
	for _, name := range Families() {
		t.Run("family="+name, func(t *testing.T) {
			p := pipelineOf(t, name)
			_, err := p.Preprocess(generated(64, 48))
			require.NoError(t, err)

			_, err = p.Decode(nil, Options{})
			assert.ErrorContains(t, err, "model gave 0 outputs")
			_, err = p.Decode(append(outputsOf(name), Tensor{}), Options{})
			assert.ErrorContains(t, err, "run it with all of the family's outputs")

			for i := range models[name].outputs {
				outputs := outputsOf(name)
				outputs[i].Data = []int32{1}
				_, err = p.Decode(outputs, Options{})
				assert.ErrorContains(t, err, "output "+outputs[i].Name+" is []int32, want []float32")

				for _, shape := range [][]int64{nil, {1}, {1, 2, 3, 4, 5}, {-1, 17, 3}, {1 << 32, 1 << 32, 1 << 32}, {1, 17, 3}} {
					outputs = outputsOf(name)
					outputs[i].Shape = shape
					_, err = p.Decode(outputs, Options{})
					assert.ErrorContains(t, err, "output "+outputs[i].Name+" has shape", "%v", shape)
				}
				outputs = outputsOf(name)
				outputs[i].Data = outputs[i].Data.([]float32)[1:]
				_, err = p.Decode(outputs, Options{})
				assert.ErrorContains(t, err, "output "+outputs[i].Name+" has shape")

				for _, v := range []float64{math.NaN(), math.Inf(1)} {
					outputs = outputsOf(name)
					for j := range outputs[i].Data.([]float32) {
						outputs[i].Data.([]float32)[j] = float32(v)
					}
					_, err = p.Decode(outputs, Options{})
					assert.ErrorContains(t, err, "output "+outputs[i].Name)
					assert.ErrorContains(t, err, "the model computes NaN or infinity")
				}
			}
			for _, opt := range []Options{{Confidence: -0.1}, {Confidence: 1}, {Confidence: math.NaN()}, {IoU: 1.1}, {IoU: math.NaN()}, {Max: -1}} {
				_, err = p.Decode(outputsOf(name), opt)
				assert.ErrorContains(t, err, "give a confidence from 0 to below 1, an IoU from 0 to 1 and a maximum of 0 or more")
			}
		})
	}
}

// A decoder neither panics nor gives a number that is not finite.
func FuzzDecode(f *testing.F) {
	for i := range Families() {
		f.Add(uint8(i), uint8(3), []byte{0, 0, 128, 63, 0, 0, 0, 63, 0, 0, 192, 127})
	}
	f.Fuzz(func(t *testing.T, family, n uint8, data []byte) {
		name := Families()[int(family)%len(Families())]
		p := pipelineOf(t, name)
		_, err := p.Preprocess(generated(20, 10))
		require.NoError(t, err)
		outputs := outputsOf(name)
		for _, o := range outputs {
			// Boxes and cells as many as n says, their values a cycle of data's.
			values, size := o.Data.([]float32), 1
			for i, w := range mustFamily(name).outputs[0].shape {
				if w < 0 {
					o.Shape[i] = int64(n % 50)
				}
				size *= int(o.Shape[i])
			}
			values = values[:min(size, len(values))]
			for i := range values {
				if at := 4 * i % max(len(data)-3, 1); len(data) >= 4 {
					values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[at:]))
				}
			}
		}
		persons, err := p.Decode(outputs, Options{})
		if err != nil {
			return
		}
		for _, person := range persons {
			require.Len(t, person.Keypoints, len(Joints))
			require.Greater(t, person.Score, 0.25)
			for _, k := range person.Keypoints {
				require.False(t, math.IsNaN(k.X+k.Y+k.Score) || math.IsInf(k.X+k.Y+k.Score, 0), "%v", k)
			}
		}
	})
}

func mustFamily(name string) *family {
	f, err := Lookup(name)
	if err != nil {
		panic(err)
	}
	return f.(*family)
}

// Left and right joints and bones mirror each other.
func TestSkeleton(t *testing.T) {
	mirror := func(j int) int {
		if j == 0 {
			return 0
		}
		return j + 2*(j%2) - 1
	}
	bones := map[[2]int]bool{}
	for _, b := range Skeleton {
		bones[[2]int{min(b[0], b[1]), max(b[0], b[1])}] = true
	}
	require.Len(t, bones, len(Skeleton))
	for b := range bones {
		m := [2]int{mirror(b[0]), mirror(b[1])}
		assert.True(t, bones[[2]int{min(m[0], m[1]), max(m[0], m[1])}], "%s–%s", Joints[b[0]], Joints[b[1]])
	}
}
