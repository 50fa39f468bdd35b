package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tester is tested: on a real runtime and a real model, each expectation that is wrong, and each photograph whose
// people are elsewhere, ends a report with exit code 1 and a message that says what to do.
func TestReport(t *testing.T) {
	installed(t)
	const fp32, int8, uint8 = `precision = "fp32"`, `precision = "int8"`, `precision = "uint8"`
	for _, row := range []struct {
		name      string
		precision string // of the one cell that runs
		change    func(t *testing.T, h *house)
		code      int
		says      []string
	}{
		{name: "loads and finds, as expected", precision: "fp32", says: []string{"1 cells: 1 loads; all as expected"}},
		{name: "fails, as expected", precision: "int8", says: []string{"1 cells: 1 fails; all as expected"}},
		{name: "finds nobody, as expected", precision: "uint8", says: []string{"1 cells: 1 wrong; all as expected"}},

		{name: "unexpected success: it must be looked at as well", precision: "fp32", code: 1,
			change: inRow(fp32, `want = "loads"`, `want = "fails"`+"\nmessage = \"never\"\nwhy = \"so we believed\""),
			says:   []string{"loads, want fails: never", "if the runtime was fixed, close the range of golden/support.toml:2", "1 NOT as expected"}},
		{name: "unexpected failure", precision: "int8", code: 1,
			change: inRow(int8, `want = "fails"`, `want = "hangs"`+"\nduring = \"open\"", "message =", "#", "op =", "#", "opset =", "#", "node =", "#"),
			says:   []string{"fails: Could not find an implementation for ConvInteger(10)", "want hangs during open", "part its runtimes from golden/support.toml:8 into a row of their own"}},
		{name: "fails with other words", precision: "int8", code: 1,
			change: inRow(int8, `message = "Could not find an implementation for`, `message = "Found no implementation of`),
			says:   []string{"fails with other words:", "got Could not find", "want Found no", "correct message in golden/support.toml:8"}},
		{name: "fails at another node", precision: "int8", code: 1,
			change: inRow(int8, `node = "model/`, `node = "/model/`),
			says:   []string{"parsed op, opset, node: got ConvInteger(10) at model/Conv1_relu", "want ConvInteger(10) at /model/Conv1_relu", "golden/support.toml:8"}},
		{name: "placed elsewhere", precision: "fp32", code: 1,
			change: inRow(fp32, `want = "loads"`, `want = "loads"`+"\nplacement = { CPUExecutionProvider = 1 }\nwhy = \"one node\""),
			says:   []string{"nodes are placed map[CPUExecutionProvider:", "want map[CPUExecutionProvider:1]", "correct placement in golden/support.toml:2"}},
		{name: "collapse that has healed", precision: "fp32", code: 1,
			change: inRow(fp32, `want = "loads"`, `want = "loads"`+"\nfinds = \"nobody\"\nwhy = \"collapsed\""),
			says:   []string{"finds people, want nobody", "it is better than expected: correct finds in golden/support.toml:2"}},
		{name: "collapse that nobody expects: it loads, it runs, and it is wrong", precision: "uint8", code: 1,
			change: inRow(uint8, `finds = "nobody"`, `finds = "people"`),
			says:   []string{"! wrong", "finds nobody, want people", "astronaut: of 1 people none is found", "look at its photographs"}},
		{name: "people are elsewhere in all photographs", precision: "fp32", code: 1,
			change: func(_ *testing.T, h *house) { moveAway(h, 0); moveAway(h, 1) },
			says:   []string{"! wrong", "finds nobody, want people", "astronaut: of 1 people none is found: 1 persons, the best with OKS 0.0", "grace_hopper"}},
		{name: "people are elsewhere in one photograph", precision: "fp32", code: 1,
			change: func(_ *testing.T, h *house) { moveAway(h, 1) },
			says:   []string{"finds some, want people", "grace_hopper: of 1 people none is found"}},
		{name: "cell without a row", precision: "uint8", code: 1,
			change: inRow(uint8, uint8, `precision = "int8"`+"\nort = \">=99\""),
			says:   []string{"precision=uint8/provider=cpu/ort=1.23.2 on ", "no row is for this cell; add one that says what it does"}},
		{name: "cell with two rows", precision: "uint8", code: 1,
			change: inRow(fp32, fp32, `precision = "fp32 uint8"`),
			says:   []string{"rows golden/support.toml:2 and golden/support.toml:19 are both for this cell; narrow one of them"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t, row.precision)
			if row.change != nil {
				row.change(t, h)
			}
			h.write(t)
			out := filepath.Join(t.TempDir(), "out")
			r := command(t, []string{"POSETEST_RUNTIMES=" + ort}, "report", "--dir", h.dir, "--providers", "cpu", "--out", out)
			require.Equal(t, row.code, r.exit(t), "exit code; %s%s", r.out.String(), r.err.String())
			printed := strings.Join(strings.Fields(r.out.String()), " ") // however it is laid out
			for _, words := range row.says {
				assert.Contains(t, printed, words)
			}
			// Whatever came out, it is written down whole.
			file, err := os.Open(filepath.Join(out, "observations.jsonl"))
			require.NoError(t, err)
			defer file.Close()
			set, err := observe.Read(file, file.Name())
			require.NoError(t, err)
			seen := set.Observations
			require.Len(t, seen, 1)
			assert.Equal(t, row.precision, seen[0].Precision)
			assert.Equal(t, sum(t, h.model(row.precision)), seen[0].ModelSHA256)
			page, err := os.ReadFile(filepath.Join(out, "matrix.md"))
			require.NoError(t, err)
			assert.Equal(t, row.code == 1, strings.Contains(string(page), "## Unexpected"), "%s", page)
			assert.Len(t, names(t, out), 3, "files of a report")
		})
	}
}

