package expect

import (
	"strings"

	"github.com/posetest/suite/posetest/observe"
)

// hints are what to do about words of a runtime that a machine, not a model, is the cause of. The first that fits holds.
var hints = []struct{ words, advice string }{
	{"driver version is insufficient for CUDA runtime version", "there is no NVIDIA driver, or one that is older than the build's CUDA needs (580 for CUDA 13): look at nvidia-smi, and update the driver or take an older runtime"},
	{"no CUDA-capable device is detected", "CUDA sees no GPU: look at nvidia-smi and at CUDA_VISIBLE_DEVICES"},
	{"invalid device ordinal", "the machine shows fewer GPUs than the number of the device asks for: look at nvidia-smi and at CUDA_VISIBLE_DEVICES, or choose the provider's variant of another device (`posetest providers`)"},
	{"[OpenVINO] Device ", "OpenVINO finds no such device: install its driver, or choose the provider for the CPU"},
	{"[OpenVINO] You have selected wrong configuration value for the key 'device_type'", "OpenVINO finds no such device: install its driver, or choose the provider for the CPU"},
	{"libcuda.so.1: cannot open shared object file", "there is no NVIDIA driver: look at nvidia-smi, and install the driver"},
	{"Failed to get a WebGPU adapter", "no graphics processor has a driver for Vulkan, Direct3D 12 or Metal here: install one"},
	{"cannot open shared object file", "a library that the provider needs is not found: install it, or name its folder in LD_LIBRARY_PATH"},
	{"is not enabled in this build", "the build does not bring the provider: `posetest providers` names the runtimes that do"},
	{"is not supported in this build", "the build does not bring the provider: `posetest providers` names the runtimes that do"},
}

// Hint says in a sentence what to do about a refusal that the machine or the build is the cause of; "" about any other.
func Hint(o observe.Observation) string {
	if o.Failure == nil {
		return ""
	}
	for _, h := range hints {
		for _, words := range append([]string{o.Failure.Message}, o.LogErrors...) {
			if strings.Contains(words, h.words) {
				return h.advice
			}
		}
	}
	return ""
}
