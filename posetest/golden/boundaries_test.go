package golden_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/golden"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// at is a person whose joints have a score of 0.9, one below the other at x, and no box, as MoveNet finds them.
func at(x float64) pose.Person {
	p := pose.Person{Score: 0.5}
	for i := range pose.Joints {
		p.Keypoints = append(p.Keypoints, pose.Keypoint{X: x + float64(i), Y: 100 + 10*float64(i), Score: 0.9})
	}
	return p
}

// The area of a reference decides how far a joint may be off.
func TestTruth(t *testing.T) {
	assert.InDelta(t, 0.53*100*200, golden.Truth(stand(100, 100)).Area, 1e-9, "of the box")
	small := change(stand(100, 100), func(p *pose.Person) { p.Box = [4]float64{110, 110, 120, 115} })
	assert.InDelta(t, 0.53*80*192, golden.Truth(small).Area, 1e-9, "of the joints' extent, where that is larger")
	assert.InDelta(t, 0.53*16*160, golden.Truth(at(300)).Area, 1e-9, "without a box")
	assert.EqualValues(t, 1, golden.Truth(change(at(1), func(p *pose.Person) {
		for i := range p.Keypoints {
			p.Keypoints[i].X, p.Keypoints[i].Y = 5, 5
		}
	})).Area, "of a point")

	p := change(at(300), func(p *pose.Person) {
		p.Keypoints[0].Score = golden.Seen
		p.Keypoints[1].Score = math.Nextafter(golden.Seen, 0)
		p.Keypoints[1].X = 1000
	})
	truth := golden.Truth(p)
	assert.Equal(t, [3]float64{300, 100, 2}, truth.Keypoints[0], "seen from exactly 0.3 on")
	assert.Equal(t, [3]float64{1000, 110, 0}, truth.Keypoints[1], "below it guessed")
	assert.InDelta(t, 0.53*16*160, truth.Area, 1e-9, "what is guessed does not widen a person")
}

// Two persons are one from an OKS of exactly one half on: one of two joints is right, and one is nowhere near.
func TestMatchFromExactlyMinOKS(t *testing.T) {
	want := change(at(300), func(p *pose.Person) {
		for i := 2; i < len(p.Keypoints); i++ {
			p.Keypoints[i].Score = 0.1
		}
	})
	got := move(want, 1, 1e6, 0)
	require.Equal(t, golden.MinOKS, coco.OKS(golden.Truth(want), got))
	assert.Len(t, golden.Match([]pose.Person{got}, []pose.Person{want}), 1)
	assert.Empty(t, golden.Match([]pose.Person{move(got, 0, 1, 0)}, []pose.Person{want}))
}

// Each tolerance is still kept by what is exactly so far.
func TestCompareToTheBit(t *testing.T) {
	p := change(stand(100, 100), func(p *pose.Person) {
		p.Score = 0.75
		for i := range p.Keypoints {
			p.Keypoints[i].Score = 0.75
		}
	})
	score := func(v float64) pose.Person { return change(p, func(p *pose.Person) { p.Score = v }) }
	joint := func(v float64) pose.Person { return change(p, func(p *pose.Person) { p.Keypoints[3].Score = v }) }
	quarter := golden.Tolerance{Score: 0.25}
	alone := golden.Truth(p)
	for i := range alone.Keypoints {
		alone.Keypoints[i][2] = 0
	}
	alone.Keypoints[9][2] = 2
	oks := coco.OKS(alone, move(p, 9, 3, 0))
	barely := change(p, func(p *pose.Person) { p.Keypoints[9].Score = golden.Seen })
	for _, row := range []struct {
		why       string
		got, want pose.Person
		tolerance golden.Tolerance
		err       string // "" for none
	}{
		{"one pixel", move(p, 9, 1, 0), p, golden.Tolerance{}, ""},
		{"and a bit", move(p, 9, 1.001, 0), p, golden.Tolerance{}, "left_wrist: got"},
		{"the OKS", move(p, 9, 3, 0), p, golden.Tolerance{Pixels: 9, OKS: oks}, ""},
		{"and a bit", move(p, 9, 3, 0), p, golden.Tolerance{Pixels: 9, OKS: math.Nextafter(oks, 1)}, "left_wrist: got"},
		{"the score of a person", score(0.5), p, quarter, ""},
		{"a higher one", score(1), p, quarter, ""},
		{"and a bit", score(0.499), p, quarter, "score 0.499, want 0.750 within 0.250"},
		{"the score of a joint", joint(0.5), p, quarter, ""},
		{"a higher one", joint(1), p, quarter, ""},
		{"and a bit", joint(1.001), p, quarter, "left_ear: score 1.001, want 0.750"},
		{"a joint that the golden barely sees is held", move(barely, 9, 30, 0), barely, golden.Tolerance{}, "left_wrist: got"},
	} {
		err := golden.Compare([]pose.Person{row.got}, []pose.Person{row.want}, row.tolerance)
		if row.err == "" {
			assert.NoError(t, err, row.why)
		} else {
			assert.ErrorContains(t, err, row.err, row.why)
		}
	}
}

