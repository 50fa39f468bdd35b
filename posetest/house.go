package posetest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/posetest/suite/fixtures"
	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/sums"
)

// A house is what is read once: catalogue, table and runtimes.
type house struct {
	Config
	catalogue catalog.Catalogue
	finder    *catalog.Finder
	fixtures  string // folder
	table     expect.Table
	speeds    expect.Speeds
	runtimes  []ortlib.Runtime // all known
	sums      *sums.Memo       // of models and runtimes
}

func open(cfg Config) (*house, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	if cfg.Dir == "" {
		if cfg.Dir, err = findDir(); err != nil {
			return nil, err
		}
	} else if _, err := os.Stat(filepath.Join(cfg.Dir, modelsList)); err != nil {
		return nil, fmt.Errorf("%w: Config.Dir (--dir): %w; name the folder that has %s", ErrSetup, err, modelsList)
	}
	h := &house{Config: cfg, fixtures: filepath.Join(cfg.Dir, "fixtures"), sums: new(sums.Memo)}
	_, err = os.Stat(filepath.Join(h.fixtures, "fixtures.json"))
	builtIn := errors.Is(err, fs.ErrNotExist)
	if builtIn {
		h.fixtures = filepath.Join(cfg.Cache, "fixtures")
		if err := fixtures.Extract(h.fixtures); err != nil {
			return nil, fmt.Errorf("%w: put the built-in photographs into %s: %w", ErrSetup, h.fixtures, err)
		}
	}
	if h.catalogue, err = catalog.Open(filepath.Join(cfg.Dir, modelsList), filepath.Join(h.fixtures, "fixtures.json")); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	if builtIn { // without those of the data path, which another module's users can't have
		h.catalogue.Fixtures = slices.DeleteFunc(h.catalogue.Fixtures, func(f catalog.Fixture) bool { return f.Annotations != "" })
	}
	if h.runtimes, err = ortlib.Known(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	table := filepath.Join(cfg.Dir, "golden", "support.toml")
	if text, err := os.ReadFile(table); err == nil {
		if h.table, err = expect.Parse(text, "golden/support.toml"); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSetup, err)
		}
		if h.speeds, err = expect.ParseSpeeds(text, "golden/support.toml"); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSetup, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	h.finder = &catalog.Finder{Dir: filepath.Join(cfg.Dir, "models"), Cache: cfg.Cache, Data: cfg.Data, Models: h.catalogue.Models, Sums: h.sums}
	for _, m := range h.catalogue.Models {
		if _, err := pose.Lookup(m.Family); err != nil {
			return nil, fmt.Errorf("%w: %s: %s %s: %w", ErrSetup, modelsList, m.ID, m.Precision, err)
		}
	}
	if cfg.Own != nil {
		m, err := ownModel(*cfg.Own)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSetup, err)
		}
		h.catalogue.Models, h.table = []catalog.Model{m}, nil
		h.speeds = nil
	}
	return h, nil
}

// ownPrecision is that of a file of the user's own, which no table is for.
const ownPrecision = "own"

// ownModel makes a catalogue entry from what a file says of itself.
func ownModel(own OwnModel) (catalog.Model, error) {
	path, err := filepath.Abs(own.Path)
	if err != nil {
		return catalog.Model{}, err
	}
	head, err := look(own.Family, path)
	if err != nil {
		return catalog.Model{}, err
	}
	sum, err := catalog.Sum(path)
	if err != nil {
		return catalog.Model{}, err
	}
	id := strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-", r) {
			return r
		}
		return '_'
	}, strings.ToLower(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))))
	return catalog.Model{ID: id, Family: own.Family, Precision: ownPrecision, File: path, SHA256: sum, Inputs: head.Inputs, Outputs: head.Outputs}, nil
}

func (c Config) store(log Log) ortlib.Store {
	return ortlib.Store{Dir: filepath.Join(c.Cache, "runtimes"), Offline: c.Offline, Log: log}
}

func (h *house) store(log Log) ortlib.Store {
	s := h.Config.store(log)
	s.Sums = h.sums
	return s
}

// RuntimeStore is where a configuration keeps its runtimes.
func RuntimeStore(cfg Config, log Log) (ortlib.Store, error) {
	cfg, err := cfg.complete()
	return cfg.store(log), err
}

// A ModelFiles is an entry of the catalogue with its files, or why there is none.
type ModelFiles struct {
	catalog.Model
	Files   []catalog.File
	Missing error
}

// Models lists the catalogue of a configuration.
func Models(cfg Config) ([]ModelFiles, error) {
	h, err := open(cfg)
	if err != nil {
		return nil, err
	}
	files, err := h.files()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	var all []ModelFiles
	for _, m := range h.catalogue.Models {
		f := files[[2]string{m.ID, m.Precision}]
		all = append(all, ModelFiles{m, f.files, f.missing})
	}
	return all, nil
}

