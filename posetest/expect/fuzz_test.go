package expect_test

import (
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startsAt tells whether a line of the text, from 1 on, begins a row of the kind.
func startsAt(text []byte, line int, kind string) bool {
	lines := strings.Split(string(text), "\n")
	return line >= 1 && line <= len(lines) && strings.HasPrefix(strings.TrimSpace(lines[line-1]), "[["+kind+"]]")
}

// checkParse is what holds of any table: an error names the file; each row that is taken begins on its line, has bars that can be
// missed, and is missed itself where no cell is.
func checkParse(t *testing.T, text []byte) {
	table, err := expect.Parse(text, "fuzz.toml")
	if err != nil {
		require.True(t, strings.HasPrefix(err.Error(), "fuzz.toml:"), "names the file: %s", err)
		return
	}
	before := 0
	for _, r := range table {
		assert.True(t, startsAt(text, r.Line, "row"), "no row begins on line %d", r.Line)
		assert.Greater(t, r.Line, before)
		before = r.Line
		assert.Contains(t, observe.Outcomes(), r.Want)
		assert.Equal(t, r.Want == observe.Loads, r.Finds != "")
		for precision, ap := range r.AP {
			assert.True(t, ap > 0 && ap <= 1, "ap %v of %q", ap, precision)
		}
		for precision, bars := range r.Drift {
			assert.NoError(t, bars.Valid(), "drift of %q", precision)
		}
	}
	err = table.Check(nil)
	require.Error(t, err)
	assert.Equal(t, len(table), strings.Count(err.Error(), "the row is for no cell"), "each row is told once")
	_ = table.Check([]expect.Place{place("m", "p", "cpu", "1.0.0")})
}

// An error names the file, and a bar that is taken is a limit: of a number, for others than fp32, on its line.
func FuzzParseSpeeds(f *testing.F) {
	f.Add([]byte(goodSpeed))
	f.Add([]byte(row + goodSpeed))
	f.Add([]byte(strings.Replace(goodSpeed, "at_least = 1.2", "at_most = inf", 1)))
	f.Add([]byte(strings.Replace(goodSpeed, "at_least = 1.2", "at_least = nan", 1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		speeds, err := expect.ParseSpeeds(text, "fuzz.toml")
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "fuzz.toml:"), "names the file: %s", err)
			return
		}
		for _, s := range speeds {
			assert.True(t, startsAt(text, s.Line, "speed"), "no bar begins on line %d", s.Line)
			assert.True(t, s.AtLeast >= 0.001 && s.AtLeast <= 1000 || s.AtMost >= 0.001 && s.AtMost <= 1000, "%+v", s)
			assert.False(t, s.Precision.Has("fp32"))
			assert.NotEmpty(t, s.Why)
		}
		if len(speeds) > 0 {
			assert.Error(t, speeds.Check(nil, nil))
		}
	})
}
