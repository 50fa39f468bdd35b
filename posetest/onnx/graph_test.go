package onnx_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/posetest/suite/posetest/onnx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestReadGraphFile(t *testing.T) {
	g, err := onnx.ReadGraphFile("../../models/movenet-lightning-int8.onnx")
	require.NoError(t, err)
	assert.Equal(t, "onnx.quantize", g.Producer)
	assert.Equal(t, "0.1.0", g.ProducerVersion)
	assert.Equal(t, map[string]int64{"": 17}, g.Opsets)
	assert.Len(t, g.Nodes, 634)
	assert.Empty(t, g.Inner)
	var depthwise int
	for _, n := range g.Nodes {
		if n.Op == "ConvInteger" && n.Group > 1 {
			depthwise++
			w := g.Tensors[n.Input(1)]
			assert.Equal(t, "int8", w.Type)
			assert.EqualValues(t, n.Group, w.Dims[0])
			assert.Len(t, w.Data, int(w.Elements()), "a depthwise convolution's weights are small and kept")
		}
	}
	assert.Equal(t, 24, depthwise)
	for name, w := range g.Tensors {
		assert.Less(t, len(w.Data), 1<<15+1, name)
	}
}

func TestReadGraph(t *testing.T) {
	in, out := info(11, "x", 1, int64(1)), info(12, "y", 1, int64(1))
	model := func(graph ...[]byte) []byte {
		return join(varint(1, 8), text(7, append(graph, in, out)...), text(8, varint(2, 17)))
	}
	attribute := func(name string, fields ...[]byte) []byte {
		return text(5, append([][]byte{text(1, name)}, fields...)...)
	}
	packed := func(field protowire.Number, values ...uint64) []byte {
		var b []byte
		for _, v := range values {
			b = protowire.AppendVarint(b, v)
		}
		return text(field, b)
	}
	half := binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.5))
	g, err := readGraph(model(
		text(1, text(1, "x"), text(1, ""), text(2, "c"), text(3, "conv"), text(4, "Conv"), text(7, "ai.onnx"), attribute("group", varint(3, 32))),
		text(1, text(2, "k"), text(4, "Constant"), attribute("value", text(5, varint(1, 3), varint(2, 7)))),
		text(1, text(1, "c"), text(2, "y"), text(4, "Mine"), text(7, "my.ops")),
		text(1, text(4, "If"), attribute("then_branch", text(6, text(1, text(4, "Relu")), info(11, "not the model's", 1)))),
		text(5, varint(1, 2), varint(1, 3), varint(2, 3), text(8, "raw"), text(9, "\x01\x02\x03\x04\x05\xff")),
		text(5, packed(1, 2), varint(2, 3), packed(5, 1, math.MaxUint64), text(8, "typed")),
		text(5, varint(2, 1), text(4, half), text(8, "half")),
		text(5, varint(1, 1<<40), varint(2, 3), text(8, "huge")),
		text(5, varint(1, math.MaxUint64), varint(2, 3), text(8, "negative")),
		text(5, varint(1, 4), varint(2, 1), text(8, "outside"), text(13, text(1, "location"), text(2, "w.bin"))),
		text(5, varint(1, 70000), varint(2, 6), packed(5, make([]uint64, 70000)...), text(8, "long")),
	))
	require.NoError(t, err)
	require.Len(t, g.Nodes, 4)
	conv := g.Nodes[0]
	conv.Sum = 0
	assert.Equal(t, onnx.Node{Name: "conv", Op: "Conv", Inputs: []string{"x", ""}, Outputs: []string{"c"}, Group: 32}, conv)
	assert.Equal(t, "my.ops:Mine", g.Nodes[2].Type())
	assert.Equal(t, 1, g.Nodes[3].Subgraphs)
	require.Len(t, g.Inner, 1)
	assert.Equal(t, "Relu", g.Inner[0].Op)
	assert.Len(t, g.Inputs, 1, "a subgraph's inputs are its own")
	for name, want := range map[string]onnx.Tensor{
		"k":        {Type: "int64", Dims: []int64{3}},
		"raw":      {Type: "int8", Dims: []int64{2, 3}, Data: []byte{1, 2, 3, 4, 5, 255}},
		"typed":    {Type: "int8", Dims: []int64{2}, Data: []byte{1, 255}},
		"half":     {Type: "float32", Data: half},
		"huge":     {Type: "int8", Dims: []int64{1 << 40}},
		"negative": {Type: "int8", Dims: []int64{-1}},
		"outside":  {Type: "float32", Dims: []int64{4}, External: "w.bin"},
		"long":     {Type: "int32", Dims: []int64{70000}},
	} {
		assert.Equal(t, want, g.Tensors[name], name)
	}
	v, known := g.Tensors["half"].Float()
	assert.True(t, known)
	assert.Equal(t, 0.5, v)
	assert.Zero(t, g.Tensors["negative"].Elements())
	assert.Zero(t, onnx.Tensor{Dims: []int64{1 << 40, 1 << 40}}.Elements(), "no overflow")
}

