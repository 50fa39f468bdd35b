package coco_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scripts/coco_cases.py has made the cases and asked pycocotools for the figures.
func TestEvaluateAsPycocotools(t *testing.T) {
	packed, err := os.Open("testdata/cases.jsonl.gz")
	require.NoError(t, err)
	defer packed.Close()
	text, err := gzip.NewReader(packed)
	require.NoError(t, err)
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	cases, telling := 0, 0
	for lines.Scan() {
		var row struct {
			Why        string      `json:"why"`
			Detections []result    `json:"detections"`
			Figures    [10]float64 `json:"figures"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		cases++
		if ap := row.Figures[0]; ap > 0 && ap < 1 {
			telling++
		}
		t.Run(row.Why, func(t *testing.T) {
			annotations, err := coco.ReadAnnotations(write(t, lines.Text()))
			require.NoError(t, err)
			stats, err := coco.Evaluate(annotations, detections(row.Detections))
			require.NoError(t, err)
			got := figures(stats)
			for i, want := range row.Figures {
				assert.InDelta(t, want, got[i], 1e-9, "figure %d of %v", i, stats)
			}
		})
	}
	require.NoError(t, lines.Err())
	assert.Equal(t, 216, cases, "cases")
	assert.Greater(t, telling, 150, "cases where something is found, and not all")
}

// On COCO's own annotations the figures are those that `scripts/coco_cases.py figures` has of the same two files.
func TestEvaluateOnCOCO(t *testing.T) {
	data := filepath.SplitList(os.Getenv("POSETEST_DATA"))
	if len(data) == 0 {
		t.Skip("POSETEST_DATA is not set; set it to the folder that holds coco/annotations and reference")
	}
	annotations, err := coco.ReadAnnotations(filepath.Join(data[0], "coco/annotations/person_keypoints_val2017.json"))
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(data[0], "reference/yolov8n-pose.val2017.json"))
	require.NoError(t, err)
	var reference struct {
		Images map[string][]struct {
			Score     float64                 `json:"score"`
			Keypoints [coco.Joints][3]float64 `json:"keypoints"`
		} `json:"images"`
	}
	require.NoError(t, json.Unmarshal(text, &reference))
	var found []coco.Detection
	for _, image := range annotations.Images {
		for _, person := range reference.Images[image.Name] {
			found = append(found, detection(image.ID, person.Score, person.Keypoints))
		}
	}
	stats, err := coco.Evaluate(annotations, found)
	require.NoError(t, err)
	want := coco.Stats{
		AP: 0.4434608185713114, AP50: 0.6736078743232788, AP75: 0.4956799305479199, APMedium: 0.3866588570621769, APLarge: 0.5136141890586574,
		AR: 0.4911764705882353, AR50: 0.7058823529411765, AR75: 0.5294117647058824, ARMedium: 0.4176470588235294, ARLarge: 0.5647058823529412,
	}
	assert.InDeltaSlice(t, figures(want), figures(stats), 1e-9)
}

func TestEvaluateRefuses(t *testing.T) {
	annotations := &coco.Annotations{Images: []coco.Image{{ID: 7, Name: "pair.jpg"}}}
	_, person := stand(100, 2)
	spoiled := func(spoil func(*pose.Person)) pose.Person {
		p := pose.Person{Score: 1, Keypoints: append([]pose.Keypoint(nil), person.Keypoints...)}
		spoil(&p)
		return p
	}
	for _, row := range []struct {
		why    string
		image  int64
		person pose.Person
		want   string
	}{
		{"another set, as train's for val's", 8, person, "detection 1 of image 8: the annotations do not list that image; use those of the detections' own set"},
		{"a model of another skeleton", 7, spoiled(func(p *pose.Person) { p.Keypoints = p.Keypoints[:16] }), "detection 1 of image 7: has 16 joints, want COCO's 17"},
		{"nor one with more joints", 7, spoiled(func(p *pose.Person) { p.Keypoints = append(p.Keypoints, pose.Keypoint{}) }), "has 18 joints, want COCO's 17"},
		{"a box without joints", 7, pose.Person{Score: 1}, "has 0 joints"},
		{"a score that sorts nowhere", 7, spoiled(func(p *pose.Person) { p.Score = math.NaN() }), "has the score NaN; a score is a finite number"},
		{"an infinite score", 7, spoiled(func(p *pose.Person) { p.Score = math.Inf(1) }), "has the score +Inf"},
		{"a joint nowhere", 7, spoiled(func(p *pose.Person) { p.Keypoints[16].X = math.NaN() }), "has joint 16 at NaN, 160; a joint is at finite numbers"},
		{"a joint infinitely far", 7, spoiled(func(p *pose.Person) { p.Keypoints[3].Y = math.Inf(-1) }), "has joint 3 at 100, -Inf"},
	} {
		t.Run(row.why, func(t *testing.T) {
			stats, err := coco.Evaluate(annotations, []coco.Detection{{Image: 7, Person: person}, {Image: row.image, Person: row.person}})
			require.ErrorContains(t, err, row.want)
			assert.Zero(t, stats)
		})
	}
}

// A shorter list of images measures a part, as COCOeval's params.imgIds does.
func TestEvaluateOfAPart(t *testing.T) {
	truth, person := stand(100, 2)
	a := coco.Annotations{Images: []coco.Image{{ID: 1}, {ID: 2}, {ID: 2}}, Persons: []coco.Annotation{
		{ID: 1, Image: 2, Truth: truth, Labelled: 17}, {ID: 2, Image: 1, Truth: truth, Labelled: 17}, {ID: 3, Image: 0, Truth: truth, Labelled: 17}}}
	stats, err := coco.Evaluate(&a, []coco.Detection{{Image: 2, Person: person}})
	require.NoError(t, err)
	assert.Equal(t, 0.5, stats.AR, "one of two persons; an image that is listed twice is one")
	a.Images = a.Images[1:]
	stats, err = coco.Evaluate(&a, []coco.Detection{{Image: 2, Person: person}})
	require.NoError(t, err)
	assert.EqualValues(t, 1, stats.AR)
}

func TestEvaluateKeepsWhatItIsGiven(t *testing.T) {
	annotations, found := generated(50, 10)
	again, foundAgain := generated(50, 10)
	first, err := coco.Evaluate(annotations, found)
	require.NoError(t, err)
	require.Equal(t, again, annotations)
	require.Equal(t, foundAgain, found)
	second, err := coco.Evaluate(annotations, found)
	require.NoError(t, err)
	assert.Equal(t, first, second)
}

func TestStats(t *testing.T) {
	s := coco.Stats{AP: 0.46, AP50: 0.69894, AP75: 0.5132, APMedium: -1, APLarge: 1, AR: 0.53676, AR50: 0, AR75: 0.5, ARMedium: -1, ARLarge: 0.59706}
	assert.Equal(t, "AP 0.4600, AP50 0.6989, AP75 0.5132, AP-M none, AP-L 1.0000, AR 0.5368, AR50 0.0000, AR75 0.5000, AR-M none, AR-L 0.5971", s.String())
	text, err := json.Marshal(s)
	require.NoError(t, err)
	assert.JSONEq(t, `{"AP": 0.46, "AP50": 0.69894, "AP75": 0.5132, "AP_medium": -1, "AP_large": 1, "AR": 0.53676, "AR50": 0, "AR75": 0.5, "AR_medium": -1, "AR_large": 0.59706}`, string(text))
}

func TestReadAnnotations(t *testing.T) {
	a, err := coco.ReadAnnotations(write(t, `{"info": {}, "images": [{"id": 0, "file_name": "none.jpg"}, {"id": -7, "file_name": "pair.jpg", "height": 480}], "annotations": [
		{"id": 5, "image_id": -7, "category_id": 1, "num_keypoints": 16, "area": 5000.5, "iscrowd": 0, "bbox": [-1, 2.5, 3, 4], "keypoints": `+joints+`, "segmentation": [[1, 2]]},
		{"id": -1, "image_id": -7, "category_id": 1, "num_keypoints": 0, "area": 0, "iscrowd": 1, "bbox": [0, 0, 0, 0]}]}`))
	require.NoError(t, err)
	assert.Equal(t, []coco.Image{{ID: 0, Name: "none.jpg"}, {ID: -7, Name: "pair.jpg"}}, a.Images)
	require.Len(t, a.Persons, 2)
	person, crowd := a.Persons[0], a.Persons[1]
	assert.Equal(t, [3]float64{100, 170.5, 2}, person.Keypoints[16])
	person.Keypoints = [coco.Joints][3]float64{}
	assert.Equal(t, coco.Annotation{ID: 5, Image: -7, Truth: coco.Truth{Area: 5000.5}, Box: [4]float64{-1, 2.5, 3, 4}, Labelled: 16}, person)
	assert.Equal(t, coco.Annotation{ID: -1, Image: -7, Crowd: true}, crowd)
}

func TestReadAnnotationsRefuses(t *testing.T) {
	const images = `{"images": [{"id": 7, "file_name": "pair.jpg"}, {"id": 8, "file_name": "one.jpg"}], "annotations": [`
	const good = `{"id": 5, "image_id": 7, "category_id": 1, "num_keypoints": 16, "area": 50, "iscrowd": 0, "bbox": [1, 2, 3, 4], "keypoints": ` + joints + `}`
	_, err := coco.ReadAnnotations(write(t, images+good+"]}"))
	require.NoError(t, err, "the file that the rows below are spoiled from")
	spoiled := func(old, new string) string {
		require.Contains(t, good, old)
		return images + strings.Replace(good, old, new, 1) + "]}"
	}
	second := func(old, new string) string {
		return images + good + "," + strings.NewReplacer(`"id": 5`, `"id": 6`, old, new).Replace(good) + "]}"
	}
	for _, row := range []struct{ why, text, want string }{
		{"an empty file", "", "unexpected end of JSON input; download them again"},
		{"a download that was cut", (images + good)[:300], "unexpected end of JSON input; download them again"},
		{"a list, as of results", "[]", "cannot unmarshal array"},
		{"nothing in it", "{}", `the file lists no "images"`},
		{"a typo in annotations: nobody would be there", `{"images": [{"id": 7, "file_name": "a.jpg"}], "anotations": []}`, `the file has no "annotations", not even an empty list`},
		{"an image without id", `{"images": [{"file_name": "a.jpg"}], "annotations": []}`, `images[0], "a.jpg", has no id`},
		{"an image without name", `{"images": [{"id": 7}], "annotations": []}`, `image 7 has no file_name`},
		{"an image's id twice", `{"images": [{"id": 7, "file_name": "a.jpg"}, {"id": 7, "file_name": "b.jpg"}], "annotations": []}`, "images a.jpg and b.jpg both have the id 7"},
		{"no id", spoiled(`"id": 5, `, ""), "annotations[0] of image pair.jpg has no id"},
		{"no image", spoiled(`"image_id": 7, `, ""), "annotation 5 has no image_id"},
		{"neither", spoiled(`"id": 5, "image_id": 7, `, ""), "annotations[0] has no id"},
		{"an id that matches nobody", spoiled(`"id": 5`, `"id": 0`), "annotation 0 of image pair.jpg has the id 0, which COCO's own evaluation takes for no match: number from 1"},
		{"an image of another set", spoiled(`"image_id": 7`, `"image_id": 9`), "annotation 5 of image 9 is of an image that is not listed"},
		{"no category", spoiled(`"category_id": 1, `, ""), "annotation 5 of image pair.jpg has no category_id"},
		{"no iscrowd", spoiled(`"iscrowd": 0, `, ""), "annotation 5 of image pair.jpg has no iscrowd"},
		{"no num_keypoints", spoiled(`"num_keypoints": 16, `, ""), "annotation 5 of image pair.jpg has no num_keypoints"},
		{"a negative num_keypoints", spoiled(`"num_keypoints": 16`, `"num_keypoints": -1`), "annotation 5 of image pair.jpg has num_keypoints -1, want 0 to 17"},
		{"more labelled joints than joints", spoiled(`"num_keypoints": 16`, `"num_keypoints": 18`), "annotation 5 of image pair.jpg has num_keypoints 18, want 0 to 17"},
		{"no area", spoiled(`"area": 50, `, ""), "annotation 5 of image pair.jpg has no area"},
		{"a negative area", spoiled(`"area": 50`, `"area": -0.5`), "annotation 5 of image pair.jpg has the negative area -0.5"},
		{"no box", spoiled(`"bbox": [1, 2, 3, 4], `, ""), "annotation 5 of image pair.jpg has a bbox of 0 numbers, want 4: x, y, width, height"},
		{"half a box", spoiled("3, 4]", "3]"), "annotation 5 of image pair.jpg has a bbox of 3 numbers"},
		{"a box from right to left", spoiled("3, 4]", "-3, 4]"), "annotation 5 of image pair.jpg has a bbox of the negative size -3 × 4"},
		{"a box from below", spoiled("3, 4]", "3, -4]"), "annotation 5 of image pair.jpg has a bbox of the negative size 3 × -4"},
		{"another skeleton", spoiled(joints, "[1, 2, 2]"), "annotation 5 of image pair.jpg has 3 numbers of keypoints, want 51"},
		{"no keypoints, though some are labelled", spoiled(joints, "[]"), "annotation 5 of image pair.jpg has 0 numbers of keypoints, want 51"},
		{"another skeleton, nothing labelled", strings.Replace(spoiled(joints, "[1, 2, 0]"), `"num_keypoints": 16`, `"num_keypoints": 0`, 1), "annotation 5 of image pair.jpg has 3 numbers of keypoints, want 51"},
		{"an id twice", images + good + "," + strings.Replace(good, `"image_id": 7`, `"image_id": 8`, 1) + "]}", "annotation 5 of image one.jpg has the id of another one, of image pair.jpg"},
		{"dogs among the persons", second(`"category_id": 1`, `"category_id": 18`), "annotation 6 of image pair.jpg has the category_id 18, and those before it 1: a file must have persons only"},
		{"an id that became a string", spoiled(`"id": 5`, `"id": "5"`), "annotations.id of type int64; download them again"},
		{"not a number", spoiled(`"area": 50`, `"area": NaN`), "invalid character 'N'"},
	} {
		t.Run(row.why, func(t *testing.T) {
			path := write(t, row.text)
			a, err := coco.ReadAnnotations(path)
			require.ErrorContains(t, err, row.want)
			assert.ErrorContains(t, err, path)
			assert.ErrorContains(t, err, "download them again")
			assert.Nil(t, a)
		})
	}
	missing := filepath.Join(t.TempDir(), "person_keypoints_val2017.json")
	_, err = coco.ReadAnnotations(missing)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorContains(t, err, missing)
}

// Whatever the file: an error names it, and what was read can be measured.
func FuzzReadAnnotations(f *testing.F) {
	f.Add(annotations)
	f.Add(`{"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "num_keypoints": 0, "area": 0, "iscrowd": 1, "bbox": [0, 0, 0, 0]}]}`)
	f.Add(`{"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "num_keypoints": 16, "area": 5e3, "iscrowd": 0, "bbox": [1, 2, 3, 4], "keypoints": ` + joints + `}]}`)
	path := filepath.Join(f.TempDir(), "fuzz.json")
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		a, err := coco.ReadAnnotations(path)
		if err != nil {
			require.ErrorContains(t, err, path)
			require.Nil(t, a)
			return
		}
		var found []coco.Detection
		toFind := 0
		for _, p := range a.Persons {
			found = append(found, detection(p.Image, 1, p.Keypoints))
			if !p.Crowd && p.Labelled > 0 {
				toFind++
			}
		}
		_, err = coco.ReadTruth(path, a.Images[0].Name)
		require.NoError(t, err)
		stats, err := coco.Evaluate(a, found)
		require.NoError(t, err)
		for _, figure := range figures(stats) {
			require.True(t, figure == -1 || figure >= 0 && figure <= 1, "%v", stats)
		}
		if toFind == 0 {
			require.EqualValues(t, -1, stats.AR)
		}
	})
}

// As many images as COCO's val2017 has, with 2 persons and 10 detections each.
func BenchmarkEvaluate(b *testing.B) {
	annotations, found := generated(5_000, 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := coco.Evaluate(annotations, found); err != nil {
			b.Fatal(err)
		}
	}
}

// generated has 2 persons on each image, and detections that are off by more and more.
func generated(images, perImage int) (*coco.Annotations, []coco.Detection) {
	draw := rand.New(rand.NewPCG(1, 2))
	a := &coco.Annotations{}
	var found []coco.Detection
	for i := range int64(images) {
		a.Images = append(a.Images, coco.Image{ID: i, Name: fmt.Sprintf("%d.jpg", i)})
		for n := range int64(2) {
			p := coco.Annotation{ID: 2*i + n + 1, Image: i, Labelled: coco.Joints, Truth: coco.Truth{Area: 1_000 + 20_000*draw.Float64()}}
			for j := range p.Keypoints {
				p.Keypoints[j] = [3]float64{640 * draw.Float64(), 480 * draw.Float64(), 2}
			}
			a.Persons = append(a.Persons, p)
		}
		for n := range perImage {
			joints := a.Persons[2*int(i)+n%2].Keypoints
			for j := range joints {
				joints[j][0] += float64(5*n) * draw.NormFloat64()
			}
			found = append(found, detection(i, draw.Float64(), joints))
		}
	}
	return a, found
}

// A result is a detection as pycocotools' loadRes takes it.
type result struct {
	Image     int64                    `json:"image_id"`
	Score     float64                  `json:"score"`
	Keypoints [3 * coco.Joints]float64 `json:"keypoints"`
}

func detections(results []result) []coco.Detection {
	var found []coco.Detection
	for _, r := range results {
		var joints [coco.Joints][3]float64
		for j := range joints {
			joints[j] = [3]float64(r.Keypoints[3*j:])
		}
		found = append(found, detection(r.Image, r.Score, joints))
	}
	return found
}

func detection(image int64, score float64, joints [coco.Joints][3]float64) coco.Detection {
	d := coco.Detection{Image: image, Person: pose.Person{Score: score}}
	for _, j := range joints {
		d.Person.Keypoints = append(d.Person.Keypoints, pose.Keypoint{X: j[0], Y: j[1], Score: j[2]})
	}
	return d
}

// figures are in the order of pycocotools' stats.
func figures(s coco.Stats) []float64 {
	return []float64{s.AP, s.AP50, s.AP75, s.APMedium, s.APLarge, s.AR, s.AR50, s.AR75, s.ARMedium, s.ARLarge}
}
