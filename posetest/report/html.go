package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
)

var (
	//go:embed report.html.tmpl
	htmlText string
	//go:embed report.css
	styleSheet string
	//go:embed report.js
	script string
)

var htmlTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("report").Parse(htmlText))
})

// HTML writes the page as one file that asks nothing of any network: style, plots and pictures are in it, and its policy
// forbids the browser to fetch anything.
func (p Page) HTML(w io.Writer) error {
	p = p.sorted()
	v, err := p.view()
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := htmlTemplate().Execute(&b, v); err != nil {
		return err
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// A view is the page in the template's words.
type view struct {
	Policy          string
	Style           template.CSS
	Script          template.JS
	Summary         string
	Verdict         string // of the whole: ok or bad
	Counts          []classCount
	Kinds           []string
	Known           []string
	Repeated        string
	Unexpected      []linked
	Flaky           []linked
	Quarantines     []quarantineView
	Changed         string // the section's title
	ChangeNote      string
	Changes         []linked
	Filters         []filter
	Matrices        []matrixView
	Legend          []meaningView
	Worths          []worthView
	Reasons         []reasonView
	Figures         []figure
	Pictures        []picture
	Absent          []absentView
	Elsewhere       [][]string
	ElsewhereHeader []string
	Missing         []string
	Cells           []cellView
}

type classCount struct {
	Class, Slug, Glyph string
	N                  int
}

// A linked is a cell's name, where it leads, and lines about it. ID is for a cell that is in no matrix.
type linked struct {
	ID, Href, Name string
	Lines          []string
}

type filter struct {
	Name, Label string
	Options     []string
}

type matrixView struct {
	Caption string
	Columns []columnView
	Models  []modelView
}

type columnView struct{ Provider, ORT string }

type modelView struct {
	Model string
	Rows  []rowView
}

type rowView struct {
	Precision string
	Cells     []matrixCell
}

// A matrixCell is one cell of the matrix; Href is empty for one that does not exist.
type matrixCell struct {
	ID, Href, Class, Slug, Glyph, Word, Times, Known, Label string
	Unexpected                                              bool
}

type meaningView struct{ Word, Slug, Glyph, Text string }

type worthView struct {
	Model, Where, Sentence, Answer string
}

type quarantineView struct {
	Row, Cells, What, Term, Owner, See string
}

type reasonView struct {
	Cells, What, Why, See, Known, Row string
	Links                             []linked
}

type absentView struct {
	Provider, Message string
	Runtimes          []linked
}

// A cellView is what a cell opens to.
type cellView struct {
	ID, Back, Name, Title, Where string
	Class, Slug, Glyph           string
	Problem                      string
	Error                        string
	Parsed                       string
	Log                          []string
	Earlier                      string
	Tally                        string
	Ways                         []string
	Why, See                     string
	Known, Row, Seen             string
	Facts                        []fact
	Joints                       []jointView
	Photos                       []photoView
	Warnings                     []string
	Commands                     []string
}

type jointView struct {
	Name, Median, P95, Max string
	N                      int
}

type photoView struct {
	Name, OKS, Time, Error string
	People, Persons        int
}

// Glyphs tell classes apart without colour.
var glyphs = map[expect.Class]string{expect.ClassLoads: "✓", expect.ClassFallsBack: "↩", expect.ClassWrong: "≠", expect.ClassFails: "✕",
	expect.ClassCrashes: "†", expect.ClassHangs: "∞", expect.ClassUnavailable: "∅", expect.ClassUnverified: "?"}

func slug(c expect.Class) string { return strings.ReplaceAll(string(c), " ", "-") }

// id is a cell's place in the page: its name, and the kind of machine where there are several.
func (p Page) id(r Result) string {
	id := r.Cell.String()
	if p.several() {
		id += "/on=" + r.Machine.OS + "-" + r.Machine.Arch + "-" + r.Machine.ISA
	}
	return strings.Join(strings.Fields(id), "_")
}

func (p Page) view() (view, error) {
	var v view
	sum := sha256.Sum256([]byte(script))
	style := sha256.Sum256([]byte(styleSheet))
	hash := func(sum [32]byte) string { return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'" }
	v.Policy = fmt.Sprintf("default-src 'none'; img-src data:; style-src %s; script-src %s; base-uri 'none'; form-action 'none'", hash(style), hash(sum))
	v.Style, v.Script = template.CSS(styleSheet), template.JS(script)
	v.Summary, v.Verdict = fmt.Sprintf("%d cells, all as expected.", len(p.Results)), "ok"
	switch n := len(p.Unexpected()); {
	case len(p.Results) == 0:
		v.Summary = p.Summary()
	case n > 0:
		v.Summary, v.Verdict = fmt.Sprintf("%d cells, %d of them NOT as expected.", len(p.Results), n), "bad"
	}
	ids := make(map[place]string, len(p.Results))
	several := p.several()
	for _, r := range p.Results {
		ids[r.place()] = p.id(r)
	}
	href := func(r Result) string { return "#" + ids[r.place()] }
	name := func(r Result) string {
		s := fmt.Sprintf("%s %s on %s@%s", r.Model, r.Precision, r.Provider, r.ORT)
		if several {
			s += ", " + r.Machine.Kind()
		}
		return s
	}

	for _, c := range expect.Classes() {
		n := 0
		for _, r := range p.Results {
			if r.Class == c {
				n++
			}
		}
		if n > 0 {
			v.Counts = append(v.Counts, classCount{string(c), slug(c), glyphs[c], n})
		}
	}
	for _, k := range p.kinds() {
		v.Kinds = append(v.Kinds, k.String())
	}
	v.Known = p.knowns()
	for _, r := range p.Unexpected() {
		v.Unexpected = append(v.Unexpected, linked{Href: href(r), Name: name(r), Lines: lines(r.Problem.Error())})
	}
	v.Repeated = p.repeated()
	for _, f := range p.flakies() {
		v.Flaky = append(v.Flaky, linked{Href: href(f.result), Name: name(f.result), Lines: append(append([]string{f.result.Tally()}, f.ways...), f.quarantine)})
	}
	for _, q := range p.quarantines() {
		v.Quarantines = append(v.Quarantines, quarantineView{q.row, q.cells, q.does, q.term, q.owner, q.see})
	}
	changes, note := p.changes()
	if note != "" {
		v.Changed, v.ChangeNote = changedTitle(changes), note
	}
	for _, c := range changes {
		l := linked{Name: c.cells, Lines: c.what}
		if c.result != nil {
			l.Href, l.Name = href(*c.result), name(*c.result)
		}
		v.Changes = append(v.Changes, l)
	}
	v.Matrices = p.matrixViews(ids)
	v.Filters = p.filters()
	for _, l := range p.legend() {
		m := meaningView{Word: l.word, Text: l.text}
		if l.class != "" {
			m.Slug, m.Glyph = slug(l.class), glyphs[l.class]
		}
		v.Legend = append(v.Legend, m)
	}
	for _, w := range p.worths() {
		v.Worths = append(v.Worths, worthView{w.model, w.where, w.String(), [...]string{no: "no", unclear: "unclear", yes: "yes"}[w.verdict()]})
	}
	for _, r := range p.reasons() {
		view := reasonView{Cells: r.cells, What: r.what, Why: r.row.Why, See: r.row.See, Known: string(r.row.Status), Row: r.row.Where()}
		for _, cell := range r.results {
			view.Links = append(view.Links, linked{Href: href(cell), Name: name(cell)})
		}
		v.Reasons = append(v.Reasons, view)
	}
	v.Figures = p.figures(href)
	var err error
	if v.Pictures, err = p.pictures(href); err != nil {
		return view{}, err
	}
	for _, a := range p.absent() {
		view := absentView{Provider: a.provider, Message: a.message}
		for _, r := range a.results {
			view.Runtimes = append(view.Runtimes, linked{ID: "at/" + ids[r.place()], Href: href(r), Name: r.ORT + p.on(r.Machine.Kind())})
		}
		v.Absent = append(v.Absent, view)
	}
	v.ElsewhereHeader = []string{"platform", "provider", "runtimes", "model", "precision", "expected", "known by"}
	for _, row := range p.elsewhere() {
		var words []string
		for _, word := range row {
			words = append(words, fmt.Sprint(word))
		}
		v.Elsewhere = append(v.Elsewhere, words)
	}
	v.Missing = p.Missing
	for _, r := range p.Results {
		v.Cells = append(v.Cells, r.view(ids[r.place()], name(r)))
	}
	return v, nil
}

// knowns say how many cells are known in which way.
func (p Page) knowns() []string {
	count := map[string]int{}
	for _, r := range p.Results {
		word, sentence := r.known()
		if word != "reported" && word != "verified" {
			sentence = word
		}
		count[sentence]++
	}
	var all []string
	for sentence, n := range count {
		all = append(all, fmt.Sprintf("%d cells %s", n, sentence))
	}
	slices.Sort(all)
	return all
}

func (p Page) matrixViews(ids map[place]string) []matrixView {
	var all []matrixView
	for _, g := range p.grids() {
		m := matrixView{Caption: "Does it load, and does it find the people?"}
		if g.on != "" {
			m.Caption += " On " + g.on + "."
		}
		for _, c := range g.columns {
			m.Columns = append(m.Columns, columnView{c.provider, c.ort})
		}
		for _, row := range g.rows {
			if n := len(m.Models); n == 0 || m.Models[n-1].Model != row[0] {
				m.Models = append(m.Models, modelView{Model: row[0]})
			}
			cells := make([]matrixCell, len(g.columns))
			for i, c := range g.columns {
				if r, known := g.cells[observe.Cell{Model: row[0], Precision: row[1], Provider: c.provider, ORT: c.ort}]; known {
					cells[i] = r.matrixCell(ids[r.place()])
				}
			}
			last := &m.Models[len(m.Models)-1]
			last.Rows = append(last.Rows, rowView{row[1], cells})
		}
		all = append(all, m)
	}
	return all
}

func (r Result) matrixCell(id string) matrixCell {
	c := matrixCell{ID: "at/" + id, Href: "#" + id, Class: string(r.Class), Slug: slug(r.Class), Glyph: glyphs[r.Class], Word: string(r.Class), Unexpected: r.Problem != nil}
	c.Known, _ = r.known()
	if r.Class == expect.ClassFallsBack {
		c.Word += " " + r.fallsBack()
	}
	if word := r.steadiness(); word != "" {
		c.Word += ", " + word
	}
	if r.Outcome == observe.Loads {
		c.Times = ms(r.Load) + " / " + ms(r.Run)
	}
	return c
}

// filters are the words that the matrix can be narrowed to.
func (p Page) filters() []filter {
	words := func(name, label string, get func(Result) string, compare func(a, b string) int) filter {
		f := filter{Name: name, Label: label}
		for _, r := range p.Results {
			if !r.unavailable() {
				f.Options = append(f.Options, get(r))
			}
		}
		slices.Sort(f.Options)
		f.Options = slices.Compact(f.Options)
		slices.SortFunc(f.Options, compare)
		return f
	}
	known := func(r Result) string { word, _ := r.known(); return word }
	class := func(a, b string) int {
		return slices.Index(expect.Classes(), expect.Class(a)) - slices.Index(expect.Classes(), expect.Class(b))
	}
	all := []filter{
		words("model", "Model", func(r Result) string { return r.Model }, strings.Compare),
		words("precision", "Precision", func(r Result) string { return r.Precision }, comparePrecision),
		words("provider", "Provider", func(r Result) string { return r.Provider }, strings.Compare),
		words("ort", "Runtime", func(r Result) string { return r.ORT }, compareORT),
		words("class", "Verdict", func(r Result) string { return string(r.Class) }, class),
		words("known", "Known by", known, strings.Compare),
	}
	return slices.DeleteFunc(all, func(f filter) bool { return len(f.Options) < 2 })
}

// lines are the lines of a message that have words.
func lines(s string) []string {
	var all []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

func (r Result) view(id, name string) cellView {
	c := cellView{ID: id, Back: "#at/" + id, Name: name, Title: r.Model + " " + r.Precision, Where: r.Provider + "@" + r.ORT,
		Class: string(r.Class), Slug: slug(r.Class), Glyph: glyphs[r.Class], Why: r.Row.Why, See: r.Row.See,
		Facts: r.facts(), Warnings: r.LogErrors, Commands: r.commands()}
	if r.Class == expect.ClassFallsBack {
		c.Class += " " + r.fallsBack()
	}
	if r.Problem != nil {
		c.Problem = r.Problem.Error()
	}
	if r.Outcome != observe.Loads {
		c.Error = expect.Describe(r.Observation)
	}
	if f := r.Failure; f != nil && f.Op != "" {
		c.Parsed = fmt.Sprintf("operator %s, opset %d, node %s", f.Op, f.Opset, f.Node)
	}
	if r.Death != nil {
		c.Log = r.Death.Log
	}
	for _, o := range r.Earlier {
		c.Earlier += " " + string(o)
	}
	if len(r.Variants) > 0 {
		c.Tally, c.Ways = r.Tally(), expect.Ways(r.Observation)
	}
	_, c.Known = r.known()
	if r.Row.Line > 0 {
		c.Row = r.Row.Where()
	}
	c.Seen = r.Machine.Kind() + ", " + r.Machine.CPU
	if !r.When.IsZero() {
		c.Seen = r.When.UTC().Format("2006-01-02 15:04 UTC") + ", " + c.Seen
	}
	if r.Drift != nil && r.Drift.Matched > 0 {
		for _, j := range r.Drift.Joints {
			c.Joints = append(c.Joints, jointView{jointName(j.Joint), percent(j.Median), percent(j.P95), percent(j.Max), j.Error.Joints})
		}
	}
	for _, p := range r.Photos {
		c.Photos = append(c.Photos, photoView{p.Fixture, fmt.Sprintf("%.2f", p.OKS), ms(p.Infer), p.Error, p.People, len(p.Persons)})
	}
	return c
}
