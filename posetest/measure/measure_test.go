package measure

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The depression data of Hollander and Wolfe, as R's wilcox.test documents it: V = 40, p = 0.03906, estimate 0.46,
// interval 0.010 … 0.786.
func TestPairedAgainstR(t *testing.T) {
	x := []float64{1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30}
	y := []float64{0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29}
	logs := make([]float64, len(x))
	for i := range x {
		logs[i] = x[i] - y[i]
	}
	r := ofLogs(logs)
	assert.InDelta(t, 0.460, math.Log(r.Ratio), 1e-9)
	assert.InDelta(t, 0.010, math.Log(r.Low), 1e-9)
	assert.InDelta(t, 0.786, math.Log(r.High), 1e-9)
	assert.InDelta(t, 0.0390625, r.P, 1e-12)
	assert.InDelta(t, 0.01953125, r.Above(1), 1e-12)
}

// The exact distribution, ties and zeros among it, is that of all 2^n signs, counted one by one.
func TestTailCountsAllSigns(t *testing.T) {
	for name, x := range map[string][]float64{
		"no ties":           {0.3, -0.1, 0.25, 0.7, -0.5, 0.9, 0.11},
		"ties":              {1, 1, -1, 2, -2, 2, 3, 3},
		"what is 0 goes":    {0, 0, 1, -2, 3, 4, 5},
		"nothing is left":   {0, 0, 0, 0, 0, 0},
		"all on one side":   {1, 2, 3, 4, 5, 6, 7, 8},
		"all on the other":  {-1, -2, -3, -4, -5, -6},
		"many equal values": {1, 1, 1, 1, 1, -1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var d []float64
			for _, v := range x {
				if v != 0 {
					d = append(d, v)
				}
			}
			rank := func(v float64) float64 {
				below, same := 0.0, 0.0
				for _, w := range d {
					switch {
					case math.Abs(w) < math.Abs(v):
						below++
					case math.Abs(w) == math.Abs(v):
						same++
					}
				}
				return below + (same+1)/2
			}
			sum := func(positive func(int) bool) (s float64) {
				for i, v := range d {
					if positive(i) {
						s += rank(v)
					}
				}
				return s
			}
			seen, as := sum(func(i int) bool { return d[i] > 0 }), 0
			for signs := range 1 << len(d) {
				if sum(func(i int) bool { return signs>>i&1 == 1 }) >= seen-1e-9 {
					as++
				}
			}
			assert.InDelta(t, float64(as)/float64(int(1)<<len(d)), tail(x, 0), 1e-12)
		})
	}
}

// An interval of 95 % holds the truth in 95 % of cases at least, and the p-value of no change is below 0.05 in 5 % at most.
func TestPairedKeepsItsPromise(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const trials = 2000
	for _, n := range []int{6, 9, 20} {
		inside, alarms, found := 0, 0, 0
		for range trials {
			a, b := make([]float64, n), make([]float64, n)
			for i := range a {
				shared := math.Exp(random.NormFloat64()) // what disturbs both
				a[i] = shared * math.Exp(0.02*random.NormFloat64())
				b[i] = 1.05 * shared * math.Exp(0.02*random.NormFloat64())
			}
			r, err := Paired(a, b)
			require.NoError(t, err)
			if r.Low <= 1.05 && 1.05 <= r.High {
				inside++
			}
			if r.Above(1.05) < 0.05 {
				alarms++
			}
			if r.P < 0.05 && r.Ratio > 1 {
				found++
			}
		}
		assert.GreaterOrEqual(t, inside, int(0.94*trials), "intervals of %d pairs that hold the truth", n)
		assert.LessOrEqual(t, alarms, int(0.065*trials), "false alarms with %d pairs", n)
		if n == 20 {
			assert.Greater(t, found, int(0.99*trials), "5 %% found with %d pairs", n)
		}
	}
}

// The smallest change that a run could have seen is found in four of five cases.
func TestResolution(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const n, trials = 20, 1000
	draw := func(shift float64) Ratio {
		a, b := make([]float64, n), make([]float64, n)
		for i := range a {
			a[i], b[i] = 1, math.Exp(shift+0.02*random.NormFloat64())
		}
		r, err := Paired(a, b)
		require.NoError(t, err)
		return r
	}
	mean, found := 0.0, 0
	for range trials {
		mean += draw(0).Resolution / trials
	}
	for range trials {
		if draw(math.Log1p(mean)).P < 0.05 {
			found++
		}
	}
	assert.InDelta(t, 0.8, float64(found)/trials, 0.06)
}

