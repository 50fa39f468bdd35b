//go:build linux || darwin

package sums

import (
	"io/fs"
	"syscall"
)

// identify notes the file's number and the time of its last change; false if the system tells neither.
func (s *Stamp) identify(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	s.device, s.number, s.changed = uint64(stat.Dev), stat.Ino, changed(stat)
	return true
}
