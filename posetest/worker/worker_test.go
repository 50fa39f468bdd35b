//go:build unix

package worker_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if os.Getenv("POSETEST_WORKER") != "" && os.Getenv("FAULT") != "" {
		misbehave(os.Getenv("FAULT"))
		return
	}
	worker.ServeIfAsked()
	os.Exit(m.Run())
}

// quickExit spares the second that the race detector sleeps at each exit.
const quickExit = "GORACE=atexit_sleep_ms=0"

func start(t *testing.T, spec worker.Spec) *worker.Worker {
	t.Helper()
	spec.Env = append(spec.Env, quickExit)
	w, err := worker.Start(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

// A reply that lacks what was asked for is to something else, such as what a provider printed there: the worker is ended,
// since every reply after it would be taken for another one's.
func TestReplyThatLacksTheAnswer(t *testing.T) {
	for _, row := range []struct {
		want string
		ask  func(w *worker.Worker) error
	}{
		{"library for a breach of the protocol: its reply lacks the version", func(w *worker.Worker) error {
			_, _, err := w.OpenLibrary(t.Context(), "libonnxruntime.so")
			return err
		}},
		{"open for a breach of the protocol: its reply lacks the time that it took", func(w *worker.Worker) error {
			return second(w.Open(t.Context(), worker.Model{Path: "m.onnx"}))
		}},
		{"infer for a breach of the protocol: its reply lacks the photo", func(w *worker.Worker) error {
			return second(w.Infer(t.Context(), worker.Inference{Image: "a.jpg"}))
		}},
		{"time for a breach of the protocol: its reply lacks runs: it has 0 of 2", func(w *worker.Worker) error {
			return second(w.Time(t.Context(), worker.Timing{Runs: 2}))
		}},
	} {
		w := start(t, worker.Spec{Env: []string{"FAULT=answer nothing"}})
		err := row.ask(w)
		require.EqualError(t, err, "the worker stopped during "+row.want)
		var death *worker.DeathError
		require.ErrorAs(t, err, &death)
		assert.NotZero(t, w.Close().Exit, "it was killed")
	}
}

func TestCancelEndsWorker(t *testing.T) {
	for _, fault := range []string{"hang", "never read"} {
		w := start(t, worker.Spec{Env: []string{"FAULT=" + fault}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		assert.ErrorIs(t, w.Ping(ctx), context.Canceled)
		assert.NotZero(t, w.Close().Exit, "it was killed")
	}
}

func TestCancelDuringStart(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	why := errors.New("asked to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
	begin := time.Now()
	_, err := worker.Start(ctx, worker.Spec{Env: []string{"FAULT=never greet"}})
	assert.ErrorIs(t, err, why)
	assert.Less(t, time.Since(begin), 2*time.Second)
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	assert.Empty(t, left, "scratch folders")
}

// A context that is done already starts nothing and asks nothing, and that every time: select would choose by chance.
func TestContextDoneBefore(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		w, err := worker.Start(done, worker.Spec{Program: "/nowhere/program"})
		require.ErrorIs(t, err, context.Canceled)
		require.Nil(t, w)
	}
	w := start(t, worker.Spec{})
	require.ErrorIs(t, w.Ping(done), context.Canceled)
	var death *worker.DeathError
	require.ErrorAs(t, w.Ping(t.Context()), &death, "its end ended the worker")
}

func TestStartTimesOut(t *testing.T) {
	_, err := worker.Start(t.Context(), worker.Spec{Env: []string{"FAULT=never greet"}, Timeout: 100 * time.Millisecond})
	assert.EqualError(t, err, "the worker stopped during start by the limit of time 100ms")
}

// Binaries of different commits may have different protocols, and then neither would understand what the other says.
func TestAnotherVersion(t *testing.T) {
	for fault, want := range map[string]string{"greet as the first version": "speaks version 1 of", "greet as a later version": "speaks version 3 of"} {
		w, err := worker.Start(t.Context(), worker.Spec{Env: []string{"FAULT=" + fault}})
		require.Nil(t, w)
		require.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "the worker's protocol, and this program version 2; build both from commits of one protocolVersion")
	}
}

func TestProgramThatIsNone(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	_, err := worker.Start(t.Context(), worker.Spec{Program: "/nowhere/program"})
	assert.ErrorContains(t, err, "worker: start program: fork/exec /nowhere/program: no such file or directory")
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	assert.Empty(t, left, "scratch folders")
}

// A worker that does not read can't hold up who asks it, however much that is.
func TestRequestThatNobodyReads(t *testing.T) {
	w := start(t, worker.Spec{Env: []string{"FAULT=never read"}, Timeout: 300 * time.Millisecond})
	_, err := w.Open(t.Context(), worker.Model{Family: strings.Repeat("x", 1<<20)}) // more than any pipe holds
	assert.EqualError(t, err, "the worker stopped during open by the limit of time 300ms")
}

// Close ends a worker that is at work, from another goroutine too, and may come twice.
func TestCloseWhileItWorks(t *testing.T) {
	w := start(t, worker.Spec{Env: []string{"FAULT=hang"}})
	asked := make(chan error)
	go func() { asked <- w.Ping(t.Context()) }()
	time.Sleep(50 * time.Millisecond)
	ends := make(chan worker.End, 2)
	for range 2 {
		go func() { ends <- w.Close() }()
	}
	var death *worker.DeathError
	require.ErrorAs(t, <-asked, &death)
	first := <-ends
	assert.Equal(t, first, <-ends)
	assert.Equal(t, "SIGKILL", first.Signal)
}

// Whoever asks the dead hears of the death, and at once.
func TestAskingTheDead(t *testing.T) {
	w := start(t, worker.Spec{Env: []string{"FAULT=exit"}})
	for range 3 {
		begin := time.Now()
		assert.EqualError(t, w.Ping(t.Context()), "the worker left with exit code 3 during ping")
		assert.Less(t, time.Since(begin), 5*time.Second)
	}
}

// Workers leave nothing behind, however they end: no file, no goroutine, no process.
func TestNoLeaks(t *testing.T) {
	count := func() (files, goroutines int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			entries, err = os.ReadDir("/dev/fd")
		}
		require.NoError(t, err)
		return len(entries), runtime.NumGoroutine()
	}
	ends := []func(){
		func() { start(t, worker.Spec{}).Close() },
		func() {
			w := start(t, worker.Spec{})
			require.NoError(t, w.Finish(t.Context()))
			w.Close()
		},
		func() { require.Error(t, start(t, worker.Spec{Env: []string{"FAULT=exit"}}).Ping(t.Context())) },
		func() {
			require.Error(t, start(t, worker.Spec{Env: []string{"FAULT=write garbage"}}).Ping(t.Context()))
		},
		func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
			defer cancel()
			if w, err := worker.Start(ctx, worker.Spec{Env: []string{quickExit}}); err == nil {
				w.Close()
			}
		},
	}
	for _, end := range ends { // what the first of each opens for good, such as the poller
		end()
	}
	files, goroutines := count()
	for i := range 200 {
		ends[i%len(ends)]()
	}
	f, g := count()
	for begin := time.Now(); (f > files || g > goroutines) && time.Since(begin) < 5*time.Second; f, g = count() {
		time.Sleep(10 * time.Millisecond) // the last goroutines are on their way out
	}
	assert.LessOrEqual(t, f, files, "open files after 200 workers")
	assert.LessOrEqual(t, g, goroutines, "goroutines after 200 workers")
	var status syscall.WaitStatus
	_, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	assert.ErrorIs(t, err, syscall.ECHILD, "no process is left, not even dead")
}

// A worker's peak is its own: getrusage's starts with that of the process that forked it.
func TestPeakMemoryIsTheWorkersOwn(t *testing.T) {
	defer hold(256 << 20)()
	w := start(t, worker.Spec{})
	require.NoError(t, w.Finish(t.Context()))
	peak := w.Close().PeakMemory
	assert.Greater(t, peak, int64(1<<20), "bytes: a Go program holds more than that")
	assert.Less(t, peak, int64(128<<20), "bytes, of a worker that opened nothing")
}

// The peak is the kernel's, not the highest of some samples.
func TestPeakMemoryOfAnInstant(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the peak of a process that lives")
	}
	w := start(t, worker.Spec{Env: []string{"FAULT=peak for an instant"}})
	require.NoError(t, w.Ping(t.Context()))
	time.Sleep(100 * time.Millisecond) // four samples
	assert.Greater(t, w.Close().PeakMemory, int64(200<<20), "bytes: it held 256 MiB for a moment")
}

