package expect

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/observe"
)

// Attempts is how often a cell in quarantine is tried until it does what its row wants. One that does so in half of all
// attempts is missed once in 4,096 runs.
const Attempts = 12

// MostQuarantine is for how many days from today a quarantine may be given: what nobody mends in half a year is what the
// cell does, and a row should say that.
const MostQuarantine = 180

// Unstable tells whether the row's cells are known to be unstable: it says what they do sometimes.
func (r Row) Unstable() bool { return len(r.Sometimes) > 0 }

// DaysLeft is for how many days after a moment's own, by UTC, the row's quarantine holds: 0 on its last day, and less
// than 0 from the next on.
func (r Row) DaysLeft(today time.Time) int {
	y, m, d := today.UTC().Date()
	return int(r.Until.AsTime(time.UTC).Sub(time.Date(y, m, d, 0, 0, 0, 0, time.UTC)) / (24 * time.Hour))
}

// InQuarantine tells whether the row's cells may be unstable on a day.
func (r Row) InQuarantine(today time.Time) bool { return r.Unstable() && r.DaysLeft(today) >= 0 }

// Overdue tells whether the row had a quarantine, which is over.
func (r Row) Overdue(today time.Time) bool { return r.Unstable() && r.DaysLeft(today) < 0 }

// Tolerates tells whether a cell may have an outcome on a day that its row does not want.
func (r Row) Tolerates(o observe.Outcome, today time.Time) bool {
	return r.InQuarantine(today) && r.Sometimes.Has(string(o))
}

// Term says until when the row's quarantine holds: "until 2027-02-22, 90 days left". Without a day, the date alone.
func (r Row) Term(today time.Time) string {
	days := r.DaysLeft(today)
	switch {
	case today.IsZero():
		return fmt.Sprintf("until %s", r.Until)
	case days < 0:
		return fmt.Sprintf("until %s, which was %s ago", r.Until, inDays(-days))
	case days == 0:
		return fmt.Sprintf("until %s, which is today", r.Until)
	}
	return fmt.Sprintf("until %s, %s left", r.Until, inDays(days))
}

func inDays(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

// Quarantine is the row's quarantine in one line: its place, who answers for it, its reference, and its term.
func (r Row) Quarantine(today time.Time) string {
	return fmt.Sprintf("%s: quarantined %s (owner %s, %s)", r.Where(), r.Term(today), r.Owner, r.See)
}

// ended is the error of a cell that its quarantine covers no more.
func (r Row) ended() error {
	return fmt.Errorf("the quarantine in %s ended on %s (owner %s, %s): mend the cell, correct the row, or have the owner set another date there",
		r.Where(), r.Until, r.Owner, r.See)
}

// checkQuarantine tells what is wrong with the row's quarantine by itself.
func (r Row) checkQuarantine() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !r.Unstable() {
		if r.Sometimes != nil {
			bad("sometimes is empty; name outcomes there, or remove it")
		}
		if r.Owner != "" || r.Until.Year != 0 {
			bad("owner and until go with sometimes, which names outcomes")
		}
		return errs
	}
	if strings.TrimSpace(r.Owner) == "" {
		bad("sometimes wants an owner: who answers for the cell")
	}
	if u, err := url.Parse(r.See); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		bad("sometimes wants a reference: see %q must be a URL", r.See)
	}
	if r.Until.Year == 0 {
		bad("sometimes wants its last day: until = 2027-02-22")
	}
	return errs
}

// Quarantines are the rows that say what their cells do sometimes.
func (t Table) Quarantines() Table {
	var all Table
	for _, r := range t {
		if r.Unstable() {
			all = append(all, r)
		}
	}
	return all
}

// CheckQuarantines tells of quarantines that are over on a day, or given for longer than [MostQuarantine] days from it.
func (t Table) CheckQuarantines(today time.Time) error {
	var errs []error
	for _, r := range t.Quarantines() {
		switch days := r.DaysLeft(today); {
		case days < 0:
			errs = append(errs, r.ended())
		case days > MostQuarantine:
			errs = append(errs, fmt.Errorf("%s: until %s is %d days ahead, want %d at most; choose a nearer date", r.Where(), r.Until, days, MostQuarantine))
		}
	}
	return errors.Join(errs...)
}
