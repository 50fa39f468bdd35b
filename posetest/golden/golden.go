// Package golden reads, compares and updates golden keypoints: what a model in a precision found in each photograph
// when a person last looked at it.
//
//	store := golden.Store{Dir: "golden/keypoints", CI: os.Getenv("CI") != ""}
//	g, err := store.Find(cell, machine.ISA)             // a *NoneError where there is none
//	differences, err := g.Check(observation, golden.Tolerance{})
//
// [Store.Update] writes what a later Check passes. A golden is a JSON file that reads well in a diff: photographs by
// name, persons from left to right, a joint a line, pixels with two decimals and scores with three.
package golden

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
)

// Any is the class of the precisions that compute alike on every processor.
const Any = "any"

// Class is the part of the processor that a precision's keypoints depend on: [Any] for floating point, and the ISA class
// itself for everything else, INT8 and a user's own file among it.
func Class(precision, isa string) string {
	if strings.HasPrefix(precision, "fp") {
		return Any
	}
	return isa
}

// A Golden is what one cell found, and where: it holds for the cell's runtime and, until a newer golden, for later ones.
type Golden struct {
	observe.Cell
	Class       string // of [Class]
	ModelSHA256 string
	Photos      []Photo // by fixture
}

// A Photo is what was found in one photograph.
type Photo struct {
	Fixture string
	SHA256  string
	Persons []pose.Person // from left to right
}

// Of makes a golden of what was observed of a cell, rounded as a file holds it. A cell that did not load, has no
// photographs or failed in one is an error: it has nothing to keep.
func Of(o observe.Observation) (Golden, error) {
	g := Golden{Cell: o.Cell, Class: Class(o.Precision, o.Machine.ISA), ModelSHA256: o.ModelSHA256}
	if o.Outcome != observe.Loads || len(o.Photos) == 0 {
		return g, fmt.Errorf("%s: %s with %d photographs: there is nothing to keep as golden", o.Cell, o.Outcome, len(o.Photos))
	}
	for _, p := range o.Photos {
		if p.Error != "" {
			return g, fmt.Errorf("%s: %s: %s; it can't become golden", o.Cell, p.Fixture, p.Error)
		}
		g.Photos = append(g.Photos, Photo{p.Fixture, p.SHA256, rounded(p.Persons)})
	}
	slices.SortFunc(g.Photos, func(a, b Photo) int { return cmp.Compare(a.Fixture, b.Fixture) })
	return g, g.check()
}

// Decimals of a file: a hundredth of a pixel is less than any tolerance, and more than floating point differs by.
const (
	pixelDecimals = 2
	scoreDecimals = 3
)

func round(v float64, decimals int) float64 {
	unit := math.Pow10(decimals)
	return math.Round(v*unit)/unit + 0 // + 0 makes -0 a plain 0
}

// rounded copies persons as a file holds them, from left to right, so that a new person moves no other's lines.
func rounded(persons []pose.Person) []pose.Person {
	all := make([]pose.Person, len(persons))
	for i, p := range persons {
		all[i] = pose.Person{Score: round(p.Score, scoreDecimals), Keypoints: make([]pose.Keypoint, len(p.Keypoints))}
		for j, v := range p.Box {
			all[i].Box[j] = round(v, pixelDecimals)
		}
		for j, k := range p.Keypoints {
			all[i].Keypoints[j] = pose.Keypoint{X: round(k.X, pixelDecimals), Y: round(k.Y, pixelDecimals), Score: round(k.Score, scoreDecimals)}
		}
	}
	slices.SortStableFunc(all, func(a, b pose.Person) int {
		return cmp.Or(slices.Compare(a.Box[:], b.Box[:]), cmp.Compare(b.Score, a.Score),
			slices.CompareFunc(a.Keypoints, b.Keypoints, func(a, b pose.Keypoint) int {
				return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Y, b.Y), cmp.Compare(a.Score, b.Score))
			}))
	})
	return all
}

// file is a golden as JSON.
type file struct {
	Model       string      `json:"model"`
	Precision   string      `json:"precision"`
	Provider    string      `json:"provider"`
	ORT         string      `json:"ort"`
	Class       string      `json:"isa"`
	ModelSHA256 string      `json:"model_sha256"`
	Photos      []filePhoto `json:"photos"`
}

type filePhoto struct {
	Fixture string       `json:"fixture"`
	SHA256  string       `json:"sha256"`
	Persons []filePerson `json:"persons"`
}

type filePerson struct {
	Score     float64               `json:"score"`
	Box       [4]float64            `json:"box"`
	Keypoints map[string][3]float64 `json:"keypoints"`
}

