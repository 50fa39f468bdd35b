//go:build !linux

package golden_test

func beOnADisk() {}

func faultsHere() []fault { return nil }
