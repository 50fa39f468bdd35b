//go:build race

package report

// raceEnabled: times are not those of a user.
const raceEnabled = true
