package choose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Format is that of a table as JSON. One of another is refused.
const Format = 1

// A Table is what is known of all cells: model × precision × execution provider × runtime.
type Table struct {
	Format int `json:"format"` // [Format]
	// Models are the precisions that each model has, fp32 first.
	Models map[string][]File `json:"models"`
	// Builds are those of each runtime, by platform. Of another runtime nothing is known.
	Builds []Build `json:"builds"`
	// ISAs are the classes of processors that each platform has: vnni (x86-64 with AVX-512 VNNI or AVX-VNNI), avx2 (without
	// them), sse (without AVX2), arm64.
	ISAs map[string][]string `json:"isas"`
	// Providers are the runtime's names of execution providers by ours: "coreml" is "CoreMLExecutionProvider", and so is
	// "coreml-mlprogram", which is the same with options.
	Providers map[string]string `json:"providers"`
	// Lacks are what a machine may have not of what a provider needs beyond the build, "nothing" first.
	Lacks  []string `json:"lacks"`
	Rows   []Row    `json:"rows"`
	Speeds []Speed  `json:"speeds"`
}

// A File is a model in a precision.
type File struct {
	Precision string `json:"precision"`
	Name      string `json:"file"`
	SHA256    string `json:"sha256"` // hexadecimal, of the file that the table speaks of
}

// A Build is a runtime for a platform.
type Build struct {
	Runtime   string   `json:"runtime"`   // "1.22.1", "openvino-1.24.1"
	Platform  string   `json:"platform"`  // "linux/amd64"
	Providers []string `json:"providers"` // that it brings, cpu first
}

// Conditions say which cells something is for: those that are in every list. A list that is not there holds every word.
type Conditions struct {
	Model     []string `json:"model,omitempty"`
	Precision []string `json:"precision,omitempty"`
	Provider  []string `json:"provider,omitempty"`
	Runtime   []string `json:"runtime,omitempty"`
	Platform  []string `json:"platform,omitempty"`
	ISA       []string `json:"isa,omitempty"`
	Lacks     []string `json:"lacks,omitempty"`
}

// A Row says what the cells do that it is for.
type Row struct {
	Conditions
	Passes bool   `json:"passes"` // by the row: each time, it loads and finds the people
	Does   string `json:"does"`   // "loads", "fails", "loads and finds nobody", …
	// Drift is what happens to most persons that fp32 finds, by precision: none (found again, no joint moves by more than
	// 3 % of the person's size), jitter (found again, joints move by more), or the name of a collapse.
	Drift     map[string]string `json:"drift,omitempty"`
	Placement map[string]int    `json:"placement,omitempty"` // nodes by provider, as the runtime names them; none: all where they were asked for
	Message   string            `json:"message,omitempty"`   // the runtime's own words, {model} for the model's path
	Why       string            `json:"why,omitempty"`
	See       string            `json:"see,omitempty"`      // a public reference
	Status    string            `json:"status"`             // how it is known, and by whom
	Verified  []string          `json:"verified,omitempty"` // platforms on which a run of the suite showed it
	Where     string            `json:"where"`              // of the row in the support table
}

// A Speed is how fast cells are, as times the speed of fp32 of the same model, provider and runtime.
type Speed struct {
	Conditions
	AtLeast  float64  `json:"at_least,omitempty"` // 0 is no bar
	AtMost   float64  `json:"at_most,omitempty"`  // of what is known to be slow; 0 is no bar
	Status   string   `json:"status"`
	Verified []string `json:"verified,omitempty"`
	Where    string   `json:"where"`
}

// Parse reads a table from JSON. A table that is cut, of another format, or has a word that its own lists lack is an error.
func Parse(text []byte) (Table, error) {
	t, err := parse(text)
	if err != nil {
		return Table{}, fmt.Errorf("support table: %w; write it again with `posetest embed-table` of this version", err)
	}
	return t, nil
}

func parse(text []byte) (t Table, err error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return t, err
	}
	if head.Format != Format {
		return t, fmt.Errorf("format is %d, want %d", head.Format, Format)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return t, err
	}
	return t, t.check()
}

