package posetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/bundle"
	"github.com/posetest/suite/posetest/catalog"
)

// A Packing says what goes into a bundle beside what the plan needs.
type Packing struct {
	COCO     bool     // COCO's photographs of the data path, so that AP can be taken as well
	With     []string // further files, which come to lie beside the program
	NoSpares bool     // without libstdc++, libgcc_s and libz for a machine that has none
	Spares   string   // the folder that those come from; "" for this machine's own
	GLIBC    string   // the oldest glibc that the bundle must run with, "2.28"; "" for any
}

// programName is that of the program in a bundle. A posetest of that name runs what lies beside it: see [BundleOfProgram].
const programName = "run"

// programFile is its file's.
func programFile() string {
	if runtime.GOOS == "windows" {
		return programName + ".exe"
	}
	return programName
}

// Pack collects what a machine of this platform needs to run the suite's plan without toolchain and network: this program, the
// runtimes with all that came with them, the models, those of the data path and those derived from them among them, photographs,
// goldens and the support table. Its error wraps [ErrSetup] unless the context ended: nothing that the plan needs may be missing.
func (s *Suite) Pack(ctx context.Context, want Packing, log Log) (bundle.Manifest, []bundle.File, error) {
	fail := func(err error) (bundle.Manifest, []bundle.File, error) {
		return bundle.Manifest{}, nil, setupUnlessDone(ctx, err)
	}
	plan, err := s.Plan(ctx, log)
	if err != nil {
		return bundle.Manifest{}, nil, err
	}
	if s.cfg.Library != "" || s.cfg.Own != nil || len(s.cfg.Plugins) > 0 {
		return fail(errors.New("a library, plug-in or model of your own (POSETEST_ORT, POSETEST_PLUGINS, --model) can't be packed, since nobody knows what belongs to it; choose with --runtimes and --models"))
	}
	if want.GLIBC != "" && !bundle.Newer(want.GLIBC, "") {
		return fail(fmt.Errorf("--glibc: %q is no version; write it as 2.28", want.GLIBC))
	}
	for _, m := range plan.Missing {
		if len(m.Cells) > 0 {
			return fail(fmt.Errorf("%w; or leave it out with --models, --precisions or --runtimes", m.Err))
		}
	}
	h, err := open(s.cfg)
	if err != nil {
		return bundle.Manifest{}, nil, err
	}
	p := packing{house: h, files: map[string]bundle.File{}}
	p.manifest = bundle.Manifest{Platform: runtime.GOOS + "/" + runtime.GOARCH, Commit: Commit(), Models: s.cfg.Models, Precisions: s.cfg.Precisions, Providers: s.cfg.Providers}
	for _, step := range []func() error{
		p.program, p.lists,
		func() error { return p.models(plan) },
		func() error { return p.photographs(plan) },
		func() error { return p.runtimes(plan) },
		func() error { return p.extras(s, want) },
		func() error { return p.needs(want) },
	} {
		if err := step(); err != nil {
			return fail(err)
		}
	}
	p.text("README.txt", p.readme())
	files := slices.Collect(maps.Values(p.files))
	slices.SortFunc(files, func(a, b bundle.File) int { return strings.Compare(a.Name, b.Name) })
	return p.manifest, files, nil
}

// packing is a bundle that is being collected.
type packing struct {
	*house
	manifest bundle.Manifest
	files    map[string]bundle.File // by name
}

func (p *packing) add(name, source string) { p.files[name] = bundle.File{Name: name, Source: source} }

func (p *packing) text(name, text string) {
	p.files[name] = bundle.File{Name: name, Content: []byte(text)}
}

// folder adds the files of a folder, if there is one, under another name. A link counts as what it leads to, and hidden files and what
// keep has not are left out.
func (p *packing) folder(dir, name string, keep func(name string) bool) error {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if rel = filepath.ToSlash(rel); keep == nil || keep(rel) {
			p.add(name+"/"+rel, path)
		}
		return nil
	})
}

