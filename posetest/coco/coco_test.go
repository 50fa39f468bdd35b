package coco_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testdata/oks.py has made the persons and asked pycocotools for their similarity.
func TestOKSAsPycocotools(t *testing.T) {
	text, err := os.ReadFile("testdata/oks.json")
	require.NoError(t, err)
	var file struct {
		Cases []struct {
			Why    string                   `json:"why"`
			Area   float64                  `json:"area"`
			Truth  [3 * coco.Joints]float64 `json:"truth"`
			Person [3 * coco.Joints]float64 `json:"person"`
			OKS    float64                  `json:"oks"`
		} `json:"cases"`
	}
	require.NoError(t, json.Unmarshal(text, &file))
	require.Len(t, file.Cases, 12)
	for _, row := range file.Cases {
		t.Run(row.Why, func(t *testing.T) {
			truth := coco.Truth{Area: row.Area}
			for j := range truth.Keypoints {
				copy(truth.Keypoints[j][:], row.Truth[3*j:])
			}
			var person pose.Person
			for j := 0; j < len(row.Person); j += 3 {
				person.Keypoints = append(person.Keypoints, pose.Keypoint{X: row.Person[j], Y: row.Person[j+1], Score: row.Person[j+2]})
			}
			assert.InDelta(t, row.OKS, coco.OKS(truth, person), 1e-12)
		})
	}
}

func TestOKSOfNothing(t *testing.T) {
	truth, person := stand(100, 2)
	require.EqualValues(t, 1, coco.OKS(truth, person), "the person that the rows below are spoiled from")
	unlabelled, _ := stand(100, 0)
	for _, row := range []struct {
		why    string
		truth  coco.Truth
		person pose.Person
	}{
		{"a truth without labelled joints can't be met", unlabelled, person},
		{"a person of another skeleton is not compared joint by joint", truth, pose.Person{Keypoints: person.Keypoints[:16]}},
		{"nor one with more joints, whose first 17 may mean something else", truth, pose.Person{Keypoints: append(person.Keypoints[:17:17], pose.Keypoint{})}},
		{"a person without joints", truth, pose.Person{}},
	} {
		t.Run(row.why, func(t *testing.T) { assert.Zero(t, coco.OKS(row.truth, row.person)) })
	}
}

func TestBest(t *testing.T) {
	left, atLeft := stand(100, 2)
	right, atRight := stand(400, 2)
	_, near := stand(402, 2)
	both := []coco.Truth{left, right}
	for _, row := range []struct {
		why     string
		truths  []coco.Truth
		persons []pose.Person
		want    float64
	}{
		{"the last pair counts as the first does", both, []pose.Person{near, atRight}, 1},
		{"and the first as the last", both, []pose.Person{atLeft, near}, 1},
		{"no perfect pair: the best of what there is", both, []pose.Person{near}, coco.OKS(right, near)},
		{"nobody found", both, nil, 0},
		{"nobody annotated", nil, []pose.Person{atLeft}, 0},
		{"nobody at all", nil, nil, 0},
	} {
		t.Run(row.why, func(t *testing.T) { assert.Equal(t, row.want, coco.Best(row.truths, row.persons)) })
	}
	assert.InDelta(t, 0.9, coco.OKS(right, near), 0.1, "near is good, and not perfect")
	assert.Less(t, coco.OKS(right, near), 1.0)
}

func TestAreaOfBox(t *testing.T) {
	assert.InDelta(t, 53, coco.AreaOfBox(20, 5), 1e-12, "square pixels")
}

// stand is a truth whose joints stand in a column at x, all labelled v, and the person that is exactly there.
func stand(x, v float64) (coco.Truth, pose.Person) {
	truth := coco.Truth{Area: 5000}
	var person pose.Person
	for j := range truth.Keypoints {
		truth.Keypoints[j] = [3]float64{x, float64(10 * j), v}
		person.Keypoints = append(person.Keypoints, pose.Keypoint{X: x, Y: float64(10 * j), Score: 1})
	}
	return truth, person
}

const joints = `[100,10,2, 100,20,1, 0,0,0, 100,40,2, 100,50,2, 100,60,2, 100,70,2, 100,80,2, 100,90,2, 100,100,2, 100,110,2, 100,120,2, 100,130,2, 100,140,2, 100,150,2, 100,160,2, 100,170.5,2]`

// annotations is a file as COCO lays it out, with fields that nobody reads here.
const annotations = `{"info": {"year": 2017}, "licenses": [],
	"images": [{"id": 7, "file_name": "pair.jpg", "width": 640}, {"id": 8, "file_name": "empty.jpg"}, {"id": 9, "file_name": "bad.jpg"}, {"id": 10, "file_name": "crowd.jpg"}],
	"annotations": [
		{"id": 1, "image_id": 7, "num_keypoints": 16, "area": 5000.5, "iscrowd": 0, "keypoints": ` + joints + `, "bbox": [1, 2, 3, 4], "category_id": 1},
		{"id": 2, "image_id": 9, "num_keypoints": 1, "area": 1, "iscrowd": 0, "keypoints": [1, 2, 2]},
		{"id": 3, "image_id": 7, "num_keypoints": 16, "area": 6000, "iscrowd": 0, "keypoints": ` + joints + `},
		{"id": 4, "image_id": 7, "num_keypoints": 0, "area": 12, "iscrowd": 0, "keypoints": []},
		{"id": 5, "image_id": 7, "num_keypoints": 16, "area": 90000, "iscrowd": 1, "keypoints": ` + joints + `},
		{"id": 6, "image_id": 10, "num_keypoints": 0, "area": 90000, "iscrowd": 1, "segmentation": {"counts": [1], "size": [1, 1]}}]}`

