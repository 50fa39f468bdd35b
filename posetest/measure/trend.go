package measure

import (
	"cmp"
	"math"
	"slices"
)

// A Trend is how a ratio moved over a history.
type Trend struct {
	Change float64 // over the whole history, as a share: 0.02 is 2 % slower
	P      float64 // exact and one-sided: how often chance alone, in a history that goes nowhere, rises as steadily
	Points int
}

// Drifts tells whether the trend is a slow drift upwards that no step would have shown: 2 % at least, and no chance.
func (t Trend) Drifts() bool { return t.Change >= 0.02 && t.P < 0.01 }

// maxHistory is how much of a history [Rising] looks at: its newest points.
const maxHistory = 200

// Rising looks for a steady rise in ratios, oldest first, each against the same baseline: Kendall's test of a trend with
// its exact distribution, and the slope of Theil and Sen, times the length. It takes no account of how far apart the
// points lie.
func Rising(ratios []float64) Trend {
	ratios = ratios[max(0, len(ratios)-maxHistory):]
	n := len(ratios)
	t := Trend{P: 1, Points: n}
	if n < 3 {
		return t
	}
	falls := 0 // pairs in which the later one is not above the earlier one
	var slopes []float64
	for i := range ratios {
		for j := i + 1; j < n; j++ {
			if ratios[j] <= ratios[i] {
				falls++
			}
			slopes = append(slopes, math.Log(ratios[j]/ratios[i])/float64(j-i))
		}
	}
	slices.SortFunc(slopes, cmp.Compare[float64])
	m := len(slopes)
	t.Change = math.Exp((slopes[(m-1)/2]+slopes[m/2])/2*float64(n-1)) - 1
	t.P = 0
	for _, share := range inversions(n, falls) {
		t.P += share
	}
	return t
}

// inversions is how often an order of n by chance has 0, 1, … most pairs the wrong way round.
func inversions(n, most int) []float64 {
	share := make([]float64, most+1)
	share[0] = 1
	for k := 2; k <= n; k++ { // the k-th element goes before 0 … k-1 of those that are there
		next := make([]float64, most+1)
		window := 0.0
		for s := range next {
			window += share[s]
			if s >= k {
				window -= share[s-k]
			}
			next[s] = max(0, window) / float64(k)
		}
		share = next
	}
	return share
}
