package report

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/expect"
)

// A figure is a plot with its caption, in panels.
type figure struct {
	Title, Caption string
	Panels         []panel
}

type panel struct {
	Title string
	SVG   template.HTML
}

// figures are all plots that the results have numbers for.
func (p Page) figures(href func(Result) string) []figure {
	all := []figure{
		{"Speed against accuracy", "One mark a cell that ran. To the left is faster, upwards is more accurate: OKS of the best person found to whoever is there, on average over the photographs with people. The shape says the provider, the label the precision.", p.speedAccuracy(href, onPhotographs, expect.MinOKS)},
		{"Speed against COCO's AP", "As above, with COCO's average precision on its annotated photographs.", p.speedAccuracy(href, onCOCO, 0.1)},
		{"Latency of single runs", "Each timed run of a session, its median as a bar, in the newest runtime of each distribution. With other cells beside, so the spread is also that of a busy machine.", p.latencies(href)},
		{"Speed by runtime version", "Median run time of one image; the label says the precision.", p.versions(href)},
		{"Error by joint", "How far joints are from where fp32 sees them, in % of the person's size: the bar is the median, the line goes on to the 95th percentile, which the number says. Only persons found again count.", p.jointErrors()},
	}
	return slices.DeleteFunc(all, func(f figure) bool { return len(f.Panels) == 0 })
}

// hue is the style of a precision: floating point, dynamic INT8, static INT8, or anything else.
func hue(precision string) string {
	switch {
	case precision == "fp32" || precision == "fp16":
		return "k0"
	case precision == "int8" || precision == "uint8":
		return "k1"
	case strings.HasPrefix(precision, "int8"):
		return "k2"
	}
	return "k3"
}

// shapes gives each provider a mark.
func (p Page) shapes() map[string]shape {
	all := map[string]shape{}
	for _, r := range p.Results {
		all[r.Provider] = disc
	}
	for i, provider := range slices.Sorted(maps.Keys(all)) {
		all[provider] = shape(i % 4)
	}
	return all
}

// group puts results under the first key that each has, in order of the keys' first results.
func group(all []Result, key func(Result) string) (keys []string, groups map[string][]Result) {
	groups = map[string][]Result{}
	for _, r := range all {
		k := key(r)
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], r)
	}
	return keys, groups
}

// timed are the results that have a run time.
func (p Page) timed() []Result {
	var all []Result
	for _, r := range p.Results {
		if r.Run > 0 {
			all = append(all, r)
		}
	}
	return all
}

func (p Page) byModel(all []Result) ([]string, map[string][]Result) {
	return group(all, func(r Result) string { return r.Model + p.on(r.Machine.Kind()) })
}

func millis(d time.Duration) float64 { return float64(d) / 1e6 }

// A measure of accuracy, 0…1, if the cell has it.
type measure func(Result) (float64, bool)

func onPhotographs(r Result) (float64, bool) {
	mean, _, photos := r.accuracy()
	return mean, photos > 0
}

func onCOCO(r Result) (float64, bool) {
	if r.COCO == nil {
		return 0, false
	}
	return r.COCO.AP, true
}

// Sizes of plots in pixels.
const (
	plotWidth  = 560
	plotHeight = 340
	plotLeft   = 46
	plotRight  = 96 // for labels
	plotTop    = 12
	plotBottom = 36
	lineHeight = 14
)

