package expect_test

import (
	"testing"

	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/expect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// measured is a row that holds a precision to what it may lose of fp32's AP.
const measured = `
[[row]]
model = "yolov8n-pose"
precision = "fp32 int8 int8-tuned"
want = "loads"
ap = { fp32 = 0.46, int8-tuned = 0.4588 }
drift.int8-tuned = { kept = 1, ap_loss = 0.005 }
status = "verified linux/amd64 2026-11-24"
`

func TestJudgeDrift(t *testing.T) {
	table, err := expect.Parse([]byte(measured), "support.toml")
	require.NoError(t, err)
	judge := expect.Judge{Row: table[0]}
	cost := func(fp32, got float64) drift.Drift {
		return drift.Drift{Photos: 1, Persons: 2, Matched: 2, AP: &drift.AP{FP32: fp32, Got: got}}
	}
	for _, row := range []struct {
		why  string
		err  error
		want string // "" for none
	}{
		{"half a point below fp32", judge.Drift("int8-tuned", cost(0.46, 0.4551)), ""},
		{"more than that, though the row's own AP would bear it", judge.Drift("int8-tuned", cost(0.4645, 0.4588)),
			"drift of int8-tuned beyond the bars of support.toml:2:\nAP 0.4588 is 0.57 points below FP32's 0.4645, want at most 0.50"},
		{"no photographs of COCO's", judge.Drift("int8-tuned", drift.Drift{Photos: 1, Persons: 2, Matched: 2}), ""},
		{"a precision without bars", judge.Drift("int8", cost(0.46, 0.43)), "support.toml:2 has no bars for the drift of int8"},
	} {
		if row.want == "" {
			assert.NoError(t, row.err, row.why)
		} else {
			assert.ErrorContains(t, row.err, row.want, row.why)
		}
	}
}
