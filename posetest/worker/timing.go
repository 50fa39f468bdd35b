package worker

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/posetest/suite/posetest/pose"
)

// A Timing says what to time.
type Timing struct {
	Runs int `json:"runs"`
	// Pipeline times the last image from its pixels to persons; without it the session's run alone is timed.
	Pipeline bool `json:"pipeline,omitempty"`
	// Preprocess times the way of the last image from its pixels to the tensor alone.
	Preprocess bool `json:"preprocess,omitempty"`
	// Separate preprocesses in one pass over the picture a stage, as most apps do, instead of one pass for all.
	Separate bool `json:"separate,omitempty"`
	// Binding is how tensors reach the runtime and come back.
	Binding Binding `json:"binding,omitempty"`
	// Warm is how long untimed runs go before the timed ones: a graphics processor raises its clocks only under load.
	Warm time.Duration `json:"warm_ns,omitempty"`
	// Batch puts so many copies of the image into one tensor, for a model whose first dimension is open; 0 is 1.
	Batch int `json:"batch,omitempty"`
	// Slowdown is a share of each run's CPU time that the worker burns after it, to prove a gate.
	Slowdown float64 `json:"slowdown,omitempty"`
}

// A Binding is how tensors reach the runtime and come back. Every run is over when its outputs are there, also those of a graphics
// processor: the runtime waits for it, with outputs in the processor's memory because they are copied, and with others because it is
// asked to. Where the provider has memory of its own, Reused and Copy count the copies there and back, Bound those back, Device none.
type Binding string

const (
	Reused Binding = ""       // the image's memory is used as it is; outputs lie where they lay in the run before
	Copy   Binding = "copy"   // the image is copied into a new tensor, the runtime makes the outputs, and they are copied out
	Bound  Binding = "bound"  // inputs and outputs are bound once (IoBinding), and every run works in place
	Device Binding = "device" // as Bound, with both in the memory of the provider's device
)

// A Sample is the times of one run.
type Sample struct {
	Wall time.Duration `json:"wall_ns"`
	CPU  time.Duration `json:"cpu_ns"` // of the whole worker: all threads, user and system
}

// Time runs the tensor of the last image, or its whole pipeline, again and again, and returns each run's times. Nothing
// else happens in the worker meanwhile: its garbage collection waits.
func (w *Worker) Time(ctx context.Context, t Timing) ([]Sample, error) {
	a, err := w.ask(ctx, request{Time: &t})
	if err == nil && len(a.Runs) != t.Runs {
		return nil, w.breach("time", fmt.Sprintf("runs: it has %d of %d", len(a.Runs), t.Runs))
	}
	return a.Runs, err
}

func (s *served) time(t Timing) (reply, error) {
	if s.image == nil {
		return reply{}, misuse("time comes after infer")
	}
	if t.Runs < 1 || t.Batch < 0 || t.Slowdown < 0 || t.Warm < 0 {
		return reply{}, misuse(fmt.Sprintf("there is nothing to time in %+v", t))
	}
	if s.ahead != nil { // it would work beside the runs, in memory that a pipeline's run needs
		<-s.ahead.done
		s.ahead = nil
	}
	run, done, err := s.timed(t)
	if err != nil {
		return reply{}, err
	}
	defer done()
	runtime.LockOSThread() // here and not for good: a thread of its own would have to be woken for each request
	defer runtime.UnlockOSThread()
	for begin := time.Now(); time.Since(begin) < t.Warm; {
		if err := run(); err != nil {
			return reply{}, err
		}
	}
	runs := make([]Sample, t.Runs)
	for i := range runs {
		if objects() > s.live+maxGarbage {
			s.collect()
			if err := run(); err != nil { // to find caches and pages as the others do
				return reply{}, err
			}
		}
		cpu, begin := cpuTime(), time.Now()
		if err := run(); err != nil {
			return reply{}, err
		}
		if t.Slowdown > 0 {
			for until := time.Duration(float64(cpuTime()-cpu) * (1 + t.Slowdown)); cpuTime()-cpu < until; {
			}
		}
		runs[i] = Sample{Wall: time.Since(begin), CPU: cpuTime() - cpu}
	}
	return reply{Runs: runs}, nil
}

// maxGarbage is how many bytes may pile up between two collections while runs are timed.
const maxGarbage = 128 << 20

// still keeps Go's runtime quiet from one request to time to the next, so that also the first run of each is like the
// others: a collection, or a change of its settings, costs it 0.1 ms in cold caches and new pages. With more than one
// processor to give work to, its monitor looks for some at each call into C, every 20 µs at first: that was 40 wake-ups
// and 0.5 ms in a run of 10 ms on a busy machine.
func (s *served) still(timing bool) {
	switch {
	case timing == s.stilled:
		return
	case timing:
		runtime.GOMAXPROCS(1)
		debug.SetGCPercent(-1)
		s.collect()
	default:
		debug.SetGCPercent(100)
		runtime.SetDefaultGOMAXPROCS()
	}
	s.stilled = timing
}

func (s *served) collect() {
	runtime.GC()
	s.live = objects()
}

// objects is the bytes of the heap's objects, dead ones included.
func objects() uint64 {
	bytes := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(bytes)
	return bytes[0].Value.Uint64()
}

// timed is what is to be timed, ready to run, and what frees it.
func (s *served) timed(t Timing) (run func() error, done func(), err error) {
	input := *s.input
	if t.Batch > 1 {
		if t.Pipeline || t.Preprocess || s.inputs[0].Shape[0] >= 0 {
			return nil, nil, misuse(fmt.Sprintf("a batch of %d needs a model with an open first dimension, and its run timed alone", t.Batch))
		}
		input = input.Repeat(t.Batch)
	}
	if t.Separate && !t.Pipeline && !t.Preprocess {
		return nil, nil, misuse("separate stages are of preprocessing, which is not timed here")
	}
	nothing := func() {}
	switch {
	case t.Pipeline || t.Preprocess:
		pipeline := s.pipelines[0]
		ready := pipeline.Preprocess
		if t.Separate {
			separate, ok := pipeline.(pose.Separate)
			if !ok {
				return nil, nil, misuse("the family has no preprocessing in separate stages")
			}
			ready = separate.PreprocessSeparately
		}
		return func() error {
			input, err := ready(s.image)
			if err != nil || t.Preprocess {
				return err
			}
			outputs, _, err := s.session.Run(input)
			if err != nil {
				return err
			}
			_, err = pipeline.Decode(outputs, pose.Options{})
			return err
		}, nothing, nil
	case t.Binding == Reused:
		return func() error {
			_, _, err := s.session.Run(input)
			return err
		}, nothing, nil
	case t.Binding == Copy:
		return func() error {
			_, err := s.session.RunCopy(input.Clone())
			return err
		}, nothing, nil
	case t.Binding == Bound || t.Binding == Device:
		bind := s.session.Bind
		if t.Binding == Device {
			bind = s.session.BindOnDevice
		}
		bound, err := bind(input)
		if err != nil {
			return nil, nil, err
		}
		return bound.Run, bound.Close, nil
	}
	return nil, nil, misuse("there is no binding " + string(t.Binding))
}
