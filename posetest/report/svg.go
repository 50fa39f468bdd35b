package report

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"
)

// An svg is a drawing in the making. Colours are classes of the page's style sheet, so that they follow its scheme.
type svg struct {
	strings.Builder
	width, height float64
}

func newSVG(width, height float64) *svg { return &svg{width: width, height: height} }

// HTML is the drawing as an element; label says what it shows to whoever does not see it.
func (s *svg) HTML(label string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %s %s" width="%s" height="%s" role="group" aria-label="%s">%s</svg>`,
		num(s.width), num(s.height), num(s.width), num(s.height), html.EscapeString(label), s.String()))
}

// num is a coordinate: a tenth of a pixel is enough.
func num(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

func (s *svg) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(s, `<path class="%s" d="M%s %sL%s %s"/>`, class, num(x1), num(y1), num(x2), num(y2))
}

func (s *svg) polyline(class string, points []point) {
	var d strings.Builder
	for i, p := range points {
		fmt.Fprintf(&d, "%c%s %s", "ML"[min(i, 1)], num(p.x), num(p.y))
	}
	fmt.Fprintf(s, `<path class="%s" d="%s"/>`, class, d.String())
}

func (s *svg) rect(class string, x, y, width, height float64) {
	fmt.Fprintf(s, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`, class, num(x), num(y), num(width), num(height))
}

// text has its base line at y; anchor is start, middle or end.
func (s *svg) text(class, anchor string, x, y float64, text string) {
	fmt.Fprintf(s, `<text class="%s" text-anchor="%s" x="%s" y="%s">%s</text>`, class, anchor, num(x), num(y), html.EscapeString(text))
}

// A shape is a mark that tells providers apart without colour.
type shape int

const (
	disc shape = iota
	square
	triangle
	diamond
)

// mark is a shape about a point; what it is of stands in title, which a pointer over it shows, and href is where it leads.
func (s *svg) mark(class string, shape shape, at point, radius float64, title, href string) {
	var body string
	x, y, r := at.x, at.y, radius
	switch shape {
	case square:
		body = fmt.Sprintf(`<rect x="%s" y="%s" width="%s" height="%s">`, num(x-r*0.9), num(y-r*0.9), num(1.8*r), num(1.8*r))
	case triangle:
		body = fmt.Sprintf(`<path d="M%s %sL%s %sL%s %sZ">`, num(x), num(y-1.2*r), num(x+1.1*r), num(y+0.8*r), num(x-1.1*r), num(y+0.8*r))
	case diamond:
		body = fmt.Sprintf(`<path d="M%s %sL%s %sL%s %sL%s %sZ">`, num(x), num(y-1.3*r), num(x+1.3*r), num(y), num(x), num(y+1.3*r), num(x-1.3*r), num(y))
	default:
		body = fmt.Sprintf(`<circle cx="%s" cy="%s" r="%s">`, num(x), num(y), num(r))
	}
	end := map[bool]string{true: "</circle>", false: "</path>"}[shape == disc]
	if shape == square {
		end = "</rect>"
	}
	if title != "" {
		body += "<title>" + html.EscapeString(title) + "</title>"
	}
	body = fmt.Sprintf(`<g class="%s">%s%s</g>`, class, body, end)
	if href != "" { // the matrix leads there by keyboard, with a name a person understands
		body = fmt.Sprintf(`<a href="%s" tabindex="-1" aria-hidden="true">%s</a>`, html.EscapeString(href), body)
	}
	s.WriteString(body)
}

// A scale maps numbers to pixels.
type scale struct {
	min, max float64
	from, to float64 // pixels
	log      bool
}

func (s scale) at(v float64) float64 {
	low, high := s.min, s.max
	if s.log {
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	if high == low {
		return (s.from + s.to) / 2
	}
	return s.from + (v-low)/(high-low)*(s.to-s.from)
}

// around is a scale that holds all values; a logarithmic one ends at 1, 2 or 5 times a power of ten.
func around(values []float64, from, to float64, log bool) scale {
	s := scale{min: slices.Min(values), max: slices.Max(values), from: from, to: to, log: log}
	if log {
		steps := steps()
		low, high := s.min, s.max
		for _, step := range steps {
			if step <= low {
				s.min = step
			}
			if step >= high {
				s.max = step
				break
			}
		}
	}
	return s
}

// steps are 1, 2 and 5 times each power of ten that a time in ms may have.
func steps() []float64 {
	var all []float64
	for power := -4; power <= 7; power++ {
		for _, digit := range []float64{1, 2, 5} {
			all = append(all, digit*math.Pow(10, float64(power)))
		}
	}
	return all
}

// ticks of a logarithmic scale.
func (s scale) ticks() []float64 {
	var all []float64
	for _, step := range steps() {
		if step >= s.min*0.999 && step <= s.max*1.001 {
			all = append(all, step)
		}
	}
	return all
}

// tick is a tick's text; the largest has the unit.
func (s scale) tick(v float64) string {
	if v >= s.max*0.999 {
		return fmt.Sprint(v) + " ms"
	}
	return fmt.Sprint(v)
}

// A tag is a label that wants to stand at some height.
type tag struct {
	text, class string
	x, y        float64
}

// spread moves tags up and down until they are so far apart and between top and bottom, in the order of their heights.
func spread(tags []tag, apart, top, bottom float64) []tag {
	tags = slices.SortedStableFunc(slices.Values(tags), func(a, b tag) int {
		return cmp.Or(cmp.Compare(a.y, b.y), cmp.Compare(a.text, b.text))
	})
	for range 50 {
		for i := 1; i < len(tags); i++ {
			if lack := apart - (tags[i].y - tags[i-1].y); lack > 0 {
				tags[i-1].y -= lack / 2
				tags[i].y += lack / 2
			}
		}
	}
	for i := range tags {
		tags[i].y = max(tags[i].y, top+apart*float64(i))
	}
	for i := range tags {
		tags[len(tags)-1-i].y = min(tags[len(tags)-1-i].y, bottom-apart*float64(i))
	}
	return tags
}

// tags writes names to the right of what they are of, with a line there where they had to move.
func (s *svg) tags(tags []tag, top, bottom float64) {
	for _, t := range spread(tags, lineHeight, top, bottom) {
		from := tags[slices.IndexFunc(tags, func(u tag) bool { return u.text == t.text })]
		s.line("leader", from.x+5, from.y, plotWidth-plotRight+6, t.y)
		s.text(t.class, "start", plotWidth-plotRight+9, t.y+4, t.text)
	}
}
