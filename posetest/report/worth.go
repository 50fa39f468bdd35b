package report

import (
	"fmt"
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
	model, where     string
	yes, unclear, no []string // precisions, each with why
}

// worths answers "is it worth it here?" for every model, provider and runtime that fp32 was run on, from the cells' own
// numbers.
func (p Page) worths() []worth {
	base := byPlace(p.Results)
	at := map[[2]string]int{}
	var all []worth
	for _, r := range p.Results {
		fp32, known := base[r.place().fp32()]
		if !known || fp32.Outcome != observe.Loads || r.Precision == "fp32" {
			continue
		}
		w := worth{model: r.Model, where: r.Provider + " with " + r.ORT + p.on(r.Machine.Kind())}
		key := [2]string{w.model, w.where}
		i, known := at[key]
		if !known {
			i, all = len(all), append(all, w)
			at[key] = i
		}
		v, why := r.worth(fp32)
		list := map[verdict]*[]string{yes: &all[i].yes, unclear: &all[i].unclear, no: &all[i].no}[v]
		*list = append(*list, r.Precision+" ("+why+")")
	}
	return all
}

// A verdict says whether a precision is worth it.
type verdict int

const (
	no verdict = iota
	unclear
	yes
)

// worth tells whether a cell is worth shipping instead of fp32, and why. It is unclear where the medians of the run times
// say one thing and the fastest runs, which neighbours disturb least, another.
func (r Result) worth(fp32 Result) (verdict, string) {
	time := float64(r.Run) / float64(max(fp32.Run, 1))
	fastest := float64(fastest(r)) / float64(max(fastest(fp32), 1))
	switch {
	case r.Class == expect.ClassFallsBack:
		return no, fmt.Sprintf("%.0f %% of the nodes fall back", 100-100*r.Share)
	case r.Class != expect.ClassLoads:
		return no, string(r.Class)
	case r.Drift == nil:
		return no, "what it finds was not compared with fp32"
	case r.Drift.Lost() > 0:
		return no, fmt.Sprintf("loses %d of %d persons", r.Drift.Lost(), r.Drift.Persons)
	case r.Drift.MeanOKS < worthOKS:
		return no, fmt.Sprintf("OKS to fp32 %.2f", r.Drift.MeanOKS)
	case (time > worthTime) != (fastest > worthTime):
		return unclear, fmt.Sprintf("%.2f × the run time in the median, %.2f × in the fastest run", time, fastest)
	case time > worthTime:
		return no, fmt.Sprintf("%.2f × the run time", time)
	}
	return yes, fmt.Sprintf("%.2f × the run time, %.2f × the size, OKS to fp32 %.2f", time, float64(r.ModelSize)/float64(max(fp32.ModelSize, 1)), r.Drift.MeanOKS)
}

// verdict is that of the best precision.
func (w worth) verdict() verdict {
	switch {
	case len(w.yes) > 0:
		return yes
	case len(w.unclear) > 0:
		return unclear
	}
	return no
}

// String is the answer in a sentence.
func (w worth) String() string {
	if len(w.yes)+len(w.unclear) == 0 {
		return "not worth it: " + strings.Join(w.no, ", ")
	}
	var parts []string
	add := func(is string, words []string) {
		if len(words) > 0 {
			parts = append(parts, is+": "+strings.Join(words, ", "))
		}
	}
	add("worth it", w.yes)
	add("unclear, measure it with `posetest compare`", w.unclear)
	add("not", w.no)
	return strings.Join(parts, "; ")
}
