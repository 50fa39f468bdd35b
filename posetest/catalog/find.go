package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/posetest/suite/posetest/sums"
)

// A Finder looks for files. Dir holds the models of the repository; Data are the folders of the data path; Cache holds
// derived models, a folder for each source. It is safe for concurrent use.
type Finder struct {
	Dir, Cache string
	Data       []string
	Models     []Model // the catalogue, to find the source of a derived model in

	Sums *sums.Memo // of files that were read already, since a matrix asks for each often; default: they are read each time
}

// A File is a model's file as found.
type File struct {
	Path   string
	SHA256 string
	Size   int64  // bytes
	ID     string // the model's, marked with ~ and eight digits of a sum if it is another export
}

// A MissingError says that a file is not here, and what would bring it.
type MissingError struct {
	What   string
	Remedy string
}

func (e *MissingError) Error() string { return e.What + " is missing; " + e.Remedy }

// Find returns the files of a model: one, or several where the data path holds other exports of it. Its error is a
// [MissingError], or says which file is wrong.
func (f *Finder) Find(m Model) ([]File, error) {
	switch m.Where {
	case Repository:
		file, err := f.stat(filepath.Join(f.Dir, m.File))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &MissingError{"model " + filepath.Join(f.Dir, m.File), "restore it from the repository"}
		}
		if err == nil {
			err = file.check(m, "restore the file, or, if it is meant to be new, its entry")
		}
		if err != nil {
			return nil, err
		}
		file.ID = m.ID
		return []File{file}, nil
	case Data:
		return f.exports(m)
	case Derived:
		return f.derived(m)
	}
	return nil, fmt.Errorf("model %s: where is %q, and must be repository, data or derived", m.ID, m.Where)
}

// check holds a file to its entry.
func (file File) check(m Model, remedy string) error {
	if file.SHA256 != m.SHA256 {
		return fmt.Errorf("model %s: sha256 is %s (%d bytes), and its entry in models.json says %s (%d bytes); %s",
			file.Path, file.SHA256, file.Size, m.SHA256, m.Size, remedy)
	}
	if file.Size != m.Size {
		return fmt.Errorf("model %s: has the sha256 of its entry in models.json and %d bytes, not %d; correct the entry's size", file.Path, file.Size, m.Size)
	}
	return nil
}

func (f *Finder) exports(m Model) ([]File, error) {
	var found []File
	seen := map[string]bool{}
	for _, dir := range slices.Concat(f.Data, []string{f.Cache}) {
		if dir == "" {
			continue
		}
		for _, path := range []string{filepath.Join(dir, "models", m.File), filepath.Join(dir, m.File)} {
			file, err := f.stat(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if seen[file.SHA256] {
				continue
			}
			seen[file.SHA256] = true
			file.ID = m.ID
			if file.SHA256 != m.SHA256 {
				file.ID += "~" + file.SHA256[:8]
			} else if err := file.check(m, ""); err != nil {
				return nil, err
			}
			found = append(found, file)
		}
	}
	if len(found) == 0 {
		return nil, &MissingError{"model " + m.File, "set POSETEST_DATA to the folder that holds models/" + m.File + ", or run `make yolo`"}
	}
	return found, nil
}

// derived finds what was made from each export of the fp32 variant.
func (f *Finder) derived(m Model) ([]File, error) {
	var found []File
	for _, source := range f.Models {
		if source.ID != m.ID || source.Where != Data {
			continue
		}
		exports, err := f.exports(source)
		if err != nil {
			return nil, err
		}
		for _, export := range exports {
			file, err := f.stat(filepath.Join(f.DerivedDir(export.SHA256), m.File))
			if errors.Is(err, fs.ErrNotExist) {
				return nil, &MissingError{"model " + m.File, "make it from " + filepath.Base(export.Path) + " with `make models`"}
			}
			if err != nil {
				return nil, err
			}
			if export.ID == m.ID {
				if err := file.check(m, "delete it and run `make models`"); err != nil {
					return nil, err
				}
			}
			file.ID = export.ID
			found = append(found, file)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("model %s %s: is derived, but the catalogue has no variant of it on the data path to derive it from", m.ID, m.Precision)
	}
	return found, nil
}

// DerivedDir is the folder of the models that are made from the source of that sum.
func (f *Finder) DerivedDir(sourceSHA256 string) string {
	return filepath.Join(f.Cache, "models", sourceSHA256[:16])
}

// Fixture finds a photograph; dir is the folder of its list. One that has annotations is on the data path, in the same
// folder of it as they. Its error is a [MissingError], or says which file is wrong.
func (f *Finder) Fixture(dir string, x Fixture) (path, annotations string, err error) {
	dirs := []string{dir}
	if x.Annotations != "" {
		dirs = f.Data
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, filepath.FromSlash(x.File))
		file, err := f.stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", "", err
		}
		if file.SHA256 != x.SHA256 {
			return "", "", fmt.Errorf("photograph %s: sha256 is %s, and its entry %s in fixtures.json says %s; restore the file", path, file.SHA256, x.ID, x.SHA256)
		}
		if x.Annotations != "" {
			annotations = filepath.Join(dir, filepath.FromSlash(x.Annotations))
			if _, err := os.Stat(annotations); errors.Is(err, fs.ErrNotExist) {
				return "", "", &MissingError{"annotations " + annotations, "bring that file, to have it beside photograph " + x.File}
			}
		}
		return path, annotations, nil
	}
	if x.Annotations != "" {
		return "", "", &MissingError{"photograph " + x.File, "set POSETEST_DATA to the folder that holds it"}
	}
	return "", "", &MissingError{"photograph " + filepath.Join(dir, x.File), "restore it from the repository"}
}

const maxSize = math.MaxInt32 // bytes; protobuf's limit of a model

func (f *Finder) stat(path string) (File, error) {
	if stat, err := os.Stat(path); err == nil && stat.Size() > maxSize { // a hole of terabytes takes no room, and hours to read
		return File{}, fmt.Errorf("%s: has %d bytes, and no model or photograph has over 2 GiB; remove it", path, stat.Size())
	}
	sum, stamp, err := f.Sums.Of(context.Background(), path)
	if err != nil {
		return File{}, err
	}
	return File{Path: path, SHA256: sum, Size: stamp.Size()}, nil
}

// Sum is the sha256 of a file, in hexadecimal.
func Sum(path string) (string, error) {
	sum, _, err := sums.Of(context.Background(), path)
	return sum, err
}
