package posetest

import (
	"testing"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Which variants of a provider are tried, and on how many models, depends on the build, the machine, and on what was asked for.
func TestVariantsThatRun(t *testing.T) {
	for _, row := range []struct {
		why, provider string
		named         []string
		brings        []string
		lacks         string
		all           bool // models; one otherwise
		none          bool
	}{
		{why: "what the build brings runs all models", provider: "cuda", brings: []string{"cpu", "cuda"}, all: true},
		{why: "what this machine can't start is tried once", provider: "cuda", brings: []string{"cpu", "cuda"}, lacks: observe.LacksDevice},
		{why: "and with all models if it was asked for", provider: "cuda", named: []string{"cuda"}, brings: []string{"cpu", "cuda"}, lacks: observe.LacksDevice, all: true},
		{why: "absence is tried once", provider: "cuda", brings: []string{"cpu"}},
		{why: "a variant's absence is that of its provider", provider: "cuda-1", named: []string{"cuda-1"}, brings: []string{"cpu"}, none: true},
		{why: "a variant runs only if it is named", provider: "cuda-1", brings: []string{"cpu", "cuda"}, none: true},
		{why: "it is", provider: "cuda-1", named: []string{"cuda-1"}, brings: []string{"cpu", "cuda"}, all: true},
		{why: "both of CoreML's formats run", provider: "coreml-mlprogram", brings: []string{"cpu", "coreml"}, all: true},
		{why: "a plug-in is in no build", provider: "webgpu-plugin", brings: []string{"cpu", "webgpu"}, none: true},
	} {
		t.Run(row.why, func(t *testing.T) {
			h, err := open(Config{Providers: row.named})
			require.NoError(t, err)
			seen := 0
			h.cellsOf(ortlib.Runtime{Distribution: "onnxruntime-gpu", Version: "1.31.1"}, row.brings, h.variants(),
				func(session.Variant) []string { return []string{row.lacks} },
				func(_ catalog.Model, v session.Variant, lacking string) {
					if v.ID == row.provider {
						seen++
						assert.Equal(t, row.lacks, lacking)
					}
				})
			switch {
			case row.none:
				assert.Zero(t, seen)
			case row.all:
				assert.Equal(t, len(h.catalogue.Models), seen)
			default:
				assert.Equal(t, 1, seen)
			}
		})
	}
}
