package worker

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// runningProgram is where the program that runs can be started once more, whatever stands at its path by now: it may have
// been built anew, or removed.
func runningProgram(string) string { return "/proc/self/exe" }

// wait waits until the worker has ended, and ends what it left behind. It kills the group before it takes the worker's
// exit status: until then the number of the group can't be given to anyone else.
func (g *group) wait() {
	for errors.Is(unix.Waitid(unix.P_PID, g.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	unix.Kill(-g.cmd.Process.Pid, unix.SIGKILL)
	g.cmd.Wait()
	g.reaped = true
}

// memory reads what the kernel itself counts of the process. (The peak of getrusage starts with the parent's memory,
// and gopsutil's is always 0.)
func memory(pid int) (now, peak int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case err != nil:
		case name == "VmHWM":
			peak = kib << 10
		case name == "VmRSS":
			now = kib << 10
		}
	}
	return now, peak
}
