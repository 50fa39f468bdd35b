package choose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Query asks for a precision.
type Query struct {
	Model     string `json:"model"`
	Precision string `json:"precision,omitempty"` // "" for the best
	Provider  string `json:"provider"`            // "cpu", or as the runtime says, "CPUExecutionProvider"
	Runtime   string `json:"runtime"`             // "1.22.1", "openvino-1.24.1"
	Platform  string `json:"platform"`            // "linux/amd64": runtime.GOOS + "/" + runtime.GOARCH
	ISA       string `json:"isa,omitempty"`       // class of the processor, see [Table]; "" if it is not known: then no speed is, either
	// Lacks is what the machine has not of what the provider needs beyond the build: "libraries", "device", "" for nothing.
	Lacks string `json:"lacks,omitempty"`
}

// where is the query's place, for a message.
func (q Query) where() string {
	s := fmt.Sprintf("%s of runtime %s, %s", q.Provider, q.Runtime, q.Platform)
	if q.Lacks != "" {
		s += " without the provider's " + q.Lacks
	}
	return s
}

// nothing is what a machine lacks that has all that a provider needs.
const nothing = "nothing"

// place is a cell as conditions see it.
type place struct{ model, precision, provider, runtime, platform, isa, lacks string }

func (q Query) place(precision, provider string) place {
	return place{q.Model, precision, provider, q.Runtime, q.Platform, q.ISA, cmp.Or(q.Lacks, nothing)}
}

// A Choice is a precision that may be used: a run of the suite on that platform showed that it loads and finds the people.
type Choice struct {
	Model     string `json:"model"`
	Precision string `json:"precision"`
	Provider  string `json:"provider"`
	Runtime   string `json:"runtime"`
	Platform  string `json:"platform"`
	File      string `json:"file"`
	SHA256    string `json:"sha256"` // of the file that was run; another export of the model is another model
	// Drift is what becomes of most persons that fp32 finds: "none", "jitter", or "" where the table does not say.
	Drift   string  `json:"drift,omitempty"`
	Share   float64 `json:"share"`              // of the model's nodes that are on the provider: 1 for all
	AtLeast float64 `json:"at_least,omitempty"` // × the speed of fp32 there; 0 where no bar is verified
	AtMost  float64 `json:"at_most,omitempty"`  // × the speed of fp32 there, of what is known to be slow; 0 for no such bar
	Status  string  `json:"status"`             // how it is known
	Where   string  `json:"where"`              // of its row in the support table
	Best    *Choice `json:"best,omitempty"`     // a better one, where this one was asked for
}

// String says in a sentence what is known of the choice.
func (c Choice) String() string {
	s := fmt.Sprintf("%s of %s on %s of runtime %s, %s: %s", c.Precision, c.Model, c.Provider, c.Runtime, c.Platform, c.merits())
	if c.Best != nil {
		s += fmt.Sprintf("; %s is better: %s", c.Best.Precision, c.Best.merits())
	}
	return s
}

func (c Choice) merits() string {
	words := []string{"finds the people"}
	switch {
	case c.Precision == "fp32":
	case c.Drift == driftNone:
		words[0] = "finds what fp32 finds"
	case c.Drift == driftJitter:
		words[0] = "finds the people, with joints somewhat elsewhere than fp32's"
	}
	if c.AtLeast > 0 {
		words = append(words, fmt.Sprintf("at least %g × as fast as fp32", c.AtLeast))
	}
	if c.AtMost > 0 {
		words = append(words, fmt.Sprintf("at most %g × as fast as fp32", c.AtMost))
	}
	if c.Share < 1 {
		words = append(words, fmt.Sprintf("with %.0f %% of its nodes on the provider", 100*c.Share))
	}
	return fmt.Sprintf("%s (%s, %s)", strings.Join(words, ", "), c.Where, c.Status)
}

// speed is what is sure of it, × fp32's: of what is only known to be slow no more than that, and without a bar fp32's.
func (c Choice) speed() float64 {
	switch {
	case c.AtLeast > 0:
		return c.AtLeast
	case c.AtMost > 0:
		return min(c.AtMost, 1)
	}
	return 1
}

