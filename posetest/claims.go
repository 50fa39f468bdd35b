package posetest

import (
	"context"
	"fmt"

	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/worker"
)

// A Claim is a gain that somebody promised, and how it is measured: B has it, A does without.
type Claim struct {
	Name     string
	Promised string // "+5–10 %"
	How      string // it is measured
	measure.Claim
	sides func(fp32 Planned, p Planned) (a, b Side, ok bool)
}

// speedClaims are what was once listed beside INT8 and never measured.
var speedClaims = []Claim{
	{
		Name: "zero-copy tensors", Promised: "+5–10 %", Claim: measure.Claim{From: 0.05, To: 0.10},
		How: "one run with inputs and outputs bound once (IoBinding), against one that copies the input into a new tensor and the outputs out of what the runtime made",
		sides: ofFP32(func(a, b *Side) {
			a.Timing.Binding, b.Timing.Binding = worker.Copy, worker.Bound
		}),
	},
	{
		Name: "memory arena", Promised: "+5–10 %", Claim: measure.Claim{From: 0.05, To: 0.10},
		How:   "one run with the arena and its memory pattern, the runtime's default, against one with memory from malloc",
		sides: ofFP32(func(a, _ *Side) { a.Tuning = session.Tuning{NoArena: true} }),
	},
	{
		Name: "pipeline fusion, preprocessing alone", Promised: "+30–50 %", Claim: measure.Claim{From: 0.30, To: 0.50},
		How: "resize, pad, normalize and transpose in one pass over the picture, against one pass each; the model does not run",
		sides: separable(func(a, b *Side) {
			a.Timing.Preprocess, b.Timing.Preprocess = true, true
			a.Timing.Separate = true
		}),
	},
	{
		Name: "pipeline fusion, from picture to persons", Promised: "+30–50 %", Claim: measure.Claim{From: 0.30, To: 0.50},
		How: "the same, with the model's run and the decoding",
		sides: separable(func(a, b *Side) {
			a.Timing.Pipeline, b.Timing.Pipeline = true, true
			a.Timing.Separate = true
		}),
	},
	{
		Name: "INT8", Promised: "+20–50 %", Claim: measure.Claim{From: 0.20, To: 0.50},
		How: "one run of a precision, against one of fp32; only precisions that load there and find people",
		sides: func(fp32, p Planned) (a, b Side, ok bool) {
			return Side{Planned: fp32}, Side{Planned: p}, p.Precision != "fp32" && p.Precision != "fp16"
		},
	},
}

func ofFP32(vary func(a, b *Side)) func(Planned, Planned) (Side, Side, bool) {
	return func(_, p Planned) (a, b Side, ok bool) {
		a, b = Side{Planned: p}, Side{Planned: p}
		vary(&a, &b)
		return a, b, p.Precision == "fp32"
	}
}

// separable is ofFP32 for families that can preprocess in separate stages.
func separable(vary func(a, b *Side)) func(Planned, Planned) (Side, Side, bool) {
	return func(fp32, p Planned) (a, b Side, ok bool) {
		a, b, ok = ofFP32(vary)(fp32, p)
		return a, b, ok && p.Model.Family == "yolov8-pose"
	}
}

// A ClaimCell is a claim measured in one cell.
type ClaimCell struct {
	Planned
	Comparison measure.Comparison
	measure.Answer
}

// A Claimed is a claim with all that was measured of it.
type Claimed struct {
	Claim
	Cells []ClaimCell
}

// Answers are the claim's answers.
func (c Claimed) Answers() []measure.Answer {
	var all []measure.Answer
	for _, cell := range c.Cells {
		all = append(all, cell.Answer)
	}
	return all
}

// Claims measures what was promised, on every provider and runtime of the plan. begin is told of how many comparisons there are, done of
// each one.
func (s *Suite) Claims(ctx context.Context, c Contest, begin func(int), done func(string)) ([]Claimed, error) {
	type task struct {
		claim int
		a, b  Side
	}
	all := make([]Claimed, len(speedClaims))
	var tasks []task
	for i, claim := range speedClaims {
		all[i].Claim = claim
		for _, p := range s.plan.Cells {
			base := s.plan.fp32Of(p)
			if p.Err != nil || !Steady(p.Row) || base < 0 {
				continue
			}
			if a, b, ok := claim.sides(s.plan.Cells[base], p); ok {
				tasks = append(tasks, task{i, a, b})
			}
		}
	}
	begin(len(tasks))
	for _, t := range tasks {
		comparison, err := s.Compare(ctx, t.a, t.b, c, nil)
		if err != nil {
			return nil, fmt.Errorf("claim %q: %w", all[t.claim].Name, err)
		}
		all[t.claim].Cells = append(all[t.claim].Cells, ClaimCell{t.b.Planned, comparison, all[t.claim].Claim.Answer(comparison.Wall)})
		done(all[t.claim].Name + " " + t.b.Cell.String())
	}
	return all, nil
}

// A Size is how much smaller a precision's file is than fp32's.
type Size struct {
	Model, Precision string
	Bytes, FP32      int64
}

// Sizes are those of the models of the plan, but for fp32.
func (p *Plan) Sizes() []Size {
	var all []Size
	seen := map[string]bool{}
	for _, cell := range p.Cells {
		i := p.fp32Of(cell)
		if key := cell.Cell.Model + " " + cell.Precision; i >= 0 && cell.Precision != "fp32" && !seen[key] {
			seen[key] = true
			all = append(all, Size{cell.Cell.Model, cell.Precision, cell.File.Size, p.Cells[i].File.Size})
		}
	}
	return all
}

// Share is how much smaller the file is: 0.72 is 72 % smaller.
func (s Size) Share() float64 { return 1 - float64(s.Bytes)/float64(s.FP32) }
