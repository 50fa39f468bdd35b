package expect_test

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// row is a whole right row; tests add lines or replace one.
const row = `
[[row]]
model = "yolov8n-pose"
precision = "int8"
provider = "cpu"
ort = "<1.24"
want = "fails"
message = "Could not find an implementation for ConvInteger(10) node with name '/model.0/conv/Conv_quant'"
op = "ConvInteger"
opset = 10
node = "/model.0/conv/Conv_quant"
why = "no CPU kernel for signed weights"
status = "verified linux/amd64 2026-11-24"
`

func parse(t *testing.T, text string) expect.Table {
	t.Helper()
	table, err := expect.Parse([]byte(text), "support.toml")
	require.NoError(t, err)
	return table
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct {
		why, from, to, want string
	}{
		{"a typo in a field would silently expect less", "opset = 10", "opsett = 10", `support.toml:10: unknown field "row.opsett"`},
		{"a typo in an outcome would never match", `want = "fails"`, `want = "fail"`, `support.toml:2: want "fail" must be one of`},
		{"a broken range would match nothing", `"<1.24"`, `"<1.x.y"`, "support.toml:6"},
		{"TOML itself", `why = "no`, `why = no`, "support.toml:12"},
		{"a failure without its words could be any failure", "message =", "# message =", "support.toml:2: message goes with fails"},
		{"words of success are nonsense", `want = "fails"`, `want = "loads"`, "support.toml:2: message goes with"},
		{"nobody would know why it may fail", `why = "no CPU kernel for signed weights"`, ``, "support.toml:2: why must tell the reason"},
		{"nobody would know how it is known", `status = "verified linux/amd64 2026-11-24"`, ``, `support.toml:2: status "" must be`},
		{"verified by nobody", `"verified linux/amd64 2026-11-24"`, `"verified"`, "must name the platforms"},
		{"an unknown processor class matches nothing", `provider = "cpu"`, "provider = \"cpu\"\nisa = \"vnni2\"", `isa "vnni2" must be one of`},
		{"a lack that there is not matches nothing", `provider = "cpu"`, "provider = \"cpu\"\nlacks = \"gpu\"", `lacks "gpu" must be one of [nothing libraries device]`},
		{"a crash must say when", `want = "fails"`, "want = \"crashes\"", "during must name the request"},
		{"a signal is of a crash", `op = "ConvInteger"`, `signal = "SIGSEGV"`, "signal and during go with crashes"},
		{"what it does sometimes must be an outcome", `op = "ConvInteger"`, `sometimes = "works"`, `sometimes "works" must be one of`},
		{"a finding is of a cell that loads", `op = "ConvInteger"`, `finds = "nobody"`, "finds and placement go with loads"},
		{"an AP of a precision that the row is not for", `op = "ConvInteger"`, `ap = { fp32 = 0.46 }`, `ap 0.46 of "fp32" must be`},
		{"rows on one line have no line to point to", "[[row]]", "row = [{}]\n[x]", "support.toml"},
		{"an empty table expects nothing", row, "# nothing", "support.toml: has no [[row]]"},
	} {
		t.Run(test.to, func(t *testing.T) {
			text := strings.Replace(row, test.from, test.to, 1)
			require.NotEqual(t, row, text, "the test replaces nothing")
			_, err := expect.Parse([]byte(text), "support.toml")
			assert.ErrorContains(t, err, test.want, test.why)
		})
	}
}

func place(model, precision, provider, version string) expect.Place {
	return expect.Place{Cell: observe.Cell{Model: model, Precision: precision, Provider: provider, ORT: version},
		Distribution: "onnxruntime", Version: version, Platform: "linux/amd64", ISA: "avx2"}
}

