package posetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/worker"
)

// A Plan is all that a run will do, and what it can't do for want of something.
type Plan struct {
	Cells    []Planned
	Missing  []Missing // one for each model, photograph or runtime that is not here
	Fixtures []Photograph
	Table    expect.Table
	Speeds   expect.Speeds
}

// A Planned is a cell with all that its worker needs and what is expected of it.
type Planned struct {
	expect.Place
	Model   catalog.Model
	File    catalog.File
	Head    onnx.Model // what the file says of its inputs and outputs
	Library string
	Row     expect.Row
	Today   time.Time // see [Config]
	Single  bool      // the model finds exactly one person
	Err     error     // why nothing can be expected of it: no row, or two

	runtime ortlib.Runtime // that Library is of; none if it is the user's own
}

// Judge is what compares an observation of the cell with its row.
func (p Planned) Judge() expect.Judge {
	return expect.Judge{Row: p.Row, Provider: session.RuntimeName(p.Provider), Single: p.Single, Today: p.Today}
}

// A Photograph is a fixture that is here, with its truth.
type Photograph struct {
	catalog.Fixture
	Path  string
	Truth []coco.Truth
}

// A Missing names what is not here and the cells that are skipped for it.
type Missing struct {
	ID    string // of the model, photograph or runtime
	Cells []observe.Cell
	Err   error // says what would bring it
}

// chosen are the runtimes to run, each with its library.
type chosen struct {
	ortlib.Runtime
	library   string
	providers []string // that the build brings
	missing   error
}