// A person who is missing hides no other, nor a joint that the golden does not see those behind it; each is named.
func TestCompareGoesOn(t *testing.T) {
	p, far := stand(100, 100), stand(500, 100)
	err := golden.Compare([]pose.Person{move(far, 9, 3, 0)}, []pose.Person{p, far}, golden.Tolerance{})
	assert.ErrorContains(t, err, "person 1 (box 100,100 to 200,300) is missing")
	assert.ErrorContains(t, err, "person 2 (box 500,100 to 600,300) left_wrist: got")
	unseen := change(p, func(p *pose.Person) { p.Keypoints[3].Score = 0.1 })
	assert.ErrorContains(t, golden.Compare([]pose.Person{move(unseen, 9, 3, 0)}, []pose.Person{unseen}, golden.Tolerance{}), "left_wrist: got")
	dim := change(far, func(p *pose.Person) { p.Keypoints[9].Score = 0.5; p.Score = 0.5 })
	err = golden.Compare([]pose.Person{p, dim}, []pose.Person{p, far}, golden.Tolerance{})
	assert.ErrorContains(t, err, "person 2 (box 500,100 to 600,300) left_wrist: score 0.500, want 0.800")
	assert.ErrorContains(t, err, "person 2 (box 500,100 to 600,300): score 0.500, want 0.900")
}

// What a file may just hold, and what it may not.
func TestParseLimits(t *testing.T) {
	nose := func(x float64) error {
		_, err := golden.Of(observation(change(stand(10, 20), func(p *pose.Person) { p.Keypoints[0].X = x })))
		return err
	}
	assert.NoError(t, nose(1e6))
	assert.NoError(t, nose(-1e6))
	assert.ErrorContains(t, nose(1_000_000.01), "which is no pixel")
	assert.ErrorContains(t, nose(-1_000_000.01), "which is no pixel")

	g, err := golden.Of(observation(stand(10, 20)))
	require.NoError(t, err)
	text, err := g.Marshal()
	require.NoError(t, err)
	for _, row := range []struct{ why, text, want string }{
		{"an empty line behind it", string(text) + "\n", `is not as -update writes it: got "", want ""`},
		{"no end of its last line", strings.TrimSuffix(string(text), "\n"), "ends in the middle"},
		{"a sum of other letters", strings.Replace(string(text), modelSum, strings.Repeat("g", 64), 1), "is no SHA-256"},
		{"a sum in capitals", strings.Replace(string(text), modelSum, strings.ToUpper(modelSum), 1), "is no SHA-256"},
		{"no photographs", string(text[:strings.Index(string(text), "\n    {")]) + "\n  ]\n}\n", "has no photographs"},
		{"a word that begins with a dot", strings.Replace(string(text), `"band"`, `".band"`, 1), "is no plain word"},
	} {
		_, err := golden.Parse([]byte(row.text), "golden/cpu.json")
		assert.ErrorContains(t, err, row.want, row.why)
	}
	bare := g
	bare.Photos = nil
	_, err = bare.Marshal()
	assert.ErrorContains(t, err, "has no photographs", "what Parse refuses is not written")
	bare.ModelSHA256 = "63"
	_, err = bare.Marshal()
	assert.ErrorContains(t, err, `model_sha256 "63" is no SHA-256`)
}

