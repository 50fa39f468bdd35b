package posetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the README calls available is what the catalogue does, which TestAvailable holds to the table and to a run.
func TestReadmeSaysWhatIsAvailable(t *testing.T) {
	h, err := open(Config{})
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	require.NoError(t, err)
	want := availability(h.catalogue.Models)
	if n := strings.Count(string(text), "| available on |"); n != 1 || !strings.Contains(string(text), "\n\n"+want+"\n") {
		t.Errorf("README.md has %d tables of what is available, and must have this one alone; write it there:\n%s", n, want)
	}
}

func TestAvailabilityTable(t *testing.T) {
	assert.Equal(t, "| available on | a | b |\n|---|---|---|\n| linux/amd64 | `fp32`, `int8` | – |\n| linux/arm64 | – | `fp32` |\n", availability([]catalog.Model{
		{ID: "b", Precision: "fp32", Available: []string{"linux/arm64"}},
		{ID: "a", Precision: "fp32", Available: []string{"linux/amd64"}},
		{ID: "a", Precision: "int8", Available: []string{"linux/amd64"}},
		{ID: "a", Precision: "uint8"},
	}))
}

// A false claim fails in a sentence that says what is false and what to do.
func TestOfferCheck(t *testing.T) {
	for _, row := range []struct {
		why      string
		table    string // "" for the repository's own
		offer    offer
		contains []string // of the error; nil for none
	}{
		{"seen here", "", offer{"movenet-lightning", "fp32", "linux/amd64"}, nil},
		{"nobody has run it on macOS: its rows are for it, and unverified", "", offer{"movenet-lightning", "fp32", "darwin/arm64"}, []string{
			"models/models.json calls movenet-lightning fp32 available on darwin/arm64, and nobody has seen it work there",
			`is "verified linux/amd64 2026-11-24"`, `is "unverified"`, "run the suite there and write into the row what it showed, or remove the platform from the entry"}},
		{"the file of the story: there is a file of 72 % less, and it loads nowhere or is wrong", "", offer{"movenet-lightning", "int8", "linux/amd64"}, []string{
			"models/models.json calls movenet-lightning int8 available on linux/amd64, and by no row it loads and finds people there", "loads and finds nobody", " fails"}},
		{"reported is not verified", "", offer{"yolov8n-pose", "int8", "darwin/arm64"}, []string{"nobody has seen it work there"}},
		{"no runtime is for it", "", offer{"movenet-lightning", "fp32", "linux/riscv64"}, []string{"no runtime is known for that platform"}},
		{"a verified row of another platform", `status = "verified darwin/arm64 2026-11-24"`, offer{"movenet-lightning", "fp32", "linux/amd64"}, []string{"nobody has seen it work there"}},
		{"unstable is not available", `sometimes = "crashes"
owner = "us"
see = "https://example.org/issues/1"
until = 2027-02-22
why = "by chance"
status = "verified linux/amd64 2026-11-24"`, offer{"movenet-lightning", "fp32", "linux/amd64"}, []string{"by no row it loads and finds people there"}},
		{"verified by a run on several", `status = "verified darwin/arm64 linux/amd64 2026-11-24"`, offer{"movenet-lightning", "fp32", "darwin/arm64"}, nil},
	} {
		t.Run(row.why, func(t *testing.T) {
			h, err := open(Config{})
			require.NoError(t, err)
			if row.table != "" {
				h.table, err = expect.Parse([]byte("[[row]]\nwant = \"loads\"\n"+row.table), "golden/support.toml")
				require.NoError(t, err)
			}
			err = row.offer.check(h.table, h.places())
			if row.contains == nil {
				require.NoError(t, err)
				return
			}
			for _, words := range row.contains {
				assert.ErrorContains(t, err, words)
			}
		})
	}
}

// What the table says is not enough either: a cell must have been seen in this run.
func TestShowsHere(t *testing.T) {
	const id, platform = "movenet-lightning", "linux/amd64"
	cell := func(precision, ort string) observe.Cell {
		return observe.Cell{Model: id, Precision: precision, Provider: "cpu", ORT: ort}
	}
	found := observe.Observation{Outcome: observe.Loads, Placement: map[string]int{"CPUExecutionProvider": 1},
		Photos: []observe.Photo{{Fixture: "one", People: 1, Persons: make([]pose.Person, 1), OKS: 0.9}}}
	lost := found
	lost.Photos = []observe.Photo{{Fixture: "one", People: 1}}
	broken := observe.Observation{Outcome: observe.Fails, Failure: &observe.Failure{Message: "no kernel"}}
	missing := []Missing{{ID: id, Cells: []observe.Cell{cell("fp32", "1.32.0")}, Err: os.ErrNotExist}}
	for _, row := range []struct {
		why     string
		status  expect.Status
		seen    []observe.Observation // of runtimes 1.0.0, 2.0.0, …
		missing []Missing
		shown   string // runtime
		err     string
	}{
		{"it runs and finds them", "verified linux/amd64 2026-11-24", []observe.Observation{found}, nil, "1.0.0", ""},
		{"one of two is enough: TestLoad tells of the other", "verified linux/amd64 2026-11-24", []observe.Observation{broken, found}, nil, "2.0.0", ""},
		{"its session does not open", "verified linux/amd64 2026-11-24", []observe.Observation{broken}, nil, "", "in this run no cell of it loads and finds the people:\nmodel=movenet-lightning/precision=fp32/provider=cpu/ort=1.0.0: fails: no kernel, want loads"},
		{"it finds nobody", "verified linux/amd64 2026-11-24", []observe.Observation{lost}, nil, "", "finds nobody, want people"},
		{"its cells are verified on another platform", "verified darwin/arm64 2026-11-24", []observe.Observation{found}, nil, "", "none of its cells that are verified there is among those that run"},
		{"nothing of it runs", "verified linux/amd64 2026-11-24", nil, nil, "", "none of its cells that are verified there is among those that run"},
		{"its file is not here", "verified linux/amd64 2026-11-24", nil, missing, "", "file does not exist (POSETEST_REQUIRE allows no skip of movenet-lightning)"},
	} {
		t.Run(row.why, func(t *testing.T) {
			r := expect.Row{Want: observe.Loads, Finds: expect.People, Status: row.status, File: "golden/support.toml", Line: 1}
			s := New(Config{})
			s.plan = &Plan{Missing: row.missing, Table: expect.Table{r}}
			for i, o := range row.seen {
				c := cell("fp32", string(rune('1'+i))+".0.0")
				s.plan.Cells = append(s.plan.Cells, Planned{Place: expect.Place{Cell: c, Platform: platform}, Row: r})
				o.Cell, o.When = c, time.Time{}
				_, err := s.seen.get(c, "load", func() (observe.Observation, error) { return o, nil })
				require.NoError(t, err)
			}
			shown, err := s.showsHere(t.Context(), offer{id, "fp32", platform})
			assert.Equal(t, row.shown, shown.ORT)
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
			} else {
				require.NoError(t, err)
			}
		})
	}
}
