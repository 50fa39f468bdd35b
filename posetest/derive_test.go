package posetest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const movenet = "../models/movenet-lightning.onnx"

// fakePython turns the test binary into an interpreter that writes down how it was called, makes what looks like an environment
// when it is called for that, and fails if told to.
const fakePython = "POSETEST_FAKE_PYTHON"

func init() {
	file := os.Getenv(fakePython)
	if file == "" {
		return
	}
	args := os.Args[1:]
	if path := os.Getenv("PYTHONPATH"); path != "" {
		args = append(args, "PYTHONPATH="+path)
	}
	text, err := json.Marshal(args)
	if err == nil {
		err = fakeEnvironment(os.Args)
	}
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			_, err = f.Write(append(text, '\n'))
		}
	}
	if err != nil || os.Getenv("POSETEST_FAKE_FAILURE") != "" {
		fmt.Fprintln(os.Stderr, "No module named onnxruntime", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// fakeEnvironment does what venv and pip do with the arguments that they get here.
func fakeEnvironment(args []string) error {
	if len(args) < 5 || args[1] != "-m" {
		return nil
	}
	if args[2] == "venv" {
		dir := args[len(args)-1]
		return errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(dir, "bin"), 0o755), os.Symlink(args[0], filepath.Join(dir, "bin", "python")))
	}
	lib := filepath.Join(filepath.Dir(filepath.Dir(args[4])), "lib")
	return errors.Join(os.MkdirAll(lib, 0o755), os.WriteFile(filepath.Join(lib, "numpy.py"), []byte("import this"), 0o644))
}

// A derivation asks the quantizer for what is not there yet, of each export, and with the ranges that belong to it.
func TestDerivation(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(t *testing.T, d derivable)
		env    string
		calls  [][]string // of quantize.py; "…" stands for any word
		log    []string
		fails  []string
	}{
		{name: "all but what is there", change: func(t *testing.T, d derivable) { d.derived(t, "int8", "uint8") },
			calls: [][]string{{"make", "--model", "m.onnx", "--id", "m", "--out", "…", "--precision", "fp16", "--calibration", "m.json"}},
			log:   []string{"making fp16 of "}},
		{name: "nothing, where all is there", change: func(t *testing.T, d derivable) { d.derived(t, "int8", "uint8", "fp16") }},
		{name: "another export, calibrated on the data path first", change: func(t *testing.T, d derivable) {
			d.calibrationOf(t, strings.Repeat("0", 64))
			require.NoError(t, os.MkdirAll(filepath.Join(d.data, CalibrationImages), 0o755))
			photo(t, filepath.Join(d.data, CalibrationImages, "1.jpg"))
			photo(t, filepath.Join(d.data, CalibrationImages, "2.jpg"))
		}, calls: [][]string{
			{"calibrate", "--model", "m.onnx", "--id", "m", "--tensors", "…", "--out", "calibration.json"},
			{"make", "--model", "m.onnx", "--id", "m", "--out", "…", "--precision", "int8", "--precision", "uint8", "--precision", "fp16", "--calibration", "calibration.json"},
		}, log: []string{"calibrating ", "on 2 photographs", "making int8, uint8, fp16 of "}},
		{name: "another export, and nothing to calibrate it on", change: func(t *testing.T, d derivable) { d.calibrationOf(t, strings.Repeat("0", 64)) },
			fails: []string{"m.onnx", "another export", CalibrationImages, "bring that folder"}},
		{name: "no fp32 model: not an error, since a machine may do without", change: func(t *testing.T, d derivable) { require.NoError(t, os.Remove(d.model)) },
			log: []string{"skipped: model m.onnx is missing; set POSETEST_DATA"}},
		{name: "the quantizer fails", env: "POSETEST_FAKE_FAILURE", calls: [][]string{
			{"make", "--model", "m.onnx", "--id", "m", "--out", "…", "--precision", "int8", "--precision", "uint8", "--precision", "fp16", "--calibration", "m.json"}},
			log: []string{"No module named onnxruntime"}, fails: []string{"make the precisions of", "m.onnx", "quantize.py make", "exit status 1", "its words are above"}},
		{name: "a model that its family can't read", change: func(t *testing.T, d derivable) {
			require.NoError(t, os.WriteFile(d.model, []byte("garbage"), 0o644))
			require.NoError(t, os.MkdirAll(filepath.Join(d.data, CalibrationImages), 0o755))
			photo(t, filepath.Join(d.data, CalibrationImages, "1.jpg"))
		}, log: []string{"calibrating "}, fails: []string{"m.onnx", "no ONNX model"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bare(t)
			d := newDerivable(t)
			if row.change != nil {
				row.change(t, d)
			}
			called := filepath.Join(t.TempDir(), "calls")
			t.Setenv(fakePython, called)
			if row.env != "" {
				t.Setenv(row.env, "1")
			}
			python, err := os.Executable()
			require.NoError(t, err)
			var log bytes.Buffer
			err = Derivation{Python: python, Log: &log}.Make(t.Context(), Config{Dir: d.dir, Data: []string{d.data}, Cache: d.cache})
			if row.fails == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrSetup)
			}
			for _, words := range row.fails {
				assert.ErrorContains(t, err, words)
			}
			for _, words := range row.log {
				assert.Contains(t, log.String(), words)
			}
			if row.log == nil {
				assert.Empty(t, log.String())
			}
			text, err := os.ReadFile(called)
			if row.calls == nil {
				require.ErrorIs(t, err, os.ErrNotExist, "%s", text)
				return
			}
			require.NoError(t, err)
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			require.Len(t, lines, len(row.calls), "%s", text)
			for i, line := range lines {
				var args []string
				require.NoError(t, json.Unmarshal([]byte(line), &args))
				assert.Equal(t, filepath.Join(d.dir, "scripts", "quantize.py"), args[0])
				require.Len(t, args[1:], len(row.calls[i]), "%s", args)
				for k, want := range row.calls[i] {
					if want != "…" {
						assert.Equal(t, want, filepath.Base(args[1+k]))
					}
				}
			}
		})
	}
}