// inRow changes the row of the table that holds a line: each old text to the new one that follows it.
func inRow(line string, oldNew ...string) func(*testing.T, *house) {
	return func(t *testing.T, h *house) {
		rows := strings.Split(h.table, "[[row]]")
		found := 0
		for i, text := range rows {
			if !strings.Contains(text, "\n"+line+"\n") {
				continue
			}
			found++
			for k := 0; k < len(oldNew); k += 2 {
				text = replace(t, text, "\n"+oldNew[k], "\n"+oldNew[k+1])
			}
			rows[i] = text
		}
		require.Equal(t, 1, found, "rows with %s", line)
		h.table = strings.Join(rows, "[[row]]")
	}
}

// moveAway annotates a photograph's person as a figure of 20 pixels in the corner where nobody is.
func moveAway(h *house, fixture int) {
	person := h.fixtures["fixtures"][fixture]["persons"].([]any)[0].(map[string]any)
	person["box"] = []float64{0, 0, 20, 20}
	for i, k := range person["keypoints"].([]any) {
		if point := k.([]any); point[2] != 0.0 {
			point[0], point[1] = float64(i), float64(i)
		}
	}
}

// The table is held to all cells of all platforms, also those that this machine can't run.
func TestCheckTable(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(t *testing.T, h *house)
		says   string // "" for a table that is right
	}{
		{"right", func(t *testing.T, h *house) {}, ""},
		{"row that is for no cell any more", func(_ *testing.T, h *house) {
			h.table += "\n[[row]]\nprecision = \"int4\"\nwant = \"loads\"\nstatus = \"unverified\"\n"
		}, "golden/support.toml:35: the row is for no cell; correct or remove it"},
		{"row for a platform that no runtime has", inRow(`precision = "uint8"`, `want = "loads"`, `platform = "plan9/386"`+"\nwant = \"loads\""),
			"precision=uint8/provider=cpu/ort=1.22.1 on darwin/arm64 arm64: no row is for this cell"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t, "fp32", "int8", "uint8")
			row.change(t, h)
			h.write(t)
			err := posetest.CheckTable(posetest.Config{Dir: h.dir, Cache: t.TempDir(), Data: []string{}})
			if row.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.says)
		})
	}
}

