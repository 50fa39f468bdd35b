package report_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/report"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// grey is a photograph in which only what is drawn has colour.
func grey(width, height int) *pose.Image {
	return &pose.Image{Width: width, Height: height, Pix: bytes.Repeat([]byte{100}, 3*width*height)}
}

// upright is a person 400 px wide and 700 px tall whose joints are all apart from each other.
func upright(x, y float64) pose.Person {
	p := pose.Person{Score: 0.9, Box: [4]float64{x, y, x + 400, y + 700}}
	for i := range pose.Joints {
		p.Keypoints = append(p.Keypoints, pose.Keypoint{X: x + 200 + 180*float64(1-2*(i%2)), Y: y + 43*float64(i), Score: 0.8})
	}
	return p
}

func moved(p pose.Person, joint int, dx, dy float64) pose.Person {
	p.Keypoints = slices.Clone(p.Keypoints)
	p.Keypoints[joint].X += dx
	p.Keypoints[joint].Y += dy
	return p
}

func picture(t *testing.T, o report.Overlay) image.Image {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, o.PNG(&b))
	img, err := png.Decode(&b)
	require.NoError(t, err)
	return img
}

// inks counts the pixels of each ink in a part of a picture.
func inks(img image.Image, part image.Rectangle) (blue, orange, white int) {
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			switch img.At(x, y) {
			case color.RGBA{0x56, 0xb4, 0xe9, 0xff}:
				blue++
			case color.RGBA{0xff, 0xa5, 0x1f, 0xff}:
				orange++
			case color.RGBA{0xff, 0xff, 0xff, 0xff}:
				white++
			}
		}
	}
	return blue, orange, white
}

func TestOverlay(t *testing.T) {
	const width, height = 1280, 900 // drawn as it is
	photo := image.Rect(0, 0, width, height)
	p := upright(300, 100)
	at := func(p pose.Person, joint, radius int) image.Rectangle {
		k := p.Keypoints[joint]
		return image.Rect(int(k.X)-radius, int(k.Y)-radius, int(k.X)+radius, int(k.Y)+radius)
	}
	draw := func(want, got []pose.Person) image.Image {
		return picture(t, report.Overlay{Photo: grey(width, height), Want: want, Got: got})
	}
	type list = []pose.Person

	img := draw(nil, nil)
	blue, orange, white := inks(img, photo)
	assert.Zero(t, blue+orange+white, "nothing is drawn where nobody is")
	blue, orange, white = inks(img, image.Rect(0, height, width, img.Bounds().Max.Y))
	assert.True(t, blue > 0 && orange > 0 && white > 0, "the legend shows all three")

	blue, orange, _ = inks(draw(list{p}, nil), at(p, 9, 3))
	assert.Positive(t, blue, "the joint wanted")
	assert.Zero(t, orange)
	other := upright(800, 100)
	extra := draw(list{p}, list{p, other})
	_, orange, _ = inks(extra, at(other, 9, 3))
	assert.Positive(t, orange, "an extra person is drawn, too")
	between := image.Rect(int(other.Keypoints[5].X), int(other.Keypoints[5].Y)+8, int(other.Keypoints[5].X)+1, int(other.Keypoints[7].Y)-8)
	_, orange, _ = inks(extra, between)
	assert.InDelta(t, 0.55, float64(orange)/float64(between.Dy()), 0.2, "its bones are dashed, for who sees no colours")
	between = between.Sub(image.Pt(500, 0))
	blue, _, _ = inks(draw(list{p}, nil), between)
	assert.Equal(t, between.Dy(), blue, "those wanted are whole")

	near, far := moved(p, 9, 2.9, 0), moved(p, 9, -60, 0)
	_, _, white = inks(draw(list{p}, list{near}), photo)
	assert.Zero(t, white, "a joint that moved by less than 3 px has no arrow")
	img = draw(list{p}, list{far})
	_, _, white = inks(img, at(moved(p, 9, -30, 0), 9, 5))
	assert.Positive(t, white, "one that moved by 60 px has")
	_, orange, _ = inks(img, at(far, 9, 6))
	assert.Positive(t, orange, "and it is drawn where it is now")

	low := moved(far, 9, 0, 0)
	low.Keypoints[9].Score = 0
	assert.Equal(t, img, draw(list{p}, list{low}), "whatever its score is now: it is asked for")
	unasked := moved(p, 9, 0, 0)
	unasked.Keypoints[9].Score = 0
	blue, orange, white = inks(draw(list{unasked}, list{far}), at(far, 9, 6))
	assert.Zero(t, blue+orange+white, "a joint that nobody asked for is not drawn")

	wild := p
	for j, v := range []float64{math.NaN(), math.Inf(1), -1e9, 1e4} {
		wild = moved(wild, j, v, v)
	}
	assert.NotPanics(t, func() { draw(list{p}, list{wild}) }, "a collapsed model may put a joint anywhere")
	assert.NotPanics(t, func() { draw(list{wild}, list{p}) })
	assert.NotPanics(t, func() { draw(list{{}}, list{{Keypoints: p.Keypoints[:3]}}) }, "or have another skeleton")
}

func TestOverlaySize(t *testing.T) {
	for _, row := range []struct{ width, height, wantWidth, photoHeight int }{
		{1280, 720, 1280, 720},  // as it is
		{2000, 1000, 1480, 740}, // reduced
		{1600, 1600, 1480, 1480},
		{320, 240, 1280, 960}, // enlarged
		{20, 640, 480, 1280},  // wide enough for a legend
		{1, 1, 1280, 1280},
	} {
		img := picture(t, report.Overlay{Photo: grey(row.width, row.height), Title: "a title", Want: []pose.Person{upright(0, 0)}})
		assert.Equal(t, row.wantWidth, img.Bounds().Dx(), "%v", row)
		assert.Greater(t, img.Bounds().Dy(), row.photoHeight, "%v", row)
		assert.LessOrEqual(t, img.Bounds().Dy(), row.photoHeight+120, "%v", row)
		assert.LessOrEqual(t, img.Bounds().Dy(), 1600, "%v", row)
	}
}

func TestOverlayIsDeterministic(t *testing.T) {
	o := report.Overlay{Photo: grey(640, 480), Want: []pose.Person{upright(50, 50), upright(300, 20)}, Got: []pose.Person{moved(upright(50, 50), 3, 9, 9)}, Title: "cell"}
	var a, b bytes.Buffer
	require.NoError(t, o.PNG(&a))
	require.NoError(t, o.PNG(&b))
	assert.True(t, bytes.Equal(a.Bytes(), b.Bytes()))
}

func TestOverlayWithoutPhotograph(t *testing.T) {
	for _, photo := range []*pose.Image{nil, {}, {Width: 2, Height: 2, Pix: make([]byte, 3)}} {
		assert.ErrorContains(t, report.Overlay{Photo: photo, Title: "band"}.PNG(&strings.Builder{}), `overlay "band": there is no photograph to draw on`)
	}
}
