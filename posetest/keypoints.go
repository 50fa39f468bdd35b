package posetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/golden"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/report"
)

// TestKeypoints has one sub-test a cell that finds people: are its keypoints those of its golden? A failure leaves a
// picture of both in the test's artifact folder. With update goldens are written instead, cell by cell; in CI that is
// refused. INT8 kernels differ by processor class: on one that has no golden, TestDrift alone holds the cell, and this
// test says so.
func (s *Suite) TestKeypoints(t *testing.T, update bool) {
	right := func(p Planned) bool { return p.Row.Want == observe.Loads && p.Row.Finds == expect.People }
	s.each(t, facet{user: "keypoints", of: right, oneByOne: update}, func(t *testing.T, p Planned, o observe.Observation) error {
		store := golden.Store{Dir: filepath.Join(s.cfg.Dir, "golden", "keypoints"), CI: os.Getenv("CI") != "" && os.Getenv("CI") != "false"}
		// The data path's photographs are not everybody's.
		o.Photos = slices.DeleteFunc(slices.Clone(o.Photos), func(photo observe.Photo) bool { return s.plan.photograph(photo.Fixture).Annotations != "" })
		if update {
			change, err := store.Update(o, golden.Tolerance{})
			if err == nil {
				t.Log(change)
			}
			return err
		}
		g, err := store.Find(p.Cell, o.Machine.ISA)
		var none *golden.NoneError
		if errors.As(err, &none) && len(none.Other) > 0 {
			t.Logf("%v; TestDrift holds it", err)
			return nil
		}
		if err != nil {
			return err
		}
		differences, err := g.Check(o, golden.Tolerance{})
		if err != nil {
			return err
		}
		var errs []error
		for _, d := range differences {
			picture, err := s.picture(t, p, d)
			if err != nil {
				picture = err.Error()
			}
			errs = append(errs, fmt.Errorf("%s: %w\n%s", d.Fixture, d.Err, picture))
		}
		return errors.Join(errs...)
	})
}

// picture draws a difference into the test's artifact folder, and says where.
func (s *Suite) picture(t *testing.T, p Planned, d golden.Difference) (string, error) {
	img, err := pose.ReadImage(s.plan.photograph(d.Fixture).Path)
	if err != nil {
		return "", err
	}
	path := filepath.Join(t.ArtifactDir(), d.Fixture+".png")
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	overlay := report.Overlay{Photo: img, Want: d.Want, Got: d.Got, WantName: "golden", GotName: "got", Title: p.Cell.String() + " " + d.Fixture}
	return "picture: " + path, errors.Join(overlay.PNG(file), file.Close())
}

func (p *Plan) photograph(id string) Photograph {
	i := slices.IndexFunc(p.Fixtures, func(f Photograph) bool { return f.ID == id })
	return p.Fixtures[i]
}

// TestDrift has one sub-test a cell that loads, in another precision than fp32: what does it cost against fp32 of the
// same model on the same provider and runtime, and is that within the bars of its row? Its average precision is compared
// where the row has one and the data path the photographs.
func (s *Suite) TestDrift(t *testing.T) {
	other := func(p Planned) bool { return p.Row.Want == observe.Loads && p.Precision != "fp32" && p.Row.Line != 0 }
	cocoSet := sync.OnceValues(s.cocoSet)
	s.each(t, facet{user: "drift", of: other}, func(t *testing.T, p Planned, o observe.Observation) error {
		i := s.plan.fp32Of(p)
		if i < 0 {
			return fmt.Errorf("fp32 of %s on %s@%s is not among the cells that run; let it run, too", p.Cell.Model, p.Provider, p.ORT)
		}
		base, err := s.observation(t.Context(), s.plan.Cells[i], "drift "+p.Cell.String())
		if err != nil {
			return err
		}
		if p.Row.AP[p.Precision] > 0 || p.Row.Drift[p.Precision].APLoss > 0 {
			switch set, err := cocoSet(); {
			case err != nil:
				return err
			case set == nil:
				t.Logf("AP is not compared: %s is missing; set POSETEST_DATA to the folder that holds it", cocoAnnotations)
			default:
				err := errors.Join(s.addCOCO(t.Context(), s.plan.Cells[i], *set, "drift "+p.Cell.String(), &base), s.addCOCO(t.Context(), p, *set, "drift", &o))
				if err != nil {
					return err
				}
			}
		}
		d, err := Drift(base, o, p.Single)
		if err != nil {
			return err
		}
		t.Log(d)
		return p.Judge().Drift(p.Precision, d)
	})
}

// addCOCO puts COCO's figures of a cell into its observation; they are taken once for all tests.
func (s *Suite) addCOCO(ctx context.Context, p Planned, set COCOSet, user string, o *observe.Observation) error {
	stats, err := s.cocoFigures(ctx, p, set, user)
	o.COCO = &observe.COCO{Images: len(set.Annotations.Images), AP: stats.AP, AP50: stats.AP50, AR: stats.AR}
	return err
}

// fp32Of is the place in the plan of a cell's fp32, on the same provider and runtime; -1 if it has none.
func (p *Plan) fp32Of(q Planned) int {
	cell := q.Cell
	cell.Precision = "fp32"
	return slices.IndexFunc(p.Cells, func(q Planned) bool { return q.Cell == cell })
}

// Drift is what a cell costs against fp32, on the photographs that both saw; its AP where COCO's figures of both were taken.
func Drift(fp32, got observe.Observation, single bool) (drift.Drift, error) {
	if fp32.Outcome != observe.Loads || got.Outcome != observe.Loads {
		return drift.Drift{}, fmt.Errorf("drift needs two cells that load: fp32 %s, %s %s", fp32.Outcome, got.Precision, got.Outcome)
	}
	pairs, err := drift.Pairs(fp32.Photos, got.Photos, drift.Options{OnePerson: single})
	if err != nil {
		return drift.Drift{}, err
	}
	d := drift.Of(pairs)
	if fp32.COCO != nil && got.COCO != nil {
		d.AP = &drift.AP{FP32: fp32.COCO.AP, Got: got.COCO.AP}
	}
	return d, nil
}
