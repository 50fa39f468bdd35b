package pose

import "fmt"

// topDown is what models of one person have in common: the person's box,
// widened by a quarter and to the input's aspect, is scaled into
// [1,3,height,width] float32, RGB less ImageNet's mean and over its deviation,
// black outside the photograph. Coordinates are those of the models' own code,
// with pixels' centres at integers, and the keypoints are what that code gives.
type topDown struct {
	input  planar
	crop   resampler
	person [4]float64 // as given
	x0, y0 float64    // the widened box, in pixels of the photograph
	w, h   float64
	ready  bool
	people people
}

// topDownDefaults are MoveNet's: here, too, a person's score is the mean of the
// joints' scores.
var topDownDefaults = Options{Confidence: 0.25, Max: 1}

func makeTopDown(c canvas) topDown {
	bytes := scaleBytes([3]float32{123.675, 116.28, 103.53}, [3]float32{58.395, 57.12, 57.375})
	return topDown{input: newPlanar(c.or(192, 256), bytes)}
}

func (p *topDown) Preprocess(img *Image) (Tensor, error) {
	if err := img.check(); err != nil {
		p.ready = false
		return Tensor{}, err
	}
	return p.PreprocessBox(img, [4]float64{0, 0, float64(img.Width), float64(img.Height)})
}

// PreprocessBox crops as HRNet's JointsDataset and MMPose's GetBBoxCenterScale
// and TopdownAffine do, without rotation.
func (p *topDown) PreprocessBox(img *Image, box [4]float64) (Tensor, error) {
	p.ready = false
	if err := img.check(); err != nil {
		return Tensor{}, err
	}
	w, h := box[2]-box[0], box[3]-box[1]
	cx, cy := box[0]+w/2, box[1]+h/2
	if !(w > 0 && h > 0) || cx-cx+cy-cy+w-w+h-h != 0 {
		return Tensor{}, fmt.Errorf("person's box %v has no area: give x0, y0, x1, y1 with x0 < x1 and y0 < y1", box)
	}
	width, height := p.input.width, p.input.height
	aspect := float64(width) / float64(height)
	w, h = 1.25*max(w, h*aspect), 1.25*max(h, w/aspect)
	p.person, p.x0, p.y0, p.w, p.h = box, cx-w/2, cy-h/2, w, h
	p.crop.cropTo(img, p.x0, p.y0, w/float64(width), h/float64(height), width, height)
	for y := range height {
		p.input.setRow(0, y, p.crop.row(y))
	}
	p.ready = true
	return p.input.tensor, nil
}

func (p *topDown) start(opt Options) (Options, []Keypoint, error) {
	if !p.ready {
		return opt, nil, errNotPreprocessed
	}
	opt, err := opt.or(topDownDefaults)
	p.people.reset(1)
	return opt, p.people.add(0, [4]float64{}), err
}

// set puts a joint at shares x and y of the widened box.
func (p *topDown) set(k *Keypoint, x, y float64, score float32) {
	*k = Keypoint{p.x0 + x*p.w, p.y0 + y*p.h, float64(score)}
}

// heatmap decodes [1,17,height,width], a map of scores for each joint, as
// get_final_preds of HRNet and SimplePose does (lib/core/inference.py): the
// highest cell, moved by a quarter towards its higher neighbours.
type heatmap struct{ topDown }

func newHeatmap(c canvas) Pipeline { return &heatmap{makeTopDown(c)} }

func (p *heatmap) Decode(outputs []Tensor, opt Options) ([]Person, error) {
	opt, joints, err := p.start(opt)
	if err != nil {
		return nil, err
	}
	data, err := values(outputs, 0, 1, 1, 17, -1, -1)
	if err != nil {
		return nil, err
	}
	h, w := int(outputs[0].Shape[2]), int(outputs[0].Shape[3])
	for j := range joints {
		cells := data[j*w*h:][:w*h]
		at, score, err := highest(outputs[0].Name, j, cells)
		if err != nil {
			return nil, err
		}
		cx, cy := at%w, at/w
		x, y := float64(cx), float64(cy)
		if cx > 1 && cx < w-1 && cy > 1 && cy < h-1 {
			x += quarter(cells[at+1], cells[at-1])
			y += quarter(cells[at+w], cells[at-w])
		}
		p.set(&joints[j], x/float64(w), y/float64(h), score)
	}
	return p.people.one(opt, &p.person), nil
}

func quarter(after, before float32) float64 {
	switch {
	case after > before:
		return 0.25
	case after < before:
		return -0.25
	}
	return 0
}

// simCC decodes [1,17,bins of x] and [1,17,bins of y], in that order, as
// MMPose's get_simcc_maximum does (mmpose/codecs/utils/post_processing.py): the
// highest bin of each, and the lesser of both scores.
type simCC struct{ topDown }

func newSimCC(c canvas) Pipeline { return &simCC{makeTopDown(c)} }

func (p *simCC) Decode(outputs []Tensor, opt Options) ([]Person, error) {
	opt, joints, err := p.start(opt)
	if err != nil {
		return nil, err
	}
	xs, err := values(outputs, 0, 2, 1, 17, -1)
	if err != nil {
		return nil, err
	}
	ys, err := values(outputs, 1, 2, 1, 17, -1)
	if err != nil {
		return nil, err
	}
	binsX, binsY := len(xs)/17, len(ys)/17
	for j := range joints {
		x, scoreX, err := highest(outputs[0].Name, j, xs[j*binsX:][:binsX])
		if err != nil {
			return nil, err
		}
		y, scoreY, err := highest(outputs[1].Name, j, ys[j*binsY:][:binsY])
		if err != nil {
			return nil, err
		}
		p.set(&joints[j], float64(x)/float64(binsX), float64(y)/float64(binsY), min(scoreX, scoreY))
	}
	return p.people.one(opt, &p.person), nil
}

// highest gives the first of the highest values and where it is.
func highest(output string, joint int, values []float32) (at int, score float32, err error) {
	if len(values) == 0 {
		return 0, 0, fmt.Errorf("output %s has no cells: run the model on one photograph", output)
	}
	score = values[0]
	for i, v := range values {
		if v-v != 0 {
			return 0, 0, fmt.Errorf("output %s has %v for %s: the model computes NaN or infinity", output, v, Joints[joint])
		}
		if v > score {
			at, score = i, v
		}
	}
	return at, score, nil
}