// compare puts the better one first: what finds what fp32 finds, then what is faster, then what is on the provider.
func compare(a, b Choice) int {
	drifts := func(c Choice) int {
		if c.Drift == driftNone {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(drifts(a), drifts(b)), cmp.Compare(b.speed(), a.speed()), cmp.Compare(b.Share, a.Share))
}

// What may happen to persons in a precision that passes; see [Row].
const (
	driftNone   = "none"
	driftJitter = "jitter"
)

// A RefusedError says why a precision may not be used, or why none may, and what to use instead.
type RefusedError struct {
	Query    Query  `json:"query"`
	Reason   string `json:"reason"`        // a sentence with the runtime's own words, where there are any
	Row      *Row   `json:"row,omitempty"` // that refuses it; nil if none is for it
	Verified bool   `json:"verified"`      // the row was seen to be true on this platform
	// Instead is the best that may be used: on this provider, or else on another one of this runtime. It is nil if nothing of
	// the model is verified in this runtime on this platform.
	Instead *Choice `json:"instead,omitempty"`
	// Expected is the best that should work on this provider by the table, and that nobody has seen there: not to be relied on.
	Expected *Choice `json:"expected,omitempty"`
	// Builds are the runtimes that have a build for the platform, where the one that was asked for has none.
	Builds []string `json:"builds,omitempty"`
}

func (e *RefusedError) Error() string {
	what := fmt.Sprintf("%s of %s is refused", e.Query.Precision, e.Query.Model)
	if e.Query.Precision == "" {
		what = fmt.Sprintf("every precision of %s is refused", e.Query.Model)
	}
	return fmt.Sprintf("%s on %s: %s; %s", what, e.Query.where(), e.Reason, e.advice())
}

func (e *RefusedError) advice() string {
	const run = "run the suite on such a machine (posetest report), and write what it shows into the support table"
	switch {
	case e.Builds != nil:
		return "choose from " + strings.Join(e.Builds, ", ")
	case e.Instead != nil && e.Instead.Provider != e.Query.Provider:
		return fmt.Sprintf("use %s on %s, which %s", e.Instead.Precision, e.Instead.Provider, e.Instead.merits())
	case e.Instead != nil:
		return fmt.Sprintf("use %s, which %s", e.Instead.Precision, e.Instead.merits())
	case e.Expected != nil && e.Expected.Precision != cmp.Or(e.Query.Precision, "fp32"): // or else the reason has said so
		return fmt.Sprintf("nothing of this model is verified there: %s should work (%s); %s", e.Expected.Precision, known(*e.Expected, false), run)
	}
	return "nothing of this model is verified there; " + run
}

// An UnknownError says that the table does not know a word of the query: a typo, or what the suite has not been run with.
type UnknownError struct {
	What  string // "model", "precision", "provider", "runtime", "platform", "isa", "lacks"
	Word  string
	Known []string // words of that kind, sorted
}

func (e *UnknownError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("%s %q is unknown, as the table has none", e.What, e.Word)
	}
	return fmt.Sprintf("%s %q is unknown; choose from %s", e.What, e.Word, strings.Join(e.Known, ", "))
}