// speedAccuracy has a panel a model. What is less accurate than collapsed stands in a strip below, so that there is room to
// tell the others apart.
func (p Page) speedAccuracy(href func(Result) string, accuracy measure, collapsed float64) []panel {
	var have []Result
	for _, r := range p.timed() {
		if _, ok := accuracy(r); ok {
			have = append(have, r)
		}
	}
	shapes := p.shapes()
	models, groups := p.byModel(have)
	var panels []panel
	for _, model := range models {
		s := newSVG(plotWidth, plotHeight)
		var times, right []float64
		strip := false
		providers := map[string]bool{}
		for _, r := range groups[model] {
			times = append(times, millis(r.Run))
			providers[r.Provider] = true
			if v, _ := accuracy(r); v < collapsed {
				strip = true
			} else {
				right = append(right, v)
			}
		}
		const bottom = plotHeight - plotBottom
		x := around(times, plotLeft, plotWidth-plotRight, true)
		y := scale{0, 1, bottom, plotTop, false}
		if len(right) > 0 {
			y.min, y.max = math.Floor(slices.Min(right)*20)/20, math.Ceil(slices.Max(right)*20)/20
			y.max = max(y.max, y.min+0.05)
		}
		if strip {
			y.from -= 34
		}
		s.timeAxis(x, plotTop, bottom)
		if steps := math.Round((y.max - y.min) * 20); len(right) > 0 {
			every := math.Ceil(steps/6) / 20
			for v := y.min; v < y.max+0.001; v += every {
				s.line("grid", plotLeft, y.at(v), plotWidth-plotRight, y.at(v))
				s.text("tick", "end", plotLeft-6, y.at(v)+4, fmt.Sprintf("%.2f", v))
			}
		}
		if strip {
			s.rect("strip", plotLeft, bottom-22, plotWidth-plotRight-plotLeft, 22)
			s.text("tick", "end", plotLeft-6, bottom-7, fmt.Sprintf("< %.2g", collapsed))
		}
		precisions, points := group(groups[model], func(r Result) string { return r.Precision })
		var tags []tag
		for _, precision := range precisions {
			last := tag{text: precision, class: "t " + hue(precision), x: math.Inf(-1)}
			s.WriteString(`<g class="s">`)
			for _, r := range points[precision] {
				v, _ := accuracy(r)
				at := point{x.at(millis(r.Run)), bottom - 11}
				if v >= collapsed {
					at.y = y.at(v)
				}
				s.mark("m "+hue(precision), shapes[r.Provider], at, 4, fmt.Sprintf("%s %s@%s: %s ms, %.3f", r.Precision, r.Provider, r.ORT, ms(r.Run), v), href(r))
				if at.x > last.x {
					last.x, last.y = at.x, at.y
				}
			}
			s.WriteString("</g>")
			tags = append(tags, last)
		}
		s.tags(tags, plotTop, bottom-2)
		left := float64(plotLeft)
		for _, provider := range slices.Sorted(maps.Keys(providers)) {
			s.mark("m k3", shapes[provider], point{left + 5, plotHeight - 7}, 4, "", "")
			s.text("tick", "start", left+13, plotHeight-3, provider)
			left += 30 + 7*float64(len(provider))
		}
		panels = append(panels, panel{model, s.HTML("Run time against accuracy of " + model + "; the numbers are in the table of cells")})
	}
	return panels
}

// timeAxis draws the grid of a logarithmic axis of milliseconds.
func (s *svg) timeAxis(x scale, top, bottom float64) {
	for _, v := range x.ticks() {
		s.line("grid", x.at(v), top, x.at(v), bottom)
		s.text("tick", "middle", x.at(v), bottom+14, x.tick(v))
	}
}

