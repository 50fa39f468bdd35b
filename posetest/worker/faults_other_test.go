//go:build unix && !linux

package worker_test

// misbehaveOn has no faults of this system alone.
func misbehaveOn(string) {}