// A program that forgets to serve must not start itself again and again.
func TestForgottenServe(t *testing.T) {
	_, err := worker.Start(t.Context(), worker.Spec{Env: []string{"FAULT=never serves"}})
	assert.ErrorContains(t, err, "ended without serving; call posetest.Main")
	t.Setenv("POSETEST_WORKER", "1")
	_, err = worker.Start(t.Context(), worker.Spec{})
	assert.ErrorContains(t, err, "a worker can't start workers")
}

func TestScratchFolderIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	w := start(t, worker.Spec{})
	require.NoError(t, w.Ping(t.Context()))
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	assert.Len(t, left, 1, "while it lives")
	w.Close()
	left, err = os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	assert.Empty(t, left, "when it is gone")
}

// Only what a worker needs of the environment reaches it.
func TestEnvironmentIsClosed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	w := start(t, worker.Spec{Env: []string{"FAULT=tell the environment"}, Environ: []string{"SECRET=token", "PATH=/bin", "HOME=/home/me",
		"ORT_LOAD_CONFIG_FROM_MODEL=1", "OPENVINO_LOG_LEVEL=5", "LD_PRELOAD=/evil.so", "PYTHONPATH=/evil", "HTTPS_PROXY=http://proxy", "POSETEST_CACHE=/cache", "TMPDIR=/elsewhere"}})
	scratch, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "posetest-run-*"))
	require.NoError(t, err)
	require.Len(t, scratch, 1)
	require.Error(t, w.Ping(t.Context()))
	want := []string{"FAULT=tell the environment", quickExit, "CUDA_DEVICE_ORDER=PCI_BUS_ID", "PATH=/bin", "POSETEST_WORKER=1", "TEMP={}", "TMP={}", "TMPDIR={}"}
	if runtime.GOOS == "linux" {
		want = append(want, "HOME={}", "CUDA_CACHE_PATH=/home/me/.nv/ComputeCache")
	} else {
		want = append(want, "HOME=/home/me")
	}
	slices.Sort(want)
	assert.Equal(t, []string{"about to tell the environment", "{} is " + scratch[0], strings.Join(want, "|")}, w.Close().Tail)
}

