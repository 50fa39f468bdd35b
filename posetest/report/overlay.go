package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"slices"

	goldens "github.com/posetest/suite/posetest/golden"
	"github.com/posetest/suite/posetest/pose"
	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// An Overlay is a picture of what was wanted and what was got, over the photograph: both skeletons, an arrow where a
// joint has moved, and at each person wanted the number that the messages of package golden give it.
type Overlay struct {
	Photo             *pose.Image
	Want, Got         []pose.Person
	WantName, GotName string  // for the legend; default "want", "got"
	Title             string  // for the legend, such as the cell's name
	Moved             float64 // pixels of the photograph; a joint that moved by more has an arrow; default 3
	Side              int     // pixels of the longer side of the photograph in the picture; default by its size, 1280 to 1480
}

// A small photograph is enlarged to so many pixels, so that joints do not hide each other, and a large one reduced.
const (
	overlayMin = 1280
	overlayMax = 1480 // and some lines of legend below
)

// Blue and orange of Okabe and Ito differ for every kind of colour vision (https://jfly.uni-koeln.de/color/). One line is
// whole and thick and its joints are round, the other is dashed and thin with square joints, so that they differ without
// colours as well, and both are seen where they lie on each other.
var (
	wantStyle = style{ink: color.NRGBA{0x56, 0xb4, 0xe9, 0xff}, thick: 5, radius: 5.5}
	gotStyle  = style{ink: color.NRGBA{0xff, 0xa5, 0x1f, 0xff}, thick: 2.4, radius: 5, dashed: true}
	arrowInk  = color.NRGBA{0xff, 0xff, 0xff, 0xff}
	haloInk   = color.NRGBA{0x00, 0x00, 0x00, 0xa0}
	paper     = color.NRGBA{0x1c, 0x1c, 0x1c, 0xff}
)

type style struct {
	ink    color.NRGBA
	thick  float64 // of a bone, in pixels of the picture
	radius float64 // of a joint's mark
	dashed bool    // and joints are square
}

// sized is the style for a person: thinner lines and smaller marks for a small one.
func (s style) sized(p pose.Person, scale float64) style {
	factor := max(0.5, min(1, math.Sqrt(goldens.Truth(p).Area)*scale/250))
	s.thick, s.radius = s.thick*factor, s.radius*factor
	return s
}

// PNG writes the picture, whose sides are some 1600 pixels at most. The same overlay gives the same bytes.
func (o Overlay) PNG(w io.Writer) error { return o.write(w, png.Encode) }

// JPEG writes a smaller file of the same picture.
func (o Overlay) JPEG(w io.Writer) error {
	return o.write(w, func(w io.Writer, img image.Image) error { return jpeg.Encode(w, img, &jpeg.Options{Quality: 72}) })
}

