package report

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/drift"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func htmlOf(t testing.TB, p Page) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, p.HTML(&b))
	return b.Bytes()
}

// somebody stands in a photograph of 120 × 200, each joint moved by so much.
func somebody(moved float64) pose.Person {
	p := pose.Person{Score: 0.9, Box: [4]float64{20, 10, 100, 190}}
	for j := range pose.Joints {
		sin, cos := math.Sincos(float64(j))
		p.Keypoints = append(p.Keypoints, pose.Keypoint{X: 60 + 36*cos + moved*float64(j%3), Y: 15 + 10*float64(j) + moved*sin, Score: 0.8})
	}
	return p
}

// full is the hand-made page with all that a page can have: single runs, photographs with pictures, drift, AP, and a
// report before.
func full(t testing.TB) Page {
	p := page(t)
	for i := range p.Results {
		r := &p.Results[i]
		r.Family, r.ModelFile, r.ModelSHA256, r.ModelSize = "yolov8-pose", r.Model+".onnx", "0123456789abcdef", 3_854_311
		r.PeakMemory, r.Start = 98_000_000, 12*time.Millisecond
		if r.Outcome != observe.Loads {
			continue
		}
		r.Placement = map[string]int{"CPUExecutionProvider": 249, "OpenVINOExecutionProvider": 1}
		r.FirstRun = 2 * r.Run
		for _, share := range []int{95, 100, 108} {
			r.Runs = append(r.Runs, r.Run*time.Duration(share)/100)
		}
		moved := float64(i % 4)
		r.Photos = []observe.Photo{{Fixture: "somebody", SHA256: "ab", Width: 120, Height: 200, People: 1, OKS: 0.9 - 0.05*moved, Persons: []pose.Person{somebody(moved)}, Infer: r.Run},
			{Fixture: "nobody", SHA256: "cd", Width: 120, Height: 200, Infer: r.Run}}
		if r.Precision != "fp32" {
			d := drift.Of([]drift.Pair{{Fixture: "somebody", FP32: []pose.Person{somebody(0)}, Got: r.Photos[0].Persons}})
			r.Drift = &d
		}
	}
	p.Results[0].COCO = &observe.COCO{Images: 79, AP: 0.46, AP50: 0.8, AR: 0.5}
	p.Results[0].LogErrors = []string{"[W:onnxruntime] <b>über</b>"}
	int8 := p.Results[1] // of fp32, so that there is a precision that is worth it
	int8.Precision, int8.Row.Status = "int8-qdq", "unverified"
	int8.Run, int8.Runs, int8.ModelSize = int8.Run/2, []time.Duration{int8.Run / 2, int8.Run/2 + 1}, 1_200_000
	d := drift.Of([]drift.Pair{{Fixture: "somebody", FP32: []pose.Person{somebody(1)}, Got: []pose.Person{somebody(2)}}})
	int8.Drift, int8.Photos = &d, []observe.Photo{{Fixture: "somebody", SHA256: "ab", Width: 120, Height: 200, People: 1, OKS: 0.85, Persons: []pose.Person{somebody(2)}}}
	p.Results = append(p.Results, int8)
	p.Photograph = func(id, sha256 string) (*pose.Image, string) {
		if id != "somebody" || sha256 != "ab" {
			return nil, ""
		}
		return &pose.Image{Width: 120, Height: 200, Pix: bytes.Repeat([]byte{90, 120, 150}, 120*200)}, "a grey wall, CC0-1.0"
	}
	for i, r := range p.Results {
		switch i {
		case 0: // as it was, twice as fast
			r.Run, r.Runs = r.Run*2, []time.Duration{r.Run * 2, r.Run*2 + 1}
		case 1: // was not run
			continue
		case 5: // was right
			r.Class, r.Photos = "loads", []observe.Photo{{Fixture: "somebody", SHA256: "ab", Width: 120, Height: 200, People: 1, Persons: []pose.Person{somebody(60)}}}
		case 3:
			r.Failure = &observe.Failure{Message: "other words"}
		}
		p.Before = append(p.Before, r)
	}
	gone := p.Results[2]
	gone.ORT = "1.8.0"
	p.Before = append(p.Before, gone)
	p.Today = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	p.Results[2].Variants = []observe.Variant{{Times: 9, Outcome: observe.Loads}, {Times: 1, Outcome: observe.Loads, Differs: []string{"photos[somebody].persons[0].score is 0.8, not 0.9"}}}
	p.Results[2].Problem = errors.New("flaky: loads 10 of 10 in 2 ways; find the cause")
	p.Results[3].Variants = []observe.Variant{{Times: 10, Outcome: observe.Fails, Failure: p.Results[3].Failure}}
	p.Results[6].Variants = []observe.Variant{{Times: 12, Outcome: observe.Crashes, Death: p.Results[6].Death}, {Times: 8, Outcome: observe.Fails, Failure: &observe.Failure{Message: "node <index> | of garbage"}}}
	return p
}

// machines is a page of cells of two kinds of machine.
func machines(t testing.TB) Page {
	p := page(t)
	for _, r := range slices.Clone(p.Results)[:4] {
		r.Machine = observe.Machine{OS: "darwin", Arch: "arm64", CPU: "Apple M4", ISA: "arm64", Core: 10}
		r.When = r.When.AddDate(0, 0, 1)
		p.Results = append(p.Results, r)
	}
	return p
}

