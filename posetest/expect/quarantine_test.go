package expect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unstable is a whole right row in quarantine.
const unstable = `
[[row]]
want = "crashes"
sometimes = "loads fails"
owner = "posetest maintainers"
see = "https://example.org/issues/1"
until = 2027-02-22
signal = "SIGSEGV"
during = "open"
why = "reads freed memory"
status = "verified linux/amd64 2026-11-24"
`

// mostly is one that loads, but for some crashes.
var mostly = strings.NewReplacer(`"crashes"`, `"loads"`, `"loads fails"`, `"crashes"`, "signal =", "# signal =", "during =", "# during =").Replace(unstable)

func day(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

var (
	start  = day("2026-11-24T00:00:00Z")
	before = day("2027-02-21T12:00:00Z") // the day before its last
	last   = day("2027-02-22T23:59:59Z")
	after  = day("2027-02-23T00:00:00Z")
)

// A quarantine says who answers for it, where its story is, and when it ends.
func TestQuarantineErrors(t *testing.T) {
	for _, test := range []struct{ why, from, to, want string }{
		{"nobody answers for it", `owner = "posetest maintainers"`, "", "support.toml:2: sometimes wants an owner: who answers for the cell"},
		{"nor does white space", `"posetest maintainers"`, `" "`, "support.toml:2: sometimes wants an owner"},
		{"nobody can read on", `see = "https://example.org/issues/1"`, "", `support.toml:2: sometimes wants a reference: see "" must be a URL`},
		{"words are no place", `"https://example.org/issues/1"`, `"issue 1 of example.org"`, `see "issue 1 of example.org" must be a URL`},
		{"a file is of one machine", `"https://`, `"file://`, `see "file://example.org/issues/1" must be a URL`},
		{"a scheme alone", `"https://example.org/issues/1"`, `"https:///1"`, `see "https:///1" must be a URL`},
		{"no URL by its characters", `"https://example.org/issues/1"`, `"https://example.org/%zz"`, `see "https://example.org/%zz" must be a URL`},
		{"it would never end", `until = 2027-02-22`, "", "support.toml:2: sometimes wants its last day: until = 2027-02-22"},
		{"a day that no month has", `2027-02-22`, "2027-02-30", "support.toml:7: "},
		{"a day that is cut", `2027-02-22`, "2027-02-2", "support.toml:7: "},
		{"words for a day", `2027-02-22`, `"in spring"`, "support.toml"},
		{"a moment for a day", `2027-02-22`, "2027-02-22T12:00:00Z", "support.toml:7: "},
		{"owner and end of nothing", `sometimes = "loads fails"`, "", "support.toml:2: owner and until go with sometimes, which names outcomes"},
		{"everything is no list", `"loads fails"`, `"*"`, "support.toml:2: owner and until go with sometimes"},
		{"an empty list is a typo", `"loads fails"`, `""`, "support.toml:2: sometimes is empty; name outcomes there, or remove it"},
		{"its own outcome is no exception", `"loads fails"`, `"crashes"`, `support.toml:2: sometimes "crashes" must be one of`},
		{"no reason", `why = "reads freed memory"`, "", "support.toml:2: why must tell the reason"},
	} {
		t.Run(test.why, func(t *testing.T) {
			text := strings.Replace(unstable, test.from, test.to, 1)
			require.NotEqual(t, unstable, text, "the test replaces nothing")
			_, err := expect.Parse([]byte(text), "support.toml")
			assert.ErrorContains(t, err, test.want)
		})
	}
	only := strings.NewReplacer("sometimes =", "# sometimes =", "owner =", "# owner =").Replace(unstable)
	_, err := expect.Parse([]byte(only), "support.toml")
	require.ErrorContains(t, err, "owner and until go with sometimes", "an end of nothing")
	only = strings.NewReplacer("sometimes =", "# sometimes =", "until =", "# until =").Replace(unstable)
	_, err = expect.Parse([]byte(only), "support.toml")
	require.ErrorContains(t, err, "owner and until go with sometimes", "an owner of nothing")
	for _, scheme := range []string{"http", "https"} {
		parse(t, strings.Replace(unstable, "https://", scheme+"://", 1))
	}
	quoted := parse(t, strings.Replace(unstable, "2027-02-22", `"2027-02-22"`, 1))[0]
	assert.Equal(t, parse(t, unstable)[0].Until, quoted.Until, "a day may be quoted")
}

// A day is UTC's, and the last one counts.
func TestTerm(t *testing.T) {
	row := parse(t, unstable)[0]
	west := time.FixedZone("", -5*3600)
	for _, test := range []struct {
		why   string
		today time.Time
		left  int
		term  string
	}{
		{"when it was given", start, 90, "until 2027-02-22, 90 days left"},
		{"two days before", day("2027-02-20T23:59:59Z"), 2, "until 2027-02-22, 2 days left"},
		{"the day before", before, 1, "until 2027-02-22, 1 day left"},
		{"the last day begins", day("2027-02-22T00:00:00Z"), 0, "until 2027-02-22, which is today"},
		{"the last day ends", last, 0, "until 2027-02-22, which is today"},
		{"the day after", after, -1, "until 2027-02-22, which was 1 day ago"},
		{"two days after", day("2027-02-24T12:00:00Z"), -2, "until 2027-02-22, which was 2 days ago"},
		{"west of Greenwich it is the day before still, and over here as everywhere", after.In(west), -1, "until 2027-02-22, which was 1 day ago"},
		{"nobody said which day it is", time.Time{}, 106751, "until 2027-02-22"},
	} {
		t.Run(test.why, func(t *testing.T) {
			assert.Equal(t, test.left, row.DaysLeft(test.today))
			assert.Equal(t, test.term, row.Term(test.today))
			assert.Equal(t, "support.toml:2: quarantined "+test.term+" (owner posetest maintainers, https://example.org/issues/1)", row.Quarantine(test.today))
			valid := test.left >= 0
			assert.Equal(t, [2]bool{valid, !valid}, [2]bool{row.InQuarantine(test.today), row.Overdue(test.today)})
			for _, o := range observe.Outcomes() {
				assert.Equal(t, valid && (o == observe.Loads || o == observe.Fails), row.Tolerates(o, test.today), o)
			}
			stable := row
			stable.Sometimes = nil
			assert.False(t, stable.Unstable() || stable.InQuarantine(test.today) || stable.Overdue(test.today) || stable.Tolerates(observe.Fails, test.today), "a row without sometimes")
		})
	}
}

// The table is held to its dates: none is past, and none further ahead than half a year.
func TestCheckQuarantines(t *testing.T) {
	for _, test := range []struct {
		why, until string
		today      time.Time
		want       string // "" for no error
	}{
		{"as given", "2027-02-22", start, ""},
		{"the day before", "2027-02-22", before, ""},
		{"the last day", "2027-02-22", last, ""},
		{"the day after", "2027-02-22", after, "the quarantine in support.toml:2 ended on 2027-02-22 (owner posetest maintainers, https://example.org/issues/1): mend the cell"},
		{"as long as may be", "2027-05-23", start, ""},
		{"a day longer", "2027-05-24", start, "support.toml:2: until 2027-05-24 is 181 days ahead, want 180 at most; choose a nearer date"},
		{"for ever", "9999-12-31", start, "support.toml:2: until 9999-12-31 is 106751 days ahead"},
	} {
		t.Run(test.why, func(t *testing.T) {
			table := parse(t, strings.Replace(unstable, "2027-02-22", test.until, 1)+row)
			assert.Equal(t, table[:1], table.Quarantines(), "the other row is none")
			err := table.CheckQuarantines(test.today)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.want)
			}
		})
	}
	assert.NoError(t, parse(t, row).CheckQuarantines(after))
}

