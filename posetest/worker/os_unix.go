//go:build unix

package worker

import (
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup puts the child into a process group of its own, so that its children can be ended with it.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(pid int) { unix.Kill(-pid, unix.SIGKILL) }

// endGroup ends this process and all of its group.
func endGroup() { unix.Kill(0, unix.SIGKILL) }

// repliesFD is the first extra file of a child: providers print to standard output.
const repliesFD = 3

func repliesPipe(cmd *exec.Cmd, log *os.File) (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil {
		return nil, nil, err
	}
	cmd.Stdout = log
	cmd.ExtraFiles = []*os.File{w}
	return r, w, nil
}

func repliesFile() io.Writer { return os.NewFile(repliesFD, "replies") }

// deathSignal is the signal that ended a process, "" if it left by itself.
func deathSignal(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return ""
}
