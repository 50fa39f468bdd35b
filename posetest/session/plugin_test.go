package session_test

import (
	"os"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A build without the tag says how to get one that can register a plug-in, and opens no library.
func TestPluginNeedsItsBuild(t *testing.T) {
	before := libraries(t)
	o := options("movenet-lightning.onnx", "webgpu-plugin")
	o.Plugin = "/nowhere/libonnxruntime_providers_webgpu.so"
	_, _, err := session.Open(o)
	var unavailable *session.UnavailableError
	require.ErrorAs(t, err, &unavailable)
	assert.Equal(t, "this build of posetest can't register webgpu-plugin: build it with `make ortplugin`", unavailable.Message)
	assert.Equal(t, before, libraries(t))
}

// The second build differs from the first in the binding, and in nothing else.
func TestPluginModule(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(text)
	}
	const binding = "github.com/yalue/onnxruntime_go "
	first, second := strings.Split(read("../../go.mod"), "\n"), strings.Split(read("../../tools/ortplugin.mod"), "\n")
	require.Len(t, second, len(first), "run `sed 's|onnxruntime_go v.*|onnxruntime_go v1.31.0|' go.mod >tools/ortplugin.mod`")
	for i, line := range first {
		if strings.Contains(line, binding) {
			assert.Contains(t, second[i], binding)
			assert.NotEqual(t, line, second[i])
			continue
		}
		assert.Equal(t, line, second[i], "line %d of tools/ortplugin.mod", i+1)
	}
	assert.Subset(t, strings.Split(read("../../tools/ortplugin.sum"), "\n"), strings.Split(read("../../go.sum"), "\n"), "tools/ortplugin.sum")
}
