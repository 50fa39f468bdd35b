package catalog_test

import (
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// models and fixtures are lists without fault, which the rows of the tests spoil in one place each.
const models = `{
  "models": [
    {
      "id": "net",
      "family": "movenet",
      "precision": "fp32",
      "file": "net.onnx",
      "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
      "size": 9,
      "inputs": [{"name": "x", "type": "int32", "shape": [1, -1]}],
      "outputs": [{"name": "y", "type": "float32", "shape": [1, 17, 3]}],
      "licence": "Apache-2.0",
      "source": "somewhere",
      "made": "somehow",
      "where": "repository"
    },
    {
      "id": "net",
      "family": "movenet",
      "precision": "int8",
      "file": "net-int8.onnx",
      "sha256": "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
      "size": 4,
      "inputs": [{"name": "x", "type": "int32", "shape": [1, -1]}],
      "outputs": [{"name": "y", "type": "float32", "shape": [1, 17, 3]}],
      "where": "derived",
      "available": ["linux/amd64", "darwin/arm64"]
    }
  ]
}
`

const fixtures = `{
  "annotations": "by hand",
  "fixtures": [
    {
      "id": "one",
      "file": "one.png",
      "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
      "width": 64,
      "height": 48,
      "people": 1,
      "licence": "CC0-1.0",
      "credit": "nobody",
      "from": "nowhere",
      "persons": [
        {
          "keypoints": [[1, 2, 2], [64, 48, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [3.5, 4, 2]],
          "box": [0, 0, 64, 48]
        }
      ]
    },
    {"id": "two", "file": "val/two.jpg", "sha256": "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210", "width": 6, "height": 4, "people": 3, "annotations": "annotations/val.json"}
  ]
}
`

// open opens the two texts as files, and returns their folder, too.
func open(t *testing.T, models, fixtures string) (catalog.Catalogue, string, error) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "models.json"), []byte(models), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "fixtures.json"), []byte(fixtures), 0o644))
	c, err := catalog.Open(filepath.Join(dir, "models.json"), filepath.Join(dir, "fixtures.json"))
	return c, dir, err
}

func TestOpen(t *testing.T) {
	c, _, err := open(t, models, fixtures)
	require.NoError(t, err)
	require.Len(t, c.Models, 2)
	assert.Equal(t, catalog.Model{ID: "net", Family: "movenet", Precision: "fp32", File: "net.onnx",
		SHA256: strings.Repeat("0123456789abcdef", 4), Size: 9,
		Inputs:  []tensor.Info{{Name: "x", Type: "int32", Shape: []int64{1, -1}}},
		Outputs: []tensor.Info{{Name: "y", Type: "float32", Shape: []int64{1, 17, 3}}},
		Licence: "Apache-2.0", Source: "somewhere", Made: "somehow", Where: catalog.Repository}, c.Models[0])
	assert.Equal(t, "int8", c.Models[1].Precision, "in the order of the file")
	assert.Equal(t, []string{"linux/amd64", "darwin/arm64"}, c.Models[1].Available)
	require.Len(t, c.Fixtures, 2)
	person := catalog.Person{Box: [4]float64{0, 0, 64, 48}}
	person.Keypoints[0], person.Keypoints[1], person.Keypoints[16] = [3]float64{1, 2, 2}, [3]float64{64, 48, 1}, [3]float64{3.5, 4, 2}
	assert.Equal(t, catalog.Fixture{ID: "one", File: "one.png", SHA256: strings.Repeat("0123456789abcdef", 4), Width: 64, Height: 48, People: 1,
		Licence: "CC0-1.0", Credit: "nobody", From: "nowhere", Persons: []catalog.Person{person}}, c.Fixtures[0])
	assert.Equal(t, "annotations/val.json", c.Fixtures[1].Annotations)
	assert.Empty(t, c.Fixtures[1].Persons)
}

