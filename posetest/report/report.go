package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
)

// A Result is one cell that was run, with what was made of it.
type Result struct {
	observe.Observation
	Row   expect.Row
	Class expect.Class
	Share float64 // of the nodes on the provider that was asked for, 0…1
	// Drift is what the cell costs against fp32 on the same provider and runtime; nil if one of them did not load.
	Drift   *drift.Drift
	Problem error // in what it differs from its row; nil if in nothing
}

// A Page is all that a report is made of.
type Page struct {
	Results []Result
	Missing []string // what is not here, and what would bring it
	Table   expect.Table
	Today   time.Time // whose day, by UTC, quarantines are held to; the zero value says nothing of days left
	// Before are the results of the report before, for what has changed since; nil without one.
	Before []Result
	// Photograph gives a photograph by id and sum, with whom it is by; nil for one that is not here. Without it the page
	// has no pictures.
	Photograph func(id, sha256 string) (img *pose.Image, credit string)
}

// A Style says how a terminal shows a page.
type Style struct {
	Width int  // columns; 0 for no limit
	Color bool // ANSI colours
}

// Unexpected are the results that differ from their rows.
func (p Page) Unexpected() []Result {
	var all []Result
	for _, r := range p.Results {
		if r.Problem != nil {
			all = append(all, r)
		}
	}
	return all
}

// Matrix writes the matrix alone, and its summary, as the terminal shows them.
func (p Page) Matrix(w io.Writer) error {
	p = p.sorted()
	for _, m := range p.matrices(Style{}) {
		if _, err := fmt.Fprintf(w, "%s\n\n", m.Render()); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, p.Summary())
	return err
}

// Text writes the page for a terminal.
func (p Page) Text(w io.Writer, style Style) {
	p = p.sorted()
	var b strings.Builder
	for _, m := range p.matrices(style) {
		if m.on != "" {
			fmt.Fprintf(&b, "%s\n", m.on)
		}
		fmt.Fprintf(&b, "%s\n\n", m.Render())
	}
	for _, l := range p.legend() {
		word := fmt.Sprintf("%-11s ", l.word)
		if style.Color && l.class != "" {
			word = colors[l.class].Sprint(word)
		}
		fmt.Fprintf(&b, "%s%s\n", word, strings.Join(fold(l.text, style.Width-12), "\n"+strings.Repeat(" ", 12)))
	}
	list := func(title string, items ...[]string) {
		if len(items) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n%s\n", title)
		for _, item := range items {
			for i, line := range item {
				indent := "  "
				if i > 0 {
					indent = "      "
				}
				for _, part := range fold(line, style.Width-len(indent)) {
					fmt.Fprintf(&b, "%s%s\n", indent, part)
				}
			}
		}
	}
	var items [][]string
	for _, r := range p.reasons() {
		items = append(items, []string{r.cells + ": " + r.what, r.why, fmt.Sprintf("%s (%s)", r.row.Status, r.row.Where())})
	}
	list("Why:", items...)
	items = nil
	for _, w := range p.worths() {
		items = append(items, []string{w.model + " on " + w.where + ": " + w.String()})
	}
	list("Instead of fp32, by the times of this one run:", items...)
	items = nil
	for _, a := range p.absent() {
		items = append(items, []string{a.provider + ": " + a.message, strings.Join(a.orts, " ")})
	}
	list("Not in these builds, or not started here, in the runtime's words:", items...)
	if rows := p.elsewhere(); len(rows) > 0 {
		list("Not seen on this machine:", []string{fmt.Sprintf("%d rows of the support table are for other platforms, or nobody has shown them; the Markdown page lists them", len(rows))})
	}
	items = nil
	for _, missing := range p.Missing {
		items = append(items, []string{missing})
	}
	list("Skipped:", items...)
	if changes, note := p.changes(); note != "" {
		items = [][]string{{note}}
		for _, c := range changes {
			items = append(items, append([]string{c.cells}, c.what...))
		}
		list(changedTitle(changes)+":", items...)
	}
	items = nil
	for _, f := range p.flakies() {
		items = append(items, append([]string{f.result.Cell.String() + p.on(f.result.Machine.Kind()) + ": " + f.result.Tally()}, append(f.ways, f.quarantine)...))
	}
	list(flakyTitle+":", items...)
	items = nil
	for _, q := range p.quarantines() {
		items = append(items, []string{q.row + ": " + q.term, q.does + "; " + q.cells, "owner " + q.owner + ", " + q.see})
	}
	list(quarantineTitle+":", items...)
	for _, r := range p.Unexpected() {
		mark := "UNEXPECTED"
		if style.Color {
			mark = alarm.Sprint(mark)
		}
		fmt.Fprintf(&b, "\n%s %s\n", mark, r.Cell)
		for line := range strings.Lines(r.Problem.Error()) {
			for _, part := range fold(line, style.Width-4) {
				fmt.Fprintf(&b, "    %s\n", part)
			}
		}
	}
	fmt.Fprintf(&b, "\n%s\n", strings.Join(fold(p.Summary(), style.Width), "\n"))
	io.WriteString(w, b.String())
}