// MustParse is Parse for a table that the program itself brings, and panics where that has an error.
func MustParse(text string) Table {
	t, err := Parse([]byte(text))
	if err != nil {
		panic(err)
	}
	return t
}

// check holds the table to itself, so that no word in it is one that nothing can ask for.
func (t Table) check() error {
	known := t.words()
	var errs []error
	bad := func(where string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		}
	}
	for id, files := range t.Models {
		if len(files) == 0 {
			bad("model "+id, errors.New("has no precision"))
		}
	}
	for _, b := range t.Builds {
		of := Conditions{Provider: b.Providers, Platform: []string{b.Platform}}
		bad("build "+b.Runtime, of.check(known))
	}
	for _, r := range t.Rows {
		bad(r.Where, r.check(known))
	}
	for _, s := range t.Speeds {
		bad(s.Where, s.check(known))
	}
	return errors.Join(errs...)
}

// words are all that the table knows of each kind.
func (t Table) words() Conditions {
	c := Conditions{Model: keys(t.Models), Provider: keys(t.Providers), Platform: keys(t.ISAs), Lacks: t.Lacks}
	for _, files := range t.Models {
		for _, f := range files {
			c.Precision = append(c.Precision, f.Precision)
		}
	}
	for _, b := range t.Builds {
		c.Runtime = append(c.Runtime, b.Runtime)
	}
	for _, isas := range t.ISAs {
		c.ISA = append(c.ISA, isas...)
	}
	return c
}

// keys are those of a map, sorted.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (r Row) check(known Conditions) error {
	of := Conditions{Precision: slices.Collect(maps.Keys(r.Drift)), Platform: r.Verified}
	errs := []error{r.Conditions.check(known), of.check(known)}
	if r.Does == "" || r.Status == "" || r.Where == "" {
		errs = append(errs, errors.New("does, status and where must say something"))
	}
	for provider, nodes := range r.Placement {
		if nodes < 1 || nodes > maxNodes {
			errs = append(errs, fmt.Errorf("%d nodes on %s, want 1 to %d", nodes, provider, maxNodes))
		}
	}
	return errors.Join(errs...)
}

// maxNodes keeps sums of nodes from overflowing; no model has so many.
const maxNodes = 1 << 30

func (s Speed) check(known Conditions) error {
	of := Conditions{Platform: s.Verified}
	errs := []error{s.Conditions.check(known), of.check(known)}
	if s.AtLeast < 0 || s.AtMost < 0 || s.AtLeast+s.AtMost == 0 || s.AtMost > 0 && s.AtMost < s.AtLeast {
		errs = append(errs, errors.New("at_least and at_most are times the speed of fp32: one must be there, or both in order"))
	}
	if s.Status == "" || s.Where == "" {
		errs = append(errs, errors.New("status and where must say something"))
	}
	return errors.Join(errs...)
}

// check tells of words that are not known, and of lists that hold no word: those look like lists of all.
func (c Conditions) check(known Conditions) error {
	var errs []error
	from := known.lists()
	for i, list := range c.lists() {
		if list.words != nil && len(list.words) == 0 {
			errs = append(errs, fmt.Errorf("%s: is empty", list.what))
		}
		for _, word := range list.words {
			if !slices.Contains(from[i].words, word) {
				errs = append(errs, fmt.Errorf("%s: %q is in no list of the table", list.what, word))
			}
		}
	}
	return errors.Join(errs...)
}

type list struct {
	what  string
	words []string
}

func (c Conditions) lists() []list {
	return []list{{"model", c.Model}, {"precision", c.Precision}, {"provider", c.Provider}, {"runtime", c.Runtime}, {"platform", c.Platform}, {"isa", c.ISA}, {"lacks", c.Lacks}}
}

// has tells whether the conditions are those of a cell.
func (c Conditions) has(p place) bool {
	in := func(list []string, word string) bool { return len(list) == 0 || slices.Contains(list, word) }
	return in(c.Model, p.model) && in(c.Precision, p.precision) && in(c.Provider, p.provider) && in(c.Runtime, p.runtime) &&
		in(c.Platform, p.platform) && in(c.ISA, p.isa) && in(c.Lacks, p.lacks)
}