func TestMatch(t *testing.T) {
	table := parse(t, row)
	for _, test := range []struct {
		why   string
		place expect.Place
		want  bool
	}{
		{"the very cell", place("yolov8n-pose", "int8", "cpu", "1.23.2"), true},
		{"another export of the model is under the same rows", place("yolov8n-pose~1a2b3c4d", "int8", "cpu", "1.23.2"), true},
		{"the range ends before 1.24.0", place("yolov8n-pose", "int8", "cpu", "1.24.0"), false},
		{"1.9 is older than 1.24, though not as a text", place("yolov8n-pose", "int8", "cpu", "1.9.0"), true},
		{"a version that is none is in no range", place("yolov8n-pose", "int8", "cpu", "nightly"), false},
		{"another precision that starts alike", place("yolov8n-pose", "int8-qdq", "cpu", "1.23.2"), false},
		{"another provider", place("yolov8n-pose", "int8", "openvino", "1.23.2"), false},
		{"another model", place("movenet-lightning", "int8", "cpu", "1.23.2"), false},
	} {
		_, err := table.Match(test.place)
		assert.Equal(t, test.want, err == nil, "%s: %v: %v", test.why, test.place, err)
	}
}

func TestMatchNarrows(t *testing.T) {
	p := place("m", "fp32", "cpu", "1.23.2")
	const loads = "[[row]]\nwant = \"loads\"\nstatus = \"unverified\"\n"
	for _, test := range []struct {
		condition string
		want      bool
	}{
		{"", true},
		{`model = "*"`, true},
		{`isa = "vnni"`, false},
		{`isa = "vnni avx2"`, true},
		{`platform = "linux/amd64 linux/arm64"`, true},
		{`platform = "darwin/arm64"`, false},
		{`distribution = "onnxruntime-openvino"`, false},
		{`lacks = "nothing"`, true},
		{`lacks = "nothing device"`, true},
		{`lacks = "device libraries"`, false},
	} {
		_, err := parse(t, loads+test.condition).Match(p)
		assert.Equal(t, test.want, err == nil, "%q: %v", test.condition, err)
	}
}

// What a machine without a device shows says nothing of one that has it, and the other way round.
func TestMatchByWhatIsLacking(t *testing.T) {
	const row = "[[row]]\nprovider = \"cuda\"\nlacks = \"%s\"\nwant = \"loads\"\nstatus = \"unverified\"\n"
	table := parse(t, fmt.Sprintf(row, "nothing")+fmt.Sprintf(row, "device")+fmt.Sprintf(row, "libraries"))
	for _, lacks := range []string{"", "device", "libraries"} {
		p := place("m", "fp32", "cuda", "1.31.1")
		p.Lacks = lacks
		got, err := table.Match(p)
		require.NoError(t, err)
		assert.Equal(t, expect.Set{cmp.Or(lacks, "nothing")}, got.Lacks)
	}
	p := place("m", "fp32", "cuda", "1.31.1")
	p.Lacks = "device"
	_, err := table[:1].Match(p)
	assert.EqualError(t, err, "model=m/precision=fp32/provider=cuda/ort=1.31.1 on linux/amd64 avx2 without the provider's device: no row is for this cell; add one that says what it does")
}

func TestCheck(t *testing.T) {
	cell := place("yolov8n-pose", "int8", "cpu", "1.23.2")
	other := place("yolov8n-pose", "int8", "cpu", "1.24.4")
	for _, test := range []struct {
		why, table string
		places     []expect.Place
		want       string // "" for no error
	}{
		{"each cell has a row and each row a cell", row, []expect.Place{cell}, ""},
		{"a cell without a row would be judged by nothing", row, []expect.Place{cell, other}, "ort=1.24.4 on linux/amd64 avx2: no row is for this cell; add one"},
		{"a row without a cell guards nothing", row + strings.Replace(row, "<1.24", ">=2", 1), []expect.Place{cell}, "support.toml:15: the row is for no cell"},
		{"two rows for a cell could contradict each other", row + row, []expect.Place{cell}, "rows support.toml:2 and support.toml:15 are both for this cell"},
	} {
		err := parse(t, test.table).Check(test.places)
		if test.want == "" {
			assert.NoError(t, err, test.why)
		} else {
			assert.ErrorContains(t, err, test.want, test.why)
		}
	}
}

