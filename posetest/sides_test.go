package posetest

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/measure"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseWords(t *testing.T) {
	base := Words{"model": "movenet-lightning", "precision": "fp32", "provider": "cpu", "ort": "1.32.0"}
	for _, row := range []struct {
		name, text string
		want       string // what differs from base
		err        string
	}{
		{"one thing else", "precision=int8", "precision=int8", ""},
		{"the order of names, whatever was written", "binding=bound/ort=1.31.1", "ort=1.31.1/binding=bound", ""},
		{"spaces part, too", "threads=2 spin=off", "threads=2/spin=off", ""},
		{"the same is no difference", "precision=fp32", "", ""},
		{"a program's path has slashes", "threads=2/program=/opt/a=b/posetest", "threads=2/program=/opt/a=b/posetest", ""},
		{"no key", "int8", "", `"int8" in "int8" must be key=value, with a key of model, precision`},
		{"no value", "precision=", "", "must be key=value"},
		{"an unknown key", "precison=int8", "", "must be key=value"},
		{"an unknown choice", "binding=zero-copy", "", "must be one of reused, copy, bound"},
	} {
		t.Run(row.name, func(t *testing.T) {
			words, err := ParseWords(row.text, base)
			if row.err != "" {
				assert.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, row.want, words.Beside(base))
			assert.Equal(t, "fp32", base["precision"], "base is left as it was")
		})
	}
}

// timing is a suite that can be timed on any machine: MoveNet in two precisions on the newest runtime.
func timing(t *testing.T) (*Suite, Words) {
	newest, err := NewestRuntime()
	require.NoError(t, err)
	s := New(Config{Runtimes: newest, Models: []string{"movenet-lightning"}, Precisions: []string{"fp32", "int8-qdq"}, Providers: []string{"cpu"}})
	_, err = s.Plan(t.Context(), io.Discard)
	require.NoError(t, err)
	return s, Words{"model": "movenet-lightning", "precision": "fp32", "provider": "cpu", "ort": newest}
}

func TestSide(t *testing.T) {
	s, base := timing(t)
	side := func(text string) (Side, error) {
		words, err := ParseWords(text, base)
		require.NoError(t, err)
		return s.Side(t.Context(), words, io.Discard)
	}
	got, err := side("threads=2/binding=copy/arena=off/spin=off")
	require.NoError(t, err)
	assert.Equal(t, 2, got.Threads)
	assert.True(t, got.Tuning.NoArena && got.Tuning.NoSpin)
	assert.False(t, got.Timing.Pipeline)
	got, err = side("stages=separate")
	require.NoError(t, err)
	assert.True(t, got.Timing.Pipeline && got.Timing.Separate)

	for text, want := range map[string]string{
		"precision=int9":     "there is no cell model=movenet-lightning/precision=int9",
		"threads=none":       "threads=none must be a number from 1 on",
		"batch=0":            "batch=0 must be a number from 1 on",
		"commit=nothing~1~1": "build posetest of commit nothing~1~1: git:",
	} {
		_, err := side(text)
		assert.ErrorContains(t, err, want)
		assert.ErrorIs(t, err, ErrSetup)
	}
}

// A commit's program is run only as it was built: what lies there has no sum, and is replaced if it is another.
func TestBuildCommit(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module m\n", "posetest/cmd/posetest/main.go": "package main\n\nfunc main() {}\n"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "-m", "m"}} {
		out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	s := New(Config{})
	s.cfg.Dir, s.cfg.Cache = dir, t.TempDir()
	program, was := "", ""
	for _, row := range []struct {
		why    string
		change func(program string) error
	}{
		{"it is not there", func(string) error { return nil }},
		{"it is there", func(string) error { return nil }},
		{"it was damaged", func(program string) error { return os.Truncate(program, 1000) }},
		{"it was swapped", func(program string) error { return os.WriteFile(program, []byte("#!/bin/false\n"), 0o755) }},
	} {
		if program != "" {
			require.NoError(t, row.change(program))
		}
		var err error
		program, _, err = s.BuildCommit(t.Context(), "HEAD", t.Output())
		require.NoError(t, err, row.why)
		sum, err := catalog.Sum(program)
		require.NoError(t, err)
		if was == "" {
			was = sum
		}
		assert.Equal(t, was, sum, row.why)
		require.NoError(t, exec.Command(program).Run(), row.why)
	}
}

