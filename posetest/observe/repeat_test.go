package observe_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// found is a repetition that loads, and finds a person with a keypoint at x; it took so many milliseconds.
func found(x float64, ms int) observe.Observation {
	return observe.Observation{Cell: cell, Outcome: observe.Loads, Placement: map[string]int{"CPUExecutionProvider": 150},
		Run: time.Duration(ms) * time.Millisecond, Worker: time.Duration(ms) * time.Second, PeakMemory: int64(ms),
		Photos: []observe.Photo{{Fixture: "nobody"}, {Fixture: "band", Infer: time.Duration(ms), Persons: []pose.Person{{Keypoints: []pose.Keypoint{{X: 1}, {X: x}}}}}}}
}

func crashed(signal string, ms int) observe.Observation {
	return observe.Observation{Cell: cell, Outcome: observe.Crashes, Worker: time.Duration(ms) * time.Second,
		Death: &observe.Death{During: "open", Signal: signal, Log: []string{"PC=0x7f", time.Duration(ms).String()}}}
}

func refused(message string) observe.Observation {
	return observe.Observation{Cell: cell, Outcome: observe.Fails, Failure: &observe.Failure{Message: message}}
}

func edited(o observe.Observation, change func(*observe.Observation)) observe.Observation {
	change(&o)
	return o
}

func TestRepeated(t *testing.T) {
	placed := func(nodes int) observe.Observation {
		return edited(found(5, 1), func(o *observe.Observation) { o.Placement = map[string]int{"CPUExecutionProvider": nodes} })
	}
	type seen = []observe.Observation
	for _, row := range []struct {
		why     string
		all     seen
		times   []int
		tally   string
		differs [][]string // of each variant
	}{
		{"times alone make no variant", seen{found(5, 1), found(5, 2), found(5, 3)}, []int{3}, "loads 3 of 3", [][]string{nil}},
		{"nor does the log of a crash", seen{crashed("SIGSEGV", 1), crashed("SIGSEGV", 2)}, []int{2}, "crashes 2 of 2", [][]string{nil}},
		{"once is stable, as far as that tells", seen{found(5, 1)}, []int{1}, "loads 1 of 1", [][]string{nil}},
		{"other outcomes, the most frequent first", seen{crashed("SIGSEGV", 1), found(5, 1), found(5, 2)}, []int{2, 1}, "loads 2 of 3, crashes 1 of 3", [][]string{nil, nil}},
		{"equally many: in the order of a legend", seen{crashed("SIGSEGV", 1), found(5, 1)}, []int{1, 1}, "loads 1 of 2, crashes 1 of 2", [][]string{nil, nil}},
		{"other words", seen{refused("a"), refused("b"), refused("b")}, []int{2, 1}, "fails 3 of 3 in 2 ways", [][]string{nil, nil}},
		{"another signal", seen{crashed("SIGABRT", 1), crashed("SIGSEGV", 1), crashed("SIGSEGV", 1)}, []int{2, 1}, "crashes 3 of 3 in 2 ways", [][]string{nil, nil}},
		{"another placement", seen{placed(9), placed(8), placed(9)}, []int{2, 1}, "loads 3 of 3 in 2 ways", [][]string{nil, nil}},
		{"a keypoint by as little as can be", seen{found(5, 1), found(math.Nextafter(5, 6), 1), found(5, 1)}, []int{2, 1}, "loads 3 of 3 in 2 ways",
			[][]string{nil, {"photos[band].persons[0].keypoints[1].x is 5.000000000000001, not 5"}}},
		{"another number of persons", seen{found(5, 1), found(5, 1), edited(found(5, 1), func(o *observe.Observation) { o.Photos[1].Persons = make([]pose.Person, 2) })}, []int{2, 1}, "loads 3 of 3 in 2 ways",
			[][]string{nil, {"photos[band].persons is 2 of them, not 1 of them"}}},
		{"an error of the run", seen{found(5, 1), found(5, 1), edited(found(5, 1), func(o *observe.Observation) {
			o.Photos[1] = observe.Photo{Fixture: "band", Error: "boom", Candidate: &pose.Person{}}
		})}, []int{2, 1}, "loads 3 of 3 in 2 ways",
			[][]string{nil, {"photos[band].candidate is something, not nothing", `photos[band].error is "boom", not nothing`, "photos[band].persons is nothing, not 1 of them"}}},
		{"many places, of which three are named", seen{found(5, 1), found(5, 1), edited(found(5, 1), func(o *observe.Observation) {
			o.Family, o.ModelFile, o.Runtime, o.Threads, o.LogErrors = "f", "m", "r", 2, []string{"w"}
		})}, []int{2, 1}, "loads 3 of 3 in 2 ways",
			[][]string{nil, {`family is "f", not nothing`, "log_errors is 1 of them, not nothing", `model_file is "m", not ""`, "and 2 more"}}},
		{"a way is compared with the most frequent of its outcome", seen{crashed("SIGSEGV", 1), crashed("SIGSEGV", 1), crashed("SIGSEGV", 1), found(5, 1), found(5, 1), found(6, 1)}, []int{3, 2, 1},
			"crashes 3 of 6, loads 3 of 6 in 2 ways", [][]string{nil, nil, {"photos[band].persons[0].keypoints[1].x is 6, not 5"}}},
		{"an outcome that is the most frequent in several ways", seen{crashed("SIGSEGV", 1), crashed("SIGSEGV", 1), found(5, 1), found(6, 1), found(7, 1)}, []int{2, 1, 1, 1},
			"loads 3 of 5 in 3 ways, crashes 2 of 5", [][]string{nil, nil, {"photos[band].persons[0].keypoints[1].x is 6, not 5"}, {"photos[band].persons[0].keypoints[1].x is 7, not 5"}}},
	} {
		t.Run(row.why, func(t *testing.T) {
			o, err := observe.Repeated(row.all)
			require.NoError(t, err)
			var times []int
			var differs [][]string
			for _, v := range o.Variants {
				times, differs = append(times, v.Times), append(differs, v.Differs)
				if v.Death != nil {
					assert.Empty(t, v.Death.Log)
				}
			}
			assert.Equal(t, row.times, times)
			assert.Equal(t, row.differs, differs)
			assert.Equal(t, row.tally, o.Tally())
			assert.Equal(t, len(row.times) > 1, o.Flaky())
			assert.Equal(t, len(row.all), o.Repetitions())
			assert.Equal(t, o.Variants[0].Observation(), observe.Observation{Outcome: o.Outcome, Failure: o.Failure, Death: o.Timeless().Death, Placement: o.Placement}, "the observation is of the most frequent variant")

			// Whichever came first, the same is told.
			want := o.Timeless()
			for range 10 {
				rand.Shuffle(len(row.all), func(i, j int) { row.all[i], row.all[j] = row.all[j], row.all[i] })
				again, err := observe.Repeated(row.all)
				require.NoError(t, err)
				assert.Equal(t, want, again.Timeless())
			}
		})
	}
}

