// Package expect holds what each cell of the matrix is expected to do, and compares it with what it did.
//
//	table, err := expect.Parse(text, "golden/support.toml")
//	row, err := table.Match(place)
//	err = expect.Judge{Row: row, …}.Load(observation)
//
// The table is a TOML file of rows. A row names the cells it is for, what they do, why that is so, and how it is known.
// Every cell must be matched by exactly one row, and every row by a cell.
package expect

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/pelletier/go-toml/v2"
	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/observe"
)

// A Set is a list of words, written "fp32 fp16". Empty, or "*", it holds every word.
type Set []string

// UnmarshalText reads words parted by spaces.
func (s *Set) UnmarshalText(text []byte) error {
	*s = strings.Fields(string(text))
	if slices.Equal(*s, Set{"*"}) {
		*s = nil
	}
	return nil
}

// Has tells whether a word is in the set.
func (s Set) Has(word string) bool { return len(s) == 0 || slices.Contains(s, word) }

// A Range is a range of runtime versions, written "<1.24" or ">=1.23, <1.24". Empty, it holds every version.
type Range struct {
	text        string
	constraints *semver.Constraints
}

// UnmarshalText reads a range.
func (r *Range) UnmarshalText(text []byte) (err error) {
	r.text = string(text)
	if r.text != "" {
		r.constraints, err = semver.NewConstraint(r.text)
	}
	return err
}

// String is the range as it was written.
func (r Range) String() string { return r.text }

// Has tells whether a version is in the range; one that is no version is only in the empty range.
func (r Range) Has(version string) bool {
	if r.constraints == nil {
		return true
	}
	v, err := semver.NewVersion(version)
	return err == nil && r.constraints.Check(v)
}

// Finds is what a cell's inference makes of the photographs.
type Finds string

const (
	// People: in each photograph with people at least one person is found where one is, and nobody in the others; see
	// [Judge].Single for families of one person. It is the default.
	People Finds = "people"
	// Nobody: in no photograph is a person found where one is. Keypoints collapsed.
	Nobody Finds = "nobody"
	// Some: people are found, but not in each photograph, or where there are none.
	Some Finds = "some"
	// NotRun: the model runs into an error at inference.
	NotRun Finds = "error"
)

// Conditions say which cells a row is for: those that fit all of them.
type Conditions struct {
	Model        Set   `toml:"model"` // without the mark of another export
	Precision    Set   `toml:"precision"`
	Provider     Set   `toml:"provider"`
	ORT          Range `toml:"ort"`          // the version, of whichever distribution
	Distribution Set   `toml:"distribution"` // "onnxruntime", "onnxruntime-openvino", …
	Platform     Set   `toml:"platform"`     // "linux/amd64", …
	ISA          Set   `toml:"isa"`          // [observe.ISAs]
	Lacks        Set   `toml:"lacks"`        // what the machine has not of what the provider needs beyond the build: [Lacks]
}

// A Row says what the cells that it matches do.
type Row struct {
	Conditions

	Want observe.Outcome `toml:"want"`
	// Sometimes are outcomes that an unstable cell has as well, in quarantine: up to and with the day Until, by UTC, it is
	// tried again until it does what Want says, [Attempts] times at most. From then on it is held to Want.
	Sometimes Set            `toml:"sometimes"`
	Owner     string         `toml:"owner"` // who answers for the quarantine; its reference is See
	Until     toml.LocalDate `toml:"until"`

	Message string `toml:"message"` // exact, for fails and unavailable; a row that is not verified may leave it open
	Op      string `toml:"op"`      // parts of the message, which must parse to them
	Opset   int    `toml:"opset"`
	Node    string `toml:"node"`
	Signal  string `toml:"signal"` // for crashes, if by signal
	During  string `toml:"during"` // for crashes and hangs: "open", "infer", …

	// Placement is the exact number of nodes by provider, as the runtime names them. Without it every node must be on
	// the provider that was asked for, but for a row that is not verified.
	Placement map[string]int `toml:"placement"`
	Finds     Finds          `toml:"finds"`
	// AP is COCO's average precision on the photographs of val2017 that the data path has, by precision.
	AP map[string]float64 `toml:"ap"`
	// Drift is what a precision may cost against fp32 of the same model, provider and runtime, by precision.
	Drift map[string]drift.Bars `toml:"drift"`

	Why    string `toml:"why"`
	See    string `toml:"see"`    // a public reference; a URL, for an unstable cell
	Status Status `toml:"status"` // how it is known

	File string `toml:"-"`
	Line int    `toml:"-"` // of the row's [[row]]
}

