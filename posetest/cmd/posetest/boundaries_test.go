package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ConvInteger's boundary, with runtimes that are installed: nothing is downloaded. Releases between that somebody bisected
// before are looked at, too.
func TestBisectRun(t *testing.T) {
	for _, id := range []string{ort, "1.24.4"} {
		installedRuntime(t, id)
	}
	h := newHouse(t, "int8")
	h.write(t)
	args := []string{"bisect", "--dir", h.dir, "--offline", "--model", "movenet-lightning", "--precision", "int8"}
	r := command(t, nil, append(args, "--from", ort, "--to", "1.24.4")...)
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.Regexp(t, `movenet-lightning int8 on cpu: fails up to 1\.23\.2, loads from 1\.24\.\d on\n$`, r.err.String())
	assert.Contains(t, r.err.String(), "  1.23.2: fails: Could not find an implementation for ConvInteger(10) node with name")
	table, err := expect.Parse(r.out.Bytes(), "rows")
	require.NoError(t, err, "the rows are ready for the table:\n%s", r.out.String())
	require.Len(t, table, 2)
	at := func(i int, version string) bool {
		return table[i].Matches(expect.Place{Cell: observe.Cell{Model: "movenet-lightning", Precision: "int8", Provider: "cpu"}, Distribution: "onnxruntime", Version: version})
	}
	assert.Equal(t, []any{observe.Fails, "ConvInteger", 10, "no kernel for signed weights"}, []any{table[0].Want, table[0].Op, table[0].Opset, table[0].Why})
	assert.Equal(t, []any{observe.Loads, expect.Nobody}, []any{table[1].Want, table[1].Finds})
	assert.NotEmpty(t, table[1].Why)
	assert.True(t, at(0, "1.23.2") && !at(0, "1.24.4") && at(1, "1.24.4") && !at(1, "1.23.2"), "each side has its row")

	r = command(t, nil, append(args, "--from", "1.24.4", "--to", "1.24.4")...)
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.Contains(t, r.err.String(), "loads in 1.24.4 and in 1.24.4, so that nothing changes between them")
	assert.Empty(t, r.out.String())

	r = command(t, nil, append(args, "--from", ort, "--to", "1.24.4", "--by", "keypoints")...)
	assert.Equal(t, exitNotJudged, r.exit(t))
	assert.Contains(t, r.err.String(), "does not load in 1.23.2", "there is nothing to compare with")
}

func TestBisectBadInput(t *testing.T) {
	h := newHouse(t, "int8")
	h.write(t)
	for _, row := range []struct {
		why  string
		args []string
		want string
	}{
		{"no model", nil, "name a --model: one of"},
		{"no precision", []string{"--model", "movenet-lightning"}, "goes with its --precision"},
		{"a file without its family", []string{"--model", "x.onnx"}, "goes with its --family"},
		{"an unknown model", []string{"--model", "nobody", "--precision", "int8"}, `models: "nobody" is unknown; choose from movenet-lightning`},
		{"an unknown outcome", []string{"--model", "movenet-lightning", "--precision", "int8", "--by", "luck"}, `--by "luck" must be one of load, placement, keypoints, speed`},
		{"a share of nothing", []string{"--model", "movenet-lightning", "--precision", "int8", "--more-than", "5%"}, `--more-than "5%" must be a percentage such as 10%, and goes with --by speed`},
		{"no percentage", []string{"--model", "movenet-lightning", "--precision", "int8", "--by", "speed", "--more-than", "much"}, `--more-than "much" must be a percentage`},
		{"a release that is too old", []string{"--model", "movenet-lightning", "--precision", "int8", "--from", "1.21.0"}, "onnxruntime@1.21.0 is older than 1.22, the oldest ONNX Runtime that posetest can open"},
		{"the wrong way round", []string{"--model", "movenet-lightning", "--precision", "int8", "--from", "1.32.0", "--to", "1.22.1"}, "onnxruntime@1.22.1 comes before onnxruntime@1.32.0; swap --from and --to"},
		{"two distributions", []string{"--model", "movenet-lightning", "--precision", "int8", "--from", "1.22.1", "--to", "openvino-1.24.1"}, "are of two distributions"},
		{"no release", []string{"--model", "movenet-lightning", "--precision", "int8", "--from", "first"}, `"first" is no runtime`},
	} {
		t.Run(row.why, func(t *testing.T) {
			r := command(t, nil, append([]string{"bisect", "--dir", h.dir, "--offline"}, row.args...)...)
			assert.Equal(t, exitNotJudged, r.exit(t))
			assert.Contains(t, r.sentence(t), row.want)
			assert.Empty(t, r.out.String())
		})
	}
}

