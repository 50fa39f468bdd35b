package golden_test

import (
	"testing"

	"github.com/posetest/suite/posetest/golden"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a golden holds passes it, and is its golden again.
func FuzzCheck(f *testing.F) {
	for _, o := range []observe.Observation{observation(), observation(stand(10, 20), stand(10, 20)), observation(at(5), stand(300, 20))} {
		g, err := golden.Of(o)
		require.NoError(f, err)
		text, err := g.Marshal()
		require.NoError(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := golden.Parse(text, "golden.json")
		if err != nil {
			assert.ErrorContains(t, err, "golden.json: ")
			return
		}
		o := observe.Observation{Cell: g.Cell, ModelSHA256: g.ModelSHA256, Machine: observe.Machine{ISA: g.Class}, Outcome: observe.Loads}
		for _, p := range g.Photos {
			o.Photos = append(o.Photos, observe.Photo{Fixture: p.Fixture, SHA256: p.SHA256, Persons: p.Persons})
		}
		differences, err := g.Check(o, golden.Tolerance{})
		require.NoError(t, err)
		assert.Empty(t, differences)
		again, err := golden.Of(o)
		require.NoError(t, err)
		again.Class = g.Class // which Class makes of precision and machine
		assert.Equal(t, g, again)
	})
}

// A file's name is read as it is written, and what it is for has that golden, beside whichever other.
func FuzzSince(f *testing.F) {
	f.Add("cpu@1.23.2.any", "cpu@openvino-1.24.1.avx2")
	f.Add("cuda@gpu-0.1.0.any", "cpu@nightly.any")
	f.Add("cpu@1.2.any", "@..")
	f.Fuzz(func(t *testing.T, name, other string) {
		since, err := golden.ParseSince(name)
		if err != nil {
			assert.ErrorContains(t, err, "is not named like")
			return
		}
		require.Equal(t, name, since.String())
		all := []golden.Since{since}
		if more, err := golden.ParseSince(other); err == nil {
			all = append(all, more)
			forwards, ok := golden.Choose(all, golden.Since{Provider: since.Provider, ORT: "9.9.9", Class: since.Class})
			backwards, okToo := golden.Choose([]golden.Since{more, since}, golden.Since{Provider: since.Provider, ORT: "9.9.9", Class: since.Class})
			assert.Equal(t, ok, okToo)
			assert.Equal(t, forwards, backwards, "the order of files is nobody's promise")
		}
		got, ok := golden.Choose(all, since)
		assert.True(t, ok)
		assert.Equal(t, since, got)
	})
}
