package session

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVariants(t *testing.T) {
	all, err := parseVariants(providersJSON)
	require.NoError(t, err)
	assert.Equal(t, all, Variants())
	defaults := 0
	for _, v := range all {
		assert.Equal(t, providers[v.Provider()].runtimeName, RuntimeName(v.ID), "the log names the provider, whatever its options")
		assert.NotEmpty(t, RuntimeName(v.ID), v.ID)
		assert.True(t, v.Default || v.Special(), "%s: what a provider does by itself runs by default", v.ID)
		if v.Default {
			defaults++
		}
	}
	assert.Equal(t, len(Providers())+1, defaults, "each provider once, and CoreML in both of its formats")
	assert.True(t, IsPlugin("webgpu-plugin"))
	assert.False(t, IsPlugin("webgpu") || IsPlugin("abacus"))
	assert.Equal(t, 1, DeviceID("cuda-1"))
	assert.Equal(t, 0, DeviceID("cuda"))
	assert.Equal(t, 0, DeviceID("abacus"))
	assert.Equal(t, "coreml", Base("coreml-mlprogram-ane"))
	assert.Empty(t, RuntimeName("coreml-turbo"))
}

// A list that is wrong says where, and what may be there.
func TestVariantErrors(t *testing.T) {
	const entry = `{"id": "cuda-1", "options": {"device_id": "1"},`
	for _, row := range []struct{ why, from, to, want string }{
		{"a typo in a field", `"libraries"`, `"library"`, "unknown field"},
		{"no JSON", entry, `{{`, "invalid character"},
		{"a provider that there is not", `"id": "cuda-1"`, `"id": "culda-1"`, "its id must begin with an execution provider: coreml, cpu, cuda"},
		{"an id that is no word of a path", `"id": "cuda-1"`, `"id": "cuda-../1"`, "must be words of small letters"},
		{"twice", `"id": "cuda-1"`, `"id": "cuda-notf32"`, "(cuda-notf32): it is there twice"},
		{"nothing special", `"options": {"device_id": "1"}, "libraries"`, `"libraries"`, "it has no options, so nothing makes it special"},
		{"a provider without an entry", `"id": "xnnpack"`, `"id": "xnnpack-2", "options": {"intra_op_num_threads": "2"}`, "xnnpack itself has no entry"},
		{"an option of another provider", `{"device_id": "1"}, "libraries"`, `{"trt_fp16_enable": "1"}, "libraries"`, `option "trt_fp16_enable" is unknown for cuda; choose from arena_extend_strategy, `},
		{"an option of a provider that has none", `{"id": "cpu"`, `{"id": "cpu", "options": {"fast": "1"}`, `option "fast": posetest knows no options of cpu`},
		{"a value that it can't have", `"MLComputeUnits": "CPUOnly"`, `"MLComputeUnits": "Turbo"`, `option MLComputeUnits of coreml can't be "Turbo"; give ALL or CPUOnly or CPUAndGPU or CPUAndNeuralEngine`},
		{"a number that is none", `"device_id": "1"`, `"device_id": "-1"`, `can't be "-1"; give a number`},
		{"a device that is none", `"device_type": "NPU"`, `"device_type": "TPU"`, `can't be "TPU"; give a device such as CPU`},
		{"a pattern that matches nothing", `"/dev/accel/accel*"`, `"/dev/accel["`, "device \"/dev/accel[\": syntax error in pattern"},
	} {
		t.Run(row.why, func(t *testing.T) {
			text := strings.Replace(string(providersJSON), row.from, row.to, 1)
			require.NotEqual(t, string(providersJSON), text, "the test replaces nothing")
			_, err := parseVariants([]byte(text))
			assert.ErrorContains(t, err, row.want)
		})
	}
}

func TestDeviceTypes(t *testing.T) {
	for value, want := range map[string]bool{"CPU": true, "GPU.1": true, "AUTO:GPU,CPU": true, "HETERO:NPU,GPU.0,CPU": true, "": false, "AUTO:": false, "GPU,": false, "cpu": false, "CPU\nGPU": false} {
		assert.Equal(t, want, checkOptions("openvino", map[string]string{"device_type": value}) == nil, "%q", value)
	}
}

func TestHasDevice(t *testing.T) {
	dir := t.TempDir()
	assert.True(t, Variant{ID: "cpu"}.HasDevice(), "it needs none")
	assert.True(t, Variant{Devices: []string{dir + "/none*", dir}}.HasDevice(), "one of several is enough")
	assert.Equal(t, !(runtime.GOOS == "linux"), Variant{Devices: []string{dir + "/none*"}}.HasDevice(), "elsewhere nobody looks")
}

// Options reach the provider, and what it can't have is refused before it is asked.
func TestOptions(t *testing.T) {
	assert.Equal(t, map[string]string{"a": "1", "b": "3", "c": "4"}, merge(map[string]string{"a": "1", "b": "2"}, nil, map[string]string{"b": "3", "c": "4"}))
	own := map[string]string{"ModelFormat": "Paper"}
	assert.EqualError(t, appendProvider(nil, Options{Provider: "coreml", ProviderOptions: own}), `option ModelFormat of coreml can't be "Paper"; give NeuralNetwork or MLProgram`)
	assert.EqualError(t, appendProvider(nil, Options{Provider: "webgpu-plugin"}), "webgpu-plugin comes in a library of its own, and none was named; set POSETEST_PLUGINS=webgpu-plugin=PATH")
	assert.ErrorContains(t, appendProvider(nil, Options{Provider: "coreml-turbo"}), `posetest knows no execution provider "coreml-turbo"`)
}
