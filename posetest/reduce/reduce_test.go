package reduce_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/posetest/suite/posetest/reduce"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMinimize(t *testing.T) {
	has := func(parts ...int) func([]int) bool {
		return func(keep []int) bool {
			return !slices.ContainsFunc(parts, func(p int) bool { return !slices.Contains(keep, p) })
		}
	}
	for _, row := range []struct {
		why   string
		n     int
		fails func([]int) bool
		want  []int
		tries int // at most
	}{
		{"nothing to leave out", 0, has(), nil, 0},
		{"even nothing fails", 5, has(), nil, 1},
		{"one part, and it matters", 1, has(0), []int{0}, 1},
		{"two parts, both matter", 2, has(0, 1), []int{0, 1}, 3},
		{"the first of many", 700, has(0), []int{0}, 12},
		{"the last of many", 700, has(699), []int{699}, 22},
		{"neighbours", 700, has(300, 301, 302), []int{300, 301, 302}, 60},
		{"neighbours across the middle", 700, has(349, 350), []int{349, 350}, 60},
		{"two far apart", 700, has(10, 650), []int{10, 650}, 80},
		{"all matter", 8, has(0, 1, 2, 3, 4, 5, 6, 7), []int{0, 1, 2, 3, 4, 5, 6, 7}, 27},
		{"either of two: the one that is found first stays", 64, func(keep []int) bool { return slices.Contains(keep, 5) || slices.Contains(keep, 50) }, []int{5}, 14},
		{"a part that fails only with another beside it, or alone with a third", 9,
			func(keep []int) bool {
				return slices.Contains(keep, 2) && (slices.Contains(keep, 3) || slices.Contains(keep, 8))
			}, []int{2, 3}, 20},
	} {
		t.Run(row.why, func(t *testing.T) {
			tries, seen := 0, map[string]bool{}
			got, err := reduce.Minimize(row.n, func(keep []int) (bool, error) {
				tries++
				assert.True(t, slices.IsSorted(keep))
				key := string(rune(len(keep)))
				for _, k := range keep {
					key += string(rune(k)) + ","
				}
				assert.False(t, seen[key], "asked twice for %v", keep)
				seen[key] = true
				return row.fails(keep), nil
			})
			require.NoError(t, err)
			assert.ElementsMatch(t, row.want, got)
			assert.LessOrEqual(t, tries, row.tries)
		})
	}
}

// An error ends the search at once: the worker can't be started, or somebody pressed Ctrl-C.
func TestMinimizeError(t *testing.T) {
	broken := errors.New("broken")
	for at := range 5 {
		tries := 0
		_, err := reduce.Minimize(100, func(keep []int) (bool, error) {
			if tries++; tries > at {
				return false, broken
			}
			return len(keep) > 90, nil
		})
		assert.ErrorIs(t, err, broken)
		assert.Equal(t, at+1, tries)
	}
}
