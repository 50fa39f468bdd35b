// Package alert says what is wrong where people work: under GitHub Actions, at lines of files and in the job's summary.
//
//	hub := alert.FromEnv(os.Getenv)
//	hub.Annotate(os.Stderr, failures)
//	err := hub.Summarize("# What was seen\n…")
//
// Elsewhere both do nothing.
package alert

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Failure is one thing that is not as expected.
type Failure struct {
	File    string // that says what is expected; "" if none does
	Line    int    // of it, from 1 on; 0 for no line
	Subject string // what failed, such as a cell
	Problem string // in what it differs
}

// A GitHub is where the alerts of one process go under GitHub Actions. The zero value is nowhere.
type GitHub struct {
	on        bool
	workspace string // folder that the repository is in
	summary   string // file to add to
}

// FromEnv is where GitHub Actions wants alerts, as the environment of a step tells.
func FromEnv(getenv func(string) string) GitHub {
	if getenv("GITHUB_ACTIONS") != "true" {
		return GitHub{}
	}
	return GitHub{on: true, workspace: getenv("GITHUB_WORKSPACE"), summary: getenv("GITHUB_STEP_SUMMARY")}
}

// On tells whether alerts go anywhere.
func (g GitHub) On() bool { return g.on }

// mostAnnotations is how many errors of one step GitHub shows, and as many warnings; those behind are dropped in silence.
const mostAnnotations = 10

// Annotate writes one annotation for each line that failures are of, however many there are of it.
func (g GitHub) Annotate(w io.Writer, failures []Failure) { g.annotate(w, errorLevel, failures) }

// Warn writes annotations as Annotate does, of what is no failure yet.
func (g GitHub) Warn(w io.Writer, failures []Failure) { g.annotate(w, warningLevel, failures) }

func (g GitHub) annotate(w io.Writer, level string, failures []Failure) {
	if !g.on {
		return
	}
	annotations := perLine(failures)
	if len(annotations) > mostAnnotations {
		rest := annotations[mostAnnotations-1:]
		var where []string
		for _, a := range rest {
			where = append(where, fmt.Sprintf("%s: %s", a.where(), a.Title))
		}
		annotations = append(annotations[:mostAnnotations-1:mostAnnotations-1],
			Annotation{Title: fmt.Sprintf("%d more lines", len(rest)), Message: strings.Join(few(where), "\n")})
	}
	for _, a := range annotations {
		a.File = g.path(a.File)
		fmt.Fprintln(w, a.at(level))
	}
}

// path is a file's as annotations name it: below the repository, with slashes.
func (g GitHub) path(file string) string {
	if file == "" || g.workspace == "" {
		return filepath.ToSlash(file)
	}
	full, err := filepath.Abs(file)
	if err != nil {
		return filepath.ToSlash(file)
	}
	if rel, err := filepath.Rel(g.workspace, full); err == nil && filepath.IsLocal(rel) {
		file = rel
	}
	return filepath.ToSlash(file)
}

// mostSummary is how many bytes of one step's summary GitHub takes; with one more it takes none.
const mostSummary = 1 << 20

// Summarize adds Markdown to the job's summary, cut at a line where it is too long.
func (g GitHub) Summarize(markdown string) error {
	if g.summary == "" {
		return nil
	}
	fail := func(err error) error {
		return fmt.Errorf("GITHUB_STEP_SUMMARY: %w; unset it to go without a summary", err)
	}
	file, err := os.OpenFile(g.summary, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fail(err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return fail(err)
	}
	if _, err := io.WriteString(file, fit(markdown+"\n", mostSummary-int(stat.Size()))); err != nil {
		return fail(err)
	}
	return nil
}

// fit is a text, or as many of its first lines as fit into so many bytes with a word that it is cut; "" if none does.
func fit(text string, bytes int) string {
	const cut = "\n… and more, which is in the job's log and artifacts.\n"
	if len(text) <= bytes {
		return text
	}
	end := strings.LastIndex(text[:max(0, bytes-len(cut))], "\n")
	if end < 0 {
		return ""
	}
	return text[:end+1] + cut
}

// perLine makes one annotation of all failures of a line, in the order in which the lines come.
func perLine(failures []Failure) []Annotation {
	type line struct {
		file string
		n    int
	}
	of := map[line][]Failure{}
	var lines []line
	for _, f := range failures {
		l := line{f.File, f.Line}
		if of[l] == nil {
			lines = append(lines, l)
		}
		of[l] = append(of[l], f)
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		if a.file != b.file {
			return strings.Compare(a.file, b.file)
		}
		return a.n - b.n
	})
	var all []Annotation
	for _, l := range lines {
		a := Annotation{File: l.file, Line: l.n, Title: of[l][0].Subject, Message: strings.TrimSpace(of[l][0].Problem)}
		if n := len(of[l]); n > 1 {
			a.Title = fmt.Sprintf("%s and %d more", a.Title, n-1)
			var messages []string
			for _, f := range of[l] {
				messages = append(messages, f.Subject+": "+strings.TrimSpace(f.Problem))
			}
			a.Message = strings.Join(few(messages), "\n")
		}
		all = append(all, a)
	}
	return all
}

// few are the first of many.
func few(all []string) []string {
	const most = 20
	if len(all) <= most {
		return all
	}
	return append(all[:most:most], fmt.Sprintf("and %d more", len(all)-most))
}
