package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/stretchr/testify/require"
)

const (
	repository = "../../.."
	ort        = "1.23.2" // the runtime that these tests run; one of the default set
)

// installed is the library of that runtime, which is installed where it is missing. A machine where it can't be skips,
// CI excepted.
func installed(t *testing.T) string {
	t.Helper()
	return installedRuntime(t, ort)
}

func installedRuntime(t *testing.T, id string) string {
	t.Helper()
	known, err := ortlib.Known()
	require.NoError(t, err)
	runtimes, err := ortlib.Select(known, id)
	require.NoError(t, err)
	store := ortlib.Store{Offline: os.Getenv("POSETEST_OFFLINE") == "1", Log: os.Stderr}
	if cache := os.Getenv("POSETEST_CACHE"); cache != "" {
		store.Dir = filepath.Join(cache, "runtimes")
	}
	library, err := store.Install(t.Context(), runtimes[0])
	if err != nil && os.Getenv("CI") == "" && os.Getenv("POSETEST_REQUIRE") == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	return library
}

// A house is a folder with a catalogue, photographs and a support table of its own: MoveNet alone, and few photographs,
// so that a run takes a second.
type house struct {
	dir      string
	models   map[string][]map[string]any // as in models.json
	fixtures map[string][]map[string]any // as in fixtures.json
	table    string
}

// rightTable is what MoveNet does in the runtime of these tests, on cpu.
const rightTable = `
[[row]]
precision = "fp32"
provider = "cpu"
want = "loads"
status = "verified linux/amd64 2026-11-24"

[[row]]
precision = "int8"
provider = "cpu"
want = "fails"
message = "Could not find an implementation for ConvInteger(10) node with name 'model/Conv1_relu/Relu6_BiasAdd/Conv_quant'"
op = "ConvInteger"
opset = 10
node = "model/Conv1_relu/Relu6_BiasAdd/Conv_quant"
why = "no kernel for signed weights"
status = "verified linux/amd64 2026-11-24"

[[row]]
precision = "uint8"
provider = "cpu"
want = "loads"
finds = "nobody"
why = "collapsed"
status = "verified linux/amd64 2026-11-24"

# what these tests do not run

[[row]]
provider = "coreml coreml-static coreml-cpu coreml-mlprogram coreml-mlprogram-static coreml-mlprogram-cpu coreml-mlprogram-gpu coreml-mlprogram-ane cuda cuda-1 cuda-notf32 directml directml-1 openvino openvino-gpu openvino-npu openvino-plugin tensorrt tensorrt-1 tensorrt-fp16 tensorrt-int8 webgpu webgpu-plugin xnnpack"
want = "unavailable"
why = "not asked for"
status = "unverified"
`

// newHouse makes a house with MoveNet in these precisions. Its files are written by write, so that a test can change them before.
func newHouse(t *testing.T, precisions ...string) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), models: readList(t, "models/models.json"), fixtures: readList(t, "fixtures/fixtures.json"), table: rightTable}
	h.models["models"] = slices.DeleteFunc(h.models["models"], func(m map[string]any) bool {
		return m["id"] != "movenet-lightning" || !slices.Contains(precisions, m["precision"].(string))
	})
	h.fixtures["fixtures"] = slices.DeleteFunc(h.fixtures["fixtures"], func(f map[string]any) bool {
		return f["id"] != "astronaut" && f["id"] != "grace_hopper"
	})
	require.Len(t, h.models["models"], len(precisions))
	require.Len(t, h.fixtures["fixtures"], 2)
	for _, m := range h.models["models"] {
		copyFile(t, filepath.Join(repository, "models", m["file"].(string)), filepath.Join(h.dir, "models", m["file"].(string)))
	}
	for _, f := range h.fixtures["fixtures"] {
		copyFile(t, filepath.Join(repository, "fixtures", f["file"].(string)), filepath.Join(h.dir, "fixtures", f["file"].(string)))
	}
	return h
}

// write lays down the lists and the table.
func (h *house) write(t *testing.T) {
	t.Helper()
	for name, list := range map[string]any{"models/models.json": h.models, "fixtures/fixtures.json": h.fixtures} {
		text, err := json.MarshalIndent(list, "", "  ")
		require.NoError(t, err)
		h.file(t, name, string(text))
	}
	h.file(t, "golden/support.toml", h.table)
}

func (h *house) file(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(h.dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// model is the house's file of a precision.
func (h *house) model(precision string) string {
	i := slices.IndexFunc(h.models["models"], func(m map[string]any) bool { return m["precision"] == precision })
	return filepath.Join(h.dir, "models", h.models["models"][i]["file"].(string))
}

// replace changes the one place of text where old stands.
func replace(t *testing.T, text, old, new string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(text, old), "places of %q", old)
	return strings.Replace(text, old, new, 1)
}

// readList reads models.json or fixtures.json with all that it holds, so that it can be written again.
func readList(t *testing.T, name string) map[string][]map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, filepath.FromSlash(name)))
	require.NoError(t, err)
	var all map[string]any
	require.NoError(t, json.Unmarshal(text, &all))
	delete(all, "annotations") // how they were made
	text, err = json.Marshal(all)
	require.NoError(t, err)
	var list map[string][]map[string]any
	require.NoError(t, json.Unmarshal(text, &list))
	return list
}

// copyFile copies a file of the repository, so that no test can write to it through a link.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	require.NoError(t, os.WriteFile(to, text, 0o644))
}

// sum is a file's sha256.
func sum(t *testing.T, path string) string {
	t.Helper()
	s, err := catalog.Sum(path)
	require.NoError(t, err)
	return s
}
