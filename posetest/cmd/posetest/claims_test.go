package main

import (
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The page answers each claim, and says on what the answer depends.
func TestClaimsPage(t *testing.T) {
	cell := func(precision, ort string, ratio float64) posetest.ClaimCell {
		a, b := make([]float64, 20), make([]float64, 20)
		for i := range a {
			a[i], b[i] = 1, ratio
		}
		r, err := measure.Paired(a, b)
		require.NoError(t, err)
		c := posetest.ClaimCell{Comparison: measure.Comparison{Wall: r, CPU: r}, Answer: measure.Claim{From: 0.2, To: 0.5}.Answer(r)}
		c.Cell = observe.Cell{Model: "m", Precision: precision, Provider: "cpu", ORT: ort}
		return c
	}
	claim := posetest.Claimed{Claim: posetest.Claim{Name: "INT8", Promised: "+20–50 %", How: "by turns"},
		Cells: []posetest.ClaimCell{cell("int8-qdq", "1.23.2", 0.6), cell("int8-qdq", "1.32.0", 0.61), cell("int8", "1.32.0", 3.4)}}
	nothing := posetest.Claimed{Claim: posetest.Claim{Name: "fusion", Promised: "+30–50 %", How: "by turns"}}
	page := claimsPage([]posetest.Claimed{claim, nothing}, []posetest.Size{{Model: "m", Precision: "int8", Bytes: 28, FP32: 100}, {Model: "m", Precision: "int8-qdq", Bytes: 30, FP32: 100}}, 1)
	assert.Contains(t, page, "| INT8 | +20–50 % | depends |")
	assert.Contains(t, page, "0.60 (m int8-qdq cpu@1.23.2) … 3.40 (m int8 cpu@1.32.0)")
	assert.Contains(t, page, "Measured: by turns. **confirmed** on m int8-qdq cpu; **refuted** on m int8 cpu.")
	assert.Contains(t, page, "| fusion | +30–50 % | unclear |")
	assert.Contains(t, page, "Nothing here could show it.")
	assert.Contains(t, page, "| INT8 size | −72 % | depends |")
}