// Select returns the precision that was asked for, or without one the best: of what may be used, what finds what fp32
// finds, then what is fastest for sure, then what comes first in the table, fp32 before all. The error is a
// [*RefusedError], or an [*UnknownError].
func (t Table) Select(q Query) (Choice, error) {
	q, err := t.know(q)
	if err != nil {
		return Choice{}, err
	}
	build, ok := t.build(q)
	if !ok {
		return Choice{}, &RefusedError{Query: q, Reason: "that runtime has no build for it", Builds: t.runtimes(q.Platform)}
	}
	all := t.look(q, q.Provider)
	allowed := rank(all, verdict.allowed)
	asked, subject := all[0], all[0].Precision // fp32 stands for all
	if q.Precision == "" && len(allowed) > 0 {
		return allowed[0], nil
	}
	if q.Precision != "" {
		i := slices.IndexFunc(all, func(v verdict) bool { return v.Precision == q.Precision })
		asked, subject = all[i], "it"
	}
	if asked.allowed() {
		if compare(allowed[0], asked.Choice) < 0 {
			asked.Best = &allowed[0]
		}
		return asked.Choice, nil
	}
	refused := &RefusedError{Query: q, Reason: asked.reason(subject), Row: asked.row, Verified: asked.verified,
		Instead: first(allowed), Expected: first(rank(all, verdict.expected))}
	for _, other := range build.Providers {
		if refused.Instead == nil {
			refused.Instead = first(rank(t.look(q, other), verdict.allowed))
		}
	}
	return Choice{}, refused
}

// Ranked are all precisions that may be used on the provider, the best first, whichever the query asks for. The error is
// an [*UnknownError].
func (t Table) Ranked(q Query) ([]Choice, error) {
	q, err := t.know(q)
	if err != nil {
		return nil, err
	}
	if _, ok := t.build(q); !ok {
		return nil, nil
	}
	return rank(t.look(q, q.Provider), verdict.allowed), nil
}

// Platforms are those, sorted, for which a runtime's build brings a provider.
func (t Table) Platforms(runtime, provider string) []string {
	base, _, _ := strings.Cut(t.provider(provider), "-") // of "coreml-mlprogram" it is "coreml"
	var all []string
	for _, b := range t.Builds {
		if b.Runtime == runtime && slices.Contains(b.Providers, base) {
			all = append(all, b.Platform)
		}
	}
	slices.Sort(all)
	return all
}

func first(ranked []Choice) *Choice {
	if len(ranked) == 0 {
		return nil
	}
	return &ranked[0]
}

// rank are the choices of verdicts that are ok, the best first.
func rank(all []verdict, ok func(verdict) bool) []Choice {
	var choices []Choice
	for _, v := range all {
		if ok(v) {
			choices = append(choices, v.Choice)
		}
	}
	slices.SortStableFunc(choices, compare)
	return choices
}

// provider is our name of an execution provider, the shortest if it has several.
func (t Table) provider(word string) string {
	for _, ours := range keys(t.Providers) {
		if word == t.Providers[ours] {
			return ours
		}
	}
	return word
}

// know fills what the query leaves out, and tells of a word that the table does not know, so that a typo is no refusal.
func (t Table) know(q Query) (Query, error) {
	q.Provider = t.provider(q.Provider)
	if q.Lacks == nothing {
		q.Lacks = ""
	}
	if isas := t.ISAs[q.Platform]; q.ISA == "" && len(isas) == 1 {
		q.ISA = isas[0]
	}
	var precisions, runtimes []string
	for _, f := range t.Models[q.Model] {
		precisions = append(precisions, f.Precision)
	}
	for _, b := range t.Builds {
		runtimes = append(runtimes, b.Runtime)
	}
	for _, word := range []struct {
		what, word string
		known      []string
		open       bool // may be left out
	}{
		{"model", q.Model, keys(t.Models), false},
		{"precision", q.Precision, precisions, len(precisions) > 0},
		{"provider", q.Provider, keys(t.Providers), false},
		{"runtime", q.Runtime, runtimes, false},
		{"platform", q.Platform, keys(t.ISAs), false},
		{"isa", q.ISA, t.ISAs[q.Platform], true},
		{"lacks", q.Lacks, t.Lacks, true},
	} {
		if !slices.Contains(word.known, word.word) && !(word.open && word.word == "") {
			return q, &UnknownError{word.what, word.word, slices.Compact(slices.Sorted(slices.Values(word.known)))}
		}
	}
	return q, nil
}

func (t Table) build(q Query) (Build, bool) {
	i := slices.IndexFunc(t.Builds, func(b Build) bool { return b.Runtime == q.Runtime && b.Platform == q.Platform })
	if i < 0 {
		return Build{}, false
	}
	return t.Builds[i], true
}