// sorted is the page with all that came in some order in one order.
func (p Page) sorted() Page {
	p.Results = slices.SortedStableFunc(slices.Values(p.Results), func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), comparePrecision(a.Precision, b.Precision), cmp.Compare(a.Provider, b.Provider), compareORT(a.ORT, b.ORT),
			cmp.Compare(a.Machine.Kind(), b.Machine.Kind()))
	})
	p.Missing = slices.Compact(slices.Sorted(slices.Values(p.Missing)))
	return p
}

func changedTitle(changes []change) string {
	if len(changes) == 0 {
		return "Nothing changed since the report before"
	}
	return "Changed since the report before"
}

// fold parts a text between words into lines of so many columns; a longer word has a line of its own. Without a width it
// is one line.
func fold(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && width > 0 && text.StringWidth(line)+1+text.StringWidth(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

var (
	colors = map[expect.Class]text.Color{expect.ClassLoads: text.FgGreen, expect.ClassFallsBack: text.FgYellow, expect.ClassWrong: text.FgMagenta,
		expect.ClassFails: text.FgRed, expect.ClassCrashes: text.FgRed, expect.ClassHangs: text.FgRed, expect.ClassUnavailable: text.FgHiBlack}
	alarm = text.Colors{text.Bold, text.FgRed, text.ReverseVideo}
)

// Markdown writes the page for a repository.
func (p Page) Markdown(w io.Writer) error {
	p = p.sorted()
	var b strings.Builder
	fmt.Fprintf(&b, "# Does it load, and does it find the people?\n\n")
	fmt.Fprintf(&b, "%s\n\n", p.Summary())
	for _, k := range p.kinds() {
		fmt.Fprintf(&b, "Seen on %s, by `make report`.\n\n", escape(k.String()))
	}
	for _, m := range p.matrices(Style{}) {
		if m.on != "" {
			fmt.Fprintf(&b, "### %s\n\n", m.on)
		}
		fmt.Fprintf(&b, "%s\n\n", m.RenderMarkdown())
	}
	for _, l := range p.legend() {
		fmt.Fprintf(&b, "- **%s** %s\n", l.word, l.text)
	}
	section := func(title string, header table.Row, rows []table.Row) {
		if len(rows) == 0 {
			return
		}
		t := newTable()
		t.AppendHeader(header)
		for _, row := range rows {
			for i := range row {
				row[i] = escape(fmt.Sprint(row[i]))
			}
			t.AppendRow(row)
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", title, t.RenderMarkdown())
	}
	var rows []table.Row
	for _, r := range p.reasons() {
		rows = append(rows, table.Row{r.cells, r.what, r.why, r.row.Status, r.row.Where()})
	}
	section("Why", table.Row{"cells", "what", "why", "known by", "row"}, rows)
	rows = nil
	for _, w := range p.worths() {
		rows = append(rows, table.Row{w.model, w.where, w.String()})
	}
	section("Instead of fp32, by the times of one run", table.Row{"model", "where", "worth it?"}, rows)
	rows = nil
	for _, a := range p.absent() {
		rows = append(rows, table.Row{a.provider, strings.Join(a.orts, " "), a.message})
	}
	section("Not in these builds, or not started here", table.Row{"provider", "runtimes", "the runtime's words"}, rows)
	section("Not seen on this machine", table.Row{"platform", "provider", "runtimes", "model", "precision", "expected", "known by"}, p.elsewhere())
	rows = nil
	for _, f := range p.flakies() {
		rows = append(rows, table.Row{f.result.Cell.String() + p.on(f.result.Machine.Kind()), f.result.Tally(), strings.Join(f.ways, "; "), f.quarantine})
	}
	section(flakyTitle, table.Row{"cell", "seen", "ways", "quarantine"}, rows)
	rows = nil
	for _, q := range p.quarantines() {
		rows = append(rows, table.Row{q.row, q.cells, q.does, q.term, q.owner, q.see})
	}
	section(quarantineTitle, table.Row{"row", "cells", "what", "until", "owner", "reference"}, rows)
	list := func(title string, items []string) {
		if len(items) > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n- %s\n", title, strings.Join(items, "\n- "))
		}
	}
	var unexpected, skipped []string
	for _, r := range p.Unexpected() {
		unexpected = append(unexpected, fmt.Sprintf("`%s`: %s", r.Cell, escape(r.Problem.Error())))
	}
	for _, missing := range p.Missing {
		skipped = append(skipped, escape(missing))
	}
	list("Unexpected", unexpected)
	list("Skipped", skipped)
	if changes, note := p.changes(); note != "" {
		lines := []string{escape(note)}
		for _, c := range changes {
			lines = append(lines, fmt.Sprintf("%s: %s", escape(c.cells), escape(strings.Join(c.what, "; "))))
		}
		list(changedTitle(changes), lines)
	}
	p.cellsMarkdown(section)
	_, err := io.WriteString(w, b.String())
	return err
}

// escape makes a text one line that Markdown shows as it is. (The table escapes its own bars.)
func escape(s string) string {
	return markdown.Replace(strings.Join(strings.Fields(s), " "))
}

var markdown = strings.NewReplacer(`\`, `\\`, "*", `\*`, "<", "&lt;", ">", "&gt;", "&", "&amp;")

// Summary is one sentence.
func (p Page) Summary() string {
	bad := len(p.Unexpected())
	verdict := "all as expected"
	if bad > 0 {
		verdict = fmt.Sprintf("%d NOT as expected", bad)
	}
	if len(p.Results) == 0 {
		return "0 cells: nothing was run."
	}
	return strings.TrimSpace(fmt.Sprintf("%d cells: %s; %s. %s", len(p.Results), counts(p.Results), verdict, p.repeated()))
}

// counts says how many results are of each class.
func counts(results []Result) string {
	count := map[expect.Class]int{}
	for _, r := range results {
		count[r.Class]++
	}
	var parts []string
	for _, c := range expect.Classes() {
		if count[c] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[c], c))
		}
	}
	return strings.Join(parts, ", ")
}

type meaning struct {
	class      expect.Class
	word, text string
}

var meanings = map[expect.Class]string{
	expect.ClassLoads:       "runs wholly on its provider, and finds the people",
	expect.ClassFallsBack:   "finds the people, and so many % of its nodes run on another provider than was asked for",
	expect.ClassWrong:       "loads and runs, and does not find the people: don't ship it",
	expect.ClassFails:       "the runtime refuses the model with a message",
	expect.ClassCrashes:     "the process dies",
	expect.ClassHangs:       "no answer within the time limit",
	expect.ClassUnavailable: "the provider is not in this build, or does not start here",
	expect.ClassUnverified:  "not run here",
}

// legend explains the words that the page uses.
func (p Page) legend() []meaning {
	if len(p.Results) == 0 {
		return nil
	}
	all := []meaning{{word: "a/b", text: "load time/run time in ms (median; with other cells beside)"}}
	has := func(f func(Result) bool) bool { return slices.ContainsFunc(p.Results, f) }
	for _, c := range expect.Classes() {
		if has(func(r Result) bool { return r.Class == c }) {
			all = append(all, meaning{c, string(c), meanings[c]})
		}
	}
	if has(func(r Result) bool { return r.Row.Unstable() && !r.Flaky() }) {
		all = append(all, meaning{word: "(unstable)", text: "does something else at times; what is shown is what it does in the end"})
	}
	if has(func(r Result) bool { return r.Flaky() }) {
		all = append(all, meaning{word: "(flaky)", text: "did other things when it was repeated; what is shown is what it did most often"})
	}
	if len(p.Unexpected()) > 0 {
		all = append(all, meaning{word: "!", text: "differs from its row of the support table: see below what to do"})
	}
	return all
}

type column struct{ provider, ort string }

func (c column) String() string { return c.provider + "@" + c.ort }

// A grid is a table of models by provider@runtime, of one kind of machine.
type grid struct {
	on      string // the kind, if there are several
	rows    [][2]string
	columns []column
	cells   map[observe.Cell]Result
}

// grids are the matrix, one a kind of machine. Providers that a build does not bring are in a table of their own.
func (p Page) grids() []grid {
	var all []grid
	kinds := p.kinds()
	for _, k := range kinds {
		g := grid{cells: map[observe.Cell]Result{}}
		if len(kinds) > 1 {
			g.on = k.Kind()
		}
		for _, r := range p.Results {
			if r.Machine.Kind() != k.Kind() || r.Class == expect.ClassUnavailable && r.Problem == nil {
				continue
			}
			g.cells[r.Cell] = r
			g.columns = append(g.columns, column{r.Provider, r.ORT})
			g.rows = append(g.rows, [2]string{r.Model, r.Precision})
		}
		slices.SortFunc(g.columns, func(a, b column) int { return cmp.Or(cmp.Compare(a.provider, b.provider), cmp.Compare(a.ort, b.ort)) })
		g.columns = slices.Compact(g.columns) // first, as versions are slow to compare
		slices.SortFunc(g.columns, func(a, b column) int { return cmp.Or(cmp.Compare(a.provider, b.provider), compareORT(a.ort, b.ort)) })
		g.rows = slices.Compact(g.rows) // they come sorted
		all = append(all, g)
	}
	return all
}

// A matrix is a grid, or a part of it that fits the width, for a terminal or Markdown.
type matrix struct {
	table.Writer
	on string
}

// matrices are the grids in parts that fit the width.
func (p Page) matrices(style Style) []matrix {
	var all []matrix
	for _, g := range p.grids() {
		for _, part := range p.parts(g.columns, style.Width) {
			t := newTable()
			header := table.Row{"model", "precision"}
			for _, c := range part {
				header = append(header, c)
			}
			t.AppendHeader(header)
			for i, row := range g.rows {
				line := table.Row{row[0], row[1]}
				if i > 0 && g.rows[i-1][0] == row[0] {
					line[0] = ""
				} else if i > 0 {
					t.AppendSeparator()
				}
				for _, c := range part {
					r, ok := g.cells[observe.Cell{Model: row[0], Precision: row[1], Provider: c.provider, ORT: c.ort}]
					word := "–"
					if ok {
						word = r.word()
					}
					switch {
					case !ok || !style.Color:
					case r.Problem != nil:
						word = alarm.Sprint(word)
					default:
						word = colors[r.Class].Sprint(word)
					}
					line = append(line, word)
				}
				t.AppendRow(line)
			}
			all = append(all, matrix{t, g.on})
		}
	}
	return all
}

// parts distributes columns on tables of so many columns of text; without a width on one.
func (p Page) parts(columns []column, width int) [][]column {
	const border = 3 // of each column, and 1 at the end
	widths := map[column]int{}
	model, precision := len("model"), len("precision")
	for _, r := range p.Results {
		model, precision = max(model, text.StringWidth(r.Model)), max(precision, text.StringWidth(r.Precision))
		c := column{r.Provider, r.ORT}
		widths[c] = max(widths[c], text.StringWidth(c.String()), text.StringWidth(r.word()))
	}
	first := model + border + precision + border + 1
	var parts [][]column
	left := 0
	for _, c := range columns {
		need := widths[c] + border
		if len(parts) == 0 || width > 0 && need > left {
			parts, left = append(parts, nil), width-first
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], c)
		left -= need
	}
	return parts
}

func newTable() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	return t
}

// word is a cell of the matrix.
func (r Result) word() string {
	s := string(r.Class)
	if r.Class == expect.ClassFallsBack {
		s += " " + r.fallsBack()
	}
	if r.Outcome == observe.Loads {
		s += fmt.Sprintf(" %s/%s", ms(r.Load), ms(r.Run))
	}
	if word := r.steadiness(); word != "" {
		s += " (" + word + ")"
	}
	if r.Problem != nil {
		s = "! " + s
	}
	return s
}

// fallsBack is the share of the nodes on another provider, which is neither none nor all.
func (r Result) fallsBack() string { return fmt.Sprintf("%.0f%%", min(99, max(1, 100-100*r.Share))) }

// ms is a time in milliseconds, with a decimal below 10; "–" if it was not taken.
func ms(d time.Duration) string {
	v := float64(d) / 1e6
	if d == 0 {
		return "–"
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// A reason explains cells of one row that do the same.
type reason struct {
	cells, what, why string
	row              expect.Row
	results          []Result
}

// reasons explain, row by row, each cell that is anything but right.
func (p Page) reasons() []reason {
	type key struct{ where, what string }
	cells := map[key][]Result{}
	var keys []key // in the order of the results
	for _, r := range p.Results {
		if r.Row.Why == "" || r.Class == expect.ClassUnavailable || r.Problem != nil {
			continue
		}
		k := key{r.Row.Where(), string(r.Class)}
		if r.Outcome != observe.Loads {
			k.what = expect.Describe(r.Observation)
		}
		if cells[k] == nil {
			keys = append(keys, k)
		}
		cells[k] = append(cells[k], r)
	}
	slices.SortStableFunc(keys, func(a, b key) int { return cmp.Compare(cells[a][0].Row.Line, cells[b][0].Row.Line) })
	var all []reason
	for _, k := range keys {
		row := cells[k][0].Row
		why := row.Why
		if row.See != "" {
			why += " (" + row.See + ")"
		}
		all = append(all, reason{p.summarize(cells[k]), k.what, why, row, cells[k]})
	}
	return all
}

// summarize names several cells of one row shortly.
func (p Page) summarize(rs []Result) string {
	field := func(get func(Result) string, compare func(a, b string) int) string {
		var words []string
		for _, r := range rs {
			words = append(words, get(r))
		}
		slices.SortFunc(words, compare)
		return strings.Join(slices.Compact(words), " ")
	}
	s := fmt.Sprintf("%s, %s, %s, %s",
		field(func(r Result) string { return r.Model }, strings.Compare),
		field(func(r Result) string { return r.Precision }, comparePrecision),
		field(func(r Result) string { return r.Provider }, strings.Compare),
		field(func(r Result) string { return r.ORT }, compareORT))
	if p.several() {
		s += ", " + field(func(r Result) string { return r.Machine.Kind() }, strings.Compare)
	}
	return s
}

// An absentee is a provider that runtimes do not bring.
type absentee struct {
	provider, message string
	orts              []string
	results           []Result
}

func (p Page) absent() []absentee {
	var all []absentee
	for _, r := range p.Results {
		if r.Class != expect.ClassUnavailable || r.Problem != nil {
			continue
		}
		i := slices.IndexFunc(all, func(a absentee) bool { return a.provider == r.Provider && a.message == r.Failure.Message })
		if i < 0 {
			i, all = len(all), append(all, absentee{provider: r.Provider, message: r.Failure.Message})
		}
		all[i].orts = append(all[i].orts, r.ORT+p.on(r.Machine.Kind()))
		all[i].results = append(all[i].results, r)
	}
	slices.SortFunc(all, func(a, b absentee) int {
		return cmp.Or(cmp.Compare(a.provider, b.provider), cmp.Compare(a.message, b.message))
	})
	for i := range all {
		slices.SortFunc(all[i].orts, compareORT)
		all[i].orts = slices.Compact(all[i].orts)
	}
	return all
}

// elsewhere lists the rows that only another platform can show, or that nobody has shown.
func (p Page) elsewhere() []table.Row {
	var rows []table.Row
	for _, row := range p.Table {
		seen := slices.ContainsFunc(p.Results, func(r Result) bool { return r.Row.Line == row.Line })
		if row.Status.Word() == "verified" || seen {
			continue
		}
		expected := string(row.Want)
		if row.Finds != "" && row.Finds != expect.People {
			expected += ", finds " + string(row.Finds)
		}
		rows = append(rows, table.Row{set(row.Platform), set(row.Provider), cmp.Or(row.ORT.String(), "all"), set(row.Model), set(row.Precision), expected, row.Status})
	}
	return rows
}

func set(s expect.Set) string { return cmp.Or(strings.Join(s, " "), "all") }
