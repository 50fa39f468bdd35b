package worker

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/whole"
)

// A Spec says how to start a worker and what it may use. The zero value has the defaults.
type Spec struct {
	Program string        // default: the running program
	Args    []string      // for that program
	Timeout time.Duration // of one request; default [DefaultTimeout]
	CPU     time.Duration // of the worker's whole life, user and system, all its threads; default a day on all processors
	Memory  int64         // resident bytes of the worker; default 4 GiB
	Environ []string      // to pass on what a worker needs from; default: this process's
	Env     []string      // beyond that, as "KEY=value"
}

// DefaultTimeout is what a request may take.
const DefaultTimeout = time.Minute

// A DeathError says that the worker ended, or was ended, before it answered.
type DeathError struct{ observe.Death }

func (e *DeathError) Error() string { return "the worker " + e.Death.String() }

// TimedOut tells whether the worker was ended because it took too long: on the clock, for one request, or of processors.
func (e *DeathError) TimedOut() bool {
	return strings.HasPrefix(e.Limit, limitOfTime) || strings.HasPrefix(e.Limit, limitOfCPU)
}

// What words of a limit begin with.
const (
	limitOfTime   = "time "
	limitOfCPU    = "processor time "
	limitOfMemory = "memory "
)

// A Worker is one process with one runtime. It is for one goroutine.
type Worker struct {
	spec    Spec
	itself  bool // its program is the running one
	group   *group
	scratch *whole.Folder
	in      *os.File
	replies chan reply
	broken  error // why replies were closed
	log     chan Log
	closing chan struct{} // closed when nobody takes replies any more
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

// Start starts a worker and waits until it answers. Close must be called on it. Its error is the context's if that ended.
func Start(ctx context.Context, spec Spec) (*Worker, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if os.Getenv(env) != "" {
		return nil, errors.New("a worker can't start workers; call worker.ServeIfAsked (or posetest.Main) first thing in main or TestMain")
	}
	itself := spec.Program == ""
	if itself {
		program, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("worker: find the running program: %w", err)
		}
		spec.Program = program
	}
	spec.Timeout = cmp.Or(spec.Timeout, DefaultTimeout)
	spec.CPU = cmp.Or(spec.CPU, 24*time.Hour*time.Duration(runtime.NumCPU())) // COCO's 5,000 photographs take an hour
	spec.Memory = cmp.Or(spec.Memory, 4<<30)

	scratch, err := whole.Temporary("", "posetest-run-")
	if err != nil {
		return nil, fmt.Errorf("worker: private temporary folder: %w; make room there, or set TMPDIR to a folder that can be written", err)
	}
	w := &Worker{spec: spec, itself: itself, scratch: scratch, replies: make(chan reply), log: make(chan Log, 1),
		closing: make(chan struct{}), ended: make(chan struct{})}
	if err := w.start(); err != nil {
		scratch.Remove()
		return nil, fmt.Errorf("worker: start %s: %w", filepath.Base(spec.Program), err)
	}
	hello, err := w.wait(ctx, "start")
	if err != nil {
		end := w.Close()
		var death *DeathError
		if errors.As(err, &death) && death.Exit == 0 && death.Limit == "" && death.Breach == "" {
			return nil, fmt.Errorf("worker: %s ended without serving; call posetest.Main (or worker.ServeIfAsked) first thing in its main or TestMain%s",
				filepath.Base(spec.Program), lastLine(end.Tail))
		}
		return nil, err
	}
	if hello.Protocol != protocolVersion {
		w.Close()
		return nil, fmt.Errorf("worker: %s speaks version %d of the worker's protocol, and this program version %d; build both from commits of one protocolVersion (posetest/worker/protocol.go)",
			filepath.Base(spec.Program), max(hello.Protocol, 1), protocolVersion)
	}
	return w, nil
}

func lastLine(tail []string) string {
	if len(tail) == 0 {
		return ""
	}
	return "; its last words: " + tail[len(tail)-1]
}

// needed are the variables that are passed on to a worker. None of those that steer ONNX Runtime or a provider is among them:
// ORT_LOAD_CONFIG_FROM_MODEL would let a model choose the session's options, LD_PRELOAD anybody the code.
var needed = []string{"PATH", "HOME", "SystemRoot", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_CACHE_PATH", "GOCOVERDIR"}

// environment is all that a worker gets to see of ours.
func (w *Worker) environment() []string {
	// The device of a number is that of nvidia-smi, and not the fastest first.
	all := []string{env + "=1", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "TMPDIR=" + w.scratch.Path, "TMP=" + w.scratch.Path, "TEMP=" + w.scratch.Path}
	environ := w.spec.Environ
	if environ == nil {
		environ = os.Environ()
	}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case name == "HOME" && runtime.GOOS == "linux":
			// What a provider keeps between runs makes one run differ from the next, save for CUDA's own compilations, which
			// take minutes for a graphics processor that is newer than the build.
			all = slices.Insert(all, 0, "HOME="+w.scratch.Path, "CUDA_CACHE_PATH="+filepath.Join(value, ".nv", "ComputeCache"))
		case slices.Contains(needed, name):
			all = append(all, variable)
		}
	}
	return append(all, w.spec.Env...)
}

