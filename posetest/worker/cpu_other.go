//go:build !linux

package worker

import (
	"os"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// cpuTime is what this process has used of processors, as finely as the system counts it.
func cpuTime() time.Duration { return cpuTimeOf(os.Getpid()) }

// cpuTimeOf is what another process has used, with all its threads; 0 once it is gone.
func cpuTimeOf(pid int) time.Duration {
	p := process.Process{Pid: int32(pid)}
	t, err := p.Times()
	if err != nil {
		return 0
	}
	return time.Duration((t.User + t.System) * float64(time.Second))
}
