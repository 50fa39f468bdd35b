package faulttest

import "testing"

// Try tries a fault in a subtest, on a promise of docs/reliability.md, whose table has a line for it.
func Try(t *testing.T, fault, promise string, test func(t *testing.T)) {
	t.Run(fault, func(t *testing.T) {
		t.Attr("promise", promise)
		test(t)
	})
}
