package observe

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Format is the number of the file's format. It changes whenever another reader would misread a file.
const Format = 2

// A Set is what one run saw, or several runs joined: of other machines, or shards of one.
type Set struct {
	Parts        []Part
	Observations []Observation
}

// A Part is one run on one kind of machine, or one shard of it. It says how many cells there must be, so that a file
// that was cut does not pass for a smaller run.
type Part struct {
	Platform string   `json:"platform"`
	ISA      string   `json:"isa"`
	Plan     string   `json:"plan"`              // the same for all shards of one run: see [PlanSum]
	Planned  int      `json:"planned"`           // cells of the whole run
	Cells    int      `json:"cells"`             // of this part
	Run      string   `json:"run,omitempty"`     // its name, if it has one: see [CheckRun]
	Shard    int      `json:"shard"`             // 1…Of
	Of       int      `json:"of"`                // 1 for a whole run
	Missing  []string `json:"missing,omitempty"` // what was not there, and what would bring it
	// Unobserved says of each cell of this part of which nothing could be observed why. Such a cell is not among Cells.
	Unobserved []string `json:"unobserved,omitempty"`
}

// Kind names the kind of machine that a part is of: "linux/amd64 avx2".
func (p Part) Kind() string { return p.Platform + " " + p.ISA }

// Kind names the kind of machine: "linux/amd64 avx2".
func (m Machine) Kind() string { return m.Platform() + " " + m.ISA }

// Name is that of the run that a part is of: its own, or that of the kind of machine.
func (p Part) Name() string {
	if p.Run == "" {
		return p.Kind()
	}
	return "run " + p.Run
}

// where is where a part was run, for sentences.
func (p Part) where() string {
	if p.Run == "" {
		return "on " + p.Kind()
	}
	return "in run " + p.Run
}