// quick is long enough to see what is far from 1.
var quick = Contest{Pairs: 8, Pair: 50 * time.Millisecond, Restarts: 4}

// The gate on real inference: what is slowed down alarms, what is not does not, and what can't be measured is no pass and
// keeps nobody else from being measured.
func TestGate(t *testing.T) {
	s, base := timing(t)
	side, err := s.Side(t.Context(), base, io.Discard)
	require.NoError(t, err)
	slow, dead := side, side
	slow.Timing.Slowdown = 0.5
	dead.Program = filepath.Join(t.TempDir(), "posetest")
	require.NoError(t, os.WriteFile(dead.Program, []byte("#!/bin/sh\nkill -9 $$\n"), 0o755))
	limit := measure.Limit{High: 1}
	bouts := []Bout{{A: side, B: side, Limit: limit}, {A: side, B: slow, Limit: limit}, {A: dead, B: side, Limit: limit}}
	ran := 0
	rulings, err := s.Gate(t.Context(), bouts, quick, measure.Policy{Pairs: quick.Pairs, Alpha: 0.05}, func(Bout) { ran++ })
	require.NoError(t, err)
	assert.NotEqual(t, measure.Regressed, rulings[0].Verdict, "against itself: %s", rulings[0].Finding.Why)
	assert.Equal(t, measure.Regressed, rulings[1].Verdict, "half as slow again: %s", rulings[1].Finding.Why)
	assert.True(t, rulings[1].Repeated)
	assert.GreaterOrEqual(t, rulings[1].Comparison.Wall.Pairs, 2*quick.Pairs, "all its runs")
	assert.Equal(t, measure.Inconclusive, rulings[2].Verdict)
	assert.ErrorIs(t, rulings[2].Err, ErrSetup)
	assert.GreaterOrEqual(t, ran, 4)
}

// A cell with a bar is compared with fp32, all with the baseline, and a baseline that lacks a model is an error.
func TestBouts(t *testing.T) {
	s, _ := timing(t)
	s.plan.Speeds = nil
	_, err := s.Bouts(Baseline{})
	assert.ErrorContains(t, err, "there is nothing to compare")

	s.plan.Speeds, err = expect.ParseSpeeds([]byte(`[[speed]]
precision = "int8-qdq"
isa = "vnni avx2 sse arm64"
at_least = 1.25
why = "a test"
status = "unverified"`), "support.toml")
	require.NoError(t, err)
	bouts, err := s.Bouts(Baseline{Program: "before", Name: "program=before"})
	require.NoError(t, err)
	require.Len(t, bouts, 3)
	var names []string
	for _, b := range bouts {
		names = append(names, b.B.Precision+" against "+b.Against)
	}
	assert.ElementsMatch(t, []string{"fp32 against program=before", "int8-qdq against program=before", "int8-qdq against fp32"}, names)
	for _, b := range bouts {
		if b.Against == "fp32" {
			assert.Equal(t, measure.Limit{High: 0.8}, b.Limit)
			assert.Contains(t, b.Why, "support.toml:1")
		} else {
			assert.True(t, b.A.Timing.Pipeline && b.B.Timing.Pipeline, "another build differs in more than the model's run")
		}
	}
	_, err = s.Bouts(Baseline{ORT: "1.0.0"})
	assert.ErrorContains(t, err, "the baseline has no model=movenet-lightning")
}