// A library of the user's own runs under the rows of its version, and nothing is expected of the providers that it lacks.
func TestOwnLibrary(t *testing.T) {
	library := installed(t)
	for _, row := range []struct {
		name, ort string // the range of the row
		code      int
		says      string
	}{
		{"a row of its version", "~1.23", 0, "all as expected"},
		{"a row of other versions", ">=1.24", 1, "ort=own-1.23.2 on "},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t, "int8")
			inRow(`precision = "int8"`, `want =`, `ort = "`+row.ort+`"`+"\nwant =")(t, h)
			h.write(t)
			out := filepath.Join(t.TempDir(), "out")
			// What is not asked for must not be looked for: the cache is empty.
			r := command(t, append(nothing(t), "POSETEST_ORT="+library), "report", "--dir", h.dir, "--out", out)
			require.Equal(t, row.code, r.exit(t), "exit code; %s%s", r.out.String(), r.err.String())
			assert.Contains(t, r.out.String(), "cpu@own-"+ort)
			assert.Contains(t, r.out.String(), "1 cells: 1 fails")
			assert.Contains(t, r.out.String(), row.says)
		})
	}
}

// A model of the user's own needs no entry, no table and no house.
func TestOwnModel(t *testing.T) {
	installed(t)
	for _, row := range []struct {
		precision string
		code      int
		says      string
	}{
		{"", 0, "1 cells: 1 loads; all as expected"},
		{"-uint8", 1, "finds nobody, want people (no table"},
	} {
		path := filepath.Join(t.TempDir(), "Their Model.onnx")
		copyFile(t, filepath.Join(repository, "models", "movenet-lightning"+row.precision+".onnx"), path)
		r := command(t, []string{"POSETEST_RUNTIMES=" + ort}, "report", "--model", path, "--family", "movenet", "--out", filepath.Join(t.TempDir(), "out"))
		require.Equal(t, row.code, r.exit(t), "exit code; %s%s", r.out.String(), r.err.String())
		assert.Contains(t, r.out.String(), "their_model")
		assert.Contains(t, r.out.String(), row.says)
	}
}

// Other exports of a model on the data path are models of their own, under the rows of the first, never refused.
func TestExports(t *testing.T) {
	installed(t)
	h := newHouse(t, "fp32")
	h.models["models"][0]["where"] = "data"
	h.write(t)
	require.NoError(t, os.Mkdir(filepath.Join(h.dir, "data"), 0o755))
	same, other := filepath.Join(h.dir, "models"), filepath.Join(h.dir, "data")
	text, err := os.ReadFile(h.model("fp32"))
	require.NoError(t, err)
	// metadata_props, field 14 of a ModelProto: {key: "by", value: "me"}
	export := filepath.Join(other, filepath.Base(h.model("fp32")))
	require.NoError(t, os.WriteFile(export, append(text, "\x72\x08\x0a\x02by\x12\x02me"...), 0o644))
	id := "movenet-lightning~" + sum(t, export)[:8]

	data := "POSETEST_DATA=" + strings.Join([]string{same, other}, string(os.PathListSeparator))
	r := command(t, []string{data}, "models", "list", "--dir", h.dir)
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.Regexp(t, `(?m)│ movenet-lightning +│ fp32 .*`+h.model("fp32"), r.out.String())
	assert.Regexp(t, `(?m)│ `+id+` +│ fp32 .*`+export, r.out.String())

	out := filepath.Join(t.TempDir(), "out")
	r = command(t, []string{data, "POSETEST_RUNTIMES=" + ort}, "report", "--dir", h.dir, "--providers", "cpu", "--out", out)
	require.Equal(t, 0, r.exit(t), "%s%s", r.out.String(), r.err.String())
	assert.Contains(t, r.out.String(), id)
	assert.Contains(t, r.out.String(), "2 cells: 2 loads; all as expected")
}

// On a machine that has nothing and may fetch nothing, a report says so for the first runtime it wants.
func TestOffline(t *testing.T) {
	known, err := ortlib.Known()
	require.NoError(t, err)
	chosen, err := ortlib.Select(known, "")
	require.NoError(t, err)
	refuses(t, nothing(t), nil, "nothing to run", chosen[0].String(), "POSETEST_OFFLINE forbids", "POSETEST_ORT")
}
