package golden

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/whole"
)

// A Since is for what a golden holds: a provider in a class of processors, from one runtime on. Its text,
// cpu@1.23.2.any, is the name of the golden's file without .json.
type Since struct{ Provider, ORT, Class string }

func (s Since) String() string { return s.Provider + "@" + s.ORT + "." + s.Class }

// ParseSince reads what [Since.String] gives.
func ParseSince(name string) (Since, error) {
	provider, rest, ok := strings.Cut(name, "@")
	i := strings.LastIndex(rest, ".")
	if !ok || provider == "" || i <= 0 || i == len(rest)-1 {
		return Since{}, fmt.Errorf("golden %q is not named like cpu@1.23.2.any: provider@runtime.class", name)
	}
	return Since{provider, rest[:i], rest[i+1:]}, nil
}

// Choose picks the golden that a cell of that provider, runtime and class is held to; false if there is none. It is one
// of the cell's provider and class:
//
//  1. of the cell's own distribution, the newest that is not newer than the cell's runtime;
//  2. without one, and if the provider is cpu, whose code is the same in every distribution, the newest of any other
//     distribution that is not newer by version; of one version, that of plain onnxruntime, then the first by name.
//
// A runtime whose version is none by the rules of semver has only the golden of that very runtime.
func Choose(all []Since, cell Since) (Since, bool) {
	distribution, version := parts(cell.ORT)
	var own, others []Since
	for _, s := range all {
		if s == cell {
			return s, true
		}
		d, v := parts(s.ORT)
		switch {
		case s.Provider != cell.Provider || s.Class != cell.Class || version == nil || v == nil || v.GreaterThan(version):
		case d == distribution:
			own = append(own, s)
		case s.Provider == "cpu":
			others = append(others, s)
		}
	}
	candidates := own
	if len(own) == 0 {
		candidates = others
	}
	if len(candidates) == 0 {
		return Since{}, false
	}
	return slices.MinFunc(candidates, func(a, b Since) int {
		da, va := parts(a.ORT)
		db, vb := parts(b.ORT)
		return cmp.Or(vb.Compare(va), cmp.Compare(da, db), cmp.Compare(a.ORT, b.ORT)) // 1.0 and 1.0.0 are one version
	}), true
}

// parts are the distribution, "" for plain onnxruntime, and the version of a runtime; nil if it has none.
func parts(ort string) (distribution string, version *semver.Version) {
	text := ort
	if i := strings.IndexFunc(ort, func(r rune) bool { return '0' <= r && r <= '9' }); i > 0 && ort[i-1] == '-' {
		distribution, text = ort[:i-1], ort[i:]
	}
	version, err := semver.NewVersion(text)
	if err != nil {
		return ort, nil
	}
	return distribution, version
}

// A Store is the folder that holds goldens: <model>/<precision>/<provider>@<runtime>.<class>.json.
type Store struct {
	Dir string
	CI  bool // refuse to update: nobody looks there
}

// A NoneError says that a cell has no golden.
type NoneError struct {
	Cell  observe.Cell
	Class string
	Other []string // classes of processors that the cell has goldens for
}

func (e *NoneError) Error() string {
	if len(e.Other) > 0 {
		return fmt.Sprintf("%s: no golden for processors of class %s, only for %s", e.Cell, e.Class, strings.Join(e.Other, ", "))
	}
	return fmt.Sprintf("%s: no golden; look at what it finds, then run -update", e.Cell)
}

// Find reads the golden of a cell on a processor of an ISA class. Its error is a [NoneError] if there is none.
func (s Store) Find(cell observe.Cell, isa string) (Golden, error) {
	class := Class(cell.Precision, isa)
	dir := filepath.Join(s.Dir, cell.Model, cell.Precision)
	all, err := list(dir)
	if err != nil {
		return Golden{}, err
	}
	since, ok := Choose(all, Since{cell.Provider, cell.ORT, class})
	if !ok {
		none := &NoneError{Cell: cell, Class: class}
		for _, other := range observe.ISAs() {
			if _, ok := Choose(all, Since{cell.Provider, cell.ORT, other}); ok {
				none.Other = append(none.Other, other)
			}
		}
		return Golden{}, none
	}
	path := filepath.Join(dir, since.String()+".json")
	text, err := os.ReadFile(path)
	if err != nil {
		return Golden{}, fmt.Errorf("golden: %w", err)
	}
	g, err := Parse(text, path)
	if err != nil {
		return g, err
	}
	want := observe.Cell{Model: cell.Model, Precision: cell.Precision, Provider: since.Provider, ORT: since.ORT}
	if g.Cell != want || g.Class != since.Class {
		return Golden{}, fmt.Errorf("%s: holds the golden of %s, class %s; move it to where that belongs", path, g.Cell, g.Class)
	}
	return g, nil
}

