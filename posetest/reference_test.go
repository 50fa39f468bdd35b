package posetest_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The whole pipeline, from JPEG to keypoints, against an independent one in Python and OpenCV: the same persons on every
// photograph, keypoints within 0.5 px on average, and 99 % of those that are seen within 2 px.
func TestReference(t *testing.T) {
	t.Parallel()
	suite := posetest.New(posetest.Config{Runtimes: "1.32.0", Models: []string{"yolov8n-pose"}, Precisions: []string{"fp32"}, Providers: []string{"cpu"}})
	plan, err := suite.Plan(t.Context(), os.Stderr)
	require.NoError(t, err)
	data := suite.Config().Data
	if len(plan.Cells) == 0 || len(data) == 0 {
		if suite.Config().Requires("yolov8n-pose") {
			t.Fatal(plan.Missing[0].Err)
		}
		t.Skip(plan.Missing[0].Err)
	}
	text, err := os.ReadFile(filepath.Join(data[0], "reference", "yolov8n-pose.val2017.json"))
	if err != nil {
		if suite.Config().Requires("reference") {
			t.Fatal(err)
		}
		t.Skipf("%v; set POSETEST_DATA to the folder that holds it", err)
	}
	type person struct {
		Score     float64      `json:"score"`
		Keypoints [][3]float64 `json:"keypoints"`
	}
	var reference struct {
		Images map[string][]person `json:"images"`
	}
	require.NoError(t, json.Unmarshal(text, &reference))
	var images []coco.Image
	for name := range reference.Images {
		images = append(images, coco.Image{Name: name})
	}
	slices.SortFunc(images, func(a, b coco.Image) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) })

	var sum float64
	var joints, seen, near int
	err = suite.Detections(t.Context(), plan.Cells[0], filepath.Join(data[0], "coco", "val2017"), images, pose.Options{}, func(image coco.Image, got []pose.Person, _ time.Duration) error {
		want := reference.Images[image.Name]
		if !assert.Len(t, got, len(want), "persons on %s", image.Name) {
			return nil
		}
		slices.SortStableFunc(want, func(a, b person) int { return -int(math.Copysign(1, a.Score-b.Score)) })
		for i, p := range want {
			assert.InDelta(t, p.Score, got[i].Score, 0.001, "score of person %d on %s", i, image.Name)
			for j, k := range p.Keypoints {
				distance := math.Hypot(got[i].Keypoints[j].X-k[0], got[i].Keypoints[j].Y-k[1])
				sum += distance
				joints++
				if k[2] > 0.5 {
					seen++
					if distance <= 2 {
						near++
					}
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
	t.Logf("%d images, %d keypoints: %.4f px on average, %d of %d that are seen within 2 px", len(images), joints, sum/float64(joints), near, seen)
	assert.Len(t, images, 79)
	assert.Less(t, sum/float64(joints), 0.5)
	assert.GreaterOrEqual(t, float64(near), 0.99*float64(seen))
}
