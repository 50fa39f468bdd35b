package posetest

import (
	"testing"
	"time"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Of each round the median turn counts, of those that lie within one phase of the machine.
func TestTypical(t *testing.T) {
	wall := func(s worker.Sample) time.Duration { return s.Wall }
	cpu := func(s worker.Sample) time.Duration { return s.CPU }
	// round has the runs of both sides by turns, a beside b; a run's processor time is twice its wall time.
	round := func(times ...float64) Round {
		r := make(Round, 2)
		for i, seconds := range times {
			d := time.Duration(seconds * float64(time.Second))
			r[i%2] = append(r[i%2], worker.Sample{Wall: d, CPU: 2 * d})
		}
		return r
	}
	for _, row := range []struct {
		name   string
		rounds []Round
		a, b   []float64
	}{
		{"one turn is its own median", []Round{round(100, 102)}, []float64{100}, []float64{102}},
		{"of three turns the one in the middle", []Round{round(100, 101, 100, 105, 100, 102)}, []float64{100}, []float64{102}},
		{"of two, what lies between", []Round{round(100, 100, 100, 104)}, []float64{100}, []float64{101.9804}},
		{"a slow phase hits both alike, and counts as much as a fast one", []Round{round(100, 103), round(150, 151.5)}, []float64{100, 150}, []float64{103, 151.5}},
		{"a turn on the edge of a phase does not count", []Round{round(100, 102, 100, 150, 150, 153, 100, 101)}, []float64{100}, []float64{102}},
		{"nor one on the other edge", []Round{round(100, 102, 150, 100, 150, 153, 100, 103)}, []float64{150}, []float64{153}},
		{"a round of edges has the median of them all: no pair is lost", []Round{round(100, 102, 100, 102), round(100, 101, 100, 103), round(100, 140)}, []float64{100, 100, 100}, []float64{102, 101.9951, 140}},
		{"a run counts beside those of the turns before and after, too: what lies in the middle has more of them", []Round{round(100, 101, 100, 104, 100, 105, 100, 102)}, []float64{100}, []float64{104}},
		{"but not beside later ones", []Round{round(100, 150, 100, 102, 100, 102, 150, 100)}, []float64{100}, []float64{102}},
		{"edges are told from the median turn, however fast one side is", []Round{round(100, 300, 100, 301, 100, 299, 100, 210)}, []float64{100}, []float64{300}},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, b := typical(row.rounds, 0, 1, wall)
			assert.InDeltaSlice(t, row.a, a, 1e-3)
			assert.InDeltaSlice(t, row.b, b, 1e-3)
			b2, a2 := typical(row.rounds, 1, 0, cpu)
			for i := range a {
				assert.InDelta(t, b[i]/a[i], b2[i]/a2[i], 1e-9, "which side is called the first, and which clock, changes no ratio")
			}
		})
	}
}

// Bouts that share sides take turns together, and none is lost.
func TestTogether(t *testing.T) {
	side := func(precision, ort string) Side {
		return Side{Planned: Planned{Place: expect.Place{Cell: observe.Cell{Model: "m", Precision: precision, Provider: "cpu", ORT: ort}}}}
	}
	bout := func(a, b Side) Bout { return Bout{A: a, B: b} }
	fp32, old := side("fp32", "2"), side("fp32", "1")
	for _, row := range []struct {
		name  string
		bouts []Bout
		want  [][]int // bouts by group
		sides []int   // of each group
	}{
		{"nothing to share", []Bout{bout(old, fp32), bout(side("int8", "1"), side("int8", "2"))}, [][]int{{0}, {1}}, []int{2, 2}},
		{"fp32 runs once for all its precisions", []Bout{bout(fp32, side("a", "2")), bout(fp32, side("b", "2")), bout(old, fp32)}, [][]int{{0, 1, 2}}, []int{4}},
		{"not more sides than there is room for", []Bout{bout(fp32, side("a", "2")), bout(fp32, side("b", "2")), bout(fp32, side("c", "2")), bout(fp32, side("d", "2")),
			bout(fp32, side("e", "2")), bout(fp32, side("f", "2"))}, [][]int{{0, 1, 2, 3, 4}, {5}}, []int{6, 2}},
		{"another build is another side", []Bout{bout(Side{Planned: fp32.Planned, Program: "before"}, fp32), bout(fp32, side("a", "2"))}, [][]int{{0, 1}}, []int{3}},
		{"a side against itself is two workers", []Bout{bout(fp32, fp32), bout(fp32, side("a", "2"))}, [][]int{{0, 1}}, []int{3}},
		{"so is another way to time it", []Bout{bout(Side{Planned: fp32.Planned, Timing: worker.Timing{Pipeline: true}}, side("a", "2")), bout(fp32, side("b", "2"))}, [][]int{{0}, {1}}, []int{2, 2}},
	} {
		t.Run(row.name, func(t *testing.T) {
			which := make([]int, len(row.bouts))
			for i := range which {
				which[i] = i
			}
			groups := together(row.bouts, which)
			require.Len(t, groups, len(row.want))
			for k, g := range groups {
				assert.Equal(t, row.want[k], g.bouts)
				assert.Len(t, g.sides, row.sides[k])
				for n, i := range g.bouts {
					a, b := g.pairs[n][0], g.pairs[n][1]
					assert.NotEqual(t, a, b, "no worker is compared with itself")
					assert.Equal(t, row.bouts[i].A, g.sides[a])
					assert.Equal(t, row.bouts[i].B, g.sides[b])
				}
			}
		})
	}
}

// A round has as many turns as it has time for, and two where one takes longer.
func TestTurnsIn(t *testing.T) {
	for once, want := range map[time.Duration]int{20 * time.Millisecond: 10, 70 * time.Millisecond: 2, 150 * time.Millisecond: 2, time.Minute: 2} {
		assert.Equal(t, want, turnsIn(200*time.Millisecond, once), once)
	}
}

// The first runs warm up, but one that takes long does it alone.
func TestWarmUps(t *testing.T) {
	for first, want := range map[time.Duration]int{0: 3, 10 * time.Millisecond: 3, 40 * time.Millisecond: 2, 110 * time.Millisecond: 1, time.Minute: 1} {
		assert.Equal(t, want, warmUps(first), first)
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
