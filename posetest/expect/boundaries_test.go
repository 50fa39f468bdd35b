package expect_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Rows of one kind, to which a test adds what must not be there.
const (
	loadsRow = "[[row]]\nprecision = \"fp32 int8\"\nwant = \"loads\"\nstatus = \"reported somebody\"\n"
	failsRow = "[[row]]\nprecision = \"fp32 int8\"\nwant = \"fails\"\nwhy = \"no kernel\"\nstatus = \"unverified\"\n"
)

// What a row may have goes with what it wants, each field by itself.
func TestRowFields(t *testing.T) {
	for _, row := range []struct{ why, text, want string }{
		{"a row of somebody's report", loadsRow, ""},
		{"a failure whose words nobody has seen", failsRow, ""},
		{"an unavailable provider has words, too", "[[row]]\nwant = \"unavailable\"\nwhy = \"not built in\"\nmessage = \"no\"\nstatus = \"verified linux/amd64 2026-11-24\"\n", ""},
		{"an operator alone", loadsRow + "op = \"Conv\"", "op, opset and node go with fails"},
		{"an opset alone", loadsRow + "opset = 10", "op, opset and node go with fails"},
		{"a node alone", loadsRow + "node = \"/conv\"", "op, opset and node go with fails"},
		{"a time of death alone", loadsRow + "during = \"open\"", "signal and during go with crashes and hangs"},
		{"a hang without its time", strings.Replace(failsRow, "fails", "hangs", 1), "during must name the request"},
		{"a hang with it", strings.Replace(failsRow, "fails", "hangs", 1) + "during = \"open\"", ""},
		{"sometimes what it always wants", failsRow + "sometimes = \"fails\"", `sometimes "fails" must be one of`},
		{"nobody knows why it sometimes fails", loadsRow + "sometimes = \"fails\"", "why must tell the reason"},
		{"nor why it finds nobody", loadsRow + "finds = \"nobody\"", "why must tell the reason"},
		{"nor why nodes are elsewhere", loadsRow + "placement = { CPUExecutionProvider = 1 }", "why must tell the reason"},
		{"nor why it fails, though it says that it finds people", strings.Replace(failsRow, "why = \"no kernel\"\n", "finds = \"people\"\n", 1), "why must tell the reason"},
		{"a placement of what does not load", failsRow + "placement = { CPUExecutionProvider = 1 }", "finds and placement go with loads"},
		{"a finding that is none", loadsRow + "finds = \"cats\"\nwhy = \"x\"", `finds "cats" must be people, nobody, some or error`},
		{"the best AP that there is", loadsRow + "ap = { fp32 = 1.0 }", ""},
		{"more than that", loadsRow + "ap = { fp32 = 1.0001 }", `ap 1.0001 of "fp32" must be in 0…1`},
		{"an AP of 0 is no bar", loadsRow + "ap = { fp32 = 0.0 }", `ap 0 of "fp32" must be in 0…1`},
		{"nothing is below NaN", loadsRow + "ap = { fp32 = nan }", `ap NaN of "fp32" must be in 0…1`},
		{"an AP of what finds nobody", loadsRow + "finds = \"nobody\"\nwhy = \"x\"\nap = { fp32 = 0.46 }", `ap 0.46 of "fp32"`},
		{"a drift of int8", loadsRow + "drift.int8 = { kept = 1 }", ""},
		{"of fp32 against itself", loadsRow + "drift.fp32 = { kept = 1 }", `drift of "fp32" goes with a row that loads`},
		{"of another row's precision", loadsRow + "drift.fp16 = { kept = 1 }", `drift of "fp16" goes with a row that loads`},
		{"of what does not load", failsRow + "drift.int8 = { kept = 1 }", `drift of "int8" goes with a row that loads`},
		{"a drift without bars", loadsRow + "drift.int8 = {}", `drift of "int8": has no bar`},
		{"a bar that everything passes", loadsRow + "drift.int8 = { max_error = inf }", `drift of "int8": max_error +Inf must be in 0…`},
	} {
		t.Run(row.why, func(t *testing.T) {
			_, err := expect.Parse([]byte(row.text), "support.toml")
			if row.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, row.want)
			assert.ErrorContains(t, err, "support.toml:1: ")
		})
	}
}

func TestSpeedFields(t *testing.T) {
	for _, row := range []struct{ why, from, to, want string }{
		{"exactly so fast", "at_least = 1.2", "at_least = 1.2\nat_most = 1.2", ""},
		{"at most alone", "at_least = 1.2", "at_most = 0.5", ""},
		{"nothing is slower than NaN", "1.2", "nan", "at_least and at_most"},
		{"1 by infinity is no limit", "1.2", "inf", "at_least and at_most"},
		{"a thousand times", "1.2", "1000.0", ""},
		{"more", "1.2", "1000.1", "at_least and at_most"},
		{"a thousandth", "1.2", "0.001", ""},
		{"less", "1.2", "0.0009", "at_least and at_most"},
		{"a negative at_most", "at_least = 1.2", "at_least = 1.2\nat_most = -1.0", "at_least and at_most"},
		{"no precision is every one, fp32 among them", `precision = "int8-qdq"`, "", "precision must name others than fp32"},
	} {
		t.Run(row.why, func(t *testing.T) {
			text := strings.Replace(goodSpeed, row.from, row.to, 1)
			require.NotEqual(t, goodSpeed, text)
			_, err := expect.ParseSpeeds([]byte(text), "support.toml")
			if row.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, row.want)
			}
		})
	}
}

