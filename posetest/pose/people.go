package pose

import "math"

// people is the memory of the persons that a pipeline returns.
type people struct {
	persons []Person
	joints  []Keypoint
}

// reset makes room for n persons and forgets those before.
func (p *people) reset(n int) {
	p.persons = resized(p.persons, n)[:0]
	p.joints = resized(p.joints, n*len(Joints))
}

// add appends a person and gives the keypoints to fill in.
func (p *people) add(score float64, box [4]float64) []Keypoint {
	at := len(p.persons) * len(Joints)
	joints := p.joints[at : at+len(Joints) : at+len(Joints)]
	p.persons = append(p.persons, Person{score, box, joints})
	return joints
}

// one gives the only person, whose score is the mean of its joints', or nobody
// if that does not exceed the bar. Without a box, that of the joints which
// exceed it is taken.
func (p *people) one(opt Options, box *[4]float64) []Person {
	person := &p.persons[0]
	for _, k := range person.Keypoints {
		person.Score += k.Score / float64(len(Joints))
	}
	if person.Score <= opt.Confidence {
		return p.persons[:0]
	}
	if box != nil {
		person.Box = *box
		return p.persons
	}
	person.Box = [4]float64{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for _, k := range person.Keypoints {
		if k.Score > opt.Confidence {
			b := &person.Box
			b[0], b[1], b[2], b[3] = min(b[0], k.X), min(b[1], k.Y), max(b[2], k.X), max(b[3], k.Y)
		}
	}
	return p.persons
}