// The times of a repeated cell are those of its first repetition of that variant; the worker's own add up.
func TestRepeatedTimes(t *testing.T) {
	o, err := observe.Repeated([]observe.Observation{crashed("SIGSEGV", 1), found(5, 20), found(5, 300)})
	require.NoError(t, err)
	assert.Equal(t, 20*time.Millisecond, o.Run)
	assert.Equal(t, int64(20), o.PeakMemory)
	assert.Equal(t, 321*time.Second, o.Worker)

	once := observe.Observation{}
	assert.Zero(t, once.Repetitions(), "who was not repeated")
	assert.False(t, once.Flaky())
	assert.Empty(t, once.Tally())

	_, err = observe.Repeated([]observe.Observation{found(math.NaN(), 1)})
	require.ErrorContains(t, err, "observation model=yolov8n-pose/", "a NaN is no JSON, and the cell that has it is named")
}

// What repetitions showed is in the file, and goes through a merge.
func TestVariantsAreKept(t *testing.T) {
	flaky, err := observe.Repeated([]observe.Observation{found(5, 1), crashed("SIGSEGV", 1), found(6, 1)})
	require.NoError(t, err)
	flaky.Machine = observe.Machine{OS: "linux", Arch: "amd64", ISA: observe.AVX2}
	elsewhere := flaky
	elsewhere.Machine.Arch, elsewhere.Variants = "arm64", nil
	var file bytes.Buffer
	merged, err := observe.Merge([]string{"a.jsonl", "b.jsonl"}, []observe.Set{observe.Whole([]observe.Observation{flaky}), observe.Whole([]observe.Observation{elsewhere})})
	require.NoError(t, err)
	require.NoError(t, observe.Write(&file, merged))
	assert.Contains(t, file.String(), `{"posetest_format":2,`, "what has no repetition is read by the version before, too")
	read, err := observe.Read(&file, "merged.jsonl")
	require.NoError(t, err)
	require.Len(t, read.Observations, 2)
	assert.Equal(t, flaky.Variants, read.Observations[0].Variants)
	assert.Nil(t, read.Observations[1].Variants)
}
