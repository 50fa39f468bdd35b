package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/observe"
)

// A place is a cell on a kind of machine: what results are told apart by.
type place struct {
	observe.Cell
	kind string
}

func (r Result) place() place { return place{r.Cell, r.Machine.Kind()} }

// fp32 is the place of what others are compared with.
func (p place) fp32() place {
	p.Precision = "fp32"
	return p
}

// byPlace finds results by their places.
func byPlace(all []Result) map[place]Result {
	found := make(map[place]Result, len(all))
	for _, r := range all {
		found[r.place()] = r
	}
	return found
}

// A kind is a kind of machine that cells were run on, with all that was said of it.
type kind struct {
	observe.Machine
	processors  []string
	threads     []string
	first, last time.Time
}

// kinds are all, in order.
func (p Page) kinds() []kind {
	var all []kind
	for _, r := range p.Results {
		i := slices.IndexFunc(all, func(k kind) bool { return k.Kind() == r.Machine.Kind() })
		if i < 0 {
			i, all = len(all), append(all, kind{Machine: r.Machine, first: r.When, last: r.When})
		}
		k := &all[i]
		k.processors = append(k.processors, fmt.Sprintf("%s, %d cores", r.Machine.CPU, r.Machine.Core))
		k.threads = append(k.threads, fmt.Sprint(r.Threads))
		if r.When.Before(k.first) {
			k.first = r.When
		}
		if r.When.After(k.last) {
			k.last = r.When
		}
	}
	for i := range all {
		slices.Sort(all[i].processors)
		slices.Sort(all[i].threads)
		all[i].processors, all[i].threads = slices.Compact(all[i].processors), slices.Compact(all[i].threads)
	}
	slices.SortFunc(all, func(a, b kind) int { return cmp.Compare(a.Kind(), b.Kind()) })
	return all
}

// String is the kind in a sentence's words.
func (k kind) String() string {
	s := fmt.Sprintf("%s %s (%s), threads=%s in each session", k.Platform(), k.ISA, strings.Join(k.processors, "; "), strings.Join(k.threads, "/"))
	if !k.last.IsZero() {
		s += ", " + days(k.first, k.last)
	}
	return s
}

// days are one or two dates.
func days(first, last time.Time) string {
	a, b := first.UTC().Format(time.DateOnly), last.UTC().Format(time.DateOnly)
	if a == b {
		return a
	}
	return a + " to " + b
}

// on says on which kind of machine, where there are several.
func (p Page) on(kind string) string {
	if !p.several() {
		return ""
	}
	return " on " + kind
}

// several tells whether there are several kinds of machine.
func (p Page) several() bool {
	return slices.ContainsFunc(p.Results, func(r Result) bool {
		m, first := r.Machine, p.Results[0].Machine
		return m.OS != first.OS || m.Arch != first.Arch || m.ISA != first.ISA
	})
}

// known says how what a cell does is known, and as which of verified, reported and unverified that counts here.
func (r Result) known() (word, sentence string) {
	status := r.Row.Status
	switch {
	case status == "":
		return "unverified", "no row of the support table is for it"
	case r.Row.Line == 0:
		return "unverified", "a model or runtime of your own: no table is for it"
	case status.Word() == "verified" && !status.Verified(r.Machine.Platform()):
		return "unverified", fmt.Sprintf("unverified on %s (%s)", r.Machine.Platform(), status)
	}
	return status.Word(), string(status)
}