// Versions begin with any digit.
func TestChooseAmongDigits(t *testing.T) {
	for _, row := range []struct{ have, cell, want string }{
		{"cuda@gpu-0.9.0.any", "cuda@gpu-1.0.0.any", "cuda@gpu-0.9.0.any"},
		{"cuda@gpu-1.0.0.any", "cuda@gpu-9.0.0.any", "cuda@gpu-1.0.0.any"},
	} {
		have, err := golden.ParseSince(row.have)
		require.NoError(t, err)
		cell, err := golden.ParseSince(row.cell)
		require.NoError(t, err)
		got, ok := golden.Choose([]golden.Since{have}, cell)
		assert.True(t, ok, row.cell)
		assert.Equal(t, row.want, got.String())
	}
	short, long := golden.Since{Provider: "cpu", ORT: "1.0", Class: "any"}, golden.Since{Provider: "cpu", ORT: "1.0.0", Class: "any"}
	for _, all := range [][]golden.Since{{short, long}, {long, short}} {
		got, ok := golden.Choose(all, golden.Since{Provider: "cpu", ORT: "1.1.0", Class: "any"})
		assert.True(t, ok)
		assert.Equal(t, short, got, "one version in two spellings: the first by name, whatever the order of files")
	}
}

// Only whole goldens of the folder count: not what a killed update left, nor a person's notes.
func TestListAndPlaces(t *testing.T) {
	store := golden.Store{Dir: t.TempDir()}
	o := observation(stand(100, 100))
	_, err := store.Update(o, golden.Tolerance{})
	require.NoError(t, err)
	dir := filepath.Join(store.Dir, "m", "int8")
	for _, name := range []string{".cpu@1.23.2.avx2.json123", ".left.json", ".json", "README.md"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644))
	}
	_, err = store.Find(o.Cell, observe.AVX2)
	require.NoError(t, err)

	// A file that was renamed to another class must not serve that.
	require.NoError(t, os.Rename(filepath.Join(dir, "cpu@1.23.2.avx2.json"), filepath.Join(dir, "cpu@1.23.2.vnni.json")))
	_, err = store.Find(o.Cell, observe.VNNI)
	assert.ErrorContains(t, err, "class avx2; move it to where that belongs")
}

// What a person reads before a commit: nothing of who did not change, and the joint that went furthest.
func TestUpdateTells(t *testing.T) {
	store := golden.Store{Dir: t.TempDir()}
	p, same := stand(100, 100), stand(500, 100)
	dim := change(p, func(p *pose.Person) { p.Keypoints[5].Score = 0.1 })
	_, err := store.Update(observation(dim, same), golden.Tolerance{})
	require.NoError(t, err)
	// All joints go 3 px, one that the golden does not see goes 50.
	moved := change(dim, func(p *pose.Person) {
		for i := range p.Keypoints {
			p.Keypoints[i].X += 3
		}
		p.Keypoints[5].X += 47
	})
	c, err := store.Update(observation(moved, same), golden.Tolerance{})
	require.NoError(t, err)
	require.Len(t, c.Details, 1, "%v", c.Details)
	assert.Regexp(t, `^band: person 1 \(box 100,100 to 200,300\): OKS 1 - 0\.0\d+, furthest nose by 3\.00 px$`, c.Details[0])
	assert.Equal(t, filepath.Join(store.Dir, "m", "int8", "cpu@1.23.2.avx2.json"), c.Path)

	// Who is gone hides no other.
	c, err = store.Update(observation(move(same, 9, 6, 8)), golden.Tolerance{})
	require.NoError(t, err)
	require.Len(t, c.Details, 2, "%v", c.Details)
	assert.Equal(t, "band: person 1 (box 100,100 to 200,300) is gone", c.Details[0])
	assert.Contains(t, c.Details[1], "band: person 2 (box 500,100 to 600,300): OKS 1 - 0.")
	_, err = store.Update(observation(moved, same), golden.Tolerance{})
	require.NoError(t, err)

	// Another photograph of the same name is told, too.
	other := observation(moved, same)
	other.Photos[0].SHA256 = otherSum
	c, err = store.Update(other, golden.Tolerance{})
	require.NoError(t, err)
	assert.Equal(t, []string{"band: photograph 88431cd9653c…, was 46e63ec35812…"}, c.Details)
}
