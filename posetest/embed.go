package posetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/format"
	"go/token"
	"maps"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/choose"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/session"
)

// SupportTable is a configuration's support table as an app can ship it and ask: of cfg.Models alone, if there are any. It
// needs no model's file and no runtime.
func SupportTable(cfg Config) (choose.Table, error) {
	h, err := open(cfg)
	if err != nil {
		return choose.Table{}, err
	}
	if err := h.checkFilters(); err != nil {
		return choose.Table{}, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	if h.table == nil {
		return choose.Table{}, fmt.Errorf("%w: no golden/support.toml in %s, which would say what is supported", ErrSetup, h.Dir)
	}
	models := slices.DeleteFunc(slices.Clone(h.catalogue.Models), func(m catalog.Model) bool { return !selected(h.Models, m.ID) })
	return embed(models, h.runtimes, h.table, h.speeds), nil
}

// embed writes a table in the words of models and runtimes: ranges of versions become lists of runtimes, and what is for none
// of them is left out.
func embed(models []catalog.Model, runtimes []ortlib.Runtime, table expect.Table, speeds expect.Speeds) choose.Table {
	t := choose.Table{Format: choose.Format, Models: map[string][]choose.File{}, ISAs: map[string][]string{}, Providers: map[string]string{}, Lacks: expect.Lacks()}
	for _, m := range models {
		t.Models[m.ID] = append(t.Models[m.ID], choose.File{Precision: m.Precision, Name: m.File, SHA256: m.SHA256})
	}
	for _, files := range t.Models {
		slices.SortStableFunc(files, func(a, b choose.File) int { return ordinal(a.Precision) - ordinal(b.Precision) })
	}
	for _, r := range runtimes {
		for _, platform := range slices.Sorted(maps.Keys(r.Platforms)) {
			t.Builds = append(t.Builds, choose.Build{Runtime: r.ID(), Platform: platform, Providers: r.Platforms[platform].Providers})
			t.ISAs[platform] = isasOf(platform)
		}
	}
	for _, v := range session.Variants() {
		t.Providers[v.ID] = session.RuntimeName(v.ID)
	}
	w := vocabulary{models: slices.Collect(maps.Keys(t.Models)), providers: slices.Collect(maps.Keys(t.Providers)), platforms: slices.Sorted(maps.Keys(t.ISAs)), runtimes: runtimes}
	for _, m := range models {
		w.precisions = append(w.precisions, m.Precision)
	}
	for _, platform := range w.platforms {
		w.isas = append(w.isas, t.ISAs[platform]...)
	}
	for _, r := range table {
		if c, ok := w.conditions(r.Conditions); ok {
			t.Rows = append(t.Rows, w.row(r, c))
		}
	}
	for _, s := range speeds {
		if c, ok := w.conditions(s.Conditions); ok {
			t.Speeds = append(t.Speeds, choose.Speed{Conditions: c, AtLeast: s.AtLeast, AtMost: s.AtMost, Status: string(s.Status), Verified: w.verified(s.Status), Where: s.Where()})
		}
	}
	return t
}

// ordinal puts fp32, which the others are held to, before them.
func ordinal(precision string) int {
	if precision == "fp32" {
		return 0
	}
	return 1
}

// A vocabulary is the words that a table to be shipped may have.
type vocabulary struct {
	models, precisions, providers, platforms, isas []string
	runtimes                                       []ortlib.Runtime
}

// conditions are those of a row in words that there are; false where one of its lists has none of them.
func (w vocabulary) conditions(c expect.Conditions) (choose.Conditions, bool) {
	var runtimes []string
	for _, r := range w.runtimes {
		if c.Distribution.Has(r.Distribution) && c.ORT.Has(r.Version) {
			runtimes = append(runtimes, r.ID())
		}
	}
	some := len(runtimes) > 0
	if len(c.Distribution) == 0 && c.ORT.String() == "" {
		runtimes = nil
	}
	among := func(set expect.Set, known []string) []string {
		if len(set) == 0 {
			return nil
		}
		left := slices.DeleteFunc(slices.Clone([]string(set)), func(word string) bool { return !slices.Contains(known, word) })
		some = some && len(left) > 0
		return left
	}
	left := choose.Conditions{
		Model:     among(c.Model, w.models),
		Precision: among(c.Precision, w.precisions),
		Provider:  among(c.Provider, w.providers),
		Runtime:   runtimes,
		Platform:  among(c.Platform, w.platforms),
		ISA:       among(c.ISA, w.isas),
		Lacks:     among(c.Lacks, expect.Lacks()),
	}
	return left, some
}

func (w vocabulary) row(r expect.Row, c choose.Conditions) choose.Row {
	row := choose.Row{Conditions: c, Passes: Steady(r), Does: does(r), Placement: r.Placement, Message: r.Message, Why: r.Why, See: r.See,
		Status: string(r.Status), Verified: w.verified(r.Status), Where: r.Where()}
	for precision, bars := range r.Drift {
		if bars.Mode == "" || !slices.Contains(w.precisions, precision) {
			continue
		}
		if row.Drift == nil {
			row.Drift = map[string]string{}
		}
		row.Drift[precision] = string(bars.Mode)
	}
	return row
}

// verified are the platforms on which a run showed it.
func (w vocabulary) verified(s expect.Status) []string {
	var all []string
	for _, platform := range w.platforms {
		if s.Verified(platform) {
			all = append(all, platform)
		}
	}
	return all
}

// does says what a row's cells do, of which the runtime's message is no part.
func does(r expect.Row) string {
	s := string(r.Want)
	switch r.Want {
	case observe.Unavailable:
		s = "is unavailable"
	case observe.Crashes, observe.Hangs:
		if r.Signal != "" {
			s += " by " + r.Signal
		}
		s += " during " + r.During
	case observe.Fails:
		if r.Message == "" && r.Op != "" {
			s += fmt.Sprintf(" at %s(%d), node %s", r.Op, r.Opset, r.Node)
		}
	case observe.Loads:
		s += map[expect.Finds]string{expect.Nobody: " and finds nobody", expect.Some: " and does not find everybody", expect.NotRun: " and does not run"}[r.Finds]
	}
	if r.Unstable() {
		s += fmt.Sprintf(", and sometimes %s: quarantined until %s", strings.Join(r.Sometimes, " or "), r.Until)
	}
	return s
}

// SupportJSON is a table as a file that an app in any language can read: a row a line.
func SupportJSON(t choose.Table) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(t); err != nil {
		return nil, err
	}
	return oneALine(b.Bytes()), nil
}