func (w *Worker) start() (err error) {
	var ours, theirs [3]*os.File // of requests, log and replies
	defer func() {
		for i := range theirs {
			theirs[i].Close() // a nil file's Close is an error and nothing else
			if err != nil {
				ours[i].Close()
			}
		}
	}()
	if theirs[0], ours[0], err = os.Pipe(); err != nil {
		return err
	}
	for i := 1; i < len(ours); i++ {
		if ours[i], theirs[i], err = os.Pipe(); err != nil {
			return err
		}
	}
	cmd := exec.Command(w.spec.Program, w.spec.Args...)
	if w.itself {
		cmd.Path = runningProgram(cmd.Path)
	}
	cmd.Env = w.environment()
	cmd.Dir = w.scratch.Path
	cmd.Stdin, cmd.Stderr = theirs[0], theirs[1]
	passReplies(cmd, theirs[2], theirs[1])
	if w.group, err = startGroup(cmd); err != nil {
		return err
	}
	w.in = ours[0]
	go func() {
		defer ours[1].Close()
		w.log <- readLog(ours[1])
	}()
	go w.readReplies(ours[2])
	go w.watch(ours[1], ours[2])
	return nil
}

func (w *Worker) readReplies(r *os.File) {
	defer close(w.replies)
	defer r.Close()
	in := bufio.NewReaderSize(r, 1<<16)
	for {
		var a reply
		if w.broken = readLine(in, &a); w.broken != nil {
			return
		}
		select {
		case w.replies <- a:
		case <-w.closing:
			return
		}
	}
}

// watch holds the worker to its limits of memory and processor time until it is gone, then gives what reads from it an end.
func (w *Worker) watch(pipes ...*os.File) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		w.group.wait()
	}()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			endStrays(w.scratch.Path)
			for _, pipe := range pipes { // something that could not be ended may hold them
				pipe.SetReadDeadline(time.Now().Add(5 * time.Second))
			}
			close(w.ended)
			return
		case <-tick.C:
			if limit := w.over(w.sample()); limit != "" {
				w.kill(limit)
			}
		}
	}
}

// usage is what a worker uses.
type usage struct {
	memory, peak int64 // resident bytes, now and at most
	cpu          time.Duration
}

// sample notes the peak of the worker's memory and returns what it uses now.
func (w *Worker) sample() usage {
	u := w.group.usage()
	w.peak.Store(max(w.peak.Load(), u.peak))
	return u
}

// over is the limit that the worker has passed, "" if none. The kernel's own limit of processor time (RLIMIT_CPU) would make the
// clock of a process's time as coarse as its ticks, 4 ms, and with it the times of short runs.
func (w *Worker) over(u usage) string {
	switch {
	case u.memory > w.spec.Memory:
		return fmt.Sprintf("%s%d MiB", limitOfMemory, w.spec.Memory>>20)
	case u.cpu > w.spec.CPU:
		return fmt.Sprintf("%s%v", limitOfCPU, w.spec.CPU)
	}
	return ""
}

// kill ends the worker's whole group; limit says why, if a limit was the reason.
func (w *Worker) kill(limit string) {
	if limit != "" {
		w.limit.CompareAndSwap(nil, &limit)
	}
	w.group.kill()
}

func (w *Worker) ask(ctx context.Context, r request) (reply, error) {
	if ctx.Err() != nil {
		return w.cancelled(ctx)
	}
	w.in.SetWriteDeadline(time.Now().Add(w.spec.Timeout)) // a worker that hangs may not even read
	if err := writeLine(w.in, r); errors.Is(err, os.ErrDeadlineExceeded) {
		return w.tooLate(r.name())
	} else if err != nil {
		return reply{}, w.death(r.name(), io.EOF)
	}
	return w.wait(ctx, r.name())
}

// wait waits for a reply within the time of one request.
func (w *Worker) wait(ctx context.Context, during string) (reply, error) {
	timer := time.NewTimer(w.spec.Timeout)
	defer timer.Stop()
	select {
	case a, ok := <-w.replies:
		if !ok {
			return reply{}, w.death(during, w.broken)
		}
		if a.Refusal != nil {
			return a, a.Refusal
		}
		return a, nil
	case <-timer.C:
		return w.tooLate(during)
	case <-ctx.Done():
		return w.cancelled(ctx)
	}
}

