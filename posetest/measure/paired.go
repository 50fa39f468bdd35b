// Package measure says what times that were taken in pairs tell: how much longer one side takes than the other, how sure
// that is, and whether it is what was expected.
//
//	wall, err := measure.Paired(a, b) // b / a, with an exact interval
//	findings := measure.Policy{}.Judge([]measure.Comparison{{Wall: wall, CPU: cpu, Limit: measure.Limit{High: 1}}}) // ok, regressed or inconclusive
//
// It is for machines that are noisy: the two sides take turns, so that what disturbs one disturbs the other, and only
// the order of the pairs' ratios counts, so that no outlier decides.
package measure

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Pairs that [Paired] takes: with fewer there is no interval of 95 %, and with more its exact distribution takes long.
const (
	MinPairs = 6
	MaxPairs = 400
)

// A Ratio is how much longer B takes than A, in paired times.
type Ratio struct {
	Ratio float64 `json:"ratio"` // Hodges and Lehmann's estimate: the median of the means of any two pairs
	Low   float64 `json:"low"`   // exact interval of at least 95 %
	High  float64 `json:"high"`
	P     float64 `json:"p"` // exact and two-sided: how often chance alone, between equal sides, gives what differs as much
	// Resolution is the smallest change, as a share, that a run like this one finds in four of five cases.
	Resolution float64 `json:"resolution"`
	Pairs      int     `json:"pairs"`

	logs []float64 // of the ratios, by pair
}

// Paired compares times of two sides, taken in turns: a[i] beside b[i], in one unit, above 0. The test is Wilcoxon's
// signed-rank test on the logarithms of the ratios, with its exact distribution; the estimate and the interval are
// Hodges and Lehmann's, which belong to it (Hollander, Wolfe, Chicken: Nonparametric Statistical Methods, 3.1 to 3.3).
func Paired(a, b []float64) (Ratio, error) {
	if len(a) != len(b) {
		return Ratio{}, fmt.Errorf("%d times against %d: pairs need as many on both sides", len(a), len(b))
	}
	if len(a) < MinPairs || len(a) > MaxPairs {
		return Ratio{}, fmt.Errorf("%d pairs: an exact interval needs %d to %d", len(a), MinPairs, MaxPairs)
	}
	logs := make([]float64, len(a))
	for i := range a {
		if !(a[i] > 0) || !(b[i] > 0) || math.IsInf(a[i], 0) || math.IsInf(b[i], 0) {
			return Ratio{}, fmt.Errorf("pair %d has times %v and %v: a time is above 0", i, a[i], b[i])
		}
		logs[i] = math.Log(b[i] / a[i])
	}
	return ofLogs(logs), nil
}

func ofLogs(logs []float64) Ratio {
	n := len(logs)
	walsh := make([]float64, 0, n*(n+1)/2)
	for i, x := range logs {
		for _, y := range logs[i:] {
			walsh = append(walsh, (x+y)/2)
		}
	}
	slices.Sort(walsh)
	k := rankBelow(n, 0.025)
	low, high := walsh[k-1], walsh[len(walsh)-k]
	m := len(walsh)
	return Ratio{
		Ratio: math.Exp((walsh[(m-1)/2] + walsh[m/2]) / 2), Low: math.Exp(low), High: math.Exp(high),
		P: min(1, 2*min(tail(logs, 0), tail(negated(logs), 0))), Resolution: math.Exp((high-low)/2*resolution) - 1, Pairs: n, logs: logs,
	}
}

// resolution turns half an interval of 95 % into the change that a two-sided test at 5 % finds with a power of 80 %:
// (1.96 + 0.84) / 1.96 standard errors.
const resolution = (1.959964 + 0.841621) / 1.959964

// Above is the exact, one-sided p-value of "B takes at most limit times as long as A".
func (r Ratio) Above(limit float64) float64 { return tail(r.logs, math.Log(limit)) }

// Below is the exact, one-sided p-value of "B takes at least limit times as long as A".
func (r Ratio) Below(limit float64) float64 { return tail(negated(r.logs), -math.Log(limit)) }

// Join is the ratio of two runs' pairs together.
func (r Ratio) Join(s Ratio) Ratio { return ofLogs(slices.Concat(r.logs, s.logs)) }

// Per is the ratio of one of the n things that B does in a time, where A does one.
func (r Ratio) Per(n int) Ratio {
	logs := slices.Clone(r.logs)
	for i := range logs {
		logs[i] -= math.Log(float64(n))
	}
	return ofLogs(logs)
}

func negated(x []float64) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		y[i] = -x[i]
	}
	return y
}

// tail is how often the sum of the signed ranks of x - middle would be as large as it is, or larger, if each sign were a
// toss of a coin. Ties share their ranks; what lies in the middle says nothing.
func tail(x []float64, middle float64) float64 {
	var d []float64
	for _, v := range x {
		if v != middle {
			d = append(d, v-middle)
		}
	}
	slices.SortFunc(d, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })
	doubled := make([]int, len(d)) // ranks twice over, so that shared ones are whole
	seen := 0                      // the sum of those above the middle
	for i := 0; i < len(d); {
		j := i
		for j < len(d) && math.Abs(d[j]) == math.Abs(d[i]) {
			j++
		}
		for k := i; k < j; k++ {
			if doubled[k] = i + 1 + j; d[k] > 0 {
				seen += doubled[k]
			}
		}
		i = j
	}
	p := 0.0
	for sum, share := range sums(doubled) {
		if sum >= seen {
			p += share
		}
	}
	return min(1, p)
}

// sums is how often each sum comes up if every rank is taken or left by the toss of a coin.
func sums(ranks []int) []float64 {
	total := 0
	for _, r := range ranks {
		total += r
	}
	share := make([]float64, total+1)
	share[0] = 1
	top := 0
	for _, r := range ranks {
		top += r
		for s := top; s >= 0; s-- {
			share[s] /= 2
			if s >= r {
				share[s] += share[s-r] / 2
			}
		}
	}
	return share
}

// rankBelow is the largest k for which the sum of the signed ranks of n is below k in at most that share of cases; at
// least 1.
func rankBelow(n int, share float64) int {
	ranks := make([]int, n)
	for i := range ranks {
		ranks[i] = i + 1
	}
	below := 0.0
	for k, p := range sums(ranks) {
		if below+p > share {
			return max(k, 1)
		}
		below += p
	}
	return 1
}

// Holm adjusts p-values that were looked at together, so that the chance of any false alarm among them stays what it is
// for one (Holm 1979).
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p[i], p[j]) })
	adjusted := make([]float64, len(p))
	top := 0.0
	for rank, i := range order {
		top = max(top, min(1, p[i]*float64(len(p)-rank)))
		adjusted[i] = top
	}
	return adjusted
}
