package posetest

import (
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The row that bisect writes for an unstable cell is a whole one: it can go into the table as it is.
func TestBisectRowOfUnstable(t *testing.T) {
	const unstable = `[[row]]
want = "crashes"
sometimes = "loads fails"
owner = "us"
see = "https://example.org/issues/1"
until = 2027-02-22
signal = "SIGSEGV"
during = "open"
why = "by chance"
status = "unverified"
`
	mostly := strings.NewReplacer(`"crashes"`, `"loads"`, `"loads fails"`, `"crashes"`, "signal =", "# signal =", "during =", "# during =").Replace(unstable)
	for _, row := range []struct {
		row  string
		seen observe.Observation
	}{
		{unstable, observe.Observation{Outcome: observe.Crashes, Death: &observe.Death{Signal: "SIGSEGV", During: "open"}}},
		{mostly, observe.Observation{Outcome: observe.Loads, Photos: []observe.Photo{{People: 1, OKS: 1}}}},
	} {
		table, err := expect.Parse([]byte(row.row), "golden/support.toml")
		require.NoError(t, err)
		want := table[0]
		l := looked{planned: Planned{Row: want, Place: expect.Place{Cell: observe.Cell{Model: "m", Precision: "int8", Provider: "cpu", ORT: "1.23.2"}, Platform: "linux/amd64"}}, seen: row.seen}
		again, err := expect.Parse([]byte(l.row(">=1.23")), "golden/support.toml")
		require.NoError(t, err, l.row(">=1.23"))
		got := again[0]
		assert.Equal(t, []any{want.Want, want.Sometimes, want.Owner, want.See, want.Until, want.Why}, []any{got.Want, got.Sometimes, got.Owner, got.See, got.Until, got.Why})
	}
}