func (p *packing) program() error {
	path, err := os.Executable()
	p.files[programFile()] = bundle.File{Name: programFile(), Source: path, Program: true}
	return err
}

// lists are the catalogue, the goldens and the support table.
func (p *packing) lists() error {
	noModel := func(name string) bool { return !strings.Contains(name, "/") && path.Ext(name) != ".onnx" }
	return errors.Join(
		p.folder(filepath.Join(p.Dir, "models"), "models", noModel),
		p.folder(filepath.Join(p.Dir, "golden"), "golden", nil))
}

// models are those of the plan, and what they were derived from: the derived ones are told by its sum.
func (p *packing) models(plan *Plan) error {
	for _, c := range plan.Cells {
		switch c.Model.Where {
		case catalog.Repository:
			p.add("models/"+c.Model.File, c.File.Path)
		case catalog.Data:
			p.export(c.Model, c.File)
		case catalog.Derived:
			p.add(path.Join("cache/models", filepath.Base(filepath.Dir(c.File.Path)), c.Model.File), c.File.Path)
			for _, source := range p.catalogue.Models {
				if source.ID != c.Model.ID || source.Where != catalog.Data {
					continue
				}
				exports, err := p.finder.Find(source)
				if err != nil {
					return err
				}
				for _, export := range exports {
					p.export(source, export)
				}
			}
		}
	}
	return nil
}

// export adds a model of the data path: each export of it has a data folder of its own.
func (p *packing) export(m catalog.Model, f catalog.File) {
	dir := dataFolder
	if _, sum, other := strings.Cut(f.ID, "~"); other {
		dir += "-" + sum
	}
	p.add(path.Join(dir, "models", m.File), f.Path)
}

// dataFolder begins the names of the folders that are a bundle's data path.
const dataFolder = "data"