// What is not ok is looked at again until all that was seen of it is plain, and nothing regresses that was seen but once.
func TestSettle(t *testing.T) {
	// of is a comparison whose pairs lie evenly around a ratio, up to twice that noise away.
	of := func(ratio, noise float64, pairs int) measure.Comparison {
		a, b := make([]float64, pairs), make([]float64, pairs)
		for i := range a {
			a[i], b[i] = 1, ratio*math.Exp(noise*(4*float64(7*i%pairs)/float64(pairs-1)-2))
		}
		r, err := measure.Paired(a, b)
		require.NoError(t, err)
		return measure.Comparison{Wall: r, CPU: r, Limit: measure.Limit{High: 1}}
	}
	broken := errors.New("broken")
	for _, row := range []struct {
		name    string
		looks   []measure.Comparison // the last is seen for good; one of no pairs fails
		want    measure.Verdict
		looked  int
		why     string
		reruns  bool
		failing bool
	}{
		{"plain at once", []measure.Comparison{of(1, 0.002, 20)}, measure.OK, 1, "wall time is 1.000", false, false},
		{"a regression is looked at again", []measure.Comparison{of(1.05, 0.002, 20)}, measure.Regressed, 2, "wall time is 1.050", true, false},
		{"and was chance", []measure.Comparison{of(1.05, 0.002, 20), of(1, 0.002, 20)}, measure.OK, 4, "", true, false},
		{"by about the floor: five looks can't tell", []measure.Comparison{of(1.011, 0.004, 20)}, measure.Inconclusive, 5, "too few pairs to tell whether it is by 1 % or more", true, false},
		{"slower by 2 %, with noise: more pairs tell", []measure.Comparison{of(1.02, 0.01, 20)}, measure.Regressed, 2, "", true, false},
		{"too noisy for good", []measure.Comparison{of(1, 0.2, 20)}, measure.Inconclusive, 5, "too noisy", true, false},
		{"too noisy at first", []measure.Comparison{of(1, 0.05, 20), of(1, 0.002, 20)}, measure.OK, 2, "", true, false},
		{"as many pairs as an exact test takes: once more, and no oftener", []measure.Comparison{of(1, 0.4, 200)}, measure.Inconclusive, 2, "too noisy", true, false},
		{"it fails", []measure.Comparison{{}}, measure.Inconclusive, 1, "not measured: broken", false, true},
		{"it fails when it is looked at again: what was seen before is no verdict", []measure.Comparison{of(1.05, 0.002, 20), {}}, measure.Inconclusive, 2, "not measured: broken", false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			looked := 0
			look := func(seed uint64, which []int) (map[int]measure.Comparison, map[int]error, error) {
				assert.EqualValues(t, 2*looked, seed, "each look has seeds of its own")
				looked++
				seen, failed := map[int]measure.Comparison{}, map[int]error{}
				for _, i := range which {
					if c := row.looks[min(looked, len(row.looks))-1]; i == 1 {
						seen[i] = of(1, 0.002, 20) // beside it, one that is always plain
					} else if c.Wall.Pairs > 0 {
						seen[i] = c
					} else {
						failed[i] = broken
					}
				}
				if looked > 1 {
					assert.Equal(t, []int{0}, which, "the other is plain at once")
				}
				return seen, failed, nil
			}
			rulings, err := Settle(2, look, measure.Policy{}.Judge)
			require.NoError(t, err)
			assert.Equal(t, row.want, rulings[0].Verdict, rulings[0].Finding.Why)
			assert.Contains(t, rulings[0].Finding.Why, row.why)
			assert.Equal(t, row.looked, looked)
			assert.Equal(t, row.reruns, rulings[0].Repeated)
			assert.Equal(t, row.failing, rulings[0].Err != nil)
			assert.Equal(t, measure.OK, rulings[1].Verdict)
			if !row.failing {
				assert.Equal(t, looked*row.looks[0].Wall.Pairs, rulings[0].Comparison.Wall.Pairs, "of all looks")
			}
		})
	}
	_, err := Settle(1, func(uint64, []int) (map[int]measure.Comparison, map[int]error, error) { return nil, nil, broken }, measure.Policy{}.Judge)
	assert.ErrorIs(t, err, broken, "the run was ended")
}

