//go:build !linux

package main

func beOnADisk() {}
