package session

/*
#include <stdint.h>
#include <stdlib.h>

// What onnxruntime_c_api.h says of the one struct that never changes. Behind it is a table of functions, to which releases only append,
// so that a function keeps its place; an error is a status that is not null.
typedef struct {
	const void *const *(*get_api)(uint32_t version);
	const char *(*get_version)(void);
} api_base;

typedef const void *const *api_table;

static api_table table(uintptr_t get_base, uint32_t version) {
	return ((const api_base *(*)(void))get_base)()->get_api(version);
}

static void *create_memory_info(api_table api, int at, const char *name, int id, void **info) {
	return ((void *(*)(const char *, int, int, int, void **))api[at])(name, 0, id, 0, info); // a device's allocator, default memory
}

static void *bind_output(api_table api, int at, uintptr_t binding, const char *name, void *info) {
	return ((void *(*)(void *, const char *, const void *))api[at])((void *)binding, name, info);
}

static void *synchronize(api_table api, int at, uintptr_t binding) {
	return ((void *(*)(void *))api[at])((void *)binding);
}

static const char *message(api_table api, int at, void *status) {
	return ((const char *(*)(const void *))api[at])(status);
}

static void release(api_table api, int at, void *any) {
	((void (*)(void *))api[at])(any);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/posetest/suite/posetest/tensor"
	ort "github.com/yalue/onnxruntime_go"
)

// apiVersion is the oldest that has all functions below, and that of the binding of a build without plug-ins.
const apiVersion = 22

// Places of functions in OrtApi, of which the binding has none: it knows no memory but the processor's. TestPlaces counts them in
// the binding's header.
const (
	getErrorMessage         = 2
	createMemoryInfo        = 68
	releaseStatus           = 93
	releaseMemoryInfo       = 94
	bindOutputToDevice      = 138
	synchronizeBoundInputs  = 202
	synchronizeBoundOutputs = 203
)

// device is what [Bound] needs of a device's memory.
type device struct {
	api     C.api_table
	binding C.uintptr_t
}

// BindOnDevice binds inputs and outputs in the memory of the provider's device, where that is another than the processor's: inputs are
// copied there once, here, and outputs stay there. A run then copies nothing, and [Bound].Run waits until the device is done. Outputs are
// not to be read.
func (s *Session) BindOnDevice(inputs ...tensor.Tensor) (_ *Bound, err error) {
	b := &Bound{s: s}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if err := b.bindInputs(inputs); err != nil {
		return nil, err
	}
	base := symbol(s.library, "OrtGetApiBase")
	if base == 0 {
		return nil, errors.New("bind on the device: the path of the runtime's library is not known; give it in Options")
	}
	d := &device{api: C.table(C.uintptr_t(base), apiVersion), binding: handle(b.binding)}
	if d.api == nil {
		return nil, fmt.Errorf("bind on the device: the runtime has no API version %d", apiVersion)
	}
	memory := s.memory
	if memory == "" {
		memory = "Cpu"
	}
	if err := d.bindOutputs(memory, s.device, names(s.outputs)); err != nil {
		return nil, fmt.Errorf("bind outputs in memory %q of device %d: %w", memory, s.device, err)
	}
	if err := d.synchronize(synchronizeBoundInputs); err != nil {
		return nil, fmt.Errorf("copy inputs to memory %q of device %d: %w", memory, s.device, err)
	}
	b.device = d
	return b, nil
}

// handle is the runtime's own binding, which the Go binding keeps to itself.
func handle(b *ort.IoBinding) C.uintptr_t {
	return C.uintptr_t(reflect.ValueOf(b).Elem().FieldByName("o").Pointer())
}

func (d *device) bindOutputs(memory string, id int, outputs []string) error {
	name := C.CString(memory)
	defer C.free(unsafe.Pointer(name))
	var info unsafe.Pointer
	if err := d.failure(C.create_memory_info(d.api, createMemoryInfo, name, C.int(id), &info)); err != nil {
		return err
	}
	defer C.release(d.api, releaseMemoryInfo, info)
	for _, output := range outputs {
		text := C.CString(output)
		err := d.failure(C.bind_output(d.api, bindOutputToDevice, d.binding, text, info))
		C.free(unsafe.Pointer(text))
		if err != nil {
			return fmt.Errorf("%s: %w", output, err)
		}
	}
	return nil
}

// synchronize waits until what is bound is where it should be.
func (d *device) synchronize(what C.int) error {
	return d.failure(C.synchronize(d.api, what, d.binding))
}

func (d *device) failure(status unsafe.Pointer) error {
	if status == nil {
		return nil
	}
	defer C.release(d.api, releaseStatus, status)
	return errors.New(C.GoString(C.message(d.api, getErrorMessage, status)))
}
