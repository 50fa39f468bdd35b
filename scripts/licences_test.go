package scripts_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"
	"github.com/posetest/suite/posetest/catalog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

var update = flag.Bool("update", false, "write docs/licences.md anew")

// Licences, by their SPDX identifiers, that parts of the project may have: those that ask for no more than to be passed on
// with their text. Another one is a decision of a person, and then a line here.
var (
	codeMay = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}
	toolMay = append([]string{"GPL-2.0-or-later", "MPL-2.0"}, codeMay...) // of tools that run here and that no one is given
	dataMay = []string{"Apache-2.0", "BSD-3-Clause", "CC-BY-2.0", "CC0-1.0", "MIT", "public-domain"}
)

// platforms are those that releases are built for.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"}

// docs/licences.md says of each module what licence it has, as its own files say, and each of those is allowed. The modules
// of tools/go.mod, which only a release needs, are looked into by `make licences`; a version of a module never changes.
func TestLicences(t *testing.T) {
	path := filepath.Join(root, "docs", "licences.md")
	old := ""
	if !*update {
		old = read(t, path)
	}
	linked, used := modules(t)
	tools := toolModules(t, old)
	text := page(linked, used, tools)
	allowed(t, codeMay, slices.Concat(linked, used))
	allowed(t, toolMay, tools)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	assert.Equal(t, old, text, "run `make licences`, and look at what changes")
}

// A row is one module.
type row struct{ module, version, licence string }

func allowed(t *testing.T, may []string, rows []row) {
	t.Helper()
	for _, r := range rows {
		for licence := range strings.SplitSeq(r.licence, " AND ") {
			assert.Contains(t, may, licence, "licence of %s %s", r.module, r.version)
		}
	}
}

func page(linked, used, tools []row) string {
	var b strings.Builder
	b.WriteString(`# Licences of what others wrote

Written by ` + "`make licences`" + `, which reads the licence files of each module; ` + "`go test ./scripts`" + ` holds this page to the modules, and
each licence to those that are allowed. A release has the texts beside each command.

Committed models: [models/LICENCES.md](../models/LICENCES.md). Photographs: [fixtures/LICENCES.md](../fixtures/LICENCES.md). The JPEG decoder below
posetest/pose/internal is Go's: [BSD-3-Clause](../posetest/pose/internal/jpeg/LICENSE). Goldens, calibration tables, recipes and test data are the
project's own; what pycocotools and OpenCV computed is in them as numbers. ONNX Runtime (MIT) and its providers are downloaded;
their licences are kept beside them in the cache, and in a bundle, which passes them on. Python packages are installed for scripts alone, and none is passed on.
`)
	table := func(title string, rows []row) {
		fmt.Fprintf(&b, "\n## %s\n\n| module | version | licence |\n|---|---|---|\n", title)
		for _, r := range rows {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.module, r.version, r.licence)
		}
	}
	table("In the command, on some platform", linked)
	table("In tests and in the tools of go.mod", used)
	table("In the tools of tools/go.mod", tools)
	return b.String()
}

// modules are those that the command is linked of on some platform, and the others that tests and tools need.
func modules(t *testing.T) (linked, used []row) {
	t.Helper()
	const command = "github.com/posetest/suite/posetest/cmd/posetest"
	type found struct {
		goModule
		linked  bool
		folders map[string]bool // of packages
	}
	all := map[string]*found{}
	for _, packages := range listAll(t) {
		inCommand := map[string]bool{}
		for _, p := range packages {
			if p.ImportPath == command {
				for _, path := range p.Deps {
					inCommand[path] = true
				}
			}
		}
		require.NotEmpty(t, inCommand)
		for _, p := range packages {
			if p.Module == nil || p.Module.Main {
				continue
			}
			f := all[p.Module.Path]
			if f == nil {
				f = &found{goModule: *p.Module, folders: map[string]bool{}}
				all[p.Module.Path] = f
			}
			f.linked = f.linked || inCommand[p.ImportPath]
			f.folders[p.Dir] = true
		}
	}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		f := all[path]
		r := row{path, f.Version, licence(t, f.Dir, slices.Collect(maps.Keys(f.folders)))}
		if f.linked {
			linked = append(linked, r)
		} else {
			used = append(used, r)
		}
	}
	require.NotEmpty(t, linked)
	require.NotEmpty(t, used)
	return linked, used
}

type goModule struct {
	Path, Version, Dir string
	Main               bool
}

type goPackage struct {
	ImportPath, Dir string
	Deps            []string
	Module          *goModule
}

// listAll are the packages of commands, tests and tools, for each platform.
func listAll(t *testing.T) [][]goPackage {
	t.Helper()
	all := make([][]goPackage, len(platforms))
	var group errgroup.Group
	for i, platform := range platforms {
		group.Go(func() error {
			os_, arch, _ := strings.Cut(platform, "/")
			cmd := exec.Command("go", "list", "-deps", "-test", "-json=ImportPath,Dir,Deps,Module", "./...", "tool")
			cmd.Dir = root
			cmd.Env = append(os.Environ(), "GOOS="+os_, "GOARCH="+arch, "CGO_ENABLED=1", "GOWORK=off")
			out, err := cmd.Output()
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				return fmt.Errorf("%s: %w: %s", platform, err, exit.Stderr)
			} else if err != nil {
				return err
			}
			all[i], err = decodeAll[goPackage](out)
			return err
		})
	}
	require.NoError(t, group.Wait())
	return all
}

