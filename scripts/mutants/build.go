package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

//go:embed helpers.go.txt
var helpers string

// A built is the test of a package with all mutants in it.
type built struct {
	dir, binary string
	mutants     []mutant
	refused     []string // what the compiler said of operators that can't be changed, such as a text's +
}

// build builds a package's test in a work folder; the package itself is left as it is.
func build(dir, work string) (*built, error) {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	b := &built{dir: dir, binary: filepath.Join(work, "mutants.test")}
	skip := map[int]bool{}
	for {
		m := &mutator{skip: skip, next: 1}
		overlay, err := m.folder(dir, work)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay", overlay, "-o", b.binary, ".")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err == nil {
			b.mutants = m.mutants
			return b, nil
		}
		refused := refused(string(out), work)
		if len(refused) == 0 {
			return nil, fmt.Errorf("%w\n%s", err, out)
		}
		for number, why := range refused {
			skip[number] = true
			b.refused = append(b.refused, why)
		}
	}
}

// folder writes the files of a package with mutants into a work folder, and returns the path of the list that puts them in place of
// the package's own (go help build, -overlay).
func (m *mutator) folder(dir, work string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(abs, "*.go"))
	if err != nil {
		return "", err
	}
	files = slices.DeleteFunc(files, func(path string) bool { return strings.HasSuffix(path, "_test.go") })
	instead := map[string]string{}
	for _, path := range files {
		text, err := m.file(path)
		if err != nil {
			return "", err
		}
		instead[path] = filepath.Join(work, filepath.Base(path))
		if err := os.WriteFile(instead[path], text, 0o644); err != nil {
			return "", err
		}
	}
	more := filepath.Join(work, "mutants_helpers.go")
	instead[filepath.Join(abs, "mutants_helpers.go")] = more
	if err := os.WriteFile(more, []byte("package "+filepath.Base(dir)+"\n\n"+helpers), 0o644); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]any{"Replace": instead})
	if err != nil {
		return "", err
	}
	path := filepath.Join(work, "overlay.json")
	return path, os.WriteFile(path, list, 0o644)
}

var (
	complaint = regexp.MustCompile(`(?m)([\w.]+\.go):(\d+):(\d+): .*$`)
	changed   = regexp.MustCompile(`mutant\w+\((\d+)`)
)

// refused are the operators that a compiler complains of, by number: of each line with a complaint the call that begins last before it.
func refused(out, work string) map[int]string {
	all := map[int]string{}
	for _, m := range complaint.FindAllStringSubmatch(out, -1) {
		text, err := os.ReadFile(filepath.Join(work, m[1]))
		line, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		lines := strings.Split(string(text), "\n")
		if err != nil || line > len(lines) {
			continue
		}
		number := 0
		for _, at := range changed.FindAllStringSubmatchIndex(lines[line-1], -1) {
			if number == 0 || at[0] < column {
				number, _ = strconv.Atoi(lines[line-1][at[2]:at[3]])
			}
		}
		if number > 0 {
			all[number] = m[0]
		}
	}
	return all
}

// A result is what became of a mutant.
type result int

const (
	killed  result = iota // a test failed
	endless               // the tests did not end
	lived
)

// slow are tests that take seconds and decide nothing of what is changed.
const slow = "^TestUpdateSurvivesKill$"

// test runs the tests of the package once for each mutant.
func (b *built) test() ([]result, error) {
	begin := time.Now()
	if got, out := b.run(0, 10*time.Minute); got != lived {
		return nil, errors.New("the tests fail without any mutant\n" + out)
	}
	limit := 10*time.Second + 5*time.Since(begin)
	results := make([]result, len(b.mutants))
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	for i, m := range b.mutants {
		group.Go(func() error {
			results[i], _ = b.run(m.number, limit)
			return nil
		})
	}
	return results, group.Wait()
}

func (b *built) run(number int, limit time.Duration) (result, string) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.binary, "-test.failfast", "-test.skip", slow)
	cmd.Dir = b.dir
	// Whoever has no data gets the same figures.
	cmd.Env = append(os.Environ(), "POSETEST_DATA=", "CI=", "MUTANT="+strconv.Itoa(number))
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return lived, ""
	case ctx.Err() != nil:
		return endless, ""
	}
	return killed, string(out)
}

// name is a mutant's file, its kind, and its line with the operator marked, which stays when lines move.
func (b *built) name(m mutant) string {
	path := filepath.Join(b.dir, m.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	line := strings.Split(string(text), "\n")[m.line-1]
	operator := operators.FindString(line[m.column-1:])
	before, after := line[:m.column-1], line[m.column-1+len(operator):]
	return fmt.Sprintf("%s %s `%s`", filepath.ToSlash(path), m.kind, strings.TrimSpace(before+"«"+operator+"»"+after))
}

var operators = regexp.MustCompile(`^(break|continue|&&|\|\||[-+*/%&|^<>=!]=|\+\+|--|[-+*/%&|<>])`)
