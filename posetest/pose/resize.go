package pose

import "math"

// A resampler scales photographs bilinearly, row by row, with OpenCV's
// arithmetic for 8-bit images (cv2.resize, INTER_LINEAR): weights in 11 bits,
// a sum of columns in 32 bits, a sum of rows that drops 4 and then 18 of them.
// The result equals OpenCV's to the byte.
type resampler struct {
	img           *Image
	width, height int
	cols, rows    []tap
	kind          resampling

	out   []uint8
	sums  [2][]int32 // a source row each, its columns summed, in units of 1/128
	sumOf [2]int32   // which source row that is
}

// A tap gives one output column (or row) as two source columns and their
// weights in units of 1/2048.
type tap struct {
	i0, i1 int32
	w0, w1 int32
}

type resampling int

const (
	bilinear resampling = iota
	copying             // same size
	halving             // exactly half: cv2.resize then takes the mean of 2×2 pixels
)

const weightOne = 1 << 11

// scaleTo sets the whole of img to be scaled to width × height.
func (r *resampler) scaleTo(img *Image, width, height int) {
	kind := bilinear
	switch {
	case img.Width == width && img.Height == height:
		kind = copying
	case img.Width == 2*width && img.Height == 2*height:
		kind = halving
	}
	r.start(img, width, height, kind)
	if kind != bilinear {
		return
	}
	// OpenCV stops columns at the edge by their weights, rows by their index:
	// the same but for the rounding of the rows' sum.
	xs := 1 / (float64(width) / float64(img.Width))
	for x := range r.cols {
		i, f := split((float64(x)+0.5)*xs - 0.5)
		if i < 0 {
			i, f = 0, 0
		}
		if i >= img.Width-1 {
			i, f = img.Width-1, 0
		}
		r.cols[x] = newTap(i, min(i+1, img.Width-1), f)
	}
	ys := 1 / (float64(height) / float64(img.Height))
	for y := range r.rows {
		i, f := split((float64(y)+0.5)*ys - 0.5)
		r.rows[y] = newTap(max(i, 0), min(i+1, img.Height-1), f)
	}
}

// cropTo sets a rectangle of img to be scaled to width × height: output (x, y)
// is the source at (x0 + x·xs, y0 + y·ys), pixels' centres at integers on both
// sides, and black outside the photograph.
func (r *resampler) cropTo(img *Image, x0, y0, xs, ys float64, width, height int) {
	r.start(img, width, height, bilinear)
	for x := range r.cols {
		r.cols[x] = blackOutside(x0+float64(x)*xs, img.Width)
	}
	for y := range r.rows {
		r.rows[y] = blackOutside(y0+float64(y)*ys, img.Height)
	}
}

func (r *resampler) start(img *Image, width, height int, kind resampling) {
	r.img, r.width, r.height, r.kind = img, width, height, kind
	r.cols, r.rows = resized(r.cols, width), resized(r.rows, height)
	r.out = resized(r.out, 3*width)
	for i := range r.sums {
		r.sums[i] = resized(r.sums[i], 3*width)
		r.sumOf[i] = -1
	}
}

// split gives the whole and the broken part of a source coordinate, which
// OpenCV holds in 32 bits.
func split(v float64) (int, float32) {
	v32 := float32(v)
	i := int(math.Floor(float64(v32)))
	return i, v32 - float32(i)
}

func newTap(i0, i1 int, f float32) tap {
	return tap{int32(i0), int32(i1), weight(1 - f), weight(f)}
}

func weight(f float32) int32 { return int32(math.RoundToEven(float64(f * weightOne))) }

func blackOutside(v float64, n int) tap {
	v = min(max(v, -2), float64(n)+1) // far outside is as black as just outside
	i, f := split(v)
	t := newTap(i, i+1, f)
	if i < 0 || i >= n {
		t.i0, t.w0 = 0, 0
	}
	if i+1 < 0 || i+1 >= n {
		t.i1, t.w1 = 0, 0
	}
	return t
}

// row gives row y of the result, 3·width bytes of RGB, valid until the next
// call. Rows asked for in order are cheapest.
func (r *resampler) row(y int) []uint8 {
	switch r.kind {
	case copying:
		return r.img.row(y)
	case halving:
		meanOf4(r.out, r.img.row(2*y), r.img.row(2*y+1))
		return r.out
	}
	t := r.rows[y]
	s0 := r.columnSums(t.i0, t.i1)
	s1 := r.columnSums(t.i1, t.i0)
	out, w0, w1 := r.out, t.w0, t.w1
	s0, s1 = s0[:len(out)], s1[:len(out)]
	for i := range out {
		out[i] = uint8((w0*s0[i]>>16 + w1*s1[i]>>16 + 2) >> 2)
	}
	return out
}

// columnSums gives source row y with its columns summed, and leaves the row
// keep in its buffer.
func (r *resampler) columnSums(y, keep int32) []int32 {
	for i := range r.sumOf {
		if r.sumOf[i] == y {
			return r.sums[i]
		}
	}
	i := 0
	if r.sumOf[0] == keep {
		i = 1
	}
	r.sumOf[i] = y
	src, sums := r.img.row(int(y)), r.sums[i]
	for x := range r.cols {
		t := r.cols[x]
		p, q, s := src[3*int(t.i0):][:3], src[3*int(t.i1):][:3], sums[3*x:][:3]
		s[0] = (int32(p[0])*t.w0 + int32(q[0])*t.w1) >> 4
		s[1] = (int32(p[1])*t.w0 + int32(q[1])*t.w1) >> 4
		s[2] = (int32(p[2])*t.w0 + int32(q[2])*t.w1) >> 4
	}
	return sums
}

func meanOf4(out, top, bottom []uint8) {
	for i, x := 0, 0; i < len(out); i, x = i+3, x+6 {
		t, b, o := top[x:][:6], bottom[x:][:6], out[i:][:3]
		o[0] = uint8((int(t[0]) + int(t[3]) + int(b[0]) + int(b[3]) + 2) >> 2)
		o[1] = uint8((int(t[1]) + int(t[4]) + int(b[1]) + int(b[4]) + 2) >> 2)
		o[2] = uint8((int(t[2]) + int(t[5]) + int(b[2]) + int(b[5]) + 2) >> 2)
	}
}

// resized gives s with n elements, of whatever value.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
