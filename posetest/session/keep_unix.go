//go:build unix

package session

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
*/
import "C"

import "unsafe"

// keep holds a library in memory to the end of the process. The binding unloads one that refuses its API version, and
// then reads the version from memory that is gone.
func keep(path string) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	C.dlopen(name, C.RTLD_LAZY) // an error comes again when the binding opens it, and is told there
}
