package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/shirou/gopsutil/v4/process"
)

// A Spec says how to start a worker and what it may use. The zero value has the defaults.
type Spec struct {
	Program string        // default: the running program
	Args    []string      // for that program
	Timeout time.Duration // of one request; default 60 s
	Memory  int64         // resident bytes of the worker; default 4 GiB
	Environ []string      // to pass on what a worker needs from; default: this process's
	Env     []string      // beyond that, as "KEY=value"
}

// A DeathError says that the worker ended, or was ended, before it answered.
type DeathError struct{ observe.Death }

func (e *DeathError) Error() string { return "the worker " + e.Death.String() }

// TimedOut tells whether the worker was ended because it did not answer in time.
func (e *DeathError) TimedOut() bool { return strings.HasPrefix(e.Limit, "time ") }

// A Worker is one process with one runtime. It is for one goroutine.
type Worker struct {
	spec    Spec
	cmd     *exec.Cmd
	scratch string
	in      io.WriteCloser
	replies chan reply
	broken  chan error // why replies ended
	log     chan Log
	ended   chan struct{} // closed once the process is gone
	peak    atomic.Int64  // resident bytes
	limit   atomic.Pointer[string]
	close   sync.Once
	end     End
}

// An End is what is known of a worker that is gone.
type End struct {
	Log
	PeakMemory int64         // resident bytes
	CPU        time.Duration // user and system
	Exit       int
}

// Start starts a worker and waits until it answers. Close must be called on it.
func Start(ctx context.Context, spec Spec) (*Worker, error) {
	if os.Getenv(env) != "" {
		return nil, errors.New("a worker can't start workers; call worker.ServeIfAsked (or posetest.Main) first thing in main or TestMain")
	}
	if spec.Program == "" {
		program, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("worker: find the running program: %w", err)
		}
		spec.Program = program
	}
	spec.Timeout = orDefault(spec.Timeout, time.Minute)
	spec.Memory = orDefault(spec.Memory, 4<<30)

	scratch, err := os.MkdirTemp("", "posetest-worker-")
	if err != nil {
		return nil, fmt.Errorf("worker: private temporary folder: %w", err)
	}
	w := &Worker{spec: spec, scratch: scratch, replies: make(chan reply), broken: make(chan error, 1), log: make(chan Log, 1), ended: make(chan struct{})}
	if err := w.start(); err != nil {
		os.RemoveAll(scratch)
		return nil, fmt.Errorf("worker: start %s: %w", filepath.Base(spec.Program), err)
	}
	if _, err := w.wait(ctx, "start"); err != nil {
		end := w.Close()
		var death *DeathError
		if errors.As(err, &death) && death.Exit == 0 && death.Limit == "" {
			return nil, fmt.Errorf("worker: %s ended without serving; call posetest.Main (or worker.ServeIfAsked) first thing in its main or TestMain%s",
				filepath.Base(spec.Program), lastLine(end.Tail))
		}
		return nil, err
	}
	return w, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func lastLine(tail []string) string {
	if len(tail) == 0 {
		return ""
	}
	return "; its last words: " + tail[len(tail)-1]
}

// needed are the variables that are passed on to a worker.
var needed = []string{"PATH", "HOME", "SystemRoot", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "GOCOVERDIR"}

// environment is all that a worker gets to see of ours.
func (w *Worker) environment() []string {
	all := []string{env + "=1", "TMPDIR=" + w.scratch, "TMP=" + w.scratch, "TEMP=" + w.scratch}
	environ := w.spec.Environ
	if environ == nil {
		environ = os.Environ()
	}
	for _, variable := range environ {
		if name, _, _ := strings.Cut(variable, "="); slices.Contains(needed, name) {
			all = append(all, variable)
		}
	}
	return append(all, w.spec.Env...)
}

func (w *Worker) start() error {
	w.cmd = exec.Command(w.spec.Program, w.spec.Args...)
	w.cmd.Env = w.environment()
	w.cmd.Dir = w.scratch
	w.cmd.SysProcAttr = ownGroup()
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return err
	}
	logRead, logWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer logWrite.Close()
	w.cmd.Stderr = logWrite
	replyRead, replyWrite, err := repliesPipe(w.cmd, logWrite)
	if err != nil {
		logRead.Close()
		return err
	}
	defer replyWrite.Close()
	if err := w.cmd.Start(); err != nil {
		logRead.Close()
		replyRead.Close()
		return err
	}
	go func() { w.log <- readLog(logRead); logRead.Close() }()
	go w.readReplies(replyRead)
	go w.watch(logRead)
	return nil
}

func (w *Worker) readReplies(r io.ReadCloser) {
	defer r.Close()
	in := bufio.NewReaderSize(r, 1<<16)
	for {
		var a reply
		if err := readLine(in, &a); err != nil {
			w.broken <- err
			return
		}
		w.replies <- a
	}
}