// seen is an observation of so many photographs of one person each, found as well as oks says.
func seen(photos int, oks float64) observe.Observation {
	o := loads()
	o.Photos = nil
	for i := range photos {
		o.Photos = append(o.Photos, photo(fmt.Sprintf("photo%d", i), 1, oks))
	}
	return o
}

func TestFoundFromExactlyMinOKS(t *testing.T) {
	finds, _ := expect.Found(seen(1, expect.MinOKS), false)
	assert.Equal(t, expect.People, finds)
	finds, _ = expect.Found(seen(1, math.Nextafter(expect.MinOKS, 0)), false)
	assert.Equal(t, expect.Nobody, finds)
}

// Where a keypoint is outside: 2 % of the longer side of 640 × 480 pixels are 12.8.
func TestOutside(t *testing.T) {
	side := 640.0
	slack := 0.02 * side
	inf := math.Inf(1)
	for _, row := range []struct {
		why         string
		x, y, score float64
		outside     bool
	}{
		{"within", 1, 1, 0.9, false},
		{"on the left edge of what is left", -slack, 1, 0.9, false},
		{"on the upper one", 1, -slack, 0.9, false},
		{"on the right one", side + slack, 1, 0.9, false},
		{"on the lower one", 1, 480 + slack, 0.9, false},
		{"too far left", -slack - 1, 1, 0.9, true},
		{"too far up", 1, -slack - 1, 0.9, true},
		{"too far right", side + slack + 1, 1, 0.9, true},
		{"too far down", 1, 480 + slack + 1, 0.9, true},
		{"seen from a score of one half on", 700, 1, 0.5, true},
		{"guessed below it", 700, 1, math.Nextafter(0.5, 0), false},
		{"infinite in both, of one sign", inf, inf, 0, true},
		{"and of two, whose sum is no number", inf, -inf, 0, true},
		{"a score as infinite as the place", 1, -inf, -inf, true},
		{"and as much against it", 1, inf, -inf, true},
		{"a score that is no number", 1, 1, math.NaN(), true},
	} {
		t.Run(row.why, func(t *testing.T) {
			o := seen(1, 0.9)
			o.Photos[0].Persons[0].Keypoints = []pose.Keypoint{{X: row.x, Y: row.y, Score: row.score}}
			err := expect.Judge{Row: expect.Row{Want: observe.Loads, Finds: expect.People}}.Infer(o)
			if row.outside {
				assert.ErrorContains(t, err, "photo0: 1 keypoints are outside the image or not finite")
			} else {
				assert.NoError(t, err)
			}
		})
	}
}

// An error names five photographs, and says of how many more it is silent, and what to do.
func TestInferDetails(t *testing.T) {
	judge := expect.Judge{Row: expect.Row{Want: observe.Loads, Finds: expect.People, File: "support.toml", Line: 2}}
	err := judge.Infer(seen(5, 0.1))
	assert.ErrorContains(t, err, "look at its photographs")
	assert.ErrorContains(t, err, "photo4: of 1 people none is found")
	assert.NotContains(t, err.Error(), "more")
	err = judge.Infer(seen(7, 0.1))
	assert.ErrorContains(t, err, "photo4: ")
	assert.NotContains(t, err.Error(), "photo5: ")
	assert.ErrorContains(t, err, "and 2 more")
	judge.Row.Finds = expect.Nobody
	assert.ErrorContains(t, judge.Infer(seen(1, 0.9)), "it is better than expected: correct finds in support.toml:2")
}

// A photograph that says nothing hides none of those behind it.
func TestFoundLooksAtAllPhotographs(t *testing.T) {
	broken := seen(3, 0.1)
	broken.Photos[0].Error = "boom"
	finds, details := expect.Found(broken, false)
	assert.Equal(t, expect.NotRun, finds)
	assert.Len(t, details, 3, "the one that was not run, and two in which nobody is found")
	several := seen(2, 0.1)
	several.Photos[0].People = 3
	several.Photos[0].Persons[0].Keypoints[0].X = 1e4 // beyond the image
	finds, details = expect.Found(several, true)
	assert.Equal(t, expect.Nobody, finds)
	assert.Len(t, details, 1, "a model of one person is not asked of three, and is asked of the next")
	assert.Contains(t, details[0], "photo1: ")
}

