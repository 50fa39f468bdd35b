package posetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/choose"
	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/session"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What an app is told is what the suite holds cells to: of every cell of every platform, those that the matrix never runs
// included, choose allows just what package expect wants to pass, always, and calls verified there.
func TestChooseAgreesWithExpect(t *testing.T) {
	h, err := open(Config{})
	require.NoError(t, err)
	table, err := SupportTable(Config{})
	require.NoError(t, err)
	a := agreement{models: h.catalogue.Models, runtimes: h.runtimes, rows: h.table, speeds: h.speeds, table: table}
	allowed := a.hold(t)
	assert.Greater(t, allowed, 100, "cells that may be used: the cpu provider on linux/amd64 alone has more")
	seen := map[string]bool{}
	for p := range a.places() {
		seen[p.Cell.String()+p.Platform+p.Lacks] = true
	}
	for _, p := range h.places() {
		assert.True(t, seen[p.Cell.String()+p.Platform+p.Lacks], "%s on %s without %q was not asked for", p.Cell, p.Platform, p.Lacks)
	}
}

// And so it is of tables in which rows overlap, are missing, are for nothing that there is.
func TestChooseAgreesWithExpectOnAnyTable(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 3))
	var models []catalog.Model
	for _, id := range []string{"a", "b"} {
		for _, precision := range []string{"fp16", "fp32", "int8"} {
			models = append(models, catalog.Model{ID: id, Precision: precision, File: id + precision})
		}
	}
	on := func(platforms ...string) map[string]ortlib.Platform {
		all := map[string]ortlib.Platform{}
		for _, p := range platforms {
			all[p] = ortlib.Platform{Providers: []string{"cpu"}}
		}
		return all
	}
	runtimes := []ortlib.Runtime{{Distribution: "onnxruntime", Version: "1.22.1", Platforms: on("linux/amd64", "darwin/arm64")},
		{Distribution: "onnxruntime", Version: "1.24.4", Platforms: on("linux/amd64")}, {Distribution: "onnxruntime-openvino", Version: "1.23.0", Platforms: on("linux/amd64")}}
	allowed, refused := 0, 0
	for range 20 {
		text := randomTable(random)
		rows, err := expect.Parse([]byte(text), "random.toml")
		require.NoError(t, err, text)
		speeds, err := expect.ParseSpeeds([]byte(text), "random.toml")
		require.NoError(t, err, text)
		a := agreement{models: models, runtimes: runtimes, rows: rows, speeds: speeds, table: embed(models, runtimes, rows, speeds)}
		n := a.hold(t)
		allowed, refused = allowed+n, refused+len(slices.Collect(a.places()))-n
		if t.Failed() {
			t.Fatalf("of this table:\n%s", text)
		}
		again, err := SupportJSON(a.table)
		require.NoError(t, err)
		parsed, err := choose.Parse(again)
		require.NoError(t, err)
		assert.Equal(t, a.table, parsed, "what an app reads is what was written")
	}
	assert.Greater(t, allowed, 100)
	assert.Greater(t, refused, 1000)
	t.Logf("%d cells allowed, %d refused", allowed, refused)
}

