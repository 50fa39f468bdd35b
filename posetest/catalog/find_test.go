package catalog_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// put writes a file below dir, and returns its path.
func put(t *testing.T, dir, name, text string) string {
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// entry is a model whose file has that text.
func entry(where catalog.Where, precision, text string) catalog.Model {
	return catalog.Model{ID: "net", Precision: precision, File: "net-" + precision + ".onnx", SHA256: sumOf(text), Size: int64(len(text)), Where: where}
}

func TestFindInRepository(t *testing.T) {
	dir := t.TempDir()
	m := entry(catalog.Repository, "fp32", "weights")
	longer := m
	longer.Size++
	path := filepath.Join(dir, m.File)
	for _, row := range []struct {
		why, text string
		model     catalog.Model
		want      string // error
	}{
		{"the file of the entry", "weights", m, ""},
		{"a file that was changed, or a pointer of Git LFS", "other", m, "model " + path + ": sha256 is " + sumOf("other") + " (5 bytes), and its entry in models.json says " + sumOf("weights") + " (7 bytes); restore the file, or, if it is meant to be new, its entry"},
		{"an entry whose sum is the file's, and its size not: the entry is wrong", "weights", longer, "model " + path + ": has the sha256 of its entry in models.json and 7 bytes, not 8; correct the entry's size"},
	} {
		t.Run(row.why, func(t *testing.T) {
			put(t, dir, m.File, row.text)
			finder := catalog.Finder{Dir: dir}
			files, err := finder.Find(row.model)
			if row.want != "" {
				require.EqualError(t, err, row.want)
				assert.Nil(t, files, "nobody runs what is not the entry's")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, []catalog.File{{Path: path, SHA256: sumOf("weights"), Size: 7, ID: "net"}}, files)
		})
	}
	t.Run("a file that is gone", func(t *testing.T) {
		finder := catalog.Finder{Dir: t.TempDir()}
		_, err := finder.Find(m)
		isMissing(t, err, "restore it from the repository")
	})
	t.Run("a folder of its name", func(t *testing.T) {
		finder := catalog.Finder{Dir: t.TempDir()}
		require.NoError(t, os.Mkdir(filepath.Join(finder.Dir, m.File), 0o755))
		_, err := finder.Find(m)
		require.ErrorContains(t, err, m.File+": is a folder or a device, not a file; remove it")
	})
	t.Run("an entry that Open would refuse", func(t *testing.T) {
		_, err := new(catalog.Finder).Find(catalog.Model{ID: "net", Where: "web"})
		require.EqualError(t, err, `model net: where is "web", and must be repository, data or derived`)
	})
}

func isMissing(t *testing.T, err error, remedy string) {
	t.Helper()
	var missing *catalog.MissingError
	require.ErrorAs(t, err, &missing)
	assert.Contains(t, missing.Remedy, remedy)
	assert.Contains(t, err.Error(), missing.What+" is missing; ")
}

// On the data path a file with another sum is another export of the model, and becomes a model of its own.
func TestFindOnDataPath(t *testing.T) {
	m := entry(catalog.Data, "fp32", "weights")
	other := "net~" + sumOf("other")[:8]
	type file struct{ dir, name, text string }
	for _, row := range []struct {
		why   string
		files []file
		want  []string // ids
	}{
		{"in models/ of a folder", []file{{"a", "models/net-fp32.onnx", "weights"}}, []string{"net"}},
		{"or in the folder itself", []file{{"b", "net-fp32.onnx", "weights"}}, []string{"net"}},
		{"or where `make yolo` puts it", []file{{"cache", "models/net-fp32.onnx", "weights"}}, []string{"net"}},
		{"another export alone", []file{{"a", "models/net-fp32.onnx", "other"}}, []string{other}},
		{"two exports are two models, in the order of the path", []file{{"a", "models/net-fp32.onnx", "weights"}, {"b", "models/net-fp32.onnx", "other"}}, []string{"net", other}},
		{"the entry's own is not marked wherever it stands", []file{{"a", "models/net-fp32.onnx", "other"}, {"b", "models/net-fp32.onnx", "weights"}}, []string{other, "net"}},
		{"the same export twice is one", []file{{"a", "net-fp32.onnx", "weights"}, {"b", "net-fp32.onnx", "weights"}, {"cache", "models/net-fp32.onnx", "weights"}}, []string{"net"}},
		{"a file of another name is another model's", []file{{"a", "net-fp32.onnx", "weights"}, {"a", "net.onnx", "other"}}, []string{"net"}},
	} {
		t.Run(row.why, func(t *testing.T) {
			root := t.TempDir()
			for _, f := range row.files {
				put(t, root, f.dir+"/"+f.name, f.text)
			}
			finder := catalog.Finder{Data: []string{filepath.Join(root, "a"), filepath.Join(root, "b")}, Cache: filepath.Join(root, "cache")}
			files, err := finder.Find(m)
			require.NoError(t, err)
			var ids []string
			for _, f := range files {
				ids = append(ids, f.ID)
				sum, err := catalog.Sum(f.Path)
				require.NoError(t, err)
				assert.Equal(t, sum, f.SHA256)
			}
			assert.Equal(t, row.want, ids)
		})
	}
	t.Run("nowhere", func(t *testing.T) {
		finder := catalog.Finder{Data: []string{t.TempDir()}, Cache: t.TempDir()}
		_, err := finder.Find(m)
		isMissing(t, err, "set POSETEST_DATA to the folder that holds models/net-fp32.onnx, or run `make yolo`")
	})
	t.Run("without data path and cache, the working directory is neither", func(t *testing.T) {
		t.Chdir(t.TempDir())
		put(t, ".", m.File, "weights")
		_, err := new(catalog.Finder).Find(m)
		isMissing(t, err, "set POSETEST_DATA")
	})
	t.Run("an entry with the sum and another size is wrong", func(t *testing.T) {
		finder := catalog.Finder{Data: []string{t.TempDir()}}
		put(t, finder.Data[0], m.File, "weights")
		short := m
		short.Size = 6
		_, err := finder.Find(short)
		require.ErrorContains(t, err, "7 bytes, not 6; correct the entry's size")
	})
	t.Run("a folder of its name", func(t *testing.T) {
		finder := catalog.Finder{Data: []string{t.TempDir()}}
		require.NoError(t, os.Mkdir(filepath.Join(finder.Data[0], m.File), 0o755))
		_, err := finder.Find(m)
		require.ErrorContains(t, err, "is a folder or a device, not a file")
	})
}

// A derived model is found for each export of its source, in the folder of that export's sum.
func TestFindDerived(t *testing.T) {
	source, derived := entry(catalog.Data, "fp32", "weights"), entry(catalog.Derived, "int8", "quantized")
	elsewhere := entry(catalog.Data, "fp32", "weights")
	elsewhere.ID = "else"
	made := func(text string) string { return "cache/models/" + sumOf(text)[:16] + "/net-int8.onnx" }
	wrong := derived
	wrong.Size = 1
	for _, row := range []struct {
		why     string
		model   catalog.Model
		models  []catalog.Model
		files   map[string]string // text by path
		want    []string          // ids
		err     string
		missing bool
	}{
		{why: "made of the source", model: derived, models: []catalog.Model{source, derived},
			files: map[string]string{"a/net-fp32.onnx": "weights", made("weights"): "quantized"}, want: []string{"net"}},
		{why: "made of two exports: the second's sum is in no entry", model: derived, models: []catalog.Model{source, derived},
			files: map[string]string{"a/models/net-fp32.onnx": "weights", "b/models/net-fp32.onnx": "other", made("weights"): "quantized", made("other"): "anything"}, want: []string{"net", "net~" + sumOf("other")[:8]}},
		{why: "no source", model: derived, models: []catalog.Model{source, derived}, err: "set POSETEST_DATA", missing: true},
		{why: "not made yet", model: derived, models: []catalog.Model{source, derived},
			files: map[string]string{"a/net-fp32.onnx": "weights"}, err: "model net-int8.onnx is missing; make it from net-fp32.onnx with `make models`", missing: true},
		{why: "made of one export and not of the other: `make models` makes both", model: derived, models: []catalog.Model{source, derived},
			files: map[string]string{"a/net-fp32.onnx": "weights", "b/net-fp32.onnx": "other", made("weights"): "quantized"}, err: "with `make models`", missing: true},
		{why: "made by another quantizer, or cut", model: derived, models: []catalog.Model{source, derived},
			files: map[string]string{"a/net-fp32.onnx": "weights", made("weights"): "quant"},
			err:   "net-int8.onnx: sha256 is " + sumOf("quant") + " (5 bytes), and its entry in models.json says " + sumOf("quantized") + " (9 bytes); delete it and run `make models`"},
		{why: "an entry with the sum and another size", model: wrong, models: []catalog.Model{source, wrong},
			files: map[string]string{"a/net-fp32.onnx": "weights", made("weights"): "quantized"}, err: "9 bytes, not 1; correct the entry's size"},
		{why: "a catalogue without its source", model: derived, models: []catalog.Model{elsewhere, derived},
			files: map[string]string{"a/net-fp32.onnx": "weights"}, err: "model net int8: is derived, but the catalogue has no variant of it on the data path to derive it from"},
	} {
		t.Run(row.why, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range row.files {
				put(t, root, name, text)
			}
			finder := catalog.Finder{Data: []string{filepath.Join(root, "a"), filepath.Join(root, "b")}, Cache: filepath.Join(root, "cache"), Models: row.models}
			files, err := finder.Find(row.model)
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				if row.missing {
					isMissing(t, err, "")
				} else {
					assert.False(t, errors.As(err, new(*catalog.MissingError)), "it is there, and wrong")
				}
				assert.Nil(t, files)
				return
			}
			require.NoError(t, err)
			var ids []string
			for _, f := range files {
				ids = append(ids, f.ID)
				assert.Equal(t, row.model.File, filepath.Base(f.Path))
				assert.Equal(t, filepath.Join(root, "cache", "models"), filepath.Dir(filepath.Dir(f.Path)))
			}
			assert.Equal(t, row.want, ids)
		})
	}
	finder := catalog.Finder{Cache: "cache"}
	assert.Equal(t, filepath.Join("cache", "models", sumOf("weights")[:16]), finder.DerivedDir(sumOf("weights")))
}