func TestPairedRefuses(t *testing.T) {
	six := []float64{1, 2, 3, 4, 5, 6}
	for name, row := range map[string]struct {
		a, b []float64
		want string
	}{
		"unequal":          {six, six[1:], "6 times against 5"},
		"too few":          {six[1:], six[1:], "5 pairs: an exact interval needs 6"},
		"too many":         {make([]float64, 401), make([]float64, 401), "401 pairs"},
		"a time of 0":      {six, []float64{1, 2, 3, 0, 5, 6}, "pair 3 has times 4 and 0"},
		"a time below 0":   {[]float64{1, 2, -3, 4, 5, 6}, six, "pair 2"},
		"not a number":     {six, []float64{1, 2, 3, 4, math.NaN(), 6}, "pair 4"},
		"an infinite time": {six, []float64{1, 2, 3, 4, 5, math.Inf(1)}, "pair 5"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Paired(row.a, row.b)
			assert.ErrorContains(t, err, row.want)
		})
	}
}

func TestHolm(t *testing.T) {
	for _, row := range []struct{ p, want []float64 }{
		{nil, []float64{}},
		{[]float64{0.02}, []float64{0.02}},
		{[]float64{0.01, 0.04, 0.03}, []float64{0.03, 0.06, 0.06}}, // the adjusted ones never fall
		{[]float64{0.5, 0.6}, []float64{1, 1}},
	} {
		assert.InDeltaSlice(t, row.want, Holm(row.p), 1e-12)
	}
}

// steady makes a ratio with a little noise around a value.
func steady(value, noise float64, n int) Ratio {
	a, b := make([]float64, n), make([]float64, n)
	for i := range a {
		a[i] = 1
		b[i] = value * math.Exp(noise*float64(i%5-2))
	}
	r, err := Paired(a, b)
	if err != nil {
		panic(err)
	}
	return r
}

func TestJudge(t *testing.T) {
	same := Limit{High: 1}
	for _, row := range []struct {
		name      string
		wall, cpu Ratio
		limit     Limit
		want      Verdict
		why       string
	}{
		{"no change", steady(1, 0.002, 20), steady(1, 0.002, 20), same, OK, "wall time is 1.000 ×"},
		{"faster is ok where only slower is limited", steady(0.8, 0.002, 20), steady(0.8, 0.002, 20), same, OK, "0.800"},
		{"3 % slower", steady(1.03, 0.002, 20), steady(1.03, 0.002, 20), same, Regressed, "wall time is 1.030 ×"},
		{"slower on the clock alone: it waits", steady(1.03, 0.002, 20), steady(1, 0.002, 20), same, Regressed, "wall time is 1.030 ×"},
		{"slower in processor time alone, the clock too noisy to tell", steady(1.02, 0.1, 20), steady(1.03, 0.002, 20), same, Regressed, "processor time is 1.030 ×"},
		{"slower for sure, and above the floor by so little that more pairs must tell", steady(1.011, 0.003, 20), steady(1.011, 0.003, 20), same, Inconclusive, "too few pairs to tell whether it is by 1 % or more: wall time is 1.011 ×"},
		{"slower by no more than noise", steady(1.011, 0.025, 20), steady(1.011, 0.025, 20), same, OK, "1.011"},
		{"below the floor of 1 %, however sure", steady(1.008, 0.0001, 20), steady(1.008, 0.0001, 20), same, OK, "1.008"},
		{"too noisy to rule 3 % out", steady(1, 0.1, 20), steady(1, 0.1, 20), same, Inconclusive, "too noisy"},
		{"too few", steady(1.5, 0.001, 19), steady(1.5, 0.001, 19), same, Inconclusive, "19 pairs are too few, 20 are needed"},
		{"INT8 must take 1/1.2 of FP32, and does", steady(0.8, 0.002, 20), steady(0.8, 0.002, 20), Limit{High: 1 / 1.2}, OK, ""},
		{"and does not", steady(0.9, 0.002, 20), steady(0.9, 0.002, 20), Limit{High: 1 / 1.2}, Regressed, "at most 0.833"},
		{"known slow, and still is", steady(3.3, 0.002, 20), steady(3.3, 0.002, 20), Limit{Low: 2}, OK, ""},
		{"known slow, and no longer is", steady(1.1, 0.002, 20), steady(1.1, 0.002, 20), Limit{Low: 2}, Regressed, "it got better; look, and move the limit"},
		{"known slow, too noisy", steady(2, 0.1, 20), steady(2, 0.1, 20), Limit{Low: 2}, Inconclusive, "down to 2.000"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := Policy{}.Judge([]Comparison{{row.wall, row.cpu, row.limit}})
			assert.Equal(t, row.want, f[0].Verdict, f[0].Why)
			assert.Contains(t, f[0].Why, row.why)
		})
	}
}

