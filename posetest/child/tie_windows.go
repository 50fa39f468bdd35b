package child

import (
	"os/exec"
	"strconv"
)

// tie makes a done context end cmd and its children ("py -3" is a launcher: its child does the work).
func tie(cmd *exec.Cmd) {
	cmd.Cancel = func() error {
		if err := exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run(); err != nil {
			return cmd.Process.Kill()
		}
		return nil
	}
}