// newest tells which results are of the newest runtime of their provider and distribution.
func newest(all []Result) []Result {
	key := func(r Result) string { return r.Provider + " " + distribution(r.ORT) + " " + r.Machine.Kind() }
	best := map[string]string{}
	for _, r := range all {
		if have, known := best[key(r)]; !known || compareORT(r.ORT, have) > 0 {
			best[key(r)] = r.ORT
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(r Result) bool { return r.ORT != best[key(r)] })
}

// distribution is a runtime's distribution, "" for the plain one.
func distribution(id string) string {
	if m := ort.FindStringSubmatch(id); m != nil {
		return m[1]
	}
	return id
}

func (p Page) latencies(href func(Result) string) []panel {
	models, groups := p.byModel(newest(p.timed()))
	var panels []panel
	for _, model := range models {
		var times []float64
		for _, r := range groups[model] {
			for _, run := range runs(r) {
				times = append(times, millis(run))
			}
		}
		where, rows := group(groups[model], func(r Result) string { return column{r.Provider, r.ORT}.String() })
		const left = 92
		height := float64(plotTop + plotBottom)
		for _, w := range where {
			height += 22 + lineHeight*float64(len(rows[w]))
		}
		s := newSVG(plotWidth, height)
		x := around(times, left, plotWidth-plotRight, true)
		s.timeAxis(x, plotTop, height-plotBottom+8)
		y := float64(plotTop)
		for _, w := range where {
			y += 18
			s.text("head", "start", 0, y, w)
			y += 4
			for _, r := range rows[w] {
				y += lineHeight
				s.text("tick", "end", left-8, y, r.Precision)
				for _, run := range runs(r) {
					s.mark("m "+hue(r.Precision), disc, point{x.at(millis(run)), y - 4}, 3, "", "")
				}
				s.line("median "+hue(r.Precision), x.at(millis(r.Run)), y-10, x.at(millis(r.Run)), y+2)
				s.text("tick", "start", plotWidth-plotRight+9, y, fmt.Sprintf("%s ms", ms(r.Run)))
			}
		}
		panels = append(panels, panel{model, s.HTML("Times of single runs of " + model + "; the numbers are in the table of cells")})
	}
	return panels
}

func (p Page) versions(href func(Result) string) []panel {
	where, groups := group(p.timed(), func(r Result) string {
		name := r.Model + " on " + r.Provider
		if d := distribution(r.ORT); d != "" {
			name += " of onnxruntime-" + d
		}
		return name + p.on(r.Machine.Kind())
	})
	var panels []panel
	for _, w := range where {
		var orts []string
		var times []float64
		for _, r := range groups[w] {
			orts = append(orts, r.ORT)
			times = append(times, millis(r.Run))
		}
		slices.SortFunc(orts, compareORT)
		orts = slices.Compact(orts)
		if len(orts) < 2 {
			continue
		}
		s := newSVG(plotWidth, plotHeight-60)
		bottom := s.height - plotBottom + 8
		x := scale{0, float64(len(orts) - 1), plotLeft + 18, plotWidth - plotRight - 14, false}
		y := around(times, bottom, plotTop, true)
		for _, v := range y.ticks() {
			s.line("grid", plotLeft, y.at(v), plotWidth-plotRight, y.at(v))
			s.text("tick", "end", plotLeft-6, y.at(v)+4, y.tick(v))
		}
		for i, ort := range orts {
			s.text("tick", "middle", x.at(float64(i)), bottom+18, strings.TrimPrefix(ort, distribution(ort)+"-"))
		}
		precisions, rows := group(groups[w], func(r Result) string { return r.Precision })
		var tags []tag
		for n, precision := range precisions {
			slices.SortFunc(rows[precision], func(a, b Result) int { return compareORT(a.ORT, b.ORT) })
			var points []point
			for _, r := range rows[precision] {
				points = append(points, point{x.at(float64(slices.Index(orts, r.ORT))), y.at(millis(r.Run))})
			}
			s.WriteString(`<g class="s">`)
			s.polyline("line "+hue(precision)+dash(precision), points)
			for i, r := range rows[precision] {
				s.mark("m "+hue(precision), shape(n%4), points[i], 3, fmt.Sprintf("%s %s: %s ms", r.Precision, r.ORT, ms(r.Run)), href(r))
			}
			s.WriteString("</g>")
			last := points[len(points)-1]
			tags = append(tags, tag{precision, "t " + hue(precision), last.x, last.y})
		}
		s.tags(tags, plotTop, bottom)
		panels = append(panels, panel{w, s.HTML("Run time by runtime version of " + w + "; the numbers are in the table of cells")})
	}
	return panels
}

// dash is for dynamic INT8, so that its lines differ from the others without colour.
func dash(precision string) string {
	if hue(precision) == "k1" {
		return " dashed"
	}
	return ""
}

// jointErrors are a panel a model, of its newest runtime on the first provider that shows most precisions.
func (p Page) jointErrors() []panel {
	var have []Result
	for _, r := range p.Results {
		if r.Drift != nil && r.Drift.Matched > 0 && r.Precision != "fp32" {
			have = append(have, r)
		}
	}
	models, groups := p.byModel(newest(have))
	var panels []panel
	for _, model := range models {
		where, rows := group(groups[model], func(r Result) string { return column{r.Provider, r.ORT}.String() })
		best := slices.MaxFunc(where, func(a, b string) int {
			return cmp.Or(cmp.Compare(len(rows[a]), len(rows[b])), cmp.Compare(slices.Index(where, b), slices.Index(where, a)))
		})
		const left, width, gap, top = 92, 70, 38, 22
		cells := rows[best]
		joints := cells[0].Drift.Joints
		most := 0.0
		for _, r := range cells {
			for _, j := range r.Drift.Joints {
				most = max(most, j.P95)
			}
		}
		s := newSVG(left+float64(len(cells))*(width+gap), top+lineHeight*float64(len(joints))+6)
		for i, j := range joints {
			s.text("tick", "end", left-8, top+lineHeight*float64(i+1)-3, jointName(j.Joint))
		}
		for c, r := range cells {
			x := left + float64(c)*(width+gap)
			s.text("t "+hue(r.Precision), "start", x, top-8, r.Precision)
			bar := scale{0, max(most, 1e-9), 0, width, false}
			s.line("grid", x, top-2, x, s.height-4)
			for i, j := range r.Drift.Joints {
				y := top + lineHeight*float64(i)
				if j.Error.Joints == 0 {
					s.text("tick", "start", x+3, y+11, "–")
					continue
				}
				s.line("whisker "+hue(r.Precision), x, y+7, x+bar.at(j.P95), y+7)
				s.rect("bar "+hue(r.Precision), x, y+3.5, max(0.5, bar.at(j.Median)), 7)
				s.text("tick", "start", x+bar.at(j.P95)+3, y+11, percent(j.P95))
			}
		}
		panels = append(panels, panel{model + " on " + best, s.HTML("Error by joint of " + model + " on " + best + "; the numbers are in the table of cells")})
	}
	return panels
}

// unavailable tells of a provider that its build does not bring, as expected: it is in a table of its own.
func (r Result) unavailable() bool { return r.Class == expect.ClassUnavailable && r.Problem == nil }
