package golden_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/golden"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// How far apart are the joints that INT8 finds with VNNI and without it? What can't saturate is equal to the bit: dynamic
// quantization, and int8-tuned of MoveNet, whose weights are kept to 7 bits where two products could overflow.
func TestClasses(t *testing.T) {
	paths, err := filepath.Glob(filepath.FromSlash("../../golden/keypoints/*/*/*.vnni.json"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	read := func(path string) golden.Golden {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		g, err := golden.Parse(text, path)
		require.NoError(t, err)
		return g
	}
	equal := map[string]bool{"movenet-lightning int8-tuned": true, "yolov8n-pose int8": true, "yolov8n-pose uint8": true}
	for _, path := range paths {
		other := strings.Replace(path, ".vnni.", ".avx2.", 1)
		if _, err := os.Stat(other); os.IsNotExist(err) {
			continue // since another runtime
		}
		vnni, avx2 := read(path), read(other)
		t.Run(vnni.Cell.String(), func(t *testing.T) {
			joints, lost, sum, furthest := 0, 0, 0.0, 0.0
			require.Equal(t, vnni.ModelSHA256, avx2.ModelSHA256, "goldens of one model")
			require.Len(t, avx2.Photos, len(vnni.Photos))
			for i, photo := range vnni.Photos {
				got, want := photo.Persons, avx2.Photos[i].Persons
				pairs := golden.Match(got, want)
				lost += len(got) + len(want) - 2*len(pairs)
				for _, pair := range pairs {
					for joint, k := range want[pair.Want].Keypoints {
						if l := got[pair.Got].Keypoints[joint]; min(k.Score, l.Score) >= golden.Seen {
							d := distance(k, l)
							joints, sum, furthest = joints+1, sum+d, max(furthest, d)
						}
					}
				}
			}
			t.Logf("%d joints: %.2f px apart on average, %.2f px at most; %d persons found by one class alone", joints, sum/float64(joints), furthest, lost)
			require.NotZero(t, joints)
			assert.Equal(t, equal[vnni.Model+" "+vnni.Precision], furthest == 0 && lost == 0, "equal on both classes")
		})
	}
}

func distance(a, b pose.Keypoint) float64 { return math.Hypot(a.X-b.X, a.Y-b.Y) }
