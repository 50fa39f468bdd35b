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
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
)

// A Result is one cell that was run, with what was made of it.
type Result struct {
	observe.Observation
	Row     expect.Row
	Class   expect.Class
	Share   float64 // of the nodes on the provider that was asked for, 0…1
	Problem error   // in what it differs from its row; nil if in nothing
}

// A Page is all that a report is made of.
type Page struct {
	Results []Result
	Missing []string // what is not here, and what would bring it
	Table   expect.Table
	Machine observe.Machine
	Threads int
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

// Text writes the page for a terminal.
func (p Page) Text(w io.Writer, style Style) {
	paint := func(c expect.Class, unexpected bool, s string) string {
		if !style.Color {
			return s
		}
		if unexpected {
			return text.Colors{text.Bold, text.FgRed, text.ReverseVideo}.Sprint(s)
		}
		return text.Colors{colors[c]}.Sprint(s)
	}
	for _, m := range p.matrices(style.Width, paint) {
		fmt.Fprintf(w, "%s\n\n", m.Render())
	}
	fmt.Fprintf(w, "%s\n", p.legend())
	if t := p.absent(); t != nil {
		fmt.Fprintf(w, "\nNot in these builds (in the runtime's exact words):\n%s\n", t.Render())
	}
	if t := p.elsewhere(); t != nil {
		fmt.Fprintf(w, "\nNot seen on this machine:\n%s\n", t.Render())
	}
	for _, missing := range p.Missing {
		fmt.Fprintf(w, "\nskipped: %s", missing)
	}
	if len(p.Missing) > 0 {
		fmt.Fprintln(w)
	}
	for _, r := range p.Unexpected() {
		fmt.Fprintf(w, "\nUNEXPECTED %s: %v\n", r.Cell, r.Problem)
	}
	fmt.Fprintf(w, "\n%s\n", p.Summary())
}

var colors = map[expect.Class]text.Color{expect.ClassLoads: text.FgGreen, expect.ClassFallsBack: text.FgYellow, expect.ClassWrong: text.FgMagenta,
	expect.ClassFails: text.FgRed, expect.ClassCrashes: text.FgRed, expect.ClassHangs: text.FgRed, expect.ClassUnavailable: text.FgHiBlack}

// Markdown writes the page for a repository.
func (p Page) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Does it load, and does it find the people?\n\n")
	fmt.Fprintf(&b, "%s\n\nSeen on %s, %s (%s), threads=%d in each session, by `make report`.\n\n", p.Summary(), p.Machine.Platform(), p.Machine.CPU, p.Machine.ISA, p.Threads)
	plain := func(_ expect.Class, _ bool, s string) string { return s }
	for _, m := range p.matrices(0, plain) {
		fmt.Fprintf(&b, "%s\n\n", m.RenderMarkdown())
	}
	fmt.Fprintf(&b, "%s\n\n", p.legend())
	if t := p.reasons(); t != nil {
		fmt.Fprintf(&b, "## Why\n\n%s\n\n", t.RenderMarkdown())
	}
	if t := p.absent(); t != nil {
		fmt.Fprintf(&b, "## Not in these builds\n\n%s\n\n", t.RenderMarkdown())
	}
	if t := p.elsewhere(); t != nil {
		fmt.Fprintf(&b, "## Not seen on this machine\n\n%s\n\n", t.RenderMarkdown())
	}
	if unexpected := p.Unexpected(); len(unexpected) > 0 {
		fmt.Fprintf(&b, "## Unexpected\n\n")
		for _, r := range unexpected {
			fmt.Fprintf(&b, "- `%s`: %s\n", r.Cell, strings.Join(strings.Fields(r.Problem.Error()), " "))
		}
		fmt.Fprintln(&b)
	}
	for _, missing := range p.Missing {
		fmt.Fprintf(&b, "Skipped: %s\n\n", missing)
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

// Summary is one sentence.
func (p Page) Summary() string {
	count := map[expect.Class]int{}
	for _, r := range p.Results {
		count[r.Class]++
	}
	var parts []string
	for _, c := range expect.Classes() {
		if count[c] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[c], c))
		}
	}
	bad := len(p.Unexpected())
	verdict := "all as expected"
	if bad > 0 {
		verdict = fmt.Sprintf("%d NOT as expected", bad)
	}
	return fmt.Sprintf("%d cells: %s; %s.", len(p.Results), strings.Join(parts, ", "), verdict)
}

func (p Page) legend() string {
	return fmt.Sprintf("In each cell: class, load time/run time in ms (median; threads=%d, with other cells beside). "+
		"falls back: so many %% of the nodes are on another provider. wrong: loads, and does not find the people. ! differs from its row.", p.Threads)
}

type column struct{ provider, ort string }

