// Package catalog reads the lists of models and fixtures, and finds their files.
//
//	c, err := catalog.Open("models/models.json", "fixtures/fixtures.json")
//	finder := &catalog.Finder{Dir: "models", Data: dataPath, Cache: cache, Models: c.Models}
//	files, err := finder.Find(c.Models[0])
//	fmt.Println(files[0].Path, files[0].SHA256)
//
// A file is what its sum says it is: one that belongs to the repository must have the sum of its entry, while another
// export of a model from the data path is found as a model of its own.
package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/posetest/suite/posetest/tensor"
)

// A Model is one variant of a model: an entry of models.json.
type Model struct {
	ID        string        `json:"id"`        // "yolov8n-pose"
	Family    string        `json:"family"`    // of package pose: how images become inputs and outputs persons
	Precision string        `json:"precision"` // "fp32", "int8-qdq", …
	File      string        `json:"file"`      // name
	SHA256    string        `json:"sha256"`
	Size      int64         `json:"size"` // bytes
	Inputs    []tensor.Info `json:"inputs"`
	Outputs   []tensor.Info `json:"outputs"`
	Licence   string        `json:"licence"` // SPDX
	Source    string        `json:"source"`  // where it is from
	Made      string        `json:"made"`    // how it was made
	Where     Where         `json:"where"`
	// Available lists the platforms ("linux/amd64") on which it is called available. A file is no proof of that: on each
	// of them there must be a cell that loads and finds people, and that was seen to.
	Available []string `json:"available,omitempty"`
}

// Where tells who has a model's file.
type Where string

const (
	Repository Where = "repository" // committed beside models.json
	Data       Where = "data"       // on the data path: its licence forbids committing it
	Derived    Where = "derived"    // made into the cache from the fp32 variant of the same id
)

// A Fixture is one photograph: an entry of fixtures.json.
type Fixture struct {
	ID      string   `json:"id"`
	File    string   `json:"file"` // beside fixtures.json, or relative to the data path
	SHA256  string   `json:"sha256"`
	Width   int      `json:"width"`  // pixels
	Height  int      `json:"height"` // pixels
	People  int      `json:"people"` // clearly visible ones; 0 makes it a negative
	Licence string   `json:"licence"`
	Credit  string   `json:"credit"`
	From    string   `json:"from"`              // the package that ships it
	Persons []Person `json:"persons,omitempty"` // annotated by hand
	// Annotations is a COCO keypoint file on the data path that has the persons instead; File is then there, too.
	Annotations string `json:"annotations,omitempty"`
}

// A Person is an annotated person: 17 keypoints in COCO's order, each x, y in pixels and v (0 not labelled, 1 hidden, 2
// visible), and the box x, y, width, height.
type Person struct {
	Keypoints [17][3]float64 `json:"keypoints"`
	Box       [4]float64     `json:"box"`
}

// A Catalogue is all models and fixtures, in the order of their files.
type Catalogue struct {
	Models   []Model
	Fixtures []Fixture
}

// Open reads both lists. An error names file, entry and field.
func Open(models, fixtures string) (Catalogue, error) {
	var c Catalogue
	var m struct {
		Models []Model `json:"models"`
	}
	var f struct {
		Annotations string          `json:"annotations"` // how the persons were annotated
		Fixtures    []listedFixture `json:"fixtures"`
	}
	if err := errors.Join(readStrict(models, &m), readStrict(fixtures, &f)); err != nil {
		return c, err
	}
	var err error
	c.Models = m.Models
	c.Fixtures, err = checkFixtures(fixtures, f.Fixtures)
	return c, errors.Join(checkModels(models, c.Models), err)
}

func readStrict(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("catalogue: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%s:%d: %w; correct it there", path, lineOf(text, dec.InputOffset(), err), err)
	}
	end := dec.InputOffset()
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%s:%d: something follows the list; remove it", path, lineOf(text, end, nil))
	}
	return nil
}

var unknownField = regexp.MustCompile(`unknown field (".*")$`)

// lineOf is the line that an error of encoding/json is about, or without one the line of the offset.
func lineOf(text []byte, offset int64, err error) int {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	case errors.Is(err, io.ErrUnexpectedEOF):
		offset = int64(len(text))
	default: // json names an unknown field without its place: the first of that name is as good as any
		if name := unknownField.FindStringSubmatch(err.Error()); name != nil {
			if at := regexp.MustCompile(regexp.QuoteMeta(name[1]) + `\s*:`).FindIndex(text); at != nil {
				offset = int64(at[0])
			}
		}
	}
	return 1 + bytes.Count(text[:min(offset, int64(len(text)))], []byte("\n"))
}

