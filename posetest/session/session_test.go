package session_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain opens one runtime of the default set, installing it if need be: a process can open no second.
func TestMain(m *testing.M) {
	if err := open(); err != nil {
		fmt.Fprintln(os.Stderr, "session tests need a runtime:", err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

const (
	runtimeID = "1.23.2" // the last whose cpu provider has no kernel for signed weights
	models    = "../../models/"
)

// libraryPath is of the runtime that is open.
var libraryPath string

// beforeOpen is what OpenLibrary and Open say while no runtime is open; there is no other time to ask.
var beforeOpen struct{ nowhere, noLibrary, tooEarly error }

func open() error {
	var store ortlib.Store
	if cache := os.Getenv("POSETEST_CACHE"); cache != "" {
		store.Dir = filepath.Join(cache, "runtimes")
	}
	store.Offline, store.Log = os.Getenv("POSETEST_OFFLINE") == "1", os.Stderr
	known, err := ortlib.Known()
	if err != nil {
		return err
	}
	selected, err := ortlib.Select(known, runtimeID)
	if err != nil {
		return err
	}
	path, err := store.Install(context.Background(), selected[0])
	if err != nil {
		return err
	}
	_, _, beforeOpen.tooEarly = session.Open(options("movenet-lightning.onnx", "cpu"))
	_, beforeOpen.nowhere = session.OpenLibrary("/nowhere/libonnxruntime.so")
	_, beforeOpen.noLibrary = session.OpenLibrary("session_test.go")
	libraryPath = path
	version, err := session.OpenLibrary(path)
	if err == nil && version != runtimeID {
		err = fmt.Errorf("%s says that it is %s", path, version)
	}
	return err
}

func options(model, provider string) session.Options {
	return session.Options{Model: models + model, Provider: provider, Threads: 1,
		Inputs:  []tensor.Info{{Name: "input", Type: "int32", Shape: []int64{1, 192, 192, 3}}},
		Outputs: []tensor.Info{{Name: "output_0", Type: "float32", Shape: []int64{1, 1, 17, 3}}}}
}

// grey is an image of one colour.
func grey(level int32) tensor.Tensor {
	data := make([]int32, 192*192*3)
	for i := range data {
		data[i] = level
	}
	return tensor.Tensor{Name: "input", Shape: []int64{1, 192, 192, 3}, Data: data}
}

func openMoveNet(t testing.TB) *session.Session {
	t.Helper()
	s, load, err := session.Open(options("movenet-lightning.onnx", "cpu"))
	require.NoError(t, err)
	require.Positive(t, load)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestLibraryErrors(t *testing.T) {
	second := func() error { _, err := session.OpenLibrary("/other/libonnxruntime.so"); return err }()
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"no file", beforeOpen.nowhere, "runtime library /nowhere/libonnxruntime.so: "},
		{"no file says why", beforeOpen.nowhere, "o such file"},
		{"no library says what to do", beforeOpen.noLibrary, "; give the path of an ONNX Runtime library for this machine, or install one with `posetest runtime install`"},
		{"a second one", second, "runtime library /other/libonnxruntime.so: ONNX Runtime 1.23.2 is open already, and a process can open only one; start another worker"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var library *session.LibraryError
			require.ErrorAs(t, test.err, &library)
			assert.ErrorContains(t, test.err, test.want)
		})
	}
	assert.ErrorContains(t, beforeOpen.tooEarly, "session options: ")
}

func TestRun(t *testing.T) {
	s := openMoveNet(t)
	first, took, err := s.Run(grey(0))
	require.NoError(t, err)
	assert.Positive(t, took)
	require.Len(t, first, 1)
	assert.Equal(t, "output_0", first[0].Name)
	assert.Equal(t, []int64{1, 1, 17, 3}, first[0].Shape)
	data, ok := first[0].Data.([]float32)
	require.True(t, ok, "%T", first[0].Data)
	require.Len(t, data, 17*3)
	black := slices.Clone(data)

	second, _, err := s.Run(grey(200))
	require.NoError(t, err)
	assert.Same(t, &data[0], &second[0].Data.([]float32)[0], "the output's memory is used again")
	assert.NotEqual(t, black, data, "and the run wrote it")
	again, _, err := s.Run(grey(0))
	require.NoError(t, err)
	assert.Equal(t, black, again[0].Data, "the same input gives the same output")
}

// An output with a free dimension may change its shape from run to run: it is made anew.
func TestRunOfFreeOutput(t *testing.T) {
	o := options("movenet-lightning.onnx", "cpu")
	o.Outputs[0].Shape = []int64{1, 1, -1, 3}
	s, _, err := session.Open(o)
	require.NoError(t, err)
	defer s.Close()
	first, _, err := s.Run(grey(0))
	require.NoError(t, err)
	black := slices.Clone(first[0].Data.([]float32))
	second, _, err := s.Run(grey(0))
	require.NoError(t, err)
	assert.Equal(t, []int64{1, 1, 17, 3}, second[0].Shape)
	assert.Equal(t, black, second[0].Data)
}

// What can't be run is an error in one sentence, and the session goes on.
func TestRunErrors(t *testing.T) {
	s := openMoveNet(t)
	shaped := func(data any, shape ...int64) []tensor.Tensor {
		return []tensor.Tensor{{Name: "input", Shape: shape, Data: data}}
	}
	for _, test := range []struct {
		name  string
		input []tensor.Tensor
		want  string
	}{
		{"another shape", shaped(make([]int32, 3*192*192), 1, 3, 192, 192), "Got invalid dimensions for input: input"},
		{"another rank", shaped(make([]int32, 3*192*192), 192, 192, 3), "Invalid rank for input: input"},
		{"another type", shaped(make([]float32, 192*192*3), 1, 192, 192, 3), "Unexpected input data type"},
		{"a type that no model takes", shaped(make([]complex64, 1), 1), "input input: no tensors of []complex64"},
		{"no data", shaped(nil, 1, 192, 192, 3), "input input: no tensors of <nil>"},
		{"fewer elements than its shape", shaped(make([]int32, 5), 1, 192, 192, 3), "input input: has 5 elements, shape [1 192 192 3] wants 110592"},
		{"more elements than its shape", shaped(make([]int32, 192*192*3+1), 1, 192, 192, 3), "input input: has 110593 elements, shape [1 192 192 3] wants 110592"},
		{"a negative dimension", shaped([]int32{1}, -1, -1), "Invalid tensor shape"},
		{"no shape", shaped([]int32{1}), "input input: "},
		{"no input", nil, "a run needs at least one input"},
		{"two inputs", []tensor.Tensor{grey(0), grey(0)}, "specified 1 input names"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := s.Run(test.input...)
			require.ErrorContains(t, err, test.want)
			_, _, err = s.Run(grey(0))
			require.NoError(t, err, "the next run")
		})
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile(models + "movenet-lightning.onnx")
	require.NoError(t, err)
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o644))
		return path
	}
	for _, test := range []struct {
		name, model string
		want        string
	}{
		{"no file", filepath.Join(dir, "none.onnx"), "Load model from {model} failed:"},
		{"an empty file", file("empty.onnx", nil), "ModelProto does not have a graph."},
		{"garbage", file("garbage.onnx", []byte("this is no model")), "Load model from {model} failed:Protobuf parsing failed."},
		{"a file cut short", file("cut.onnx", whole[:len(whole)/2]), "Load model from {model} failed:Protobuf parsing failed."},
		{"no path", "", "failed:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options("", "cpu")
			o.Model = test.model
			_, _, err := session.Open(o)
			var load *session.LoadError
			require.ErrorAs(t, err, &load)
			assert.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), dir)
			assert.Nil(t, load.Missing)
			var missing *session.MissingKernelError
			assert.False(t, errors.As(err, &missing))
		})
	}
}