// matrices are the table of models by provider@runtime, in parts that fit the width.
func (p Page) matrices(width int, paint func(expect.Class, bool, string) string) []table.Writer {
	const first, each = 34, 20 // columns of text
	cells := map[observe.Cell]Result{}
	var columns []column
	var rows [][2]string
	for _, r := range p.Results {
		if r.Class == expect.ClassUnavailable && r.Problem == nil {
			continue // in a table of their own
		}
		cells[r.Cell] = r
		columns = append(columns, column{r.Provider, r.ORT})
		rows = append(rows, [2]string{r.Model, r.Precision})
	}
	slices.SortFunc(columns, func(a, b column) int { return cmp.Or(cmp.Compare(a.provider, b.provider), compareORT(a.ort, b.ort)) })
	columns = slices.Compact(columns)
	slices.SortFunc(rows, func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), comparePrecision(a[1], b[1]))
	})
	rows = slices.Compact(rows)
	fit := max(1, len(columns))
	if width > 0 {
		fit = max(1, (width-first)/each)
	}
	var all []table.Writer
	for part := range slices.Chunk(columns, fit) {
		t := newTable()
		header := table.Row{"model", "precision"}
		for _, c := range part {
			header = append(header, c.provider+"@"+c.ort)
		}
		t.AppendHeader(header)
		for i, row := range rows {
			line := table.Row{row[0], row[1]}
			if i > 0 && rows[i-1][0] == row[0] {
				line[0] = ""
			} else if i > 0 {
				t.AppendSeparator()
			}
			for _, c := range part {
				r, ok := cells[observe.Cell{Model: row[0], Precision: row[1], Provider: c.provider, ORT: c.ort}]
				if !ok {
					line = append(line, "–")
					continue
				}
				line = append(line, paint(r.Class, r.Problem != nil, r.word()))
			}
			t.AppendRow(line)
		}
		all = append(all, t)
	}
	return all
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
		s += fmt.Sprintf(" %.0f%%", 100-100*r.Share)
	}
	if r.Outcome == observe.Loads {
		s += fmt.Sprintf(" %s/%s", ms(r.Load), ms(r.Run))
	}
	if len(r.Row.Sometimes) > 0 {
		s += " (unstable)"
	}
	if r.Problem != nil {
		s = "! " + s
	}
	return s
}

// ms is a time in milliseconds, to two digits.
func ms(d time.Duration) string {
	v := float64(d) / 1e6
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// reasons explains, row by row, each cell that is anything but right.
func (p Page) reasons() table.Writer {
	cells := map[string][]Result{}
	for _, r := range p.Results {
		if r.Row.Why != "" && r.Class != expect.ClassUnavailable && r.Problem == nil {
			cells[r.Row.Where()] = append(cells[r.Row.Where()], r)
		}
	}
	if len(cells) == 0 {
		return nil
	}
	t := newTable()
	t.AppendHeader(table.Row{"cells", "what", "why", "known by", "row"})
	for _, row := range p.Table {
		rs := cells[row.Where()]
		if len(rs) == 0 {
			continue
		}
		what := string(rs[0].Class)
		if rs[0].Class != expect.ClassLoads && rs[0].Outcome != observe.Loads {
			what = expect.Describe(rs[0].Observation)
		}
		why := row.Why
		if row.See != "" {
			why += " (" + row.See + ")"
		}
		t.AppendRow(table.Row{summarize(rs), what, why, row.Status, row.Where()})
	}
	return t
}

// summarize names several cells of one row shortly.
func summarize(rs []Result) string {
	field := func(get func(Result) string, compare func(a, b string) int) string {
		var words []string
		for _, r := range rs {
			words = append(words, get(r))
		}
		slices.SortFunc(words, compare)
		return strings.Join(slices.Compact(words), " ")
	}
	return fmt.Sprintf("%s, %s, %s, %s",
		field(func(r Result) string { return r.Model }, strings.Compare),
		field(func(r Result) string { return r.Precision }, comparePrecision),
		field(func(r Result) string { return r.Provider }, strings.Compare),
		field(func(r Result) string { return r.ORT }, compareORT))
}

// absent lists the providers that the runtimes do not bring.
func (p Page) absent() table.Writer {
	type key struct{ provider, message string }
	orts := map[key][]string{}
	for _, r := range p.Results {
		if r.Class == expect.ClassUnavailable && r.Problem == nil {
			k := key{r.Provider, r.Failure.Message}
			orts[k] = append(orts[k], r.ORT)
		}
	}
	if len(orts) == 0 {
		return nil
	}
	keys := make([]key, 0, len(orts))
	for k := range orts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.provider, b.provider), cmp.Compare(a.message, b.message))
	})
	t := newTable()
	t.AppendHeader(table.Row{"provider", "runtimes", "words"})
	for _, k := range keys {
		slices.SortFunc(orts[k], compareORT)
		t.AppendRow(table.Row{k.provider, strings.Join(slices.Compact(orts[k]), " "), k.message})
	}
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, WidthMax: 40, WidthMaxEnforcer: text.WrapSoft}, {Number: 3, WidthMax: 90, WidthMaxEnforcer: text.WrapSoft}})
	return t
}

// elsewhere lists the rows that only another platform can show, or that nobody has shown.
func (p Page) elsewhere() table.Writer {
	t := newTable()
	t.AppendHeader(table.Row{"platform", "provider", "runtimes", "model", "precision", "expected", "known by"})
	n := 0
	for _, row := range p.Table {
		if row.Status.Word() == "verified" {
			continue
		}
		expected := string(row.Want)
		if row.Finds != "" && row.Finds != expect.People {
			expected += ", finds " + string(row.Finds)
		}
		t.AppendRow(table.Row{set(row.Platform), set(row.Provider), cmp.Or(row.ORT.String(), "all"), set(row.Model), set(row.Precision), expected, row.Status})
		n++
	}
	if n == 0 {
		return nil
	}
	return t
}

func set(s expect.Set) string { return cmp.Or(strings.Join(s, " "), "all") }
