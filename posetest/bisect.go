package posetest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/posetest/suite/posetest/diagnose"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/golden"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/session"
)

// A Bisection says which change is looked for, of one model on one provider, between which releases of a distribution.
type Bisection struct {
	From, To string  // runtime ids; default: the oldest and the newest of runtimes.json that bring the provider
	By       string  // one of [BisectBy]; default "load"
	MoreThan float64 // by speed: the share of time that counts as a change; default 0.1
	Contest  Contest // by speed
}

// BisectBy are the outcomes that can be looked for.
func BisectBy() []string { return []string{"load", "placement", "keypoints", "speed"} }

// A Bisected is what a bisection found.
type Bisected struct {
	Sentence string
	Changes  bool
	Rows     string // TOML of the two rows of the support table, "" where they would not differ
}

// Bisect finds between which releases an outcome of the one model, precision and provider of the configuration changes, or of its
// own model. Steps are told to log, and so is each release whose sums nobody reviewed. Its error wraps [ErrSetup] unless the
// context ended.
func Bisect(ctx context.Context, cfg Config, b Bisection, log Log) (Bisected, error) {
	fail := func(err error) (Bisected, error) {
		if errors.Is(err, ErrSetup) {
			return Bisected{}, err
		}
		return Bisected{}, setupUnlessDone(ctx, err)
	}
	if b.By = cmp.Or(b.By, "load"); !slices.Contains(BisectBy(), b.By) {
		return fail(fmt.Errorf("--by %q must be one of %s", b.By, strings.Join(BisectBy(), ", ")))
	}
	b.MoreThan = cmp.Or(b.MoreThan, 0.1)
	h, err := open(cfg)
	if err != nil {
		return Bisected{}, err
	}
	h.Library = "" // a library of the user's own is no release
	if err := h.checkFilters(); err != nil {
		return fail(err)
	}
	j := bisecting{Bisection: b, house: h, log: log, looks: map[int]looked{}, ref: -1}
	if err := j.findReleases(ctx); err != nil {
		return fail(err)
	}
	found, err := bisect(len(j.releases), func(i int) bool { return j.isHere[i] }, func(i int) (string, error) { return j.look(ctx, i) })
	if err != nil {
		return fail(err)
	}
	result := Bisected{Changes: found.changes, Sentence: j.sentence(found)}
	if found.changes {
		result.Rows = j.rows(found)
	}
	return result, nil
}

// A bisecting is a bisection at work.
type bisecting struct {
	Bisection
	*house
	log      Log
	releases []ortlib.Runtime // ascending
	ids      []string         // of runtimes.json, of the same distribution, ascending
	isHere   []bool           // installed from the beginning on
	looks    map[int]looked
	ref      int // the first release that was looked at, with which others are compared; -1 before
}

// A looked is what was seen in one release.
type looked struct {
	state   string // equal where nothing changed
	short   string // a few words: "fails", "loads"
	suite   *Suite
	planned Planned
	seen    observe.Observation
}

// findReleases lists what lies between the ends.
func (j *bisecting) findReleases(ctx context.Context) error {
	from, to, err := j.ends()
	if err != nil {
		return err
	}
	all, err := j.store(j.log).Releases(ctx, from.Distribution)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		fmt.Fprintf(j.log, "%v: only the releases that are known without it are looked at\n", err)
	}
	for _, end := range []ortlib.Runtime{from, to} {
		if !slices.ContainsFunc(all, func(r ortlib.Runtime) bool { return r.Version == end.Version }) {
			return fmt.Errorf("there is no %s for this machine; the releases are %s", end, versions(all))
		}
	}
	j.releases = slices.DeleteFunc(all, func(r ortlib.Runtime) bool {
		return !atLeast(r.Version, from.Version) || !atLeast(to.Version, r.Version)
	})
	for _, r := range j.releases {
		_, err := j.store(nil).Library(r)
		j.isHere = append(j.isHere, err == nil)
	}
	fmt.Fprintf(j.log, "%s, by %s, in %d releases of %s: %s\n", j.what(), j.By, len(j.releases), from.Distribution, versions(j.releases))
	return nil
}