// What no runtime would open ends in a sentence before it fills the memory.
func TestReadGraphHostile(t *testing.T) {
	in, out := info(11, "x", 1, int64(1)), info(12, "y", 1, int64(1))
	model := func(graph ...[]byte) []byte {
		return join(varint(1, 8), text(7, append(graph, in, out)...), text(8, varint(2, 17)))
	}
	branches := func(depth int) []byte {
		b := text(1, text(4, "Relu"))
		for range depth {
			b = text(1, text(4, "If"), text(5, text(1, "then_branch"), text(6, b)))
		}
		return b
	}
	_, err := readGraph(model(branches(20)))
	require.NoError(t, err, "no exporter nests deeper")
	for _, row := range []struct {
		why   string
		model []byte
		want  string
	}{
		{"subgraphs in subgraphs", model(branches(2000)), "larger or deeper than any"},
		{"ten million nodes", model(bytes.Repeat([]byte("\x0a\x00"), 10<<20)), "larger or deeper than any"},
		{"ten million tensors", model(bytes.Repeat([]byte("\x2a\x00"), 10<<20)), "larger or deeper than any"},
		{"ten million inputs of a node", model(text(1, bytes.Repeat([]byte("\x0a\x00"), 10<<20))), "larger or deeper than any"},
		{"ten million dimensions", model(text(5, text(1, bytes.Repeat([]byte("\x01"), 10<<20)))), "larger or deeper than any"},
		{"names of a megabyte", model(bytes.Repeat(text(1, text(3, strings.Repeat("x", 1<<20))), 40)), "larger or deeper than any"},
		{"a node longer than its graph", join(varint(1, 8), text(7, in, out, []byte("\x0a\x7f")), text(8, varint(2, 17))), "cut short or damaged"},
		{"a tensor of 2^63 bytes", join(varint(1, 8), text(7, in, out, protowire.AppendVarint([]byte("\x2a"), 1<<63))), "cut short or damaged"},
	} {
		t.Run(row.why, func(t *testing.T) {
			var g onnx.Graph
			allocated := allocates(func() { g, err = readGraph(row.model) })
			require.ErrorContains(t, err, row.want)
			assert.NotContains(t, err.Error(), "\n", "one sentence")
			assert.Zero(t, g)
			assert.Less(t, allocated, uint64(64<<20), "bytes")
		})
	}
}

func TestReadGraphExternalData(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "w.bin"), nil, 0o644))
	for _, row := range []struct{ why, location, want string }{
		{"beside the model", "w.bin", ""},
		{"not there", "gone.bin", `tensor "w" keeps its data in "gone.bin", which is no file in the model's folder; copy it there`},
		{"a folder", ".", `is no file in the model's folder`},
		{"above the model's folder", "../w.bin", `"../w.bin", outside the model's folder`},
		{"below and then above", "a/../../w.bin", `outside the model's folder`},
		{"anywhere", "/etc/passwd", `"/etc/passwd", outside the model's folder`},
	} {
		t.Run(row.why, func(t *testing.T) {
			path := filepath.Join(dir, "model.onnx")
			b := join(varint(1, 8), text(7, text(5, varint(1, 4), text(8, "w"), text(13, text(1, "location"), text(2, row.location))),
				info(11, "x", 1), info(12, "y", 1)), text(8, varint(2, 17)))
			require.NoError(t, os.WriteFile(path, b, 0o644))
			_, err := onnx.ReadGraphFile(path)
			_, ofHead := onnx.ReadFile(path)
			assert.Equal(t, err, ofHead, "whatever is read of it")
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.want)
			var format *onnx.FormatError
			assert.ErrorAs(t, err, &format)
		})
	}
}