// A Status is how a row is known, and by whom: "verified linux/amd64 2026-11-24", "reported NAME" or "unverified".
type Status string

// Verified tells whether a run of ours showed the row on the platform.
func (s Status) Verified(platform string) bool {
	return strings.HasPrefix(string(s), "verified ") && slices.Contains(strings.Fields(string(s)), platform)
}

// Word is the status's first word.
func (s Status) Word() string {
	word, _, _ := strings.Cut(string(s), " ")
	return word
}

// Where is the row's place, for a message: golden/support.toml:12.
func (r Row) Where() string { return fmt.Sprintf("%s:%d", r.File, r.Line) }

// A Place is a cell with what rows are chosen by.
type Place struct {
	observe.Cell
	Distribution string
	Version      string // of the runtime
	Platform     string
	ISA          string
	Lacks        string // as [observe.Observation] has it: "" for nothing
}

// Nothing is what a machine lacks that has all that the provider needs.
const Nothing = "nothing"

// Lacks are the words for what a machine may lack.
func Lacks() []string { return []string{Nothing, observe.LacksLibraries, observe.LacksDevice} }

// on is where the cell is, for a message.
func (p Place) on() string {
	on := p.Platform + " " + p.ISA
	if p.Lacks != "" {
		on += " without the provider's " + p.Lacks
	}
	return on
}

// Matches tells whether the conditions are those of a cell.
func (r Conditions) Matches(p Place) bool {
	return r.Model.Has(p.BaseModel()) && r.Precision.Has(p.Precision) && r.Provider.Has(p.Provider) && r.ORT.Has(p.Version) &&
		r.Distribution.Has(p.Distribution) && r.Platform.Has(p.Platform) && r.ISA.Has(p.ISA) && r.Lacks.Has(cmp.Or(p.Lacks, Nothing))
}

// A Table is all rows.
type Table []Row

// tableFile is a support table as it is written.
type tableFile struct {
	Row   Table  `toml:"row"`
	Speed Speeds `toml:"speed"`
}

func parseFile(text []byte, name string) (file tableFile, err error) {
	dec := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return file, tomlError(name, err)
	}
	return file, nil
}

// linesOf are the lines, from 1 on, on which the rows of one kind begin.
func linesOf(text []byte, name, kind string, rows int) ([]int, error) {
	var lines []int
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "[["+kind+"]]") {
			lines = append(lines, i+1)
		}
	}
	if len(lines) != rows {
		return nil, fmt.Errorf("%s: has %d rows on %d lines of [[%s]]; give each a line of its own", name, rows, len(lines), kind)
	}
	return lines, nil
}

// Parse reads a table; name stands in errors and in [Row].File.
func Parse(text []byte, name string) (Table, error) {
	file, err := parseFile(text, name)
	if err != nil {
		return nil, err
	}
	table := file.Row
	if len(table) == 0 {
		return nil, fmt.Errorf("%s: has no [[row]]; write one for each kind of cell", name)
	}
	lines, err := linesOf(text, name, "row", len(table))
	if err != nil {
		return nil, err
	}
	var errs []error
	for i := range table {
		r := &table[i]
		r.File, r.Line = name, lines[i]
		if r.Finds == "" && r.Want == observe.Loads {
			r.Finds = People
		}
		errs = append(errs, r.check())
	}
	return table, errors.Join(errs...)
}