// ends are the first release and the last, and notes which of their distribution runtimes.json has.
func (j *bisecting) ends() (from, to ortlib.Runtime, err error) {
	if from, err = parseEnd(j.From); err != nil {
		return from, to, err
	}
	if to, err = parseEnd(j.To); err != nil {
		return from, to, err
	}
	if from.Distribution != to.Distribution && j.From != "" && j.To != "" {
		return from, to, fmt.Errorf("%s and %s are of two distributions; name two releases of one", from, to)
	}
	distribution := cmp.Or(from.Distribution, to.Distribution)
	var known []ortlib.Runtime
	for _, r := range j.runtimes { // sorted by distribution: onnxruntime itself comes first
		here, err := r.Here()
		if err != nil {
			continue
		}
		if distribution == "" && r.Needs == "" && slices.Contains(here.Providers, j.Providers[0]) {
			distribution = r.Distribution
		}
		if r.Distribution == distribution {
			known, j.ids = append(known, r), append(j.ids, r.ID())
		}
	}
	if len(known) == 0 && (j.From == "" || j.To == "") {
		return from, to, fmt.Errorf("runtimes.json has no runtime for this machine that brings %s; name the releases with --from and --to", j.Providers[0])
	}
	if j.From == "" {
		from = known[0]
	}
	if j.To == "" {
		to = known[len(known)-1]
	}
	if !atLeast(to.Version, from.Version) {
		return from, to, fmt.Errorf("%s comes before %s; swap --from and --to", to, from)
	}
	return from, to, nil
}

// parseEnd reads the id of an end, the zero one of "".
func parseEnd(id string) (ortlib.Runtime, error) {
	if id == "" {
		return ortlib.Runtime{}, nil
	}
	r, err := ortlib.ParseID(id)
	if err == nil && !atLeast(r.Version, session.MinVersion) {
		err = fmt.Errorf("%s is older than %s, the oldest ONNX Runtime that posetest can open", r, session.MinVersion)
	}
	return r, err
}

func (j *bisecting) what() string {
	if j.Own != nil {
		return j.Own.Path + " on " + j.Providers[0]
	}
	return fmt.Sprintf("%s %s on %s", j.Models[0], j.Precisions[0], j.Providers[0])
}

// atLeast compares two versions; one that is none is not.
func atLeast(version, least string) bool {
	v, err := semver.NewVersion(version)
	w, err2 := semver.NewVersion(least)
	return err == nil && err2 == nil && v.Compare(w) >= 0
}

func versions(all []ortlib.Runtime) string {
	var words []string
	for _, r := range all {
		words = append(words, r.Version)
	}
	return strings.Join(words, ", ")
}

// look observes a release.
func (j *bisecting) look(ctx context.Context, i int) (string, error) {
	l, err := j.observe(ctx, i)
	if err == nil {
		err = j.judge(ctx, &l)
	}
	if skipped, ok := errors.AsType[*skippedError](err); ok {
		fmt.Fprintf(j.log, "  %s is skipped: %v\n", j.releases[i].Version, skipped)
		return "", err
	}
	if err != nil {
		return "", err
	}
	note, state := "", l.state
	if !slices.Contains(j.ids, j.releases[i].ID()) {
		note = " (its sums were taken from what pip brought, and not reviewed)"
	}
	if j.ref < 0 {
		j.ref = i
		if j.By == "keypoints" || j.By == "speed" {
			state = "loads; the others are compared with it"
		}
	}
	j.looks[i] = l
	fmt.Fprintf(j.log, "  %s%s: %s\n", j.releases[i].Version, note, state)
	return l.state, nil
}

// observe runs the cell in a release, which it installs where it is missing.
func (j *bisecting) observe(ctx context.Context, i int) (l looked, err error) {
	r := j.releases[i]
	if len(r.Platforms) == 0 {
		if r, err = j.store(j.log).Adopt(ctx, r.String()); err != nil {
			if ctx.Err() != nil {
				return l, context.Cause(ctx)
			}
			return l, &skippedError{err}
		}
		j.releases[i] = r
	}
	h := *j.house
	h.runtimes, h.Runtimes = []ortlib.Runtime{r}, r.ID()
	plan, err := h.plan(ctx, j.log)
	if err != nil {
		return l, err
	}
	for _, m := range plan.Missing {
		if m.ID == r.ID() {
			return l, &skippedError{m.Err}
		}
	}
	if len(plan.Cells) == 0 {
		return l, plan.Missing[0].Err
	}
	l.planned = plan.Cells[0]
	l.suite = &Suite{cfg: h.Config}
	l.suite.once.Do(func() { l.suite.plan = plan })
	l.seen, err = l.suite.Observe(ctx, l.planned)
	return l, err
}

