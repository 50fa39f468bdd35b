// Package reduce finds the little of a whole that matters.
//
//	keep, err := reduce.Minimize(len(nodes), func(keep []int) (bool, error) { return stillFails(keep) })
//
// It knows nothing of models: what the parts are, and what it means to fail, its caller says.
package reduce

import (
	"encoding/binary"
	"slices"
)

// Minimize returns some of the parts 0…n-1, ascending, of which none can be left out alone without fails being false, or nil if even nothing fails: ddmin of
// Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (IEEE TSE 28(2), 2002). All parts together must fail.
// fails gets parts in ascending order, no selection twice, and ends the search with its error. Parts that belong together should be
// neighbours: then some log₂(n) calls find them.
func Minimize(n int, fails func(keep []int) (bool, error)) ([]int, error) {
	parts := make([]int, n)
	for i := range parts {
		parts[i] = i
	}
	known := map[string]bool{key(parts): true}
	try := func(keep []int) (bool, error) {
		k := key(keep)
		result, seen := known[k]
		if seen {
			return result, nil
		}
		result, err := fails(keep)
		known[k] = result
		return result, err
	}
	if ok, err := try(nil); ok || err != nil {
		return nil, err
	}
	for chunks := 2; len(parts) > 1; {
		chunks = min(chunks, len(parts))
		smaller, alone, err := shrink(parts, chunks, try)
		switch {
		case err != nil:
			return nil, err
		case alone:
			parts, chunks = smaller, 2
		case smaller != nil:
			parts, chunks = smaller, max(chunks-1, 2)
		case chunks == len(parts):
			return parts, nil
		default:
			chunks *= 2
		}
	}
	return parts, nil
}

// shrink looks for a chunk that fails alone, then for one that can be left out; nil if there is neither.
func shrink(parts []int, chunks int, try func([]int) (bool, error)) (smaller []int, alone bool, err error) {
	bounds := func(i int) (from, to int) { return i * len(parts) / chunks, (i + 1) * len(parts) / chunks }
	for i := range chunks {
		from, to := bounds(i)
		if ok, err := try(parts[from:to]); ok || err != nil {
			return slices.Clone(parts[from:to]), true, err
		}
	}
	for i := range chunks {
		from, to := bounds(i)
		rest := slices.Concat(parts[:from], parts[to:])
		if ok, err := try(rest); ok || err != nil {
			return rest, false, err
		}
	}
	return nil, false, nil
}

func key(parts []int) string {
	b := make([]byte, 0, 2*len(parts))
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(p))
	}
	return string(b)
}
