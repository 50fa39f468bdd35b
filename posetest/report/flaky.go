package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/expect"
)

const (
	flakyTitle      = "Flaky"
	quarantineTitle = "In quarantine"
)

// A flaky is a cell whose repetitions went in several ways.
type flaky struct {
	result     Result
	ways       []string // how often each was seen
	quarantine string   // until when that is tolerated, or that it is not
}

// flakies are all, in the order of the results.
func (p Page) flakies() []flaky {
	var all []flaky
	for _, r := range p.Results {
		if r.Flaky() {
			f := flaky{r, expect.Ways(r.Observation), "not quarantined"}
			if r.Row.Unstable() {
				f.quarantine = r.Row.Quarantine(p.Today)
			}
			all = append(all, f)
		}
	}
	return all
}

// steadiness is a word for a cell that does not do the same each time; "" for all others.
func (r Result) steadiness() string {
	switch {
	case r.Flaky():
		return "flaky"
	case r.Row.Unstable():
		return "unstable"
	}
	return ""
}

// repeated says in a sentence how often cells were repeated, and how many are flaky; "" if none was.
func (p Page) repeated() string {
	var times []int
	for _, r := range p.Results {
		if n := r.Repetitions(); n > 0 {
			times = append(times, n)
		}
	}
	if len(times) == 0 {
		return ""
	}
	often := fmt.Sprint(slices.Min(times))
	if least, most := slices.Min(times), slices.Max(times); least != most {
		often = fmt.Sprintf("%d to %d", least, most)
	}
	return fmt.Sprintf("%d cells were run %s times each: %d flaky.", len(times), often, len(p.flakies()))
}

// A quarantine is a row of the support table that lets its cells be unstable.
type quarantine struct{ row, cells, does, term, owner, see string }

// quarantines are those of the whole table, whatever was run.
func (p Page) quarantines() []quarantine {
	var all []quarantine
	for _, row := range p.Table.Quarantines() {
		here := 0
		for _, r := range p.Results {
			if r.Row.Line == row.Line {
				here++
			}
		}
		runtimes := strings.TrimSpace(strings.Join(row.Distribution, " ") + " " + row.ORT.String())
		all = append(all, quarantine{
			row:   row.Where(),
			cells: fmt.Sprintf("%s, %s, %s, %s; run here: %d", set(row.Model), set(row.Precision), set(row.Provider), cmp.Or(runtimes, "all"), here),
			does:  fmt.Sprintf("%s, sometimes %s", row.Want, strings.Join(row.Sometimes, " or ")),
			term:  row.Term(p.Today), owner: row.Owner, see: row.See})
	}
	return all
}
