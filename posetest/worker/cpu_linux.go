package worker

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what this process has used of processors, to the nanosecond.
func cpuTime() time.Duration { return readClock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// cpuTimeOf is what another process has used, with all its threads, those that have ended too; 0 once it is gone. The number
// of its clock is made of its own, as clock_getcpuclockid does: ^pid << 3, and CPUCLOCK_SCHED.
func cpuTimeOf(pid int) time.Duration { return readClock(int32(^pid)<<3 | 2) }

func readClock(id int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