// The page asks nothing of a network, and what a message holds stays text.
func TestHTMLIsSelfContained(t *testing.T) {
	for name, p := range map[string]Page{"full": full(t), "machines": machines(t), "empty": {}} {
		text := string(htmlOf(t, p))
		for _, never := range []string{"<link", "<iframe", "@import", "url(", " src=\"http", "<b>über", "<c>", "second <line>"} {
			assert.NotContains(t, text, never, name)
		}
		assert.Contains(t, text, `http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; img-src data:;`, name)
		assert.NotContains(t, text, "ZgotmplZ", "what the template refused to write in %s", name)
	}
	text := string(htmlOf(t, full(t)))
	assert.Contains(t, text, "&lt;b&gt;über&lt;/b&gt;", "a warning with HTML in it is shown as it is")
	assert.Contains(t, text, `href="https://github.com/microsoft/onnxruntime/pull/26585"`)
	assert.Equal(t, 1, strings.Count(text, "data:image/jpeg;base64,"), "one picture: of the one INT8 cell with fp32 and a photograph that is here")
}

// Each cell is in the page once, and the matrix and the table of absent providers lead to all.
func TestHTMLHasEachCell(t *testing.T) {
	for _, p := range []Page{full(t), machines(t)} {
		text := string(htmlOf(t, p))
		for _, r := range p.Results {
			id := html.EscapeString(p.id(r))
			assert.Equal(t, 1, strings.Count(text, `id="`+id+`"`), "cells with the id %s", id)
			assert.Equal(t, 1, strings.Count(text, `id="at/`+id+`"`), "places that lead to %s", id)
		}
	}
}

// 500 cells are written within 2 s and take less than 5 MB, with all that a cell can have and as many pictures as there may be.
func TestHTMLOf500(t *testing.T) {
	text := htmlOf(t, many(t, 500))
	assert.Less(t, len(text), 5_000_000, "bytes")
	assert.Greater(t, bytes.Count(text, []byte("data:image/jpeg")), 3, "pictures, of noise, which JPEG can't make small")
}

// many is a page of n cells of 5 models, each with 13 photographs of 3 persons, over a report before.
func many(t testing.TB, n int) Page {
	source := full(t)
	one := source.Results[0]
	noise := rand.New(rand.NewPCG(1, 2))
	pix := make([]byte, 3*640*480)
	for i := range pix {
		pix[i] = byte(noise.IntN(256)) // the worst for a JPEG
	}
	p := Page{Table: source.Table, Photograph: func(id, sha256 string) (*pose.Image, string) {
		return &pose.Image{Width: 640, Height: 480, Pix: pix}, "noise"
	}}
	precisions := []string{"fp32", "fp16", "int8", "int8-qdq", "int8-qop", "int8-tuned", "int8-naive", "int8-qdq-pt", "uint8", "int8-own"}
	for i := range n {
		r := one
		r.Model, r.Precision = fmt.Sprintf("model-%d", i/100), precisions[i/10%10]
		r.ORT = fmt.Sprintf("1.%d.0", 20+i%10)
		r.Photos = nil
		for range 13 {
			r.Photos = append(r.Photos, observe.Photo{Fixture: "somebody", SHA256: "ab", Width: 640, Height: 480, People: 3, OKS: 0.9,
				Persons: []pose.Person{somebody(float64(i % 7)), somebody(100), somebody(200)}, Infer: r.Run})
		}
		r.LogErrors = []string{strings.Repeat("a warning of the runtime ", 10), strings.Repeat("another one ", 10)}
		if r.Precision != "fp32" {
			d := drift.Of([]drift.Pair{{Fixture: "somebody", FP32: []pose.Person{somebody(0)}, Got: []pose.Person{somebody(float64(i % 7))}}})
			r.Drift = &d
		}
		p.Results = append(p.Results, r)
		r.Run = r.Run * time.Duration(90+i%20) / 100
		p.Before = append(p.Before, r)
	}
	return p
}

func BenchmarkHTML(b *testing.B) {
	p := many(b, 500)
	for b.Loop() {
		if err := p.HTML(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// What is run again by a cell's command is that cell, whatever its names are made of.
func TestCommands(t *testing.T) {
	r := Result{Observation: observe.Observation{Cell: observe.Cell{Model: "yolov8n-pose~1a2b3c4d", Precision: "int8", Provider: "cpu", ORT: "1.23.2"}}}
	assert.Equal(t, []string{"bin/posetest report --models yolov8n-pose --precisions int8 --providers cpu --runtimes 1.23.2"}, r.commands(), "other exports run with their model")
	r.Row.Line, r.Drift = 7, &drift.Drift{}
	assert.Equal(t, []string{"bin/posetest report --models yolov8n-pose --precisions fp32,int8 --providers cpu --runtimes 1.23.2",
		"POSETEST_RUNTIMES=1.23.2 go test ./posetest -count 1 -v -run 'Test(Load|Infer|Drift)/model=yolov8n-pose~1a2b3c4d$/precision=int8$/provider=cpu$/ort=1.23.2$'"}, r.commands(), "drift needs fp32")
	own := Result{Observation: observe.Observation{Cell: observe.Cell{Model: "their_model", Precision: "own", Provider: "cpu", ORT: "own-1.23.2"}, ModelFile: "Their Model's.onnx", Family: "movenet"}}
	own.Row.File = "no table"
	assert.Equal(t, []string{`POSETEST_ORT=libonnxruntime.so bin/posetest report --model 'Their Model'\''s.onnx' --family movenet`}, own.commands(), "a library and a file of the user's")
}
