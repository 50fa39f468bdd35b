//go:build unix && !linux

package child

import "syscall"

func withParent(*syscall.SysProcAttr) {}
