package posetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBisect(t *testing.T) {
	for _, row := range []struct {
		why    string
		states string // one letter a release; "-" can't be installed
		here   string // "+" is installed
		want   boundary
		looks  string // which were looked at, in order
	}{
		{"one change in the middle", "aaaabbbb", "", boundary{first: 0, last: 7, changes: true, before: 3, after: 4}, "07354"},
		{"it changes with the second release", "abbbbbbb", "", boundary{first: 0, last: 7, changes: true, before: 0, after: 1}, "0731"},
		{"it changes with the last release", "aaaaaaab", "", boundary{first: 0, last: 7, changes: true, before: 6, after: 7}, "07356"},
		{"it does not change between the ends: nothing else is looked at", "aabbbbaa", "", boundary{first: 0, last: 7, before: 0, after: 7}, "07"},
		{"a single release", "a", "", boundary{}, "0"},
		{"two releases", "ab", "", boundary{last: 1, changes: true, after: 1}, "01"},
		{"what is installed is looked at first", "aaaaabbb", "+++--+++", boundary{first: 0, last: 7, changes: true, before: 4, after: 5}, "07253 4"},
		{"one at the boundary can't be installed, and is named", "aaa-bbbb", "", boundary{first: 0, last: 7, changes: true, before: 2, after: 4, skipped: []int{3}}, "07342"},
		{"the ends can't be installed: the next ones are the ends", "-aabbb-", "", boundary{first: 1, last: 5, changes: true, before: 2, after: 3, skipped: []int{0, 6}}, ""},
		{"all between can't be installed", "a---b", "", boundary{first: 0, last: 4, changes: true, before: 0, after: 4, skipped: []int{1, 2, 3}}, ""},
		{"another state between: it changes again", "aaacccbb", "", boundary{first: 0, last: 7, changes: true, before: 2, after: 3, again: true}, ""},
		{"what comes and goes again between two looks is not seen", "abaaaaac", "", boundary{first: 0, last: 7, changes: true, before: 6, after: 7}, ""},
		{"nor a change back and forth behind the boundary", "aabbbbab", "", boundary{first: 0, last: 7, changes: true, before: 1, after: 2}, ""},
	} {
		t.Run(row.why, func(t *testing.T) {
			looks := ""
			here := func(i int) bool { return i < len(row.here) && row.here[i] == '+' }
			b, err := bisect(len(row.states), here, func(i int) (string, error) {
				looks += string(rune('0' + i))
				if row.states[i] == '-' {
					return "", &skippedError{errors.New("no wheel")}
				}
				return row.states[i : i+1], nil
			})
			require.NoError(t, err)
			assert.Equal(t, row.want, b)
			if row.looks != "" {
				assert.Equal(t, strings.ReplaceAll(row.looks, " ", ""), looks)
			}
			assert.LessOrEqual(t, len(looks), len(row.states), "none twice")
		})
	}
}

func TestBisectErrors(t *testing.T) {
	nowhere := func(int) bool { return false }
	_, err := bisect(3, nowhere, func(int) (string, error) { return "", &skippedError{errors.New("no wheel")} })
	require.ErrorIs(t, err, errNoRelease)
	_, err = bisect(0, nowhere, nil)
	require.ErrorIs(t, err, errNoRelease)
	broken := errors.New("no photograph")
	_, err = bisect(3, nowhere, func(int) (string, error) { return "", broken })
	assert.ErrorIs(t, err, broken)
}
