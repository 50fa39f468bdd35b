//go:build !linux

package worker

import (
	"os"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// cpuTime is what this process has used of processors, as finely as the system counts it.
func cpuTime() time.Duration {
	p := process.Process{Pid: int32(os.Getpid())}
	t, err := p.Times()
	if err != nil {
		return 0
	}
	return time.Duration((t.User + t.System) * float64(time.Second))
}