// fails is the observation that the row above expects.
func fails() observe.Observation {
	return observe.Observation{Outcome: observe.Fails, Failure: &observe.Failure{
		Message: "Could not find an implementation for ConvInteger(10) node with name '/model.0/conv/Conv_quant'",
		Op:      "ConvInteger", Opset: 10, Node: "/model.0/conv/Conv_quant"}}
}

// loads is the observation of a cell where all is well.
func loads() observe.Observation {
	return observe.Observation{Outcome: observe.Loads, Placement: map[string]int{"CPUExecutionProvider": 150},
		Photos: []observe.Photo{photo("astronaut", 1, 0.9), photo("band", 4, 0.8), photo("rocket", 0, 0)}}
}

func photo(name string, people int, oks float64) observe.Photo {
	p := observe.Photo{Fixture: name, Width: 640, Height: 480, People: people, OKS: oks}
	if oks > 0 {
		p.Persons = []pose.Person{{Score: 0.9, Keypoints: []pose.Keypoint{{X: 320, Y: 240, Score: 0.9}}}}
	}
	return p
}

func edit(o observe.Observation, f func(*observe.Observation)) observe.Observation {
	f(&o)
	return o
}

// The tester is tested: each way in which a cell can differ from its row must be told.
func TestJudgeLoad(t *testing.T) {
	const (
		mustLoad = "[[row]]\nwant = \"loads\"\nstatus = \"verified linux/amd64 2026-11-24\"\n"
		open     = "[[row]]\nwant = \"loads\"\nstatus = \"unverified\"\n"
		mixed    = mustLoad + "why = \"no kernels\"\nplacement = { CPUExecutionProvider = 140, OpenVINOExecutionProvider = 10 }\n"
		crash    = "[[row]]\nwant = \"crashes\"\nsignal = \"SIGSEGV\"\nduring = \"open\"\nwhy = \"a bug\"\nstatus = \"unverified\"\n"
	)
	const unstable = crash + "sometimes = \"loads fails\"\nowner = \"us\"\nsee = \"https://example.org/1\"\nuntil = 2027-02-22\n"
	died := observe.Observation{Outcome: observe.Crashes, Death: &observe.Death{Signal: "SIGSEGV", During: "open"}}
	for _, test := range []struct {
		name, row string
		got       observe.Observation
		want      string // "" for as expected
	}{
		{"the expected failure", row, fails(), ""},
		{"unexpected success", row, loads(), "loads, want fails: Could not find"},
		{"unexpected success says what to do", row, loads(), "if the runtime was fixed, close the range of support.toml:2"},
		{"other words", row, edit(fails(), func(o *observe.Observation) { o.Failure.Message += "!" }), "fails with other words"},
		{"another node", row, edit(fails(), func(o *observe.Observation) { o.Failure.Node = "/model.1" }), "parsed op, opset, node"},
		{"another opset", row, edit(fails(), func(o *observe.Observation) { o.Failure.Opset = 11 }), "parsed op, opset, node"},
		{"a crash instead of a failure", row, died, "crashes: died of SIGSEGV during open, want fails"},
		{"loads on its provider", mustLoad, loads(), ""},
		{"fails instead of loading", mustLoad, fails(), "fails: Could not find an implementation"},
		{"unavailable is no failure", mustLoad, edit(fails(), func(o *observe.Observation) { o.Outcome = observe.Unavailable }), "unavailable: "},
		{"nodes on another provider", mustLoad, edit(loads(), func(o *observe.Observation) {
			o.Placement = map[string]int{"CPUExecutionProvider": 3, "X": 1}
		}), "only 75 % of the nodes are on CPUExecutionProvider"},
		{"nobody has seen yet where its nodes are", open, edit(loads(), func(o *observe.Observation) {
			o.Placement = map[string]int{"CPUExecutionProvider": 3, "X": 1}
		}), ""},
		{"nobody has seen yet its words", strings.NewReplacer("message =", "# message =", "verified linux/amd64 2026-11-24", "unverified").Replace(row), fails(), ""},
		{"a log that tells no placement", mustLoad, edit(loads(), func(o *observe.Observation) { o.Placement = nil }), "tells no placement"},
		{"the expected placement", mixed, edit(loads(), func(o *observe.Observation) {
			o.Placement = map[string]int{"CPUExecutionProvider": 140, "OpenVINOExecutionProvider": 10}
		}), ""},
		{"a better placement must be looked at, too", mixed, loads(), "nodes are placed map[CPUExecutionProvider:150], want"},
		{"the expected crash", crash, died, ""},
		{"another signal", crash, edit(died, func(o *observe.Observation) {
			o.Death = &observe.Death{Signal: "SIGABRT", During: "open"}
		}), "died of SIGABRT during open, want crashes by SIGSEGV"},
		{"the signal at another time", crash, edit(died, func(o *observe.Observation) {
			o.Death = &observe.Death{Signal: "SIGSEGV", During: "infer"}
		}), "during infer, want crashes by SIGSEGV during open"},
		{"healed", crash, loads(), "loads, want crashes"},
		{"unstable, and crashed in the end", unstable, edit(died, func(o *observe.Observation) { o.Earlier = []observe.Outcome{observe.Loads, observe.Fails} }), ""},
		{"unstable in another way", unstable, edit(died, func(o *observe.Observation) { o.Earlier = []observe.Outcome{observe.Hangs} }), "hangs in an attempt before, which sometimes in support.toml:1 does not allow"},
		{"unstable, and healed", unstable, edit(loads(), func(o *observe.Observation) { o.Earlier = []observe.Outcome{observe.Loads, observe.Loads} }), "never crashes by SIGSEGV during open in 3 attempts"},
		{"became unstable", crash, edit(died, func(o *observe.Observation) { o.Earlier = []observe.Outcome{observe.Loads} }), "does not allow"},
	} {
		t.Run(test.name, func(t *testing.T) {
			judge := expect.Judge{Row: parse(t, test.row)[0], Provider: "CPUExecutionProvider"}
			err := judge.Load(test.got)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.want)
			}
		})
	}
}

