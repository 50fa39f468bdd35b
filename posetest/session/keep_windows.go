package session

import "golang.org/x/sys/windows"

// keep holds a library in memory to the end of the process. The binding unloads one that refuses its API version, and
// then reads the version from memory that is gone.
func keep(path string) {
	windows.LoadLibrary(path) // an error comes again when the binding opens it, and is told there
}

// symbol is the address of what a library exports under a name, 0 if it does not.
func symbol(path, name string) uintptr {
	library, err := windows.LoadLibrary(path)
	if err != nil {
		return 0
	}
	address, err := windows.GetProcAddress(library, name)
	if err != nil {
		return 0
	}
	return address
}