// judge gives what was seen its state. Only what loads has more of it than how it was refused.
func (j *bisecting) judge(ctx context.Context, l *looked) error {
	l.short, l.state = string(l.seen.Outcome), expect.Describe(l.seen)
	if j.By == "load" {
		return nil
	}
	if j.ref < 0 && l.seen.Outcome != observe.Loads && j.By != "placement" {
		return fmt.Errorf("%s does not load in %s (%s), and there is nothing to compare with; bisect --by load first, or begin --from a release that loads", j.what(), l.planned.ORT, l.state)
	}
	if l.seen.Outcome != observe.Loads {
		return nil
	}
	if j.By == "placement" {
		l.state = placementWords(l.seen, l.planned.Judge().Provider)
		l.short = l.state
		return nil
	}
	if j.ref < 0 {
		l.state = map[string]string{"keypoints": foundSame, "speed": asFast}[j.By]
		l.short = l.state
		return nil
	}
	if j.By == "keypoints" {
		return j.keypoints(l)
	}
	return j.speed(ctx, l)
}

// States by keypoints and by speed.
const (
	foundSame = "finds the same"
	moved     = "finds other keypoints"
	asFast    = "is as fast"
	slower    = "is slower"
	faster    = "is faster"
)

// placementWords say where the nodes are.
func placementWords(o observe.Observation, provider string) string {
	if share, known := o.Share(provider); known && share == 1 {
		return "has all nodes on " + provider
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(o.Placement)) {
		words = append(words, fmt.Sprintf("%d nodes on %s", o.Placement[name], name))
	}
	if words == nil {
		return "tells no placement"
	}
	return "has " + strings.Join(words, ", ")
}

// keypoints compares what was found with what the first release finds, as goldens are compared.
func (j *bisecting) keypoints(l *looked) error {
	ref := j.looks[j.ref]
	d, err := Drift(ref.seen, l.seen, l.planned.Single)
	if err != nil {
		return err
	}
	l.state = foundSame
	for i, photo := range l.seen.Photos {
		if golden.Compare(photo.Persons, ref.seen.Photos[i].Persons, golden.Tolerance{}) != nil {
			l.state = moved
		}
	}
	l.short = l.state
	fmt.Fprintf(j.log, "  %s beside %s: %d of %d persons found again, OKS %.4f at least, joints moved by %.2f %% of a person's size at most\n",
		l.planned.Version, ref.planned.Version, d.Matched, d.Persons, d.MinOKS, 100*d.Error.Max)
	return nil
}

// speed lets it take turns with the first release. A ratio whose interval holds the limit is measured once more, and both runs
// together decide.
func (j *bisecting) speed(ctx context.Context, l *looked) error {
	ref := j.looks[j.ref]
	c := j.Contest
	got, err := ref.suite.Compare(ctx, Side{Planned: ref.planned}, Side{Planned: l.planned}, c, nil)
	if err != nil {
		return err
	}
	limits := [2]float64{1 / (1 + j.MoreThan), 1 + j.MoreThan}
	unsure := func() bool {
		return slices.ContainsFunc(limits[:], func(limit float64) bool { return got.Wall.Low < limit && limit < got.Wall.High })
	}
	if unsure() {
		c.Seed++
		more, err := ref.suite.Compare(ctx, Side{Planned: ref.planned}, Side{Planned: l.planned}, c, nil)
		if err != nil {
			return err
		}
		got.Wall = got.Wall.Join(more.Wall)
	}
	switch {
	case got.Wall.Ratio > limits[1]:
		l.state = slower
	case got.Wall.Ratio < limits[0]:
		l.state = faster
	default:
		l.state = asFast
	}
	l.short = l.state
	doubt := ""
	if unsure() {
		doubt = "; the interval holds the limit, so that another run may say otherwise"
	}
	fmt.Fprintf(j.log, "  %s takes %v as long as %s%s\n", l.planned.Version, got.Wall, ref.planned.Version, doubt)
	return nil
}

// sentence says what was found, exact to the release.
func (j *bisecting) sentence(b boundary) string {
	version := func(i int) string { return j.releases[i].Version }
	first, last := j.looks[b.first], j.looks[b.last]
	beside := ""
	if j.By == "keypoints" || j.By == "speed" {
		beside = " (beside " + version(b.first) + ")"
	}
	if !b.changes {
		return fmt.Sprintf("%s: %s in %s and in %s, so that nothing changes between them; a change that was taken back is not seen%s", j.what(), first.state, version(b.first), version(b.last), j.skipped(b))
	}
	before, after := j.looks[b.before], j.looks[b.after]
	then := after.short
	if then == before.short {
		then += " otherwise (" + after.state + ")"
	}
	s := fmt.Sprintf("%s: %s up to %s, %s from %s on%s", j.what(), before.short, version(b.before), then, version(b.after), beside)
	if b.again {
		s = fmt.Sprintf("%s: %s up to %s, %s in %s%s; it changes more than once: %s in %s; bisect again --from %s", j.what(), before.short, version(b.before), then, version(b.after), beside,
			last.state, version(b.last), after.planned.ORT)
	}
	return s + j.skipped(b)
}