func TestJudgeInfer(t *testing.T) {
	lost := func(names ...string) observe.Observation {
		return edit(loads(), func(o *observe.Observation) {
			for i := range o.Photos {
				for _, name := range names {
					if o.Photos[i].Fixture == name {
						o.Photos[i].OKS = 0.49
					}
				}
			}
		})
	}
	at := func(x, y, score float64) observe.Observation {
		return edit(loads(), func(o *observe.Observation) {
			o.Photos[0].Persons = []pose.Person{{Keypoints: []pose.Keypoint{{X: x, Y: y, Score: score}}}}
		})
	}
	for _, test := range []struct {
		name  string
		finds expect.Finds
		judge expect.Judge
		got   observe.Observation
		want  string
	}{
		{"all is well", expect.People, expect.Judge{}, loads(), ""},
		{"0 detections: the mistake that this project exists to prevent", expect.People, expect.Judge{}, lost("astronaut", "band"), "finds nobody, want people"},
		{"one photograph lost", expect.People, expect.Judge{}, lost("band"), "band: of 4 people none is found"},
		{"no photograph with people was run", expect.People, expect.Judge{}, edit(loads(), func(o *observe.Observation) { o.Photos = o.Photos[2:] }), "no photograph with people was run"},
		{"no photograph at all", expect.People, expect.Judge{}, edit(loads(), func(o *observe.Observation) { o.Photos = nil }), "finds nobody"},
		{"a person where nobody is", expect.People, expect.Judge{}, edit(loads(), func(o *observe.Observation) {
			o.Photos[2].Persons = o.Photos[0].Persons
		}), "rocket: 1 persons found where nobody is"},
		{"a model of one person always finds one", expect.People, expect.Judge{Single: true}, edit(loads(), func(o *observe.Observation) {
			o.Photos[2].Persons = o.Photos[0].Persons
		}), ""},
		{"a model of one person is not asked of several", expect.People, expect.Judge{Single: true}, lost("band"), ""},
		{"and is asked of one", expect.People, expect.Judge{Single: true}, lost("astronaut"), "finds nobody"},
		{"not a number", expect.People, expect.Judge{}, at(math.NaN(), 1, 0), "astronaut: 1 keypoints are outside the image or not finite"},
		{"infinite", expect.People, expect.Judge{}, at(1, math.Inf(1), 0), "not finite"},
		{"seen far outside", expect.People, expect.Judge{}, at(700, 1, 0.9), "outside the image"},
		{"guessed far outside", expect.People, expect.Judge{}, at(700, 1, 0.1), ""},
		{"seen at the edge", expect.People, expect.Judge{}, at(645, -5, 0.9), ""},
		{"an error of the run", expect.People, expect.Judge{}, edit(loads(), func(o *observe.Observation) { o.Photos[1].Error = "boom" }), "finds error, want people"},
		{"a collapse that is expected", expect.Nobody, expect.Judge{}, lost("astronaut", "band"), ""},
		{"a collapse that healed", expect.Nobody, expect.Judge{}, loads(), "finds people, want nobody"},
		{"a collapse that half healed", expect.Nobody, expect.Judge{}, lost("band"), "finds some, want nobody"},
		{"what did not load has no findings", expect.People, expect.Judge{}, fails(), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.judge.Row = expect.Row{Want: observe.Loads, Finds: test.finds, File: "support.toml", Line: 2}
			err := test.judge.Infer(test.got)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.want)
			}
		})
	}
}