var (
	sum = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// A value of a cell's name must not end as a benchmark's CPU count does, nor part the name.
	name     = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	cpuCount = regexp.MustCompile(`-\d+$`)
	fileName = regexp.MustCompile(`^[^./\\][^/\\]*$`)
	platform = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+$`)
)

func checkModels(path string, models []Model) error {
	var errs []error
	seen := map[[2]string]bool{}
	for i, m := range models {
		bad := func(field, format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s: entry %d (%s %s): %s: %s", path, i+1, m.ID, m.Precision, field, fmt.Sprintf(format, args...)))
		}
		for _, v := range [][2]string{{"id", m.ID}, {"precision", m.Precision}} {
			if !name.MatchString(v[1]) || cpuCount.MatchString(v[1]) {
				bad(v[0], "%q must be of a-z, 0-9, '.', '_' and '-', and not end in - and digits", v[1])
			}
		}
		if seen[[2]string{m.ID, m.Precision}] {
			bad("precision", "stands twice for this id; remove one entry")
		}
		seen[[2]string{m.ID, m.Precision}] = true
		if m.Family == "" {
			bad("family", "is empty; name one of `posetest report --help`")
		}
		if !fileName.MatchString(m.File) {
			bad("file", "%q must be a file's name without a folder", m.File)
		}
		if !sum.MatchString(m.SHA256) {
			bad("sha256", "%q must be 64 hexadecimal digits, as sha256sum prints them", m.SHA256)
		}
		if m.Size < 1 {
			bad("size", "%d must be the file's bytes", m.Size)
		}
		if len(m.Inputs) == 0 || len(m.Outputs) == 0 {
			bad("inputs", "and outputs must be listed")
		}
		for _, info := range slices.Concat(m.Inputs, m.Outputs) {
			if info.Name == "" || info.Type == "" {
				bad("inputs", "and outputs must have name, type and shape, not %q", info)
			}
		}
		switch m.Where {
		case Repository, Data, Derived:
		default:
			bad("where", "%q must be repository, data or derived", m.Where)
		}
		for i, p := range m.Available {
			if !platform.MatchString(p) || slices.Contains(m.Available[:i], p) {
				bad("available", "%q must be a platform such as linux/amd64, and stand once", p)
			}
		}
	}
	if len(models) == 0 {
		errs = append(errs, fmt.Errorf("%s: lists no models", path))
	}
	return errors.Join(errs...)
}

// A listedFixture keeps the persons as they are listed, since encoding/json fills an array that is too short with zeros,
// and drops what another has too much.
type listedFixture struct {
	Fixture
	Persons []listedPerson `json:"persons"`
}

type listedPerson struct {
	Keypoints [][]float64 `json:"keypoints"`
	Box       []float64   `json:"box"`
}

func checkFixtures(path string, listed []listedFixture) ([]Fixture, error) {
	var fixtures []Fixture
	var errs []error
	seen := map[string]bool{}
	for i, l := range listed {
		f := l.Fixture
		bad := func(field, format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s: entry %d (%s): %s: %s", path, i+1, f.ID, field, fmt.Sprintf(format, args...)))
		}
		if !name.MatchString(f.ID) || seen[f.ID] {
			bad("id", "%q must be of a-z, 0-9, '.', '_' and '-', and stand once", f.ID)
		}
		seen[f.ID] = true
		if !filepath.IsLocal(filepath.FromSlash(f.File)) {
			bad("file", "%q must be a path below the list's folder or the data path", f.File)
		}
		if !sum.MatchString(f.SHA256) {
			bad("sha256", "%q must be 64 hexadecimal digits, as sha256sum prints them", f.SHA256)
		}
		if f.Width < 1 || f.Height < 1 {
			bad("width", "and height must be the image's pixels, not %d×%d", f.Width, f.Height)
		}
		switch {
		case f.Annotations == "" && len(l.Persons) != f.People:
			bad("persons", "has %d, and people says %d", len(l.Persons), f.People)
		case f.Annotations != "" && len(l.Persons) > 0:
			bad("persons", "stand here, and annotations names a file that has them, too; remove one")
		case f.Annotations != "" && !filepath.IsLocal(filepath.FromSlash(f.Annotations)):
			bad("annotations", "%q must be a path below the data path", f.Annotations)
		}
		for k, p := range l.Persons {
			person, err := p.check(float64(f.Width), float64(f.Height))
			if err != nil {
				bad("persons", "%d: %s", k+1, err)
			}
			f.Persons = append(f.Persons, person)
		}
		fixtures = append(fixtures, f)
	}
	if len(fixtures) == 0 {
		errs = append(errs, fmt.Errorf("%s: lists no photographs", path))
	}
	return fixtures, errors.Join(errs...)
}

// check makes the person in a picture of that size.
func (l listedPerson) check(width, height float64) (p Person, err error) {
	if len(l.Keypoints) != len(p.Keypoints) {
		return p, fmt.Errorf("has %d keypoints, want %d", len(l.Keypoints), len(p.Keypoints))
	}
	for j, k := range l.Keypoints {
		if len(k) != 3 || k[0] < 0 || k[0] > width || k[1] < 0 || k[1] > height || k[2] != 0 && k[2] != 1 && k[2] != 2 {
			return p, fmt.Errorf("keypoint %d is %v, and must be x, y in the picture and v 0, 1 or 2", j+1, k)
		}
		copy(p.Keypoints[j][:], k)
	}
	b := l.Box
	if len(b) != 4 || b[0] < 0 || b[1] < 0 || b[2] <= 0 || b[3] <= 0 || b[0]+b[2] > width || b[1]+b[3] > height {
		return p, fmt.Errorf("box is %v, and must be x, y, width, height in the picture", b)
	}
	copy(p.Box[:], b)
	return p, nil
}
