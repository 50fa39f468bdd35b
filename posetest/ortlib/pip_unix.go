//go:build unix

package ortlib

import (
	"os/exec"
	"syscall"
)

// killTree makes cmd the leader of a process group and a done context end the whole group.
func killTree(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
