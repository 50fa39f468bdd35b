package session_test

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"testing"

	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// A model can't bring code: whatever it asks for beyond ONNX Runtime's own operators, it is refused in words, and no library is
// opened, also not one that lies beside it. The runtime opens such libraries only for a program that names them
// (RegisterCustomOpsLibrary, RegisterExecutionProviderLibrary, options of providers), which this package does not do: it has no
// option for the first, the second is in builds with the tag ortplugin alone, for a path that who calls [session.Open] names, and so are
// options of providers, among which there is none that names a library.
func TestModelBringsNoCode(t *testing.T) {
	for _, row := range []struct {
		why, domain, op string
		attributes      map[string]string
		metadata        map[string]string
		want            string // in the words of the refusal
	}{
		{why: "an operator of its own", domain: "com.evil", op: "Run", want: "com.evil:Run"},
		{why: "one whose domain is a library's path", domain: "./libevil.so", op: "Run", want: "Run"},
		{why: "one of Microsoft's extensions, whose library is not there", domain: "ai.onnx.contrib", op: "PyOp", want: "PyOp"},
		{why: "a node that a provider compiled before", domain: "com.microsoft", op: "EPContext",
			attributes: map[string]string{"ep_cache_context": "./libevil.so", "source": "OpenVINOExecutionProvider"}, want: "EPContext"},
		{why: "options of the session in the model, which a variable that workers don't get would turn on", domain: "com.evil", op: "Run",
			metadata: map[string]string{"ort_config": `{"session_options": {"session.custom_ops_library": "./libevil.so"}}`}, want: "com.evil:Run"},
	} {
		t.Run(row.why, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"libevil.so", "com.evil.so", "libcustom_op_library.so"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("a library"), 0o644))
			}
			path := filepath.Join(dir, "m.onnx")
			require.NoError(t, os.WriteFile(path, oneNode(row.domain, row.op, row.attributes, row.metadata), 0o644))
			before := libraries(t)
			info := tensor.Info{Name: "x", Type: "float32", Shape: []int64{1}}
			out := info
			out.Name = "y"
			_, _, err := session.Open(session.Options{Model: path, Provider: "cpu", Threads: 1, Inputs: []tensor.Info{info}, Outputs: []tensor.Info{out}})
			var load *session.LoadError
			require.ErrorAs(t, err, &load)
			assert.ErrorContains(t, err, row.want)
			assert.Equal(t, before, libraries(t), "libraries that the process has opened")
		})
	}
}

// oneNode is an ONNX model of one node from x to y.
func oneNode(domain, op string, attributes, metadata map[string]string) []byte {
	text := func(field protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), s)
	}
	number := func(field protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), n)
	}
	message := func(field protowire.Number, parts ...[]byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), slices.Concat(parts...))
	}
	value := func(field protowire.Number, name string) []byte { // ValueInfoProto: float32 [1]
		return message(field, text(1, name), message(2, message(1, number(1, 1), message(2, message(1, number(1, 1))))))
	}
	node := [][]byte{text(1, "x"), text(2, "y"), text(3, "n"), text(4, op), text(7, domain)}
	for name, s := range attributes {
		node = append(node, message(5, text(1, name), text(4, s), number(20, 3))) // AttributeProto: a string
	}
	model := [][]byte{number(1, 8), message(7, message(1, node...), text(2, "g"), value(11, "x"), value(12, "y")),
		message(8, text(1, ""), number(2, 17)), message(8, text(1, domain), number(2, 1))}
	for key, s := range metadata {
		model = append(model, message(14, text(1, key), text(2, s)))
	}
	return slices.Concat(model...)
}

var library = regexp.MustCompile(`/\S*\.so\S*`)

// libraries are those that this process has opened, sorted; none where the system does not tell.
func libraries(t *testing.T) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	all := library.FindAllString(string(maps), -1)
	require.NotEmpty(t, all, "the runtime's own")
	slices.Sort(all)
	return slices.Compact(all)
}