// A derivable is a house with a model on the data path and three precisions to make of it.
type derivable struct{ dir, data, cache, model, sum string }

func newDerivable(t *testing.T) derivable {
	t.Helper()
	d := derivable{dir: t.TempDir(), data: t.TempDir(), cache: t.TempDir()}
	text, err := os.ReadFile(movenet)
	require.NoError(t, err)
	d.model = filepath.Join(d.data, "m.onnx")
	require.NoError(t, os.WriteFile(d.model, text, 0o644))
	d.sum, err = catalog.Sum(d.model)
	require.NoError(t, err)
	var models []catalog.Model
	for _, precision := range []string{"fp32", "int8", "uint8", "fp16"} {
		m := catalog.Model{ID: "m", Family: "movenet", Precision: precision, File: "m-" + precision + ".onnx", SHA256: d.sum, Size: int64(len(text)), Where: catalog.Derived,
			Inputs: []tensor.Info{{Name: "input", Type: "int32", Shape: []int64{1, 192, 192, 3}}}, Outputs: []tensor.Info{{Name: "output_0", Type: "float32", Shape: []int64{1, 1, 17, 3}}}}
		if precision == "fp32" {
			m.File, m.Where = "m.onnx", catalog.Data
		}
		models = append(models, m)
	}
	list, err := json.Marshal(map[string]any{"models": models})
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(d.dir, "models", "calibration"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, filepath.FromSlash(modelsList)), list, 0o644))
	d.calibrationOf(t, d.sum)
	return d
}

// calibrationOf makes the repository's ranges those of the model of that sum.
func (d derivable) calibrationOf(t *testing.T, sum string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, "models", "calibration", "m.json"), []byte(`{"model_sha256": "`+sum+`", "ranges": {}}`), 0o644))
}

// derived puts precisions where a derivation would.
func (d derivable) derived(t *testing.T, precisions ...string) {
	t.Helper()
	dir := (&catalog.Finder{Cache: d.cache}).DerivedDir(d.sum)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, p := range precisions {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "m-"+p+".onnx"), []byte(p), 0o644))
	}
}

func photo(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile("../fixtures/grace_hopper.jpg")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o644))
}

// Ranges are used for the model that they were measured on, and for no other.
func TestTableIsOf(t *testing.T) {
	const sum = "63213287177230d51982fdff47162cc4c5ce2b31ccaffef530e39727a5db41e6"
	for _, row := range []struct {
		text string
		want bool
		why  string
	}{
		{`{"model_sha256": "` + sum + `", "ranges": {}}`, true, "the model's"},
		{`{"model_sha256": "` + sum[1:] + `0"}`, false, "another export's"},
		{`{}`, false, "nobody's"},
		{`{"model_sha256": "` + sum, false, "cut short"},
		{``, false, "empty"},
	} {
		path := filepath.Join(t.TempDir(), "table.json")
		require.NoError(t, os.WriteFile(path, []byte(row.text), 0o644))
		assert.Equal(t, row.want, tableIsOf(path, sum), row.why)
	}
	assert.False(t, tableIsOf(filepath.Join(t.TempDir(), "missing.json"), sum), "missing")
}

