package report

import (
	"testing"
	"time"

	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
)

func TestWorth(t *testing.T) {
	fp32 := Result{Observation: observe.Observation{Cell: observe.Cell{Model: "m", Precision: "fp32", Provider: "cpu", ORT: "1.32.0"}, Outcome: observe.Loads,
		Run: 100 * time.Millisecond, ModelSize: 1000}, Class: expect.ClassLoads, Share: 1}
	int8 := func(change func(*Result)) Result {
		r := fp32
		r.Precision, r.Run, r.ModelSize = "int8-qdq", 60*time.Millisecond, 300
		r.Drift = &drift.Drift{Persons: 10, Matched: 10, MeanOKS: 0.95}
		change(&r)
		return r
	}
	for _, test := range []struct {
		why    string
		change func(*Result)
		answer verdict
		want   string
	}{
		{"faster, smaller, and finds the same", func(*Result) {}, yes, "0.60 × the run time, 0.30 × the size, OKS to fp32 0.95"},
		{"having a file is not being able to use it", func(r *Result) { r.Class, r.Outcome = expect.ClassFails, observe.Fails }, no, "fails"},
		{"fast and wrong", func(r *Result) { r.Class = expect.ClassWrong }, no, "wrong"},
		{"another provider does the work", func(r *Result) { r.Class, r.Share = expect.ClassFallsBack, 0.04 }, no, "96 % of the nodes fall back"},
		{"slower than fp32", func(r *Result) { r.Run = 340 * time.Millisecond }, no, "3.40 × the run time"},
		{"hardly faster", func(r *Result) { r.Run = 84 * time.Millisecond }, no, "0.84 × the run time"},
		{"neighbours disturbed fp32: its fastest run is as fast", func(r *Result) { r.Runs = []time.Duration{95 * time.Millisecond, 96 * time.Millisecond} }, unclear, "0.60 × the run time in the median, 0.95 × in the fastest run"},
		{"loses somebody", func(r *Result) { r.Drift.Matched = 9 }, no, "loses 1 of 10 persons"},
		{"finds them elsewhere", func(r *Result) { r.Drift.MeanOKS = 0.89 }, no, "OKS to fp32 0.89"},
		{"nothing that was not measured counts as good", func(r *Result) { r.Drift = nil }, no, "was not compared"},
	} {
		r := int8(test.change)
		answer, why := r.worth(fp32)
		assert.Equal(t, test.answer, answer, test.why)
		assert.Contains(t, why, test.want, test.why)
		answers := Page{Results: []Result{fp32, r}}.worths()
		assert.Len(t, answers, 1)
		assert.Contains(t, answers[0].String(), map[verdict]string{yes: "worth it: int8-qdq (", no: "not worth it: int8-qdq (", unclear: "unclear, measure it with `posetest compare`: int8-qdq ("}[test.answer])
		assert.Equal(t, test.answer, answers[0].verdict(), test.why)
	}
	assert.Empty(t, Page{Results: []Result{int8(func(*Result) {})}}.worths(), "without fp32 there is nothing to compare with")
}