// A matrix asks for its files from many goroutines, and a file that was made anew meanwhile is not mistaken for the old.
func TestFindAgain(t *testing.T) {
	m := entry(catalog.Data, "fp32", "weights")
	root := t.TempDir()
	data := append(make([]string, 0, 8), root) // has room behind its end, which is nobody's to write to
	finder := catalog.Finder{Data: data, Cache: filepath.Join(root, "cache")}
	put(t, root, m.File, "weights")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			files, err := finder.Find(m)
			if assert.NoError(t, err) {
				assert.Equal(t, "net", files[0].ID)
			}
		})
	}
	all.Wait()
	assert.Empty(t, data[:2][1], "behind the end of the caller's list")

	put(t, root, m.File, "weights of another size")
	files, err := finder.Find(m)
	require.NoError(t, err)
	assert.Equal(t, "net~"+sumOf("weights of another size")[:8], files[0].ID)
}

func TestFixture(t *testing.T) {
	root := t.TempDir()
	list, first, second := filepath.Join(root, "fixtures"), filepath.Join(root, "first"), filepath.Join(root, "second")
	require.NoError(t, os.Mkdir(first, 0o755))
	put(t, list, "one.png", "pixels")
	put(t, list, "changed.png", "other pixels")
	put(t, first, "one.png", "not looked at")
	put(t, second, "val/two.jpg", "photograph")
	put(t, second, "annotations/val.json", "{}")
	put(t, second, "val/three.jpg", "photograph")
	put(t, first, "val/four.jpg", "cut")
	put(t, second, "val/four.jpg", "photograph")
	require.NoError(t, os.Mkdir(filepath.Join(list, "folder.png"), 0o755))
	for _, row := range []struct {
		why, file, text, annotations string
		want, missing, err           string
	}{
		{why: "one of the repository is beside the list", file: "one.png", text: "pixels", want: filepath.Join(list, "one.png")},
		{why: "one with annotations is on the data path, where these are, too", file: "val/two.jpg", text: "photograph", annotations: "annotations/val.json", want: filepath.Join(second, "val", "two.jpg")},
		{why: "one of the repository that is gone", file: "gone.png", text: "pixels", missing: "restore it from the repository"},
		{why: "one that no folder of the data path has", file: "val/gone.jpg", text: "photograph", annotations: "annotations/val.json", missing: "set POSETEST_DATA to the folder that holds it"},
		{why: "a photograph of the repository is not beside the data's annotations", file: "one.png", text: "pixels", annotations: "annotations/val.json", err: "photograph " + filepath.Join(first, "one.png")},
		{why: "a photograph whose annotations are not here", file: "val/three.jpg", text: "photograph", annotations: "annotations/train.json", missing: "bring that file"},
		{why: "a photograph that was edited, or saved anew", file: "changed.png", text: "pixels", err: "photograph " + filepath.Join(list, "changed.png") + ": sha256 is " + sumOf("other pixels") + ", and its entry x in fixtures.json says " + sumOf("pixels") + "; restore the file"},
		{why: "the first folder's counts, even if the second's is right", file: "val/four.jpg", text: "photograph", annotations: "annotations/val.json", err: filepath.Join(first, "val", "four.jpg")},
		{why: "a folder of its name", file: "folder.png", text: "pixels", err: "is a folder or a device, not a file; remove it"},
	} {
		t.Run(row.why, func(t *testing.T) {
			finder := catalog.Finder{Data: []string{first, second}}
			path, annotations, err := finder.Fixture(list, catalog.Fixture{ID: "x", File: row.file, SHA256: sumOf(row.text), Annotations: row.annotations})
			assert.Equal(t, row.want, path)
			switch {
			case row.missing != "":
				isMissing(t, err, row.missing)
				assert.ErrorContains(t, err, filepath.Base(row.file[:len(row.file)-4]), "names what is missing")
			case row.err != "":
				require.ErrorContains(t, err, row.err)
				assert.False(t, errors.As(err, new(*catalog.MissingError)), "it is there, and wrong")
			case row.annotations != "":
				require.NoError(t, err)
				assert.Equal(t, filepath.Join(second, "annotations", "val.json"), annotations)
			default:
				require.NoError(t, err)
				assert.Empty(t, annotations)
			}
		})
	}
}

func TestSum(t *testing.T) {
	path := put(t, t.TempDir(), "abc", "abc")
	got, err := catalog.Sum(path)
	require.NoError(t, err)
	assert.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", got, "FIPS 180-4's example")
	_, err = catalog.Sum(path + "d")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = catalog.Sum(filepath.Dir(path))
	require.ErrorContains(t, err, filepath.Dir(path))
}