// The failure of the story, in one node and without its weights.
func TestReduceRun(t *testing.T) {
	installed(t)
	out := filepath.Join(t.TempDir(), "small.onnx")
	r := command(t, nil, "reduce", filepath.Join(repository, "models/movenet-lightning-int8.onnx"), "--runtime", ort, "-o", out)
	require.Equal(t, 0, r.exit(t), r.err.String())
	g, err := onnx.ReadGraphFile(out)
	require.NoError(t, err)
	require.Len(t, g.Nodes, 1)
	assert.Equal(t, "ConvInteger", g.Nodes[0].Op)
	stat, err := os.Stat(out)
	require.NoError(t, err)
	assert.Less(t, stat.Size(), int64(2000))
	assert.Contains(t, r.out.String(), "1 of 634 nodes (ConvInteger)")
	assert.Contains(t, r.out.String(), "fails: Could not find an implementation for ConvInteger(10) node with name 'model/")
	assert.Contains(t, r.out.String(), "in 3 of 3 tries")
	assert.Contains(t, r.out.String(), "pip install onnxruntime==1.23.2")

	again := command(t, nil, "reduce", out, "--runtime", ort, "-o", out)
	require.Equal(t, 0, again.exit(t), again.err.String())
	assert.Contains(t, again.out.String(), "1 of 1 nodes (ConvInteger)", "the smallest has the failure, and nothing smaller")
}

func TestReduceBadInput(t *testing.T) {
	installed(t)
	page := filepath.Join(t.TempDir(), "page.onnx")
	require.NoError(t, os.WriteFile(page, []byte("<!DOCTYPE html>"), 0o644))
	model := filepath.Join(repository, "models/movenet-lightning.onnx")
	for _, row := range []struct {
		why  string
		args []string
		want string
	}{
		{"it loads", []string{model, "--runtime", ort}, "there is nothing to reduce"},
		{"no model", []string{page, "--runtime", ort}, "is no ONNX model"},
		{"no file", []string{"gone.onnx", "--runtime", ort}, "model gone.onnx: "},
		{"no runtime", []string{model}, "a model is reduced in one runtime; name one of"},
		{"two runtimes", []string{model, "--runtime", ort + ",1.24.4"}, "a model is reduced in one runtime"},
		{"an unknown provider", []string{model, "--runtime", ort, "--provider", "abacus"}, `provider "abacus" is unknown; choose from`},
		{"a provider that the runtime lacks", []string{model, "--runtime", ort, "--provider", "openvino"}, "provider openvino is not in 1.23.2"},
		{"tries below none", []string{model, "--runtime", ort, "--tries", "-1"}, "--tries -1 must be 1 or more"},
	} {
		t.Run(row.why, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "small.onnx")
			r := command(t, []string{"POSETEST_OFFLINE=1"}, append([]string{"reduce", "-o", out}, row.args...)...)
			assert.Equal(t, exitNotJudged, r.exit(t))
			assert.Contains(t, r.sentence(t), row.want)
			assert.NoFileExists(t, out)
		})
	}
}

// A model without a family is opened, as reduce does, and can't infer.
func TestOpenWithoutFamily(t *testing.T) {
	library := installed(t)
	w, err := worker.Start(t.Context(), worker.Spec{})
	require.NoError(t, err)
	defer w.Close()
	_, _, err = w.OpenLibrary(t.Context(), library)
	require.NoError(t, err)
	head, err := onnx.ReadFile(filepath.Join(repository, "models/movenet-lightning.onnx"))
	require.NoError(t, err)
	_, err = w.Open(t.Context(), worker.Model{Path: filepath.Join(repository, "models/movenet-lightning.onnx"), Provider: "cpu", Inputs: head.Inputs, Outputs: head.Outputs})
	require.NoError(t, err)
	_, err = w.Infer(t.Context(), worker.Inference{Image: filepath.Join(repository, "fixtures/astronaut.png")})
	var refusal *worker.Refusal
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, worker.Misuse, refusal.Kind)
	assert.Contains(t, refusal.Message, "infer comes after open, of a model with a family")
}
