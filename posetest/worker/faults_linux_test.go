package worker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What only Linux keeps a worker from.
func TestFaultsOnLinux(t *testing.T) {
	t.Run("call the network", callsTheNetwork)
	t.Run("call the network from native code", callsFromNativeCode)
	t.Run("be refused the filter", refusedTheFilter)
	t.Run("fill its folder", fillsItsFolder)
}

// listen is a server of this process on 127.0.0.1, which counts who calls.
func listen(t *testing.T) (port string, calls func() int) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	called := make(chan struct{}, 1000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			called <- struct{}{}
			c.Close()
		}
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port, func() int { return len(called) }
}

// No thread of a worker reaches the network, nor a child of it; other processes and the kernel it does.
func callsTheNetwork(t *testing.T) {
	t.Attr("promise", clearError)
	port, calls := listen(t)
	c, err := net.Dial("tcp4", "127.0.0.1:"+port)
	require.NoError(t, err, "what is not closed can call")
	c.Close()
	require.Eventually(t, func() bool { return calls() == 1 }, time.Second, time.Millisecond)

	w := start(t, worker.Spec{Env: []string{"FAULT=call the network", "PORT=" + port}})
	require.Error(t, w.Ping(t.Context()))
	assert.Equal(t, []string{"about to call the network", "closed: <nil>",
		"4 threads: tcp4: operation not permitted; tcp6: operation not permitted; packet: operation not permitted; vsock: operation not permitted; io_uring: operation not permitted; unix: <nil>; netlink: <nil>",
		"a child: tcp4: operation not permitted"}, w.Close().Tail)
	assert.Equal(t, 1, calls(), "calls that came through")
}

// callAll tries all ways out on this thread.
func callAll(port string) string {
	var says []string
	try := func(way string, err error) {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			err = errno
		}
		says = append(says, fmt.Sprintf("%s: %v", way, err))
	}
	try("tcp4", dial(port))
	for _, family := range []struct {
		name      string
		number, k int
	}{{"tcp6", unix.AF_INET6, unix.SOCK_STREAM}, {"packet", unix.AF_PACKET, unix.SOCK_RAW}, {"vsock", unix.AF_VSOCK, unix.SOCK_STREAM}} {
		try(family.name, socket(family.number, family.k))
	}
	var params [120]byte
	ring, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno == 0 {
		unix.Close(int(ring))
		try("io_uring", nil)
	} else {
		try("io_uring", errno)
	}
	try("unix", socket(unix.AF_UNIX, unix.SOCK_STREAM))
	try("netlink", socket(unix.AF_NETLINK, unix.SOCK_RAW))
	return strings.Join(says, "; ")
}

func dial(port string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	var number int
	fmt.Sscan(port, &number)
	return unix.Connect(s, &unix.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}})
}

func socket(family, kind int) error {
	s, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		unix.Close(s)
	}
	return err
}

// A library that calls home when it is loaded, as a runtime or a provider might.
func callsFromNativeCode(t *testing.T) {
	t.Attr("promise", clearError)
	t.Parallel()
	port, calls := listen(t)
	library := compile(t, `
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

__attribute__((constructor)) static void call(void) {
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	int failed = s < 0 || connect(s, (struct sockaddr *)&to, sizeof to) < 0;
	fprintf(stderr, "call: %s\n", failed ? strerror(errno) : "came through");
}`)
	w := start(t, worker.Spec{Env: []string{"PORT=" + port}})
	_, _, err := w.OpenLibrary(t.Context(), library)
	assert.ErrorContains(t, err, "exports no OrtGetApiBase")
	assert.Contains(t, w.Close().Tail, "call: Operation not permitted")
	assert.Zero(t, calls(), "calls that came through")
}

