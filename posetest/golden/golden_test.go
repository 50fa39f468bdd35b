package golden_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/golden"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	modelSum = "63213287177230d51982fdff47162cc4c5ce2b31ccaffef530e39727a5db41e6"
	photoSum = "46e63ec358121d5a612e834ca0aa5d33b307259bd55ae433c3516eaa115fc9a4"
	otherSum = "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"
)

// stand is a person 100 px wide and 200 px tall, whose left upper corner is at x, y and whose joints are all seen.
func stand(x, y float64) pose.Person {
	p := pose.Person{Score: 0.9, Box: [4]float64{x, y, x + 100, y + 200}}
	for i := range pose.Joints {
		p.Keypoints = append(p.Keypoints, pose.Keypoint{X: x + 50 + 40*float64(1-2*(i%2)), Y: y + 12*float64(i), Score: 0.8})
	}
	return p
}

// change copies a person and spoils the copy.
func change(p pose.Person, f func(*pose.Person)) pose.Person {
	p.Keypoints = slices.Clone(p.Keypoints)
	f(&p)
	return p
}

func move(p pose.Person, joint int, dx, dy float64) pose.Person {
	return change(p, func(p *pose.Person) { p.Keypoints[joint].X += dx; p.Keypoints[joint].Y += dy })
}

func observation(persons ...pose.Person) observe.Observation {
	return observe.Observation{Cell: observe.Cell{Model: "m", Precision: "int8", Provider: "cpu", ORT: "1.23.2"}, ModelSHA256: modelSum,
		Machine: observe.Machine{ISA: observe.AVX2}, Outcome: observe.Loads,
		Photos: []observe.Photo{{Fixture: "band", SHA256: photoSum, Persons: persons}, {Fixture: "china", SHA256: otherSum}}}
}

// The file is data that a person reviews: this is how it reads.
func TestMarshal(t *testing.T) {
	p := stand(10, 20)
	p.Score = 0.5
	p.Keypoints[0] = pose.Keypoint{X: 1.0049, Y: -0.001, Score: 0.99951}
	g, err := golden.Of(observation(stand(300, 20), p))
	require.NoError(t, err)
	text, err := g.Marshal()
	require.NoError(t, err)
	const head = `{
  "model": "m",
  "precision": "int8",
  "provider": "cpu",
  "ort": "1.23.2",
  "isa": "avx2",
  "model_sha256": "` + modelSum + `",
  "photos": [
    {"fixture": "band", "sha256": "` + photoSum + `", "persons": [
      {"score": 0.500, "box": [10.00, 20.00, 110.00, 220.00], "keypoints": {
        "nose": [1.00, 0.00, 1.000],
        "left_eye": [20.00, 32.00, 0.800],
`
	require.True(t, strings.HasPrefix(string(text), head), "the person further left comes first, rounded:\n%s", text)
	const tail = `        "right_ankle": [390.00, 212.00, 0.800]}}]},
    {"fixture": "china", "sha256": "` + otherSum + `", "persons": []}
  ]
}
`
	require.True(t, strings.HasSuffix(string(text), tail), "%s", text)
	again, err := golden.Parse(text, "golden.json")
	require.NoError(t, err)
	assert.Equal(t, g, again, "what is read is what was written")
	_, err = golden.Parse(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), "golden.json")
	assert.NoError(t, err, "git on Windows may end lines otherwise")
}

func TestParseErrors(t *testing.T) {
	g, err := golden.Of(observation(stand(10, 20)))
	require.NoError(t, err)
	text, err := g.Marshal()
	require.NoError(t, err)
	for _, row := range []struct{ why, from, to, want string }{
		{"a field that nobody reads", `"ort":`, `"org":`, `unknown field "org"`},
		{"a field twice: which holds?", `"ort": "1.23.2",`, `"ort": "1.23.2", "ort": "1.32.0",`, "line 5 is not as -update writes it"},
		{"a joint twice", `"nose": [100.00, 20.00, 0.800],`, `"nose": [100.00, 20.00, 0.800], "nose": [100.00, 20.00, 0.800],`, "line 11 is not"},
		{"a joint that is none", `"nose"`, `"tail"`, "band: person 1 has no nose"},
		{"a joint of two numbers", `[100.00, 20.00, 0.800]`, `[100.00, 20.00]`, "line 11 is not"},
		{"digits that the diff would hide", `100.00, 20.00`, `100.001, 20.00`, "line 11 is not"},
		{"NaN is no JSON", `100.00, 20.00`, `NaN, 20.00`, "invalid character 'N'"},
		{"a number that is damage", `100.00, 20.00`, `1e300, 20.00`, "which is no pixel"},
		{"a sum that is none", modelSum, "63213287", "is no SHA-256"},
		{"a photograph twice", `"china"`, `"band"`, "band is there twice"},
		{"photographs out of order", `"china"`, `"astronaut"`, "astronaut stands behind band"},
		{"a name that leads out of the folder", `"m"`, `"../m"`, "is no plain word"},
		{"persons left out", `"persons": []`, `"persons": null`, "is not as -update writes it"},
		{"half a file", "\n  ]\n}\n", "", "ends in the middle"},
		{"something behind it", "\n  ]\n}\n", "\n  ]\n}\n{}\n", "is not as -update writes it"},
		{"an empty file", string(text), "", "ends in the middle"},
	} {
		spoiled := strings.Replace(string(text), row.from, row.to, 1)
		require.NotEqual(t, string(text), spoiled, "%s: replaces nothing", row.why)
		_, err := golden.Parse([]byte(spoiled), "golden/cpu.json")
		assert.ErrorContains(t, err, row.want, row.why)
		assert.ErrorContains(t, err, "golden/cpu.json: ", row.why)
		assert.ErrorContains(t, err, "run -update", row.why)
	}
}

