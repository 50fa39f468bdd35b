package pose

import "image"

// libjpegPixels gives a function that reads m's pixels as libjpeg-turbo
// computes them, hence cv2.imread and what the models were trained on: chroma
// smoothly upsampled, and converted as in ycc_rgb_convert (jdcolor.c). With
// image/jpeg and color.YCbCrToRGB instead, YOLOv8n-pose loses or invents a
// person in 3 of 79 COCO images.
func libjpegPixels(m *image.YCbCr) func(x, y int) (r, g, b uint8) {
	cb, stride := upsample(m, m.Cb)
	cr, _ := upsample(m, m.Cr)
	origin := m.Rect.Min
	return func(x, y int) (uint8, uint8, uint8) {
		at := (y-origin.Y)*stride + x - origin.X
		luma := int32(m.Y[m.YOffset(x, y)])
		blue, red := int32(cb[at])-128, int32(cr[at])-128
		const half = 1 << 15
		return clamp(luma + (91881*red+half)>>16),
			clamp(luma + (-22554*blue-46802*red+half)>>16),
			clamp(luma + (116130*blue+half)>>16)
	}
}

func clamp(v int32) uint8 { return uint8(min(max(v, 0), 255)) }

// upsample gives a chroma plane of m at full resolution, and its stride: in each halved
// direction 3/4 of the nearer sample and 1/4 of the next, as
// h2v1_fancy_upsample, h1v2_fancy_upsample and h2v2_fancy_upsample do in
// libjpeg-turbo's jdsample.c. Other ratios, and up to two samples across, are
// repeated as there.
func upsample(m *image.YCbCr, plane []uint8) (full []uint8, stride int) {
	r := m.Rect
	w, h := r.Dx(), r.Dy()
	if m.SubsampleRatio == image.YCbCrSubsampleRatio444 {
		return plane[m.COffset(r.Min.X, r.Min.Y):], m.CStride
	}
	out := make([]uint8, w*h)

	ratio := m.SubsampleRatio
	halvedX := ratio == image.YCbCrSubsampleRatio422 || ratio == image.YCbCrSubsampleRatio420
	halvedY := ratio == image.YCbCrSubsampleRatio440 || ratio == image.YCbCrSubsampleRatio420
	samples := w
	if halvedX {
		samples = (w + 1) / 2
	}
	if !halvedX && !halvedY || halvedX && samples <= 2 {
		for y := range h {
			for x := range w {
				out[y*w+x] = plane[m.COffset(r.Min.X+x, r.Min.Y+y)]
			}
		}
		return out, w
	}

	row := func(y int) []uint8 { return plane[m.COffset(r.Min.X, r.Min.Y+y):] }
	sums := make([]int32, samples)
	for y := range h {
		near := row(y)
		for x := range sums {
			sums[x] = int32(near[x])
		}
		if halvedY {
			next := y - 2 + 3*(y%2) // of the pair's upper row the sample above, of the lower below
			if next < 0 || next >= h {
				next = y
			}
			far := row(next)
			for x := range sums {
				sums[x] = 3*sums[x] + int32(far[x])
			}
		}
		line := out[y*w:][:w]
		switch {
		case halvedX && halvedY:
			spread(line, sums, [2]int32{8, 7}, 4)
		case halvedX:
			spread(line, sums, [2]int32{1, 2}, 2)
		default:
			for x, s := range sums {
				line[x] = uint8((s + 1 + int32(y%2)) >> 2)
			}
		}
	}
	return out, w
}

// spread gives two elements for each sum; biases are the left and the right
// one's, which round them alternately.
func spread(line []uint8, sums []int32, biases [2]int32, shift int) {
	for x := range line {
		i := x / 2
		next := min(max(i-1+2*(x%2), 0), len(sums)-1)
		line[x] = uint8((3*sums[i] + sums[next] + biases[x%2]) >> shift)
	}
}
