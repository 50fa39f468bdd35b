//go:build linux

package posetest_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/report"
	"github.com/stretchr/testify/require"
)

// checkPromises holds what a run saw to what it planned: each cell has one verdict, was told as finished once, and no other
// cell is there. Its error names each cell that is not so.
func checkPromises(planned []observe.Cell, seen []observe.Observation, told []observe.Cell) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	verdicts, tellings := map[observe.Cell]int{}, map[observe.Cell]int{}
	for _, o := range seen {
		verdicts[o.Cell]++
		if err := verdict(o); err != nil {
			bad("%s: %w", o.Cell, err)
		}
		if !slices.Contains(planned, o.Cell) {
			bad("%s: is reported, and was not planned", o.Cell)
		}
	}
	for _, c := range told {
		tellings[c]++
	}
	for _, c := range planned {
		if n := verdicts[c]; n != 1 {
			bad("%s: has %d verdicts, want 1", c, n)
		}
		if n := tellings[c]; n != 1 {
			bad("%s: was told as finished %d times, want 1", c, n)
		}
	}
	return errors.Join(errs...)
}

// verdict wants one that says what it must.
func verdict(o observe.Observation) error {
	want, known := map[observe.Outcome][3]bool{ // failure, death, photos
		observe.Loads:       {false, false, true},
		observe.Fails:       {true, false, false},
		observe.Unavailable: {true, false, false},
		observe.Crashes:     {false, true, false},
		observe.Hangs:       {false, true, false},
	}[o.Outcome]
	failure, death := o.Failure != nil && o.Failure.Message != "", o.Death != nil && o.Death.During != ""
	if !known || want[0] != failure || want[1] != death || want[2] && len(o.Photos) == 0 {
		return fmt.Errorf("outcome %q with failure %v, death %v and %d photographs is no verdict", o.Outcome, o.Failure, o.Death, len(o.Photos))
	}
	return nil
}

// checkWritten holds the file and the report of a run to what it saw.
func checkWritten(cfg posetest.Config, plan *posetest.Plan, seen []observe.Observation) error {
	set := observe.Set{Parts: []observe.Part{plan.Part(posetest.Shard{})}, Observations: seen}
	var file bytes.Buffer
	if err := observe.Write(&file, set); err != nil {
		return err
	}
	read, err := observe.Read(bytes.NewReader(file.Bytes()), "observations.jsonl")
	if err != nil {
		return err
	}
	var again bytes.Buffer
	if err := observe.Write(&again, read); err != nil {
		return err
	}
	if !bytes.Equal(file.Bytes(), again.Bytes()) {
		return errors.New("what was written is not what is read")
	}
	page, err := posetest.NewPage(cfg, read, nil)
	if err != nil {
		return err
	}
	if len(page.Results) != len(plan.Cells) {
		return fmt.Errorf("%d cells are reported, want the %d that were planned", len(page.Results), len(plan.Cells))
	}
	var text bytes.Buffer
	page.Text(&text, report.Style{})
	for _, printed := range [][]byte{file.Bytes(), text.Bytes()} {
		if i := slices.IndexFunc(printed, func(b byte) bool { return b < ' ' && b != '\n' }); i >= 0 {
			return fmt.Errorf("a control character for the terminal: %.40q", printed[i:])
		}
	}
	return nil
}

// healthy wants a cell that loads and finds the person.
func healthy(p posetest.Planned, o observe.Observation) error {
	return errors.Join(p.Judge().Load(o), p.Judge().Infer(o))
}

// The tester tested: each promise that is broken is told.
func brokenPromises(t *testing.T, good ran) {
	cells := cellsOf(good.plan)
	crash := slices.IndexFunc(good.seen, func(o observe.Observation) bool { return o.Outcome == observe.Crashes })
	loads := slices.IndexFunc(good.seen, func(o observe.Observation) bool { return o.Outcome == observe.Loads })
	require.True(t, crash >= 0 && loads >= 0)
	for _, row := range []struct {
		fault string
		do    func(seen []observe.Observation, told []observe.Cell) ([]observe.Observation, []observe.Cell)
		want  string
	}{
		{"none", func(s []observe.Observation, c []observe.Cell) ([]observe.Observation, []observe.Cell) { return s, c }, ""},
		{"verdict-lost", func(s []observe.Observation, c []observe.Cell) ([]observe.Observation, []observe.Cell) {
			return slices.Delete(s, crash, crash+1), c
		}, cells[crash].String() + ": has 0 verdicts, want 1"},
		{"verdict-doubled", func(s []observe.Observation, c []observe.Cell) ([]observe.Observation, []observe.Cell) {
			return append(s, s[loads]), c
		}, cells[loads].String() + ": has 2 verdicts, want 1"},
		{"cell-lost-to-another", func(s []observe.Observation, c []observe.Cell) ([]observe.Observation, []observe.Cell) {
			s[loads] = s[crash]
			return s, c
		}, cells[loads].String() + ": has 0 verdicts, want 1"},
		{"cell-of-nobody", func(s []observe.Observation, c []observe.Cell) ([]observe.Observation, []observe.Cell) {
			s[loads].Model = "nobody"
			return s, c
		}, "is reported, and was not planned"},
		{"no-outcome", func(s []observe.Observation, c []observe.Cell) ([]observe.Observation, []observe.Cell) {
			s[loads].Outcome = ""
			return s, c
		}, "is no verdict"},
		{"no-death", func(s []observe.Observation, c []observe.Cell) ([]observe.Observation, []observe.Cell) {
			s[crash].Death = nil
			return s, c
		}, "is no verdict"},
		{"crash-that-loads", func(s []observe.Observation, c []observe.Cell) ([]observe.Observation, []observe.Cell) {
			s[crash].Outcome = observe.Loads
			return s, c
		}, "is no verdict"},
		{"loads-and-saw-nothing", func(s []observe.Observation, c []observe.Cell) ([]observe.Observation, []observe.Cell) {
			s[loads].Photos = nil
			return s, c
		}, "is no verdict"},
		{"not-told", func(s []observe.Observation, c []observe.Cell) ([]observe.Observation, []observe.Cell) {
			return s, c[1:]
		},
			"was told as finished 0 times, want 1"},
	} {
		t.Run("fault="+row.fault, func(t *testing.T) {
			t.Attr("promise", "one verdict a cell")
			seen, told := row.do(slices.Clone(good.seen), slices.Clone(good.told))
			err := checkPromises(cells, seen, told)
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.want)
		})
	}
	t.Run("fault=observation-lost-before-the-file", func(t *testing.T) {
		t.Attr("promise", "planned = reported")
		require.ErrorContains(t, checkWritten(good.suite.Config(), good.plan, good.seen[1:]), "it was cut or edited")
	})
	t.Run("fault=person-not-found", func(t *testing.T) {
		t.Attr("promise", "no other cell is lost")
		o := good.seen[loads]
		o.Photos = slices.Clone(o.Photos)
		o.Photos[0].OKS = 0
		require.NoError(t, healthy(good.plan.Cells[loads], good.seen[loads]))
		require.ErrorContains(t, healthy(good.plan.Cells[loads], o), string(expect.Nobody))
	})
}

func cellsOf(plan *posetest.Plan) []observe.Cell {
	cells := make([]observe.Cell, len(plan.Cells))
	for i, p := range plan.Cells {
		cells[i] = p.Cell
	}
	return cells
}
