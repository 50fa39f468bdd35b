package posetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/report"
	"github.com/posetest/suite/posetest/session"
	"golang.org/x/sync/errgroup"
)

// NewPage judges observations by the table of a configuration and makes the page of them, wherever they were made: it
// opens no runtime. What was seen before, if anything, is for the page's changes.
func NewPage(cfg Config, set observe.Set, before *observe.Set) (report.Page, error) {
	h, err := open(cfg)
	if err != nil {
		return report.Page{}, err
	}
	page := report.Page{Table: h.table, Today: h.Today, Photograph: h.photograph, Results: Results(h.table, set.Observations, h.Today)}
	for _, p := range set.Parts {
		page.Missing = append(append(page.Missing, p.Missing...), p.Unobserved...)
		if p.Of > 1 && len(set.Parts) == 1 {
			page.Missing = append(page.Missing, fmt.Sprintf("this is shard %d/%d of %s: %d of %d cells; join all with `posetest merge`", p.Shard, p.Of, p.Name(), p.Cells, p.Planned))
		}
	}
	if before != nil {
		page.Before = Results(h.table, before.Observations, h.Today)
	}
	return page, nil
}

// Results judges each observation by its row of a table, whose quarantines are held to a day. Without a table, and for a
// file of the user's own, a cell must load and find people.
func Results(table expect.Table, observations []observe.Observation, today time.Time) []report.Result {
	type place struct {
		observe.Cell
		kind string
	}
	at := map[place]int{}
	for i, o := range observations {
		at[place{o.Cell, o.Machine.Kind()}] = i
	}
	results := make([]report.Result, len(observations))
	for i, o := range observations {
		judge := expect.Judge{Row: expect.Own(), Provider: session.RuntimeName(o.Provider), Today: today}
		if family, err := pose.Lookup(o.Family); err == nil {
			judge.Single = family.Single()
		}
		r := report.Result{Observation: o}
		if table != nil && o.Precision != ownPrecision && !session.IsPlugin(o.Provider) {
			judge.Row, r.Problem = table.Match(placeOf(o))
		}
		r.Row, r.Class = judge.Row, judge.Classify(o)
		r.Share, _ = o.Share(judge.Provider)
		if r.Problem == nil {
			r.Problem = errors.Join(judge.Load(o), judge.Infer(o))
		}
		if _, held := judge.Row.AP[o.Precision]; held && o.COCO != nil && r.Problem == nil {
			r.Problem = judge.AP(o.Precision, o.COCO.AP)
		}
		base := place{o.Cell, o.Machine.Kind()}
		base.Precision = "fp32"
		if j, known := at[base]; known && j != i {
			if d, err := Drift(observations[j], o, judge.Single); err == nil {
				r.Drift = &d
			}
		}
		results[i] = r
	}
	return results
}

// runtimeID is a runtime's id: its distribution, if it is not the plain one, and its version.
var runtimeID = regexp.MustCompile(`^(?:(.+?)-)?(\d.*)$`)

// placeOf is where a cell was seen, as rows ask for it.
func placeOf(o observe.Observation) expect.Place {
	p := expect.Place{Cell: o.Cell, Distribution: "onnxruntime", Version: o.ORT, Platform: o.Machine.Platform(), ISA: o.Machine.ISA, Lacks: o.Lacks}
	if m := runtimeID.FindStringSubmatch(o.ORT); m != nil {
		p.Version = m[2]
		if m[1] != "" {
			p.Distribution += "-" + m[1]
		}
	}
	return p
}

// photograph is a photograph of the repository, for a picture that anybody may see; nil if it is not here, or another one.
// Those of the data path have licences of their own.
func (h *house) photograph(id, sha256 string) (*pose.Image, string) {
	for _, f := range h.catalogue.Fixtures {
		if f.ID != id || f.SHA256 != sha256 || f.Annotations != "" {
			continue
		}
		path, _, err := h.finder.Fixture(h.fixtures, f)
		if err != nil {
			return nil, ""
		}
		if sum, err := catalog.Sum(path); err != nil || sum != sha256 {
			return nil, ""
		}
		img, err := pose.ReadImage(path)
		if err != nil {
			return nil, ""
		}
		return img, fmt.Sprintf("%s: %s, %s", filepath.Base(path), f.Credit, f.Licence)
	}
	return nil, ""
}