func (j *bisecting) skipped(b boundary) string {
	var words []string
	for _, i := range b.skipped {
		words = append(words, j.releases[i].Version)
	}
	if words == nil {
		return ""
	}
	return "; could not be looked at: " + strings.Join(words, ", ")
}

// rows are the two of the support table, "" where they would be one.
func (j *bisecting) rows(b boundary) string {
	before, after := j.looks[b.before], j.looks[b.after]
	lower, upper := ">="+j.releases[b.first].Version+", ", ", <="+j.releases[b.last].Version
	if len(j.ids) > 0 && j.releases[b.first].ID() == j.ids[0] {
		lower = "" // older ones are not in the table
	}
	if len(j.ids) > 0 && j.releases[b.last].ID() == j.ids[len(j.ids)-1] {
		upper = ""
	}
	from := ">=" + j.releases[b.after].Version + upper
	if b.again {
		from = "=" + j.releases[b.after].Version
	}
	up := lower + "<" + j.releases[b.before+1].Version
	if before.row("") == after.row("") {
		return ""
	}
	return before.row(up) + "\n" + after.row(from)
}

// row is a [[row]] of the support table for what was seen, with the conditions of the row that the cell has now; ort "" is for
// comparing two.
func (l looked) row(ort string) string {
	p, o := l.planned, l.seen
	var w strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&w, "%s = %s\n", key, quote(value)) }
	w.WriteString("[[row]]\n")
	line("model", p.BaseModel())
	line("precision", p.Precision)
	line("provider", p.Provider)
	line("ort", ort)
	now := p.Row.Conditions
	if p.Row.Line == 0 && p.Distribution != "onnxruntime" {
		now = expect.Conditions{Distribution: expect.Set{p.Distribution}, Platform: expect.Set{p.Platform}}
	}
	for _, condition := range []struct {
		key string
		set expect.Set
	}{{"distribution", now.Distribution}, {"platform", now.Platform}, {"isa", now.ISA}} {
		if len(condition.set) > 0 {
			line(condition.key, strings.Join(condition.set, " "))
		}
	}
	line("want", o.Outcome)
	unstable := p.Row.Want == o.Outcome && p.Row.Unstable()
	if unstable {
		line("sometimes", strings.Join(p.Row.Sometimes, " "))
		line("owner", p.Row.Owner)
		fmt.Fprintf(&w, "until = %s\n", p.Row.Until)
	}
	plain := o.Outcome == observe.Loads && !unstable
	switch {
	case o.Failure != nil:
		line("message", o.Failure.Message)
		if o.Failure.Op != "" {
			line("op", o.Failure.Op)
			line("opset", o.Failure.Opset)
			line("node", o.Failure.Node)
		}
	case o.Death != nil:
		if o.Death.Signal != "" {
			line("signal", o.Death.Signal)
		}
		line("during", o.Death.During)
	default:
		if finds, _ := expect.Found(o, p.Single); finds != expect.People {
			line("finds", finds)
			plain = false
		}
		if share, known := o.Share(p.Judge().Provider); known && share < 1 {
			var parts []string
			for _, name := range slices.Sorted(maps.Keys(o.Placement)) {
				parts = append(parts, fmt.Sprintf("%s = %d", name, o.Placement[name]))
			}
			fmt.Fprintf(&w, "placement = { %s }\n", strings.Join(parts, ", "))
			plain = false
		}
	}
	if !plain {
		why, see := l.why()
		line("why", why)
		if see != "" {
			line("see", see)
		}
	}
	line("status", fmt.Sprintf("verified %s %s", p.Platform, o.When.Format("2006-01-02")))
	if r := p.Row; ort != "" && r.Line > 0 {
		fmt.Fprintf(&w, "# this cell has the row %s now: narrow or remove that, and keep what it says of ap and drift\n", r.Where())
	}
	return w.String()
}

// why is the reason that the table has, or else what the model's file alone lets say.
func (l looked) why() (why, see string) {
	if r := l.planned.Row; r.Want == l.seen.Outcome && r.Why != "" {
		return r.Why, r.See
	}
	if g, err := onnx.ReadGraphFile(l.planned.File.Path); err == nil {
		p := diagnose.Look(g).Predict(l.planned.diagnosed(nil))
		if p.Class == l.planned.Judge().Classify(l.seen) && len(p.Why) > 0 {
			return p.Why[0].Text, p.Why[0].See
		}
	}
	return "seen by posetest bisect; nobody has looked into the reason", ""
}

// quote writes a value as TOML does; what JSON writes is that for strings and whole numbers.
func quote(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return `""`
	}
	return strings.TrimSpace(b.String())
}