func TestReadTruth(t *testing.T) {
	path := write(t, annotations)
	for _, row := range []struct {
		why, image string
		areas      []float64
	}{
		{"two persons in the file's order; a crowd and one without labelled joints are none", "pair.jpg", []float64{5000.5, 6000}},
		{"a listed image without annotations is a negative, no error", "empty.jpg", nil},
		{"a crowd alone is nobody to find", "crowd.jpg", nil},
	} {
		t.Run(row.why, func(t *testing.T) {
			truths, err := coco.ReadTruth(path, row.image)
			require.NoError(t, err)
			var areas []float64
			for _, truth := range truths {
				areas = append(areas, truth.Area)
				assert.Equal(t, [3]float64{100, 10, 2}, truth.Keypoints[0])
				assert.Equal(t, [3]float64{100, 20, 1}, truth.Keypoints[1], "hidden")
				assert.Equal(t, [3]float64{}, truth.Keypoints[2], "not labelled")
				assert.Equal(t, [3]float64{100, 170.5, 2}, truth.Keypoints[16])
			}
			assert.Equal(t, row.areas, areas)
		})
	}
}

func TestReadTruthRefuses(t *testing.T) {
	whole := write(t, annotations)
	for _, row := range []struct{ why, path, image, want string }{
		{"an image of another set, as train's for val's", whole, "000000000009.jpg", "COCO annotations " + whole + ": do not list image 000000000009.jpg; use those of the image's own set"},
		{"a name must be the whole name", whole, "pair", "do not list image pair"},
		{"another number of keypoints than 17 × 3", whole, "bad.jpg", "annotation 2 of image bad.jpg has 3 numbers of keypoints, want 51; correct it, or download them again"},
		{"a download that was cut", write(t, annotations[:len(annotations)/2]), "pair.jpg", "unexpected end of JSON input; download them again"},
		{"a number that became a string", write(t, `{"images": [{"id": "7", "file_name": "pair.jpg"}]}`), "pair.jpg", "images.id of type int64; download them again"},
		{"a typo in images: nothing is listed", write(t, `{"imagges": [{"id": 7, "file_name": "pair.jpg"}]}`), "pair.jpg", "do not list image pair.jpg"},
		{"a typo in keypoints: none are there", write(t, `{"images": [{"id": 7, "file_name": "pair.jpg"}], "annotations": [{"id": 1, "image_id": 7, "num_keypoints": 17, "keypiont": []}]}`), "pair.jpg", "annotation 1 of image pair.jpg has 0 numbers of keypoints"},
		{"no area: nobody could be near", write(t, strings.Replace(annotations, `"area": 5000.5, `, "", 1)), "pair.jpg", "annotation 1 of image pair.jpg has no area"},
		{"a negative area: who is far would be near", write(t, strings.Replace(annotations, `5000.5`, "-5000.5", 1)), "pair.jpg", "annotation 1 of image pair.jpg has the negative area -5000.5"},
		{"an empty file", write(t, ""), "pair.jpg", "unexpected end of JSON input"},
	} {
		t.Run(row.why, func(t *testing.T) {
			truths, err := coco.ReadTruth(row.path, row.image)
			require.ErrorContains(t, err, row.want)
			assert.Contains(t, err.Error(), row.path)
			assert.Empty(t, truths)
		})
	}
	missing := filepath.Join(t.TempDir(), "person_keypoints_val2017.json")
	_, err := coco.ReadTruth(missing, "pair.jpg")
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, missing)
}

// COCO's own file has the people that fixtures.json says of each photograph on the data path.
func TestReadTruthOfFixtures(t *testing.T) {
	data := filepath.SplitList(os.Getenv("POSETEST_DATA"))
	if len(data) == 0 {
		t.Skip("POSETEST_DATA is not set; set it to the folder that holds coco/val2017 and coco/annotations")
	}
	const dir = "../../fixtures"
	c, err := catalog.Open("../../models/models.json", filepath.Join(dir, "fixtures.json"))
	require.NoError(t, err)
	finder := catalog.Finder{Data: data}
	read := 0
	for _, f := range c.Fixtures {
		if f.Annotations == "" {
			continue
		}
		path, annotations, err := finder.Fixture(dir, f)
		require.NoError(t, err)
		truths, err := coco.ReadTruth(annotations, filepath.Base(path))
		require.NoError(t, err)
		assert.Len(t, truths, f.People, f.ID)
		for _, truth := range truths {
			assert.Positive(t, truth.Area, f.ID)
			for _, k := range truth.Keypoints {
				assert.True(t, k[0] >= 0 && k[0] <= float64(f.Width) && k[1] >= 0 && k[1] <= float64(f.Height), "%s: joint %v is outside", f.ID, k)
			}
		}
		read++
	}
	assert.Positive(t, read, "photographs with annotations")
}

func write(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "person_keypoints.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}
