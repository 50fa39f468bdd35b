package posetest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/choose"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shipped has each kind of row, and characters that JSON and Go have their own ways with.
const shipped = `[[row]]
model = "pose"
precision = "fp32 int8-qdq"
provider = "cpu"
want = "loads"
drift.int8-qdq = { mode = "jitter", kept = 1 }
status = "verified linux/amd64 2026-11-24"

[[row]]
model = "pose other"
precision = "int8"
provider = "cpu"
ort = "<1.24"
want = "fails"
message = "no ` + "`kernel`" + ` for <ConvInteger> & 'node' in \"{model}\""
why = "signed weights"
see = "https://example.org/26585"
status = "verified linux/amd64 2026-11-24"

[[row]]
precision = "int8"
provider = "cpu"
ort = ">=1.24"
want = "crashes"
sometimes = "loads"
owner = "us"
see = "https://example.org/838"
until = 2027-02-22
signal = "SIGSEGV"
during = "open"
why = "a fault"
status = "verified linux/amd64 2026-11-24"

[[row]]
provider = "openvino"
distribution = "onnxruntime-openvino"
platform = "linux/amd64"
want = "loads"
placement = { CPUExecutionProvider = 3, OpenVINOExecutionProvider = 1 }
why = "it takes little"
status = "unverified"

[[row]]
model = "gone"
want = "loads"
status = "unverified"

[[speed]]
precision = "int8-qdq"
isa = "avx2 vnni"
at_least = 1.2
why = "measured"
status = "verified linux/amd64 2026-11-24"
`

// What apps have shipped is what is written today: whoever changes the format sees it here, and counts [choose.Format] up if a
// reader of yesterday would take it wrongly.
func TestShippedTable(t *testing.T) {
	models := []catalog.Model{{ID: "pose", Precision: "int8", File: "pose-int8.onnx", SHA256: "22"}, {ID: "pose", Precision: "fp32", File: "pose.onnx", SHA256: "11"},
		{ID: "pose", Precision: "int8-qdq", File: "pose-int8-qdq.onnx", SHA256: "33"}}
	cpu, openvino := []string{"cpu"}, []string{"cpu", "openvino"}
	runtimes := []ortlib.Runtime{
		{Distribution: "onnxruntime", Version: "1.22.1", Platforms: map[string]ortlib.Platform{"linux/amd64": {Providers: cpu}, "darwin/arm64": {Providers: []string{"cpu", "coreml"}}}},
		{Distribution: "onnxruntime-openvino", Version: "1.24.1", Platforms: map[string]ortlib.Platform{"linux/amd64": {Providers: openvino}}},
	}
	rows, err := expect.Parse([]byte(shipped), "golden/support.toml")
	require.NoError(t, err)
	speeds, err := expect.ParseSpeeds([]byte(shipped), "golden/support.toml")
	require.NoError(t, err)
	table := posetest.Embed(models, runtimes, rows, speeds)
	text, err := posetest.SupportJSON(table)
	require.NoError(t, err)
	source, err := posetest.SupportGo(table, "support")
	require.NoError(t, err)
	for name, got := range map[string][]byte{"support.json": text, "support.go.txt": source} {
		path := filepath.Join("choose", "testdata", name)
		if *update {
			require.NoError(t, os.WriteFile(path, got, 0o644))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err, "make it with go test ./posetest -run TestShippedTable -update")
		assert.Equal(t, string(want), string(got), "if it is meant to be so: go test ./posetest -run TestShippedTable -update")
		if name == "support.json" {
			read, err := choose.Parse(want)
			require.NoError(t, err)
			assert.Equal(t, table, read)
		}
	}
}

func TestSupportGoRefuses(t *testing.T) {
	for _, name := range []string{"", "_", "a-b", "type", "1st"} {
		_, err := posetest.SupportGo(choose.Table{}, name)
		assert.ErrorContains(t, err, "is no name of a Go package; give one such as support", name)
		assert.ErrorIs(t, err, posetest.ErrSetup)
	}
}