func tomlError(name string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		line, _ := strict.Errors[0].Position()
		return fmt.Errorf("%s:%d: unknown field %q; correct it there", name, line, strings.Join(strict.Errors[0].Key(), "."))
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, _ := decode.Position()
		return fmt.Errorf("%s:%d: %s; correct it there", name, line, strings.TrimPrefix(decode.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w; correct it there", name, err)
}

// check tells what is wrong with a row by itself.
func (r Row) check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", r.Where(), fmt.Errorf(format, args...)))
	}
	if !slices.Contains(observe.Outcomes(), r.Want) {
		bad("want %q must be one of %v", r.Want, observe.Outcomes())
	}
	for _, o := range r.Sometimes {
		if !slices.Contains(observe.Outcomes(), observe.Outcome(o)) || o == string(r.Want) {
			bad("sometimes %q must be one of %v, and not want itself", o, observe.Outcomes())
		}
	}
	for _, err := range r.checkQuarantine() {
		bad("%w", err)
	}
	refused := r.Want == observe.Fails || r.Want == observe.Unavailable
	died := r.Want == observe.Crashes || r.Want == observe.Hangs
	if !refused && r.Message != "" || refused && r.Message == "" && r.Status.Word() == "verified" {
		bad("message goes with fails and unavailable, and must be there for a verified row")
	}
	if (r.Op != "" || r.Opset != 0 || r.Node != "") && r.Want != observe.Fails {
		bad("op, opset and node go with fails")
	}
	if (r.Signal != "" || r.During != "") && !died {
		bad("signal and during go with crashes and hangs")
	}
	if died && r.During == "" {
		bad("during must name the request: open, infer, time or close")
	}
	for _, precision := range slices.Sorted(maps.Keys(r.AP)) {
		// Written so that NaN, which TOML knows, is none.
		if ap := r.AP[precision]; r.Finds != People || !r.Precision.Has(precision) || !(ap > 0 && ap <= 1) {
			bad("ap %v of %q must be in 0…1, of a precision of the row, and goes with a row that finds people", ap, precision)
		}
	}
	for _, precision := range slices.Sorted(maps.Keys(r.Drift)) {
		bars := r.Drift[precision]
		if r.Want != observe.Loads || !r.Precision.Has(precision) || precision == "fp32" {
			bad("drift of %q goes with a row that loads, for another precision of it than fp32", precision)
		}
		if err := bars.Valid(); err != nil {
			bad("drift of %q: %w", precision, err)
		}
	}
	if r.Want == observe.Loads != (r.Finds != "") || r.Placement != nil && r.Want != observe.Loads {
		bad("finds and placement go with loads")
	}
	if !slices.Contains([]Finds{"", People, Nobody, Some, NotRun}, r.Finds) {
		bad("finds %q must be people, nobody, some or error", r.Finds)
	}
	if (r.Want != observe.Loads || r.Sometimes != nil || r.Finds != People || r.Placement != nil) && r.Why == "" {
		bad("why must tell the reason of anything but success")
	}
	for _, err := range []error{r.Status.check(), r.Conditions.check()} {
		if err != nil {
			bad("%w", err)
		}
	}
	return errors.Join(errs...)
}

func (s Status) check() error {
	switch s.Word() {
	case "verified", "reported":
		if len(strings.Fields(string(s))) < 2 {
			return fmt.Errorf("status %q must name the platforms and the date, or who reported it", s)
		}
	case "unverified":
	default:
		return fmt.Errorf("status %q must be verified PLATFORM… DATE, reported BY, or unverified", s)
	}
	return nil
}

func (c Conditions) check() error {
	for _, isa := range c.ISA {
		if !slices.Contains(observe.ISAs(), isa) {
			return fmt.Errorf("isa %q must be one of %v", isa, observe.ISAs())
		}
	}
	for _, what := range c.Lacks {
		if !slices.Contains(Lacks(), what) {
			return fmt.Errorf("lacks %q must be one of %v", what, Lacks())
		}
	}
	return nil
}

// Match finds the one row of a cell.
func (t Table) Match(p Place) (Row, error) {
	var found []Row
	for _, r := range t {
		if r.Matches(p) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Row{}, fmt.Errorf("%s on %s: no row is for this cell; add one that says what it does", p.Cell, p.on())
	}
	return Row{}, fmt.Errorf("%s on %s: rows %s and %s are both for this cell; narrow one of them", p.Cell, p.on(), found[0].Where(), found[1].Where())
}

// Check holds the table to all cells that there are: each must have one row, and each row a cell.
func (t Table) Check(places []Place) error {
	var errs []error
	used := map[int]bool{}
	for _, p := range places {
		row, err := t.Match(p)
		if err != nil {
			errs = append(errs, err)
		}
		used[row.Line] = true
	}
	for _, r := range t {
		if !used[r.Line] {
			errs = append(errs, fmt.Errorf("%s: the row is for no cell; correct or remove it", r.Where()))
		}
	}
	return errors.Join(errs...)
}
