package posetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/alert"
	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
)

// An offer is a promise of the catalogue: that a model, in a precision, is available on a platform.
type offer struct{ Model, Precision, Platform string }

// String names the claim as a sub-test is named, in which a slash would part the platform.
func (c offer) String() string {
	return fmt.Sprintf("model=%s/precision=%s/platform=%s", c.Model, c.Precision, strings.ReplaceAll(c.Platform, "/", "_"))
}

// says is the claim in the words of an error.
func (c offer) says() string {
	return fmt.Sprintf("%s calls %s %s available on %s", modelsList, c.Model, c.Precision, c.Platform)
}

// offers are those of all models.
func offers(models []catalog.Model) []offer {
	var all []offer
	for _, m := range models {
		for _, platform := range m.Available {
			all = append(all, offer{m.ID, m.Precision, platform})
		}
	}
	return all
}

// check holds the claim to a table: of the cells that there are, at least one on the claim's platform must have a row
// that loads, always, finds people, and was verified on that platform.
func (c offer) check(table expect.Table, places []expect.Place) error {
	var promising, others []string
	known := false
	for _, p := range places {
		if p.Platform != c.Platform {
			continue
		}
		known = true
		if p.Cell.Model != c.Model || p.Precision != c.Precision {
			continue
		}
		row, err := table.Match(p)
		switch {
		case err != nil:
			others = append(others, err.Error())
		case Steady(row) && row.Status.Verified(c.Platform):
			return nil
		case Steady(row):
			promising = append(promising, fmt.Sprintf("%s is %q", row.Where(), row.Status))
		case row.Want == observe.Loads:
			others = append(others, fmt.Sprintf("%s loads and finds %s", row.Where(), row.Finds))
		default:
			others = append(others, fmt.Sprintf("%s %s", row.Where(), row.Want))
		}
	}
	switch {
	case !known:
		return fmt.Errorf("%s, and no runtime is known for that platform; remove it there, or add a runtime with `posetest runtime pin`", c.says())
	case len(promising) > 0:
		return fmt.Errorf("%s, and nobody has seen it work there: %s; run the suite there and write into the row what it showed, or remove the platform from the entry",
			c.says(), strings.Join(distinct(promising), ", "))
	}
	return fmt.Errorf("%s, and by no row it loads and finds people there: %s; remove the platform from the entry",
		c.says(), strings.Join(distinct(others), ", "))
}

func distinct(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}

// TestAvailable has one sub-test for each model, precision and platform that the catalogue calls available: a row of the
// support table must be verified there, and where the platform is this machine's, one of those cells must have loaded and
// found the people in this very run. A file is no proof.
func (s *Suite) TestAvailable(t *testing.T) {
	if _, err := s.Plan(t.Context(), os.Stderr); err != nil {
		t.Fatal(err)
	}
	h, err := open(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	places, watch := h.places(), watching(t)
	for _, c := range offers(h.catalogue.Models) {
		if !selected(h.Models, c.Model) || !selected(h.Precisions, c.Precision) {
			continue
		}
		t.Run(c.String(), func(t *testing.T) {
			watch.judge(t, alert.Failure{File: InFolder(s.cfg, modelsList), Subject: c.String()}, func() error {
				here := c.Platform == observe.ThisMachine().Platform()
				switch {
				case h.table != nil:
					if err := c.check(h.table, places); err != nil {
						return err
					}
				case !here:
					return fmt.Errorf("%s, and there is no golden/support.toml in which a row could show it; write one, or remove the platform from the entry", c.says())
				}
				if !here {
					return nil
				}
				shown, err := s.showsHere(t.Context(), c)
				if err == nil {
					t.Logf("shown by %s", shown)
				}
				var gone *goneError
				if errors.As(err, &gone) && !s.cfg.Requires(gone.ID) {
					t.Skip(gone.Err)
				}
				return err
			})
		})
	}
}

// A goneError says that what could show a claim is missing.
type goneError struct{ Missing }

func (e *goneError) Error() string {
	return fmt.Sprintf("%v (POSETEST_REQUIRE allows no skip of %s)", e.Err, e.ID)
}

// showsHere returns a cell that shows a claim on this machine: verified, and in this run it loads and finds people. The
// error says why there is none; it is a [goneError] where the model or all its runtimes are missing.
func (s *Suite) showsHere(ctx context.Context, c offer) (observe.Cell, error) {
	is := func(cell observe.Cell) bool { return cell.BaseModel() == c.Model && cell.Precision == c.Precision }
	var errs []error
	for _, p := range s.plan.Cells {
		verified := p.Row.Status.Verified(c.Platform) || s.plan.Table == nil
		if !is(p.Cell) || p.Err != nil || !Steady(p.Row) || !verified {
			continue
		}
		o, err := s.observation(ctx, p, "available")
		if err != nil {
			return observe.Cell{}, err
		}
		if err := errors.Join(p.Judge().Load(o), p.Judge().Infer(o)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.Cell, err))
			continue
		}
		return p.Cell, nil
	}
	if len(errs) > 0 {
		return observe.Cell{}, fmt.Errorf("%s, and in this run no cell of it loads and finds the people:\n%w", c.says(), errors.Join(errs...))
	}
	if i := slices.IndexFunc(s.plan.Missing, func(m Missing) bool { return slices.ContainsFunc(m.Cells, is) }); i >= 0 {
		return observe.Cell{}, &goneError{s.plan.Missing[i]}
	}
	return observe.Cell{}, fmt.Errorf("%s, and none of its cells that are verified there is among those that run; choose runtimes and providers that have one, or remove the platform from the entry", c.says())
}

// availability is what a catalogue calls available, as a Markdown table: platforms down, models across.
func availability(models []catalog.Model) string {
	type at struct{ platform, model string }
	precisions := map[at][]string{}
	var platforms, ids []string
	for _, c := range offers(models) {
		precisions[at{c.Platform, c.Model}] = append(precisions[at{c.Platform, c.Model}], "`"+c.Precision+"`")
		platforms, ids = append(platforms, c.Platform), append(ids, c.Model)
	}
	ids = distinct(ids)
	var b strings.Builder
	fmt.Fprintf(&b, "| available on | %s |\n|---|%s\n", strings.Join(ids, " | "), strings.Repeat("---|", len(ids)))
	for _, platform := range distinct(platforms) {
		fmt.Fprintf(&b, "| %s |", platform)
		for _, id := range ids {
			list := "–"
			if has := precisions[at{platform, id}]; has != nil {
				list = strings.Join(has, ", ")
			}
			fmt.Fprintf(&b, " %s |", list)
		}
		b.WriteString("\n")
	}
	return b.String()
}