// cellsOf are the providers and models to try in one runtime: every model on each provider that the build brings, and,
// so that their absence is seen in its exact words, one model on each of the others. What a library of the user's own
// lacks, nobody expects. Where the machine lacks what a provider needs, one model is enough, too; lacks tells that of a provider that the
// build brings, in one way or in several.
func (h *house) cellsOf(r ortlib.Runtime, brings []string, variants []session.Variant, lacks func(session.Variant) []string, each func(m catalog.Model, v session.Variant, lacks string)) {
	probe := h.catalogue.Models[slices.IndexFunc(h.catalogue.Models, func(m catalog.Model) bool {
		return m.Where == catalog.Repository && m.Precision == "fp32" || m.ID == h.catalogue.Models[len(h.catalogue.Models)-1].ID
	})]
	held := h.table != nil && r.Distribution != ownDistribution
	for _, v := range variants {
		named, absent := slices.Contains(h.Providers, v.ID), !slices.Contains(brings, v.Provider()) && h.plugin(v.ID) == ""
		if absent && (!named && (!held || v.Plugin != "") || v.Special() && v.Plugin == "") { // a variant's absence is that of its provider
			continue
		}
		ways := []string{""}
		if !absent {
			ways = lacks(v)
		}
		for _, lacking := range ways {
			for _, m := range h.catalogue.Models {
				if held && !named && (absent || lacking != "") && (m.ID != probe.ID || m.Precision != probe.Precision) {
					continue
				}
				each(m, v, lacking)
			}
		}
	}
}

// variants are those that run: by default, or because they were asked for by name.
func (h *house) variants() []session.Variant {
	return slices.DeleteFunc(session.Variants(), func(v session.Variant) bool { return !v.Default && !slices.Contains(h.Providers, v.ID) })
}

// lacks tells what machines of a platform may lack for a provider.
func lacks(platform string, v session.Variant) []string {
	all := []string{""}
	if strings.HasPrefix(platform, "linux/") { // elsewhere nobody looks
		if v.Libraries {
			all = append(all, observe.LacksLibraries)
		}
		if len(v.Devices) > 0 {
			all = append(all, observe.LacksDevice)
		}
	}
	return all
}

// found are the files of one entry of the catalogue, or why there is none.
type found struct {
	files   []catalog.File
	heads   []onnx.Model
	single  bool
	missing error
}

// files finds the models that were asked for, and looks into each.
func (h *house) files() (map[[2]string]found, error) {
	all := map[[2]string]found{}
	var errs []error
	for _, m := range h.catalogue.Models {
		if !selected(h.Models, m.ID) || !selected(h.Precisions, m.Precision) {
			continue
		}
		family, err := pose.Lookup(m.Family)
		if err != nil {
			return nil, err
		}
		f := found{single: family.Single()}
		var gone *catalog.MissingError
		files, err := h.find(m)
		if errors.As(err, &gone) {
			f.missing = err
		} else if err != nil {
			errs = append(errs, err)
		}
		for _, file := range files {
			head, err := look(m.Family, file.Path)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			f.files, f.heads = append(f.files, file), append(f.heads, head)
		}
		all[[2]string{m.ID, m.Precision}] = f
	}
	return all, errors.Join(errs...)
}

func (h *house) find(m catalog.Model) ([]catalog.File, error) {
	if h.Own == nil {
		return h.finder.Find(m)
	}
	stat, err := os.Stat(m.File)
	if err != nil {
		return nil, err
	}
	return []catalog.File{{Path: m.File, SHA256: m.SHA256, Size: stat.Size(), ID: m.ID}}, nil
}

// look reads the head of a model, and holds it to its family.
func look(family, path string) (onnx.Model, error) {
	f, err := pose.Lookup(family)
	if err != nil {
		return onnx.Model{}, err
	}
	head, err := onnx.ReadFile(path)
	if err != nil {
		return onnx.Model{}, err
	}
	if err := f.Check(head.Inputs, head.Outputs); err != nil {
		return onnx.Model{}, fmt.Errorf("model %s: %w", path, err)
	}
	return head, nil
}

// places are all cells that there are, on every platform and processor class that a runtime is known for: what the
// table is held to, whatever this machine can run.
func (h *house) places() []expect.Place {
	var all []expect.Place
	for _, r := range h.runtimes {
		for _, platform := range slices.Sorted(maps.Keys(r.Platforms)) {
			build := r.Platforms[platform]
			ways := func(v session.Variant) []string { return lacks(platform, v) }
			variants := slices.DeleteFunc(session.Variants(), func(v session.Variant) bool { return v.Plugin != "" }) // no table is for those
			h.cellsOf(r, build.Providers, variants, ways, func(m catalog.Model, v session.Variant, lacking string) {
				for _, isa := range isasOf(platform) {
					all = append(all, expect.Place{Cell: observe.Cell{Model: m.ID, Precision: m.Precision, Provider: v.ID, ORT: r.ID()},
						Distribution: r.Distribution, Version: r.Version, Platform: platform, ISA: isa, Lacks: lacking})
				}
			})
		}
	}
	return all
}

func isasOf(platform string) []string {
	if strings.HasSuffix(platform, "/arm64") {
		return []string{observe.ARM64}
	}
	return []string{observe.VNNI, observe.AVX2, observe.SSE}
}

// CheckTable holds the support table of a configuration to every cell of every platform: each must have exactly one row,
// and each row a cell. No quarantine may be over, or too long. It needs no runtime.
func CheckTable(cfg Config) error {
	h, err := open(cfg)
	if err != nil {
		return err
	}
	if h.table == nil {
		return fmt.Errorf("%w: no golden/support.toml in %s", ErrSetup, h.Dir)
	}
	places := h.places()
	return errors.Join(h.table.Check(places), h.table.CheckQuarantines(h.Today), h.speeds.Check(h.table, places))
}

// Quarantines are those of the support table of a configuration, a line each, with their dates and how many days are left.
func Quarantines(cfg Config) ([]string, error) {
	h, err := open(cfg)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, r := range h.table.Quarantines() {
		all = append(all, r.Quarantine(h.Today))
	}
	return all, nil
}
