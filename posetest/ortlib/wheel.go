package ortlib

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/sums"
)

// wheelTags is what the name of a wheel says (Python's "binary distribution format", file name convention).
type wheelTags struct {
	distribution, version string
	python                string // as pip wants it: 3.11
	abi                   string
	platforms             []string
}

var wheelName = regexp.MustCompile(`^([a-z0-9_]+)-(\d+(?:\.\d+)*)-cp(\d)(\d+)-([a-z0-9]+)-([a-z0-9_.]+)\.whl$`)

func parseWheel(name string) (wheelTags, error) {
	m := wheelName.FindStringSubmatch(name)
	if m == nil {
		return wheelTags{}, fmt.Errorf("%q, want a name such as onnxruntime-1.23.2-cp311-cp311-manylinux_2_28_x86_64.whl", name)
	}
	return wheelTags{m[1], m[2], m[3] + "." + m[4], m[5], strings.Split(m[6], ".")}, nil
}

// libraryDir is where every wheel of ONNX Runtime keeps its libraries.
const libraryDir = "onnxruntime/capi"

// isLibrary reports whether the file of that name is a shared library, except the Python module, which is a second
// copy of ONNX Runtime linked against Python.
func isLibrary(name string) bool {
	return !strings.Contains(name, "pybind11_state") &&
		(strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.") || strings.HasSuffix(name, ".dylib") || strings.HasSuffix(name, ".dll"))
}

var licences = []string{"onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"}

// unpack writes the libraries and licences of a wheel into dir, side by side, and syncs them. Files with equal content
// (libopenvino.so, libopenvino.so.2541) become one file with several names where the file system can. A name that
// leaves its folder, or a library that is no regular file, makes the whole wheel suspect and is an error.
func unpack(ctx context.Context, wheel, dir string) (sums.List, error) {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return nil, fmt.Errorf("%s is no readable wheel: %w", filepath.Base(wheel), err)
	}
	defer z.Close()
	var files sums.List
	first := map[string]string{} // by sum
	for _, entry := range z.File {
		if strings.Contains(entry.Name, `\`) || !filepath.IsLocal(strings.TrimSuffix(entry.Name, "/")) {
			return nil, fmt.Errorf("%s has an entry %q that would leave its folder: nothing was unpacked; do not use this wheel", filepath.Base(wheel), entry.Name)
		}
		library := path.Dir(entry.Name) == libraryDir && isLibrary(path.Base(entry.Name))
		if !library && !slices.Contains(licences, entry.Name) {
			continue
		}
		if !entry.Mode().IsRegular() {
			return nil, fmt.Errorf("%s has an entry %q that is no regular file (%v): nothing was unpacked; do not use this wheel", filepath.Base(wheel), entry.Name, entry.Mode())
		}
		f, err := unpackEntry(ctx, entry, filepath.Join(dir, path.Base(entry.Name)))
		if err != nil {
			return nil, fmt.Errorf("unpacking %s of %s: %w", entry.Name, filepath.Base(wheel), err)
		}
		if same, ok := first[f.SHA256]; ok {
			if err := linkInstead(dir, same, f.Name); err != nil {
				return nil, err
			}
		} else {
			first[f.SHA256] = f.Name
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b sums.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return files, nil
}

func unpackEntry(ctx context.Context, entry *zip.File, target string) (sums.Entry, error) {
	in, err := entry.Open()
	if err != nil {
		return sums.Entry{}, err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return sums.Entry{}, err
	}
	defer out.Close()
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(out, sum), sums.Reader{Ctx: ctx, Reader: in})
	if err != nil {
		return sums.Entry{}, err
	}
	if err := out.Sync(); err != nil {
		return sums.Entry{}, err
	}
	return sums.Entry{Name: filepath.Base(target), Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, out.Close()
}

// linkInstead makes name a second name of same. Without hard links the copy stays.
func linkInstead(dir, same, name string) error {
	link := filepath.Join(dir, name+".link")
	if err := os.Link(filepath.Join(dir, same), link); err != nil {
		return nil
	}
	return os.Rename(link, filepath.Join(dir, name))
}

// mainLibrary matches ONNX Runtime itself, under the names that it has on Linux, macOS and Windows.
var mainLibrary = regexp.MustCompile(`^(libonnxruntime\.so(\.\d+)*|libonnxruntime(\.\d+)*\.dylib|onnxruntime\.dll)$`)

// providerLibrary matches a provider that is a library of its own; "shared" is the bridge that all of those need.
var providerLibrary = regexp.MustCompile(`^(?:lib)?onnxruntime_providers_([a-z0-9]+)\.(?:so|dylib|dll)$`)

// builtIn names, for providers that are compiled into the main library, the C++ class whose run-time type name is in
// the library exactly when the provider is, as the Itanium ABI and as Microsoft's compiler write it. (The bare
// names, such as CoreMLExecutionProvider, are in every build: they are in a list of all that exist.)
var builtIn = map[string][]string{
	"coreml":   {"23CoreMLExecutionProviderE"},
	"directml": {".?AVExecutionProvider@Dml@@"},
	"qnn":      {"20QNNExecutionProviderE", ".?AVQNNExecutionProvider@"},
	"webgpu":   {"23WebGpuExecutionProviderE", ".?AVWebGpuExecutionProvider@"},
	"xnnpack":  {"24XnnpackExecutionProviderE", ".?AVXnnpackExecutionProvider@"},
}

// providers derives from unpacked files which execution providers a build brings: cpu always; one for each provider
// library, save for OpenVINO's if OpenVINO itself is not there, as in the Windows wheels of onnxruntime-openvino (CUDA
// and TensorRT come with the machine); and the built-in ones by their type names. The azure provider, which runs nothing
// itself, is left out.
func providers(dir, library string, files sums.List) ([]string, error) {
	found := []string{}
	has := func(name string) bool {
		return slices.ContainsFunc(files, func(f sums.Entry) bool { return strings.EqualFold(f.Name, name) })
	}
	for _, f := range files {
		m := providerLibrary.FindStringSubmatch(f.Name)
		if m == nil || m[1] == "shared" {
			continue
		}
		imports, err := imports(filepath.Join(dir, f.Name))
		if err != nil {
			return nil, err
		}
		if m[1] != "openvino" || !slices.ContainsFunc(imports, func(name string) bool {
			return strings.Contains(strings.ToLower(name), m[1]) && !has(path.Base(name))
		}) {
			found = append(found, m[1])
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, library))
	if err != nil {
		return nil, err
	}
	for name, types := range builtIn {
		if slices.ContainsFunc(types, func(t string) bool { return bytes.Contains(text, []byte(t)) }) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return append([]string{"cpu"}, slices.Compact(found)...), nil
}

func imports(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := readImage(f, machine)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return img.imports, nil
}
