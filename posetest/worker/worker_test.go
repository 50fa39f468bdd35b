//go:build unix

package worker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// misbehave is a worker that greets, waits for one request, and goes wrong.
func misbehave(fault string) {
	if fault == "never serves" {
		os.Exit(0)
	}
	replies := os.NewFile(3, "replies")
	fmt.Fprintln(replies, "{}")
	bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Fprintln(os.Stderr, "about to", fault)
	switch fault {
	case "exit":
		os.Exit(3)
	case "segfault":
		syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	case "abort":
		syscall.Kill(os.Getpid(), syscall.SIGABRT)
	case "be killed":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "hang":
	case "write garbage":
		fmt.Fprintln(replies, "loaded fine, trust me")
	case "cut a line":
		fmt.Fprint(replies, `{"took_ns": 1`)
		os.Exit(0)
	case "close the pipe":
		replies.Close()
	case "flood the log":
		line := strings.Repeat("x", 1<<16)
		for range 1 << 10 { // 64 MB
			fmt.Fprintln(os.Stderr, line)
		}
		fmt.Fprintln(replies, "{}")
	case "flood the pipe":
		io.Copy(replies, zeros{})
	case "grow":
		var all [][]byte
		for range 1 << 10 {
			b := make([]byte, 16<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
			time.Sleep(5 * time.Millisecond)
		}
		fmt.Fprintln(os.Stderr, len(all))
	case "leave a child":
		child := exec.Command("sleep", "1000")
		child.Stderr = os.Stderr // holds the log open, too
		child.Start()
		os.WriteFile(os.Getenv("PIDFILE"), []byte(strconv.Itoa(child.Process.Pid)), 0o644)
		os.Exit(3)
	}
	time.Sleep(time.Hour)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func start(t *testing.T, spec worker.Spec) *worker.Worker {
	t.Helper()
	w, err := worker.Start(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

// Whatever a worker does is an error of its own that says what happened, and its process is gone.
func TestDeaths(t *testing.T) {
	for _, test := range []struct {
		fault string
		want  string
	}{
		{"exit", "left with exit code 3 during ping"},
		{"segfault", "died of SIGSEGV during ping"},
		{"abort", "died of SIGABRT during ping"},
		{"be killed", "died of SIGKILL during ping"},
		{"hang", "stopped during ping by the limit of time 1s"},
		{"write garbage", "is no JSON"},
		{"cut a line", "was cut"},
		{"close the pipe", "during ping"},
		{"flood the pipe", "is over 8388608 bytes"},
		{"grow", "stopped during ping by the limit of memory 256 MiB"},
	} {
		t.Run(test.fault, func(t *testing.T) {
			t.Parallel()
			timeout := 20 * time.Second
			if test.fault == "hang" {
				timeout = time.Second
			}
			w := start(t, worker.Spec{Env: []string{"FAULT=" + test.fault}, Timeout: timeout, Memory: 256 << 20})
			err := w.Ping(t.Context())
			assert.ErrorContains(t, err, test.want)
			var death *worker.DeathError
			require.ErrorAs(t, err, &death)
			assert.Equal(t, test.fault == "hang", death.TimedOut())
			assert.Contains(t, strings.Join(w.Close().Tail, "\n"), "about to "+test.fault, "the log's last words are kept")
		})
	}
}

func TestFloodOfLog(t *testing.T) {
	w := start(t, worker.Spec{Env: []string{"FAULT=flood the log"}})
	require.NoError(t, w.Ping(t.Context()), "a worker that talks too much still works")
	size := 0
	for _, line := range w.Close().Tail {
		size += len(line)
	}
	assert.Less(t, size, 1<<14, "bytes of the log that are kept")
}

func TestGrandchildEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	w := start(t, worker.Spec{Env: []string{"FAULT=leave a child", "PIDFILE=" + file}})
	begin := time.Now()
	assert.ErrorContains(t, w.Ping(t.Context()), "exit code 3")
	assert.Less(t, time.Since(begin), 4*time.Second, "does not wait for the child's log")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	pid, err := strconv.Atoi(string(text))
	require.NoError(t, err)
	assert.Eventually(t, func() bool { return gone(pid) }, 5*time.Second, 10*time.Millisecond, "the worker's child %d is alive", pid)
}

// gone tells whether a process has ended, be it unwaited for.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "Z")
}

func TestCancelEndsWorker(t *testing.T) {
	w := start(t, worker.Spec{Env: []string{"FAULT=hang"}})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	assert.ErrorIs(t, w.Ping(ctx), context.Canceled)
	assert.NotZero(t, w.Close().Exit, "it was killed")
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
	t.Setenv("SECRET", "token")
	w := start(t, worker.Spec{Env: []string{"FAULT=hang"}, Timeout: time.Minute})
	pids, err := exec.Command("pgrep", "-P", strconv.Itoa(os.Getpid())).Output()
	if err != nil {
		t.Skip("needs pgrep, of Debian's procps")
	}
	for _, pid := range strings.Fields(string(pids)) {
		env, _ := os.ReadFile("/proc/" + pid + "/environ")
		assert.NotContains(t, string(env), "SECRET")
	}
	w.Close()
}

func TestMisuse(t *testing.T) {
	w := start(t, worker.Spec{})
	for name, err := range map[string]error{
		"open without a library": second(w.Open(t.Context(), worker.Model{Path: "m.onnx", Family: "movenet", Provider: "cpu"})),
		"infer without a model":  second(w.Infer(t.Context(), "a.jpg")),
		"time without an image":  second(w.Time(t.Context(), 1)),
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
