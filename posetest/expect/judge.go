package expect

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/observe"
)

// MinOKS is what a person must reach to count as found: COCO's loosest bar (AP50).
const MinOKS = 0.5

// Own is the row of a cell that no table is for, such as a user's own model: it loads and finds people.
func Own() Row {
	return Row{Want: observe.Loads, Finds: People, Status: "unverified", File: "no table"}
}

// A Judge compares one observation with its row.
type Judge struct {
	Row      Row
	Provider string // of the cell, as the runtime names it
	// Single tells that the family finds exactly one person: it is not asked of photographs with several, and can't
	// find nobody where nobody is.
	Single bool
	// Today is the moment whose day, by UTC, a quarantine is held to; the zero value is before all.
	Today time.Time
}

// Load reports every way in which the opening of the session differs from the row, joined; nil if in none. Of a cell
// that was repeated all variants are judged: one that is flaky must be in quarantine, and do what its row allows.
func (j Judge) Load(o observe.Observation) error {
	judge := j.load
	if len(o.Variants) > 0 {
		judge = j.variants
	}
	err := judge(o)
	if err != nil && j.Row.Overdue(j.Today) {
		err = errors.Join(err, j.Row.ended())
	}
	return err
}

// variants judges a cell that was repeated.
func (j Judge) variants(o observe.Observation) error {
	r := j.Row
	if !r.InQuarantine(j.Today) {
		return errors.Join(j.flaky(o), j.load(o))
	}
	var errs []error
	ways := 0 // of what is wanted
	for _, v := range o.Variants {
		if v.Outcome == r.Want {
			ways++
		}
		if r.Tolerates(v.Outcome, j.Today) {
			continue
		}
		if err := j.load(v.Observation()); err != nil {
			errs = append(errs, fmt.Errorf("%d of %d times: %w", v.Times, o.Repetitions(), err))
		}
	}
	switch {
	case ways == 0 && o.Repetitions() >= Attempts:
		errs = append(errs, j.never(o, o.Repetitions()))
	case ways > 1 && r.Want == observe.Loads:
		errs = append(errs, fmt.Errorf("loads in several ways, which sometimes in %s does not allow: %w", r.Where(), j.flaky(o)))
	}
	return errors.Join(errs...)
}

// flaky is the error of a cell whose repetitions differ; nil if they do not.
func (j Judge) flaky(o observe.Observation) error {
	if !o.Flaky() {
		return nil
	}
	advice := "find the cause"
	if j.Row.Line != 0 && !j.Row.Unstable() {
		advice += ", or quarantine the cell in a row of its own (sometimes, owner, see, until), beside " + j.Row.Where()
	}
	return fmt.Errorf("flaky: %s; %s\n  %s", o.Tally(), advice, strings.Join(Ways(o), "\n  "))
}

// Ways are the ways in which repetitions of a cell went, a line each: "3 × crashes: died of SIGSEGV during open".
func Ways(o observe.Observation) []string {
	var all []string
	for _, v := range o.Variants {
		line := fmt.Sprintf("%d × %s", v.Times, Describe(v.Observation()))
		if len(v.Differs) > 0 {
			line += ", where " + strings.Join(v.Differs, ", ")
		}
		all = append(all, line)
	}
	return all
}

// never is the error of a cell in quarantine that did not do what its row wants in so many attempts.
func (j Judge) never(o observe.Observation, attempts int) error {
	return fmt.Errorf("%s, and never %s in %d attempts; if it healed, remove sometimes from %s and correct want", Describe(o), j.Row.wants(), attempts, j.Row.Where())
}