// oneALine breaks JSON that has no space so that each value of the second level has a line of its own.
func oneALine(text []byte) []byte {
	var b bytes.Buffer
	depth, inText := 0, false
	newline := func() {
		if depth <= 2 {
			fmt.Fprintf(&b, "\n%*s", depth, "")
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case inText && c == '\\':
			b.WriteByte(c)
			i++
			c = text[i]
		case c == '"':
			inText = !inText
		case inText:
		case c == '}' || c == ']':
			if depth--; depth < 2 {
				newline()
			}
		}
		b.WriteByte(c)
		if inText {
			continue
		}
		switch c {
		case '{', '[':
			depth++
			newline()
		case ',':
			newline()
		}
	}
	return b.Bytes()
}

// SupportGo is a table as a Go file of a package, with one variable, Table.
func SupportGo(t choose.Table, name string) ([]byte, error) {
	if !token.IsIdentifier(name) || name == "_" {
		return nil, fmt.Errorf("%w: --package %q is no name of a Go package; give one such as support", ErrSetup, name)
	}
	text, err := SupportJSON(t)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by posetest embed-table. DO NOT EDIT.\n\npackage %s\n\nimport \"github.com/posetest/suite/posetest/choose\"\n\n", name)
	b.WriteString("// Table says which precision of which model was verified where: Table.Select tells which may be used.\n")
	// In JSON a backquote is in a string, and may be written as its number.
	fmt.Fprintf(&b, "var Table = choose.MustParse(`%s`)\n", strings.ReplaceAll(string(text), "`", `\u0060`))
	return format.Source(b.Bytes())
}
