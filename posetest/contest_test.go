package posetest

import (
	"testing"
	"time"

	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
)

// Of each round a side's fastest run counts, by either clock, whatever disturbed the others.
func TestFastest(t *testing.T) {
	run := func(wall, cpu time.Duration) worker.Sample {
		return worker.Sample{Wall: wall * time.Second, CPU: cpu * time.Second}
	}
	rounds := []Round{
		{{run(3, 9), run(2, 8), run(14, 7)}, {run(5, 5)}},
		{{run(4, 4), run(6, 3)}, {run(6, 1), run(7, 2)}},
	}
	wall := func(s worker.Sample) time.Duration { return s.Wall }
	cpu := func(s worker.Sample) time.Duration { return s.CPU }
	assert.Equal(t, []float64{2, 4}, fastest(rounds, 0, wall))
	assert.Equal(t, []float64{7, 3}, fastest(rounds, 0, cpu))
	assert.Equal(t, []float64{5, 6}, fastest(rounds, 1, wall))
}

// A round may end once every side, not one of them, had runs enough near its own fastest.
func TestCalm(t *testing.T) {
	runs := func(walls ...time.Duration) (all []worker.Sample) {
		for _, w := range walls {
			all = append(all, worker.Sample{Wall: w})
		}
		return all
	}
	best := []time.Duration{100, 200}
	for _, row := range []struct {
		name string
		a, b []worker.Sample
		want bool
	}{
		{"both undisturbed", runs(100, 109), runs(205, 210), true},
		{"one run of the first was", runs(100, 145), runs(205, 210), false},
		{"the second was, however calm the first", runs(100, 101), runs(290, 210), false},
		{"near the other side's fastest is not near its own", runs(200, 205), runs(205, 210), false},
		{"nothing ran yet", nil, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) { assert.Equal(t, row.want, calm(Round{row.a, row.b}, best, 2)) })
	}
}

// Workers serve for as long as they took to start, within reason.
func TestServes(t *testing.T) {
	for _, test := range []struct {
		ready time.Duration
		want  int
		why   string
	}{
		{100 * time.Millisecond, 4, "MoveNet starts in no time, and a few rounds need it warm"},
		{999 * time.Millisecond, 4, "less than five rounds"},
		{1000 * time.Millisecond, 5, "as long as five rounds"},
		{2000 * time.Millisecond, 10, "as long as ten"},
		{time.Minute, 10, "OpenVINO compiles for seconds, and two processes a side are the least"},
	} {
		assert.Equal(t, test.want, serves(test.ready, 200*time.Millisecond), test.why)
	}
}