// Up to its last day an unstable cell may do what its row says, and from then on it is held to what the row wants.
func TestJudgeQuarantine(t *testing.T) {
	const over = "the quarantine in support.toml:2 ended on 2027-02-22 (owner posetest maintainers, https://example.org/issues/1): mend the cell, correct the row, or have the owner set another date there"
	died := observe.Observation{Outcome: observe.Crashes, Death: &observe.Death{Signal: "SIGSEGV", During: "open"}}
	tried := edit(died, func(o *observe.Observation) { o.Earlier = []observe.Outcome{observe.Loads} })
	for _, test := range []struct {
		why   string
		got   observe.Observation
		today time.Time
		want  []string // nil for as expected
	}{
		{"the day before", tried, before, nil},
		{"the last day", tried, last, nil},
		{"no day is before all", tried, time.Time{}, nil},
		{"the day after", tried, after, []string{"loads in an attempt before, which sometimes in support.toml:2 does not allow", over}},
		{"what it wants is right on any day", died, after, nil},
		{"what it was allowed is wrong", loads(), after, []string{"loads, want crashes by SIGSEGV during open; ", over}},
		{"as is what never was", edit(died, func(o *observe.Observation) { o.Outcome = observe.Hangs }), after, []string{"hangs: died of SIGSEGV", over}},
		{"a failure in time says nothing of dates", edit(tried, func(o *observe.Observation) { o.Death = &observe.Death{Signal: "SIGABRT", During: "open"} }), last,
			[]string{"died of SIGABRT during open, want crashes by SIGSEGV"}},
	} {
		t.Run(test.why, func(t *testing.T) {
			err := expect.Judge{Row: parse(t, unstable)[0], Provider: "CPUExecutionProvider", Today: test.today}.Load(test.got)
			holds(t, err, test.want)
			if err != nil && !test.today.Equal(after) {
				assert.NotContains(t, err.Error(), "ended on")
			}
		})
	}
}

