package pose

// A Separate pipeline can also preprocess as most apps do: one pass over a whole picture for each stage. It gives the
// same tensor as Preprocess, which does all in one pass, and is there to be timed against it.
type Separate interface {
	Pipeline
	// PreprocessSeparately resizes, pads, scales to floats and transposes to planes, one after the other.
	PreprocessSeparately(img *Image) (Tensor, error)
}

// stages are the pictures between them, kept from photograph to photograph.
type stages struct {
	resized, padded []uint8
	floats          []float32
}

func (p *yolo) PreprocessSeparately(img *Image) (Tensor, error) {
	p.letterbox.ready = false
	if err := img.check(); err != nil {
		return Tensor{}, err
	}
	l, s := &p.letterbox, &p.stages
	l.ultralytics(img)
	w, h := l.scaled.width, l.scaled.height

	s.resized = resized(s.resized, 3*w*h)
	for y := range h {
		copy(s.resized[3*w*y:][:3*w], l.scaled.row(y))
	}

	s.padded = resized(s.padded, 3*l.width*l.height)
	for i := range s.padded {
		s.padded[i] = yoloGrey
	}
	for y := range h {
		copy(s.padded[3*((l.top+y)*l.width+l.left):], s.resized[3*w*y:][:3*w])
	}

	s.floats = resized(s.floats, len(s.padded))
	for i, v := range s.padded {
		s.floats[i] = float32(v) / 255
	}

	plane := l.width * l.height
	r, g, b := p.input.data[:plane], p.input.data[plane:][:plane], p.input.data[2*plane:][:plane]
	for i := range r {
		r[i], g[i], b[i] = s.floats[3*i], s.floats[3*i+1], s.floats[3*i+2]
	}
	p.input.filled = [4]int{} // the bars are grey, too, but Preprocess shall not rely on it
	l.ready = true
	return p.input.tensor, nil
}
