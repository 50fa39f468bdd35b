package onnx_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

const moveNet = "../../models/movenet-lightning.onnx"

func TestReadFile(t *testing.T) {
	got, err := onnx.ReadFile(moveNet)
	require.NoError(t, err)
	assert.Equal(t, onnx.Model{
		IR: 8, Opset: 17, Producer: "tf2onnx",
		Inputs:  []tensor.Info{{Name: "input", Type: "int32", Shape: []int64{1, 192, 192, 3}}},
		Outputs: []tensor.Info{{Name: "output_0", Type: "float32", Shape: []int64{1, 1, 17, 3}}},
	}, got)
}

func TestReadFileIsNoModel(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	sparse := func(name string, size int64) string {
		path := file(name, "")
		require.NoError(t, os.Truncate(path, size))
		return path
	}
	for _, row := range []struct{ why, path, want string }{
		{"a folder of that name", dir, "it is a folder or a device, not a file; name the .onnx file"},
		{"a device has no size, and a pipe would wait for its writer", os.DevNull, "it is a folder or a device, not a file; name the .onnx file"},
		{"a download that never began", file("empty", ""), "the file is empty; export or download it again"},
		{"the smallest file", file("one", "\x08"), "no ONNX model"},
		{"the version alone is no model", file("version", "\x08\x08"), "it is no ONNX model, or cut short"},
		{"a pointer of Git LFS in the model's place", file("lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9351685\n"), "no ONNX model"},
		{"a server's error page", file("html", "<!DOCTYPE html><title>404</title>"), "no ONNX model"},
		{"another format: a zip, as PyTorch saves", file("zip", "PK\x03\x04\x14\x00\x00\x00\x08\x00"), "no ONNX model"},
		{"another format: TFLite", file("tflite", "\x1c\x00\x00\x00TFL3\x14\x00\x20\x00"), "no ONNX model"},
		{"space that was reserved and never written", sparse("zeros", 1<<31-1), "no ONNX model"},
		{"more than protobuf can hold: not even looked into", sparse("big", 3<<30), "it has 3221225472 bytes, over protobuf's limit of 2 GiB; export it with external data"},
	} {
		t.Run(row.why, func(t *testing.T) {
			_, err := onnx.ReadFile(row.path)
			var format *onnx.FormatError
			require.ErrorAs(t, err, &format)
			assert.Equal(t, row.path, format.Path)
			assert.Contains(t, err.Error(), "model "+row.path+": ")
			assert.Contains(t, err.Error(), row.want)
			assert.NotContains(t, err.Error(), "%!")
		})
	}
	t.Run("a file that is not there is the file system's error", func(t *testing.T) {
		path := filepath.Join(dir, "missing.onnx")
		_, err := onnx.ReadFile(path)
		require.ErrorIs(t, err, fs.ErrNotExist)
		assert.Contains(t, err.Error(), "model "+path+": ")
		assert.Contains(t, err.Error(), "check the path, or set POSETEST_DATA")
	})
}

// Wherever the download of a model stopped, the file is refused: nobody sees inputs of half a model.
func TestReadCutModel(t *testing.T) {
	whole, err := os.ReadFile(moveNet)
	require.NoError(t, err)
	var cuts []int
	for i := range 64 {
		cuts = append(cuts, i*len(whole)/64, len(whole)-1-i)
	}
	for at := 0; at < len(whole); { // exactly between two fields, where what is left is a message again
		cuts = append(cuts, at)
		_, _, n := protowire.ConsumeField(whole[at:])
		require.Positive(t, n)
		at += n
	}
	for _, n := range cuts {
		_, err := onnx.Read(bytes.NewReader(whole[:n]), int64(n))
		if assert.Error(t, err, "the first %d of %d bytes", n, len(whole)) {
			assert.Regexp(t, `cut short|no ONNX model`, err.Error(), "the first %d of %d bytes", n, len(whole))
		}
	}
	_, err = onnx.Read(bytes.NewReader(whole), int64(len(whole)))
	assert.NoError(t, err, "the whole")
}

// What follows graph and opsets may be lost unseen, if it is lost to the byte: what is left is a whole message.
func TestReadCutBehindOpset(t *testing.T) {
	seen := small()
	behind := bytes.Join([][]byte{seen, text(14, text(1, "author"), text(2, "somebody")), text(14, text(1, "task"), text(2, "pose"))}, nil)
	fine := []int{len(seen), len(seen) + 20, len(behind)}
	for n := range len(behind) + 1 {
		_, err := read(behind[:n])
		if slices.Contains(fine, n) {
			assert.NoError(t, err, "the first %d of %d bytes", n, len(behind))
		} else {
			assert.Error(t, err, "the first %d of %d bytes", n, len(behind))
		}
	}
}

