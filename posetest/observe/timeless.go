package observe

import (
	"slices"
	"time"
)

// Timeless is the observation without what a clock, a scheduler or an allocator tells. Two of one cell, by the same files
// on the same machine, are then equal byte for byte, or the cell is flaky. Left out are
//
//   - When, Start, Load, FirstRun, Run, Runs, DeviceRuns, Worker, and the Infer of each photograph, which a clock tells;
//   - performance state, clocks, power and temperature of the GPU, which its load tells;
//   - PeakMemory, which is what an allocator and the kernel had in use at the most;
//   - the Log of a Death, which has times, addresses and numbers of threads in it, and lines of several threads.
//
// All else stays: the outcome in its exact words, placement, each keypoint, the runtime's warnings, Earlier and Variants.
func (o Observation) Timeless() Observation {
	o.When = time.Time{}
	o.Start, o.Load, o.FirstRun, o.Run, o.Runs, o.Worker = 0, 0, 0, 0, nil, 0
	o.DeviceRuns, o.PeakMemory = nil, 0
	if o.GPU != nil {
		g := *o.GPU
		g.PState, g.Clock, g.MemoryClock, g.Power, g.Temperature = "", 0, 0, 0, 0
		o.GPU = &g
	}
	o.Photos = slices.Clone(o.Photos)
	for i := range o.Photos {
		o.Photos[i].Infer = 0
	}
	if o.Death != nil {
		death := *o.Death
		death.Log = nil
		o.Death = &death
	}
	return o
}

// Timeless is the set with each observation so.
func (s Set) Timeless() Set {
	s.Observations = slices.Clone(s.Observations)
	for i, o := range s.Observations {
		s.Observations[i] = o.Timeless()
	}
	return s
}
