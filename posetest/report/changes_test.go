package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const millisecond = time.Millisecond

// stable are cells whose run times did not change but for noise of some percent.
func stable() (now, before []Result) {
	for i := range 20 {
		r := Result{Observation: observe.Observation{Cell: observe.Cell{Model: "m", Precision: "fp32", Provider: "cpu", ORT: fmt.Sprintf("1.%d.0", i)},
			Outcome: observe.Loads, ModelSHA256: "ab", Placement: map[string]int{"CPUExecutionProvider": 10},
			Photos: []observe.Photo{{Fixture: "somebody", SHA256: "ab", People: 1, Persons: []pose.Person{somebody(0)}}}}, Class: expect.ClassLoads}
		was := r
		r.Run, r.Runs = 100*millisecond, []time.Duration{99 * millisecond, 100 * millisecond, 101 * millisecond}
		was.Run = time.Duration(98+i%5) * millisecond
		was.Runs = []time.Duration{was.Run - millisecond, was.Run, was.Run + millisecond}
		now, before = append(now, r), append(before, was)
	}
	return now, before
}

// Each kind of change is said, and nothing that is not one.
func TestChanges(t *testing.T) {
	const first = "model=m/precision=fp32/provider=cpu/ort=1.0.0"
	for _, test := range []struct {
		why    string
		change func(r *Result) // the first cell, now
		want   string          // "" for no change
	}{
		{"noise is none", func(*Result) {}, ""},
		{"another outcome, with its words", func(r *Result) {
			r.Outcome, r.Class, r.Failure = observe.Fails, expect.ClassFails, &observe.Failure{Message: "no kernel"}
		}, "fails, was loads; fails: no kernel; was: loads"},
		{"another class of the same outcome", func(r *Result) { r.Class = expect.ClassWrong }, "wrong, was loads"},
		{"placement", func(r *Result) {
			r.Placement = map[string]int{"CPUExecutionProvider": 9, "XnnpackExecutionProvider": 1}
		},
			"nodes are on CPUExecutionProvider 9, XnnpackExecutionProvider 1, were on CPUExecutionProvider 10"},
		{"somebody is not found any more", func(r *Result) { r.Photos = []observe.Photo{{Fixture: "somebody", SHA256: "ab", People: 1}} },
			"of 1 persons found before 1 are not found, and 0 are found that were not"},
		{"somebody is found who is not there", func(r *Result) {
			r.Photos = []observe.Photo{{Fixture: "somebody", SHA256: "ab", People: 1, Persons: []pose.Person{somebody(0), somebody(300)}}}
		}, "of 1 persons found before 0 are not found, and 1 are found that were not"},
		{"joints moved", func(r *Result) {
			r.Photos = []observe.Photo{{Fixture: "somebody", SHA256: "ab", People: 1, Persons: []pose.Person{somebody(5)}}}
		}, "joints moved by up to"},
		{"by less than what float16 moves them", func(r *Result) {
			r.Photos = []observe.Photo{{Fixture: "somebody", SHA256: "ab", People: 1, Persons: []pose.Person{somebody(0.2)}}}
		}, ""},
		{"other photographs say nothing of the model", func(r *Result) { r.Photos = nil }, "what it finds can't be compared: the report before saw 1 photographs and this one 0"},
		{"slower beyond noise", func(r *Result) { slower(r, 1.5) }, "the fastest run takes 1.53 × as long: 148 ms, was 97 ms"},
		{"faster beyond noise", func(r *Result) { slower(r, 0.6) }, "the fastest run takes 0.61 × as long: 59 ms, was 97 ms"},
		{"slower by less than a fifth", func(r *Result) { slower(r, 1.15) }, ""},
		{"slower in the median, but a run was as fast as before", func(r *Result) { slower(r, 1.5); r.Runs[0] = 98 * millisecond }, ""},
		{"another file", func(r *Result) { r.ModelSHA256 = "cd" }, "the model's file is another: cd…, was ab…"},
		{"AP fell", func(r *Result) { r.COCO = &observe.COCO{AP: 0.4} }, "AP 0.4000, was 0.4600"},
	} {
		now, before := stable()
		before[0].COCO = &observe.COCO{AP: 0.46}
		now[0].COCO = &observe.COCO{AP: 0.457}
		test.change(&now[0])
		changes, note := Page{Results: now, Before: before}.changes()
		assert.True(t, strings.HasPrefix(note, "20 cells compared. The fastest runs of 20 cells take "), "%s: %s", test.why, note)
		if test.want == "" {
			assert.Empty(t, changes, test.why)
			continue
		}
		require.Len(t, changes, 1, test.why)
		assert.Equal(t, first, changes[0].cells, test.why)
		assert.Contains(t, strings.Join(changes[0].what, "; "), test.want, test.why)
	}
}

func slower(r *Result, factor float64) {
	r.Run = time.Duration(factor * float64(r.Run))
	for i := range r.Runs {
		r.Runs[i] = time.Duration(factor * float64(r.Runs[i]))
	}
}

// A machine that is slower as a whole is said once, and no cell is blamed for it; where cells scatter, more is needed.
func TestChangesOfMachines(t *testing.T) {
	now, before := stable()
	for i := range now {
		slower(&now[i], 1.6)
	}
	changes, note := Page{Results: now, Before: before}.changes()
	assert.Empty(t, changes)
	assert.Contains(t, note, "take 1.60 × as long in the median, and vary by 1.20 × around that")

	now, before = stable()
	for i := range now {
		slower(&now[i], []float64{0.7, 1, 1.4}[i%3])
	}
	changes, note = Page{Results: now, Before: before}.changes()
	assert.Empty(t, changes, "%s", note)
}

// What was not there before, and what is no more, is counted.
func TestChangesOfCells(t *testing.T) {
	now, before := stable()
	before[3].Provider = "openvino"
	changes, note := Page{Results: now, Before: before}.changes()
	assert.Contains(t, note, "19 cells compared.")
	require.Len(t, changes, 2)
	assert.Equal(t, change{cells: "m, fp32, cpu, 1.3.0", what: []string{"1 cells new: 1 loads"}}, changes[0])
	assert.Equal(t, change{cells: "m, fp32, openvino, 1.3.0", what: []string{"1 cells not run any more: 1 loads"}}, changes[1])

	changes, note = Page{Results: now}.changes()
	assert.Empty(t, changes, "without a report before")
	assert.Empty(t, note)
}