// The file that started it all, on the last runtime that can't load it.
func TestMissingKernel(t *testing.T) {
	_, _, err := session.Open(options("movenet-lightning-int8.onnx", "cpu"))
	var missing *session.MissingKernelError
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, session.MissingKernelError{Op: "ConvInteger", Opset: 10, Node: "model/Conv1_relu/Relu6_BiasAdd/Conv_quant"}, *missing)
	assert.EqualError(t, missing, "no kernel for ConvInteger(10) at node model/Conv1_relu/Relu6_BiasAdd/Conv_quant")
	assert.EqualError(t, err, "Could not find an implementation for ConvInteger(10) node with name 'model/Conv1_relu/Relu6_BiasAdd/Conv_quant'")
}

// Every provider that can be asked for, and one that can't, says in its own words that it is not in this build.
func TestProviders(t *testing.T) {
	want := map[string]string{
		"cuda":     "CUDA execution provider is not enabled in this build.",
		"directml": "Specified provider is not supported.",
		"openvino": "Failed to load shared library",
		"tensorrt": "TensorRT execution provider is not enabled in this build.",
		"webgpu":   "WebGPU execution provider is not supported in this build.",
		"xnnpack":  "XNNPACK execution provider is not supported in this build.",
		"coreml":   "CoreML execution provider is not supported in this build.",
	}
	assert.Equal(t, []string{"coreml", "cpu", "cuda", "directml", "openvino", "tensorrt", "webgpu", "xnnpack"}, session.Providers())
	known, err := ortlib.Known()
	require.NoError(t, err)
	selected, err := ortlib.Select(known, runtimeID)
	require.NoError(t, err)
	here, err := selected[0].Here()
	require.NoError(t, err)
	for _, provider := range session.Providers() {
		assert.Regexp(t, `^\w+ExecutionProvider$`, session.RuntimeName(provider))
		if slices.Contains(here.Providers, provider) {
			continue
		}
		t.Run(provider, func(t *testing.T) {
			_, _, err := session.Open(options("movenet-lightning.onnx", provider))
			var unavailable *session.UnavailableError
			require.ErrorAs(t, err, &unavailable)
			assert.Equal(t, provider, unavailable.Provider)
			assert.Contains(t, unavailable.Message, want[provider])
		})
	}
	_, _, err = session.Open(options("movenet-lightning.onnx", "abacus"))
	var unavailable *session.UnavailableError
	require.ErrorAs(t, err, &unavailable)
	assert.EqualError(t, err, `execution provider abacus: posetest knows no execution provider "abacus", only coreml, cpu, cuda, directml, openvino, tensorrt, webgpu, xnnpack`)
	assert.Empty(t, session.RuntimeName("abacus"))
}

// BenchmarkRun gives what a run costs beside the runtime's own time: overhead-ns/op and the allocations.
func BenchmarkRun(b *testing.B) {
	s := openMoveNet(b)
	input := grey(128)
	var own, all time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		_, took, err := s.Run(input)
		all += time.Since(begin)
		own += took
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(all-own)/float64(b.N), "overhead-ns/op")
}