// runName is a name that may stand in a file's name and in a list.
var runName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,62}$`)

// CheckRun says what is wrong with the name of a run; "" is none, and right. Shards of a named run may be on machines of
// several kinds, and several runs that differ in their cells, such as one a provider, may be on machines of one kind.
func CheckRun(name string) error {
	if name == "" || runName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("a run can't be named %.80q; give up to 63 letters, digits, dots, dashes and underscores, such as cuda", name)
}

// PlanSum tells runs of other cells, or of other model files, apart: a sum over the names of all cells with the sums of
// their models.
func PlanSum(models map[Cell]string) string {
	var lines []string
	for cell, sum := range models {
		lines = append(lines, cell.String()+" "+sum+"\n")
	}
	slices.Sort(lines)
	h := sha256.New()
	for _, line := range lines {
		io.WriteString(h, line)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6])
}

// Whole makes a set of observations that are whole runs, one a kind of machine.
func Whole(all []Observation) Set {
	kinds := map[string]map[Cell]string{}
	set := Set{Observations: all}
	for _, o := range all {
		kind := o.Machine.Kind()
		if kinds[kind] == nil {
			kinds[kind] = map[Cell]string{}
			set.Parts = append(set.Parts, Part{Platform: o.Machine.Platform(), ISA: o.Machine.ISA, Shard: 1, Of: 1})
		}
		kinds[kind][o.Cell] = o.ModelSHA256
	}
	for i, p := range set.Parts {
		cells := kinds[p.Kind()]
		set.Parts[i].Plan, set.Parts[i].Planned, set.Parts[i].Cells = PlanSum(cells), len(cells), len(cells)
	}
	return set
}

// Merge joins sets, each with the name of its file for errors. It is an error if a shard is missing or there twice, if
// shards are of different runs, if a cell was seen twice on one kind of machine, or if one model or photograph has two
// contents.
func Merge(names []string, sets []Set) (Set, error) {
	var merged Set
	from := map[string]string{} // of each part, cell, model and photograph
	for i, set := range sets {
		name := names[i]
		for _, p := range set.Parts {
			if err := belongs(merged.Parts, p, from, name); err != nil {
				return Set{}, err
			}
			from[p.key()] = name
			merged.Parts = append(merged.Parts, p)
		}
		for _, o := range set.Observations {
			if err := once(from, name, o); err != nil {
				return Set{}, err
			}
		}
		merged.Observations = append(merged.Observations, set.Observations...)
	}
	if err := complete(merged.Parts, from); err != nil {
		return Set{}, err
	}
	return merged, nil
}

func (p Part) key() string { return fmt.Sprintf("part %s %d/%d", p.Name(), p.Shard, p.Of) }

// belongs tells why a part of a file can't stand beside those before it.
func belongs(before []Part, p Part, from map[string]string, name string) error {
	if j := slices.IndexFunc(before, func(q Part) bool { return q.Name() == p.Name() }); j >= 0 {
		q := before[j]
		if p.Of != q.Of {
			return fmt.Errorf("%s and %s are mixed: %s one is of a run in %d parts, and the other in %d; merge what belongs together", from[q.key()], name, p.where(), q.Of, p.Of)
		}
		if p.Of > 1 && (p.Plan != q.Plan || p.Planned != q.Planned) {
			return fmt.Errorf("%s and %s are mixed: %s they planned other cells, or other models; run all shards with the same flags and models, and merge again", from[q.key()], name, p.where())
		}
	}
	if other, twice := from[p.key()]; twice {
		return fmt.Errorf("%s and %s are both shard %d/%d of %s; name each once", other, name, p.Shard, p.Of, p.Name())
	}
	return nil
}

// once notes where a cell and what it was made of were seen, and tells why that can't be.
func once(from map[string]string, name string, o Observation) error {
	cell := fmt.Sprintf("cell %s on %s", o.Cell, o.Machine.Kind())
	if other, twice := from[cell]; twice {
		return fmt.Errorf("%s and %s both have %s; leave one of them out, and merge again", other, name, cell)
	}
	from[cell] = name
	if err := oneContent(from, name, fmt.Sprintf("model %s %s", o.Model, o.Precision), o.ModelSHA256); err != nil {
		return err
	}
	for _, photo := range o.Photos {
		if err := oneContent(from, name, "photograph "+photo.Fixture, photo.SHA256); err != nil {
			return err
		}
	}
	return nil
}

// complete names the first shard that is missing.
func complete(parts []Part, from map[string]string) error {
	for _, p := range parts {
		if lost, lacks := missing(p, from); lacks {
			return fmt.Errorf("shard %d/%d of %s is missing; %s, and merge again", lost.Shard, lost.Of, lost.Name(), remedy(lost, parts, from))
		}
	}
	return nil
}

// missing is the first shard of a part's run that is not there.
func missing(p Part, from map[string]string) (Part, bool) {
	for shard := range p.Of {
		p.Shard = shard + 1
		if _, here := from[p.key()]; !here {
			return p, true
		}
	}
	return p, false
}

// remedy says what brings a shard. One that was run on a machine of another class of processors is told of.
func remedy(lost Part, parts []Part, from map[string]string) string {
	if lost.Run != "" {
		return fmt.Sprintf("run it with `posetest report --run %s --shard %d/%d`", lost.Run, lost.Shard, lost.Of)
	}
	for _, q := range parts {
		if q.Run == "" && q.Platform == lost.Platform && q.Plan == lost.Plan && q.Shard == lost.Shard && q.Of == lost.Of {
			if _, torn := missing(q, from); torn {
				return fmt.Sprintf("%s has it, of %s: keep to one kind of machine, or give all shards the name of their run (--run)", from[q.key()], q.Kind())
			}
		}
	}
	return fmt.Sprintf("run it with `posetest report --shard %d/%d` on a machine of that kind", lost.Shard, lost.Of)
}

// CheckRuns tells which of the runs that must be in a set is missing as a whole, which no shard can tell, or which one
// there is that is not among them. Without names there is nothing to check.
func (s Set) CheckRuns(names []string) error {
	if len(names) == 0 {
		return nil
	}
	for _, p := range s.Parts {
		if !slices.Contains(names, p.Run) {
			return fmt.Errorf("%s is none of the runs %s that were asked for; leave its files out, or ask for it by its name", p.Name(), strings.Join(names, ", "))
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(s.Parts, func(p Part) bool { return p.Run == name }) {
			return fmt.Errorf("run %s is missing as a whole: no file has a shard of it; run its shards with `posetest report --run %s`, and merge again", name, name)
		}
	}
	return nil
}

// oneContent notes the sum of a thing, and where it is said; another sum is an error.
func oneContent(seen map[string]string, file, what, sum string) error {
	have, known := seen[what]
	if !known {
		seen[what], seen[what+" in"] = sum, file
	} else if have != sum {
		return fmt.Errorf("%s and %s are mixed: %s has sum %.12s… in the one and %.12s… in the other; merge runs of the same models.json and fixtures.json", seen[what+" in"], file, what, have, sum)
	}
	return nil
}

// head is the first line of a file.
type head struct {
	Format int    `json:"posetest_format"`
	Parts  []Part `json:"parts"`
}

// Write puts the parts on the first line and one observation on each other, ordered by cell, then by platform and ISA
// class.
func Write(w io.Writer, set Set) error {
	parts := slices.SortedStableFunc(slices.Values(set.Parts), func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.ISA, b.ISA), cmp.Compare(a.Run, b.Run), cmp.Compare(a.Shard, b.Shard))
	})
	sorted := slices.SortedStableFunc(slices.Values(set.Observations), func(a, b Observation) int {
		return cmp.Or(a.Cell.Compare(b.Cell), cmp.Compare(a.Machine.Platform(), b.Machine.Platform()), cmp.Compare(a.Machine.ISA, b.Machine.ISA))
	})
	enc := json.NewEncoder(w)
	if err := enc.Encode(head{Format, parts}); err != nil {
		return err
	}
	for _, o := range sorted {
		if err := enc.Encode(o); err != nil {
			return fmt.Errorf("observation %s: %w", o.Cell, err)
		}
	}
	return nil
}

// Read reads what [Write] wrote; name stands in errors. It is an error if the file is of another format, if a line was
// cut, has an unknown field, or lacks its cell or what its outcome needs, if a cell appears twice on one kind of machine,
// or if there are more or fewer cells than the first line says.
func Read(r io.Reader, name string) (Set, error) {
	var set Set
	type key struct {
		Cell
		kind string
	}
	seen := map[key]int{}
	count := map[string]int{}
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0 && n > 1:
			if err := set.whole(name, count); err != nil {
				return Set{}, err
			}
			return set, nil
		case errors.Is(err, io.EOF) && len(line) == 0:
			return Set{}, fmt.Errorf("%s: is empty; write the observations again", name)
		case errors.Is(err, io.EOF):
			return Set{}, fmt.Errorf("%s:%d: the last line is cut; write the observations again", name, n)
		case err != nil:
			return Set{}, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		if n == 1 {
			if set.Parts, err = parseHead(line); err != nil {
				return Set{}, fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		o, err := parse(line)
		if err != nil {
			return Set{}, fmt.Errorf("%s:%d: not an observation of this version of posetest: %w; write the observations again", name, n, err)
		}
		k := key{o.Cell, o.Machine.Kind()}
		if first, twice := seen[k]; twice {
			return Set{}, fmt.Errorf("%s:%d: cell %s stands on line %d already, of %s, too; remove one of the lines", name, n, o.Cell, first, k.kind)
		}
		seen[k] = n
		count[k.kind]++
		set.Observations = append(set.Observations, o)
	}
}

// parseHead reads the first line.
func parseHead(line []byte) ([]Part, error) {
	var format struct {
		Format int `json:"posetest_format"`
	}
	if err := json.Unmarshal(line, &format); err != nil || format.Format == 0 {
		return nil, errors.New("does not begin as observations of this version of posetest do; name an observations.jsonl, or write it again with this version")
	}
	if format.Format != Format {
		return nil, fmt.Errorf("is of format %d, and this posetest reads format %d; write it again with this version, or read it with the one that wrote it", format.Format, Format)
	}
	var h head
	if err := decode(line, &h); err != nil {
		return nil, fmt.Errorf("its first line: %w; write the observations again", err)
	}
	for _, p := range h.Parts {
		if err := CheckRun(p.Run); err != nil {
			return nil, fmt.Errorf("its first line: %w; write the observations again", err)
		}
		if p.Platform == "" || p.Shard < 1 || p.Shard > p.Of || p.Of > maxShards || p.Cells < 0 || p.Cells+len(p.Unobserved) > p.Planned {
			return nil, fmt.Errorf("its first line: shard %d/%d of %q with %d of %d cells can't be; write the observations again", p.Shard, p.Of, p.Platform, p.Cells, p.Planned)
		}
	}
	return h.Parts, nil
}

const maxShards = 100_000

// whole holds a file to its first line.
func (s Set) whole(name string, count map[string]int) error {
	said := map[string]int{}
	var kinds []string
	for _, p := range s.Parts {
		said[p.Kind()] += p.Cells
		kinds = append(kinds, p.Kind())
	}
	for kind := range count {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		if said[kind] != count[kind] {
			return fmt.Errorf("%s: holds %d cells of %s, and its first line says %d; it was cut or edited: write the observations again", name, count[kind], kind, said[kind])
		}
	}
	return nil
}

func decode(line []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows it on its line")
	}
	return withoutControl(line)
}

var mayHaveControl = regexp.MustCompile(`\\[bfru]|[\x00-\x09\x0b-\x1f\x7f-\x{9f}]`)

// withoutControl tells of a text that a terminal would obey. No worker writes one.
func withoutControl(line []byte) error {
	if !mayHaveControl.Match(line) { // as most
		return nil
	}
	for dec := json.NewDecoder(bytes.NewReader(line)); ; {
		token, err := dec.Token()
		if err != nil {
			return nil // its end: it was decoded before
		}
		if text, ok := token.(string); ok && strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			return fmt.Errorf("it has control characters in %.80q", text)
		}
	}
}

// parse reads a line, and makes sure that whoever looks at the observation finds what its outcome promises.
func parse(line []byte) (o Observation, err error) {
	if err := decode(line, &o); err != nil {
		return o, err
	}
	if o.Model == "" || o.Precision == "" || o.Provider == "" || o.ORT == "" {
		return o, fmt.Errorf("its cell %s is not whole", o.Cell)
	}
	if err := lacks(o.Outcome, o.Failure, o.Death); err != nil {
		return o, err
	}
	for _, v := range o.Variants {
		if v.Times < 1 {
			return o, fmt.Errorf("a variant of it was seen %d times", v.Times)
		}
		if err := lacks(v.Outcome, v.Failure, v.Death); err != nil {
			return o, fmt.Errorf("a variant of it: %w", err)
		}
	}
	if len(o.Variants) > 0 && o.Variants[0].Outcome != o.Outcome {
		return o, fmt.Errorf("its outcome is %q, and that of its first variant %q", o.Outcome, o.Variants[0].Outcome)
	}
	return o, nil
}

// lacks tells what an outcome must have beside it, and has not.
func lacks(outcome Outcome, failure *Failure, death *Death) error {
	switch {
	case !slices.Contains(Outcomes(), outcome):
		return fmt.Errorf("outcome %q is none of %v", outcome, Outcomes())
	case (outcome == Fails || outcome == Unavailable) && failure == nil:
		return fmt.Errorf("outcome %q lacks its failure", outcome)
	case (outcome == Crashes || outcome == Hangs) && death == nil:
		return fmt.Errorf("outcome %q lacks its death", outcome)
	}
	return nil
}