func TestMisuse(t *testing.T) {
	w := start(t, worker.Spec{})
	for name, err := range map[string]error{
		"open without a library": second(w.Open(t.Context(), worker.Model{Path: "m.onnx", Family: "movenet", Provider: "cpu"})),
		"infer without a model":  second(w.Infer(t.Context(), worker.Inference{Image: "a.jpg"})),
		"time without an image":  second(w.Time(t.Context(), worker.Timing{Runs: 1})),
	} {
		var refusal *worker.Refusal
		require.ErrorAs(t, err, &refusal, name)
		assert.Equal(t, worker.Misuse, refusal.Kind, name)
	}
	require.NoError(t, w.Ping(t.Context()), "it survives")
	require.NoError(t, w.Finish(t.Context()))
	assert.Zero(t, w.Close().Exit)
}

func second[T any](_ T, err error) error { return err }

func TestWrongLibrary(t *testing.T) {
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	require.NoError(t, os.WriteFile(text, []byte("not a library"), 0o644))
	for path, want := range map[string]string{
		"/nowhere/libonnxruntime.so": "cannot open shared object file",
		text:                         "; give the path of an ONNX Runtime library for this machine",
	} {
		w := start(t, worker.Spec{})
		_, _, err := w.OpenLibrary(t.Context(), path)
		var refusal *worker.Refusal
		require.ErrorAs(t, err, &refusal)
		assert.Equal(t, worker.Library, refusal.Kind)
		assert.ErrorContains(t, err, path)
		assert.ErrorContains(t, err, want)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		w, err := worker.Start(b.Context(), worker.Spec{})
		if err != nil {
			b.Fatal(err)
		}
		w.Close()
	}
}

func BenchmarkPing(b *testing.B) {
	w, err := worker.Start(b.Context(), worker.Spec{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	for b.Loop() {
		if err := w.Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
