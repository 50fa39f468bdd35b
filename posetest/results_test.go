package posetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlaceOf(t *testing.T) {
	for _, row := range []struct{ why, ort, distribution, version string }{
		{"the plain distribution", "1.23.2", "onnxruntime", "1.23.2"},
		{"a variant of it", "openvino-1.24.1", "onnxruntime-openvino", "1.24.1"},
		{"a library of the user's own", "own-1.23.2", ownDistribution, "1.23.2"},
		{"a variant with a dash and a pre-release", "training-cpu-1.20.0-rc.1", "onnxruntime-training-cpu", "1.20.0-rc.1"},
		{"what has no version is in no range", "nightly", "onnxruntime", "nightly"},
	} {
		o := observe.Observation{Cell: observe.Cell{Model: "m", Precision: "fp32", Provider: "cpu", ORT: row.ort}, Machine: observe.Machine{OS: "linux", Arch: "amd64", ISA: "avx2"}}
		assert.Equal(t, expect.Place{Cell: o.Cell, Distribution: row.distribution, Version: row.version, Platform: "linux/amd64", ISA: "avx2"}, placeOf(o), row.why)
	}
}

// Each cell is in one part, no part has two more than another, and which it is in does not depend on their order.
func TestShardsOfCells(t *testing.T) {
	var cells []Planned
	for i := range 400 {
		cells = append(cells, Planned{Place: expect.Place{Cell: observe.Cell{Model: "m", Precision: "fp32", Provider: "cpu", ORT: fmt.Sprintf("1.%d.0", i)}}})
	}
	assert.Equal(t, cells, Shard{}.deal(cells), "all is one part")
	backwards := slices.Clone(cells)
	slices.Reverse(backwards)
	for _, of := range []int{1, 3, 7, 400, 500} {
		in := map[string]int{} // parts that have a cell
		for i := 1; i <= of; i++ {
			part := Shard{i, of}.deal(cells)
			assert.InDelta(t, float64(len(cells))/float64(of), len(part), 1, "cells of part %d/%d", i, of)
			assert.True(t, slices.IsSortedFunc(part, func(a, b Planned) int { return slices.IndexFunc(cells, same(a)) - slices.IndexFunc(cells, same(b)) }), "cells stay in their order")
			assert.ElementsMatch(t, part, Shard{i, of}.deal(backwards))
			for _, c := range part {
				in[c.ORT]++
			}
		}
		assert.Len(t, in, len(cells))
		for cell, parts := range in {
			assert.Equal(t, 1, parts, "parts of %d that have %s", of, cell)
		}
	}
}

func same(a Planned) func(Planned) bool { return func(b Planned) bool { return a.Cell == b.Cell } }

// Observations are judged by themselves: by the row that is for them, with drift and AP where fp32 of the same machine is
// there, too.
func TestResults(t *testing.T) {
	table, err := expect.Parse([]byte("[[row]]\nprecision = \"fp32 int8\"\nwant = \"loads\"\nap = { fp32 = 0.46, int8 = 0.45 }\nstatus = \"verified linux/amd64 2026-11-24\"\n"), "golden/support.toml")
	require.NoError(t, err)
	person := pose.Person{Score: 0.9, Box: [4]float64{0, 0, 100, 100}}
	for j := range pose.Joints {
		person.Keypoints = append(person.Keypoints, pose.Keypoint{X: float64(5 * j), Y: float64(97 - 5*j), Score: 0.9})
	}
	seen := func(precision, isa string, ap float64) observe.Observation {
		return observe.Observation{Cell: observe.Cell{Model: "m", Precision: precision, Provider: "cpu", ORT: "1.23.2"}, Family: "yolov8-pose",
			Machine: observe.Machine{OS: "linux", Arch: "amd64", ISA: isa}, Outcome: observe.Loads, Placement: map[string]int{"CPUExecutionProvider": 1},
			Photos: []observe.Photo{{Fixture: "one", Width: 100, Height: 100, People: 1, OKS: 1, Persons: []pose.Person{person}}}, COCO: &observe.COCO{Images: 79, AP: ap}}
	}
	all := Results(table, []observe.Observation{seen("int8", "avx2", 0.40), seen("fp32", "avx2", 0.46), seen("int8", "vnni", 0.45), seen("fp64", "avx2", 0.4), seen(ownPrecision, "avx2", 0.1)}, time.Time{})

	require.NotNil(t, all[0].Drift)
	assert.Equal(t, 1, all[0].Drift.Matched)
	assert.InDelta(t, 0.06, all[0].Drift.AP.Loss(), 1e-9)
	assert.ErrorContains(t, all[0].Problem, "AP is 0.4000, want at least 0.4500")
	assert.Nil(t, all[1].Drift, "fp32 is what others are compared with")
	assert.NoError(t, all[1].Problem)
	assert.Equal(t, expect.ClassLoads, all[1].Class)
	assert.Nil(t, all[2].Drift, "fp32 of another kind of machine")
	assert.ErrorContains(t, all[3].Problem, "no row is for this cell")
	assert.NoError(t, all[4].Problem, "no table is for a file of the user's own")
	assert.Zero(t, all[4].Row.Line)
}
