package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/expect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The file of the story, of the model that may be committed: what it is, where it fails, in which words, why, and what to run.
func TestDiagnoseCommand(t *testing.T) {
	r := command(t, nothing(t), "diagnose", filepath.Join(repository, "models", "movenet-lightning-int8.onnx"), "--platform", "linux/amd64")
	require.Equal(t, 0, r.exit(t), r.err.String())
	for _, line := range []string{
		"  format      IR 8, opset 17, by onnx.quantize 0.1.0\n",
		"  inputs      input int32 [1,192,192,3]\n",
		"  parameters  2,325,407\n",
		"  operators   634: 155 Mul, 86 Add, 84 Cast, ",
		"  quantized   dynamic; 74 × weights int8 per tensor; 74 × activations uint8\n",
		"on linux/amd64, predicted from the file alone:\n  fails       cpu@1.22.1, 1.23.2, ",
		"              in these words: Could not find an implementation for ConvInteger(10) node with name 'model/Conv1_relu/Relu6_BiasAdd/Conv_quant'\n",
		"              74 ConvInteger nodes take signed weights; ONNX Runtime before 1.24 has no cpu kernel for them (https://github.com/microsoft/onnxruntime/pull/26585)\n",
		"  wrong       cpu@1.24.4, ",
		"              slow: 3 to 7 times the run time of fp32\n",
		"  in no build coreml, directml, xnnpack\n",
		"instead:\n  quantize statically, one scale a channel: scripts/quantize.py ",
	} {
		assert.Contains(t, r.out.String(), line)
	}
	assert.NotContains(t, r.out.String(), "\x1b", "colours are for a terminal")
	assert.Empty(t, r.err.String())
}

func TestDiagnoseJSON(t *testing.T) {
	r := command(t, nothing(t), "diagnose", "--json", filepath.Join(repository, "models", "movenet-lightning-int8-qop.onnx"), "--platform", "linux/amd64")
	require.Equal(t, 0, r.exit(t), r.err.String())
	dec := json.NewDecoder(bytes.NewReader(r.out.Bytes()))
	dec.DisallowUnknownFields()
	var d posetest.Diagnosis
	require.NoError(t, dec.Decode(&d))
	assert.Equal(t, "QOperator", d.Model.Quantization.Format)
	classes := map[string]expect.Class{}
	for _, c := range d.Cells {
		classes[c.Provider+"@"+c.ORT] = c.Class
	}
	assert.Equal(t, expect.ClassCrashes, classes["openvino@openvino-1.23.0"])
	assert.Equal(t, expect.ClassFallsBack, classes["openvino@openvino-1.24.1"])
	assert.Equal(t, expect.ClassLoads, classes["cpu@1.32.0"])
	assert.Equal(t, expect.ClassUnavailable, classes["coreml@1.32.0"])
}

// What a Mac will make of it is told anywhere.
func TestDiagnosePlatform(t *testing.T) {
	r := command(t, nothing(t), "diagnose", filepath.Join(repository, "models", "movenet-lightning-int8.onnx"), "--platform", "darwin/arm64")
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.Contains(t, r.out.String(), "  fails       coreml@1.22.1, 1.23.2\n              in these words: Could not find an implementation for ConvInteger(10) node")
}

func TestDiagnoseRefused(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(repository, "models", "movenet-lightning.onnx"))
	require.NoError(t, err)
	for _, row := range []struct {
		name string
		make func(t *testing.T, path string)
		args []string
		says []string
	}{
		{name: "missing", make: func(*testing.T, string) {}, says: []string{"no such file", "check the path"}},
		{name: "empty", make: content(nil), says: []string{"the file is empty"}},
		{name: "truncated", make: content(whole[:len(whole)/2]), says: []string{"cut short", "export or download it again"}},
		{name: "garbage", make: content([]byte("<!DOCTYPE html><title>404</title>")), says: []string{"no ONNX model"}},
		{name: "4 GB", make: sparse(4 << 30), says: []string{"4294967296 bytes", "protobuf's limit of 2 GiB", "external data"}},
		{name: "no such platform", make: content(whole), args: []string{"--platform", "plan9/mips"}, says: []string{"no runtime is known for plan9/mips", "darwin/arm64 linux/amd64"}},
		{name: "no such runtime", make: content(whole), args: []string{"--run", "--runtimes", "9.9.9", "--dir", repository}, says: []string{`"9.9.9" is unknown`}},
		{name: "wrong family", make: content(whole), args: []string{"--run", "--family", "yolov8-pose", "--dir", repository}, says: []string{"looks like movenet"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "their.onnx")
			row.make(t, path)
			r := command(t, nothing(t), append([]string{"diagnose", path}, row.args...)...)
			require.Equal(t, 2, r.exit(t), r.out.String())
			for _, words := range row.says {
				assert.Contains(t, r.sentence(t), words)
			}
			assert.Empty(t, r.out.String())
		})
	}
}

// With --run what happens stands beside what was predicted.
func TestDiagnoseRun(t *testing.T) {
	installed(t)
	for _, row := range []struct{ precision, class string }{{"int8", "fails"}, {"int8-qdq-pt", "wrong"}, {"fp32", "loads"}} {
		t.Run(row.precision, func(t *testing.T) {
			file := strings.TrimSuffix("movenet-lightning-"+row.precision, "-fp32") + ".onnx"
			r := command(t, nil, "diagnose", "--run", "--dir", repository, "--runtimes", ort, filepath.Join(repository, "models", file))
			require.Equal(t, 0, r.exit(t), "%s%s", r.out.String(), r.err.String())
			assert.Contains(t, r.out.String(), "\nobserved: as predicted in 1 of 1 cells that ran\n  cpu@"+ort+": "+row.class+"\n")
		})
	}
}

// Names in a hostile file do not reach the terminal as its commands.
func TestPrintable(t *testing.T) {
	assert.Equal(t, "a  [31mb c", printable("a\x07\x1b[31mb\rc"))
	assert.Equal(t, "1,234,567", thousands(1234567))
	assert.Equal(t, "567", thousands(567))
}