// randomTable is a table of rows that are valid each by itself.
func randomTable(random *rand.Rand) string {
	var b strings.Builder
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	condition := func(name string, oneIn int, values ...string) string {
		if random.IntN(oneIn) > 0 {
			return ""
		}
		value := pick(values...)
		fmt.Fprintf(&b, "%s = %q\n", name, value)
		return value
	}
	conditions := func() string {
		condition("model", 3, "a", "b", "a b", "nosuch")
		condition("provider", 2, "cpu", "openvino cpu", "coreml", "nosuch cpu")
		condition("ort", 2, "<1.24", ">=1.24", ">=1.23, <1.24", "<1.23 || >1.30", ">9")
		condition("distribution", 4, "onnxruntime", "onnxruntime-openvino", "onnxruntime onnxruntime-gpu")
		condition("lacks", 6, "nothing", "device", "libraries nothing")
		condition("platform", 4, "linux/amd64", "darwin/arm64 windows/amd64", "plan9/386")
		return condition("precision", 2, "fp32", "fp16 int8", "fp32 int8", "int8 nosuch")
	}
	statuses := []string{"verified linux/amd64 2026-11-24", "verified linux/amd64 2026-11-24", "verified darwin/arm64 linux/amd64 2026-11-24", "unverified", "reported linux/amd64 users"}
	for range 1 + random.IntN(6) {
		b.WriteString("[[row]]\n")
		precision := conditions()
		condition("isa", 6, "avx2 sse", "vnni", "arm64")
		switch outcome := pick("loads", "loads", "loads", "nobody", "sometimes", "fails", "crashes"); outcome {
		case "nobody":
			b.WriteString("want = \"loads\"\nfinds = \"nobody\"\nwhy = \"collapsed\"\n")
		case "sometimes":
			b.WriteString("want = \"loads\"\nsometimes = \"crashes\"\nowner = \"us\"\nsee = \"https://example.org\"\nuntil = 2027-02-22\nwhy = \"by chance\"\n")
		case "fails":
			b.WriteString("want = \"fails\"\nmessage = \"no `kernel`\"\nwhy = \"<none>\"\n")
		case "crashes":
			b.WriteString("want = \"crashes\"\nsignal = \"SIGSEGV\"\nduring = \"open\"\nwhy = \"a fault\"\n")
		default:
			b.WriteString("want = \"loads\"\n")
			if precision == "" || strings.Contains(precision, "int8") {
				fmt.Fprintf(&b, "drift.int8 = { mode = %q }\n", pick("none", "jitter", "scale collapsed", "nothing found"))
			}
			if random.IntN(4) == 0 {
				b.WriteString("placement = { CPUExecutionProvider = 3, OpenVINOExecutionProvider = 1 }\nwhy = \"it takes little\"\n")
			}
		}
		fmt.Fprintf(&b, "status = %q\n", pick(statuses...))
	}
	for range random.IntN(3) {
		fmt.Fprintf(&b, "[[speed]]\nprecision = %q\nisa = %q\n", pick("int8", "fp16 int8"), pick("avx2", "vnni avx2", "arm64"))
		condition("provider", 2, "cpu", "openvino")
		fmt.Fprintf(&b, "%s\nwhy = \"measured\"\nstatus = %q\n", pick("at_least = 1.2", "at_most = 0.5", "at_least = 0.8\nat_most = 2.0"), pick(statuses...))
	}
	return b.String()
}

// An agreement holds a table for apps to the one that it was made of.
type agreement struct {
	models   []catalog.Model
	runtimes []ortlib.Runtime
	rows     expect.Table
	speeds   expect.Speeds
	table    choose.Table
}

// places are all models on all providers, whether or not the matrix tries them: those that run only if asked for by name on one class
// of processors, as each costs as much as all others.
func (a agreement) places() func(func(expect.Place) bool) {
	return func(yield func(expect.Place) bool) {
		for _, r := range a.runtimes {
			for _, platform := range slices.Sorted(maps.Keys(r.Platforms)) {
				for _, isa := range isasOf(platform) {
					for _, v := range session.Variants() {
						if !v.Default && isa != isasOf(platform)[0] {
							continue
						}
						for _, lacking := range lacks(platform, v) {
							for _, m := range a.models {
								if !yield(expect.Place{Cell: observe.Cell{Model: m.ID, Precision: m.Precision, Provider: v.ID, ORT: r.ID()},
									Distribution: r.Distribution, Version: r.Version, Platform: platform, ISA: isa, Lacks: lacking}) {
									return
								}
							}
						}
					}
				}
			}
		}
	}
}

// merit is what package expect knows of a cell that may be used.
type merit struct {
	row             expect.Row
	drift           drift.Mode
	atLeast, atMost float64
	share           float64
}