// A file of 2 GB, in tensors of a megabyte or in one, is passed over: the disk holds little of it here, and reads less.
func TestReadGraphOf2GB(t *testing.T) {
	for _, row := range []struct {
		why  string
		each int // bytes of a tensor
	}{{"many tensors", 1 << 20}, {"one tensor", 2047 << 20}} {
		t.Run(row.why, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "big.onnx")
			tensors := sparse(t, path, 2047<<20, row.each)
			var g onnx.Graph
			var err error
			begin := time.Now()
			allocated := allocates(func() { g, err = onnx.ReadGraphFile(path) })
			took := time.Since(begin)
			require.NoError(t, err)
			assert.Len(t, g.Tensors, tensors)
			assert.Less(t, took, 2*time.Second)
			assert.Less(t, allocated, uint64(64<<20), "bytes")
			t.Logf("%d tensors: %v, %.1f MB allocated", tensors, took, float64(allocated)/1e6)
		})
	}
}

// sparse writes a model of about size bytes whose tensors are holes, and returns how many there are.
func sparse(t *testing.T, path string, size, each int) int {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	defer file.Close()
	tensor := func(i int) []byte {
		return join(varint(1, uint64(each)), varint(2, 3), text(8, "w"+string(rune('a'+i%26))+strings.Repeat("x", i/26)),
			protowire.AppendVarint(protowire.AppendTag(nil, 9, protowire.BytesType), uint64(each)))
	}
	n := size / each
	length := 0
	head := func(i int) []byte {
		body := tensor(i)
		return append(protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.BytesType), uint64(len(body)+each)), body...)
	}
	for i := range n {
		length += len(head(i)) + each
	}
	ends := join(info(11, "x", 1, int64(1)), info(12, "y", 1, int64(1)))
	at := int64(0)
	write := func(b []byte) {
		_, err := file.WriteAt(b, at)
		require.NoError(t, err)
		at += int64(len(b))
	}
	write(join(varint(1, 8), text(8, varint(2, 17))))
	write(protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.BytesType), uint64(length+len(ends))))
	write(ends)
	for i := range n {
		write(head(i))
		at += int64(each)
	}
	require.NoError(t, file.Truncate(at))
	return n
}

// allocates is how many bytes f allocates, an upper bound of what it holds at once.
func allocates(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func BenchmarkReadGraphFile(b *testing.B) {
	stat, err := os.Stat(moveNet)
	require.NoError(b, err)
	b.SetBytes(stat.Size())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := onnx.ReadGraphFile(moveNet); err != nil {
			b.Fatal(err)
		}
	}
}

// Whatever the bytes are, ReadGraph ends with a graph or an error, and does not depend on how they arrive.
func FuzzReadGraph(f *testing.F) {
	f.Add(small())
	f.Add(join(varint(1, 8), text(7, text(1, text(1, "x"), text(2, "y"), text(4, "ConvInteger"), text(5, text(1, "group"), varint(3, 2))),
		text(5, varint(1, 2), varint(1, 1), varint(2, 3), text(5, "\x01\x7f"), text(8, "w")), info(11, "x", 1), info(12, "y", 1)), text(8, varint(2, 17))))
	f.Add(join(varint(1, 8), text(7, text(1, text(4, "If"), text(5, text(1, "b"), text(6, text(1, text(4, "Relu"))))),
		text(5, text(8, "w"), text(13, text(1, "location"), text(2, "w.bin"))), info(11, "x", 1), info(12, "y", 1)), text(8, varint(2, 17)),
		text(25, text(1, "Mine"), text(10, "my.ops"))))
	f.Add(nested(40))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readGraph(b)
		slow, slowErr := onnx.ReadGraph(iotest.OneByteReader(bytes.NewReader(b)), int64(len(b)))
		assert.Equal(t, got, slow)
		assert.Equal(t, err, slowErr)
		if err != nil {
			assert.Zero(t, got)
			if !bytes.Contains(b, []byte("%!")) { // which a name may be, too
				assert.NotContains(t, err.Error(), "%!", "a format without its value")
			}
			return
		}
		for name, w := range got.Tensors {
			assert.GreaterOrEqual(t, w.Elements(), int64(0), name)
		}
		head, err := read(b)
		require.NoError(t, err)
		assert.Equal(t, head, got.Model, "the head is the same by either way")
	})
}

func readGraph(b []byte) (onnx.Graph, error) {
	return onnx.ReadGraph(bytes.NewReader(b), int64(len(b)))
}
