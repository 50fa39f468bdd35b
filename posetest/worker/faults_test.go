//go:build unix

package worker_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/faulttest"
	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Promises of docs/reliability.md.
const (
	clearError = "a clear error"
	childEnds  = "every child ends"
	noneLost   = "no other cell is lost"
)

// Whatever a worker does is an error of its own that says what happened, and its process is gone.
func TestFaults(t *testing.T) {
	for _, row := range []struct {
		fault string
		spec  worker.Spec
		want  string // of the ping that meets it
	}{
		{fault: "exit", want: "left with exit code 3 during ping"},
		{fault: "segfault", want: "died of SIGSEGV during ping"},
		{fault: "abort", want: "died of SIGABRT during ping"},
		{fault: "be killed", want: "died of SIGKILL during ping"},
		{fault: "hang", spec: worker.Spec{Timeout: time.Second}, want: "stopped during ping by the limit of time 1s"},
		{fault: "ignore signals and hang", spec: worker.Spec{Timeout: time.Second}, want: "stopped during ping by the limit of time 1s"},
		{fault: "stop", spec: worker.Spec{Timeout: time.Second}, want: "stopped during ping by the limit of time 1s"},
		{fault: "spin", spec: worker.Spec{CPU: 400 * time.Millisecond}, want: "stopped during ping by the limit of processor time 400ms"},
		{fault: "spin and answer", spec: worker.Spec{CPU: 400 * time.Millisecond}, want: "stopped during ping by the limit of processor time 400ms"},
		{fault: "write garbage", want: "stopped during ping for a breach of the protocol: a line of the worker's protocol is no JSON: invalid character 'l'"},
		{fault: "cut a line", want: "left with exit code 0 during ping (a line of the worker's protocol was cut"},
		{fault: "die within a line", want: "died of SIGSEGV during ping (a line of the worker's protocol was cut"},
		{fault: "close the pipe", want: "stopped during ping for a breach of the protocol: it closed a pipe of the worker's protocol, and lived on"},
		{fault: "close the pipe within a line", want: "stopped during ping for a breach of the protocol: it closed a pipe of the worker's protocol, and lived on"},
		{fault: "close its input and answer", want: "stopped during ping for a breach of the protocol: it closed a pipe of the worker's protocol, and lived on"},
		{fault: "flood the pipe", want: "stopped during ping for a breach of the protocol: a line of the worker's protocol is over 8388608 bytes"},
		{fault: "grow", spec: worker.Spec{Memory: 256 << 20}, want: "stopped during ping by the limit of memory 256 MiB"},
	} {
		t.Run(row.fault, func(t *testing.T) {
			t.Attr("promise", clearError)
			t.Parallel()
			if row.spec.Timeout == 0 {
				row.spec.Timeout = 20 * time.Second
			}
			row.spec.Env = []string{"FAULT=" + row.fault}
			w := start(t, row.spec)
			err := w.Ping(t.Context())
			for begin := time.Now(); err == nil && time.Since(begin) < row.spec.Timeout; err = w.Ping(t.Context()) {
				time.Sleep(time.Millisecond)
			}
			assert.ErrorContains(t, err, row.want)
			var death *worker.DeathError
			require.ErrorAs(t, err, &death)
			assert.Equal(t, strings.Contains(row.want, "time "), death.TimedOut())
			if death.Breach != "" || death.Limit != "" {
				assert.Empty(t, death.Signal, "the signal that we sent is no finding")
			}
			end := w.Close()
			assert.Contains(t, strings.Join(end.Tail, "\n"), "about to "+row.fault, "the log's last words are kept")
			if row.spec.CPU > 0 {
				assert.Less(t, end.CPU, 10*row.spec.CPU, "it was ended soon")
			}
		})
	}
	t.Run("flood the log", floodOfLog)
	t.Run("leave a child", childOfTheDead)
	t.Run("leave a tree of children", treeOfChildren)
	t.Run("leave a child out of reach", childOutOfReach)
}

// A worker that talks too much still works.
func floodOfLog(t *testing.T) {
	t.Attr("promise", noneLost)
	w := start(t, worker.Spec{Env: []string{"FAULT=flood the log", fmt.Sprintf("MEBIBYTES=%d", faulttest.Times(64, 1024))}})
	require.NoError(t, w.Ping(t.Context()))
	size := 0
	for _, line := range w.Close().Tail {
		size += len(line)
	}
	assert.Less(t, size, 1<<14, "bytes of the log that are kept")
}

func childOfTheDead(t *testing.T) {
	t.Attr("promise", childEnds)
	pids := t.TempDir()
	w := start(t, worker.Spec{Env: []string{"FAULT=leave a child", "PIDS=" + pids}})
	begin := time.Now()
	assert.ErrorContains(t, w.Ping(t.Context()), "exit code 3")
	assert.Less(t, time.Since(begin), 4*time.Second, "does not wait for the child's log and replies")
	allGone(t, pids, 1)
}

// Children of children, who ignore what can be ignored, end with the worker.
func treeOfChildren(t *testing.T) {
	t.Attr("promise", childEnds)
	pids := t.TempDir()
	w := start(t, worker.Spec{Env: []string{"FAULT=leave a tree of children", "PIDS=" + pids}})
	require.NoError(t, w.Ping(t.Context()), "it answers when they all live")
	assert.ErrorContains(t, w.Ping(t.Context()), "exit code 3")
	allGone(t, pids, 12)
}

