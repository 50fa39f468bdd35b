package drift_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// observed gives what was seen of real cells; testdata/README.md says where.
func observed(t *testing.T) (cells map[string]observe.Observation, candidates map[string]map[string]pose.Person) {
	t.Helper()
	f, err := os.Open("testdata/observations.jsonl")
	require.NoError(t, err)
	defer f.Close()
	set, err := observe.Read(f, f.Name())
	require.NoError(t, err)
	cells = map[string]observe.Observation{}
	for _, o := range set.Observations {
		cells[o.Model+" "+o.Precision] = o
	}
	text, err := os.ReadFile("testdata/candidates.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &candidates))
	return cells, candidates
}

// Every precision of both models, by name: what it costs on the repository's photographs.
func TestCells(t *testing.T) {
	cells, candidates := observed(t)
	works := drift.Bars{Kept: 1, Shared: 0.85, MeanOKS: 0.9, MinOKS: 0.8, MedianError: 0.04, P95Error: 0.1, MaxError: 0.35}
	same := drift.Bars{Mode: drift.None, Kept: 1, Shared: 1, MinOKS: 0.995, MaxError: 0.03}
	for _, row := range []struct {
		model, precision string
		mode             drift.Mode
		lost             int
		bars             drift.Bars
		why              string
	}{
		{"movenet-lightning", "fp16", drift.None, 0, same, "half the bits cost nothing"},
		{"movenet-lightning", "int8-qdq", drift.Jitter, 0, works, "one scale a channel"},
		{"movenet-lightning", "int8", drift.ScaleCollapsed, 6, drift.Bars{Mode: drift.ScaleCollapsed}, "dynamic: one scale a tensor for depthwise convolutions"},
		{"movenet-lightning", "uint8", drift.ScaleCollapsed, 6, drift.Bars{Mode: drift.ScaleCollapsed}, "dynamic, unsigned: the same"},
		{"movenet-lightning", "int8-qdq-pt", drift.ScaleCollapsed, 6, drift.Bars{Mode: drift.ScaleCollapsed}, "static, one scale a tensor: the same"},
		{"movenet-lightning", "int8-naive", drift.ScaleCollapsed, 6, drift.Bars{Mode: drift.ScaleCollapsed}, "static with everything quantized: the same"},
		{"yolov8n-pose", "fp16", drift.None, 0, same, "half the bits cost nothing"},
		{"yolov8n-pose", "int8", drift.Jitter, 0, works, "dynamic: a model without depthwise convolutions bears it"},
		{"yolov8n-pose", "int8-qdq", drift.Jitter, 0, works, "static"},
		{"yolov8n-pose", "int8-naive", drift.NothingFound, 14, drift.Bars{Mode: drift.NothingFound}, "scores share a scale with pixels, and become 0: there is no joint to look at"},
	} {
		t.Run("model="+row.model+"/precision="+row.precision, func(t *testing.T) {
			fp32, got := cells[row.model+" fp32"], cells[row.model+" "+row.precision]
			for i := range got.Photos {
				if c, ok := candidates[row.model+" "+row.precision][got.Photos[i].Fixture]; ok && len(got.Photos[i].Persons) == 0 {
					got.Photos[i].Candidate = &c
				}
			}
			pairs, err := drift.Pairs(fp32.Photos, got.Photos, drift.Options{OnePerson: row.model == "movenet-lightning"})
			require.NoError(t, err)
			d := drift.Of(pairs)
			t.Log(d)
			assert.Equal(t, row.mode, d.Mode, row.why)
			assert.Equal(t, row.lost, d.Lost(), row.why)
			assert.NoError(t, row.bars.Check(d), row.why)
			if row.mode == drift.ScaleCollapsed {
				assert.Equal(t, map[drift.Mode]int{drift.ScaleCollapsed: 6}, d.Modes, "each person of each photograph")
				assert.ErrorContains(t, works.Check(d), "0 of 6 persons of FP32 found: share 0.0000, want at least 1.0000")
			}
		})
	}
}

// stand is a person 100 px wide and 200 px tall; its size is the square root of 0.53 · 100 · 200.
func stand(x, y float64) pose.Person {
	p := pose.Person{Score: 0.9, Box: [4]float64{x, y, x + 100, y + 200}}
	for i := range pose.Joints {
		p.Keypoints = append(p.Keypoints, pose.Keypoint{X: x + 50 + 40*float64(1-2*(i%2)), Y: y + 12*float64(i), Score: 0.8})
	}
	return p
}

var size = math.Sqrt(0.53 * 100 * 200)

func change(p pose.Person, f func(joint int, k *pose.Keypoint)) pose.Person {
	p.Keypoints = slices.Clone(p.Keypoints)
	for j := range p.Keypoints {
		f(j, &p.Keypoints[j])
	}
	return p
}

func move(p pose.Person, joint int, dx float64) pose.Person {
	return change(p, func(j int, k *pose.Keypoint) {
		if j == joint {
			k.X += dx
		}
	})
}

// What each mode means, on one person.
func TestModes(t *testing.T) {
	p := stand(100, 100)
	point := change(p, func(_ int, k *pose.Keypoint) { k.X, k.Y = 120, 120 })
	low := p
	low.Score = 0.1
	for _, row := range []struct {
		why       string
		got       []pose.Person
		candidate *pose.Person
		want      drift.Mode
	}{
		{"the same", []pose.Person{p}, nil, drift.None},
		{"a joint by just under 3 % of the person", []pose.Person{move(p, 9, 0.029*size)}, nil, drift.None},
		{"a joint by just over 3 %", []pose.Person{move(p, 9, 0.031*size)}, nil, drift.Jitter},
		{"one joint far away", []pose.Person{move(p, 0, 500)}, nil, drift.Jitter},
		{"the whole person elsewhere, in one piece", []pose.Person{change(p, func(_ int, k *pose.Keypoint) { k.X += 90 })}, nil, drift.Jitter},
		{"nobody", nil, nil, drift.NothingFound},
		{"the right person, below the confidence", nil, &low, drift.NothingFound},
		{"somebody else, far away", []pose.Person{stand(900, 100)}, nil, drift.NothingFound},
		{"found, with all joints in one point", []pose.Person{point}, nil, drift.ScaleCollapsed},
		{"the same below the confidence", nil, &point, drift.ScaleCollapsed},
		{"shrunk about its centre to less than half", nil, ptr(change(p, func(_ int, k *pose.Keypoint) { k.X, k.Y = 150+(k.X-150)*.4, 200+(k.Y-200)*.4 })), drift.ScaleCollapsed},
		{"blown up to more than twice its size", nil, ptr(change(p, func(_ int, k *pose.Keypoint) { k.X, k.Y = 150+(k.X-150)*2.5, 200+(k.Y-200)*2.5 })), drift.ScaleCollapsed},
		{"of the right extent, upside down", nil, ptr(change(p, func(_ int, k *pose.Keypoint) { k.Y = 400 - k.Y })), drift.ScaleCollapsed},
		{"a person without joints is no person", nil, &pose.Person{}, drift.ScaleCollapsed},
		{"a candidate says nothing where somebody is found", []pose.Person{p}, &point, drift.None},
	} {
		t.Run(row.why, func(t *testing.T) {
			d := drift.Of([]drift.Pair{{Fixture: "band", FP32: []pose.Person{p}, Got: row.got, Candidate: row.candidate}})
			assert.Equal(t, row.want, d.Mode)
			assert.Equal(t, map[drift.Mode]int{row.want: 1}, d.Modes)
			assert.Contains(t, d.String(), string(row.want))
		})
	}
}

// A precision is called by what happened to most persons, and of equally many by the worst.
func TestModeOfMost(t *testing.T) {
	p, point := stand(100, 100), change(stand(100, 100), func(_ int, k *pose.Keypoint) { k.X, k.Y = 120, 120 })
	right := drift.Pair{FP32: []pose.Person{p}, Got: []pose.Person{p}}
	wrong := drift.Pair{FP32: []pose.Person{p}, Got: []pose.Person{point}}
	assert.Equal(t, drift.ScaleCollapsed, drift.Of([]drift.Pair{right, wrong}).Mode)
	assert.Equal(t, drift.None, drift.Of([]drift.Pair{right, wrong, right}).Mode)
}

func ptr(p pose.Person) *pose.Person { return &p }

// The figures, on persons whose errors are known.
func TestOf(t *testing.T) {
	p, far := stand(100, 100), stand(500, 100)
	unseen := far
	unseen.Keypoints = slices.Clone(far.Keypoints)
	unseen.Keypoints[0].Score = 0.29
	d := drift.Of([]drift.Pair{
		{Fixture: "a", FP32: []pose.Person{p}, Got: []pose.Person{move(p, 9, 0.1*size), stand(900, 100)}},
		{Fixture: "b", FP32: []pose.Person{p, unseen}, Got: []pose.Person{move(unseen, 0, 0.4*size), move(p, 9, 0.2*size)}},
		{Fixture: "c", FP32: []pose.Person{p}},
	})
	assert.Equal(t, 3, d.Photos)
	assert.Equal(t, 4, d.Persons)
	assert.Equal(t, 3, d.Matched)
	assert.Equal(t, 1, d.Lost())
	assert.Equal(t, 1, d.Gained)
	assert.Equal(t, map[drift.Mode]int{drift.None: 1, drift.Jitter: 2, drift.NothingFound: 1}, d.Modes, "an unseen joint that moves is no jitter")
	assert.Equal(t, drift.Jitter, d.Mode)

	// exp(-(share · size)² / (2 · area · (2 · 0.062)²)), where area is size².
	kept := func(share float64) float64 { return (16 + math.Exp(-share*share/2/(0.124*0.124))) / 17 }
	assert.InDelta(t, kept(0.2), d.MinOKS, 1e-9)
	assert.InDelta(t, (1+kept(0.1)+kept(0.2))/3, d.MeanOKS, 1e-9)

	assert.Equal(t, 3*17-1, d.Error.Joints)
	assert.Zero(t, d.Error.Median)
	assert.Zero(t, d.Error.P95, "two of 50 joints are beyond")
	assert.InDelta(t, 0.2, d.Error.Max, 1e-9)
	assert.Equal(t, "b, person 1, left_wrist", d.Worst)
	wrist, nose := d.Joints[9], d.Joints[0]
	assert.Equal(t, "left_wrist", wrist.Joint)
	assert.Equal(t, 3, wrist.Joints)
	assert.InDelta(t, 0.1, wrist.Median, 1e-9, "of 0, 0.1 and 0.2")
	assert.InDelta(t, 0.2, wrist.P95, 1e-9)
	assert.Equal(t, drift.JointError{Joint: "nose", Error: drift.Error{Joints: 2}}, nose)
	assert.Equal(t, `jitter: of 4 persons of FP32 in 3 photographs 1 lost, 1 gained; 1 none; 2 jitter; 1 nothing found
OKS mean 0.9803, least 0.9572; error in % of person size: median 0.00, 95th percentile 0.00, most 20.00 (b, person 1, left_wrist)
worst joints by their 95th percentile: left_wrist 20.00 nose 0.00 left_eye 0.00`, d.String())

	text, err := json.Marshal(d)
	require.NoError(t, err)
	var again drift.Drift
	require.NoError(t, json.Unmarshal(text, &again))
	assert.Equal(t, d, again)

	_, err = json.Marshal(drift.Of(nil))
	assert.NoError(t, err, "nothing has no NaN")
}

func TestBars(t *testing.T) {
	p, far := stand(100, 100), stand(500, 100)
	d := drift.Of([]drift.Pair{{Fixture: "a", FP32: []pose.Person{p, far}, Got: []pose.Person{move(p, 9, 0.2*size), stand(900, 100)}}})
	lost := drift.Of([]drift.Pair{{Fixture: "a", FP32: []pose.Person{p}}})
	for _, row := range []struct {
		why  string
		bars drift.Bars
		d    drift.Drift
		want string // "" for none missed
	}{
		{"no bars", drift.Bars{}, d, ""},
		{"bars that are met exactly", drift.Bars{Kept: 0.5, Shared: 0.5, MaxError: d.Error.Max, MeanOKS: d.MeanOKS, MinOKS: d.MinOKS}, d, ""},
		{"one of two lost", drift.Bars{Kept: 1}, d, "1 of 2 persons of FP32 found: share 0.5000, want at least 1.0000"},
		{"one of two gained", drift.Bars{Shared: 1}, d, "1 of 2 persons found are FP32's: share 0.5000"},
		{"OKS of all", drift.Bars{MeanOKS: 0.99}, d, "mean OKS of persons 0.9572, want at least 0.9900"},
		{"OKS of the worst", drift.Bars{MinOKS: 0.99}, d, "least OKS of a person 0.9572"},
		{"a joint", drift.Bars{MaxError: 0.19}, d, "error of the worst joint (a, person 1, left_wrist) 20.00 % of person size over 17 joints, want at most 19.00 %"},
		{"most joints", drift.Bars{P95Error: 0.1}, d, "95th percentile of the errors of joints 20.00 %"},
		{"half of the joints stay", drift.Bars{MedianError: 0.001}, d, ""},
		{"a mode by name", drift.Bars{Mode: drift.ScaleCollapsed}, lost, "nothing found, want scale collapsed: of 1 persons map[nothing found:1]"},
		{"all at once", drift.Bars{Kept: 1, MaxError: 0.19}, d, "found: share 0.5000, want at least 1.0000\nerror of the worst joint"},
		{"no joint was compared: that is not small", drift.Bars{MaxError: 0.19}, lost, "over 0 joints"},
		{"no person was matched: that is not alike", drift.Bars{MinOKS: 0.5}, lost, "least OKS of a person 0.0000"},
		{"AP, half a point below", drift.Bars{APLoss: 0.005}, withAP(d, 0.46, 0.4551), ""},
		{"AP, more than that below", drift.Bars{APLoss: 0.005}, withAP(d, 0.46, 0.4549), "AP 0.4549 is 0.51 points below FP32's 0.4600, want at most 0.50"},
		{"AP, above", drift.Bars{APLoss: 0.005}, withAP(d, 0.46, 0.4684), ""},
		{"AP that nothing holds to", drift.Bars{}, withAP(d, 0.46, 0), ""},
		{"AP that is none", drift.Bars{APLoss: 0.005}, withAP(d, 0.46, math.NaN()), "AP NaN is NaN points below FP32's 0.4600"},
		{"AP on photographs without people", drift.Bars{APLoss: 0.005}, withAP(d, -1, -1), "AP of FP32 is -1.0000: nothing was compared"},
		{"AP was not taken", drift.Bars{APLoss: 0.005}, d, ""},
		{"AP beside another bar", drift.Bars{Kept: 1, APLoss: 0.005}, withAP(d, 0.46, 0.4), "want at least 1.0000\nAP 0.4000 is 6.00 points below FP32's 0.4600"},
		{"FP32 saw nobody: 0 of 0 lost is no success", drift.Bars{}, drift.Of([]drift.Pair{{}}), "FP32 finds nobody in 1 photographs: nothing was compared"},
	} {
		err := row.bars.Check(row.d)
		if row.want == "" {
			assert.NoError(t, err, row.why)
		} else {
			assert.ErrorContains(t, err, row.want, row.why)
		}
	}
}

func withAP(d drift.Drift, fp32, got float64) drift.Drift {
	d.AP = &drift.AP{FP32: fp32, Got: got}
	return d
}

// The AP is told on a line of its own, and of a collapse as well.
func TestAP(t *testing.T) {
	p := stand(100, 100)
	for _, row := range []struct {
		got  []pose.Person
		ap   float64
		want string
	}{
		{[]pose.Person{p}, 0.4684, "1 none\nAP 0.4684 is 0.84 points above FP32's 0.4600\nOKS mean"},
		{nil, 0, "1 nothing found\nAP 0.0000 is 46.00 points below FP32's 0.4600"},
	} {
		d := withAP(drift.Of([]drift.Pair{{FP32: []pose.Person{p}, Got: row.got}}), 0.46, row.ap)
		assert.Contains(t, d.String(), row.want)
		text, err := json.Marshal(d)
		require.NoError(t, err)
		assert.Contains(t, string(text), `"ap":{"fp32":0.46,"got":`)
	}
}

func TestPairs(t *testing.T) {
	photos := func() []observe.Photo {
		return []observe.Photo{{Fixture: "band", SHA256: "1", People: 4, Persons: []pose.Person{stand(1, 1)}}, {Fixture: "china", SHA256: "2"},
			{Fixture: "man", SHA256: "3", People: 1, Persons: []pose.Person{stand(1, 1)}}}
	}
	got := photos()
	got[2].Persons = nil
	got[2].Candidate = ptr(stand(9, 9))
	pairs, err := drift.Pairs(photos(), got, drift.Options{})
	require.NoError(t, err)
	require.Len(t, pairs, 3)
	assert.Equal(t, ptr(stand(9, 9)), pairs[2].Candidate)

	pairs, err = drift.Pairs(photos(), got, drift.Options{OnePerson: true})
	require.NoError(t, err)
	require.Len(t, pairs, 1, "which of four a model of one person takes is chance, and whom it sees where nobody is, too")
	assert.Equal(t, "man", pairs[0].Fixture)

	for _, row := range []struct {
		why  string
		edit func(a, b []observe.Photo) []observe.Photo
		want string
	}{
		{"fewer", func(_, b []observe.Photo) []observe.Photo { return b[:2] }, "FP32 saw 3 photographs and the precision 2"},
		{"others", func(_, b []observe.Photo) []observe.Photo { b[1].Fixture = "x"; return b }, "photograph 2 is china"},
		{"another of that name", func(_, b []observe.Photo) []observe.Photo { b[1].SHA256 = "x"; return b }, "photograph 2 is china"},
		{"FP32 failed", func(a, b []observe.Photo) []observe.Photo { a[0].Error = "boom"; return b }, "band: FP32 could not be run: boom"},
		{"the precision failed", func(_, b []observe.Photo) []observe.Photo { b[0].Error = "boom"; return b }, "band: boom"},
	} {
		a, b := photos(), photos()
		b = row.edit(a, b)
		_, err := drift.Pairs(a, b, drift.Options{})
		assert.ErrorContains(t, err, row.want, row.why)
	}
}
