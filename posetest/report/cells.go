package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
)

// A fact is one thing that was seen of a cell, in words; "–" if it was not.
type fact struct{ Name, Value string }

// facts are the same of every cell, in the same order.
func (r Result) facts() []fact {
	nodes, known := "–", len(r.Placement) > 0
	if known {
		nodes = placement(r.Placement)
	}
	return []fact{
		{"nodes on", nodes},
		{"load", unit(r.Load)},
		{"first run", unit(r.FirstRun)},
		{"run", r.runTime()},
		{"peak memory", bytesOf(r.PeakMemory)},
		{"people", r.people()},
		{"AP", r.ap()},
		{"against fp32", r.cost()},
		{"model file", fmt.Sprintf("%s, %s, sha256 %.12s…", r.ModelFile, bytesOf(r.ModelSize), r.ModelSHA256)},
	}
}

// unit is a time with its unit.
func unit(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return ms(d) + " ms"
}

func bytesOf(n int64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

func (r Result) runTime() string {
	if r.Run == 0 || len(r.Runs) < 2 {
		return unit(r.Run)
	}
	s := fmt.Sprintf("%s ms; %s to %s in %d runs", ms(r.Run), ms(slices.Min(r.Runs)), ms(slices.Max(r.Runs)), len(r.Runs))
	if len(r.DeviceRuns) > 0 {
		s += fmt.Sprintf("; without copies to and from the device %s to %s ms", ms(slices.Min(r.DeviceRuns)), ms(slices.Max(r.DeviceRuns)))
	}
	if g := r.GPU; g != nil {
		s += fmt.Sprintf("; %s, driver %s, %s, %d of %d MHz, %.0f of %.0f W, %d °C", g.Name, g.Driver, g.PState, g.Clock, g.MaxClock, g.Power, g.PowerLimit, g.Temperature)
	}
	return s
}

// single tells that the cell's family looks for one person.
func (r Result) single() bool {
	family, err := pose.Lookup(r.Family)
	return err == nil && family.Single()
}

// accuracy is how well the cell finds those who were annotated: of each photograph with people the best OKS of anybody
// found to anybody annotated, on average. A family of one person is asked of photographs of one.
func (r Result) accuracy() (mean float64, found, photos int) {
	for _, p := range r.asked() {
		photos++
		mean += p.OKS
		if p.OKS >= expect.MinOKS {
			found++
		}
	}
	return mean / float64(max(1, photos)), found, photos
}

// asked are the photographs with people that the cell is asked of.
func (r Result) asked() []observe.Photo {
	single := r.single()
	var all []observe.Photo
	for _, p := range r.Photos {
		if p.Error == "" && p.People > 0 && (!single || p.People == 1) {
			all = append(all, p)
		}
	}
	return all
}

func (r Result) people() string {
	mean, found, photos := r.accuracy()
	if photos == 0 {
		return "–"
	}
	return fmt.Sprintf("found in %d of %d photographs, OKS to who is there %.2f on average", found, photos, mean)
}

func (r Result) ap() string {
	want, held := r.Row.AP[r.Precision]
	switch {
	case r.COCO != nil && held:
		return fmt.Sprintf("%.4f on %d COCO photographs (AP50 %.4f, AR %.4f); its row says %.4f", r.COCO.AP, r.COCO.Images, r.COCO.AP50, r.COCO.AR, want)
	case r.COCO != nil:
		return fmt.Sprintf("%.4f on %d COCO photographs (AP50 %.4f, AR %.4f)", r.COCO.AP, r.COCO.Images, r.COCO.AP50, r.COCO.AR)
	case held && r.Outcome == observe.Loads:
		return fmt.Sprintf("%.4f by its row, not taken in this run", want)
	}
	return "–"
}

// cost is what the precision costs against fp32.
func (r Result) cost() string {
	d := r.Drift
	if d == nil {
		return "–"
	}
	s := fmt.Sprintf("%s: %d of %d persons lost, %d gained", d.Mode, d.Lost(), d.Persons, d.Gained)
	if d.Matched > 0 {
		s += fmt.Sprintf("; OKS %.3f on average, %.3f at least; joints off by %.1f %% of a person's size in the median, %.1f %% at the 95th percentile, %.1f %% at most (%s)",
			d.MeanOKS, d.MinOKS, 100*d.Error.Median, 100*d.Error.P95, 100*d.Error.Max, d.Worst)
	}
	if d.AP != nil {
		s += "; " + d.AP.String()
	}
	return s
}

// jointName is a joint as a person reads it.
func jointName(s string) string { return strings.ReplaceAll(s, "_", " ") }

// percent is a share in %, with one decimal.
func percent(share float64) string { return fmt.Sprintf("%.1f", 100*share) }

// commands run the cell again: by itself in a report, and as a test.
func (r Result) commands() []string {
	var what, runtime string
	precisions := r.Precision
	if r.Drift != nil {
		precisions = "fp32," + r.Precision
	}
	own := strings.HasPrefix(r.ORT, ownRuntime)
	if own {
		runtime = "POSETEST_ORT=libonnxruntime.so "
	}
	what = fmt.Sprintf("--models %s --precisions %s --providers %s", quote(r.BaseModel()), quote(precisions), quote(r.Provider))
	if r.Row.Line == 0 && r.Row.File != "" && r.Precision == "own" {
		what = fmt.Sprintf("--model %s --family %s", quote(r.ModelFile), quote(r.Family))
	}
	if !own {
		what += " --runtimes " + quote(r.ORT)
	}
	if r.COCO != nil {
		what += " --ap"
	}
	if n := r.Repetitions(); n > 0 {
		what += fmt.Sprintf(" --repeat %d", n)
	}
	all := []string{runtime + "bin/posetest report " + what}
	if r.Row.Line != 0 {
		pattern := strings.ReplaceAll(r.Cell.String(), "/", "$/") + "$"
		if !own {
			runtime = "POSETEST_RUNTIMES=" + quote(r.ORT) + " "
		}
		all = append(all, fmt.Sprintf("%sgo test ./posetest -count 1 -v -run %s", runtime, quote("Test(Load|Infer|Drift)/"+pattern)))
	}
	return all
}

const ownRuntime = "own-"

// quote makes one word of a shell.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._,-+=/:~", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// cellsMarkdown writes what was seen of each cell, and the error by joint.
func (p Page) cellsMarkdown(section func(title string, header table.Row, rows []table.Row)) {
	var rows, joints []table.Row
	header := table.Row{"cell", "verdict", "known by"}
	jointHeader := table.Row{"cell"}
	for i, r := range p.Results {
		name := r.Cell.String() + p.on(r.Machine.Kind())
		_, known := r.known()
		row := table.Row{name, r.verdict(), known}
		for _, f := range r.facts() {
			if i == 0 {
				header = append(header, f.Name)
			}
			row = append(row, f.Value)
		}
		rows = append(rows, row)
		if r.Drift == nil || r.Drift.Matched == 0 {
			continue
		}
		row = table.Row{name}
		for _, j := range r.Drift.Joints {
			if len(joints) == 0 {
				jointHeader = append(jointHeader, jointName(j.Joint))
			}
			row = append(row, fmt.Sprintf("%s/%s/%s", percent(j.Median), percent(j.P95), percent(j.Max)))
		}
		joints = append(joints, row)
	}
	section("Cells", header, rows)
	section("Error by joint against fp32, in % of a person's size: median/95th percentile/most", jointHeader, joints)
}

// verdict is the class with what happened, in the runtime's own words.
func (r Result) verdict() string {
	s := string(r.Class)
	if r.Class == expect.ClassFallsBack {
		s = fmt.Sprintf("falls back: %s of the nodes", r.fallsBack())
	} else if r.Outcome != observe.Loads {
		s = expect.Describe(r.Observation)
	}
	if r.Problem != nil {
		s = "NOT as expected: " + s
	}
	return s
}