func TestAPSlackToTheBit(t *testing.T) {
	want := 0.46
	judge := expect.Judge{Row: expect.Row{AP: map[string]float64{"fp32": want}}}
	assert.NoError(t, judge.AP("fp32", want-expect.APSlack))
	assert.Error(t, judge.AP("fp32", math.Nextafter(want-expect.APSlack, 0)))
}

// What no table is for is told without one.
func TestOwn(t *testing.T) {
	judge := expect.Judge{Row: expect.Own(), Provider: "CPUExecutionProvider"}
	assert.NoError(t, judge.Load(loads()))
	assert.NoError(t, judge.Infer(loads()))
	assert.ErrorContains(t, judge.Load(fails()), "its message says why")
	assert.ErrorContains(t, judge.Infer(seen(1, 0.1)), "finds nobody, want people")
}

func TestRemedies(t *testing.T) {
	judge := expect.Judge{Row: parse(t, row)[0]}
	assert.ErrorContains(t, judge.Load(loads()), "if the runtime was fixed, close the range of support.toml:2")
	crashed := observe.Observation{Outcome: observe.Crashes, Death: &observe.Death{Signal: "SIGSEGV", During: "open"}}
	assert.ErrorContains(t, judge.Load(crashed), "if that is the new truth, part its runtimes from support.toml:2 into a row of their own")
	other := fails()
	other.Failure.Op = "MatMulInteger"
	assert.ErrorContains(t, judge.Load(other), "parsed op, opset, node: got MatMulInteger(10)")
}

// The bar of a cell is found behind those of others.
func TestSpeedsMatchTheSecond(t *testing.T) {
	other := strings.Replace(goodSpeed, `isa = "vnni"`, `isa = "avx2"`, 1)
	speeds, err := expect.ParseSpeeds([]byte(other+strings.Replace(goodSpeed, "1.2", "1.3", 1)), "support.toml")
	require.NoError(t, err)
	p := place("movenet-lightning", "int8-qdq", "cpu", "1.32.0")
	p.ISA = "vnni"
	bar, has, err := speeds.Match(p)
	require.NoError(t, err)
	assert.True(t, has)
	assert.Equal(t, 1.3, bar.AtLeast)
}

// A row that is not steady, or of which nothing is known to load, is no support of a bar of speed.
func TestSpeedNeedsASteadyRow(t *testing.T) {
	speeds, err := expect.ParseSpeeds([]byte(goodSpeed), "support.toml")
	require.NoError(t, err)
	p := place("movenet-lightning", "int8-qdq", "cpu", "1.32.0")
	p.ISA = "vnni"
	steady := expect.Row{Want: observe.Loads, Finds: expect.People, Line: 1}
	unsteady := steady
	unsteady.Sometimes = expect.Set{"crashes"}
	assert.NoError(t, speeds.Check(expect.Table{steady}, []expect.Place{p}))
	assert.ErrorContains(t, speeds.Check(expect.Table{unsteady}, []expect.Place{p}), "for no cell that loads and finds people")
	assert.ErrorContains(t, speeds.Check(expect.Table{}, []expect.Place{p}), "for no cell that loads and finds people")
}

func TestDescribeAndClasses(t *testing.T) {
	assert.Equal(t, "loads", expect.Describe(loads()))
	assert.Equal(t, "fails: no", expect.Describe(observe.Observation{Outcome: observe.Fails, Failure: &observe.Failure{Message: "no"}}))
	assert.Equal(t, "hangs: stopped during infer by the limit of time 1s",
		expect.Describe(observe.Observation{Outcome: observe.Hangs, Death: &observe.Death{During: "infer", Limit: "time 1s"}}))
	assert.Len(t, expect.Classes(), 8)
	unplaced := loads()
	unplaced.Placement = nil
	assert.Equal(t, expect.ClassLoads, expect.Judge{Provider: "CPUExecutionProvider"}.Classify(unplaced), "no log, no fall back")
	crash := expect.Row{Want: observe.Crashes, Signal: "SIGSEGV", During: "open"}
	hang := expect.Row{Want: observe.Hangs, During: "infer"}
	assert.ErrorContains(t, expect.Judge{Row: crash}.Load(loads()), "want crashes by SIGSEGV during open;")
	assert.ErrorContains(t, expect.Judge{Row: hang}.Load(loads()), "want hangs during infer;")
	assert.ErrorContains(t, expect.Judge{Row: expect.Row{Want: observe.Loads}}.Load(fails()), ", want loads;")
}

// The drift of a row is held to bars that can be missed.
func TestJudgeDriftOfOthers(t *testing.T) {
	judge := expect.Judge{Row: expect.Row{Drift: map[string]drift.Bars{"int8": {Kept: 1}}}}
	assert.NoError(t, judge.Drift("int8", drift.Drift{Photos: 1, Persons: 2, Matched: 2}))
	assert.ErrorContains(t, judge.Drift("int8", drift.Drift{Photos: 1, Persons: 2, Matched: 1}), "1 of 2 persons of FP32 found")
}