// holds asserts that an error has all these words, or that there is none.
func holds(t *testing.T, err error, want []string) {
	t.Helper()
	if want == nil {
		assert.NoError(t, err)
	}
	for _, words := range want {
		assert.ErrorContains(t, err, words)
	}
}

// A cell that was repeated is judged by all that it did.
func TestJudgeRepeated(t *testing.T) {
	fine := loads()
	elsewhere := edit(loads(), func(o *observe.Observation) { o.Photos = nil })
	died := observe.Observation{Outcome: observe.Crashes, Death: &observe.Death{Signal: "SIGSEGV", During: "open"}}
	aborted := edit(died, func(o *observe.Observation) { o.Death = &observe.Death{Signal: "SIGABRT", During: "open"} })
	hung := observe.Observation{Outcome: observe.Hangs, Death: &observe.Death{During: "open", Limit: "time 1m0s"}}
	refused := func(words string) observe.Observation {
		return observe.Observation{Outcome: observe.Fails, Failure: &observe.Failure{Message: words}}
	}
	const steady = "\n[[row]]\nwant = \"loads\"\nstatus = \"verified linux/amd64 2026-11-24\"\n"
	type times struct {
		n int
		o observe.Observation
	}
	for _, test := range []struct {
		why, row string
		seen     []times
		today    time.Time
		want     []string // nil for as expected
	}{
		{"stable", steady, []times{{10, fine}}, start, nil},
		{"stable, and wrong", steady, []times{{10, refused("no kernel")}}, start, []string{"fails: no kernel, want loads"}},
		{"flaky", steady, []times{{7, fine}, {3, died}}, start, []string{
			"flaky: loads 7 of 10, crashes 3 of 10; find the cause, or quarantine the cell in a row of its own (sometimes, owner, see, until), beside support.toml:2\n  7 × loads\n  3 × crashes: died of SIGSEGV during open"}},
		{"flaky, and mostly wrong", steady, []times{{3, fine}, {7, died}}, start, []string{"flaky: crashes 7 of 10, loads 3 of 10", "crashes: died of SIGSEGV during open, want loads"}},
		{"it finds now this and now that", steady, []times{{9, fine}, {1, elsewhere}}, start, []string{"flaky: loads 10 of 10 in 2 ways; ", "\n  9 × loads\n  1 × loads, where photos is nothing, not 3 of them"}},

		{"in quarantine", unstable, []times{{5, died}, {4, fine}, {1, refused("node 1")}}, last, nil},
		{"in quarantine, whatever the words", unstable, []times{{5, died}, {1, refused("node 1")}, {1, refused("node 2")}}, last, nil},
		{"in quarantine, and mostly what is only tolerated", unstable, []times{{1, died}, {9, fine}}, last, nil},
		{"in quarantine, and in another way", unstable, []times{{9, died}, {1, hung}}, last, []string{"1 of 10 times: hangs: stopped during open by the limit of time 1m0s, want crashes by SIGSEGV during open"}},
		{"in quarantine, and by another signal", unstable, []times{{9, died}, {1, aborted}}, last, []string{"1 of 10 times: died of SIGABRT during open, want crashes by SIGSEGV"}},
		{"in quarantine, and another warning before its crash", unstable, []times{{9, died}, {1, edit(died, func(o *observe.Observation) { o.LogErrors = []string{"W: node 1"} })}}, last, nil},
		{"too few repetitions to say that it never does what is wanted", unstable, []times{{11, fine}}, last, nil},
		{"enough of them", unstable, []times{{12, fine}}, last, []string{"loads, and never crashes by SIGSEGV during open in 12 attempts; if it healed, remove sometimes from support.toml:2"}},
		{"enough of them in two ways", unstable, []times{{7, fine}, {6, refused("node 1")}}, last, []string{"loads, and never crashes by SIGSEGV during open in 13 attempts"}},
		{"one of many is enough", unstable, []times{{99, fine}, {1, died}}, last, nil},
		{"past its quarantine", unstable, []times{{5, died}, {4, fine}}, after, []string{"flaky: crashes 5 of 9, loads 4 of 9; find the cause\n  5 × crashes", "the quarantine in support.toml:2 ended on 2027-02-22"}},
		{"past its quarantine, and healed", mostly, []times{{10, fine}}, after, nil},

		{"it loads, mostly", mostly, []times{{9, fine}, {1, died}}, last, nil},
		{"it loads, mostly, and finds now this and now that", mostly, []times{{8, fine}, {1, elsewhere}, {1, died}}, last,
			[]string{"loads in several ways, which sometimes in support.toml:2 does not allow: flaky: loads 9 of 10 in 2 ways, crashes 1 of 10; find the cause\n  8 × loads"}},
		{"it loads, mostly, with nodes elsewhere", mostly, []times{{9, edit(loads(), func(o *observe.Observation) { o.Placement = map[string]int{"X": 1} })}, {1, died}}, last,
			[]string{"9 of 10 times: only 0 % of the nodes are on CPUExecutionProvider"}},
	} {
		t.Run(test.why, func(t *testing.T) {
			var all []observe.Observation
			for _, seen := range test.seen {
				for range seen.n {
					all = append(all, seen.o)
				}
			}
			o, err := observe.Repeated(all)
			require.NoError(t, err)
			holds(t, expect.Judge{Row: parse(t, test.row)[0], Provider: "CPUExecutionProvider", Today: test.today}.Load(o), test.want)
		})
	}
	o, err := observe.Repeated([]observe.Observation{fine, died})
	require.NoError(t, err)
	own := expect.Judge{Row: expect.Own(), Provider: "CPUExecutionProvider"}.Load(o)
	require.ErrorContains(t, own, "flaky: loads 1 of 2, crashes 1 of 2; find the cause\n", "no row can be written for a model without a table")
}

// What a cell finds that need not have loaded is asked by nobody; past its quarantine it is.
func TestInferInQuarantine(t *testing.T) {
	judge := expect.Judge{Row: parse(t, unstable)[0], Today: last}
	assert.NoError(t, judge.Infer(loads()))
	judge.Today = after
	assert.ErrorContains(t, judge.Infer(loads()), "finds people, want  (support.toml:2)")
	judge = expect.Judge{Row: parse(t, mostly)[0], Today: last}
	assert.ErrorContains(t, judge.Infer(edit(loads(), func(o *observe.Observation) { o.Photos = nil })), "finds nobody, want people", "what its row wants is asked")
}