// A list that can't be read as JSON is refused with file and line.
func TestOpenNamesLine(t *testing.T) {
	for _, row := range []struct{ why, list, old, new, want string }{
		{"a typo in a model's field", "models.json", `"sha256"`, `"sha265"`, `models.json:8: json: unknown field "sha265"; correct it there`},
		{"a typo in a fixture's field", "fixtures.json", `"width"`, `"widht"`, `fixtures.json:8: json: unknown field "widht"`},
		{"a typo in a person's field", "fixtures.json", `"box"`, `"bbox"`, `fixtures.json:17: json: unknown field "bbox"`},
		{"a typo in an input's field", "models.json", `"shape"`, `"sahpe"`, `models.json:10: json: unknown field "sahpe"`},
		{"a typo that is a value elsewhere, too", "models.json", `"made"`, `"somewhere"`, `models.json:14: json: unknown field "somewhere"`},
		{"a typo in the list's own name", "models.json", `"models"`, `"model"`, `models.json:2: json: unknown field "model"`},
		{"a word for a number", "models.json", `"size": 9`, `"size": "9"`, "models.json:9: json: cannot unmarshal string"},
		{"a fraction of a pixel", "fixtures.json", `"height": 48`, `"height": 48.5`, "fixtures.json:9: json: cannot unmarshal number 48.5"},
		{"a comma too much", "models.json", "\"where\": \"repository\"\n", "\"where\": \"repository\",\n", "models.json:16: invalid character '}'"},
		{"a second list behind the first", "models.json", "\n  ]\n}\n", "\n  ]\n}\n{}\n", "models.json:30: something follows the list; remove it"},
		{"a brace too many", "models.json", "\n  ]\n}\n", "\n  ]\n}}\n", "models.json:30: something follows the list; remove it"},
		{"the file is cut", "models.json", "\n  ]\n}\n", "", "models.json:28: unexpected EOF"},
		{"the file is empty", "models.json", models, "", "models.json:1: EOF"},
	} {
		t.Run(row.why, func(t *testing.T) {
			texts := map[string]string{"models.json": models, "fixtures.json": fixtures}
			require.Contains(t, texts[row.list], row.old)
			texts[row.list] = strings.Replace(texts[row.list], row.old, row.new, 1)
			_, dir, err := open(t, texts["models.json"], texts["fixtures.json"])
			require.ErrorContains(t, err, filepath.Join(dir, row.want))
		})
	}
}

