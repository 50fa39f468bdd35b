package posetest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/posetest/suite/posetest/alert"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/report"
)

// Failures are the results that differ from their rows, at the lines of the rows.
func Failures(cfg Config, results []report.Result) []alert.Failure {
	var all []alert.Failure
	for _, r := range results {
		if r.Problem != nil {
			f := failureAt(cfg, r.Row, r.Cell)
			f.Problem = r.Problem.Error()
			all = append(all, f)
		}
	}
	return all
}

// failureAt is a failure of a cell at its row; where no row is for it, at no file.
func failureAt(cfg Config, row expect.Row, cell observe.Cell) alert.Failure {
	f := alert.Failure{Subject: cell.String()}
	if row.Line != 0 {
		f.File, f.Line = InFolder(cfg, row.File), row.Line
	}
	return f
}

// warnDays is for how many days before its end a quarantine is warned of.
const warnDays = 14

// Ending are the quarantines of a page's table that end within two weeks, or have ended, at the lines of their rows.
func Ending(cfg Config, page report.Page) []alert.Failure {
	var all []alert.Failure
	for _, r := range page.Table.Quarantines() {
		if r.DaysLeft(page.Today) < warnDays {
			all = append(all, alert.Failure{File: InFolder(cfg, r.File), Line: r.Line, Subject: "a quarantine ends", Problem: r.Quarantine(page.Today)})
		}
	}
	return all
}

// InFolder is the path of a file that is named from the folder of a configuration, as those of the support table's rows
// are.
func InFolder(cfg Config, file string) string {
	dir := cfg.Dir
	if dir == "" {
		dir, _ = findDir() // without one, the name is as it is read
	}
	return filepath.Join(dir, filepath.FromSlash(file))
}

// A watch collects the cells that fail in a test, and says them where people work once the test is over.
type watch struct {
	hub    alert.GitHub
	mu     sync.Mutex
	judged int
	all    []alert.Failure
}

// watching begins to watch a test.
func watching(t *testing.T) *watch {
	w := &watch{hub: alert.FromEnv(os.Getenv)}
	t.Cleanup(func() {
		w.sort()
		w.hub.Annotate(t.Output(), w.all)
		if len(w.all) > 0 {
			if err := w.hub.Summarize(w.markdown(t.Name())); err != nil {
				t.Log(err)
			}
		}
	})
	return w
}

// sort puts what failed into one order: sub-tests that run beside each other end in any.
func (w *watch) sort() {
	slices.SortStableFunc(w.all, func(a, b alert.Failure) int { return strings.Compare(a.Subject, b.Subject) })
}

// judge runs what a sub-test does, fails it with what that returns, and notes the failure where it is at.
func (w *watch) judge(t *testing.T, at alert.Failure, test func() error) {
	t.Helper()
	var err error
	defer func() { // it may end by t.Fatal
		w.mu.Lock()
		defer w.mu.Unlock()
		w.judged++
		if t.Failed() {
			at.Problem = cmp.Or(err, errors.New("fails; the output of "+t.Name()+" says how")).Error()
			w.all = append(w.all, at)
		}
	}()
	if err = test(); err != nil {
		t.Error(err)
	}
}

// markdown is what failed, as a table.
func (w *watch) markdown(test string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s: %d of %d are not as expected\n\n| what | where | how |\n|---|---|---|\n", test, len(w.all), w.judged)
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", "<br>").Replace
	for _, f := range w.all {
		where := "–"
		if f.File != "" {
			where = filepath.Base(f.File)
		}
		if f.Line != 0 {
			where += fmt.Sprintf(":%d", f.Line)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(f.Subject), where, cell(f.Problem))
	}
	return b.String()
}