func (o Overlay) write(w io.Writer, encode func(io.Writer, image.Image) error) error {
	img, err := o.draw()
	if err != nil {
		return fmt.Errorf("overlay %q: %w", o.Title, err)
	}
	var b bytes.Buffer
	if err := encode(&b, img); err != nil {
		return fmt.Errorf("overlay %q: %w", o.Title, err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

func (o Overlay) draw() (image.Image, error) {
	img := o.Photo
	if img == nil || img.Width <= 0 || img.Height <= 0 || len(img.Pix) != 3*img.Width*img.Height {
		return nil, errors.New("there is no photograph to draw on; read it with pose.ReadImage")
	}
	o.WantName, o.GotName, o.Moved = cmp.Or(o.WantName, "want"), cmp.Or(o.GotName, "got"), cmp.Or(o.Moved, 3)
	longer := float64(max(img.Width, img.Height))
	scale := max(1, overlayMin/longer) * min(1, overlayMax/longer)
	if o.Side > 0 {
		scale = float64(o.Side) / longer
	}
	photo := image.Rect(0, 0, max(1, int(float64(img.Width)*scale)), max(1, int(float64(img.Height)*scale)))

	face, err := newFace(15)
	if err != nil {
		return nil, err
	}
	items := []legendItem{{text: o.WantName, style: &wantStyle}, {text: o.GotName, style: &gotStyle}, {text: fmt.Sprintf("moved by more than %g px", o.Moved)}}
	if o.Title != "" {
		items = slices.Insert(items, 0, legendItem{text: o.Title, title: true})
	}
	rows := layout(face, items, max(photo.Dx(), 480))
	c := &canvas{RGBA: image.NewRGBA(image.Rect(0, 0, max(photo.Dx(), 480), photo.Dy()+8+legendLine*rows[len(rows)-1].row+legendLine)), face: face}
	draw.Draw(c.RGBA, c.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	draw.CatmullRom.Scale(c.RGBA, photo, dimmed(img), image.Rect(0, 0, img.Width, img.Height), draw.Src, nil)
	legend(c, rows, photo.Max.Y+4)
	o.skeletons(&canvas{RGBA: c.SubImage(photo).(*image.RGBA), face: face}, scale)
	return c.RGBA, nil
}

func (o Overlay) skeletons(c *canvas, scale float64) {
	at := func(k pose.Keypoint) point { return point{k.X * scale, k.Y * scale} }
	type label struct {
		text string
		pose.Person
		style
	}
	var labels []label
	var arrows [][2]point
	pairs := goldens.Match(o.Got, o.Want)
	for i, p := range o.Want {
		c.skeleton(p, seen(p), at, wantStyle.sized(p, scale))
		text := fmt.Sprint(i + 1)
		if !slices.ContainsFunc(pairs, func(q goldens.Pair) bool { return q.Want == i }) {
			text += " missing"
		}
		labels = append(labels, label{text, p, wantStyle})
	}
	for i, p := range o.Got {
		pair := slices.IndexFunc(pairs, func(q goldens.Pair) bool { return q.Got == i })
		if pair < 0 {
			c.skeleton(p, seen(p), at, gotStyle.sized(p, scale))
			labels = append(labels, label{"extra", p, gotStyle})
			continue
		}
		want := o.Want[pairs[pair].Want]
		joints := seen(want) // what is asked for, whatever its score is now
		for j, k := range p.Keypoints {
			joints[j] = joints[j] && drawable(k)
		}
		c.skeleton(p, joints, at, gotStyle.sized(p, scale))
		for j, from := range want.Keypoints {
			if to := p.Keypoints[j]; joints[j] && math.Hypot(to.X-from.X, to.Y-from.Y) > o.Moved {
				arrows = append(arrows, [2]point{at(from), at(to)})
			}
		}
	}
	for _, a := range arrows {
		c.arrow(a[0], a[1])
	}
	for _, l := range labels {
		top, bottom := point{0, math.Inf(1)}, point{0, math.Inf(-1)}
		for j, s := range seen(l.Person) {
			if p := at(l.Keypoints[j]); s {
				if p.y < top.y {
					top = p
				}
				if p.y > bottom.y {
					bottom = p
				}
			}
		}
		if l.dashed { // below, where no label of a person wanted is
			c.label(l.text, bottom.plus(point{0, 1}, 2*labelGap+labelHeight), l.ink)
		} else {
			c.label(l.text, top, l.ink)
		}
	}
}

// seen are the joints to draw: those that a person is known by.
func seen(p pose.Person) []bool {
	joints := make([]bool, len(p.Keypoints))
	truth := goldens.Truth(p)
	for j := range joints {
		joints[j] = j < len(truth.Keypoints) && truth.Keypoints[j][2] > 0 && drawable(p.Keypoints[j])
	}
	return joints
}

// drawable tells of a joint in the photograph or near it; a broken model may put one anywhere, and at NaN.
func drawable(k pose.Keypoint) bool { return math.Abs(k.X) < 2e4 && math.Abs(k.Y) < 2e4 }

// dimmed is the photograph with less colour and light, so that what is drawn over it stands out.
func dimmed(img *pose.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, img.Width, img.Height))
	for i, j := 0, 0; i < len(img.Pix); i, j = i+3, j+4 {
		r, g, b := int(img.Pix[i]), int(img.Pix[i+1]), int(img.Pix[i+2])
		grey := (299*r + 587*g + 114*b) / 1000
		for k, v := range [3]int{r, g, b} {
			out.Pix[j+k] = uint8((v + 2*grey) / 3 * 3 / 4)
		}
		out.Pix[j+3] = 0xff
	}
	return out
}

// A point is in pixels of the picture.
type point struct{ x, y float64 }

func (p point) plus(q point, times float64) point { return point{p.x + times*q.x, p.y + times*q.y} }

// direction is the unit vector from p to q and the distance; of a point to itself it is to the right.
func direction(p, q point) (point, float64) {
	d := math.Hypot(q.x-p.x, q.y-p.y)
	if d == 0 {
		return point{1, 0}, 0
	}
	return point{(q.x - p.x) / d, (q.y - p.y) / d}, d
}

// A canvas is a picture, or a part of one that drawing is confined to.
type canvas struct {
	*image.RGBA
	face font.Face
}

// skeleton draws the bones between joints that are seen, and those joints.
func (c *canvas) skeleton(p pose.Person, seen []bool, at func(pose.Keypoint) point, s style) {
	var bones, joints [][]point
	const halo = 1.5
	var around [][]point
	for _, bone := range pose.Skeleton {
		if bone[0] >= len(seen) || bone[1] >= len(seen) || !seen[bone[0]] || !seen[bone[1]] {
			continue
		}
		from, to := at(p.Keypoints[bone[0]]), at(p.Keypoints[bone[1]])
		for _, dash := range dashes(from, to, s) {
			bones = append(bones, line(dash[0], dash[1], s.thick))
			around = append(around, line(dash[0], dash[1], s.thick+2*halo))
		}
	}
	for j, k := range p.Keypoints {
		if j < len(seen) && seen[j] {
			joints = append(joints, s.joint(at(k), 0))
			around = append(around, s.joint(at(k), halo))
		}
	}
	c.fill(around, haloInk)
	c.fill(bones, s.ink)
	c.fill(joints, s.ink)
}

// joint is the mark of a joint: round, or square in a dashed style.
func (s style) joint(at point, halo float64) []point {
	if s.dashed {
		return regular(at, s.radius+1.4*halo, 4)
	}
	return regular(at, s.radius+halo, 24)
}

// dashes are the parts of a line to draw.
func dashes(from, to point, s style) [][2]point {
	if !s.dashed {
		return [][2]point{{from, to}}
	}
	const on, period = 8, 14
	along, length := direction(from, to)
	var all [][2]point
	for d := 0.0; d < length; d += period {
		all = append(all, [2]point{from.plus(along, d), from.plus(along, min(length, d+on))})
	}
	return all
}

// line is a stroke with flat ends.
func line(from, to point, thick float64) []point {
	along, _ := direction(from, to)
	across := point{-along.y, along.x}
	h := thick / 2
	return []point{from.plus(across, h), to.plus(across, h), to.plus(across, -h), from.plus(across, -h)}
}

// regular is a polygon of n corners on a circle; one of four stands on a side.
func regular(centre point, radius float64, n int) []point {
	all := make([]point, n)
	for i := range all {
		sin, cos := math.Sincos(2 * math.Pi * (float64(i) + 0.5) / float64(n))
		all[i] = centre.plus(point{cos, sin}, radius)
	}
	return all
}

// arrow draws from where a joint should be to where it is.
func (c *canvas) arrow(from, to point) {
	for _, pass := range []struct {
		grow float64
		ink  color.NRGBA
	}{{1.5, haloInk}, {0, arrowInk}} {
		along, length := direction(from, to)
		across := point{-along.y, along.x}
		head := min(12, max(6, length*0.6))
		tip, neck := to.plus(along, pass.grow), to.plus(along, -head)
		shapes := [][]point{{tip, neck.plus(along, -pass.grow).plus(across, head*0.45+pass.grow), neck.plus(along, -pass.grow).plus(across, -head*0.45-pass.grow)}}
		if length > head {
			shapes = append(shapes, line(from, neck, 2+2*pass.grow))
		}
		c.fill(shapes, pass.ink)
	}
}

// fill paints polygons as one shape, so that an ink that is not opaque is no darker where they overlap.
func (c *canvas) fill(polygons [][]point, ink color.NRGBA) {
	b := image.Rectangle{}
	for _, polygon := range polygons {
		for _, p := range polygon {
			b = b.Union(image.Rect(int(p.x)-2, int(p.y)-2, int(p.x)+2, int(p.y)+2))
		}
	}
	if b = b.Intersect(c.Bounds()); b.Empty() {
		return
	}
	r := vector.NewRasterizer(b.Dx(), b.Dy())
	for _, polygon := range polygons {
		area := 0.0
		for i, p := range polygon {
			q := polygon[(i+1)%len(polygon)]
			area += p.x*q.y - q.x*p.y
		}
		if area < 0 {
			slices.Reverse(polygon) // turned against each other, overlapping ones would cut holes
		}
		for i, p := range polygon {
			x, y := float32(p.x)-float32(b.Min.X), float32(p.y)-float32(b.Min.Y)
			if i == 0 {
				r.MoveTo(x, y)
			} else {
				r.LineTo(x, y)
			}
		}
		r.ClosePath()
	}
	r.Draw(c.RGBA, b, image.NewUniform(ink), image.Point{})
}

const (
	labelHeight = 20
	labelGap    = 12
)

// label writes above a point, inside the picture.
func (c *canvas) label(text string, at point, ink color.NRGBA) {
	const pad, height = 5, labelHeight
	b := c.Bounds()
	width := font.MeasureString(c.face, text).Ceil() + 2*pad
	clamp := func(v float64, low, high int) int { return max(low, min(high, int(max(-1e6, min(1e6, v))))) }
	x := clamp(at.x-float64(width)/2, b.Min.X, b.Max.X-width)
	y := clamp(at.y-height-labelGap, b.Min.Y, b.Max.Y-height)
	draw.Draw(c.RGBA, image.Rect(x, y, x+width, y+height), image.NewUniform(paper), image.Point{}, draw.Src)
	draw.Draw(c.RGBA, image.Rect(x, y+height-2, x+width, y+height), image.NewUniform(ink), image.Point{}, draw.Src)
	c.write(text, x+pad, y+14, ink)
}

// write puts text with its base line at y.
func (c *canvas) write(text string, x, y int, ink color.Color) {
	(&font.Drawer{Dst: c.RGBA, Src: image.NewUniform(ink), Face: c.face, Dot: fixed.P(x, y)}).DrawString(text)
}

func newFace(size float64) (font.Face, error) {
	parsed, err := opentype.Parse(gomedium.TTF)
	if err != nil {
		return nil, err
	}
	return opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
}

// A legendItem is a sample of a style, or of an arrow without one, and what it means.
type legendItem struct {
	text  string
	style *style
	title bool // no sample, and a row of its own
}

const (
	legendLine   = 24
	legendSample = 52
	legendGap    = 26
)

type placed struct {
	legendItem
	x, row int
}

// layout puts items beside each other, and below where they do not fit.
func layout(face font.Face, items []legendItem, width int) []placed {
	var all []placed
	x, row := 10, 0
	for i, item := range items {
		w := legendSample + font.MeasureString(face, item.text).Ceil()
		if i > 0 && (x+w > width || items[i-1].title) {
			x, row = 10, row+1
		}
		all = append(all, placed{item, x, row})
		x += w + legendGap
	}
	return all
}

func legend(c *canvas, items []placed, top int) {
	for _, item := range items {
		y := top + legendLine*item.row
		x := item.x
		if !item.title {
			from, to := point{float64(x), float64(y + 12)}, point{float64(x + legendSample - 10), float64(y + 12)}
			if item.style == nil {
				c.arrow(from, to)
			} else {
				for _, dash := range dashes(from, to, *item.style) {
					c.fill([][]point{line(dash[0], dash[1], item.style.thick)}, item.style.ink)
				}
				c.fill([][]point{item.style.joint(from.plus(point{1, 0}, 6), 0), item.style.joint(to.plus(point{1, 0}, -6), 0)}, item.style.ink)
			}
			x += legendSample
		}
		c.write(item.text, x, y+17, arrowInk)
	}
}