// A list that is JSON and says what can't be is refused with file, entry and field.
func TestOpenNamesField(t *testing.T) {
	const keypoint, box = `[3.5, 4, 2]`, `"box": [0, 0, 64, 48]`
	for _, row := range []struct{ why, list, old, new, want string }{
		{"no models", "models.json", models, `{"models": []}`, "models.json: lists no models"},
		{"not even a list of them", "models.json", models, `{}`, "models.json: lists no models"},
		{"no photographs", "fixtures.json", fixtures, `{"annotations": "", "fixtures": null}`, "fixtures.json: lists no photographs"},
		{"no id", "models.json", `"id": "net"`, `"id": ""`, `models.json: entry 1 ( fp32): id: "" must be of a-z, 0-9, '.', '_' and '-', and not end in - and digits`},
		{"an id that a benchmark's name would lose its end of", "models.json", `"id": "net"`, `"id": "net-17"`, `entry 1 (net-17 fp32): id: "net-17" must be`},
		{"an id that parts a sub-test's name", "models.json", `"id": "net"`, `"id": "net/1"`, `id: "net/1" must be`},
		{"~ marks another export", "models.json", `"id": "net"`, `"id": "net~1"`, `id: "net~1" must be`},
		{"a precision that ends so", "models.json", `"precision": "int8"`, `"precision": "int-8"`, `entry 2 (net int-8): precision: "int-8" must be`},
		{"an entry twice", "models.json", `"precision": "int8"`, `"precision": "fp32"`, "entry 2 (net fp32): precision: stands twice for this id; remove one entry"},
		{"no family", "models.json", `"family": "movenet"`, `"family": ""`, "entry 1 (net fp32): family: is empty"},
		{"a file in a folder", "models.json", `"file": "net.onnx"`, `"file": "more/net.onnx"`, `file: "more/net.onnx" must be a file's name without a folder`},
		{"in a folder on Windows", "models.json", `"file": "net.onnx"`, `"file": "more\\net.onnx"`, "must be a file's name without a folder"},
		{"a folder itself", "models.json", `"file": "net.onnx"`, `"file": ".."`, "must be a file's name without a folder"},
		{"no file", "models.json", `"file": "net.onnx"`, `"file": ""`, "must be a file's name without a folder"},
		{"a sum cut while copying", "models.json", `456789abcdef",`, `",`, "entry 1 (net fp32): sha256: \"0123456789abcdef0123456789abcdef0123456789abcdef0123\" must be 64 hexadecimal digits, as sha256sum prints them"},
		{"a sum in capitals, as PowerShell prints it", "models.json", `"0123456789abcdef`, `"0123456789ABCDEF`, "must be 64 hexadecimal digits"},
		{"no size", "models.json", `"size": 9,`, ``, "entry 1 (net fp32): size: 0 must be the file's bytes"},
		{"no inputs", "models.json", `"inputs": [{"name": "x", "type": "int32", "shape": [1, -1]}],`, ``, "entry 1 (net fp32): inputs: and outputs must be listed"},
		{"an output without a type", "models.json", `{"name": "y", "type": "float32",`, `{"name": "y",`, `inputs: and outputs must have name, type and shape, not "y  [1,17,3]"`},
		{"available on half a platform", "models.json", `"where": "repository"`, `"where": "repository", "available": ["linux"]`, `entry 1 (net fp32): available: "linux" must be a platform such as linux/amd64, and stand once`},
		{"available twice", "models.json", `"where": "repository"`, `"where": "repository", "available": ["linux/amd64", "linux/amd64"]`, `available: "linux/amd64" must be a platform such as linux/amd64, and stand once`},
		{"nobody has the file", "models.json", `"where": "repository"`, `"where": "web"`, `entry 1 (net fp32): where: "web" must be repository, data or derived`},

		{"a fixture without an id", "fixtures.json", `"id": "one"`, `"id": ""`, `fixtures.json: entry 1 (): id: "" must be of a-z`},
		{"a fixture twice", "fixtures.json", `"id": "two"`, `"id": "one"`, `fixtures.json: entry 2 (one): id: "one" must be of a-z, 0-9, '.', '_' and '-', and stand once`},
		{"a fixture outside of the repository", "fixtures.json", `"file": "one.png"`, `"file": "../one.png"`, `entry 1 (one): file: "../one.png" must be a path below the list's folder or the data path`},
		{"a fixture's sum", "fixtures.json", `"sha256": "0`, `"sha256": "x`, "entry 1 (one): sha256: "},
		{"no width", "fixtures.json", `"width": 64`, `"width": 0`, "entry 1 (one): width: and height must be the image's pixels, not 0×48"},
		{"a person was forgotten", "fixtures.json", `"people": 1`, `"people": 2`, "entry 1 (one): persons: has 1, and people says 2"},
		{"two truths", "fixtures.json", `"people": 3`, `"people": 1, "persons": [{"keypoints": [], "box": []}]`, "entry 2 (two): persons: stand here, and annotations names a file that has them, too; remove one"},
		{"annotations outside of the data path", "fixtures.json", `"annotations/val.json"`, `"/etc/val.json"`, `entry 2 (two): annotations: "/etc/val.json" must be a path below the data path`},
		{"a joint was forgotten: JSON would leave the last one unlabelled", "fixtures.json", ", " + keypoint, "", "entry 1 (one): persons: 1: has 16 keypoints, want 17"},
		{"a joint too many: JSON would drop the last one", "fixtures.json", keypoint, keypoint + ", " + keypoint, "persons: 1: has 18 keypoints, want 17"},
		{"v was forgotten: JSON would take it for not labelled", "fixtures.json", keypoint, "[3.5, 4]", "persons: 1: keypoint 17 is [3.5 4], and must be x, y in the picture and v 0, 1 or 2"},
		{"v is no score", "fixtures.json", keypoint, "[3.5, 4, 0.9]", "keypoint 17 is [3.5 4 0.9]"},
		{"x and y swapped put it outside", "fixtures.json", "[64, 48, 1]", "[48, 64, 1]", "keypoint 2 is [48 64 1]"},
		{"no box", "fixtures.json", box, `"box": null`, "persons: 1: box is [], and must be x, y, width, height in the picture"},
		{"a box of two corners is too wide", "fixtures.json", box, `"box": [8, 0, 64, 48]`, "box is [8 0 64 48]"},
		{"or too high", "fixtures.json", box, `"box": [0, 8, 64, 48]`, "box is [0 8 64 48]"},
		{"a box of no area, which OKS divides by", "fixtures.json", box, `"box": [8, 8, 0, 8]`, "box is [8 8 0 8]"},
	} {
		t.Run(row.why, func(t *testing.T) {
			texts := map[string]string{"models.json": models, "fixtures.json": fixtures}
			require.Contains(t, texts[row.list], row.old)
			texts[row.list] = strings.Replace(texts[row.list], row.old, row.new, 1)
			_, dir, err := open(t, texts["models.json"], texts["fixtures.json"])
			require.ErrorContains(t, err, row.want)
			assert.Contains(t, err.Error(), filepath.Join(dir, row.list))
		})
	}
}