// Other tools see what the model sees here: tensors come back from NumPy's format as they were written.
func TestWriteTensors(t *testing.T) {
	images := []string{"../fixtures/astronaut.png", "../fixtures/grace_hopper.jpg"}
	dir := filepath.Join(t.TempDir(), "new", "tensors")
	require.NoError(t, WriteTensors(t.Context(), OwnModel{Path: movenet, Family: "movenet"}, dir, images))

	head, err := look("movenet", movenet)
	require.NoError(t, err)
	family, err := pose.Lookup("movenet")
	require.NoError(t, err)
	pipeline, err := family.NewPipeline(head.Inputs, head.Outputs)
	require.NoError(t, err)
	for i, name := range []string{"astronaut.npy", "grace_hopper.npy"} {
		img, err := pose.ReadImage(images[i])
		require.NoError(t, err)
		want, err := pipeline.Preprocess(img)
		require.NoError(t, err)
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		kind, shape, data := readNPY(t, text)
		assert.Equal(t, "<i4", kind)
		assert.Equal(t, []int64{1, 192, 192, 3}, shape)
		got := make([]int32, len(data)/4)
		require.NoError(t, binary.Read(bytes.NewReader(data), binary.LittleEndian, got))
		assert.True(t, slices.Equal(want.Data.([]int32), got), "%s differs from what the model is given", name)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, len(images), "files, without temporary ones")
}

// What can't be written is told with the file that it is about.
func TestWriteTensorsRefused(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.jpg")
	require.NoError(t, os.WriteFile(text, []byte("no photograph"), 0o644))
	twin := filepath.Join(t.TempDir(), "astronaut.png")
	photo(t, twin)
	for _, row := range []struct {
		name   string
		model  OwnModel
		images []string
		says   []string
	}{
		{"no photograph", OwnModel{movenet, "movenet"}, []string{text}, []string{"text.jpg"}},
		{"no such photograph", OwnModel{movenet, "movenet"}, []string{"nosuch.jpg"}, []string{"nosuch.jpg"}},
		{"two of one name: one would stand for both", OwnModel{movenet, "movenet"}, []string{"../fixtures/astronaut.png", twin}, []string{twin, "astronaut.npy", "rename"}},
		{"another family", OwnModel{movenet, "yolov8-pose"}, []string{"../fixtures/astronaut.png"}, []string{"movenet-lightning.onnx", "looks like movenet"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := WriteTensors(t.Context(), row.model, filepath.Join(t.TempDir(), "out"), row.images)
			require.Error(t, err)
			for _, words := range row.says {
				assert.ErrorContains(t, err, words)
			}
		})
	}
}

// Each type that a model's input can have is one of NumPy's; the header is padded so that the data is aligned.
func TestNPY(t *testing.T) {
	for _, row := range []struct {
		data any
		kind string
		text []byte // of the data
	}{
		{[]float32{1, -2}, "<f4", []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}},
		{[]int32{1, -1}, "<i4", []byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}},
		{[]int64{1, -1}, "<i8", []byte{1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		{[]uint8{1, 255}, "|u1", []byte{1, 255}},
	} {
		for _, shape := range [][]int64{{2}, {1, 2}, {1, 1, 1, 2}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}} {
			text, err := npy(tensor.Tensor{Shape: shape, Data: row.data})
			require.NoError(t, err)
			kind, gotShape, data := readNPY(t, text)
			assert.Equal(t, row.kind, kind)
			assert.Equal(t, shape, gotShape)
			assert.Equal(t, row.text, data)
		}
	}
	_, err := npy(tensor.Tensor{Shape: []int64{1}, Data: []float64{1}})
	assert.ErrorContains(t, err, "[]float64")
}

var npyHeader = regexp.MustCompile(`^\{'descr': '([^']+)', 'fortran_order': False, 'shape': \(((?:\d+, ?)*)\), \} *\n$`)

// readNPY reads NumPy's format 1.0: magic, version, the header's length, a Python dictionary padded to 64 bytes, data.
func readNPY(t *testing.T, text []byte) (kind string, shape []int64, data []byte) {
	t.Helper()
	require.Greater(t, len(text), 10)
	require.Equal(t, "\x93NUMPY\x01\x00", string(text[:8]))
	end := 10 + int(binary.LittleEndian.Uint16(text[8:]))
	require.Zero(t, end%64, "the data's alignment")
	m := npyHeader.FindSubmatch(text[10:end])
	require.NotNil(t, m, "%q", text[10:end])
	for _, d := range strings.FieldsFunc(string(m[2]), func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.ParseInt(d, 10, 64)
		require.NoError(t, err)
		shape = append(shape, n)
	}
	return string(m[1]), shape, text[end:]
}
