package measure

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPairedTakesWhatItSays(t *testing.T) {
	b := make([]float64, MaxPairs)
	a := make([]float64, MaxPairs)
	for i := range a {
		a[i], b[i] = 1, math.Exp(0.001*float64(i-200))
	}
	r, err := Paired(a, b)
	require.NoError(t, err, "as many pairs as there may be")
	assert.Equal(t, MaxPairs, r.Pairs)
	assert.InDelta(t, math.Exp(-0.0005), r.Ratio, 1e-9, "the middle of what lies evenly around it")
	r, err = Paired(a[:MinPairs], b[:MinPairs])
	require.NoError(t, err, "as few")
	assert.InDelta(t, 2.0/64, r.P, 1e-12, "all on one side")
	for name, broken := range map[string]float64{"0": 0, "below 0": -1, "infinite": math.Inf(1), "no number": math.NaN()} {
		spoiled := []float64{1, 2, 3, 4, 5, broken}
		_, err = Paired(spoiled, []float64{1, 2, 3, 4, 5, 6})
		assert.ErrorContains(t, err, "pair 5", "a first side that is %s", name)
		_, err = Paired([]float64{1, 2, 3, 4, 5, 6}, spoiled)
		assert.ErrorContains(t, err, "pair 5", "a second side that is %s", name)
	}
}

// A rank is the largest k for which a sum below it comes up in 2.5 % at most: R's qsignrank(0.025, n).
func TestRankBelow(t *testing.T) {
	for n, want := range map[int]int{6: 1, 7: 3, 8: 4, 9: 6, 10: 9, 20: 53} {
		assert.Equal(t, want, rankBelow(n, 0.025), "%d pairs", n)
	}
	assert.Equal(t, 1, rankBelow(2, 0.025), "too few for any")
}

func TestJoinAndPer(t *testing.T) {
	a, b := steady(1.1, 0.002, 10), steady(1.3, 0.002, 10)
	both := a.Join(b)
	assert.Equal(t, 20, both.Pairs)
	assert.InDelta(t, math.Sqrt(1.1*1.3), both.Ratio, 1e-9)
	assert.Greater(t, both.High, b.Ratio*0.99)
	assert.Less(t, both.Low, a.Ratio*1.01)

	each := b.Per(4)
	assert.InDelta(t, 1.3/4, each.Ratio, 1e-9)
	assert.InDelta(t, b.High/4, each.High, 1e-9)
	assert.InDelta(t, 1.3, b.Ratio, 1e-9, "the ratio itself is left as it was")
	assert.InDelta(t, 1.3, b.Per(1).Ratio, 1e-9)

	joined := Comparison{Wall: a, CPU: b, Limit: Limit{High: 1}}.Join(Comparison{Wall: b, CPU: b, Limit: Limit{High: 2}})
	assert.InDelta(t, both.Ratio, joined.Wall.Ratio, 1e-12)
	assert.InDelta(t, 1.3, joined.CPU.Ratio, 1e-9)
	assert.Equal(t, Limit{High: 1}, joined.Limit)
}

// exactly is a ratio that is what it says to the bit, of 20 pairs.
func exactly(ratio, low, high float64) Ratio {
	r := Ratio{Ratio: ratio, Low: low, High: high, P: 0.01, Resolution: 0.004, Pairs: 20}
	for range 20 {
		r.logs = append(r.logs, math.Log(ratio))
	}
	return r
}

// exactlyBut is such a ratio, of pairs of which half are 1, so that the exact test sees nothing.
func exactlyBut(ratio, low, high float64) Ratio {
	r := exactly(ratio, low, high)
	for i := range 10 {
		r.logs[2*i] = 0
	}
	return r
}

