// Package child lets the programs that this one calls, such as pip, end with it, and with what they started.
//
//	cmd := exec.CommandContext(ctx, "python3", …)
//	defer child.Tie(cmd)()
//	err := cmd.Run()
package child

import (
	"os/exec"
	"runtime"
	"time"
)

// patience is how long a command that has ended is waited for, where something that it started holds its output open.
const patience = 5 * time.Second

// Tie makes a command that has a context end with it, together with all that it has started. On Linux it also ends with
// this process, however that ends; elsewhere, as what it has started itself, it then comes to its own end. Call what Tie
// returns, on the same goroutine, when the command has ended.
func Tie(cmd *exec.Cmd) (untie func()) {
	cmd.WaitDelay = patience
	tie(cmd)
	runtime.LockOSThread() // Linux means the thread that started it
	return runtime.UnlockOSThread
}