func (p *packing) photographs(plan *Plan) error {
	if p.fixtures == filepath.Join(p.Cache, "fixtures") { // the built-in ones, which are looked for there
		return p.folder(p.fixtures, "cache/fixtures", nil)
	}
	for _, name := range []string{"fixtures.json", "LICENCES.md"} {
		if path := filepath.Join(p.fixtures, name); isFile(path) {
			p.add("fixtures/"+name, path)
		}
	}
	for _, photo := range plan.Fixtures {
		if photo.Annotations == "" {
			p.add("fixtures/"+photo.File, photo.Path)
			continue
		}
		dir := strings.TrimSuffix(photo.Path, filepath.FromSlash(photo.File))
		p.add(path.Join(dataFolder, photo.File), photo.Path)
		p.add(path.Join(dataFolder, photo.Annotations), filepath.Join(dir, filepath.FromSlash(photo.Annotations)))
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

const runtimesFolder = "cache/runtimes"

func (p *packing) runtimes(plan *Plan) error {
	for _, c := range plan.Cells {
		if slices.Contains(p.manifest.Runtimes, c.ORT) {
			continue
		}
		p.manifest.Runtimes = append(p.manifest.Runtimes, c.ORT)
		dir := filepath.Dir(c.Library)
		if err := p.folder(dir, path.Join(runtimesFolder, filepath.Base(dir)), nil); err != nil {
			return err
		}
	}
	slices.Sort(p.manifest.Runtimes)
	return nil
}

func (p *packing) extras(s *Suite, want Packing) error {
	if want.Spares != "" {
		if info, err := os.Stat(want.Spares); err != nil || !info.IsDir() {
			return fmt.Errorf("--spares: %s is no folder; name the one that has %s", want.Spares, spareNames[0])
		}
	}
	for _, source := range want.With {
		name := filepath.Base(source)
		if _, taken := p.files[name]; taken || name == bundle.Name || name == "README.txt" {
			return fmt.Errorf("--with %s: the bundle has a file of that name already; rename it", source)
		}
		if !isFile(source) {
			return fmt.Errorf("--with %s: there is no such file", source)
		}
		p.add(name, source)
	}
	if !want.COCO {
		return nil
	}
	if err := s.CanAP(); err != nil {
		return fmt.Errorf("--coco: %w", err)
	}
	set, err := s.cocoSet()
	if err != nil {
		return err
	}
	for _, image := range set.Annotations.Images {
		p.add(path.Join(dataFolder, cocoImages, image.Name), filepath.Join(set.Folder, image.Name))
	}
	p.add(path.Join(dataFolder, cocoAnnotations), s.onDataPath(cocoAnnotations))
	return nil
}

// spareNames are what runtimes need beside glibc, and what a distribution may do without.
var spareNames = []string{"libstdc++.so.6", "libgcc_s.so.1", "libz.so.1"}

// needs says what a machine must have for what was collected, and adds what can be brought along.
func (p *packing) needs(want Packing) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	has, asks := map[string]bool{}, map[string]bool{}
	of := "" // who needs so new a glibc
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		f := p.files[name]
		if !f.Program && !(strings.HasPrefix(name, runtimesFolder) && strings.Contains(path.Base(name), ".so")) {
			continue
		}
		has[path.Base(name)] = true
		glibc, libraries, err := bundle.Needs(f.Source)
		if err != nil {
			return err
		}
		if bundle.Newer(glibc, p.manifest.GLIBC) {
			p.manifest.GLIBC, of = glibc, name
		}
		for _, library := range libraries {
			asks[library] = true
		}
	}
	if want.GLIBC != "" && bundle.Newer(p.manifest.GLIBC, want.GLIBC) {
		remedy := "choose another runtime"
		if of == programName {
			remedy = "pack with the posetest of `make portable`"
		}
		return fmt.Errorf("--glibc %s: %s needs glibc %s; %s", want.GLIBC, of, p.manifest.GLIBC, remedy)
	}
	here := bundle.ThisMachine()
	for _, library := range slices.Sorted(maps.Keys(asks)) {
		if has[library] || bundle.OfGLIBC(library) {
			continue
		}
		source := here.Find(library)
		if path := filepath.Join(want.Spares, library); want.Spares != "" && isFile(path) {
			source = path
		}
		if want.NoSpares || source == "" || !slices.Contains(spareNames, library) {
			p.manifest.Lacks = append(p.manifest.Lacks, library)
			continue
		}
		spare := bundle.Spare{Name: library}
		var err error
		if spare.GLIBC, _, err = bundle.Needs(source); err != nil {
			return err
		}
		p.manifest.Spares = append(p.manifest.Spares, spare)
		p.add(spare.File(), source)
	}
	return nil
}

// readme says what to do with an unpacked bundle, for who finds it without this repository.
func (p *packing) readme() string {
	m := p.manifest
	var b strings.Builder
	fmt.Fprintf(&b, "posetest for %s: do these pose models load here, and do they find the people?\n\n", m.Platform)
	fmt.Fprintf(&b, "  ./%s                     runs everything, prints the matrix, and writes report/ into the folder that you are in\n", programFile())
	fmt.Fprintf(&b, "  ./%s --runtimes %s   runs a part; ./%s report --help says which\n\n", programFile(), m.Runtimes[0], programFile())
	fmt.Fprintf(&b, "Bring report/observations.jsonl back, and join it with those of other machines: posetest merge */observations.jsonl\n\n")
	fmt.Fprintf(&b, "Runtimes: %s\n", strings.Join(m.Runtimes, ", "))
	if m.GLIBC != "" {
		fmt.Fprintf(&b, "Needs: glibc %s or newer\n", m.GLIBC)
	}
	for _, s := range m.Spares {
		fmt.Fprintf(&b, "Brings: %s, used where the machine has none; needs glibc %s or newer\n", s.Name, s.GLIBC)
	}
	if len(m.Lacks) > 0 {
		fmt.Fprintf(&b, "Does not bring, for what needs it: %s\n", strings.Join(m.Lacks, ", "))
	}
	return b.String()
}

// Commit is that of the running program, "" if it doesn't know.
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