// load judges one attempt, with the outcomes of those before.
func (j Judge) load(o observe.Observation) error {
	r := j.Row
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, earlier := range o.Earlier {
		if !r.Tolerates(earlier, j.Today) {
			bad("%s in an attempt before, which sometimes in %s does not allow", earlier, r.Where())
		}
	}
	if o.Outcome != r.Want && len(o.Earlier) > 0 {
		return errors.Join(append(errs, j.never(o, 1+len(o.Earlier)))...)
	}
	if o.Outcome != r.Want {
		bad("%s, want %s; %s", Describe(o), r.wants(), r.remedy(o))
		return errors.Join(errs...)
	}
	switch o.Outcome {
	case observe.Fails, observe.Unavailable:
		f := o.Failure
		if r.Message != "" && f.Message != r.Message {
			bad("fails with other words:\n  got  %s\n  want %s\nif they mean the same, correct message in %s", f.Message, r.Message, r.Where())
		}
		if r.Op != "" && (f.Op != r.Op || f.Opset != r.Opset || f.Node != r.Node) {
			bad("parsed op, opset, node: got %s(%d) at %s, want %s(%d) at %s (%s)", f.Op, f.Opset, f.Node, r.Op, r.Opset, r.Node, r.Where())
		}
	case observe.Crashes, observe.Hangs:
		if o.Death.Signal != r.Signal || o.Death.During != r.During {
			bad("%s, want %s; look at its log, then correct signal and during in %s\n  %s", o.Death, r.wants(), r.Where(), strings.Join(o.Death.Log, "\n  "))
		}
	case observe.Loads:
		if err := j.placement(o); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (j Judge) placement(o observe.Observation) error {
	if want := j.Row.Placement; want != nil {
		if !maps.Equal(o.Placement, want) {
			return fmt.Errorf("nodes are placed %v, want %v; if that is better, correct placement in %s", o.Placement, want, j.Row.Where())
		}
		return nil
	}
	share, known := o.Share(j.Provider)
	switch {
	case !known:
		return errors.New("the runtime's log tells no placement of nodes; look whether a new version words it otherwise (posetest/worker/log.go)")
	case share < 1 && j.Row.Status.Word() == "verified":
		return fmt.Errorf("only %.0f %% of the nodes are on %s: %v; if that is so, write placement and why into %s", 100*share, j.Provider, o.Placement, j.Row.Where())
	}
	return nil
}

// Infer reports every way in which what the cell found differs from the row, joined; nil if in none. A cell that did
// not load, or by its row's quarantine might as well not have, has nothing to report.
func (j Judge) Infer(o observe.Observation) error {
	if o.Outcome != observe.Loads || j.Row.Tolerates(o.Outcome, j.Today) {
		return nil
	}
	got, details := Found(o, j.Single)
	if want := j.Row.Finds; got != want {
		advice := "look at its photographs"
		if got == People {
			advice = "it is better than expected: correct finds in " + j.Row.Where()
		}
		if more := len(details) - maxDetails; more > 0 {
			details = append(details[:maxDetails:maxDetails], fmt.Sprintf("and %d more", more))
		}
		return fmt.Errorf("finds %s, want %s (%s); %s\n  %s", got, want, j.Row.Where(), advice, strings.Join(details, "\n  "))
	}
	return nil
}

// APSlack is by how much a cell may fall short of the AP in its row: what kernels of another release may cost.
const APSlack = 0.005

// AP holds a cell's average precision to its row.
func (j Judge) AP(precision string, got float64) error {
	want, known := j.Row.AP[precision]
	switch {
	case !known:
		return fmt.Errorf("AP is %.4f, and %s has none to hold it to; write ap = { %s = %.4f } there", got, j.Row.Where(), precision, got)
	case got < want-APSlack:
		return fmt.Errorf("AP is %.4f, want at least %.4f − %.3f (%s); look at TestInfer and the photographs first", got, want, APSlack, j.Row.Where())
	}
	return nil
}

// Drift holds what a cell costs against fp32 to its row.
func (j Judge) Drift(precision string, got drift.Drift) error {
	bars, known := j.Row.Drift[precision]
	if !known {
		return fmt.Errorf("%s has no bars for the drift of %s; write drift.%s there, from what was seen: %s", j.Row.Where(), precision, precision, got)
	}
	if err := bars.Check(got); err != nil {
		return fmt.Errorf("drift of %s beyond the bars of %s:\n%w", precision, j.Row.Where(), err)
	}
	return nil
}

// maxDetails is how many photographs an error names: a collapse has them all, and the first few tell it.
const maxDetails = 5

// Found sums up what a cell found (see [Judge] for single), with a sentence for each photograph where that is not right.
func Found(o observe.Observation, single bool) (Finds, []string) {
	var details []string
	bad := func(p observe.Photo, format string, args ...any) {
		details = append(details, p.Fixture+": "+fmt.Sprintf(format, args...))
	}
	withPeople, found, broken := 0, 0, 0
	for _, p := range o.Photos {
		if p.Error != "" {
			broken++
			bad(p, "%s", p.Error)
			continue
		}
		switch {
		case single && p.People != 1:
			continue
		case p.People > 0:
			withPeople++
			if p.OKS >= MinOKS {
				found++
			} else {
				bad(p, "of %d people none is found: %d persons, the best with OKS %.2f, want at least %.2f", p.People, len(p.Persons), p.OKS, MinOKS)
			}
		case len(p.Persons) > 0:
			bad(p, "%d persons found where nobody is", len(p.Persons))
		}
		if n := outside(p); n > 0 {
			bad(p, "%d keypoints are outside the image or not finite", n)
		}
	}
	switch {
	case broken > 0:
		return NotRun, details
	case withPeople == 0:
		return Nobody, append(details, "no photograph with people was run")
	case found == 0:
		return Nobody, details
	case len(details) > 0:
		return Some, details
	}
	return People, nil
}

// visible is the score from which a keypoint counts as seen.
const visible = 0.5

// outside counts keypoints of matched photographs that can't be: not finite, or seen beyond the image by over 2 % of
// its longer side, which is the width of a joint.
func outside(p observe.Photo) int {
	n := 0
	slack := 0.02 * float64(max(p.Width, p.Height))
	for _, person := range p.Persons {
		for _, k := range person.Keypoints {
			finite := !math.IsNaN(k.X+k.Y+k.Score) && !math.IsInf(k.X+k.Y+k.Score, 0)
			inside := k.X >= -slack && k.Y >= -slack && k.X <= float64(p.Width)+slack && k.Y <= float64(p.Height)+slack
			if !finite || k.Score >= visible && !inside {
				n++
			}
		}
	}
	return n
}

// wants is the row's expectation in a few words.
func (r Row) wants() string {
	switch r.Want {
	case observe.Fails, observe.Unavailable:
		return fmt.Sprintf("%s: %s", r.Want, r.Message)
	case observe.Crashes:
		return fmt.Sprintf("crashes by %s during %s", r.Signal, r.During)
	case observe.Hangs:
		return "hangs during " + r.During
	}
	return string(r.Want)
}

func (r Row) remedy(o observe.Observation) string {
	switch hint := Hint(o); {
	case hint != "":
		return hint
	case r.Line == 0:
		return "its message says why"
	case o.Outcome == observe.Loads:
		return "if the runtime was fixed, close the range of " + r.Where()
	}
	return "if that is the new truth, part its runtimes from " + r.Where() + " into a row of their own"
}

// Describe is an observation in one sentence.
func Describe(o observe.Observation) string {
	switch {
	case o.Failure != nil:
		return fmt.Sprintf("%s: %s", o.Outcome, o.Failure.Message)
	case o.Death != nil:
		return fmt.Sprintf("%s: %s", o.Outcome, o.Death)
	}
	return string(o.Outcome)
}

// A Class is a cell's word in the matrix: what a person who ships the model must know.
type Class string

// Classes, worst last where a cell could be in two.
const (
	ClassLoads       Class = "loads"
	ClassFallsBack   Class = "falls back" // loads, with nodes on another provider
	ClassWrong       Class = "wrong"      // loads and does not find the people
	ClassFails       Class = "fails"
	ClassCrashes     Class = "crashes"
	ClassHangs       Class = "hangs"
	ClassUnavailable Class = "unavailable"
	ClassUnverified  Class = "unverified" // not run here
)

// Classes are all, in the order of a legend.
func Classes() []Class {
	return []Class{ClassLoads, ClassFallsBack, ClassWrong, ClassFails, ClassCrashes, ClassHangs, ClassUnavailable, ClassUnverified}
}

// Classify gives the class of an observation.
func (j Judge) Classify(o observe.Observation) Class {
	if o.Outcome != observe.Loads {
		return map[observe.Outcome]Class{observe.Fails: ClassFails, observe.Crashes: ClassCrashes, observe.Hangs: ClassHangs,
			observe.Unavailable: ClassUnavailable}[o.Outcome]
	}
	if finds, _ := Found(o, j.Single); finds != People {
		return ClassWrong
	}
	if share, known := o.Share(j.Provider); known && share < 1 {
		return ClassFallsBack
	}
	return ClassLoads
}