// libraries finds, and if need be installs, the runtimes that were asked for.
func (h *house) libraries(ctx context.Context, log Log) ([]chosen, error) {
	if h.Library != "" {
		own, err := h.ownLibrary(ctx)
		return []chosen{own}, err
	}
	selected, err := ortlib.Select(h.runtimes, h.Runtimes)
	if err != nil {
		return nil, fmt.Errorf("%w: POSETEST_RUNTIMES: %w", ErrSetup, err)
	}
	var all []chosen
	for _, r := range selected {
		c := chosen{Runtime: r}
		if here, err := r.Here(); err != nil {
			c.missing = err
		} else {
			c.providers = here.Providers
			c.library, c.missing = h.store(log).Install(ctx, r)
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// lacks tells what this machine lacks for a provider that the build brings: libraries come first, as it meets them first. Where the
// linker can't be asked, the run shows why.
func (c chosen) lacks(ctx context.Context, cfg Config) func(session.Variant) []string {
	return func(v session.Variant) []string {
		if c.missing != nil {
			return []string{""}
		}
		unfound, err := ortlib.Unfound(ctx, c.library, v.Provider(), cfg.environ(c.library))
		switch {
		case err == nil && len(unfound) > 0:
			return []string{observe.LacksLibraries}
		case !v.HasDevice():
			return []string{observe.LacksDevice}
		}
		return []string{""}
	}
}

// ownDistribution is that of a library of the user's: its id is own-1.23.2.
const ownDistribution = "onnxruntime-own"

// versionWord is a version that may stand in the name of a cell.
var versionWord = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$`)

// ownLibrary asks a library of the user's for its version, in a worker.
func (h *house) ownLibrary(ctx context.Context) (chosen, error) {
	fail := func(err error) (chosen, error) {
		return chosen{}, setupUnlessDone(ctx, fmt.Errorf("POSETEST_ORT: %w", err))
	}
	err := ortlib.CheckLibrary(h.Library)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(fmt.Errorf("%w; correct the path, or unset it to use those of `posetest runtime list`", err))
	}
	if err != nil {
		return fail(err)
	}
	w, err := worker.Start(ctx, worker.Spec{Timeout: h.Timeout, Environ: h.environ(h.Library)})
	if err != nil {
		return fail(err)
	}
	defer w.Close()
	version, _, err := w.OpenLibrary(ctx, h.Library)
	var death *worker.DeathError
	if errors.As(err, &death) {
		return fail(fmt.Errorf("%s: %w, so it is no ONNX Runtime that works here; give one of version %s or newer, or choose from `posetest runtime list`",
			h.Library, err, session.MinVersion))
	}
	if err != nil {
		return fail(err)
	}
	if !versionWord.MatchString(version) {
		return fail(fmt.Errorf("%s: says that it is ONNX Runtime %.80q, which is no version; give one of version %s or newer", h.Library, version, session.MinVersion))
	}
	providers := []string{"cpu"}
	if h.Providers != nil {
		providers = nil
	}
	for _, id := range h.Providers {
		providers = append(providers, session.Base(id))
	}
	return chosen{Runtime: ortlib.Runtime{Distribution: ownDistribution, Version: version}, library: h.Library, providers: providers}, nil
}

// plan decides what to run and finds all files for it.
func (h *house) plan(ctx context.Context, log Log) (*Plan, error) {
	if err := h.checkFilters(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	runtimes, err := h.libraries(ctx, log)
	if err != nil {
		return nil, err
	}
	files, err := h.files()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	machine := observe.ThisMachine()
	plan := &Plan{Table: h.table, Speeds: h.speeds}
	missing := map[string]*Missing{}
	miss := func(id string, err error, cells ...observe.Cell) {
		m := missing[id+err.Error()]
		if m == nil {
			m = &Missing{ID: id, Err: err}
			missing[id+err.Error()] = m
		}
		m.Cells = append(m.Cells, cells...)
	}
	for _, r := range runtimes {
		h.cellsOf(r.Runtime, r.providers, h.variants(), r.lacks(ctx, h.Config), func(m catalog.Model, v session.Variant, lacking string) {
			provider := v.ID
			if !selected(h.Models, m.ID) || !selected(h.Precisions, m.Precision) || !selected(h.Providers, provider) {
				return
			}
			found := files[[2]string{m.ID, m.Precision}]
			if found.missing != nil {
				miss(m.ID, found.missing, observe.Cell{Model: m.ID, Precision: m.Precision, Provider: provider, ORT: r.ID()})
				return
			}
			for i, file := range found.files {
				cell := observe.Cell{Model: file.ID, Precision: m.Precision, Provider: provider, ORT: r.ID()}
				if r.missing != nil {
					miss(r.ID(), r.missing, cell)
					continue
				}
				p := Planned{Model: m, File: file, Head: found.heads[i], Library: r.library, Row: expect.Own(), Today: h.Today, Single: found.single,
					Place: expect.Place{Cell: cell, Distribution: r.Distribution, Version: r.Version, Platform: machine.Platform(), ISA: machine.ISA, Lacks: lacking}}
				if h.Library == "" {
					p.runtime = r.Runtime
				}
				if h.table != nil && v.Plugin == "" {
					p.Row, p.Err = h.table.Match(p.Place)
				}
				plan.Cells = append(plan.Cells, p)
			}
		})
	}
	if err := h.photographs(plan, miss); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	cells := len(plan.Cells)
	for _, m := range missing {
		plan.Missing = append(plan.Missing, *m)
		cells += len(m.Cells)
	}
	slices.SortFunc(plan.Missing, func(a, b Missing) int { return strings.Compare(a.ID+a.Err.Error(), b.ID+b.Err.Error()) })
	slices.SortStableFunc(plan.Cells, func(a, b Planned) int { return a.Cell.Compare(b.Cell) })
	if cells == 0 {
		return nil, fmt.Errorf("%w: no cell has models %v, precisions %v and providers %v together; ask for fewer of them", ErrSetup, h.Models, h.Precisions, h.Providers)
	}
	return plan, nil
}

// checkFilters tells of a word that no cell can have, so that a typo doesn't pass for a run without failures.
func (h *house) checkFilters() error {
	var ids, precisions, providers []string
	for _, v := range session.Variants() {
		providers = append(providers, v.ID)
	}
	for _, m := range h.catalogue.Models {
		ids, precisions = append(ids, m.ID), append(precisions, m.Precision)
	}
	for _, f := range []struct {
		name        string
		words, from []string
	}{{"models", h.Models, ids}, {"precisions", h.Precisions, precisions}, {"providers", h.Providers, providers}} {
		for _, word := range f.words {
			if !slices.Contains(f.from, word) {
				slices.Sort(f.from)
				return fmt.Errorf("%s: %q is unknown; choose from %s", f.name, word, strings.Join(slices.Compact(f.from), ", "))
			}
		}
	}
	return nil
}

// photographs finds the fixtures and reads their truth.
func (h *house) photographs(plan *Plan, miss func(string, error, ...observe.Cell)) error {
	for _, f := range h.catalogue.Fixtures {
		path, annotations, err := h.finder.Fixture(h.fixtures, f)
		var gone *catalog.MissingError
		if errors.As(err, &gone) {
			miss(f.ID, err)
			continue
		}
		if err != nil {
			return err
		}
		photo := Photograph{Fixture: f, Path: path}
		for _, p := range f.Persons {
			photo.Truth = append(photo.Truth, coco.Truth{Keypoints: p.Keypoints, Area: coco.AreaOfBox(p.Box[2], p.Box[3])})
		}
		if annotations != "" {
			if photo.Truth, err = coco.ReadTruth(annotations, filepath.Base(path)); err != nil {
				return err
			}
			if len(photo.Truth) != f.People {
				return fmt.Errorf("%s: photograph %s has %d annotated people, and fixtures.json says %d", annotations, f.ID, len(photo.Truth), f.People)
			}
		}
		plan.Fixtures = append(plan.Fixtures, photo)
	}
	return nil
}