func decodeAll[T any](text []byte) (all []T, err error) {
	for dec := json.NewDecoder(bytes.NewReader(text)); ; {
		var one T
		if err := dec.Decode(&one); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
}

// toolModules are those of tools/go.mod. Their licences are those of the old page; without one, what they have is downloaded.
func toolModules(t *testing.T, old string) (all []row) {
	t.Helper()
	const file = "tools/go.mod"
	mod := readModule(t, filepath.Join(root, file))
	known := map[string]string{}
	_, section, _ := strings.Cut(old, "\n## In the tools of tools/go.mod\n")
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+) \| (\S+) \| (.+) \|$`).FindAllStringSubmatch(section, -1) {
		known[m[1]+" "+m[2]] = m[3]
	}
	if old == "" {
		cmd := exec.Command("go", "mod", "download", "-modfile="+file, "-json")
		cmd.Dir = root
		out, err := cmd.Output()
		require.NoError(t, err, "%s", out)
		downloaded, err := decodeAll[goModule](out)
		require.NoError(t, err)
		for _, m := range downloaded {
			known[m.Path+" "+m.Version] = licence(t, m.Dir, nil)
		}
	}
	for _, r := range mod.Require {
		all = append(all, row{r.Path, r.Version, cmp.Or(known[r.Path+" "+r.Version], "unknown")})
	}
	slices.SortFunc(all, func(a, b row) int { return cmp.Compare(a.module, b.module) })
	return all
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([.-].*)?$`)

// licence names the licences of a module by SPDX identifiers: those of the files at its root, and of those beside and above
// the packages that are used. Where none is found, or text that is none of the known, the name says so and is not allowed.
func licence(t *testing.T, dir string, packages []string) string {
	t.Helper()
	folders := map[string]bool{dir: true}
	for _, p := range packages {
		for ; len(p) > len(dir); p = filepath.Dir(p) {
			folders[p] = true
		}
	}
	ids := map[string]bool{}
	for folder := range folders {
		entries, err := os.ReadDir(folder)
		require.NoError(t, err)
		for _, e := range entries {
			if e.IsDir() || !licenceFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
				continue
			}
			coverage := licensecheck.Scan([]byte(read(t, filepath.Join(folder, e.Name()))))
			if coverage.Percent < 75 {
				ids[fmt.Sprintf("%s, %.0f%% known", e.Name(), coverage.Percent)] = true
			}
			for _, m := range coverage.Match {
				if !m.IsURL {
					ids[m.ID] = true
				}
			}
		}
	}
	return cmp.Or(strings.Join(slices.Sorted(maps.Keys(ids)), " AND "), "none")
}

// A licence is found where it is, and what is no licence is not taken for one.
func TestLicence(t *testing.T) {
	jpeg := filepath.Join(root, "posetest", "pose", "internal", "jpeg")
	assert.Equal(t, "BSD-3-Clause", licence(t, jpeg, nil))
	assert.Equal(t, "BSD-3-Clause", licence(t, filepath.Dir(jpeg), []string{jpeg}), "beside a package that is used")
	assert.Equal(t, "none", licence(t, filepath.Dir(jpeg), nil))
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "LICENSE.txt"), []byte(strings.Repeat("You may use this on Sundays if you ask us first. ", 20)), 0o644))
	assert.Equal(t, "LICENSE.txt, 0% known", licence(t, dir, nil))
	gpl := "This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version."
	require.NoError(t, os.WriteFile(filepath.Join(dir, "LICENSE.txt"), []byte(gpl), 0o644))
	assert.NotContains(t, codeMay, licence(t, dir, nil))
}

// Each committed model and photograph is in its catalogue with a licence that allows to pass it on, and the page beside it
// names it with the same one.
func TestDataLicences(t *testing.T) {
	c, err := catalog.Open(filepath.Join(root, "models", "models.json"), filepath.Join(root, "fixtures", "fixtures.json"))
	require.NoError(t, err)
	models, pictures := read(t, filepath.Join(root, "models", "LICENCES.md")), read(t, filepath.Join(root, "fixtures", "LICENCES.md"))
	listed := map[string]bool{}
	for _, m := range c.Models {
		if m.Where != catalog.Repository {
			continue
		}
		listed["models/"+m.File] = true
		assert.Contains(t, dataMay, m.Licence, m.File)
		assert.Regexp(t, "(?m)^\\| `"+m.ID+"\\*\\.onnx` \\|.* \\| "+regexp.QuoteMeta(m.Licence)+" \\|", models, m.File)
	}
	for _, f := range c.Fixtures {
		if f.Annotations != "" {
			continue // on the data path
		}
		listed["fixtures/"+f.File] = true
		assert.Contains(t, dataMay, f.Licence, f.File)
		assert.Regexp(t, "(?m)^\\| `"+regexp.QuoteMeta(f.File)+"` \\|.* \\| "+regexp.QuoteMeta(f.Licence)+" \\|", pictures, f.File)
	}
	var there []string
	for _, pattern := range []string{"models/*.onnx", "fixtures/*.jpg", "fixtures/*.png"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, file := range files {
			there = append(there, filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file))
		}
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(listed)), there)
}
