//go:build !linux

package bundle

func beOnADisk() {}

func faultsHere() []fault { return nil }
