package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
)

// What makes a precision worth shipping instead of fp32, on the same provider and runtime.
const (
	worthTime = 1 / 1.2 // of fp32's run time, at most: below a fifth faster nobody notices
	worthOKS  = 0.9     // mean, to what fp32 finds, at least
)

// worth is the answer for one model on one provider and runtime.
type worth struct {
	model, where string
	yes, no      []string // precisions, each with why
}

// worths answers "is it worth it here?" for every model, provider and runtime that fp32 was run on, from the cells' own
// numbers.
func (p Page) worths() []worth {
	base := map[observe.Cell]Result{}
	for _, r := range p.Results {
		if r.Precision == "fp32" && r.Outcome == observe.Loads {
			base[r.Cell] = r
		}
	}
	var all []worth
	for _, r := range p.Results {
		cell := r.Cell
		cell.Precision = "fp32"
		fp32, known := base[cell]
		if !known || r.Precision == "fp32" {
			continue
		}
		w := worth{model: r.Model, where: r.Provider + " with " + r.ORT}
		i := slices.IndexFunc(all, func(have worth) bool { return have.model == w.model && have.where == w.where })
		if i < 0 {
			i, all = len(all), append(all, w)
		}
		if yes, why := r.worth(fp32); yes {
			all[i].yes = append(all[i].yes, r.Precision+" ("+why+")")
		} else {
			all[i].no = append(all[i].no, r.Precision+" ("+why+")")
		}
	}
	return all
}

// worth tells whether a cell is worth shipping instead of fp32, and why.
func (r Result) worth(fp32 Result) (yes bool, why string) {
	time := float64(r.Run) / float64(max(fp32.Run, 1))
	switch {
	case r.Class == expect.ClassFallsBack:
		return false, fmt.Sprintf("%.0f %% of the nodes fall back", 100-100*r.Share)
	case r.Class != expect.ClassLoads:
		return false, string(r.Class)
	case r.Drift == nil:
		return false, "what it finds was not compared with fp32"
	case r.Drift.Lost() > 0:
		return false, fmt.Sprintf("loses %d of %d persons", r.Drift.Lost(), r.Drift.Persons)
	case r.Drift.MeanOKS < worthOKS:
		return false, fmt.Sprintf("OKS to fp32 %.2f", r.Drift.MeanOKS)
	case time > worthTime:
		return false, fmt.Sprintf("%.2f × the run time", time)
	}
	return true, fmt.Sprintf("%.2f × the run time, %.2f × the size, OKS to fp32 %.2f", time, float64(r.ModelSize)/float64(max(fp32.ModelSize, 1)), r.Drift.MeanOKS)
}

// String is the answer in a sentence.
func (w worth) String() string {
	no := cmp.Or(strings.Join(w.no, ", "), "nothing")
	if len(w.yes) == 0 {
		return "not worth it: " + no
	}
	return "worth it: " + strings.Join(w.yes, ", ") + "; not: " + no
}