// allows says by package expect's own words whether a cell may be used.
func (a agreement) allows(p expect.Place) (m merit, ok bool) {
	row, err := a.rows.Match(p)
	if err != nil {
		return merit{}, false
	}
	m = merit{row: row, drift: row.Drift[p.Precision].Mode}
	m.share = 1
	if o := (observe.Observation{Placement: row.Placement}); row.Placement != nil {
		m.share, _ = o.Share(session.RuntimeName(p.Provider))
	}
	if p.Precision == "fp32" {
		m.drift = drift.None
	}
	if bar, has, err := a.speeds.Match(p); err == nil && has && bar.Status.Verified(p.Platform) {
		m.atLeast, m.atMost = bar.AtLeast, bar.AtMost
	}
	passes := row.Want == observe.Loads && row.Finds == expect.People && !row.Unstable()
	return m, passes && row.Status.Verified(p.Platform) && m.drift != drift.ScaleCollapsed && m.drift != drift.NothingFound
}

// better tells whether one that may be used is to be preferred: right before fast, fast before near.
func (m merit) better(than merit) bool {
	speed := func(m merit) float64 {
		switch {
		case m.atLeast > 0:
			return m.atLeast
		case m.atMost > 0:
			return min(1, m.atMost)
		}
		return 1
	}
	switch right, other := m.drift == drift.None, than.drift == drift.None; {
	case right != other:
		return right
	case speed(m) != speed(than):
		return speed(m) > speed(than)
	}
	return m.share > than.share
}

// hold asks for every cell, and for the best wherever there is one. It returns how many cells may be used.
func (a agreement) hold(t *testing.T) (allowed int) {
	t.Helper()
	best := map[expect.Place]merit{}
	for p := range a.places() {
		want, ok := a.allows(p)
		a.holdCell(t, p, want, ok)
		p.Precision = ""
		if !ok {
			continue
		}
		allowed++
		if before, has := best[p]; !has || want.better(before) {
			best[p] = want
		}
	}
	asked := map[expect.Place]bool{}
	for p := range a.places() {
		p.Precision = ""
		if asked[p] {
			continue
		}
		asked[p] = true
		got, err := a.table.Select(query(p))
		want, has := best[p]
		switch {
		case has != (err == nil):
			t.Errorf("%s on %s %s: a best precision: %v, and select says: %v", p.Cell, p.Platform, p.ISA, has, err)
		case has:
			p.Precision = got.Precision
			if m, ok := a.allows(p); !ok || want.better(m) {
				t.Errorf("%s on %s %s is not the best", p.Cell, p.Platform, p.ISA)
			}
		}
	}
	return allowed
}

func query(p expect.Place) choose.Query {
	return choose.Query{Model: p.Cell.Model, Precision: p.Precision, Provider: p.Provider, Runtime: p.ORT, Platform: p.Platform, ISA: p.ISA, Lacks: p.Lacks}
}

// holdCell asks for one cell.
func (a agreement) holdCell(t *testing.T, p expect.Place, want merit, ok bool) {
	t.Helper()
	got, err := a.table.Select(query(p))
	bad := func(format string, args ...any) {
		t.Errorf("%s on %s %s: %s", p.Cell, p.Platform, p.ISA, fmt.Sprintf(format, args...))
	}
	refused, no := errors.AsType[*choose.RefusedError](err)
	switch {
	case ok && err != nil:
		bad("%s lets it pass, and select says: %v", want.row.Where(), err)
	case ok:
		if got.Where != want.row.Where() || got.Status != string(want.row.Status) || got.Precision != p.Precision || got.Drift != string(want.drift) ||
			got.AtLeast != want.atLeast || got.AtMost != want.atMost || got.Share != want.share {
			bad("got %+v, want %+v", got, want)
		}
		a.holdOffer(t, p, got.Best)
	case !no:
		bad("refused by the table, and select says: %v, %v", got, err)
	default:
		if refused.Row != nil && (refused.Row.Where != want.row.Where() || !strings.Contains(refused.Reason, want.row.Message) || !strings.Contains(refused.Reason, want.row.Where())) {
			bad("the reason is not that of %s: %s", want.row.Where(), refused.Reason)
		}
		if (refused.Row == nil) != (want.row.Want == "") {
			bad("refused by row %v, want %s", refused.Row, want.row.Where())
		}
		a.holdOffer(t, p, refused.Instead)
	}
}