// compile makes a shared library of C, with the compiler that cgo needs as well.
func compile(t *testing.T, source string) (library string) {
	t.Helper()
	dir := t.TempDir()
	library = filepath.Join(dir, "lib.so")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lib.c"), []byte(source), 0o644))
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	out, err := exec.Command(cc, "-shared", "-fPIC", "-o", library, filepath.Join(dir, "lib.c")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return library
}

// Where the kernel refuses the filter, a worker says so and works.
func refusedTheFilter(t *testing.T) {
	t.Attr("promise", noneLost)
	w := start(t, worker.Spec{Env: []string{"FAULT=be refused the filter"}})
	require.NoError(t, w.Ping(t.Context()))
	require.NoError(t, w.Finish(t.Context()))
	end := w.Close()
	assert.Zero(t, end.Exit)
	require.Len(t, end.Tail, 1)
	assert.Contains(t, end.Tail[0], "posetest worker: the network stays open to it: ")
	assert.Contains(t, end.Tail[0], "operation not permitted")
}

// A full disk costs a worker what it wanted to write, and the next its start; neither leaves anything there.
func fillsItsFolder(t *testing.T) {
	t.Attr("promise", clearError)
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "FULL_FOLDER="+t.TempDir(), quickExit)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // the folder is mounted for that process alone
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) { // this system lets its users mount nothing: a folder that is shut is the next best
		cmd = exec.Command(self)
		shut := t.TempDir()
		require.NoError(t, os.Chmod(shut, 0o555))
		cmd.Env = append(os.Environ(), "FULL_FOLDER="+shut, "SHUT=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		assert.Regexp(t, `^worker: private temporary folder: mkdir \S+: permission denied; make room there, or set TMPDIR to a folder that can be written\n$`, string(out))
		return
	}
	require.NoError(t, err, "%s", out)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Len(t, lines, 3, "%s", out)
	assert.Equal(t, "the worker left with exit code 4 during ping: no space left on device", lines[0])
	assert.Equal(t, "left: 0", lines[1])
	assert.Regexp(t, `^worker: private temporary folder: mkdir \S+: no space left on device; make room there, or set TMPDIR to a folder that can be written$`, lines[2])
}

func init() {
	if dir := os.Getenv("FULL_FOLDER"); dir != "" {
		if err := inFullFolder(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// inFullFolder mounts a folder of 64 KiB, or takes one that is shut, and says how workers fare in it.
func inFullFolder(dir string) error {
	if os.Getenv("SHUT") != "" {
		if err := syscall.Setuid(65534); err != nil && os.Geteuid() == 0 { // nobody, from whom folders can be shut
			return err
		}
		os.Setenv("TMPDIR", dir)
		_, err := worker.Start(context.Background(), worker.Spec{})
		fmt.Println(err)
		return nil
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,nr_inodes=16"); err != nil {
		return err
	}
	os.Setenv("TMPDIR", dir)
	w, err := worker.Start(context.Background(), worker.Spec{Env: []string{"FAULT=fill its folder", quickExit}})
	if err != nil {
		return err
	}
	err = w.Ping(context.Background())
	tail := w.Close().Tail
	fmt.Printf("%v: %s\n", err, tail[len(tail)-1])
	left, err := os.ReadDir(dir)
	fmt.Printf("left: %d\n", len(left))
	for i := 0; err == nil; i++ {
		err = os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644)
	}
	_, err = worker.Start(context.Background(), worker.Spec{})
	fmt.Println(err)
	return nil
}

// misbehaveOn does what only Linux can be told to do.
func misbehaveOn(fault string) {
	switch fault {
	case "be refused the filter":
		runtime.LockOSThread()
		err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{{Action: seccomp.ActionErrno, Names: []string{"seccomp"}}}}})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(5)
		}
		worker.ServeIfAsked()
	case "call the network", "fill its folder":
		replies := os.NewFile(3, "replies")
		fmt.Fprintln(replies, `{"protocol":2}`)
		bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Fprintln(os.Stderr, "about to", fault)
		switch fault {
		case "call the network":
			callOnThreads(os.Getenv("PORT"))
		case "fill its folder":
			var err error
			for i := 0; err == nil; i++ {
				err = os.WriteFile(filepath.Join(os.Getenv("TMPDIR"), fmt.Sprint(i)), make([]byte, 16<<10), 0o644)
			}
			var errno syscall.Errno
			errors.As(err, &errno)
			fmt.Fprintln(os.Stderr, errno)
			os.Exit(4)
		}
	case "call plainly":
		fmt.Fprintln(os.Stderr, "a child: tcp4:", dial(os.Getenv("PORT")))
		os.Exit(0)
	}
}

// callOnThreads tries the ways out on threads that were there before the network was closed, and in a child.
func callOnThreads(port string) {
	const threads = 4
	closed := make(chan struct{})
	var here, done sync.WaitGroup
	said := make([]string, threads)
	for i := range threads {
		here.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			here.Done()
			<-closed
			said[i] = callAll(port)
		})
	}
	here.Wait()
	fmt.Fprintln(os.Stderr, "closed:", worker.CloseNetwork())
	close(closed)
	done.Wait()
	for _, s := range said {
		if s != said[0] {
			fmt.Fprintln(os.Stderr, "threads differ:", s)
		}
	}
	fmt.Fprintln(os.Stderr, threads, "threads:", said[0])
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "FAULT=call plainly")
	child.Stderr = os.Stderr
	child.Run()
	os.Exit(3)
}
