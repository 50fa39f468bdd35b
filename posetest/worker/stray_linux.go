package worker

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// endStrays ends what left the group of a worker that is gone, as a daemon does, and is still told by its environment: no
// other process has this temporary folder in it. What has put on another environment can't be told from others.
func endStrays(scratch string) {
	for range 100 { // one may start another just behind a look, and needs a moment to end
		if endSeen(scratch) == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// endSeen ends those that one look at all processes finds, and returns how many they are.
func endSeen(scratch string) (ended int) {
	proc, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1) // those that could be read
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() && isOf(pid, scratch) {
			endStray(pid, scratch)
			ended++
		}
	}
	return ended
}

// isOf tells whether a process began with a temporary folder. Of another user's, or of one that is gone, it is false.
func isOf(pid int, scratch string) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00TMPDIR="+scratch+"\x00"))
}

// endStray ends a process, and no other one that has its number by now.
func endStray(pid int, scratch string) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if isOf(pid, scratch) {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}
