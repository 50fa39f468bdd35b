// Command mutants tests the tests of the packages that decide: it changes their operators, one at a time, and sees whether a test
// fails.
//
//	go run ./scripts/mutants              # expect, golden, coco, measure, choose
//	go run ./scripts/mutants -v coco      # with what does not compile
//
// It prints killed and lived by package, and each mutant that no test noticed. Exit code 1 if less than 90 % die in a package, or if
// docs/mutants.md explains one that does not live, or does not explain one that does.
//
// Mutants and their names are those of gremlins (gremlins.dev). What this gains: gremlins builds a test for each mutant, here one build
// has all mutants of a package and a variable picks one, so that expect takes seconds and not a quarter of an hour; and gremlins
// passes over the conditions of case, which Go's coverage does not count, a tenth of all. Constants and texts are not changed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// least is the share of a package's mutants that must die.
const least = 0.9

const explanations = "docs/mutants.md"

func main() {
	verbose := flag.Bool("v", false, "say which mutants do not compile")
	flag.Parse()
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"expect", "golden", "coco", "measure", "choose"}
	}
	if err := run(packages, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(packages []string, verbose bool) error {
	text, err := os.ReadFile(explanations)
	if err != nil {
		return fmt.Errorf("%w; run it at the root of the project", err)
	}
	work, err := os.MkdirTemp("", "posetest-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	var errs []error
	for _, name := range packages {
		dir := filepath.Join("posetest", name)
		b, err := build(dir, filepath.Join(work, name))
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		if verbose {
			fmt.Println(strings.Join(b.refused, "\n"))
		}
		results, err := b.test()
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		errs = append(errs, judge(dir, b, results, explained(string(text), dir)))
	}
	return errors.Join(errs...)
}

// explained are the names of the mutants of a package that the page has a reason for, each on a line of its own.
func explained(page, dir string) []string {
	var names []string
	for line := range strings.Lines(page) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- "+dir+"/"); ok {
			names = append(names, dir+"/"+name)
		}
	}
	return names
}

// judge prints what became of a package's mutants, and tells why that is not good enough.
func judge(dir string, b *built, results []result, known []string) error {
	count := map[result]int{}
	alike := map[string]int{}
	var alive []string
	for i, r := range results {
		count[r]++
		name := b.name(b.mutants[i])
		if alike[name]++; alike[name] > 1 {
			name += fmt.Sprintf(" (%d)", alike[name])
		}
		if r == lived {
			alive = append(alive, name)
		}
	}
	share := float64(len(results)-count[lived]) / float64(max(1, len(results)))
	fmt.Printf("%s: of %d mutants %d killed, %d of them as they never ended, and %d lived: %.1f %% (%d operators could not be changed)\n",
		dir, len(results), len(results)-count[lived], count[endless], count[lived], 100*share, len(b.refused))
	slices.Sort(alive)
	var errs []error
	for _, name := range alive {
		fmt.Println("  lived:", name)
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("no test notices %s; write one, or explain it in %s", name, explanations))
		}
	}
	for _, name := range known {
		if !slices.Contains(alive, name) {
			errs = append(errs, fmt.Errorf("%s explains %s, which is dead or gone; remove it there", explanations, name))
		}
	}
	if share < least {
		errs = append(errs, fmt.Errorf("%s: %.1f %% of the mutants die, want %.0f %% at least", dir, 100*share, 100*least))
	}
	return errors.Join(errs...)
}
