package posetest

import (
	"errors"
	"slices"
)

// A boundary is what a search over releases, ascending and numbered from 0 on, found.
type boundary struct {
	first, last   int   // the ends, without what can't be looked at
	changes       bool  // whether the states of the ends differ
	before, after int   // the last release that is seen to be as the first, and the next that was looked at, which is not
	again         bool  // the state changes once more behind after
	skipped       []int // what can't be looked at, ascending
}

// A skippedError says why a release can't be looked at.
type skippedError struct{ error }

// bisect looks for where the state changes from that of the first release to another. It asks look for as few releases as it can,
// and, of those that would do, first for one that is here: the others must be downloaded. A release whose look is a skippedError is
// passed over; another error ends the search. States in between that are neither the first's nor the last's, or a change after
// the first, are noticed where they are met, not looked for.
func bisect(n int, here func(i int) bool, look func(i int) (state string, err error)) (b boundary, err error) {
	states := map[int]string{}
	see := func(i int) (ok bool, err error) {
		if _, seen := states[i]; seen {
			return true, nil
		}
		if slices.Contains(b.skipped, i) {
			return false, nil
		}
		state, err := look(i)
		var skipped *skippedError
		if errors.As(err, &skipped) {
			b.skipped = append(b.skipped, i)
			slices.Sort(b.skipped)
			return false, nil
		}
		states[i] = state
		return err == nil, err
	}
	toward := func(i, step, end int) (int, error) {
		for ; i != end; i += step {
			if ok, err := see(i); ok || err != nil {
				return i, err
			}
		}
		return i, errNoRelease
	}
	if b.first, err = toward(0, 1, n); err != nil {
		return b, err
	}
	if b.last, err = toward(n-1, -1, -1); err != nil {
		return b, err
	}
	b.before, b.after = b.first, b.last
	if b.changes = states[b.first] != states[b.last]; !b.changes {
		return b, nil
	}
	for {
		mid := middle(b.before, b.after, func(i int) bool { return !slices.Contains(b.skipped, i) }, here)
		if mid < 0 {
			break
		}
		ok, err := see(mid)
		if err != nil {
			return b, err
		}
		switch {
		case !ok:
		case states[mid] == states[b.first]:
			b.before = mid
		default:
			b.after = mid
		}
	}
	for i, state := range states {
		b.again = b.again || i > b.after && state != states[b.after]
	}
	return b, nil
}

var errNoRelease = errors.New("none of the releases can be installed")

// middle is the release between two others that is nearest to their middle, of those that may be asked for; one that is here comes
// first. -1 if there is none.
func middle(before, after int, may, here func(int) bool) int {
	best, bestHere, bestOff := -1, false, 0
	for i := before + 1; i < after; i++ {
		if !may(i) {
			continue
		}
		off, isHere := max(2*i-before-after, before+after-2*i), here(i)
		if best < 0 || isHere && !bestHere || isHere == bestHere && off < bestOff {
			best, bestHere, bestOff = i, isHere, off
		}
	}
	return best
}
