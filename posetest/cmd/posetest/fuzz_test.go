package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/measure"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// someRecord is a whole record of a gate's history.
func someRecord() record {
	ratio := measure.Ratio{Ratio: 1.01, Low: 1, High: 1.02, P: 0.04, Resolution: 0.01, Pairs: 20}
	return record{When: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Commit: "1a2b3c", Machine: observe.Machine{OS: "linux", CPU: "x"},
		Cell: observe.Cell{Model: "m", Precision: "int8", Provider: "cpu", ORT: "1.32.0"}, Against: "fp32", Wall: ratio, CPU: ratio, Verdict: measure.OK}
}

// jsonLines are values, a line each.
func jsonLines(t testing.TB, values ...any) []byte {
	var b bytes.Buffer
	for _, v := range values {
		require.NoError(t, json.NewEncoder(&b).Encode(v))
	}
	return b.Bytes()
}

// A history that is read is written so that it reads the same, with every record that its lines have; an error names the file.
func FuzzHistory(f *testing.F) {
	one := jsonLines(f, someRecord())
	f.Add(jsonLines(f, someRecord(), someRecord()))
	f.Add(append(bytes.TrimSuffix(one, []byte("\n")), one...))
	f.Add(append([]byte("\n\n"), one...))
	f.Add([]byte("null\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "gate.jsonl")
		require.NoError(t, os.WriteFile(path, text, 0o644))
		all, err := readHistory(path)
		if err != nil {
			assert.ErrorContains(t, err, path)
			return
		}
		whole := 0
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			if len(line) > 0 {
				whole++
			}
		}
		assert.Len(t, all, whole, "one for each line that is not empty")
		require.NoError(t, writeHistory(path, all))
		once, err := os.ReadFile(path)
		require.NoError(t, err)
		again, err := readHistory(path)
		require.NoError(t, err)
		require.NoError(t, writeHistory(path, again))
		twice, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, string(once), string(twice))
		_ = drifting(all, all)
	})
}

// someTrial is a whole trial of the gate's self-test.
func someTrial() trial {
	ok := measure.OK
	return trial{Cell: observe.Cell{Model: "m", Precision: "fp32", Provider: "cpu", ORT: "1.32.0"}, Machine: observe.Machine{OS: "linux", CPU: "x"},
		Verdicts: []measure.Verdict{ok, ok, measure.Regressed, measure.Regressed}, Ratios: []float64{1, 1.02, 1.03, 1.05}, Took: time.Second}
}

// A log of trials that is read is written so that it reads the same, and makes a table; an error names the file.
func FuzzTrials(f *testing.F) {
	loaded := someTrial()
	loaded.Loaded = true
	f.Add(jsonLines(f, someTrial(), loaded))
	f.Add(append(jsonLines(f, someTrial()), ']'))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "trials.jsonl")
		require.NoError(t, os.WriteFile(path, text, 0o644))
		all, err := readTrials(path, someTrial())
		if err != nil {
			assert.ErrorContains(t, err, path)
			return
		}
		require.NoError(t, writeTrials(path, all))
		once, err := os.ReadFile(path)
		require.NoError(t, err)
		again, err := readTrials(path, someTrial())
		require.NoError(t, err)
		assert.Equal(t, all, again)
		assert.Equal(t, len(all), bytes.Count(once, []byte("\n")))
		if len(all) > 0 {
			assert.Contains(t, strings.ToLower(powerTable(all)), "regressed")
		}
	})
}

// What follows a record, or the trials, is no longer lost in silence when the file is written anew.
func TestLogsLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.jsonl")
	one := jsonLines(t, someRecord())
	require.NoError(t, os.WriteFile(path, append(bytes.TrimSuffix(one, []byte("\n")), one...), 0o644))
	_, err := readHistory(path)
	assert.ErrorContains(t, err, ":1: not a record of this version of posetest (something follows on the line)")
	for _, behind := range []string{"]", "}", "] " + string(jsonLines(t, someTrial()))} {
		require.NoError(t, os.WriteFile(path, append(jsonLines(t, someTrial()), behind...), 0o644))
		_, err = readTrials(path, someTrial())
		assert.ErrorContains(t, err, "after trial 1 something else follows; remove it")
	}
	elsewhere, otherwise := someTrial(), someTrial()
	elsewhere.Machine.ISA, otherwise.Method = "vnni", 7
	require.NoError(t, os.WriteFile(path, jsonLines(t, someTrial(), elsewhere, someTrial()), 0o644))
	all, err := readTrials(path, someTrial())
	require.NoError(t, err)
	assert.Len(t, all, 3)
	page := powerTable(all)
	assert.Regexp(t, `(?s)## x.*2 trials took 2s\..*## x, 0 cores, linux/, class vnni.*1 trials took 1s\.`, page, "a table for each machine")
	require.NoError(t, os.WriteFile(path, jsonLines(t, someTrial(), otherwise), 0o644))
	_, err = readTrials(path, someTrial())
	assert.ErrorContains(t, err, "trial 2 is of another cell or way to compare")
}
