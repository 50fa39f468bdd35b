package report

import (
	"testing"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
)

// A time on a graphics processor is told with and without copies, and with the clocks and the power that it was taken at.
func TestRunTime(t *testing.T) {
	runs := []time.Duration{2 * time.Millisecond, 3 * time.Millisecond}
	for _, row := range []struct {
		why  string
		seen observe.Observation
		want string
	}{
		{"nothing was timed", observe.Observation{}, "–"},
		{"on the processor", observe.Observation{Run: runs[0], Runs: runs}, "2.0 ms; 2.0 to 3.0 in 2 runs"},
		{"on a GPU whose tool tells nothing", observe.Observation{Run: runs[0], Runs: runs, DeviceRuns: []time.Duration{time.Millisecond, time.Millisecond}},
			"2.0 ms; 2.0 to 3.0 in 2 runs; without copies to and from the device 1.0 to 1.0 ms"},
		{"on a GPU", observe.Observation{Run: runs[0], Runs: runs, GPU: &observe.GPU{Name: "NVIDIA T4", Driver: "580.95.05", PState: "P0", Clock: 1500, MaxClock: 1590, Power: 65.5, PowerLimit: 70, Temperature: 61}},
			"2.0 ms; 2.0 to 3.0 in 2 runs; NVIDIA T4, driver 580.95.05, P0, 1500 of 1590 MHz, 66 of 70 W, 61 °C"},
	} {
		assert.Equal(t, row.want, Result{Observation: row.seen}.runTime(), row.why)
	}
}
