package posetest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What has an open batch gives each image what it gets alone, or is refused with the reason.
func TestBatchModel(t *testing.T) {
	t.Parallel()
	cfg := Config{Models: []string{"yolov8n-pose", "movenet-lightning"}, Precisions: []string{"fp32", "int8-qdq", "uint8"},
		Providers: []string{"cpu"}, Runtimes: "1.23.2"}
	s := New(cfg)
	plan, err := s.Plan(t.Context(), t.Output())
	require.NoError(t, err)
	for _, m := range plan.Missing {
		if m.ID == "yolov8n-pose" {
			t.Skip(m.Err) // and without it nobody has made the Python environment
		}
	}
	h, err := open(cfg)
	require.NoError(t, err)
	python, err := Derivation{Log: t.Output()}.environment(t.Context(), h)
	require.NoError(t, err)
	cfg.Cache = t.TempDir()

	refused := map[string]string{ // by model and precision
		"movenet-lightning fp32":     "node Reshape_4/Reshape makes shape [-1], which does not begin with the batch",
		"movenet-lightning int8-qdq": "node Reshape_4/Reshape makes shape [-1], which does not begin with the batch",
		"movenet-lightning uint8":    "node Reshape_4/Reshape makes shape [-1], which does not begin with the batch",
		"yolov8n-pose uint8":         "it looks at the whole batch, as dynamic quantization does",
	}
	require.Len(t, plan.Cells, len(refused)+2)
	for _, p := range plan.Cells {
		t.Run("model="+p.Cell.Model+"/precision="+p.Precision, func(t *testing.T) {
			var log bytes.Buffer
			d := Derivation{Python: python, Log: &log}
			b, err := d.Batch(t.Context(), cfg, p)
			if want := refused[p.Cell.Model+" "+p.Precision]; want != "" {
				require.ErrorIs(t, err, ErrOneImage)
				require.ErrorContains(t, err, want)
				return
			}
			require.NoError(t, err)
			assert.Contains(t, log.String(), "opening the batch of "+p.File.Path)
			assert.Equal(t, []int64{-1, 3, 640, 640}, b.Head.Inputs[0].Shape)
			assert.Equal(t, []int64{-1, 56, 8400}, b.Head.Outputs[0].Shape)
			assert.Equal(t, p.Place, b.Place, "the cell")
			assert.Equal(t, p.File.ID, b.File.ID)
			runBatch(t, plan, b)

			for _, row := range []struct {
				why    string
				change func() error
				from   Planned
				made   bool
			}{
				{"it is there", func() error { return nil }, p, false},
				{"it is open already", func() error { return nil }, b, false},
				{"it was damaged", func() error { return os.Truncate(b.File.Path, b.File.Size/2) }, p, true},
				{"it was removed", func() error { return os.Remove(b.File.Path) }, p, true},
			} {
				log.Reset()
				require.NoError(t, row.change())
				again, err := d.Batch(t.Context(), cfg, row.from)
				require.NoError(t, err, row.why)
				assert.Equal(t, b, again, "%s: the same bytes", row.why)
				assert.Equal(t, row.made, log.Len() > 0, "%s: made\n%s", row.why, log.String())
			}
		})
	}
}

// runBatch has a worker run three images at once.
func runBatch(t *testing.T, plan *Plan, p Planned) {
	w, err := worker.Start(t.Context(), worker.Spec{Environ: ortlib.Environ(p.Library, os.Environ())})
	require.NoError(t, err)
	defer w.Close()
	_, err = New(Config{Threads: 1}).openIn(t.Context(), w, p, &observe.Observation{})
	require.NoError(t, err)
	photo, err := w.Infer(t.Context(), worker.Inference{Image: plan.Fixtures[0].Path})
	require.NoError(t, err)
	assert.Empty(t, photo.Error)
	assert.NotEmpty(t, photo.Persons)
	for _, binding := range []worker.Binding{worker.Reused, worker.Copy, worker.Bound} {
		runs, err := w.Time(t.Context(), worker.Timing{Runs: 2, Batch: 3, Binding: binding})
		require.NoError(t, err)
		assert.Len(t, runs, 2)
	}
}

// A script that failed makes no batch, and is no reason to say that the model can't have one.
func TestBatchFails(t *testing.T) {
	d := newDerivable(t)
	require.NoError(t, os.MkdirAll(filepath.Join(d.dir, "scripts"), 0o755))
	for _, name := range []string{"batch.py", "requirements-quantize.txt"} {
		require.NoError(t, os.WriteFile(filepath.Join(d.dir, "scripts", name), []byte(name), 0o644))
	}
	head, err := look("movenet", d.model)
	require.NoError(t, err)
	p := Planned{Model: catalog.Model{ID: "m", Family: "movenet", Precision: "fp32"}, Head: head, File: catalog.File{Path: d.model, SHA256: d.sum, ID: "m"}}
	program, err := os.Executable()
	require.NoError(t, err)
	for _, row := range []struct {
		why     string
		python  string
		failure string
		wants   string
	}{
		{"Python's own exit code after an exception is 1, too", program, "1", "batch.py --model: exit status 1; its words are above"},
		{"the script writes nothing", program, "", "no such file or directory"},
		{"no Python", "/nowhere/python", "", "/nowhere/python"},
	} {
		t.Run(row.why, func(t *testing.T) {
			t.Setenv(fakePython, filepath.Join(t.TempDir(), "calls"))
			t.Setenv("POSETEST_FAKE_FAILURE", row.failure)
			var log bytes.Buffer
			_, err := Derivation{Python: row.python, Log: &log}.Batch(t.Context(), Config{Dir: d.dir, Data: []string{d.data}, Cache: d.cache}, p)
			require.ErrorIs(t, err, ErrSetup)
			require.NotErrorIs(t, err, ErrOneImage)
			assert.ErrorContains(t, err, row.wants)
		})
	}
	p.Head.Inputs = []tensor.Info{{Name: "input", Type: "int32", Shape: []int64{-1, 192, 192, 3}}}
	same, err := BatchModel(t.Context(), Config{Dir: "nowhere"}, p)
	require.NoError(t, err, "an export whose batch is open needs nothing")
	assert.Equal(t, p, same)
}
