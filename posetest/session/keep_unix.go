//go:build unix

package session

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

static uintptr_t address(const char *library, const char *name) {
	void *opened = dlopen(library, RTLD_LAZY);
	return opened == NULL ? 0 : (uintptr_t)dlsym(opened, name);
}
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

// symbol is the address of what a library exports under a name, 0 if it does not.
func symbol(path, name string) uintptr {
	p, n := C.CString(path), C.CString(name)
	defer C.free(unsafe.Pointer(p))
	defer C.free(unsafe.Pointer(n))
	return uintptr(C.address(p, n))
}
