package measure

import (
	"fmt"
	"slices"
	"strings"
)

// A Comparison is two sides' ratio on the clock and in processor time, and what it may be.
type Comparison struct {
	Wall, CPU Ratio
	Limit     Limit
}

// Join is the comparison by the pairs of both.
func (c Comparison) Join(d Comparison) Comparison {
	return Comparison{Wall: c.Wall.Join(d.Wall), CPU: c.CPU.Join(d.CPU), Limit: c.Limit}
}

// A Limit is what a ratio may be at least and at most. 0 is no limit.
type Limit struct {
	Low  float64 `json:"low,omitempty"`
	High float64 `json:"high,omitempty"`
}

// A Verdict is what a gate says of a comparison.
type Verdict string

const (
	OK           Verdict = "ok"           // within the limit, and the run was good enough to tell
	Regressed    Verdict = "regressed"    // outside the limit, on either side: what got better needs a new limit
	Inconclusive Verdict = "inconclusive" // too noisy or too few pairs to tell
)

// A Policy is when a gate alarms. The zero value is the default.
type Policy struct {
	Alpha     float64 // chance of any false alarm among all comparisons of a run; default 0.01
	Floor     float64 // share by which a ratio must miss its limit, for sure, to have regressed; default 0.01
	Tolerance float64 // share beyond the limit that ok must rule out with 97.5 %; default 0.03
	Pairs     int     // fewer are inconclusive; default 20
}

func (p Policy) complete() Policy {
	for _, field := range []struct {
		value    *float64
		default_ float64
	}{{&p.Alpha, 0.01}, {&p.Floor, 0.01}, {&p.Tolerance, 0.03}} {
		if *field.value == 0 {
			*field.value = field.default_
		}
	}
	if p.Pairs == 0 {
		p.Pairs = 20
	}
	return p
}

// A Finding is the verdict on one comparison.
type Finding struct {
	Verdict Verdict
	Why     string  // a sentence
	P       float64 // of the worst miss of the limit, adjusted for all that was looked at
}

// Judge gives a finding for each comparison. A comparison has regressed if the exact test says that it misses its limit by
// more than the floor, after Holm's adjustment over all of them and both clocks. One that is slower for sure, by an
// estimate above the floor, and may yet be so by less, is inconclusive: more pairs will tell.
func (p Policy) Judge(all []Comparison) []Finding {
	p = p.complete()
	misses := make([][]miss, len(all))
	ps := make([]float64, len(all))
	for i, c := range all {
		misses[i] = c.misses(p.Floor)
		ps[i] = 1
		for _, m := range misses[i] {
			ps[i] = min(ps[i], m.p*float64(c.tests()))
		}
	}
	adjusted := Holm(ps)
	findings := make([]Finding, len(all))
	for i, c := range all {
		findings[i] = p.judge(c, misses[i], adjusted[i])
	}
	return findings
}

// A miss is one way in which an estimate lies outside a limit by more than the floor.
type miss struct {
	p    float64 // of missing it by the floor at most
	sure bool    // the interval lies outside the limit, too
	text string
}

// tests is how many p-values a comparison could have had.
func (c Comparison) tests() int {
	n := 0
	for _, limit := range []float64{c.Limit.Low, c.Limit.High} {
		if limit > 0 {
			n += 2
		}
	}
	return n
}

func (c Comparison) misses(floor float64) []miss {
	var all []miss
	for _, clock := range []struct {
		name string
		Ratio
	}{{"wall time", c.Wall}, {"processor time", c.CPU}} {
		if high := c.Limit.High; high > 0 && clock.Ratio.Ratio > high*(1+floor) {
			all = append(all, miss{clock.Above(high * (1 + floor)), clock.Low > high, fmt.Sprintf("%s is %s, at most %.3f is allowed", clock.name, clock.Ratio, high)})
		}
		if low := c.Limit.Low; low > 0 && clock.Ratio.Ratio < low*(1-floor) {
			all = append(all, miss{clock.Below(low * (1 - floor)), clock.High < low, fmt.Sprintf("%s is %s, at least %.3f was expected: it got better; look, and move the limit", clock.name, clock.Ratio, low)})
		}
	}
	return all
}

func (p Policy) judge(c Comparison, misses []miss, adjusted float64) Finding {
	var texts []string
	for _, m := range misses {
		texts = append(texts, m.text)
	}
	f := Finding{P: adjusted}
	switch {
	case c.Wall.Pairs < p.Pairs:
		f.Verdict, f.Why = Inconclusive, fmt.Sprintf("%d pairs are too few, %d are needed", c.Wall.Pairs, p.Pairs)
	case len(misses) > 0 && adjusted < p.Alpha:
		f.Verdict, f.Why = Regressed, strings.Join(texts, "; ")
	case slices.ContainsFunc(misses, func(m miss) bool { return m.sure }):
		f.Verdict, f.Why = Inconclusive, fmt.Sprintf("too few pairs to tell whether it is by %.0f %% or more: %s", 100*p.Floor, strings.Join(texts, "; "))
	case c.Limit.High > 0 && c.Wall.High > c.Limit.High*(1+p.Tolerance):
		f.Verdict, f.Why = Inconclusive, fmt.Sprintf("too noisy: wall time is %s, and up to %.3f would be allowed", c.Wall, c.Limit.High)
	case c.Limit.Low > 0 && c.Wall.Low < c.Limit.Low*(1-p.Tolerance):
		f.Verdict, f.Why = Inconclusive, fmt.Sprintf("too noisy: wall time is %s, and down to %.3f would be expected", c.Wall, c.Limit.Low)
	default:
		f.Verdict, f.Why = OK, fmt.Sprintf("wall time is %s", c.Wall)
	}
	return f
}

// String is the ratio with its interval.
func (r Ratio) String() string { return fmt.Sprintf("%.3f × (%.3f … %.3f)", r.Ratio, r.Low, r.High) }

// Sentence says in words how b's time relates to a's, both named.
func (r Ratio) Sentence(a, b string) string {
	seen := fmt.Sprintf("p = %.2g in %d pairs", r.P, r.Pairs)
	switch {
	case r.P >= 0.05 || r.Low <= 1 && r.High >= 1:
		return fmt.Sprintf("No difference seen between %s and %s: %s, %s; a change of %.1f %% or more would have shown.", a, b, r, seen, 100*r.Resolution)
	case r.Ratio >= 2 || r.Ratio <= 0.5:
		return fmt.Sprintf("%s takes %.2f × the time of %s: %s, %s.", b, r.Ratio, a, r, seen)
	case r.Ratio > 1:
		return fmt.Sprintf("%s takes %.1f %% more time than %s: %s, %s.", b, 100*(r.Ratio-1), a, r, seen)
	}
	return fmt.Sprintf("%s takes %.1f %% less time than %s: %s, %s.", b, 100*(1-r.Ratio), a, r, seen)
}