// deal is the shard's part of a plan's cells, in their order. They are dealt one to each shard in turn, so that no shard has
// two more than another, and in the order of a hash of their names, so that none has all cells of a slow model. Each shard
// must have the same plan, which [observe.Merge] sees to.
func (s Shard) deal(cells []Planned) []Planned {
	if s.Of < 2 {
		return cells
	}
	hashes := map[observe.Cell]uint32{}
	var order []observe.Cell
	for _, c := range cells {
		h := fnv.New32a()
		h.Write([]byte(c.Cell.String()))
		hashes[c.Cell] = h.Sum32()
		order = append(order, c.Cell)
	}
	slices.SortFunc(order, func(a, b observe.Cell) int { return cmp.Or(cmp.Compare(hashes[a], hashes[b]), a.Compare(b)) })
	ours := map[observe.Cell]bool{}
	for i := s.Index - 1; i < len(order); i += s.Of {
		ours[order[i]] = true
	}
	return slices.DeleteFunc(slices.Clone(cells), func(c Planned) bool { return !ours[c.Cell] })
}

// Part narrows the plan to the cells of a shard, and describes them for the file of observations.
func (p *Plan) Part(shard Shard) observe.Part {
	machine := observe.ThisMachine()
	part := observe.Part{Platform: machine.Platform(), ISA: machine.ISA, Planned: len(p.Cells), Shard: max(1, shard.Index), Of: max(1, shard.Of)}
	models := map[observe.Cell]string{}
	for _, c := range p.Cells {
		models[c.Cell] = c.File.SHA256
	}
	part.Plan = observe.PlanSum(models)
	p.Cells = shard.deal(p.Cells)
	part.Cells = len(p.Cells)
	var photographs []error
	for _, m := range p.Missing {
		if len(m.Cells) > 0 {
			part.Missing = append(part.Missing, fmt.Sprintf("%v (%d cells)", m.Err, len(m.Cells)))
		} else {
			photographs = append(photographs, m.Err)
		}
	}
	switch n := len(photographs); n {
	case 0:
	case 1:
		part.Missing = append(part.Missing, photographs[0].Error())
	default:
		part.Missing = append(part.Missing, fmt.Sprintf("%v (and %d more)", photographs[0], n-1))
	}
	return part
}

// CanAP tells why [Suite.RunAP] can't run.
func (s *Suite) CanAP() error {
	set, err := s.cocoSet()
	if err == nil && set == nil {
		err = fmt.Errorf("%s is missing; set POSETEST_DATA to the folder that holds it", cocoAnnotations)
	}
	return err
}

// RunAP takes COCO's figures of each cell that loads and whose row has an AP, and puts them into its observation; all is
// what Run returned for the plan. Each done is told of a cell that is finished, or has none.
func (s *Suite) RunAP(ctx context.Context, plan *Plan, all []observe.Observation, done func(Planned)) error {
	if err := s.CanAP(); err != nil {
		return err
	}
	set, err := s.cocoSet()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.cfg.Workers)
	for i, p := range plan.Cells {
		group.Go(func() error {
			defer done(p)
			if _, held := p.Row.AP[p.Precision]; !held || all[i].Outcome != observe.Loads {
				return nil
			}
			stats, err := s.COCO(ctx, p, *set)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil { // as in Run: what one cell does is that cell's verdict
				return noteOutcome(&all[i], err)
			}
			all[i].COCO = &observe.COCO{Images: len(set.Annotations.Images), AP: stats.AP, AP50: stats.AP50, AR: stats.AR}
			return nil
		})
	}
	return group.Wait()
}
