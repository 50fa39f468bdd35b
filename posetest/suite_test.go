package posetest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A cell is observed once for all tests that look at it, and anew when a test looks again: `go test -count=2` must
// measure twice, or a flaw that shows in one of ten runs is never seen.
func TestObservedOnce(t *testing.T) {
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	require.NoError(t, os.WriteFile(text, []byte("no library"), 0o644))
	p := Planned{Library: text, Place: expect.Place{Cell: observe.Cell{Model: "m", Precision: "fp32", Provider: "cpu", ORT: "1.23.2"}}}
	other := p
	other.ORT = "1.32.0"

	s := New(Config{})
	look := func(p Planned, user string) *made[observe.Observation] {
		o, err := s.observation(t.Context(), p, user)
		require.NoError(t, err)
		require.Equal(t, observe.Fails, o.Outcome, "what any library does that is none")
		s.seen.mu.Lock()
		defer s.seen.mu.Unlock()
		return s.seen.made[p.Cell]
	}
	first := look(p, "load")
	assert.Same(t, first, look(p, "infer"), "another test sees the same")
	second := look(p, "load")
	assert.NotSame(t, first, second, "the same test sees anew")
	assert.Same(t, second, look(p, "infer"), "and the other one the same again")
	assert.NotSame(t, second, look(other, "load"), "another cell has its own")

	// Sub-tests are parallel: whoever comes first, one worker runs.
	third := make([]*made[observe.Observation], 2)
	var wg sync.WaitGroup
	for i, user := range []string{"load", "infer"} {
		wg.Go(func() { third[i] = look(p, user) })
	}
	wg.Wait()
	assert.NotSame(t, second, third[0])
	assert.Same(t, third[0], third[1])
}
