package session_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ort "github.com/yalue/onnxruntime_go"
)

// Outputs that are bound to a device are those of a plain run. The device is the processor here, which differs from a graphics
// processor by the name of its memory.
func TestBindOnDevice(t *testing.T) {
	o := options("movenet-lightning.onnx", "cpu")
	o.Library = libraryPath
	s, _, err := session.Open(o)
	require.NoError(t, err)
	defer s.Close()
	outputs, _, err := s.Run(dots(1))
	require.NoError(t, err)
	want := slices.Clone(outputs[0].Data.([]float32))

	b, err := s.BindOnDevice(dots(1))
	require.NoError(t, err)
	defer b.Close()
	for range 2 {
		require.NoError(t, b.Run())
		values, err := b.Values()
		require.NoError(t, err)
		require.Len(t, values, 1)
		got, ok := values[0].(*ort.Tensor[float32])
		require.True(t, ok, "%T", values[0])
		assert.Equal(t, want, got.GetData())
		require.NoError(t, values[0].Destroy())
	}
	assert.Empty(t, b.Outputs, "they are not to be read")

	_, err = s.BindOnDevice()
	assert.EqualError(t, err, "bind: a run needs at least one input")
	s.OnMemory("Nowhere", 7)
	_, err = s.BindOnDevice(dots(1))
	assert.ErrorContains(t, err, `bind outputs in memory "Nowhere" of device 7: `)
	assert.NotRegexp(t, `: $`, err.Error(), "the runtime's own words follow")
	s.Forget()
	_, err = s.BindOnDevice(dots(1))
	assert.EqualError(t, err, "bind on the device: the path of the runtime's library is not known; give it in Options")
	_, _, err = s.Run(dots(1))
	assert.NoError(t, err, "the session goes on")
}

func TestDeviceMemory(t *testing.T) {
	for id, want := range map[string]string{"cuda": "Cuda", "cuda-1": "Cuda", "tensorrt-fp16": "Cuda", "cpu": "", "openvino": "", "abacus": ""} {
		assert.Equal(t, want, session.DeviceMemory(id), id)
	}
}

// What is called without the binding is where the binding's own header has it.
func TestPlaces(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "onnxruntime_c_api.h"))
	require.NoError(t, err)
	assert.Contains(t, string(text), fmt.Sprintf("#define ORT_API_VERSION %d\n", session.APIVersion))
	_, api, found := strings.Cut(string(text), "\nstruct OrtApi {")
	require.True(t, found)
	api, _, found = strings.Cut(api, "\n};")
	require.True(t, found)
	api = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`).ReplaceAllString(api, "")
	name := regexp.MustCompile(`ORT_API2_STATUS\(\s*(\w+)|ORT_CLASS_(RELEASE)\(\s*(\w+)|\(\s*(?:ORT_API_CALL)?\s*\*\s*(\w+)\s*\)`)
	places := map[string]int{}
	n := 0
	for member := range strings.SplitSeq(api, ";") {
		if strings.TrimSpace(member) == "" {
			continue
		}
		m := name.FindStringSubmatch(member)
		require.NotNil(t, m, "a member of OrtApi that this test does not read: %s", member)
		full := m[1] + m[3] + m[4]
		if m[2] != "" {
			full = "Release" + full
		}
		places[full] = n
		n++
	}
	for function, place := range session.Places {
		at, known := places[function]
		assert.True(t, known, function)
		assert.Equal(t, at, place, function)
	}
}

// A provider that opens nothing is unavailable; one that opens another model is not, whatever becomes of this one.
func TestStarts(t *testing.T) {
	assert.True(t, options("", "cpu").Starts())
	for _, provider := range []string{"cuda", "webgpu", "abacus"} {
		assert.False(t, options("", provider).Starts(), provider)
	}
}