func TestRead(t *testing.T) {
	in, out := info(11, "x", 1, int64(1), int64(3)), info(12, "y", 1, int64(1))
	model := func(graph ...[]byte) []byte { return join(varint(1, 8), text(7, graph...), text(8, varint(2, 17))) }
	x := tensor.Info{Name: "x", Type: "float32", Shape: []int64{1, 3}}
	for _, row := range []struct {
		why   string
		model []byte
		want  tensor.Info // the only input
	}{
		{"the least that a model has", model(in, out), x},
		{"fields may stand in any order", join(text(8, varint(2, 17)), text(7, out, in), varint(1, 8)), x},
		{"protobuf joins a message that comes in parts", join(varint(1, 8), text(7, in), text(8, varint(2, 17)), text(7, out)), x},
		{"before IR version 4 initializers are inputs, too", model(info(11, "w", 1, int64(9)), in, out, text(5, text(8, "w"))), x},
		{"an initializer may stand before or behind its input", model(text(5, text(8, "w")), in, info(11, "w", 1, int64(9)), out), x},
		{"an initializer's data may stand in another file", model(in, out, text(5, text(8, "w"), text(13, text(1, "location"), text(2, "weights.bin")), varint(14, 1))), x},
		{"a name for a dimension makes it free", model(info(11, "x", 1, "batch", int64(3)), out), tensor.Info{Name: "x", Type: "float32", Shape: []int64{-1, 3}}},
		{"a dimension without name or size is free", model(info(11, "x", 1, nil, int64(3)), out), tensor.Info{Name: "x", Type: "float32", Shape: []int64{-1, 3}}},
		{"exporters write -1, and others, for a free dimension", model(info(11, "x", 1, int64(-1), int64(-7)), out), tensor.Info{Name: "x", Type: "float32", Shape: []int64{-1, -1}}},
		{"a dimension of the largest size", model(info(11, "x", 1, int64(1<<62)), out), tensor.Info{Name: "x", Type: "float32", Shape: []int64{1 << 62}}},
		{"a type that Go has no word for", model(info(11, "x", 16, int64(1)), out), tensor.Info{Name: "x", Type: "bfloat16", Shape: []int64{1}}},
		{"a type of a later version of the format", model(info(11, "x", 99, int64(1)), out), tensor.Info{Name: "x", Type: "type99", Shape: []int64{1}}},
		{"a type number as large as can be", model(info(11, "x", 1<<63, int64(1)), out), tensor.Info{Name: "x", Type: "type9223372036854775808", Shape: []int64{1}}},
		{"a sequence is no tensor, and says so", model(text(11, text(1, "x"), text(2, text(4, text[string](1)))), out), tensor.Info{Name: "x", Type: "undefined"}},
		{"unknown fields of every kind are passed over", join(model(in, out), varint(900, 1<<63), fixed32(901), fixed64(902), text(903, nested(2000))), x},
		{"fields of another kind than theirs are passed over", join(model(in, out), varint(2, 5), varint(7, 5)), x},
		{"another domain's opset is not the default's", join(model(in, out), text(8, text(1, "com.microsoft"), varint(2, 1))), x},
	} {
		t.Run(row.why, func(t *testing.T) {
			got, err := read(row.model)
			require.NoError(t, err)
			assert.Equal(t, []tensor.Info{row.want}, got.Inputs)
			assert.Len(t, got.Outputs, 1)
			assert.EqualValues(t, 17, got.Opset)
		})
	}
}

func TestReadRefuses(t *testing.T) {
	in, out := info(11, "x", 1, int64(1)), info(12, "y", 1, int64(1))
	opset := text(8, varint(2, 17))
	huge := protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.BytesType), 1<<64-1)
	for _, row := range []struct {
		why   string
		model []byte
		want  string
	}{
		{"no version of the format", join(text(7, in, out), opset), "no ONNX model"},
		{"a version that overflows", join(varint(1, 1<<64-1), text(7, in, out), opset), "no ONNX model"},
		{"no graph", join(varint(1, 8), opset), "no ONNX model"},
		{"no opset, which is behind the graph in most files", join(varint(1, 8), text(7, in, out)), "cut short"},
		{"no input but initializers", join(varint(1, 8), text(7, in, out, text(5, text(8, "x"))), opset), "its graph has 0 inputs and 1 outputs, and a model needs one of each; export it again"},
		{"no output", join(varint(1, 8), text(7, in), opset), "its graph has 1 inputs and 0 outputs"},
		{"a graph longer than any file", join(varint(1, 8), opset, huge), "cut short"},
		{"an input longer than its graph, though not than the file", join(varint(1, 8), text(7, out, []byte("\x5a\x7f")), opset), "cut short or damaged"},
		{"a name one byte longer than its graph", join(varint(1, 8), text(7, in, out, []byte("\x12\x01")), opset), "cut short or damaged"},
		{"a varint that never ends", join(varint(1, 8), bytes.Repeat([]byte{0xff}, 32)), "no ONNX model, or damaged"},
		{"a name longer than any is", join(varint(1, 8), text(7, text(11, text(1, strings.Repeat("x", 1<<20+1))), out), opset), "a name of 1048577 bytes"},
		{"a whole model and an error page behind it", join(varint(1, 8), text(7, in, out), opset, []byte("<html>")), "damaged"},
		{"a group, which no ONNX file has", join(varint(1, 8), text(7, in, out), opset, protowire.AppendTag(nil, 9, protowire.StartGroupType)), "damaged"},
		{"field number 0", join(varint(1, 8), text(7, in, out), opset, []byte{2, 0}), "damaged"},
	} {
		t.Run(row.why, func(t *testing.T) {
			got, err := read(row.model)
			require.ErrorContains(t, err, row.want)
			assert.Contains(t, err.Error(), "again", "says what to do")
			assert.Zero(t, got)
		})
	}
}

