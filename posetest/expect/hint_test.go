package expect_test

import (
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
)

// Who expected a cell to load is told in one sentence what the machine lacks, with the runtime's own words.
func TestHint(t *testing.T) {
	for _, row := range []struct{ why, message, log, want string }{
		{"a driver too old, or none", "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ; hostname={host}", "", "update the driver"},
		{"a driver, and no GPU", "CUDA failure 100: no CUDA-capable device is detected ; GPU=-1", "", "CUDA sees no GPU"},
		{"the second of one GPU", "CUDA failure 101: invalid device ordinal ; GPU=0", "", "fewer GPUs than the number of the device asks for"},
		{"no library", "Failed to load library {runtime}/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory", "", "LD_LIBRARY_PATH"},
		{"no library, which only the log tells", "Failed to load shared library", "E: libopenvino.so: cannot open shared object file", "LD_LIBRARY_PATH"},
		{"no driver", "Failed to load library {runtime}/libonnxruntime_providers_cuda.so with error: libcuda.so.1: cannot open shared object file: No such file or directory", "", "install the driver"},
		{"no such device, which only the log tells", "SessionOptionsAppendExecutionProvider_OpenVINO_V2: Failed to load shared library", "E: [ERROR] [OpenVINO] Device GPU is not available", "choose the provider for the CPU"},
		{"no adapter", "Failed to get a WebGPU adapter: No supported adapters", "", "Vulkan"},
		{"not in the build", "CUDA execution provider is not enabled in this build.", "", "names the runtimes that do"},
		{"the model's own fault", "Could not find an implementation for ConvInteger(10) node with name 'n'", "", ""},
	} {
		t.Run(row.why, func(t *testing.T) {
			o := observe.Observation{Outcome: observe.Unavailable, Failure: &observe.Failure{Message: row.message}}
			if row.log != "" {
				o.LogErrors = []string{row.log}
			}
			hint := expect.Hint(o)
			if row.want == "" {
				assert.Empty(t, hint)
				return
			}
			assert.Contains(t, hint, row.want)
			err := expect.Judge{Row: expect.Own()}.Load(o)
			assert.EqualError(t, err, "unavailable: "+row.message+", want loads; "+hint)
			assert.Equal(t, 1, strings.Count(err.Error(), hint))
		})
	}
	assert.Empty(t, expect.Hint(observe.Observation{Outcome: observe.Loads}))
	assert.Empty(t, expect.Hint(observe.Observation{Outcome: observe.Crashes, Death: &observe.Death{During: "open"}}))
}
