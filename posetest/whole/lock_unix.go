//go:build unix

package whole

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// canReplaceOpen tells whether a file that is open can be renamed, replaced and removed.
const canReplaceOpen = true

// claim locks a file or folder as long as it is open, which is no longer than this process lives. It is false if somebody
// else has it, or has removed it already.
func claim(f *os.File) bool {
	if err := lock(f); errors.Is(err, unix.EWOULDBLOCK) {
		return false
	} // any other error: nobody can lock anything there
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(mine, there)
}

func lock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// sweepOne removes a file or folder that nobody has claimed.
func sweepOne(path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if stat, err := f.Stat(); err == nil && (stat.IsDir() || stat.Mode().IsRegular()) && lock(f) == nil {
		os.RemoveAll(path)
	}
}