func (w *Worker) tooLate(during string) (reply, error) {
	w.kill(fmt.Sprintf("%s%v", limitOfTime, w.spec.Timeout))
	return reply{}, w.death(during, nil)
}

// cancelled ends the worker: a request that nobody waits for can't be taken back.
func (w *Worker) cancelled(ctx context.Context) (reply, error) {
	w.kill("")
	w.Close()
	return reply{}, context.Cause(ctx)
}

// death ends the worker and says how it died; why is what ended its replies, nil if that was a limit.
func (w *Worker) death(during string, why error) error {
	breach := why
	if errors.Is(why, io.EOF) || errors.Is(why, io.ErrUnexpectedEOF) {
		select {
		case <-w.ended: // the pipe is at its end because the worker is
			breach = nil
		case <-time.After(grace):
			breach = errors.New("it closed a pipe of the worker's protocol, and lived on")
		}
	} else if errors.Is(why, os.ErrDeadlineExceeded) { // the worker is gone, and something else held the pipe
		breach = nil
	}
	if breach != nil {
		w.kill("")
	}
	end := w.Close()
	d := observe.Death{During: during, Log: end.Tail}
	if limit := w.limit.Load(); limit != nil {
		d.Limit = *limit
	} else if breach != nil {
		d.Breach = breach.Error()
	} else if d.Signal = end.Signal; d.Signal == "" {
		d.Exit = end.Exit
	}
	if breach == nil && errors.Is(why, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w (%w)", &DeathError{d}, why)
	}
	return &DeathError{d}
}

// breach ends a worker whose reply is to something else: not it alone writes on its pipe.
func (w *Worker) breach(during, lacks string) error {
	return w.death(during, errors.New("its reply lacks "+lacks))
}

// OpenLibrary opens the runtime and returns its version and the time that took. Its error is a [Refusal] of kind Library,
// a [DeathError], or the context's, whose end ends the worker, here as in every request.
func (w *Worker) OpenLibrary(ctx context.Context, path string) (version string, took time.Duration, err error) {
	if path, err = filepath.Abs(path); err != nil { // a worker has a working directory of its own
		return "", 0, err
	}
	a, err := w.ask(ctx, request{Library: path})
	if err == nil && a.Version == "" {
		err = w.breach("library", "the version")
	}
	return a.Version, a.Took, err
}

// Open creates the session and returns the time that its creation alone took. Its error is a [Refusal] of kind
// Unavailable or Load, a [DeathError], or the context's.
func (w *Worker) Open(ctx context.Context, m Model) (load time.Duration, err error) {
	if m.Path, err = filepath.Abs(m.Path); err != nil {
		return 0, err
	}
	a, err := w.ask(ctx, request{Open: &m})
	if err == nil && a.Took <= 0 {
		err = w.breach("open", "the time that it took")
	}
	return a.Took, err
}

// Infer runs one image through the whole pipeline. A refusal is of kind Run and leaves the worker usable.
func (w *Worker) Infer(ctx context.Context, r Inference) (observe.Photo, error) {
	for _, path := range []*string{&r.Image, &r.Next} {
		if *path == "" {
			continue
		}
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return observe.Photo{}, err
		}
	}
	a, err := w.ask(ctx, request{Infer: &r})
	if err != nil {
		return observe.Photo{}, err
	}
	if a.Photo == nil {
		return observe.Photo{}, w.breach("infer", "the photo")
	}
	return *a.Photo, nil
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
// be called again, and while a request runs, which then returns a [DeathError].
func (w *Worker) Close() End {
	w.close.Do(func() {
		close(w.closing)
		w.in.Close() // a worker that is alive ends on this
		select {
		case <-w.ended:
		case <-time.After(grace):
			w.kill("")
			<-w.ended
		}
		w.end.Log = <-w.log
		w.end.PeakMemory = w.peak.Load()
		state := w.group.cmd.ProcessState
		w.end.CPU = state.UserTime() + state.SystemTime()
		w.end.Exit = state.ExitCode()
		if w.end.Exit != goFatal { // then the log spoke of something else
			w.end.Signal = deathSignal(state)
		}
		openFolders(w.scratch.Path)
		w.scratch.Remove()
	})
	return w.end
}

// grace is what a worker has to end by itself.
const grace = 2 * time.Second

// goFatal is the exit code of the Go runtime after a fatal signal, which it reports in the log.
const goFatal = 2

// Memory is what the worker holds now, in resident bytes; 0 once it is gone.
func (w *Worker) Memory() int64 { return w.sample().memory }