// runtimes are those that have a build for a platform.
func (t Table) runtimes(platform string) []string {
	var all []string
	for _, b := range t.Builds {
		if b.Platform == platform {
			all = append(all, b.Runtime)
		}
	}
	return all
}

// A verdict is what the table says of one cell.
type verdict struct {
	Choice          // if it is allowed
	row      *Row   // nil if none is for the cell, or more than one
	unclear  string // why row is nil
	passes   bool   // by its row, verified or not
	verified bool
}

func (v verdict) allowed() bool  { return v.passes && v.verified }
func (v verdict) expected() bool { return v.passes && !v.verified }

// look gives the verdicts on all precisions of the model, in the order of the table.
func (t Table) look(q Query, provider string) []verdict {
	var all []verdict
	for _, f := range t.Models[q.Model] {
		v := t.judge(q.place(f.Precision, provider))
		v.File, v.SHA256 = f.Name, f.SHA256
		all = append(all, v)
	}
	return all
}

func (t Table) judge(p place) verdict {
	v := verdict{Choice: Choice{Model: p.model, Precision: p.precision, Provider: p.provider, Runtime: p.runtime, Platform: p.platform}}
	for i := range t.Rows {
		r := &t.Rows[i]
		if !r.has(p) {
			continue
		}
		if v.row != nil {
			v.unclear = fmt.Sprintf("rows %s and %s are both for it", v.row.Where, r.Where)
			v.row = nil
			return v
		}
		v.row = r
	}
	if v.row == nil {
		v.unclear = "no row of the table is for it"
		return v
	}
	r := v.row
	v.Status, v.Where, v.Drift = r.Status, r.Where, r.Drift[p.precision]
	if p.precision == "fp32" {
		v.Drift = driftNone
	}
	v.Share = r.share(t.Providers[p.provider])
	v.passes = r.Passes && slices.Contains([]string{"", driftNone, driftJitter}, v.Drift)
	v.verified = slices.Contains(r.Verified, p.platform)
	v.AtLeast, v.AtMost = t.speed(p)
	return v
}

// share is that of the nodes which are on the provider, as the runtime names it.
func (r Row) share(provider string) float64 {
	all := 0
	for _, nodes := range r.Placement {
		all += nodes
	}
	if all == 0 {
		return 1
	}
	return float64(r.Placement[provider]) / float64(all)
}

// speed is the bar of a cell that was verified on its platform; 0, 0 if there is none, or more than one.
func (t Table) speed(p place) (atLeast, atMost float64) {
	bars := 0
	for _, s := range t.Speeds {
		if !s.has(p) {
			continue
		}
		if bars++; bars > 1 {
			return 0, 0
		}
		if slices.Contains(s.Verified, p.platform) {
			atLeast, atMost = s.AtLeast, s.AtMost
		}
	}
	return atLeast, atMost
}

// reason says why it may not be used, of a subject: "it", or the precision.
func (v verdict) reason(subject string) string {
	r, background := v.row, known(v.Choice, v.verified)
	switch {
	case r == nil:
		return v.unclear
	case v.passes:
		return fmt.Sprintf("%s should work there, and no run of the suite has shown that (%s)", subject, background)
	case r.Passes:
		return fmt.Sprintf("%s loads, and what it finds drifts from fp32's: %s (%s)", subject, v.Drift, background)
	}
	s := subject + " " + r.Does
	if r.Message != "" {
		s += ": " + r.Message
	}
	if r.See != "" {
		background = r.See + "; " + background
	}
	if r.Why != "" {
		background = r.Why + "; " + background
	}
	return s + " (" + background + ")"
}

// known says where it is written, and how it is known on the platform that was asked for.
func known(c Choice, verified bool) string {
	if verified || c.Status == "unverified" {
		return c.Where + ", " + c.Status
	}
	return fmt.Sprintf("%s, not verified on %s: %s", c.Where, c.Platform, c.Status)
}
