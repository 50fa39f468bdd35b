//go:build unix

package worker_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	astronaut = "../../fixtures/astronaut.png"
	walking   = "../../fixtures/walking_woman.jpg"
)

// movenet is a worker with MoveNet in a runtime of the default set, which is installed if need be.
func movenet(t *testing.T) *worker.Worker {
	t.Helper()
	store := ortlib.Store{Offline: os.Getenv("POSETEST_OFFLINE") == "1", Log: t.Output()}
	if cache := os.Getenv("POSETEST_CACHE"); cache != "" {
		store.Dir = filepath.Join(cache, "runtimes")
	}
	known, err := ortlib.Known()
	require.NoError(t, err)
	selected, err := ortlib.Select(known, "1.23.2")
	require.NoError(t, err)
	library, err := store.Install(t.Context(), selected[0])
	require.NoError(t, err)
	w := start(t, worker.Spec{Environ: ortlib.Environ(library, os.Environ())})
	version, _, err := w.OpenLibrary(t.Context(), library)
	require.NoError(t, err)
	require.Equal(t, "1.23.2", version)
	_, err = w.Open(t.Context(), worker.Model{Path: "../../models/movenet-lightning.onnx", Family: "movenet", Provider: "cpu", Threads: 1,
		Inputs:  []tensor.Info{{Name: "input", Type: "int32", Shape: []int64{1, 192, 192, 3}}},
		Outputs: []tensor.Info{{Name: "output_0", Type: "float32", Shape: []int64{1, 1, 17, 3}}},
		Tuning:  session.Tuning{Quiet: true}})
	require.NoError(t, err)
	return w
}

// Everything that can be timed gives as many samples as were asked for, and what can't says why and leaves the worker usable.
func TestTime(t *testing.T) {
	w := movenet(t)
	_, err := w.Time(t.Context(), worker.Timing{Runs: 1})
	require.EqualError(t, err, "time comes after infer")
	_, err = w.Infer(t.Context(), worker.Inference{Image: astronaut})
	require.NoError(t, err)
	for _, row := range []struct {
		why    string
		timing worker.Timing
		want   string // the refusal
	}{
		{"the run alone", worker.Timing{Runs: 3}, ""},
		{"one run", worker.Timing{Runs: 1}, ""},
		{"copies", worker.Timing{Runs: 3, Binding: worker.Copy}, ""},
		{"bound memory", worker.Timing{Runs: 3, Binding: worker.Bound}, ""},
		{"bound on the device, which is the processor here", worker.Timing{Runs: 3, Binding: worker.Device}, ""},
		{"warmed up", worker.Timing{Runs: 3, Warm: 20 * time.Millisecond}, ""},
		{"warmed up for less than nothing", worker.Timing{Runs: 1, Warm: -1}, "there is nothing to time in"},
		{"pixels to persons", worker.Timing{Runs: 3, Pipeline: true}, ""},
		{"pixels to the tensor", worker.Timing{Runs: 3, Preprocess: true}, ""},
		{"a batch of one is none", worker.Timing{Runs: 3, Batch: 1}, ""},
		{"slower", worker.Timing{Runs: 3, Slowdown: 0.02}, ""},
		{"no run", worker.Timing{}, "there is nothing to time in"},
		{"runs below zero", worker.Timing{Runs: -1}, "there is nothing to time in"},
		{"a batch below zero", worker.Timing{Runs: 1, Batch: -2}, "there is nothing to time in"},
		{"faster than it is", worker.Timing{Runs: 1, Slowdown: -0.1}, "there is nothing to time in"},
		{"a binding that there is not", worker.Timing{Runs: 1, Binding: "zero-copy"}, "there is no binding zero-copy"},
		{"stages of a family that has none", worker.Timing{Runs: 1, Pipeline: true, Separate: true}, "the family has no preprocessing in separate stages"},
		{"stages of what is not timed", worker.Timing{Runs: 1, Separate: true}, "separate stages are of preprocessing, which is not timed here"},
		{"a batch, of a model for one image", worker.Timing{Runs: 1, Batch: 2}, "a batch of 2 needs a model with an open first dimension"},
		{"a batch of pictures", worker.Timing{Runs: 1, Batch: 2, Pipeline: true}, "a batch of 2 needs a model with an open first dimension"},
	} {
		t.Run(row.why, func(t *testing.T) {
			samples, err := w.Time(t.Context(), row.timing)
			if row.want != "" {
				var refusal *worker.Refusal
				require.ErrorAs(t, err, &refusal)
				assert.Equal(t, worker.Misuse, refusal.Kind)
				assert.ErrorContains(t, err, row.want)
				return
			}
			require.NoError(t, err)
			require.Len(t, samples, row.timing.Runs)
			for _, s := range samples {
				assert.Greater(t, s.Wall, 10*time.Microsecond)
				assert.Less(t, s.Wall, 10*time.Second)
				assert.Greater(t, s.CPU, 10*time.Microsecond)
			}
		})
	}
	require.NoError(t, w.Finish(t.Context()))
	assert.Zero(t, w.Close().Exit)
}

// What the gate is proved with is what it says: half as much processor time again, of one that is asked for nothing else.
func TestSlowdown(t *testing.T) {
	w := movenet(t)
	_, err := w.Infer(t.Context(), worker.Inference{Image: astronaut})
	require.NoError(t, err)
	fastest := map[float64]time.Duration{0: time.Hour, 0.5: time.Hour}
	for range 20 { // in turns, as the machine may be busy for a while
		for slowdown := range fastest {
			samples, err := w.Time(t.Context(), worker.Timing{Runs: 2, Slowdown: slowdown})
			require.NoError(t, err)
			for _, s := range samples {
				fastest[slowdown] = min(fastest[slowdown], s.CPU)
			}
		}
	}
	assert.InDelta(t, 1.5, float64(fastest[0.5])/float64(fastest[0]), 0.1, "%v against %v of processor time", fastest[0.5], fastest[0])
}

// A picture that was made ready ahead is not lost or changed by what is timed in between.
func TestTimeBetweenPictures(t *testing.T) {
	w := movenet(t)
	infer := func(image, next string) observe.Photo {
		photo, err := w.Infer(t.Context(), worker.Inference{Image: image, Next: next})
		require.NoError(t, err)
		photo.Infer = 0
		return photo
	}
	want := map[string]observe.Photo{astronaut: infer(astronaut, ""), walking: infer(walking, "")}
	for _, timing := range []worker.Timing{{Runs: 1}, {Runs: 1, Pipeline: true}, {Runs: 1, Preprocess: true}} {
		for range 2 { // the two pictures take turns in the two pipelines
			for image, next := range map[string]string{astronaut: walking, walking: astronaut} {
				assert.Equal(t, want[image], infer(image, next), "%+v", timing)
				_, err := w.Time(t.Context(), timing)
				require.NoError(t, err)
				assert.Equal(t, want[next], infer(next, image), "%+v", timing)
				_, err = w.Time(t.Context(), timing)
				require.NoError(t, err)
			}
		}
	}
}
