//go:build !linux

package worker

// closeNetwork does nothing: macOS has no call for it that is documented, and Windows none without privileges.
func closeNetwork() error { return nil }