// watch holds the worker to its memory limit until it is gone, then ends its group and its log.
func (w *Worker) watch(log *os.File) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		w.cmd.Wait()
	}()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			killGroup(w.cmd.Process.Pid)                         // whatever it started
			log.SetReadDeadline(time.Now().Add(5 * time.Second)) // in case something outside the group holds the pipe
			close(w.ended)
			return
		case <-tick.C:
			if rss := w.sample(); rss > w.spec.Memory {
				w.kill(fmt.Sprintf("memory %d MiB", w.spec.Memory>>20))
			}
		}
	}
}

// sample notes the peak of the worker's memory and returns what it holds now, in bytes.
func (w *Worker) sample() int64 {
	p := process.Process{Pid: int32(w.cmd.Process.Pid)}
	m, err := p.MemoryInfo()
	if err != nil { // it has ended
		return 0
	}
	w.peak.Store(max(w.peak.Load(), int64(m.RSS), int64(m.HWM)))
	return int64(m.RSS)
}

// kill ends the worker's whole group; limit says why, if a limit was the reason.
func (w *Worker) kill(limit string) {
	if limit != "" {
		w.limit.CompareAndSwap(nil, &limit)
	}
	killGroup(w.cmd.Process.Pid)
}

func (w *Worker) ask(ctx context.Context, r request) (reply, error) {
	if err := writeLine(w.in, r); err != nil {
		return reply{}, w.death(r.name(), nil)
	}
	return w.wait(ctx, r.name())
}

// wait waits for a reply within the time of one request.
func (w *Worker) wait(ctx context.Context, during string) (reply, error) {
	timer := time.NewTimer(w.spec.Timeout)
	defer timer.Stop()
	select {
	case a := <-w.replies:
		if a.Refusal != nil {
			return a, a.Refusal
		}
		return a, nil
	case err := <-w.broken:
		return reply{}, w.death(during, err)
	case <-timer.C:
		w.kill(fmt.Sprintf("time %v", w.spec.Timeout))
	case <-ctx.Done():
		w.kill("")
		w.Close()
		return reply{}, context.Cause(ctx)
	}
	return reply{}, w.death(during, nil)
}

// death ends the worker and says how it died.
func (w *Worker) death(during string, why error) error {
	if why != nil && !errors.Is(why, io.EOF) {
		w.kill("")
	}
	end := w.Close()
	d := observe.Death{During: during, Signal: end.Signal, Log: end.Tail}
	if limit := w.limit.Load(); limit != nil {
		d.Limit, d.Signal = *limit, ""
	} else if d.Signal == "" {
		d.Exit = end.Exit
	}
	if why != nil && !errors.Is(why, io.EOF) {
		return fmt.Errorf("%w (%w)", &DeathError{d}, why)
	}
	return &DeathError{d}
}

// OpenLibrary opens the runtime and returns its version and the time that took.
func (w *Worker) OpenLibrary(ctx context.Context, path string) (version string, took time.Duration, err error) {
	a, err := w.ask(ctx, request{Library: path})
	return a.Version, a.Took, err
}

// Open creates the session and returns the time that its creation alone took. Its error is a [Refusal] of kind
// Unavailable or Load, a [DeathError], or the context's.
func (w *Worker) Open(ctx context.Context, m Model) (load time.Duration, err error) {
	a, err := w.ask(ctx, request{Open: &m})
	return a.Took, err
}

// Infer runs one image through the whole pipeline. A refusal is of kind Run and leaves the worker usable.
func (w *Worker) Infer(ctx context.Context, image string) (observe.Photo, error) {
	a, err := w.ask(ctx, request{Infer: image})
	if err != nil {
		return observe.Photo{}, err
	}
	if a.Photo == nil {
		return observe.Photo{}, errors.New("worker: a reply to infer without a photo")
	}
	return *a.Photo, nil
}

// Time runs the tensor of the last image n times and returns the time of each run alone.
func (w *Worker) Time(ctx context.Context, n int) ([]time.Duration, error) {
	a, err := w.ask(ctx, request{Time: n})
	return a.Runs, err
}

// Ping asks for nothing: it is the cost of the pipe.
func (w *Worker) Ping(ctx context.Context) error {
	_, err := w.ask(ctx, request{Ping: true})
	return err
}

// Finish asks the worker to free its session, and reports its death if that kills it.
func (w *Worker) Finish(ctx context.Context) error {
	w.sample()
	_, err := w.ask(ctx, request{Close: true})
	return err
}

// Close ends the worker, and everything that it started, if it has not ended; it returns what is known of it. It may
// be called again.
func (w *Worker) Close() End {
	w.close.Do(func() {
		w.in.Close() // a worker that is alive ends on this
		select {
		case <-w.ended:
		case <-time.After(2 * time.Second):
			w.kill("")
			<-w.ended
		}
		w.end.Log = <-w.log
		w.end.PeakMemory = w.peak.Load()
		state := w.cmd.ProcessState
		w.end.CPU = state.UserTime() + state.SystemTime()
		w.end.Exit = state.ExitCode()
		if signal := deathSignal(state); signal != "" {
			w.end.Signal = signal
		}
		os.RemoveAll(w.scratch)
		go func() { // let the reader of replies go
			for {
				select {
				case <-w.replies:
				case <-w.broken:
					return
				}
			}
		}()
	})
	return w.end
}
