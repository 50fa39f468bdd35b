package posetest_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/faulttest"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// soaked is a cell that loads on every machine, with a photograph for it.
func soaked(t *testing.T) (posetest.Planned, worker.Model, string) {
	s := posetest.New(posetest.Config{Models: []string{"movenet-lightning"}, Precisions: []string{"fp32"}, Providers: []string{"cpu"}})
	plan, err := s.Plan(t.Context(), io.Discard)
	require.NoError(t, err)
	p := plan.Cells[len(plan.Cells)-1]
	return p, worker.Model{Path: p.File.Path, Family: p.Model.Family, Provider: p.Provider, Threads: 1, Inputs: p.Head.Inputs, Outputs: p.Head.Outputs}, plan.Fixtures[0].Path
}

// Workers leave nothing behind, however many there were and however they ended: no open file, no process, no memory, no
// temporary file.
func TestSoakWorkers(t *testing.T) {
	workers := faulttest.Times(50, 5000)
	p, model, photograph := soaked(t)
	t.Setenv("TMPDIR", t.TempDir())
	spec := worker.Spec{Environ: ortlib.Environ(p.Library, os.Environ()), Timeout: time.Minute}
	lives := []func(*worker.Worker){
		func(w *worker.Worker) { // a whole cell
			_, _, err := w.OpenLibrary(t.Context(), p.Library)
			require.NoError(t, err)
			_, err = w.Open(t.Context(), model)
			require.NoError(t, err)
			_, err = w.Infer(t.Context(), worker.Inference{Image: photograph})
			require.NoError(t, err)
			require.NoError(t, w.Finish(t.Context()))
		},
		func(w *worker.Worker) { // a model that is refused
			_, _, err := w.OpenLibrary(t.Context(), p.Library)
			require.NoError(t, err)
			_, err = w.Open(t.Context(), worker.Model{Path: photograph, Provider: "cpu"})
			var refusal *worker.Refusal
			require.ErrorAs(t, err, &refusal)
		},
		func(w *worker.Worker) { // nobody waits for it any more
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New("no longer wanted")
			time.AfterFunc(time.Millisecond, func() { cancel(why) })
			for ctx.Err() == nil {
				w.Ping(ctx)
			}
		},
		func(*worker.Worker) {}, // nothing was asked of it
	}
	live := func(i int) {
		w, err := worker.Start(t.Context(), spec)
		require.NoError(t, err)
		defer w.Close()
		lives[i%len(lives)](w)
	}
	for i := range 2 * len(lives) { // what the first of each takes for good
		live(i)
	}
	before := held(t)
	for i := range workers {
		live(i)
	}
	after := held(t)
	for begin := time.Now(); (after.files > before.files || after.goroutines > before.goroutines) && time.Since(begin) < 5*time.Second; after = held(t) {
		time.Sleep(10 * time.Millisecond) // the last goroutines are on their way out
	}
	t.Logf("%d workers: %+v before, %+v after", workers, before, after)
	assert.LessOrEqual(t, after.files, before.files, "open files")
	assert.LessOrEqual(t, after.goroutines, before.goroutines, "goroutines")
	assert.LessOrEqual(t, after.heap, before.heap+before.heap/50+1<<16, "bytes of live heap")
	var status syscall.WaitStatus
	_, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	assert.ErrorIs(t, err, syscall.ECHILD, "no process is left, not even dead")
	left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*"))
	require.NoError(t, err)
	assert.Empty(t, left, "temporary files")
}

// holding is what a process holds.
type holding struct {
	files, goroutines int
	heap              uint64 // bytes that are in use after a collection
}

func held(t *testing.T) holding {
	entries, err := os.ReadDir("/dev/fd")
	require.NoError(t, err)
	runtime.GC()
	runtime.GC() // what finalizers freed
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return holding{len(entries), runtime.NumGoroutine(), m.HeapAlloc}
}

// A session that runs on and on holds what it held.
func TestSoakRuns(t *testing.T) {
	t.Parallel()
	const turn, first = 250, 500 // runs; in the first ones allocators take what they need
	runs := faulttest.Times(1_500, 100_000)
	p, model, photograph := soaked(t)
	// The kernel makes one page of 2 MiB of many small ones when it finds the time, most of which nobody has touched: that
	// counts as resident, and is no growth of the worker's.
	require.NoError(t, unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)) // a child inherits it
	w, err := worker.Start(t.Context(), worker.Spec{Environ: ortlib.Environ(p.Library, os.Environ()), Timeout: 5 * time.Minute})
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, unix.Prctl(unix.PR_SET_THP_DISABLE, 0, 0, 0, 0))
	_, _, err = w.OpenLibrary(t.Context(), p.Library)
	require.NoError(t, err)
	_, err = w.Open(t.Context(), model)
	require.NoError(t, err)
	_, err = w.Infer(t.Context(), worker.Inference{Image: photograph})
	require.NoError(t, err)
	var before, after int64 // resident bytes
	for n := turn; n <= runs; n += turn {
		_, err = w.Time(t.Context(), worker.Timing{Runs: turn})
		require.NoError(t, err)
		_, err = w.Infer(t.Context(), worker.Inference{Image: photograph}) // lets Go's collector go on, which waits while runs are timed
		require.NoError(t, err)
		after = w.Memory()
		if n == first {
			before = after
		}
	}
	t.Logf("%d runs: %.1f MiB after the first %d, %.1f MiB after the last", runs, float64(before)/(1<<20), first, float64(after)/(1<<20))
	require.NotZero(t, before)
	assert.LessOrEqual(t, float64(after), 1.02*float64(before), "resident bytes of the worker")
}
