package choose_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/choose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	text, err := json.Marshal(story())
	require.NoError(t, err)
	got, err := choose.Parse(text)
	require.NoError(t, err)
	assert.Equal(t, story(), got)
	assert.Equal(t, story(), choose.MustParse(string(text)))
}

// What stands at a bound is within it.
func TestParseTakes(t *testing.T) {
	whole, err := json.Marshal(story())
	require.NoError(t, err)
	for _, row := range []struct{ from, to string }{
		{`"at_most":0.5`, `"at_least":0.5,"at_most":0.5`},
		{`"CPUExecutionProvider":96`, `"CPUExecutionProvider":1`},
		{`"CPUExecutionProvider":96`, `"CPUExecutionProvider":1073741824`},
	} {
		text := strings.Replace(string(whole), row.from, row.to, 1)
		require.NotEqual(t, string(whole), text)
		_, err := choose.Parse([]byte(text))
		assert.NoError(t, err, row.to)
	}
}

// What is cut, of another version or altered by hand allows nothing.
func TestParseRefuses(t *testing.T) {
	whole, err := json.Marshal(story())
	require.NoError(t, err)
	for _, row := range []struct{ why, from, to, says string }{
		{"cut", `"where":"t:15"}]}`, ``, "unexpected end of JSON input"},
		{"two tables", `"where":"t:15"}]}`, `"where":"t:15"}]}{}`, "invalid character '{' after top-level value"},
		{"of a later version, which has more fields", `{"format":1,`, `{"format":2,"shapes":[],`, "format is 2, want 1"},
		{"of none", `"format":1,`, ``, "format is 0, want 1"},
		{"a field that nobody knows may change the sense of all", `"passes":true,`, `"passes":true,"unless":"x",`, `unknown field "unless"`},
		{"an empty list looks like a list of all", `"precision":["int8-naive"]`, `"precision":[]`, "t:4: precision: is empty"},
		{"a word of no list", `"precision":["int8-naive"]`, `"precision":["int9"]`, `t:4: precision: "int9" is in no list of the table`},
		{"a row without a place", `"where":"t:4"`, `"where":""`, "does, status and where must say something"},
		{"a row that nobody answers for", `"status":"unverified","where":"t:6"`, `"status":"","where":"t:6"`, "t:6: does, status and where must say something"},
		{"verified nowhere that is known", `"verified":["linux/amd64"],"where":"t:4"`, `"verified":["plan9/386"],"where":"t:4"`, `t:4: platform: "plan9/386" is in no list`},
		{"a drift of nothing", `"drift":{"int8":"jitter"}`, `"drift":{"int7":"jitter"}`, `t:3: precision: "int7" is in no list`},
		{"fewer nodes than none", `"CPUExecutionProvider":96`, `"CPUExecutionProvider":-96`, "t:9: -96 nodes on CPUExecutionProvider, want 1 to"},
		{"a speed that is none", `"at_most":0.5`, `"at_most":0`, "t:14: at_least and at_most are times the speed of fp32"},
		{"a speed below none", `"at_most":0.5`, `"at_most":-0.5`, "t:14: at_least and at_most are times the speed of fp32"},
		{"a speed that nobody answers for", `"status":"unverified","where":"t:13"`, `"status":"","where":"t:13"`, "t:13: status and where must say something"},
		{"a build for nothing", `"platform":"darwin/arm64","providers"`, `"platform":"darwin/arm","providers"`, `build 1.22.1: platform: "darwin/arm" is in no list`},
		{"a model in no precision", `"other":[{"precision":"fp32","file":"other.onnx","sha256":""}]`, `"other":[]`, "model other: has no precision"},
	} {
		t.Run(row.why, func(t *testing.T) {
			text := strings.Replace(string(whole), row.from, row.to, 1)
			require.NotEqual(t, string(whole), text, "the table has no %s", row.from)
			got, err := choose.Parse([]byte(text))
			assert.Zero(t, got)
			require.ErrorContains(t, err, row.says)
			assert.True(t, strings.HasPrefix(err.Error(), "support table: "))
			assert.True(t, strings.HasSuffix(err.Error(), "; write it again with `posetest embed-table` of this version"))
			assert.PanicsWithError(t, err.Error(), func() { choose.MustParse(text) })
		})
	}
}

// A table that is taken reads the same when it is written, and allows nothing but what one row of it, alone, lets pass and
// says to be verified there.
func FuzzParse(f *testing.F) {
	text, err := json.Marshal(story())
	require.NoError(f, err)
	f.Add(text)
	golden, err := os.ReadFile("testdata/support.json")
	require.NoError(f, err)
	f.Add(golden)
	small := `{"format":1,"models":{"m":[{"precision":"p"}]},"builds":[{"runtime":"r","platform":"o","providers":["c"]}],"isas":{"o":["i"]},"providers":{"c":"C"},` +
		`"rows":[{"runtime":["r"],"passes":true,"does":"x","drift":{"p":"jitter"},"placement":{"C":1},"status":"x","where":"x","verified":["o"]}],` +
		`"speeds":[{"isa":["i"],"at_least":2,"status":"x","where":"y","verified":["o"]}]}`
	_, err = choose.Parse([]byte(small))
	require.NoError(f, err)
	f.Add([]byte(small))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := choose.Parse(text)
		if err != nil {
			assert.True(t, strings.HasPrefix(err.Error(), "support table: "))
			return
		}
		again, err := json.Marshal(table)
		require.NoError(t, err)
		same, err := choose.Parse(again)
		require.NoError(t, err)
		twice, err := json.Marshal(same)
		require.NoError(t, err)
		assert.Equal(t, string(again), string(twice))
		asked := 0
		for q := range queries(table) {
			choice, err := table.Select(q)
			if err == nil {
				checkAllowed(t, table, choice)
			} else {
				assert.NotEmpty(t, err.Error())
			}
			if asked++; asked > 200 {
				break
			}
		}
	})
}

// queries are all that a table has words for.
func queries(table choose.Table) func(func(choose.Query) bool) {
	return func(yield func(choose.Query) bool) {
		for model, files := range table.Models {
			for _, f := range append(files, choose.File{}) {
				for provider := range table.Providers {
					for _, b := range table.Builds {
						for _, isa := range append(table.ISAs[b.Platform], "") {
							if !yield(choose.Query{Model: model, Precision: f.Precision, Provider: provider, Runtime: b.Runtime, Platform: b.Platform, ISA: isa}) {
								return
							}
						}
					}
				}
			}
		}
	}
}

func checkAllowed(t *testing.T, table choose.Table, c choose.Choice) {
	t.Helper()
	var rows []choose.Row
	for _, r := range table.Rows {
		if r.Where == c.Where && r.Passes && slices.Contains(r.Verified, c.Platform) {
			rows = append(rows, r)
		}
	}
	require.NotEmpty(t, rows, "no row allows %s", c)
	assert.Contains(t, []string{"", "none", "jitter"}, c.Drift)
}
