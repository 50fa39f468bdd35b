package worker

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// killGroup ends a process and its children; Windows has no groups to signal.
func killGroup(pid int) {
	exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(pid)).Run()
}

func endGroup() { killGroup(os.Getpid()) }

// repliesPipe uses standard output, since Windows passes no extra files to a child.
func repliesPipe(cmd *exec.Cmd, log *os.File) (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil {
		return nil, nil, err
	}
	cmd.Stdout = w
	return r, w, nil
}

func repliesFile() io.Writer { return os.Stdout }

func deathSignal(state *os.ProcessState) string { return "" }
