package posetest

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/alert"
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

// A cell in quarantine is tried until it does what its row wants, up to and with its last day; one that is repeated is run
// as often as was asked for, whatever its row wants.
func TestAttempts(t *testing.T) {
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	require.NoError(t, os.WriteFile(text, []byte("no library"), 0o644)) // which fails, and never loads
	day := func(text string) time.Time {
		d, err := time.Parse(time.DateOnly, text)
		require.NoError(t, err)
		return d
	}
	const status = "status = \"unverified\"\n"
	const unstable = "[[row]]\nwant = \"loads\"\nsometimes = \"fails\"\nowner = \"us\"\nsee = \"https://example.org/1\"\nuntil = 2027-02-22\nwhy = \"by chance\"\n" + status
	for _, row := range []struct {
		why, row, today string
		repeat          int
		attempts        int // in one observation, for what its row wants
		variants        []int
	}{
		{"no quarantine", "[[row]]\nwant = \"loads\"\n" + status, "2026-11-24", 1, 1, nil},
		{"the day before its last", unstable, "2027-02-21", 1, expect.Attempts, nil},
		{"its last day", unstable, "2027-02-22", 1, expect.Attempts, nil},
		{"the day after", unstable, "2027-02-23", 1, 1, nil},
		{"it does what its row wants at once", strings.NewReplacer(`"loads"`, `"fails"`, `"fails"`, `"loads"`).Replace(unstable), "2027-02-22", 1, 1, nil},
		{"repeated", "[[row]]\nwant = \"loads\"\n" + status, "2026-11-24", 3, 1, []int{3}},
		{"repeated in quarantine", unstable, "2027-02-22", 2, 1, []int{2}},
	} {
		t.Run(row.why, func(t *testing.T) {
			table, err := expect.Parse([]byte(row.row), "golden/support.toml")
			require.NoError(t, err)
			p := Planned{Library: text, Row: table[0], Today: day(row.today), Place: expect.Place{Cell: observe.Cell{Model: "m", Precision: "fp32", Provider: "cpu", ORT: "1.23.2"}}}
			o, err := New(Config{Repeat: row.repeat}).Observe(t.Context(), p)
			require.NoError(t, err)
			assert.Equal(t, observe.Fails, o.Outcome)
			assert.Len(t, o.Earlier, row.attempts-1)
			var times []int
			for _, v := range o.Variants {
				times = append(times, v.Times)
			}
			assert.Equal(t, row.variants, times)
			assert.Equal(t, row.today, p.Judge().Today.Format(time.DateOnly), "the judge knows the day")
		})
	}
}

// In which order sub-tests end is no part of what is said of them.
func TestWatchOrder(t *testing.T) {
	said := func(subjects ...string) string {
		w := &watch{}
		for _, s := range subjects {
			w.all = append(w.all, alert.Failure{File: "golden/support.toml", Line: 7, Subject: s, Problem: "fails, want loads"})
		}
		w.sort()
		return w.markdown("TestLoad")
	}
	assert.Equal(t, said("a", "b", "c"), said("c", "a", "b"))
}
