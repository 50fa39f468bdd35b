package session

import "golang.org/x/sys/windows"

// keep holds a library in memory to the end of the process. The binding unloads one that refuses its API version, and
// then reads the version from memory that is gone.
func keep(path string) {
	windows.LoadLibrary(path) // an error comes again when the binding opens it, and is told there
}
