package session

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParseLoadError(t *testing.T) {
	for _, test := range []struct {
		name, message string
		want          *MissingKernelError
	}{
		{"YOLOv8n-pose int8 on cpu", "Could not find an implementation for ConvInteger(10) node with name '/model.0/conv/Conv_quant'",
			&MissingKernelError{"ConvInteger", 10, "/model.0/conv/Conv_quant"}},
		{"an operator with its domain", "Could not find an implementation for com.microsoft.QMoE(1) node with name 'moe'",
			&MissingKernelError{"com.microsoft.QMoE", 1, "moe"}},
		{"a domain with other signs", "Could not find an implementation for my-org.ops:Blur(2) node with name 'b'",
			&MissingKernelError{"my-org.ops:Blur", 2, "b"}},
		{"behind the runtime's code", "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for ConvInteger(10) node with name 'c'",
			&MissingKernelError{"ConvInteger", 10, "c"}},
		{"a node with quotes in its name", "Could not find an implementation for Conv(11) node with name 'it's \"here\" 'too'",
			&MissingKernelError{"Conv", 11, `it's "here" 'too`}},
		{"a node without a name", "Could not find an implementation for ConvInteger(10) node with name ''", &MissingKernelError{"ConvInteger", 10, ""}},
		{"an opset that overflows", "Could not find an implementation for Conv(99999999999999999999) node with name 'c'", nil},
		{"cut before the name ends", "Could not find an implementation for Conv(11) node with name 'c", nil},
		{"OpenVINO's refusal", "This is an invalid model. Error: the graph is not acyclic.", nil},
		{"a missing file", "Load model from {model} failed:Load model {model} failed. File doesn't exist", nil},
		{"an operator that is in no schema", "This is an invalid model. In Node, (\"n\", Blur, \"\", -1) : Error No Op registered for Blur with domain_version of 17", nil},
		{"nothing", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := newLoadError(test.message, "/models/a.onnx")
			assert.Equal(t, test.message, err.Message)
			assert.Equal(t, test.want, err.Missing)
			var missing *MissingKernelError
			assert.Equal(t, test.want != nil, errors.As(err, &missing))
		})
	}
}

func TestModelPathIsHidden(t *testing.T) {
	assert.EqualError(t, newLoadError("Load model from /a/b.onnx failed: /a/b.onnx is cut", "/a/b.onnx"), "Load model from {model} failed: {model} is cut")
	assert.EqualError(t, newLoadError("words", ""), "words")
}

// What differs from machine to machine is not in words that a row has.
func TestWordsOfAnyMachine(t *testing.T) {
	o := Options{Model: "/models/a.onnx", Library: "/home/me/ort/libonnxruntime.so.1.31.1"}
	for _, row := range []struct{ why, message, want string }{
		{"the folder of the runtime", "Failed to load library /home/me/ort/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13",
			"Failed to load library {runtime}/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13"},
		{"the name of the machine", "CUDA failure 35: CUDA driver version is insufficient ; GPU=-1 ; hostname=box-7.example ; file=/onnxruntime_src/a.cc ; line=1",
			"CUDA failure 35: CUDA driver version is insufficient ; GPU=-1 ; hostname={host} ; file=/onnxruntime_src/a.cc ; line=1"},
		{"the model", "Load model from /models/a.onnx failed", "Load model from {model} failed"},
		{"nothing of it", "no such device", "no such device"},
	} {
		assert.Equal(t, row.want, o.hide(row.message), row.why)
	}
	assert.Equal(t, "./a.so", Options{Library: "libonnxruntime.so"}.hide("./a.so"), "a library without a folder")
}