func FuzzParse(f *testing.F) {
	g, err := golden.Of(observation(stand(10, 20), stand(300, 20)))
	require.NoError(f, err)
	text, err := g.Marshal()
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(`{"photos":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := golden.Parse(text, "golden.json")
		if err != nil {
			return
		}
		again, err := g.Marshal()
		require.NoError(t, err)
		require.Equal(t, strings.ReplaceAll(string(text), "\r\n", "\n"), string(again), "what is accepted is what would be written")
	})
}

func TestOfRefuses(t *testing.T) {
	edit := func(f func(*observe.Observation)) observe.Observation {
		o := observation(stand(10, 20))
		f(&o)
		return o
	}
	for _, row := range []struct {
		why  string
		o    observe.Observation
		want string
	}{
		{"a cell that fails found nothing", edit(func(o *observe.Observation) { o.Outcome = observe.Fails }), "fails with 2 photographs"},
		{"nothing was run", edit(func(o *observe.Observation) { o.Photos = nil }), "loads with 0 photographs"},
		{"a decoder's error is no finding", edit(func(o *observe.Observation) { o.Photos[1].Error = "boom" }), "china: boom"},
		{"not a number", observation(move(stand(1, 1), 3, math.NaN(), 0)), "NaN"},
		{"another skeleton", observation(change(stand(1, 1), func(p *pose.Person) { p.Keypoints = p.Keypoints[:5] })), "5 keypoints"},
	} {
		_, err := golden.Of(row.o)
		assert.ErrorContains(t, err, row.want, row.why)
	}
}

// What a golden must catch, and what it must not mind.
func TestCompare(t *testing.T) {
	p := stand(100, 100)
	far := stand(500, 100)
	tiny := change(p, func(p *pose.Person) {
		p.Box = [4]float64{10, 10, 20, 30}
		for i := range p.Keypoints {
			p.Keypoints[i].X, p.Keypoints[i].Y = p.Keypoints[i].X/10, p.Keypoints[i].Y/10
		}
	})
	unseen := func(p pose.Person, joint int) pose.Person {
		return change(p, func(p *pose.Person) { p.Keypoints[joint].Score = 0.29 })
	}
	all := func(p pose.Person) pose.Person {
		for j := range p.Keypoints {
			p = unseen(p, j)
		}
		return p
	}
	type list = []pose.Person
	for _, row := range []struct {
		why       string
		got, want list
		tolerance golden.Tolerance
		errs      []string // none for no difference
	}{
		{why: "the same", got: list{p, far}, want: list{p, far}},
		{why: "in another order", got: list{far, p}, want: list{p, far}},
		{why: "nobody, as wanted"},
		{why: "half a pixel is within", got: list{move(p, 9, 0.5, 0)}, want: list{p}},
		{why: "three pixels are not, with all that one needs to see it", got: list{far, move(p, 9, 3, 0)}, want: list{p, far},
			errs: []string{"person 1 (box 100,100 to 200,300) left_wrist: got 113.00,208.00, want 110.00,208.00: 3.00 px away, at most 1.00 allowed, and OKS 0.97"}},
		{why: "so far is a pixel for an eye of a tiny person", got: list{move(tiny, 1, 0.9, 0)}, want: list{tiny}, errs: []string{"left_eye: got", "and OKS 0.2"}},
		{why: "and not for its hip", got: list{move(tiny, 11, 0.1, 0)}, want: list{tiny}},
		{why: "a wider tolerance", got: list{move(p, 9, 3, 0)}, want: list{p}, tolerance: golden.Tolerance{Pixels: 4, OKS: 0.9}},
		{why: "a joint that the golden does not see may be anywhere", got: list{move(p, 9, 30, 0)}, want: list{unseen(p, 9)}},
		{why: "and many of them do not make another person", got: list{change(p, func(p *pose.Person) {
			for j := range 12 {
				p.Keypoints[j].X += 200
			}
		})}, want: list{change(p, func(p *pose.Person) {
			for j := range 12 {
				p.Keypoints[j].Score = 0.1
			}
		})}},
		{why: "the hip of a large person has room in OKS, and none in pixels", got: list{move(p, 11, 3, 0)}, want: list{p}, errs: []string{"left_hip: got", "3.00 px away, at most 1.00 allowed, and OKS 0.9908"}},
		{why: "a joint that only the golden sees is held", got: list{unseen(p, 9)}, want: list{p}, errs: []string{"left_wrist: score 0.290, want 0.800 within 0.010"}},
		{why: "the score of a person", got: list{change(p, func(p *pose.Person) { p.Score = 0.8 })}, want: list{p}, errs: []string{"person 1 (box 100,100 to 200,300): score 0.800, want 0.900"}},
		{why: "NaN is far from everything", got: list{move(p, 9, math.NaN(), 0)}, want: list{p}, errs: []string{"is missing", "is extra"}},
		{why: "one person of two is missing", got: list{p}, want: list{p, far}, errs: []string{"person 2 (box 500,100 to 600,300) is missing: of 1 persons got the most alike has OKS 0.00"}},
		{why: "nobody found: the mistake that this project exists to prevent", want: list{p}, errs: []string{"person 1 (box 100,100 to 200,300) is missing"}},
		{why: "one too many", got: list{p, far}, want: list{p}, errs: []string{"a person (box 500,100 to 600,300) with score 0.900 is extra"}},
		{why: "found twice is one too many", got: list{p, move(p, 9, 40, 0)}, want: list{p}, errs: []string{"is extra"}},
		{why: "a person of whom the golden sees no joint must still be there", want: list{all(p)}, errs: []string{"is missing"}},
		{why: "and is known again", got: list{all(p)}, want: list{all(p)}},
		{why: "all differences at once", got: list{move(move(p, 9, 3, 0), 10, 3, 0)}, want: list{p, far}, errs: []string{"left_wrist", "right_wrist", "person 2"}},
	} {
		t.Run(row.why, func(t *testing.T) {
			err := golden.Compare(row.got, row.want, row.tolerance)
			if row.errs == nil {
				require.NoError(t, err)
			}
			for _, want := range row.errs {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

// The person who is most alike is taken first, so that the second best does not take the best one's partner.
func TestMatch(t *testing.T) {
	p, beside := stand(100, 100), stand(108, 100)
	assert.Equal(t, []golden.Pair{{Got: 1, Want: 0, OKS: 1}, {Got: 0, Want: 1, OKS: 1}}, golden.Match([]pose.Person{beside, p}, []pose.Person{p, beside}))
	assert.Equal(t, []golden.Pair{{Got: 0, Want: 1, OKS: 1}}, golden.Match([]pose.Person{beside}, []pose.Person{p, beside}))
	assert.Empty(t, golden.Match([]pose.Person{stand(400, 100)}, []pose.Person{p}))
	assert.Empty(t, golden.Match([]pose.Person{{}}, []pose.Person{{}}), "without keypoints nobody is alike")
}

func TestCheck(t *testing.T) {
	p := stand(100, 100)
	g, err := golden.Of(observation(p))
	require.NoError(t, err)

	differences, err := g.Check(observation(p), golden.Tolerance{})
	require.NoError(t, err)
	assert.Empty(t, differences)

	less := observation(p)
	less.Photos = less.Photos[:1]
	differences, err = g.Check(less, golden.Tolerance{})
	require.NoError(t, err)
	assert.Empty(t, differences, "a machine that lacks a photograph is not asked for it")

	moved := observation(move(p, 9, 3, 0))
	moved.Photos[1].Error = "boom"
	differences, err = g.Check(moved, golden.Tolerance{})
	require.NoError(t, err)
	require.Len(t, differences, 2)
	assert.Equal(t, "band", differences[0].Fixture)
	assert.ErrorContains(t, differences[0].Err, "left_wrist")
	assert.EqualError(t, differences[1].Err, "boom", "a photograph that could not be run is no photograph without persons")

	for _, row := range []struct {
		why  string
		edit func(*observe.Observation)
		want string
	}{
		{"another model", func(o *observe.Observation) { o.ModelSHA256 = otherSum }, "golden is of the model 632132871772…, and this one is 88431cd9653c…; look"},
		{"another photograph of that name", func(o *observe.Observation) { o.Photos[0].SHA256 = otherSum }, "photograph band with sum 46e63ec35812…, and this one has 88431cd9653c…; look"},
		{"a photograph that nobody has looked at", func(o *observe.Observation) { o.Photos[1].Fixture = "new" }, "no photograph new; look"},
	} {
		o := observation(p)
		row.edit(&o)
		_, err := g.Check(o, golden.Tolerance{})
		assert.ErrorContains(t, err, row.want, row.why)
		assert.ErrorContains(t, err, "run -update", row.why)
	}
}

// Which golden holds for a cell.
func TestChoose(t *testing.T) {
	for _, row := range []struct {
		why, have, cell, want string // "" for none
	}{
		{"its own", "cpu@1.23.2.any cpu@1.24.4.any", "cpu@1.23.2.any", "cpu@1.23.2.any"},
		{"a later runtime is held to what was", "cpu@1.22.1.any cpu@1.24.4.any", "cpu@1.32.0.any", "cpu@1.24.4.any"},
		{"1.9 is older than 1.23, though not as a text", "cpu@1.9.0.any cpu@1.23.2.any", "cpu@1.32.0.any", "cpu@1.23.2.any"},
		{"a golden holds from its runtime on, not before", "cpu@1.23.2.any", "cpu@1.22.1.any", ""},
		{"another provider computes otherwise", "openvino@openvino-1.22.0.any", "cpu@openvino-1.24.1.any", ""},
		{"another class of processor computes otherwise", "cpu@1.23.2.avx2", "cpu@1.23.2.vnni", ""},
		{"the own distribution comes first, however old", "cpu@openvino-1.22.0.any cpu@1.23.2.any", "cpu@openvino-1.24.1.any", "cpu@openvino-1.22.0.any"},
		{"cpu is the same code in every distribution", "cpu@1.22.1.any cpu@1.23.2.any cpu@1.32.0.any", "cpu@openvino-1.24.1.any", "cpu@1.23.2.any"},
		{"also where its own distribution has only newer ones", "cpu@openvino-1.24.1.any cpu@1.22.1.any", "cpu@openvino-1.23.0.any", "cpu@1.22.1.any"},
		{"also in a library of one's own", "cpu@1.23.2.any", "cpu@own-1.23.2.any", "cpu@1.23.2.any"},
		{"of one version, plain onnxruntime", "cpu@openvino-1.23.0.any cpu@1.23.0.any cpu@a-1.23.0.any", "cpu@own-1.23.0.any", "cpu@1.23.0.any"},
		{"other providers are not the same in another distribution", "cuda@gpu-1.23.2.any", "cuda@own-1.23.2.any", ""},
		{"a release candidate is older than its release", "cpu@1.24.0.any", "cpu@1.24.0-rc1.any", ""},
		{"without a version nothing is older", "cpu@1.23.2.any", "cpu@nightly.any", ""},
		{"without a version there is the very one", "cpu@nightly.any", "cpu@nightly.any", "cpu@nightly.any"},
		{"and it is older than nothing", "cpu@nightly.any", "cpu@1.23.2.any", ""},
		{"no golden at all", "", "cpu@1.23.2.any", ""},
	} {
		var have []golden.Since
		for _, name := range strings.Fields(row.have) {
			since, err := golden.ParseSince(name)
			require.NoError(t, err)
			have = append(have, since)
		}
		cell, err := golden.ParseSince(row.cell)
		require.NoError(t, err)
		for range 2 {
			got, ok := golden.Choose(have, cell)
			assert.Equal(t, row.want != "", ok, row.why)
			if ok {
				assert.Equal(t, row.want, got.String(), row.why)
			}
			slices.Reverse(have) // the order of files is nobody's promise
		}
	}
	for _, name := range []string{"", "cpu", "cpu@1", "@1.2.any", "cpu@.any", "cpu@1.23.2."} {
		_, err := golden.ParseSince(name)
		assert.Error(t, err, name)
	}
}

func TestClass(t *testing.T) {
	assert.Equal(t, "any", golden.Class("fp32", observe.VNNI))
	assert.Equal(t, "any", golden.Class("fp16", observe.ARM64))
	assert.Equal(t, "vnni", golden.Class("int8-qdq", observe.VNNI))
	assert.Equal(t, "avx2", golden.Class("own", observe.AVX2), "what a user's file computes in is not known")
}

func TestUpdate(t *testing.T) {
	store := golden.Store{Dir: filepath.Join(t.TempDir(), "keypoints")}
	update := func(o observe.Observation) golden.Change {
		t.Helper()
		c, err := store.Update(o, golden.Tolerance{})
		require.NoError(t, err)
		return c
	}
	on := func(ort string, o observe.Observation) observe.Observation { o.ORT = ort; return o }
	find := func(ort string) golden.Golden {
		t.Helper()
		g, err := store.Find(observe.Cell{Model: "m", Precision: "int8", Provider: "cpu", ORT: ort}, observe.AVX2)
		require.NoError(t, err)
		return g
	}
	p, far := stand(100, 100), stand(500, 100)
	path := func(name string) string { return filepath.Join(store.Dir, "m", "int8", name) }

	var none *golden.NoneError
	_, err := store.Find(observation().Cell, observe.AVX2)
	require.ErrorAs(t, err, &none)
	assert.ErrorContains(t, err, "no golden; look at what it finds, then run -update")

	c := update(observation(p, far))
	assert.Equal(t, path("cpu@1.23.2.avx2.json")+"\n  new: 2 persons in 2 photographs", c.String())
	differences, err := find("1.23.2").Check(observation(p, far), golden.Tolerance{})
	require.NoError(t, err)
	assert.Empty(t, differences, "what was updated passes")

	assert.Equal(t, "unchanged", update(observation(p, far)).String())
	assert.Equal(t, "unchanged", update(observation(far, move(p, 9, 0.5, 0))).String(), "within the tolerance nothing is rewritten")
	assert.Equal(t, "unchanged", update(on("1.24.4", observation(p, far))).String(), "a runtime that finds the same needs no golden of its own")

	c = update(on("1.32.0", observation(move(p, 9, 6, 8), stand(900, 100))))
	assert.Equal(t, path("cpu@1.32.0.avx2.json"), c.Path)
	assert.Equal(t, []string{"beside that of 1.23.2",
		"band: person 1 (box 100,100 to 200,300): OKS 1 - 0.0155, furthest left_wrist by 10.00 px",
		"band: person 2 (box 500,100 to 600,300) is gone",
		"band: a person (box 900,100 to 1000,300) with score 0.900 is new"}, c.Details)
	assert.Len(t, find("1.24.4").Photos[0].Persons, 2, "older runtimes keep theirs")
	assert.Equal(t, "1.32.0", find("1.99.0").ORT)

	less := observation(p)
	less.Photos = less.Photos[:1]
	update(less)
	assert.Len(t, find("1.23.2").Photos, 2, "a photograph that this machine lacks keeps its golden")
	less.ModelSHA256 = otherSum
	assert.Contains(t, update(less).String(), "model 88431cd9653c…, was 632132871772…")
	assert.Len(t, find("1.23.2").Photos, 1, "but not that of another model")

	_, err = store.Find(observation().Cell, observe.VNNI)
	require.ErrorAs(t, err, &none)
	assert.Equal(t, []string{observe.AVX2}, none.Other)
	assert.ErrorContains(t, err, "no golden for processors of class vnni, only for avx2")

	require.NoError(t, os.Rename(path("cpu@1.32.0.avx2.json"), path("cpu@1.33.0.avx2.json")))
	_, err = store.Find(on("1.33.0", observation()).Cell, observe.AVX2)
	assert.ErrorContains(t, err, "holds the golden of model=m/precision=int8/provider=cpu/ort=1.32.0", "a golden at another's place")
	require.NoError(t, os.WriteFile(path("cpu@1.33.0.avx2.json"), []byte("{"), 0o644))
	_, err = store.Update(on("1.33.0", observation(p)), golden.Tolerance{})
	assert.ErrorContains(t, err, "ends in the middle", "what can't be read is not written over unseen")
	require.NoError(t, os.WriteFile(path("notes.json"), nil, 0o644))
	_, err = store.Find(observation().Cell, observe.AVX2)
	assert.ErrorContains(t, err, "rename or remove it")
}

func TestUpdateRefusesUnderCI(t *testing.T) {
	dir := t.TempDir()
	_, err := golden.Store{Dir: dir, CI: true}.Update(observation(stand(1, 1)), golden.Tolerance{})
	assert.ErrorContains(t, err, "-update under CI would make golden what nobody has looked at")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, files)
}

const crowdSize = 100

// crowd is so many persons that writing them takes a while.
func crowd(at float64) observe.Observation {
	var persons []pose.Person
	for i := range crowdSize {
		persons = append(persons, stand(at+1000*float64(i%20), 1000*float64(i/20)))
	}
	return observation(persons...)
}
