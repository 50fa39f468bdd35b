package measure

// A Claim is a promised gain in speed, as shares: "+5–10 %" is {0.05, 0.10}.
type Claim struct{ From, To float64 }

// An Answer is what measurement says of a claim.
type Answer string

const (
	Confirmed Answer = "confirmed" // the gain is at least what was promised
	Refuted   Answer = "refuted"   // it is less
	Depends   Answer = "depends"   // it is in some places, and is not in others
	Unclear   Answer = "unclear"   // too noisy to tell
)

// Answer compares the claim with the time that the improved side takes, as a ratio of the time without.
func (c Claim) Answer(r Ratio) Answer {
	promised := 1 / (1 + c.From)
	switch {
	case r.High <= promised:
		return Confirmed
	case r.Low > promised:
		return Refuted
	}
	return Unclear
}

// Together is the answer of several places: what is unclear says nothing beside what is clear.
func Together(answers []Answer) Answer {
	count := map[Answer]int{}
	for _, a := range answers {
		count[a]++
	}
	switch {
	case count[Confirmed] > 0 && count[Refuted] > 0:
		return Depends
	case count[Confirmed] > 0:
		return Confirmed
	case count[Refuted] > 0:
		return Refuted
	}
	return Unclear
}