// What is judged are the pairs of all looks, and, to confirm, those of all but the first.
func TestSettleJoins(t *testing.T) {
	one, err := measure.Paired([]float64{1, 1, 1, 1, 1, 1}, []float64{1, 2, 1, 2, 1, 2})
	require.NoError(t, err)
	var pairs [][]int
	_, err = Settle(1, func(uint64, []int) (map[int]measure.Comparison, map[int]error, error) {
		return map[int]measure.Comparison{0: {Wall: one, CPU: one}}, nil, nil
	}, func(all []measure.Comparison) []measure.Finding {
		var judged []int
		findings := make([]measure.Finding, len(all))
		for i, c := range all {
			judged = append(judged, c.Wall.Pairs)
			findings[i].Verdict = measure.Inconclusive
		}
		pairs = append(pairs, judged)
		return findings
	})
	require.NoError(t, err)
	assert.Equal(t, [][]int{{6}, nil, {12}, {6}, {18}, {12}, {24}, {18}, {30}, {24}}, pairs)
}

// What the gate finds where noise is as it was on a machine with neighbours: each pair off by 2 %, and the processes that serve
// for four of them by 0.7 %, which no test of pairs knows of. docs/gate-power.md has the same of real inference.
func TestSettlePower(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	look := func(slower float64) measure.Comparison {
		clock := func() measure.Ratio {
			a, b, luck := make([]float64, 20), make([]float64, 20), 0.0
			for i := range a {
				if i%4 == 0 {
					luck = 0.007 * random.NormFloat64()
				}
				a[i], b[i] = 1, (1+slower)*math.Exp(luck+0.02*random.NormFloat64())
			}
			r, err := measure.Paired(a, b)
			require.NoError(t, err)
			return r
		}
		return measure.Comparison{Wall: clock(), CPU: clock(), Limit: measure.Limit{High: 1}}
	}
	for _, row := range []struct {
		slower      float64
		gates       int
		least, most float64 // share that regresses
	}{
		{0, 1000, 0, 0},
		{0.01, 100, 0, 0.2},
		{0.02, 100, 0.8, 1},
		{0.03, 100, 0.95, 1},
	} {
		said, looks := map[measure.Verdict]int{}, 0
		for range row.gates {
			rulings, err := Settle(1, func(uint64, []int) (map[int]measure.Comparison, map[int]error, error) {
				looks++
				return map[int]measure.Comparison{0: look(row.slower)}, nil, nil
			}, measure.Policy{}.Judge)
			require.NoError(t, err)
			said[rulings[0].Verdict]++
		}
		found := float64(said[measure.Regressed]) / float64(row.gates)
		t.Logf("%.0f %% slower: %v, %.1f looks each", 100*row.slower, said, float64(looks)/float64(row.gates))
		assert.GreaterOrEqual(t, found, row.least, "%.0f %% slower", 100*row.slower)
		assert.LessOrEqual(t, found, row.most, "%.0f %% slower", 100*row.slower)
	}
}

func TestConfirmed(t *testing.T) {
	finding := func(v measure.Verdict) measure.Finding { return measure.Finding{Verdict: v, Why: "x"} }
	const ok, bad, unsure = measure.OK, measure.Regressed, measure.Inconclusive
	for _, row := range []struct {
		again, all, want measure.Verdict
		name             string
	}{
		{bad, bad, bad, "seen again"},
		{unsure, bad, bad, "seen again, if not so surely"},
		{ok, bad, unsure, "the first look is alone in it"},
		{ok, ok, ok, "the first look was chance"},
		{bad, unsure, unsure, "all pairs can't tell"},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, Confirmed(finding(row.again), finding(row.all)).Verdict)
		})
	}
}

// The turns of a contest: as many rounds as were asked for, each with as many runs on every side.
func TestRounds(t *testing.T) {
	s, base := timing(t)
	side, err := s.Side(t.Context(), base, io.Discard)
	require.NoError(t, err)
	told := 0
	rounds, err := s.Rounds(t.Context(), []Side{side, side, side}, Contest{Pairs: 7, Pair: 50 * time.Millisecond, Restarts: 3}, func() { told++ })
	require.NoError(t, err)
	assert.Equal(t, 7, told)
	require.Len(t, rounds, 7)
	for _, r := range rounds {
		require.Len(t, r, 3)
		for _, samples := range r {
			assert.Len(t, samples, len(r[0]))
			for _, sample := range samples {
				assert.Positive(t, sample.Wall)
				assert.Positive(t, sample.CPU)
			}
		}
	}
}
