package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever can't be compared ends with exit code 2 and one sentence, and prints no ratio.
func TestSpeedBadInput(t *testing.T) {
	cut := filepath.Join(t.TempDir(), "cut.jsonl")
	require.NoError(t, os.WriteFile(cut, []byte(`{"when":"2026-`), 0o644))
	other := filepath.Join(t.TempDir(), "other.jsonl")
	require.NoError(t, os.WriteFile(other, []byte(`{"ratio":1.02}`+"\n"), 0o644))
	for _, row := range []struct {
		name string
		args []string
		says string
	}{
		{"one side", []string{"compare", "model=movenet-lightning"}, "compare needs two sides, and got 1"},
		{"no model", []string{"compare", "precision=fp32", "precision=int8-qdq"}, "names no model"},
		{"twice the same", []string{"compare", "model=movenet-lightning", "precision=fp32"}, "let B differ"},
		{"a typo", []string{"compare", "model=movenet-lightning", "precison=int8"}, "must be key=value"},
		{"an unknown model", []string{"compare", "model=movenet", "precision=int8-qdq"}, `"movenet" is unknown; choose from movenet-lightning`},
		{"an unknown runtime", []string{"compare", "model=movenet-lightning", "ort=1.0.0"}, `runtime "1.0.0" is unknown`},
		{"too few pairs", []string{"compare", "model=movenet-lightning", "precision=int8-qdq", "--pairs", "3"}, "3 pairs: an exact interval needs 6"},
		{"one runtime", []string{"compare", "--ort", "1.32.0"}, "must be two runtimes"},
		{"runtimes and sides", []string{"compare", "--ort", "1.31.1,1.32.0", "model=movenet-lightning"}, "not both"},
		{"two baselines", []string{"gate", "--against-ort", "1.31.1", "--against-commit", "HEAD"}, "give one"},
		{"a baseline that is not there", []string{"gate", "--models", "movenet-lightning", "--against-program", "/nowhere/posetest"}, "--against-program: stat /nowhere/posetest"},
		{"nothing to compare", []string{"gate", "--models", "movenet-lightning", "--precisions", "fp32"}, "there is nothing to compare"},
		{"a history that was cut", []string{"gate", "--history", cut}, "its last line is cut"},
		{"a history of something else", []string{"gate", "--history", other}, "other.jsonl:1: not a record"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := command(t, nil, row.args...)
			require.Equal(t, 2, r.exit(t), "exit code; %s%s", r.out.String(), r.err.String())
			assert.Contains(t, r.sentence(t), row.says)
			assert.Empty(t, r.out.String())
		})
	}
}

// A comparison on real inference says both clocks in sentences, whichever way it turns out.
func TestCompare(t *testing.T) {
	r := command(t, nil, "compare", "model=movenet-lightning", "precision=int8-qdq", "--pairs", "6", "--pair", "20ms")
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.Regexp(t, `(?m)^model=movenet-lightning/precision=fp32/provider=cpu/ort=\S+$`, r.out.String())
	assert.Regexp(t, `(?m)^On the clock: .*in 6 pairs`, r.out.String())
	assert.Regexp(t, `(?m)^Of the processor: .*in 6 pairs`, r.out.String())
}

// What one asks for is done; else each pair has workers of its own, as pairs of one process are not independent.
func TestOneQuestion(t *testing.T) {
	assert.Equal(t, posetest.Contest{Pairs: 20, Pair: time.Second, Restarts: 1}, oneQuestion(posetest.Contest{}))
	asked := posetest.Contest{Pairs: 50, Pair: 200 * time.Millisecond, Restarts: 5, Seed: 7}
	assert.Equal(t, asked, oneQuestion(asked))
}

// More pairs do not help a baseline that does not start.
func TestUntold(t *testing.T) {
	ok := posetest.Ruling{Finding: measure.Finding{Verdict: measure.OK}}
	noisy := posetest.Ruling{Finding: measure.Finding{Verdict: measure.Inconclusive}}
	failed := posetest.Ruling{Finding: measure.Finding{Verdict: measure.Inconclusive}, Err: os.ErrNotExist}
	for _, row := range []struct {
		rulings []posetest.Ruling
		says    string
	}{
		{[]posetest.Ruling{ok, noisy, noisy}, "2 of 3 could not be told: run it again on a quieter machine, or with more --pairs"},
		{[]posetest.Ruling{ok, failed}, "1 of 2 comparisons could not be measured, for what is said above"},
		{
			[]posetest.Ruling{failed, noisy, failed},
			"2 of 3 comparisons could not be measured, for what is said above; 1 of 3 could not be told: run it again on a quieter machine, or with more --pairs",
		},
	} {
		assert.EqualError(t, untold(row.rulings), row.says)
	}
}

// What a run of the gate adds to its history is whole, and what was there stays.
func TestGateHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.jsonl")
	ratio, err := measure.Paired([]float64{1, 1, 1, 1, 1, 1}, []float64{1, 1.01, 1, 1.02, 1, 1.01})
	require.NoError(t, err)
	ruling := posetest.Ruling{Finding: measure.Finding{Verdict: measure.OK}, Comparison: measure.Comparison{Wall: ratio, CPU: ratio}}
	ruling.B.Cell = observe.Cell{Model: "m", Precision: "int8", Provider: "cpu", ORT: "1.32.0"}
	ruling.Against = "fp32"
	failed := posetest.Ruling{Err: os.ErrClosed}
	require.NoError(t, writeHistory(path, records([]posetest.Ruling{ruling, failed})))
	past, err := readHistory(path)
	require.NoError(t, err)
	require.Len(t, past, 1, "what was not measured has no ratio")
	require.NoError(t, writeHistory(path, append(past, records([]posetest.Ruling{ruling})...)))
	past, err = readHistory(path)
	require.NoError(t, err)
	require.Len(t, past, 2)
	assert.Equal(t, ratio.Ratio, past[1].Wall.Ratio)
	assert.Equal(t, observe.ThisMachine(), past[1].Machine)
}

// 0.3 % a commit is below every gate's floor; after ten of them somebody must look.
func TestDrifting(t *testing.T) {
	at := func(ratio float64, against, cpu string) record {
		r := record{When: time.Now(), Against: against, CPU: measure.Ratio{Ratio: ratio}, Wall: measure.Ratio{Ratio: ratio}}
		r.Cell.Model, r.Machine.CPU = "m", cpu
		return r
	}
	var creeping, steady, mixed []record
	for i := range 10 {
		creeping = append(creeping, at(1+0.003*float64(i), "ort=1.31.1", "a"))
		steady = append(steady, at(1+0.003*float64(i%2), "ort=1.31.1", "a"))
		mixed = append(mixed, at(1+0.003*float64(i), "ort=1.31.1", strings.Repeat("b", i+1))) // a machine each
	}
	last := at(1.03, "ort=1.31.1", "a")
	require.Len(t, drifting(creeping, []record{last}), 1)
	assert.Contains(t, drifting(creeping, []record{last})[0], "3.0 % slower over 11 runs, bit by bit")
	assert.Empty(t, drifting(steady, []record{at(1, "ort=1.31.1", "a")}))
	assert.Empty(t, drifting(mixed, []record{last}), "ratios of other machines say nothing")
	assert.Empty(t, drifting(creeping, []record{at(1.03, "fp32", "a")}), "nor do those against another baseline")
	last.Method++
	assert.Empty(t, drifting(creeping, []record{last}), "nor those that were compared in another way")
}