// What is exactly at a bar has not crossed it, and what is just beyond has.
func TestJudgeToTheBit(t *testing.T) {
	quarter := Policy{Floor: 0.25, Tolerance: 0.25}
	low, high := Limit{Low: 1}, Limit{High: 1}
	for _, row := range []struct {
		why   string
		ratio Ratio
		limit Limit
		want  Verdict
	}{
		{"slower for sure, by about the floor", exactlyBut(1.26, 1.2, 1.25), high, Inconclusive},
		{"and perhaps not at all", exactlyBut(1.26, 1, 1.25), high, OK},
		{"faster for sure, by about the floor", exactlyBut(0.74, 0.75, 0.9), low, Inconclusive},
		{"and perhaps not at all", exactlyBut(0.74, 0.75, 1), low, OK},
		{"a quarter slower, which is the floor", exactly(1.25, 1.25, 1.25), high, OK},
		{"more", exactly(1.26, 1.26, 1.26), high, Regressed},
		{"a quarter faster", exactly(0.75, 0.75, 0.75), low, OK},
		{"more", exactly(0.74, 0.74, 0.74), low, Regressed},
		{"its interval ends where the tolerance does", exactly(1, 1, 1.25), high, OK},
		{"or beyond", exactly(1, 1, 1.26), high, Inconclusive},
		{"its interval begins where the tolerance does", exactly(1, 0.75, 1), low, OK},
		{"or before", exactly(1, 0.74, 1), low, Inconclusive},
		{"within both limits", exactly(1, 0.9, 1.1), Limit{Low: 0.9, High: 1.1}, OK},
	} {
		f := quarter.Judge([]Comparison{{row.ratio, row.ratio, row.limit}})[0]
		assert.Equal(t, row.want, f.Verdict, "%s: %s", row.why, f.Why)
	}
	near := steady(1.99, 0.002, 20)
	assert.Equal(t, OK, Policy{}.Judge([]Comparison{{near, near, Limit{Low: 2}}})[0].Verdict, "half a percent beyond its limit is below the floor")
}

// The p-value counts each test that there could have been: two clocks, on each side that has a limit.
func TestJudgeCountsItsTests(t *testing.T) {
	a, b := make([]float64, 20), make([]float64, 20)
	for i := range a {
		a[i], b[i] = 1, 1+0.01*float64(i-4)
	}
	r, err := Paired(a, b)
	require.NoError(t, err)
	p := r.Above(1.01)
	one := Comparison{r, r, Limit{High: 1}}
	two := Comparison{r, r, Limit{Low: 0.5, High: 1}}
	f := Policy{}.Judge([]Comparison{one})[0]
	assert.InDelta(t, 2*p, f.P, 1e-15, "of missing the limit by the floor at most, on either clock")
	assert.InDelta(t, 4*p, Policy{}.Judge([]Comparison{two})[0].P, 1e-15)
	assert.InDelta(t, 4*p, Policy{}.Judge([]Comparison{one, one})[0].P, 1e-15, "Holm's for two comparisons")
	assert.Equal(t, Regressed, f.Verdict)
	assert.NotEqual(t, Regressed, Policy{Alpha: f.P}.Judge([]Comparison{one})[0].Verdict, "the chance must be below alpha")
	assert.Equal(t, Regressed, Policy{Alpha: math.Nextafter(f.P, 1)}.Judge([]Comparison{one})[0].Verdict)
	assert.EqualValues(t, 1, Policy{}.Judge([]Comparison{{steady(1, 0.002, 20), steady(1, 0.002, 20), Limit{High: 1}}})[0].P, "nothing missed")
}

// Each field of a policy holds by itself, and the others keep their defaults.
func TestPolicyDefaults(t *testing.T) {
	assert.Equal(t, Policy{0.01, 0.01, 0.03, 20}, Policy{}.complete())
	assert.Equal(t, Policy{0.5, 0.01, 0.03, 20}, Policy{Alpha: 0.5}.complete())
	assert.Equal(t, Policy{0.01, 0.5, 0.03, 20}, Policy{Floor: 0.5}.complete())
	assert.Equal(t, Policy{0.01, 0.01, 0.5, 20}, Policy{Tolerance: 0.5}.complete())
	assert.Equal(t, Policy{0.01, 0.01, 0.03, 7}, Policy{Pairs: 7}.complete())
	few := steady(1, 0.002, 7)
	assert.Equal(t, OK, Policy{Pairs: 7}.Judge([]Comparison{{few, few, Limit{High: 1}}})[0].Verdict)
}

