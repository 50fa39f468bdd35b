package pose

import (
	"cmp"
	"fmt"
	"slices"
)

// yolo is Ultralytics' pose pipeline: the photograph letterboxed with grey 114
// into [1,3,height,width] float32, RGB in 0…1; outputs in pixels of that input.
type yolo struct {
	letterbox letterbox
	input     planar
	found     []detection
	people    people
	stages    stages
}

// yoloGrey fills the bars beside the photograph.
const yoloGrey = 114

// A detection is a box of the input, x0, y0, x1, y1, and where in the output
// it was found.
type detection struct {
	score float32
	box   [4]float32
	at    int
}

var yoloDefaults = Options{Confidence: 0.25, IoU: 0.7, Max: 300}

func newYOLO(c canvas) Pipeline        { return &yoloRaw{makeYOLO(c)} }
func newYOLOWithNMS(c canvas) Pipeline { return &yoloNMS{makeYOLO(c)} }

func makeYOLO(c canvas) yolo {
	c = c.or(640, 640)
	unit := scaleBytes([3]float32{}, [3]float32{255, 255, 255})
	return yolo{letterbox: letterbox{canvas: c}, input: newPlanar(c, unit)}
}

func (p *yolo) Preprocess(img *Image) (Tensor, error) {
	p.letterbox.ready = false
	if err := img.check(); err != nil {
		return Tensor{}, err
	}
	l := &p.letterbox
	l.ultralytics(img)
	p.input.fillAround(l.left, l.top, l.scaled.width, l.scaled.height, yoloGrey)
	for y := range l.scaled.height {
		p.input.setRow(l.left, l.top+y, l.scaled.row(y))
	}
	l.ready = true
	return p.input.tensor, nil
}

// yoloRaw decodes [1,56,N]: of N boxes x, y, width and height, the score, and
// 17 times x, y and score.
type yoloRaw struct{ yolo }

func (p *yoloRaw) Decode(outputs []Tensor, opt Options) ([]Person, error) {
	opt, data, err := p.read(outputs, opt, 1, 56, -1)
	if err != nil {
		return nil, err
	}
	n := len(data) / 56
	bar := float32(opt.Confidence)
	for i, score := range data[4*n : 5*n] {
		if score <= bar {
			continue
		}
		x, y, w, h := data[i], data[n+i], data[2*n+i]/2, data[3*n+i]/2
		p.found = append(p.found, detection{score, [4]float32{x - w, y - h, x + w, y + h}, i})
	}
	if err := p.sort(outputs[0].Name); err != nil {
		return nil, err
	}
	p.suppress(float32(opt.IoU), opt.Max)
	return p.persons(outputs[0].Name, data[5*n:], n)
}

// yoloNMS decodes [1,N,57]: each row x0, y0, x1, y1, the score, the class, and
// 17 times x, y and score; rows without a detection are all zero. The graph has
// suppressed what overlaps, so that Options.IoU has no say.
type yoloNMS struct{ yolo }

func (p *yoloNMS) Decode(outputs []Tensor, opt Options) ([]Person, error) {
	opt, data, err := p.read(outputs, opt, 1, -1, 57)
	if err != nil {
		return nil, err
	}
	bar := float32(opt.Confidence)
	for at := 0; at < len(data); at += 57 {
		if row := data[at:][:57]; !(row[4] <= bar) {
			p.found = append(p.found, detection{row[4], [4]float32(row), at + 6})
		}
	}
	if err := p.sort(outputs[0].Name); err != nil {
		return nil, err
	}
	p.found = p.found[:min(len(p.found), opt.Max)]
	return p.persons(outputs[0].Name, data, 1)
}

func (p *yolo) read(outputs []Tensor, opt Options, shape ...int64) (Options, []float32, error) {
	if !p.letterbox.ready {
		return opt, nil, errNotPreprocessed
	}
	opt, err := opt.or(yoloDefaults)
	if err != nil {
		return opt, nil, err
	}
	p.found = p.found[:0]
	data, err := values(outputs, 0, 1, shape...)
	return opt, data, err
}

// sort puts the best score first, and equal ones in the order of the output.
func (p *yolo) sort(output string) error {
	for _, d := range p.found {
		if !finite(d.score) || !finite(d.box[:]...) {
			return fmt.Errorf("output %s has a detection with score %v and box %v: the model computes NaN or infinity", output, d.score, d.box)
		}
	}
	slices.SortFunc(p.found, func(a, b detection) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.at, b.at))
	})
	return nil
}

// suppress keeps, best first, what overlaps nothing kept by more than iou, and
// limit of them at most: greedy NMS as in torchvision.ops.nms.
func (p *yolo) suppress(iou float32, limit int) {
	kept := p.found[:0]
	for _, d := range p.found {
		if len(kept) == limit {
			break
		}
		if !slices.ContainsFunc(kept, func(k detection) bool { return overlap(k.box, d.box) > iou }) {
			kept = append(kept, d)
		}
	}
	p.found = kept
}

func overlap(a, b [4]float32) float32 {
	w := max(0, min(a[2], b[2])-max(a[0], b[0]))
	h := max(0, min(a[3], b[3])-max(a[1], b[1]))
	both := w * h
	return both / (area(a) + area(b) - both) // 0/0 is NaN and exceeds nothing
}

func area(b [4]float32) float32 { return (b[2] - b[0]) * (b[3] - b[1]) }

// persons reads the keypoints of what was found: value j of a detection is at
// data[at + j·stride].
func (p *yolo) persons(output string, data []float32, stride int) ([]Person, error) {
	p.people.reset(len(p.found))
	for _, d := range p.found {
		var box [4]float64
		box[0], box[1] = p.letterbox.back(float64(d.box[0]), float64(d.box[1]))
		box[2], box[3] = p.letterbox.back(float64(d.box[2]), float64(d.box[3]))
		joints := p.people.add(float64(d.score), box)
		for j := range joints {
			at := d.at + 3*j*stride
			x, y, score := data[at], data[at+stride], data[at+2*stride]
			if !finite(x, y, score) {
				return nil, fmt.Errorf("output %s has a person whose %s is at %v, %v with score %v: the model computes NaN or infinity",
					output, Joints[j], x, y, score)
			}
			joints[j].X, joints[j].Y = p.letterbox.back(float64(x), float64(y))
			joints[j].Score = float64(score)
		}
	}
	return p.people.persons, nil
}
