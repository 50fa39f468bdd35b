//go:build unix

package worker

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A group is a worker with whatever it starts: a process group of its own.
type group struct {
	cmd    *exec.Cmd
	mu     sync.Mutex
	reaped bool // its number may be another process's by now
}

func startGroup(cmd *exec.Cmd) (*group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return &group{cmd: cmd}, cmd.Start()
}

// kill ends the whole group, if its worker is not gone.
func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.reaped {
		unix.Kill(-g.cmd.Process.Pid, unix.SIGKILL)
	}
}

// usage is what the worker uses; nothing once it is gone.
func (g *group) usage() (u usage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reaped {
		return u
	}
	u.memory, u.peak = memory(g.cmd.Process.Pid)
	u.cpu = cpuTimeOf(g.cmd.Process.Pid)
	return u
}

// endSelf ends this process and what it started.
func endSelf() {
	if unix.Getpgrp() == os.Getpid() { // started by startGroup, not by hand in a shell's group
		unix.Kill(0, unix.SIGKILL)
	}
	os.Exit(3)
}

// repliesFD is the first extra file of a child: providers print to standard output.
const repliesFD = 3

func passReplies(cmd *exec.Cmd, replies, log *os.File) {
	cmd.Stdout = log
	cmd.ExtraFiles = []*os.File{replies}
}

func repliesFile() io.Writer {
	unix.CloseOnExec(repliesFD) // no child of a provider shall hold it open
	return os.NewFile(repliesFD, "replies")
}

// deathSignal is the signal that ended a process, "" if it left by itself.
func deathSignal(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return ""
}