// What left the worker's group is ended on Linux, where its environment tells whose it is. Elsewhere it can't be, and is not
// waited for either.
func childOutOfReach(t *testing.T) {
	t.Attr("promise", childEnds)
	t.Parallel()
	pids := t.TempDir()
	w := start(t, worker.Spec{Env: []string{"FAULT=leave a child out of reach", "PIDS=" + pids}})
	begin := time.Now()
	assert.ErrorContains(t, w.Ping(t.Context()), "exit code 3")
	assert.Less(t, time.Since(begin), 10*time.Second, "it holds log and replies for 20 s")
	if runtime.GOOS == "linux" {
		allGone(t, pids, 1)
		return
	}
	for _, pid := range listed(t, pids) {
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL), "it lived on")
	}
}

// allGone waits until the processes that a folder names have ended.
func allGone(t *testing.T, pids string, n int) {
	t.Helper()
	all := listed(t, pids)
	require.Len(t, all, n)
	for _, pid := range all {
		assert.Eventually(t, func() bool { return gone(pid) }, 5*time.Second, 10*time.Millisecond, "the worker's child %d is alive", pid)
	}
}

func listed(t *testing.T, pids string) (all []int) {
	t.Helper()
	entries, err := os.ReadDir(pids)
	require.NoError(t, err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		require.NoError(t, err)
		all = append(all, pid)
	}
	return all
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

// misbehave is a worker that greets, waits for one request, and goes wrong.
func misbehave(fault string) {
	switch fault {
	case "never serves":
		os.Exit(0)
	case "never greet":
		time.Sleep(time.Hour)
	case "be one of a tree":
		branch()
		time.Sleep(time.Hour)
	}
	misbehaveOn(fault)
	replies := os.NewFile(3, "replies")
	switch fault {
	case "greet as the first version":
		fmt.Fprintln(replies, "{}")
	case "greet as a later version":
		fmt.Fprintln(replies, `{"protocol":3}`)
	default:
		fmt.Fprintln(replies, `{"protocol":2}`)
	}
	if fault == "never read" {
		time.Sleep(time.Hour)
	}
	requests := bufio.NewReader(os.Stdin)
	requests.ReadString('\n')
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
	case "tell the environment":
		all := os.Environ()
		for i := range all {
			all[i] = strings.Replace(all[i], os.Getenv("TMPDIR"), "{}", 1)
		}
		slices.Sort(all)
		fmt.Fprintf(os.Stderr, "{} is %s\n%s\n", os.Getenv("TMPDIR"), strings.Join(all, "|"))
		os.Exit(3)
	case "hang":
	case "ignore signals and hang":
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGXCPU)
	case "stop":
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "spin":
		spin()
	case "spin and answer":
		spin()
		for {
			fmt.Fprintln(replies, "{}")
			requests.ReadString('\n')
		}
	case "answer nothing":
		fmt.Fprintln(replies, "{}")
	case "write garbage":
		fmt.Fprintln(replies, "loaded fine, trust me")
	case "cut a line":
		fmt.Fprint(replies, `{"took_ns": 1`)
		os.Exit(0)
	case "die within a line":
		fmt.Fprint(replies, `{"took_ns": 1`)
		syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	case "close the pipe":
		replies.Close()
	case "close the pipe within a line":
		fmt.Fprint(replies, `{"took_ns": 1`)
		replies.Close()
	case "close its input and answer":
		os.Stdin.Close()
		fmt.Fprintln(replies, "{}")
	case "flood the log":
		mebibytes, _ := strconv.Atoi(os.Getenv("MEBIBYTES"))
		line := strings.Repeat("x", 1<<20-1)
		for range mebibytes {
			fmt.Fprintln(os.Stderr, line)
		}
		fmt.Fprintln(replies, "{}")
		io.Copy(io.Discard, os.Stdin)
		return
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
	case "peak for an instant":
		hold(256 << 20)()
		fmt.Fprintln(replies, "{}")
		io.Copy(io.Discard, os.Stdin)
		return
	case "leave a tree of children":
		branch()
		for entries, _ := os.ReadDir(os.Getenv("PIDS")); len(entries) < 12; entries, _ = os.ReadDir(os.Getenv("PIDS")) {
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Fprintln(replies, "{}")
		requests.ReadString('\n')
		os.Exit(3)
	case "leave a child", "leave a child out of reach":
		child := exec.Command("sleep", "20")
		child.Stderr, child.ExtraFiles = os.Stderr, []*os.File{replies} // holds log and replies open, too
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: fault == "leave a child out of reach"}
		child.Start()
		note(child.Process.Pid)
		os.Exit(3)
	}
	time.Sleep(time.Hour)
}

// note names a process in the folder of those.
func note(pid int) { os.WriteFile(filepath.Join(os.Getenv("PIDS"), strconv.Itoa(pid)), nil, 0o644) }

// branch starts three children, and each of them three.
func branch() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if os.Getenv("LEAF") != "" {
		return
	}
	for range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "FAULT=be one of a tree")
		if os.Getenv("FAULT") == "be one of a tree" {
			child.Env = append(child.Env, "LEAF=1")
		}
		if child.Start() == nil {
			note(child.Process.Pid)
		}
	}
}

// spin keeps two processors busy.
func spin() {
	for range 2 {
		go func() {
			for {
				runtime.Gosched()
			}
		}()
	}
}

// hold takes so many bytes of memory, in use and not of Go's heap, until it is told to let go.
func hold(n int) (free func()) {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	return func() { syscall.Munmap(b) }
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}