func TestSentenceToTheBit(t *testing.T) {
	unsure := exactly(1.15, 1.1, 1.2)
	unsure.P = 0.05
	for _, row := range []struct {
		why  string
		r    Ratio
		want string
	}{
		{"a chance of 5 % is no finding", unsure, "No difference seen between A and B: 1.150 × (1.100 … 1.200), p = 0.05 in 20 pairs; a change of 0.4 % or more would have shown."},
		{"an interval that begins at 1", exactly(1.1, 1, 1.2), "No difference seen"},
		{"and one that ends there", exactly(0.9, 0.8, 1), "No difference seen"},
		{"twice as long", exactly(2, 1.9, 2.1), "B takes 2.00 × the time of A: "},
		{"half as long", exactly(0.5, 0.4, 0.6), "B takes 0.50 × the time of A: "},
		{"not quite", exactly(1.99, 1.9, 2.1), "B takes 99.0 % more time than A: "},
		{"nor that", exactly(0.51, 0.4, 0.6), "B takes 49.0 % less time than A: "},
	} {
		assert.Contains(t, row.r.Sentence("A", "B"), row.want, row.why)
	}
}

func TestClaimToTheBit(t *testing.T) {
	twice := Claim{From: 1} // takes half the time
	assert.Equal(t, Confirmed, twice.Answer(exactly(0.45, 0.4, 0.5)))
	assert.Equal(t, Unclear, twice.Answer(exactly(0.5, 0.4, 0.51)))
	assert.Equal(t, Unclear, twice.Answer(exactly(0.55, 0.5, 0.6)))
	assert.Equal(t, Refuted, twice.Answer(exactly(0.55, 0.51, 0.6)))
}

func TestDriftsToTheBit(t *testing.T) {
	for _, row := range []struct {
		why       string
		change, p float64
		drifts    bool
	}{
		{"2 % are enough", 0.02, 0.009, true},
		{"less is not", 0.0199, 0.009, false},
		{"a chance of 1 % is too much", 0.02, 0.01, false},
		{"both", 0.01, 0.5, false},
	} {
		assert.Equal(t, row.drifts, Trend{Change: row.change, P: row.p}.Drifts(), row.why)
	}
}

// Slope and chance are those that one counts by hand.
func TestRisingByHand(t *testing.T) {
	of := func(logs ...float64) Trend {
		ratios := make([]float64, len(logs))
		for i, v := range logs {
			ratios[i] = math.Exp(v)
		}
		return Rising(ratios)
	}
	three := of(0, 1, 3) // slopes 1, 1.5, 2
	assert.InDelta(t, math.Expm1(2*1.5), three.Change, 1e-9)
	assert.InDelta(t, 1.0/6, three.P, 1e-12)
	four := of(0, 1, 3, 7) // slopes 1, 1.5, 2, 2 ⅓, 3, 4
	assert.InDelta(t, math.Expm1(3*(2+7.0/3)/2), four.Change, 1e-6)
	assert.InDelta(t, 1.0/24, four.P, 1e-12)
	falling := of(3, 1, 0)
	assert.InDelta(t, math.Expm1(-2*1.5), falling.Change, 1e-9)
	assert.InDelta(t, 1, falling.P, 1e-12)
	assert.InDelta(t, 4.0/24, of(0, 1, 1, 2).P, 1e-12, "what is equal has not risen")
	assert.Equal(t, Trend{P: 1, Points: 2}, of(0, 1), "two points are no trend")

	// Only the newest points count: the steep rise was before them.
	var long []float64
	for i := range 250 {
		long = append(long, min(0, float64(i-50)))
	}
	trend := of(long...)
	assert.Equal(t, 200, trend.Points)
	assert.Zero(t, trend.Change)
}

// Of all orders of n, so many have just k pairs the wrong way round (OEIS A008302).
func TestInversions(t *testing.T) {
	for n, want := range map[int][]float64{1: {1, 0}, 2: {1, 1}, 3: {1, 2, 2, 1}, 4: {1, 3, 5, 6, 5, 3, 1, 0}, 5: {1, 4, 9, 15, 20, 22}} {
		all := 1.0
		for k := 2; k <= n; k++ {
			all *= float64(k)
		}
		got := inversions(n, len(want)-1)
		require.Len(t, got, len(want))
		for k := range want {
			assert.InDelta(t, want[k]/all, got[k], 1e-12, "%d of %d", k, n)
		}
	}
}
