package drift_test

import (
	"math"
	"testing"

	"github.com/posetest/suite/posetest/drift"
	"github.com/stretchr/testify/assert"
)

// A bar that everything passes, or nothing, is a mistake in the table.
func TestBarsValid(t *testing.T) {
	for _, row := range []struct {
		why  string
		bars drift.Bars
		want string // "" for none
	}{
		{"a share of all", drift.Bars{Kept: 1}, ""},
		{"an error of half a person", drift.Bars{MaxError: 0.5}, ""},
		{"a mode alone", drift.Bars{Mode: drift.ScaleCollapsed}, ""},
		{"no bar", drift.Bars{}, "has no bar"},
		{"a mode that there is not", drift.Bars{Mode: "colapsed"}, `mode "colapsed" must be one of`},
		{"more than all", drift.Bars{Shared: 1.01}, "shared 1.01 must be in 0…1"},
		{"less than nothing", drift.Bars{MeanOKS: -0.1}, "mean_oks -0.1 must be in 0…1"},
		{"no number", drift.Bars{MinOKS: math.NaN()}, "min_oks NaN must be in 0…1"},
		{"a loss in points instead of a share", drift.Bars{APLoss: 5}, "ap_loss 5 must be in 0…1"},
		{"any error", drift.Bars{P95Error: math.Inf(1)}, "p95_error +Inf must be in 0…"},
		{"a negative error", drift.Bars{MedianError: -1}, "median_error -1 must be in 0…"},
	} {
		err := row.bars.Valid()
		if row.want == "" {
			assert.NoError(t, err, row.why)
		} else {
			assert.ErrorContains(t, err, row.want, row.why)
		}
	}
}
