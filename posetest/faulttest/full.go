package faulttest

import "os"

// Times is how often a fault is tried: few times, or, where POSETEST_FULL is 1, as often as the figures of
// docs/reliability.md say.
func Times(few, full int) int {
	if os.Getenv("POSETEST_FULL") == "1" {
		return full
	}
	return few
}
