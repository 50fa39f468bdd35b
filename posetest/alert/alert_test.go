package alert

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var annotations = []struct {
	name string
	Annotation
	line string
}{
	{"a line of a file", Annotation{"golden/support.toml", 41, "a cell", "fails, want loads"}, "::error file=golden/support.toml,line=41,title=a cell::fails, want loads"},
	{"what ends a line ends no message", Annotation{"f", 1, "t", "one\ntwo\r\nthree"}, "::error file=f,line=1,title=t::one%0Atwo%0D%0Athree"},
	{"the sign of an escape", Annotation{"f", 1, "100 %", "50 % and %0A"}, "::error file=f,line=1,title=100 %25::50 %25 and %250A"},
	{"what ends a property ends none", Annotation{"a,b:c", 1, "x: y, z=::w", "m"}, "::error file=a%2Cb%3Ac,line=1,title=x%3A y%2C z=%3A%3Aw::m"},
	{"a message may hold what a property may not", Annotation{"f", 1, "t", "ConvInteger(10): a, b::c"}, "::error file=f,line=1,title=t::ConvInteger(10): a, b::c"},
	{"no line without a file", Annotation{"", 7, "t", "m"}, "::error title=t::m"},
	{"a file without a line", Annotation{"f", 0, "t", "m"}, "::error file=f,title=t::m"},
	{"a message alone", Annotation{Message: "m"}, "::error::m"},
}

func TestAnnotation(t *testing.T) {
	for _, row := range annotations {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.line, row.Annotation.String())
		})
	}
}

// parse reads an annotation as the runner does: trim, command up to a space, properties parted by commas up to "::", and
// the rest; %25 is undone last.
func parse(line string) (a Annotation, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "::")
	if !ok {
		return a, false
	}
	head, text, ok := strings.Cut(rest, "::")
	command, properties, _ := strings.Cut(head, " ")
	if !ok || command != "error" {
		return a, false
	}
	undo := func(s string, escapes ...string) string {
		for i := 0; i < len(escapes); i += 2 {
			s = strings.ReplaceAll(s, escapes[i], escapes[i+1])
		}
		return s
	}
	for _, p := range strings.Split(properties, ",") {
		name, value, _ := strings.Cut(p, "=")
		value = undo(value, "%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%")
		switch name {
		case "file":
			a.File = value
		case "line":
			fmt.Sscan(value, &a.Line)
		case "title":
			a.Title = value
		}
	}
	a.Message = undo(text, "%0D", "\r", "%0A", "\n", "%25", "%")
	return a, true
}

// What is written is what the runner reads, whatever is in it.
func FuzzAnnotation(f *testing.F) {
	for _, row := range annotations {
		f.Add(row.File, row.Line, row.Title, row.Message)
	}
	f.Fuzz(func(t *testing.T, file string, line int, title, message string) {
		want := Annotation{file, line, title, message}
		if file == "" || line < 0 {
			want.Line = 0
		}
		written := want.String()
		if strings.ContainsAny(written, "\r\n") {
			t.Fatalf("%q has more than one line", written)
		}
		got, ok := parse(written)
		if message != strings.TrimSpace(message) || title != strings.TrimSpace(title) {
			got.Title, got.Message = strings.TrimSpace(got.Title), strings.TrimSpace(got.Message)
			want.Title, want.Message = strings.TrimSpace(want.Title), strings.TrimSpace(want.Message)
		}
		if !ok || got != want {
			t.Fatalf("%q is read as %+v, want %+v", written, got, want)
		}
	})
}

func env(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestAnnotate(t *testing.T) {
	work := t.TempDir()
	on := map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": work}
	at := func(line int, subject, problem string) Failure {
		return Failure{File: filepath.Join(work, "sub", "support.toml"), Line: line, Subject: subject, Problem: problem}
	}
	var many []Failure
	for line := range 14 {
		many = append(many, at(line+1, fmt.Sprintf("cell %d", line+1), "fails"))
	}
	for _, row := range []struct {
		name     string
		env      map[string]string
		failures []Failure
		want     []string
	}{
		{"nothing elsewhere", nil, []Failure{at(3, "a", "x")}, nil},
		{"nothing in another CI", map[string]string{"CI": "true", "GITHUB_ACTIONS": "false"}, []Failure{at(3, "a", "x")}, nil},
		{"nothing without a failure", on, nil, nil},
		{"a file of the repository is named from its root", on, []Failure{at(3, "a", "x")}, []string{"::error file=sub/support.toml,line=3,title=a::x"}},
		{"another keeps its name", on, []Failure{{File: "/elsewhere/f", Line: 1, Subject: "a", Problem: "x"}}, []string{"::error file=/elsewhere/f,line=1,title=a::x"}},
		{"without a file, at the job", on, []Failure{{Subject: "a", Problem: "x"}}, []string{"::error title=a::x"}},
		{"one a line, in the order of lines", on, []Failure{at(9, "c", "z"), at(3, "a", "x"), at(9, "b", "y")}, []string{
			"::error file=sub/support.toml,line=3,title=a::x", "::error file=sub/support.toml,line=9,title=c and 1 more::c: z%0Ab: y"}},
		{"ten, which is all that GitHub shows", on, many, append(func() (all []string) {
			for line := range 9 {
				all = append(all, fmt.Sprintf("::error file=sub/support.toml,line=%d,title=cell %d::fails", line+1, line+1))
			}
			return all
		}(), "::error title=5 more lines::"+func() string {
			var all []string
			for line := 9; line < 14; line++ {
				all = append(all, fmt.Sprintf("%s:%d: cell %d", filepath.Join(work, "sub", "support.toml"), line+1, line+1))
			}
			return strings.Join(all, "%0A")
		}())},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out strings.Builder
			FromEnv(env(row.env)).Annotate(&out, row.failures)
			var got []string
			for line := range strings.Lines(out.String()) {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
			assert.Equal(t, row.want, got)
		})
	}
}

// A warning is at its line as an error is, and fails nothing.
func TestWarn(t *testing.T) {
	var out strings.Builder
	failures := []Failure{{File: "f", Line: 3, Subject: "a", Problem: "x"}}
	FromEnv(env(nil)).Warn(&out, failures)
	assert.Empty(t, out.String(), "nothing elsewhere")
	FromEnv(env(map[string]string{"GITHUB_ACTIONS": "true"})).Warn(&out, failures)
	assert.Equal(t, "::warning file=f,line=3,title=a::x\n", out.String())
}

func TestSummarize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "summary.md")
	require.NoError(t, FromEnv(env(map[string]string{"GITHUB_STEP_SUMMARY": path})).Summarize("elsewhere"))
	assert.NoFileExists(t, path, "not under GitHub Actions")
	require.NoError(t, FromEnv(env(map[string]string{"GITHUB_ACTIONS": "true"})).Summarize("nowhere"), "an old runner has none")

	hub := FromEnv(env(map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": path}))
	require.NoError(t, hub.Summarize("# one"))
	require.NoError(t, hub.Summarize("# two"))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "# one\n# two\n", string(text), "it adds")

	require.NoError(t, hub.Summarize(strings.Repeat("a line\n", mostSummary/7)))
	require.NoError(t, hub.Summarize("# no room"))
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(text), mostSummary, "more, and GitHub takes nothing")
	assert.Greater(t, len(text), mostSummary-100)
	assert.True(t, strings.HasSuffix(string(text), "a line\n\n… and more, which is in the job's log and artifacts.\n"), "it says that it is cut")

	err = FromEnv(env(map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": t.TempDir()})).Summarize("x")
	assert.ErrorContains(t, err, "unset it to go without a summary")
}
