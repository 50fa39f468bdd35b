package pose

import "fmt"

// moveNet is MoveNet SinglePose: the photograph scaled into [1,height,width,3]
// int32, RGB in 0…255, black bars beside it, as its model page says
// (tf.image.resize_with_pad); output [1,1,17,3], each joint's y and x as shares
// of the input's height and width, and its score.
type moveNet struct {
	letterbox letterbox
	data      []int32
	tensor    Tensor // of data
	people    people
}

// moveNetDefaults: MoveNet always gives one person and no score for it; the
// mean of the joints' scores stands for that. Of 79 COCO images, 0.25 passes
// 30 of the 39 with persons, however small, and 3 of the 40 without.
var moveNetDefaults = Options{Confidence: 0.25, Max: 1}

func newMoveNet(c canvas) Pipeline {
	c = c.or(192, 192)
	data := make([]int32, 3*c.width*c.height)
	shape := []int64{1, int64(c.height), int64(c.width), 3}
	return &moveNet{letterbox: letterbox{canvas: c}, data: data, tensor: Tensor{Name: c.name, Shape: shape, Data: data}}
}

func (p *moveNet) Preprocess(img *Image) (Tensor, error) {
	l := &p.letterbox
	l.ready = false
	if err := img.check(); err != nil {
		return Tensor{}, err
	}
	l.tensorflow(img)
	clear(p.data)
	for y := range l.scaled.height {
		out := p.data[3*((l.top+y)*l.width+l.left):]
		for i, v := range l.scaled.row(y) {
			out[i] = int32(v)
		}
	}
	l.ready = true
	return p.tensor, nil
}

func (p *moveNet) Decode(outputs []Tensor, opt Options) ([]Person, error) {
	l := &p.letterbox
	if !l.ready {
		return nil, errNotPreprocessed
	}
	opt, err := opt.or(moveNetDefaults)
	if err != nil {
		return nil, err
	}
	data, err := values(outputs, 0, 1, 1, 1, 17, 3)
	if err != nil {
		return nil, err
	}
	p.people.reset(1)
	joints := p.people.add(0, [4]float64{})
	for j := range joints {
		y, x, score := data[3*j], data[3*j+1], data[3*j+2]
		if !finite(y, x, score) {
			return nil, fmt.Errorf("output %s has %s at y %v, x %v with score %v: the model computes NaN or infinity",
				outputs[0].Name, Joints[j], y, x, score)
		}
		joints[j].X, joints[j].Y = l.back(float64(x)*float64(l.width), float64(y)*float64(l.height))
		joints[j].Score = float64(score)
	}
	return p.people.one(opt, nil), nil
}
