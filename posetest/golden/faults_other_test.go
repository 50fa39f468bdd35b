//go:build !linux

package golden_test

import "testing"

func beOnADisk() {}

func faultsHere(*testing.T) {}