// Who corrects the lists wants to see all that is wrong at once.
func TestOpenReportsAll(t *testing.T) {
	_, _, err := open(t, strings.ReplaceAll(models, `"family": "movenet"`, `"family": ""`), strings.ReplaceAll(fixtures, `"file": "`, `"file": "../`))
	for _, want := range []string{"entry 1 (net fp32): family", "entry 2 (net int8): family", "entry 1 (one): file", "entry 2 (two): file"} {
		assert.ErrorContains(t, err, want)
	}
	dir := t.TempDir()
	_, err = catalog.Open(filepath.Join(dir, "models.json"), filepath.Join(dir, "fixtures.json"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, "models.json")
	assert.ErrorContains(t, err, "fixtures.json")
}

// The repository's own lists are right to the byte and the pixel.
func TestRepository(t *testing.T) {
	c, err := catalog.Open("../../models/models.json", "../../fixtures/fixtures.json")
	require.NoError(t, err)
	finder := catalog.Finder{Dir: "../../models", Models: c.Models, Data: filepath.SplitList(os.Getenv("POSETEST_DATA"))}
	for _, m := range c.Models {
		if m.Where != catalog.Repository {
			continue
		}
		t.Run("model="+m.ID+"/precision="+m.Precision, func(t *testing.T) {
			files, err := finder.Find(m)
			require.NoError(t, err)
			assert.Equal(t, []catalog.File{{Path: filepath.Join("../../models", m.File), SHA256: m.SHA256, Size: m.Size, ID: m.ID}}, files)
			assert.NotEmpty(t, m.Licence, "the repository may pass it on")
			assert.NotEmpty(t, m.Source)
			assert.NotEmpty(t, m.Made)
		})
	}
	for _, f := range c.Fixtures {
		if f.Annotations != "" && len(finder.Data) == 0 {
			continue // TestReadTruthOfFixtures of package coco says what brings them
		}
		t.Run("fixture="+f.ID, func(t *testing.T) {
			path, annotations, err := finder.Fixture("../../fixtures", f)
			require.NoError(t, err)
			assert.Equal(t, f.Annotations != "", annotations != "")
			file, err := os.Open(path)
			require.NoError(t, err)
			defer file.Close()
			config, _, err := image.DecodeConfig(file)
			require.NoError(t, err)
			assert.Equal(t, [2]int{f.Width, f.Height}, [2]int{config.Width, config.Height}, "pixels")
			assert.NotEmpty(t, f.Licence)
			assert.NotEmpty(t, f.Credit)
		})
	}
}

// Whatever a person writes into the lists, Open ends with a catalogue that holds its promises or with an error that names
// a file.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(models), []byte(fixtures))
	f.Add([]byte(models[:200]), []byte(fixtures))
	f.Add([]byte(models), []byte(fixtures[:len(fixtures)/2]))
	f.Add([]byte(`{"models": [{"id": "x", "id": 1}]}`), []byte(`{"fixtures": [{"persons": [{"keypoints": [[]]}]}]}`))
	f.Add([]byte(`[]`), []byte(`null`))
	f.Fuzz(func(t *testing.T, models, fixtures []byte) {
		c, dir, err := open(t, string(models), string(fixtures))
		if err != nil {
			assert.Contains(t, err.Error(), dir)
			return
		}
		assert.NotEmpty(t, c.Models)
		assert.NotEmpty(t, c.Fixtures)
		for _, m := range c.Models {
			assert.Regexp(t, "^[0-9a-f]{64}$", m.SHA256)
			assert.Equal(t, filepath.Base(m.File), m.File)
			assert.NotContains(t, m.ID+m.Precision, "/")
		}
		for _, x := range c.Fixtures {
			assert.True(t, x.Annotations != "" || len(x.Persons) == x.People)
		}
	})
}