// holdOffer sees that what is recommended may be used.
func (a agreement) holdOffer(t *testing.T, p expect.Place, offer *choose.Choice) {
	t.Helper()
	if offer == nil {
		return
	}
	p.Precision, p.Provider = offer.Precision, offer.Provider
	if _, ok := a.allows(p); !ok {
		t.Errorf("%s on %s %s is recommended, and may not be used", p.Cell, p.Platform, p.ISA)
	}
}

// What cells do is said in words that go on from "it".
func TestDoes(t *testing.T) {
	for _, row := range []struct {
		row  expect.Row
		want string
	}{
		{expect.Row{Want: observe.Loads, Finds: expect.People}, "loads"},
		{expect.Row{Want: observe.Loads, Finds: expect.Nobody}, "loads and finds nobody"},
		{expect.Row{Want: observe.Loads, Finds: expect.Some}, "loads and does not find everybody"},
		{expect.Row{Want: observe.Loads, Finds: expect.NotRun}, "loads and does not run"},
		{expect.Row{Want: observe.Fails, Message: "no"}, "fails"},
		{expect.Row{Want: observe.Fails, Op: "Conv", Opset: 11, Node: "/a"}, "fails at Conv(11), node /a"},
		{expect.Row{Want: observe.Unavailable}, "is unavailable"},
		{expect.Row{Want: observe.Crashes, Signal: "SIGSEGV", During: "open"}, "crashes by SIGSEGV during open"},
		{expect.Row{Want: observe.Hangs, During: "infer"}, "hangs during infer"},
		{expect.Row{Want: observe.Crashes, During: "open", Sometimes: expect.Set{"loads", "fails"}}, "crashes during open, and sometimes loads or fails: quarantined until 0000-00-00"},
	} {
		assert.Equal(t, row.want, does(row.row))
	}
}

// An app that has one model ships that one's rows.
func TestSupportTableOfOneModel(t *testing.T) {
	all, err := SupportTable(Config{})
	require.NoError(t, err)
	one, err := SupportTable(Config{Models: []string{"yolov8n-pose"}})
	require.NoError(t, err)
	assert.Equal(t, []string{"yolov8n-pose"}, slices.Collect(maps.Keys(one.Models)))
	assert.Equal(t, all.Models["yolov8n-pose"], one.Models["yolov8n-pose"])
	assert.Equal(t, "fp32", one.Models["yolov8n-pose"][0].Precision, "what the others are held to comes first")
	assert.Less(t, len(one.Rows), len(all.Rows))
	_, err = SupportTable(Config{Models: []string{"yolo"}})
	assert.ErrorContains(t, err, `models: "yolo" is unknown; choose from movenet-lightning, yolov8n-pose`)
	_, err = SupportTable(Config{Dir: "example/testdata"})
	assert.ErrorContains(t, err, "no golden/support.toml in")
	assert.ErrorIs(t, err, ErrSetup)
}

// Every value of the second level has a line, and no text is changed by that.
func TestOneALine(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{`{}`, "{\n \n}"},
		{`{"a":1,"b":[{"c":[1,2]},{"d":"x,{\"]y\\"}]}`, "{\n \"a\":1,\n \"b\":[\n  {\"c\":[1,2]},\n  {\"d\":\"x,{\\\"]y\\\\\"}\n ]\n}"},
	} {
		assert.Equal(t, row.want, string(oneALine([]byte(row.text))))
	}
}
