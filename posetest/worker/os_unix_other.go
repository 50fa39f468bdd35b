//go:build unix && !linux

package worker

import (
	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/unix"
)

// wait waits until the worker has ended, and at once ends what it left behind. Between the two its number is free, for
// some microseconds: these systems give numbers in turn, and tell nothing of an end before they free it.
func (g *group) wait() {
	g.cmd.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	unix.Kill(-g.cmd.Process.Pid, unix.SIGKILL)
	g.reaped = true
}

func memory(pid int) (now, peak int64) {
	p := process.Process{Pid: int32(pid)}
	m, err := p.MemoryInfo()
	if err != nil {
		return 0, 0
	}
	return int64(m.RSS), int64(m.RSS)
}