// A file may shrink while it is read, and then ends before the size that was asked for.
func TestReadShrinkingFile(t *testing.T) {
	whole := small()
	graph := len(varint(1, 8)) + len(text(2, "test")) + 2 // where its first field begins
	for n := range whole {
		_, err := onnx.Read(bytes.NewReader(whole[:n]), int64(len(whole)))
		if assert.Error(t, err, "%d bytes", n) && n >= graph {
			assert.Contains(t, err.Error(), "cut short or damaged", "%d bytes", n)
		}
	}
}

// A disk that fails is no fault of the file, and nobody should export it again.
func TestReadPassesOnErrorOfReader(t *testing.T) {
	broken := errors.New("input/output error")
	whole := small()
	for n := range whole {
		_, err := onnx.Read(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken)), int64(len(whole)))
		assert.ErrorIs(t, err, broken, "behind %d bytes", n)
	}
}

// The weights are passed over, not held: a test plan may look into hundreds of models.
func TestReadFileHoldsLittle(t *testing.T) {
	stat, err := os.Stat(moveNet)
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = onnx.ReadFile(moveNet)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	assert.Less(t, int64(after.TotalAlloc-before.TotalAlloc), stat.Size()/20, "bytes allocated")
}

func BenchmarkReadFile(b *testing.B) {
	stat, err := os.Stat(moveNet)
	require.NoError(b, err)
	b.SetBytes(stat.Size())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := onnx.ReadFile(moveNet); err != nil {
			b.Fatal(err)
		}
	}
}

// Whatever the bytes are, Read ends with a model that can be used or an error, and does not depend on how they arrive.
func FuzzRead(f *testing.F) {
	whole := small()
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(join(whole, text(14, text(1, "author"), text(2, "somebody"))))
	f.Add(join(varint(1, 3), text(7, text(5, text(8, "w")), info(11, "w", 1), info(11, "x", 1, "batch"), info(12, "y", 7)), text(8, varint(2, 9))))
	f.Add(bytes.Repeat([]byte{0xff}, 16))
	f.Add(nested(40))
	f.Add([]byte("<!DOCTYPE html>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := read(b)
		slow, slowErr := onnx.Read(iotest.OneByteReader(bytes.NewReader(b)), int64(len(b)))
		assert.Equal(t, got, slow)
		assert.Equal(t, err, slowErr)
		if err != nil {
			assert.Zero(t, got)
			return
		}
		assert.Positive(t, got.IR)
		assert.NotEmpty(t, got.Inputs)
		assert.NotEmpty(t, got.Outputs)
		for _, info := range slices.Concat(got.Inputs, got.Outputs) {
			assert.NotEmpty(t, info.Type)
			for _, d := range info.Shape {
				assert.GreaterOrEqual(t, d, int64(-1))
			}
		}
	})
}

func read(b []byte) (onnx.Model, error) { return onnx.Read(bytes.NewReader(b), int64(len(b))) }

// small is a model of one input, one output and no nodes, as exporters lay it out.
func small() []byte {
	return join(varint(1, 8), text(2, "test"),
		text(7, text(5, varint(1, 4), varint(2, 1), text(8, "w"), text(9, strings.Repeat("\x01", 16))),
			info(11, "x", 1, "batch", int64(3)), info(12, "y", 7, int64(1))),
		text(8, varint(2, 17)))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func varint(field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), v)
}

func fixed32(field protowire.Number) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(nil, field, protowire.Fixed32Type), 7)
}

func fixed64(field protowire.Number) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, field, protowire.Fixed64Type), 7)
}

// text is a field that has a length: a string, or a message of the parts.
func text[T string | []byte](field protowire.Number, parts ...T) []byte {
	var value []byte
	for _, p := range parts {
		value = append(value, p...)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), value)
}

// nested is a message in a message, so many times.
func nested(depth int) []byte {
	var b []byte
	for range depth {
		b = text(7, b)
	}
	return b
}

// info is a ValueInfoProto of a tensor: field 11 is an input and 12 an output of the graph; a dimension is an int64, a
// name, or nil.
func info(field protowire.Number, name string, elementType uint64, dims ...any) []byte {
	var shape []byte
	for _, d := range dims {
		switch d := d.(type) {
		case int64:
			shape = append(shape, text(1, varint(1, uint64(d)))...)
		case string:
			shape = append(shape, text(1, text(2, d))...)
		default:
			shape = append(shape, text[[]byte](1)...)
		}
	}
	return text(field, text(1, name), text(2, text(1, varint(1, elementType), text(2, shape))))
}
