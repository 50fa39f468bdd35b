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
		yes    bool
		want   string
	}{
		{"faster, smaller, and finds the same", func(*Result) {}, true, "0.60 × the run time, 0.30 × the size, OKS to fp32 0.95"},
		{"having a file is not being able to use it", func(r *Result) { r.Class, r.Outcome = expect.ClassFails, observe.Fails }, false, "fails"},
		{"fast and wrong", func(r *Result) { r.Class = expect.ClassWrong }, false, "wrong"},
		{"another provider does the work", func(r *Result) { r.Class, r.Share = expect.ClassFallsBack, 0.04 }, false, "96 % of the nodes fall back"},
		{"slower than fp32", func(r *Result) { r.Run = 340 * time.Millisecond }, false, "3.40 × the run time"},
		{"hardly faster", func(r *Result) { r.Run = 84 * time.Millisecond }, false, "0.84 × the run time"},
		{"loses somebody", func(r *Result) { r.Drift.Matched = 9 }, false, "loses 1 of 10 persons"},
		{"finds them elsewhere", func(r *Result) { r.Drift.MeanOKS = 0.89 }, false, "OKS to fp32 0.89"},
		{"nothing that was not measured counts as good", func(r *Result) { r.Drift = nil }, false, "was not compared"},
	} {
		r := int8(test.change)
		yes, why := r.worth(fp32)
		assert.Equal(t, test.yes, yes, test.why)
		assert.Contains(t, why, test.want, test.why)
		answers := Page{Results: []Result{fp32, r}}.worths()
		assert.Len(t, answers, 1)
		assert.Contains(t, answers[0].String(), map[bool]string{true: "worth it: int8-qdq (", false: "not worth it: int8-qdq ("}[test.yes])
	}
	assert.Empty(t, Page{Results: []Result{int8(func(*Result) {})}}.worths(), "without fp32 there is nothing to compare with")
}
