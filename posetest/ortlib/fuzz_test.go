package ortlib

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/sums"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wheelOf is a wheel of files by name, two of which may be equal.
func wheelOf(t testing.TB, files ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, name := range files {
		w, err := z.Create(name)
		require.NoError(t, err)
		if strings.HasSuffix(name, "/") { // a folder has no content
			continue
		}
		_, err = fmt.Fprintf(w, "content %d", i/2)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// Whatever bytes stand for a wheel: what is unpacked is what the list says, to the byte, and nothing is anywhere else; an error
// names the wheel.
func FuzzWheel(f *testing.F) {
	whole := wheelOf(f, "onnxruntime/capi/libonnxruntime.so.1.23.2", "onnxruntime/capi/libonnxruntime.so", "onnxruntime/LICENSE", "other/x.py")
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(wheelOf(f, "onnxruntime/capi/a.so", "onnxruntime/capi/a.so"))
	f.Add(wheelOf(f, "../a.so", "onnxruntime/capi/../../b.dll"))
	f.Add(wheelOf(f, "onnxruntime/capi/a.dylib/", `onnxruntime\capi\b.dll`))
	f.Fuzz(func(t *testing.T, content []byte) {
		root := t.TempDir()
		dir, wheel := filepath.Join(root, "a", "b"), filepath.Join(root, "w.whl")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(wheel, content, 0o644))
		if z, err := zip.NewReader(bytes.NewReader(content), int64(len(content))); err == nil {
			for _, entry := range z.File {
				if entry.UncompressedSize64 > 1<<20 {
					return // it would be slow, not wrong: a wheel is unpacked after its sum was checked
				}
			}
		}
		files, err := unpack(t.Context(), wheel, dir)
		for _, parent := range []string{root, filepath.Join(root, "a")} {
			inside, err := os.ReadDir(parent)
			require.NoError(t, err)
			for _, e := range inside {
				require.Contains(t, []string{"a", "b", "w.whl"}, e.Name(), "left its folder")
			}
		}
		if err != nil {
			assert.Contains(t, err.Error(), "w.whl")
			return
		}
		unpacked, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, unpacked, len(files))
		for i, listed := range files {
			assert.Equal(t, listed.Name, unpacked[i].Name(), "sorted by name")
			sum, size, err := sums.Of(t.Context(), filepath.Join(dir, listed.Name))
			require.NoError(t, err)
			assert.Equal(t, listed, sums.Entry{Name: listed.Name, Size: size, SHA256: sum})
		}
	})
}

// A name is read as it is written: of a wheel, and of a runtime in either way.
func FuzzNames(f *testing.F) {
	f.Add("onnxruntime-1.23.2-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl")
	f.Add("openvino-1.24.1")
	f.Add("onnxruntime-directml@1.23.0")
	f.Add("onnxruntime@1.2")
	f.Fuzz(func(t *testing.T, name string) {
		if tags, err := parseWheel(name); err == nil {
			assert.Equal(t, name, fmt.Sprintf("%s-%s-cp%s-%s-%s.whl", tags.distribution, tags.version, strings.Replace(tags.python, ".", "", 1), tags.abi, strings.Join(tags.platforms, ".")))
		} else {
			assert.ErrorContains(t, err, fmt.Sprintf("%q", name))
		}
		r, err := parseID(name)
		if err != nil {
			assert.ErrorContains(t, err, fmt.Sprintf("%q", name))
			return
		}
		assert.Contains(t, []string{r.ID(), r.String()}, name)
		for _, again := range []string{r.ID(), r.String()} {
			got, err := parseID(again)
			require.NoError(t, err)
			assert.Equal(t, r, got, again)
		}
	})
}

// counting counts the bytes that are read.
type counting struct {
	io.ReaderAt
	n int64
}

func (c *counting) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, at)
	c.n += int64(n)
	return n, err
}

// The headers of a library are read in a time that goes with its size, and tell of a machine, whoever asks.
func FuzzReadImage(f *testing.F) {
	dir := bindingLibraries(f)
	for _, name := range []string{"onnxruntime_arm64.so", "onnxruntime.dll", "onnxruntime_arm64.dylib"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(f, err)
		f.Add(content[:2048])
	}
	f.Add(manyNames(1000))
	f.Add([]byte{0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, content []byte) {
		r := &counting{ReaderAt: bytes.NewReader(content)}
		img, err := readImage(r, "linux/amd64")
		if !bytes.HasPrefix(content, []byte{0xca, 0xfe, 0xba, 0xbe}) { // of a fat one, Go's reader reads each part as a whole
			assert.LessOrEqual(t, r.n, int64(1000*len(content)+1<<16), "bytes read of %d", len(content))
		}
		if err != nil {
			return
		}
		require.NotEmpty(t, img.platforms)
		for _, platform := range img.platforms {
			assert.Contains(t, platform, "/")
		}
		again, err := readImage(bytes.NewReader(content), "linux/amd64")
		require.NoError(t, err)
		assert.Equal(t, img, again)
	})
}