// Marshal is the text of the golden's file. A golden that [Parse] would refuse is an error.
func (g Golden) Marshal() ([]byte, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n")
	for _, field := range [][2]string{{"model", g.Model}, {"precision", g.Precision}, {"provider", g.Provider}, {"ort", g.ORT},
		{"isa", g.Class}, {"model_sha256", g.ModelSHA256}} {
		fmt.Fprintf(&b, "  %q: %q,\n", field[0], field[1])
	}
	fmt.Fprintf(&b, "  \"photos\": [")
	for i, p := range g.Photos {
		fmt.Fprintf(&b, "%s\n    {\"fixture\": %q, \"sha256\": %q, \"persons\": [", comma(i), p.Fixture, p.SHA256)
		for i, person := range rounded(p.Persons) {
			box := person.Box
			fmt.Fprintf(&b, "%s\n      {\"score\": %.3f, \"box\": [%.2f, %.2f, %.2f, %.2f], \"keypoints\": {", comma(i), person.Score, box[0], box[1], box[2], box[3])
			for i, k := range person.Keypoints {
				fmt.Fprintf(&b, "%s\n        %q: [%.2f, %.2f, %.3f]", comma(i), pose.Joints[i], k.X, k.Y, k.Score)
			}
			fmt.Fprintf(&b, "}}")
		}
		fmt.Fprintf(&b, "]}")
	}
	fmt.Fprintf(&b, "\n  ]\n}\n")
	return b.Bytes(), nil
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// Parse reads the text of a golden; name stands in errors. It takes exactly what [Golden.Marshal] gives, whatever the
// ends of lines, so that no field is misspelled, twice there or forgotten, and no number hides digits.
func Parse(text []byte, name string) (Golden, error) {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	fail := func(err error) (Golden, error) {
		return Golden{}, fmt.Errorf("%s: %w; restore it from version control, or remove it and run -update", name, err)
	}
	var f file
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fail(errors.New("ends in the middle"))
	} else if err != nil {
		return fail(err)
	}
	g := Golden{Cell: observe.Cell{Model: f.Model, Precision: f.Precision, Provider: f.Provider, ORT: f.ORT}, Class: f.Class, ModelSHA256: f.ModelSHA256}
	for _, p := range f.Photos {
		photo := Photo{Fixture: p.Fixture, SHA256: p.SHA256, Persons: make([]pose.Person, len(p.Persons))}
		for i, person := range p.Persons {
			photo.Persons[i] = pose.Person{Score: person.Score, Box: person.Box}
			for _, joint := range pose.Joints {
				k, there := person.Keypoints[joint]
				if !there {
					return fail(fmt.Errorf("%s: person %d has no %s", p.Fixture, i+1, joint))
				}
				photo.Persons[i].Keypoints = append(photo.Persons[i].Keypoints, pose.Keypoint{X: k[0], Y: k[1], Score: k[2]})
			}
		}
		g.Photos = append(g.Photos, photo)
	}
	canonical, err := g.Marshal()
	if err != nil {
		return fail(err)
	}
	if !bytes.Equal(text, canonical) {
		got, want := strings.Split(string(text), "\n"), strings.Split(string(canonical), "\n")
		for i := range got {
			if i >= len(want) || got[i] != want[i] {
				return fail(fmt.Errorf("line %d is not as -update writes it: got %.80q, want %.80q", i+1, got[i], at(want, i)))
			}
		}
		return fail(errors.New("ends in the middle"))
	}
	return g, nil
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// limit is beyond every coordinate and score: a number above it is damage.
const limit = 1e6

func (g Golden) check() error {
	for _, word := range []struct{ name, text string }{{"model", g.Model}, {"precision", g.Precision}, {"provider", g.Provider}, {"ort", g.ORT}, {"isa", g.Class}} {
		if !plain(word.text) {
			return fmt.Errorf("%s %q is no plain word", word.name, word.text)
		}
	}
	if !isSum(g.ModelSHA256) {
		return fmt.Errorf("model_sha256 %q is no SHA-256", g.ModelSHA256)
	}
	if len(g.Photos) == 0 {
		return errors.New("has no photographs")
	}
	for i, p := range g.Photos {
		switch {
		case !plain(p.Fixture):
			return fmt.Errorf("fixture %q is no plain word", p.Fixture)
		case !isSum(p.SHA256):
			return fmt.Errorf("%s: sha256 %q is no SHA-256", p.Fixture, p.SHA256)
		case i > 0 && p.Fixture == g.Photos[i-1].Fixture:
			return fmt.Errorf("%s is there twice", p.Fixture)
		case i > 0 && p.Fixture < g.Photos[i-1].Fixture:
			return fmt.Errorf("%s stands behind %s, and photographs are sorted", p.Fixture, g.Photos[i-1].Fixture)
		}
		for _, person := range p.Persons {
			if len(person.Keypoints) != len(pose.Joints) {
				return fmt.Errorf("%s: a person has %d keypoints, want %d", p.Fixture, len(person.Keypoints), len(pose.Joints))
			}
			numbers := append(person.Box[:], person.Score)
			for _, k := range person.Keypoints {
				numbers = append(numbers, k.X, k.Y, k.Score)
			}
			for _, v := range numbers {
				if !(math.Abs(v) <= limit) {
					return fmt.Errorf("%s: a person has the number %v, which is no pixel and no score", p.Fixture, v)
				}
			}
		}
	}
	return nil
}

// plain tells of a word that may stand in a path on every system.
func plain(word string) bool { return plainWord.MatchString(word) }

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_~+-][A-Za-z0-9._~+-]*$`)

func isSum(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
