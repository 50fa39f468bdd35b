package worker

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

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

// backstop has the kernel end the worker, and each process that it starts, a second or two past the limit of processor time,
// should this process be stopped or gone by then, or what was started have left the group. A limit that the kernel does not
// take is watched all the same.
func (g *group) backstop(limit time.Duration) {
	var l unix.Rlimit
	if unix.Prlimit(g.cmd.Process.Pid, unix.RLIMIT_CPU, nil, &l) != nil {
		return
	}
	seconds := uint64((limit+time.Second-1)/time.Second) + 1
	l.Cur, l.Max = min(l.Cur, seconds), min(l.Max, seconds) // at Max it is SIGKILL; SIGXCPU before that would be no clear end
	unix.Prlimit(g.cmd.Process.Pid, unix.RLIMIT_CPU, &l, nil)
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
