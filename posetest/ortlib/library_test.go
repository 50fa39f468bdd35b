package ortlib

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/sums"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bindingLibraries returns the folder of libraries that the binding's module ships for its own tests.
func bindingLibraries(t testing.TB) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	require.NoError(t, err, "go list finds the module of the ONNX Runtime binding")
	dir := filepath.Join(strings.TrimSpace(string(out)), "test_data")
	require.DirExists(t, dir, `run "go mod download"`)
	return dir
}

func TestCheckLibrary(t *testing.T) {
	dir, shipped := t.TempDir(), bindingLibraries(t)
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o644))
		return path
	}
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(shipped, name))
		require.NoError(t, err)
		return content
	}
	elf, dll, dylib := read("onnxruntime_arm64.so"), read("onnxruntime.dll"), read("onnxruntime_arm64.dylib")
	program := bytes.Clone(elf)
	program[16] = 2 // e_type: ET_EXEC
	hidden := bytes.ReplaceAll(dll, []byte("OrtGetApiBase\x00"), []byte("OrtGetApiBasf\x00"))

	for _, row := range []struct{ why, path, platform, want string }{
		{"ELF for its own machine", filepath.Join(shipped, "onnxruntime_arm64.so"), "linux/arm64", ""},
		{"Mach-O for its own machine", filepath.Join(shipped, "onnxruntime_arm64.dylib"), "darwin/arm64", ""},
		{"Mach-O for Intel", filepath.Join(shipped, "onnxruntime_amd64.dylib"), "darwin/amd64", ""},
		{"PE for its own machine", filepath.Join(shipped, "onnxruntime.dll"), "windows/amd64", ""},
		{"another CPU", filepath.Join(shipped, "onnxruntime_arm64.so"), "linux/amd64", "onnxruntime_arm64.so is for linux/arm64, linux/amd64 is wanted here: get the library for linux/amd64"},
		{"another system", filepath.Join(shipped, "onnxruntime.dll"), "linux/amd64", "onnxruntime.dll is for windows/amd64, linux/amd64 is wanted here"},
		{"another system with the same CPU", filepath.Join(shipped, "onnxruntime_arm64.dylib"), "linux/arm64", "is for darwin/arm64, linux/arm64 is wanted"},
		{"no file", filepath.Join(dir, "nowhere.so"), machine, "cannot read the ONNX Runtime library: "},
		{"a folder, as many would give", dir, machine, "is a folder: name the library file in it"},
		{"empty", write("empty.so", nil), machine, "empty.so is empty: get the library again"},
		{"text", write("text.so", []byte("<html>404</html>")), machine, "text.so is no shared library (neither ELF, Mach-O nor PE)"},
		{"two bytes", write("MZ.dll", []byte("MZ")), machine, "MZ.dll is damaged or cut short (2 bytes"},
		{"ELF cut in half", write("half.so", elf[:len(elf)/2]), "linux/arm64", "is damaged or cut short"},
		{"ELF cut in its header", write("head.so", elf[:40]), "linux/arm64", "is damaged or cut short (40 bytes"},
		{"PE cut in half", write("half.dll", dll[:len(dll)/2]), "windows/amd64", "cut short"},
		{"Mach-O cut in half", write("half.dylib", dylib[:len(dylib)/2]), "darwin/arm64", "cut short"},
		{"Mach-O without its last page", write("most.dylib", dylib[:len(dylib)-4096]), "darwin/arm64", "cut short"},
		{"a program", write("program", program), "linux/arm64", "is a program or an object file"},
		{"a library that is not ONNX Runtime", write("other.dll", hidden), "windows/amd64", "does not export OrtGetApiBase: name the main library"},
	} {
		t.Run(row.why, func(t *testing.T) {
			err := checkFile(row.path, row.platform)
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.want)
			assert.NotContains(t, err.Error(), "\n", "one sentence")
		})
	}
}

func TestProviders(t *testing.T) {
	shipped := bindingLibraries(t)
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(shipped, name))
		require.NoError(t, err)
		return content
	}
	dll := read("onnxruntime.dll")
	imported, err := imports(filepath.Join(shipped, "onnxruntime.dll"))
	require.NoError(t, err)
	require.Contains(t, imported, "KERNEL32.dll", "debug/pe would say that a DLL imports nothing")
	needsVINO := bytes.ReplaceAll(dll, []byte("KERNEL32.dll"), []byte("openvino.dll"))

	for _, row := range []struct {
		why   string
		files map[string][]byte
		main  string
		want  []string
	}{
		{"a plain build", map[string][]byte{"onnxruntime.dll": dll, "onnxruntime_providers_shared.dll": dll}, "onnxruntime.dll", []string{"cpu"}},
		{"CoreML and, in the release archives, WebGPU are compiled in on macOS", map[string][]byte{"l.dylib": read("onnxruntime_arm64.dylib")}, "l.dylib", []string{"cpu", "coreml", "webgpu"}},
		{"a provider that is a library, with what it needs", map[string][]byte{"onnxruntime.dll": dll, "onnxruntime_providers_openvino.dll": needsVINO, "openvino.dll": dll}, "onnxruntime.dll", []string{"cpu", "openvino"}},
		{"the Windows wheels: the provider without OpenVINO", map[string][]byte{"onnxruntime.dll": dll, "onnxruntime_providers_openvino.dll": needsVINO}, "onnxruntime.dll", []string{"cpu"}},
		{"CUDA's own libraries are the machine's", map[string][]byte{"onnxruntime.dll": dll, "onnxruntime_providers_cuda.dll": dll}, "onnxruntime.dll", []string{"cpu", "cuda"}},
		{"the class of DirectML is named otherwise", map[string][]byte{"onnxruntime.dll": []byte("…XnnpackExecutionProvider….?AVExecutionProvider@Dml@@…")}, "onnxruntime.dll", []string{"cpu", "directml"}},
	} {
		t.Run(row.why, func(t *testing.T) {
			dir := t.TempDir()
			var files sums.List
			for name, content := range row.files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
				files = append(files, sums.Entry{Name: name})
			}
			got, err := providers(dir, row.main, files)
			require.NoError(t, err)
			assert.Equal(t, row.want, got)
		})
	}
}

func FuzzCheck(f *testing.F) {
	dir := bindingLibraries(f)
	for _, name := range []string{"onnxruntime_arm64.so", "onnxruntime.dll", "onnxruntime_arm64.dylib"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(f, err)
		f.Add(content[:4096])
	}
	f.Add([]byte{0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, content []byte) {
		// No file this small is ONNX Runtime; what counts is that it is refused without a panic.
		require.Error(t, check(bytes.NewReader(content), int64(len(content)), "linux/amd64"))
	})
}
