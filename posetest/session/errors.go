package session

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A LibraryError says that a file can't serve as the ONNX Runtime library.
type LibraryError struct {
	Path   string
	Reason string // a sentence that says what to do
}

func (e *LibraryError) Error() string { return fmt.Sprintf("runtime library %s: %s", e.Path, e.Reason) }

// An UnavailableError says that a runtime was built without an execution provider, or can't start it here.
type UnavailableError struct {
	Provider string
	Message  string // the runtime's own words
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("execution provider %s: %s", e.Provider, e.Message)
}

// A LoadError says that the runtime refused a model.
type LoadError struct {
	Message string              // the runtime's own words, with {model} for the model's path
	Missing *MissingKernelError // set if the words say so
}

func (e *LoadError) Error() string { return e.Message }

func (e *LoadError) Unwrap() error {
	if e.Missing == nil {
		return nil
	}
	return e.Missing
}

// A MissingKernelError says that no provider of the session implements a node.
type MissingKernelError struct {
	Op    string
	Opset int
	Node  string
}

func (e *MissingKernelError) Error() string {
	return fmt.Sprintf("no kernel for %s(%d) at node %s", e.Op, e.Opset, e.Node)
}

// newLoadError reads a message of session creation. The binding drops the runtime's error code, so that the words are
// all there is.
func newLoadError(message, model string) *LoadError {
	message = hidePath(message, model)
	return &LoadError{Message: message, Missing: parseMissingKernel(message)}
}

// hidePath keeps the place of a model out of words that are to be compared.
func hidePath(message, model string) string {
	if model == "" {
		return message
	}
	return strings.ReplaceAll(message, model, "{model}")
}

// hide keeps what belongs to this machine out of the runtime's words: the path of the model, the folder of the runtime, and the name
// of the machine, which CUDA's errors have.
func (o Options) hide(message string) string {
	message = hidePath(message, o.Model)
	if dir := filepath.Dir(o.Library); o.Library != "" && dir != "." {
		message = strings.ReplaceAll(message, dir, "{runtime}")
	}
	return hostName.ReplaceAllString(message, "hostname={host}")
}

// hostName is in the words of onnxruntime/core/providers/cuda/cuda_call.cc.
var hostName = regexp.MustCompile(`hostname=\S+`)

// missingKernel is a sentence of onnxruntime/core/framework/session_state.cc, of all versions since 1.22. A name may hold
// quotes, and nothing follows it.
var missingKernel = regexp.MustCompile(`Could not find an implementation for (\S+)\((\d+)\) node with name '(.*)'`)

func parseMissingKernel(message string) *MissingKernelError {
	m := missingKernel.FindStringSubmatch(message)
	if m == nil {
		return nil
	}
	opset, err := strconv.Atoi(m[2])
	if err != nil {
		return nil
	}
	return &MissingKernelError{Op: m[1], Opset: opset, Node: m[3]}
}