// list names the goldens of a folder. What a killed update left begins with a dot, and is none.
func list(dir string) ([]Since, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("goldens: %w", err)
	}
	var all []Since
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || e.Name()[0] == '.' {
			continue
		}
		since, err := ParseSince(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; rename or remove it", filepath.Join(dir, e.Name()), err)
		}
		all = append(all, since)
	}
	return all, nil
}

// A Change is what an update did. Its String is for a person who decides whether to commit it.
type Change struct {
	Path    string   // written; "" if nothing had to be
	Details []string // a line for each person that is not what it was
}

func (c Change) String() string {
	if c.Path == "" {
		return "unchanged"
	}
	return strings.Join(append([]string{c.Path}, c.Details...), "\n  ")
}

// Update makes what was observed the golden of its cell, from its runtime on. Where the golden that the cell has already
// says so within the tolerance, nothing is written, so that runtimes which find the same share one. Photographs that
// were not run, on a machine that lacks them, are kept while the model is the same. It refuses under CI. The file is
// written whole or not at all, on Windows as well as that can do.
func (s Store) Update(o observe.Observation, tolerance Tolerance) (Change, error) {
	if s.CI {
		return Change{}, fmt.Errorf("%s: -update under CI would make golden what nobody has looked at; run it on your machine, look at the difference, and commit it", o.Cell)
	}
	g, err := Of(o)
	if err != nil {
		return Change{}, err
	}
	old, err := s.Find(o.Cell, o.Machine.ISA)
	var none *NoneError
	if err != nil && !errors.As(err, &none) {
		return Change{}, err
	}
	if none == nil {
		if differences, err := old.Check(o, tolerance); err == nil && len(differences) == 0 {
			return Change{}, nil
		}
	}
	if old.ModelSHA256 == g.ModelSHA256 {
		for _, p := range old.Photos {
			if !slices.ContainsFunc(g.Photos, func(q Photo) bool { return q.Fixture == p.Fixture }) {
				g.Photos = append(g.Photos, p)
			}
		}
		slices.SortFunc(g.Photos, func(a, b Photo) int { return cmp.Compare(a.Fixture, b.Fixture) })
	}
	text, err := g.Marshal()
	if err != nil {
		return Change{}, fmt.Errorf("%s: %w", o.Cell, err)
	}
	dir := filepath.Join(s.Dir, g.Model, g.Precision)
	path := filepath.Join(dir, Since{g.Provider, g.ORT, g.Class}.String()+".json")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Change{}, fmt.Errorf("golden: %w; make room, or make the folder writable, and run -update again", err)
	}
	if err := whole.Write(path, text); err != nil {
		return Change{}, fmt.Errorf("golden: %w; what was there is as it was: make room, or make the folder writable, and run -update again", err)
	}
	return Change{path, changes(old, g)}, nil
}

// changes says what differs between two goldens, person by person.
func changes(old, g Golden) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch {
	case old.ModelSHA256 == "":
		persons := 0
		for _, p := range g.Photos {
			persons += len(p.Persons)
		}
		say("new: %d persons in %d photographs", persons, len(g.Photos))
		return lines
	case old.ModelSHA256 != g.ModelSHA256:
		say("model %.12s…, was %.12s…", g.ModelSHA256, old.ModelSHA256)
	case old.ORT != g.ORT:
		say("beside that of %s", old.ORT)
	}
	for _, p := range g.Photos {
		var before Photo
		if i := slices.IndexFunc(old.Photos, func(q Photo) bool { return q.Fixture == p.Fixture }); i >= 0 {
			before = old.Photos[i]
		}
		if before.SHA256 != p.SHA256 {
			say("%s: photograph %.12s…, was %.12s…", p.Fixture, p.SHA256, cmp.Or(before.SHA256, "none"))
		}
		pairs := Match(p.Persons, before.Persons)
		for i, person := range before.Persons {
			j := slices.IndexFunc(pairs, func(q Pair) bool { return q.Want == i })
			if j < 0 {
				say("%s: person %d %s is gone", p.Fixture, i+1, where(person))
				continue
			}
			now := p.Persons[pairs[j].Got]
			if oks := coco.OKS(Truth(person), now); oks < 1 {
				joint, distance := furthest(now, person)
				say("%s: person %d %s: OKS 1 - %.4f, furthest %s by %.2f px", p.Fixture, i+1, where(person), 1-oks, pose.Joints[joint], distance)
			}
		}
		for i, person := range p.Persons {
			if !slices.ContainsFunc(pairs, func(q Pair) bool { return q.Got == i }) {
				say("%s: a person %s with score %.3f is new", p.Fixture, where(person), person.Score)
			}
		}
	}
	return lines
}

// furthest is the seen joint of a person that has moved most, and by how many pixels.
func furthest(now, before pose.Person) (joint int, distance float64) {
	for j, k := range Truth(before).Keypoints {
		if d := math.Hypot(now.Keypoints[j].X-k[0], now.Keypoints[j].Y-k[1]); k[2] > 0 && d > distance {
			joint, distance = j, d
		}
	}
	return joint, distance
}
