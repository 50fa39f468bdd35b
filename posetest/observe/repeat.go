package observe

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Variant is one of the ways in which repetitions of a cell went.
type Variant struct {
	Times     int            `json:"times"` // how often it was seen
	Outcome   Outcome        `json:"outcome"`
	Failure   *Failure       `json:"failure,omitempty"`   // for Fails and Unavailable
	Death     *Death         `json:"death,omitempty"`     // for Crashes and Hangs, without its log
	Placement map[string]int `json:"placement,omitempty"` // as an observation's
	// Differs are the places where it differs from the most frequent variant of its outcome, beyond what stands above.
	Differs []string `json:"differs,omitempty"`
}

// Observation is the variant as far as it is an observation.
func (v Variant) Observation() Observation {
	return Observation{Outcome: v.Outcome, Failure: v.Failure, Death: v.Death, Placement: v.Placement}
}

// Repeated sums up repetitions of one cell, of which there is at least one: it is the first observation of the most
// frequent variant, and has all variants, the most frequent first. Repetitions are of one variant if they are equal but
// for what [Observation.Timeless] leaves out; which one comes first of equally frequent ones does not depend on their
// order. Worker is the time of all. Its error says that an observation holds what JSON can't.
func Repeated(all []Observation) (Observation, error) {
	type group struct {
		key   string // the timeless observation as JSON
		first Observation
		times int
	}
	var groups []*group
	var worker time.Duration
	for _, o := range all {
		worker += o.Worker
		text, err := json.Marshal(o.Timeless())
		if err != nil {
			return o, fmt.Errorf("observation %s: %w", o.Cell, err)
		}
		i := slices.IndexFunc(groups, func(g *group) bool { return g.key == string(text) })
		if i < 0 {
			i, groups = len(groups), append(groups, &group{key: string(text), first: o})
		}
		groups[i].times++
	}
	slices.SortFunc(groups, func(a, b *group) int {
		return cmp.Or(b.times-a.times, rank(a.first.Outcome)-rank(b.first.Outcome), cmp.Compare(a.key, b.key))
	})
	sum := groups[0].first
	sum.Worker = worker
	base := map[Outcome]string{}
	for _, g := range groups {
		o := g.first.Timeless()
		v := Variant{Times: g.times, Outcome: o.Outcome, Failure: o.Failure, Death: o.Death, Placement: o.Placement}
		if most, known := base[o.Outcome]; known {
			v.Differs = differences(most, g.key)
		} else {
			base[o.Outcome] = g.key
		}
		sum.Variants = append(sum.Variants, v)
	}
	return sum, nil
}

func rank(o Outcome) int { return slices.Index(Outcomes(), o) }

// Flaky tells whether repetitions of the cell went in several ways.
func (o Observation) Flaky() bool { return len(o.Variants) > 1 }

// Repetitions are how often the cell was run for this observation; 0 if it was not asked to be repeated.
func (o Observation) Repetitions() int {
	n := 0
	for _, v := range o.Variants {
		n += v.Times
	}
	return n
}

// Tally says how often repetitions had each outcome: "loads 7 of 10, crashes 3 of 10", and in how many ways, if an outcome
// has several.
func (o Observation) Tally() string {
	times, ways := map[Outcome]int{}, map[Outcome]int{}
	var outcomes []Outcome // in the order of their most frequent variants
	for _, v := range o.Variants {
		if times[v.Outcome] == 0 {
			outcomes = append(outcomes, v.Outcome)
		}
		times[v.Outcome] += v.Times
		ways[v.Outcome]++
	}
	slices.SortStableFunc(outcomes, func(a, b Outcome) int { return times[b] - times[a] })
	var parts []string
	for _, outcome := range outcomes {
		part := fmt.Sprintf("%s %d of %d", outcome, times[outcome], o.Repetitions())
		if ways[outcome] > 1 {
			part += fmt.Sprintf(" in %d ways", ways[outcome])
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// mostDifferences is how many places a variant names: another skeleton has hundreds.
const mostDifferences = 3

// differences are the places where two observations differ, as JSON, but for those that a variant has itself.
func differences(want, got string) []string {
	var all []string
	compare("", object(want), object(got), func(path string, want, got any) {
		all = append(all, fmt.Sprintf("%s is %s, not %s", path, value(got), value(want)))
	})
	if more := len(all) - mostDifferences; more > 0 {
		all = append(all[:mostDifferences], fmt.Sprintf("and %d more", more))
	}
	return all
}

// object is a timeless observation without what a variant has itself.
func object(text string) map[string]any {
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		panic(fmt.Sprintf("what json.Marshal wrote: %v", err))
	}
	for _, own := range []string{"outcome", "failure", "death", "placement"} {
		delete(all, own)
	}
	return all
}

// compare tells of each path at which two JSON values differ, in order. A photograph is named by its id.
func compare(path string, want, got any, differ func(path string, want, got any)) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		keys := slices.Concat(slices.Collect(maps.Keys(w)), slices.Collect(maps.Keys(g)))
		slices.Sort(keys)
		for _, key := range slices.Compact(keys) {
			compare(strings.TrimPrefix(path+"."+key, "."), w[key], g[key], differ)
		}
		return
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			name := fmt.Sprint(i)
			if photo, ok := w[i].(map[string]any); ok && photo["fixture"] != nil {
				name = fmt.Sprint(photo["fixture"])
			}
			compare(fmt.Sprintf("%s[%s]", path, name), w[i], g[i], differ)
		}
		return
	default:
		if want == got {
			return
		}
	}
	differ(path, want, got)
}

// value is a JSON value in few words.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case []any:
		return fmt.Sprintf("%d of them", len(v))
	case map[string]any:
		return "something"
	case string:
		return fmt.Sprintf("%.80q", v)
	}
	return fmt.Sprint(v)
}