func TestJudgeAP(t *testing.T) {
	judge := expect.Judge{Row: expect.Row{AP: map[string]float64{"fp32": 0.46}, File: "support.toml", Line: 2}}
	for _, test := range []struct {
		why, precision string
		ap             float64
		want           string
	}{
		{"as measured", "fp32", 0.46, ""},
		{"within what another release may cost", "fp32", 0.4551, ""},
		{"lost", "fp32", 0.4549, "AP is 0.4549, want at least 0.4600 − 0.005 (support.toml:2)"},
		{"better is no regression", "fp32", 0.5, ""},
		{"nothing to hold it to is no pass", "int8", 0.43, "write ap = { int8 = 0.4300 } there"},
	} {
		err := judge.AP(test.precision, test.ap)
		if test.want == "" {
			assert.NoError(t, err, test.why)
		} else {
			assert.ErrorContains(t, err, test.want, test.why)
		}
	}
}

func TestClassify(t *testing.T) {
	judge := expect.Judge{Provider: "CPUExecutionProvider"}
	for _, test := range []struct {
		want expect.Class
		got  observe.Observation
	}{
		{expect.ClassLoads, loads()},
		{expect.ClassFallsBack, edit(loads(), func(o *observe.Observation) { o.Placement = map[string]int{"X": 1, "CPUExecutionProvider": 1} })},
		{expect.ClassWrong, edit(loads(), func(o *observe.Observation) { o.Photos[0].OKS = 0 })},
		{expect.ClassFails, fails()},
		{expect.ClassCrashes, observe.Observation{Outcome: observe.Crashes}},
		{expect.ClassHangs, observe.Observation{Outcome: observe.Hangs}},
		{expect.ClassUnavailable, observe.Observation{Outcome: observe.Unavailable}},
	} {
		assert.Equal(t, test.want, judge.Classify(test.got))
	}
}

func TestStatus(t *testing.T) {
	assert.True(t, expect.Status("verified linux/amd64 2026-11-24").Verified("linux/amd64"))
	assert.False(t, expect.Status("verified linux/amd64 2026-11-24").Verified("darwin/arm64"), "seen elsewhere only")
	assert.False(t, expect.Status("reported by linux/amd64 users").Verified("linux/amd64"), "nothing reported is shown as verified")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(row))
	f.Add([]byte("[[row]]\nwant = \"loads\"\nstatus = \"unverified\"\n"))
	f.Fuzz(checkParse)
}
