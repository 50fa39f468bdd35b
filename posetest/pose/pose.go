package pose

import (
	"fmt"
	"strings"

	"github.com/posetest/suite/posetest/tensor"
)

// A Tensor is one input or output of a model.
type Tensor = tensor.Tensor

// A TensorInfo describes an input or output.
type TensorInfo = tensor.Info

// A Keypoint is one joint in pixels of the photograph, X to the right and Y
// down, as COCO annotates them: 0 is the left or top edge and Width or Height
// the opposite one, so that the first pixel's centre is at 0.5. A joint that the
// model puts outside the photograph stays there. Score is the model's own
// confidence, nominally 0…1; a quantized model may overshoot.
type Keypoint struct {
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
	Score float64 `json:"score"`
}

// A Person is one detection. Box is x0, y0, x1, y1 in pixels of the photograph.
// Keypoints are in the order of [Joints].
type Person struct {
	Score     float64    `json:"score"`
	Box       [4]float64 `json:"box"`
	Keypoints []Keypoint `json:"keypoints"`
}

// Options tune decoding. A zero value stands for the family's default:
// confidence 0.25; for yolov8-pose and yolo-pose-nms 300 persons, for the other
// families, which see one person, 1; and IoU 0.7 for yolov8-pose, the only
// family that it has a say in.
type Options struct {
	Confidence float64 // a person's score must exceed it
	IoU        float64 // of two persons whose boxes overlap by more, the lesser goes
	Max        int     // persons at most, the best
}

// A Family is a kind of pose model: how a photograph becomes its input and its
// outputs become persons.
type Family interface {
	// Name is what the catalogue calls the family.
	Name() string
	// Single tells that the family looks for exactly one person, in a photograph
	// of one.
	Single() bool
	// Check reports, in one sentence, why a model with these inputs and outputs
	// is not of the family, and what to do.
	Check(inputs, outputs []TensorInfo) error
	// NewPipeline makes a pipeline for a model that passes Check.
	NewPipeline(inputs, outputs []TensorInfo) (Pipeline, error)
}

// A Pipeline is a family's work for one model. It owns its buffers, so that it
// allocates nothing in steady state, and is not safe for concurrent use.
type Pipeline interface {
	// Preprocess gives the model's input for a photograph. The tensor is valid
	// until the next call and must not be written to.
	Preprocess(img *Image) (Tensor, error)
	// Decode gives the persons in the photograph last preprocessed, in its
	// pixels, best first; none is no error. They are valid until the next call.
	// A wrong number, type or shape of outputs is an error, and so is a NaN or an
	// infinity in what makes a person; what is below the confidence is not looked at.
	Decode(outputs []Tensor, opt Options) ([]Person, error)
}

// A TopDown pipeline looks at one person at a time. Its Preprocess takes the
// whole photograph for the person's box.
type TopDown interface {
	Pipeline
	// PreprocessBox is Preprocess for the person in box: x0, y0, x1, y1 in pixels.
	PreprocessBox(img *Image, box [4]float64) (Tensor, error)
}

// Lookup returns the family of that name.
func Lookup(name string) (Family, error) {
	for _, f := range families {
		if f.Name() == name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("family %q is unknown: choose one of %s", name, strings.Join(Families(), ", "))
}

// Families lists the names that [Lookup] knows.
func Families() []string {
	names := make([]string, len(families))
	for i, f := range families {
		names[i] = f.Name()
	}
	return names
}

func shapeString(shape []int64) string {
	return strings.ReplaceAll(fmt.Sprint(shape), " ", ",")
}