// What is sure enough for one comparison is not for one of many.
func TestJudgeAdjustsForMany(t *testing.T) {
	// 15 of 20 pairs are slower by more than the floor: the one-sided p-value is some 0.001, and 0.002 for both clocks.
	a, b := make([]float64, 20), make([]float64, 20)
	for i := range a {
		a[i], b[i] = 1, 1.01+0.01*float64(i-5)
	}
	r, err := Paired(a, b)
	require.NoError(t, err)
	suspect := Comparison{r, r, Limit{High: 1}}
	require.Less(t, 2*r.Above(1.01), 0.01)
	assert.Equal(t, Regressed, Policy{}.Judge([]Comparison{suspect})[0].Verdict)
	many := slices.Repeat([]Comparison{{steady(1, 0.002, 20), steady(1, 0.002, 20), Limit{High: 1}}}, 99)
	findings := Policy{}.Judge(append(many, suspect))
	assert.Equal(t, Inconclusive, findings[99].Verdict)
	for _, f := range findings[:99] {
		assert.Equal(t, OK, f.Verdict)
	}
}

func TestRising(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	series := func(step float64, n int) []float64 {
		all := make([]float64, n)
		for i := range all {
			all[i] = math.Exp(step*float64(i) + 0.003*random.NormFloat64())
		}
		return all
	}
	for _, row := range []struct {
		name   string
		ratios []float64
		drifts bool
	}{
		{"nothing yet", nil, false},
		{"two points are no trend", []float64{1, 1.5}, false},
		{"0.2 % a commit over 20 commits, which no gate sees", series(0.002, 20), true},
		{"noise that goes nowhere", series(0, 20), false},
		{"it gets faster", series(-0.002, 20), false},
		{"steady, and too small to matter", series(0.0005, 20), false},
		{"all equal", []float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			trend := Rising(row.ratios)
			assert.Equal(t, row.drifts, trend.Drifts(), "%+v", trend)
		})
	}
	t.Run("chance is counted exactly", func(t *testing.T) {
		assert.InDelta(t, 1.0/24, Rising([]float64{1, 2, 3, 4}).P, 1e-12)
		assert.InDelta(t, 4.0/24, Rising([]float64{1, 2, 4, 3}).P, 1e-12)
		assert.InDelta(t, 1, Rising([]float64{4, 3, 2, 1}).P, 1e-12)
	})
}

func TestSentence(t *testing.T) {
	for _, row := range []struct {
		r    Ratio
		want string
	}{
		{steady(1, 0.002, 20), "No difference seen between A and B: 1.000 ×"},
		{steady(1.03, 0.002, 20), "B takes 3.0 % more time than A: 1.030 ×"},
		{steady(0.8, 0.002, 20), "B takes 20.0 % less time than A"},
		{steady(3.4, 0.002, 20), "B takes 3.40 × the time of A"},
	} {
		assert.True(t, strings.HasPrefix(row.r.Sentence("A", "B"), row.want), row.r.Sentence("A", "B"))
	}
}

func ExamplePaired() {
	a := []float64{10.0, 10.2, 14.1, 9.9, 10.1, 13.9, 10.0, 10.1}
	b := []float64{10.4, 10.5, 14.6, 10.3, 10.4, 14.4, 10.4, 10.5}
	r, err := Paired(a, b)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Sentence("the old runtime", "the new one"))
	// Output: the new one takes 3.7 % more time than the old runtime: 1.037 × (1.032 … 1.040), p = 0.0078 in 8 pairs.
}

func TestClaim(t *testing.T) {
	claim := Claim{0.05, 0.10}
	for _, row := range []struct {
		name string
		r    Ratio
		want Answer
	}{
		{"within what was promised", steady(1/1.07, 0.001, 20), Confirmed},
		{"more than promised", steady(1/1.5, 0.001, 20), Confirmed},
		{"some gain, but less", steady(1/1.02, 0.001, 20), Refuted},
		{"none", steady(1, 0.001, 20), Refuted},
		{"a loss", steady(1.2, 0.001, 20), Refuted},
		{"could be either", steady(1/1.05, 0.05, 20), Unclear},
	} {
		t.Run(row.name, func(t *testing.T) { assert.Equal(t, row.want, claim.Answer(row.r), row.r) })
	}
	for _, row := range []struct {
		answers []Answer
		want    Answer
	}{
		{[]Answer{Confirmed, Confirmed, Unclear}, Confirmed},
		{[]Answer{Refuted, Unclear}, Refuted},
		{[]Answer{Confirmed, Refuted, Refuted}, Depends},
		{[]Answer{Unclear}, Unclear},
		{nil, Unclear},
	} {
		assert.Equal(t, row.want, Together(row.answers), row.answers)
	}
}
