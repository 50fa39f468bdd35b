package pose

import "math"

// A letterbox scales a photograph, its aspect kept, onto a canvas with bars on
// two sides, and maps the canvas' coordinates back.
type letterbox struct {
	canvas

	scaled    resampler
	left, top int     // where the scaled photograph lies
	toX, toY  float64 // photograph pixels in a canvas pixel
	ready     bool
}

// ultralytics places img as Ultralytics' LetterBox does (data/augment.py), and
// maps back as its scale_boxes and scale_coords do (utils/ops.py) but for their
// clipping to the photograph: one ratio for both axes, though the scaled size is rounded.
func (l *letterbox) ultralytics(img *Image) {
	ratio := min(float64(l.width)/float64(img.Width), float64(l.height)/float64(img.Height))
	w := max(1, int(math.RoundToEven(float64(img.Width)*ratio)))
	h := max(1, int(math.RoundToEven(float64(img.Height)*ratio)))
	l.left = int(math.RoundToEven(float64(l.width-w)/2 - 0.1))
	l.top = int(math.RoundToEven(float64(l.height-h)/2 - 0.1))
	l.toX, l.toY = 1/ratio, 1/ratio
	l.scaled.scaleTo(img, w, h)
}

// tensorflow places img as tf.image.resize_with_pad does, which rounds down.
func (l *letterbox) tensorflow(img *Image) {
	ratio := max(float64(img.Width)/float64(l.width), float64(img.Height)/float64(l.height))
	w, h := float64(img.Width)/ratio, float64(img.Height)/ratio
	l.left = int((float64(l.width) - w) / 2)
	l.top = int((float64(l.height) - h) / 2)
	l.scaled.scaleTo(img, max(1, int(w)), max(1, int(h)))
	l.toX = float64(img.Width) / float64(l.scaled.width)
	l.toY = float64(img.Height) / float64(l.scaled.height)
}

// back maps canvas coordinates to the photograph's.
func (l *letterbox) back(x, y float64) (float64, float64) {
	return (x - float64(l.left)) * l.toX, (y - float64(l.top)) * l.toY
}

// tables give each channel's float for each byte.
type tables [3][256]float32

// scaleBytes gives (byte - mean) / deviation by channel.
func scaleBytes(mean, deviation [3]float32) *tables {
	t := new(tables)
	for c := range t {
		for v := range t[c] {
			t[c][v] = (float32(v) - mean[c]) / deviation[c]
		}
	}
	return t
}

// A planar is an input of [1,3,height,width] float32: a plane each of red,
// green and blue.
type planar struct {
	canvas
	bytes  *tables
	data   []float32
	tensor Tensor // of data; made once, since each would be an allocation
	filled [4]int // the rectangle around which data is grey
}

func newPlanar(c canvas, bytes *tables) planar {
	data := make([]float32, 3*c.width*c.height)
	shape := []int64{1, 3, int64(c.height), int64(c.width)}
	return planar{canvas: c, bytes: bytes, data: data, tensor: Tensor{Name: c.name, Shape: shape, Data: data}}
}

// fillAround makes everything a grey byte but for width × height pixels from
// (x, y) on, which setRow is about to write. It has nothing to do while
// photographs of one size follow each other.
func (p *planar) fillAround(x, y, width, height int, grey uint8) {
	if rect := [4]int{x, y, width, height}; rect != p.filled {
		p.filled = rect
		size := p.width * p.height
		for c := range p.bytes {
			v, plane := p.bytes[c][grey], p.data[c*size:][:size]
			for i := range plane {
				plane[i] = v
			}
		}
	}
}

// setRow writes pixels from (x, y) on to the right. It takes four at a time,
// plane by plane: three planes in turn for each pixel take up to twice as long,
// depending on where they lie in memory.
func (p *planar) setRow(x, y int, rgb []uint8) {
	n, size, at := len(rgb)/3, p.width*p.height, y*p.width+x
	r, g, b := p.data[at:][:n], p.data[size+at:][:n], p.data[2*size+at:][:n]
	ofR, ofG, ofB := &p.bytes[0], &p.bytes[1], &p.bytes[2]
	for len(rgb) >= 12 && len(r) >= 4 && len(g) >= 4 && len(b) >= 4 {
		r[0], r[1], r[2], r[3] = ofR[rgb[0]], ofR[rgb[3]], ofR[rgb[6]], ofR[rgb[9]]
		g[0], g[1], g[2], g[3] = ofG[rgb[1]], ofG[rgb[4]], ofG[rgb[7]], ofG[rgb[10]]
		b[0], b[1], b[2], b[3] = ofB[rgb[2]], ofB[rgb[5]], ofB[rgb[8]], ofB[rgb[11]]
		rgb, r, g, b = rgb[12:], r[4:], g[4:], b[4:]
	}
	for i := range r {
		r[i], g[i], b[i] = ofR[rgb[3*i]], ofG[rgb[3*i+1]], ofB[rgb[3*i+2]]
	}
}
