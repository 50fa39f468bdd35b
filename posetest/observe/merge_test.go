package observe_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shard is part i of n of a run of two cells on a machine; the first cell is in part 1, the second in part n.
func shard(i, n int, arch string) observe.Set {
	models := map[observe.Cell]string{}
	set := observe.Set{Parts: []observe.Part{{Platform: "linux/" + arch, ISA: "avx2", Planned: 2, Shard: i, Of: n}}}
	for c, precision := range []string{"fp32", "int8"} {
		o := full()
		o.Precision, o.Machine.Arch, o.Machine.ISA = precision, arch, "avx2"
		models[o.Cell] = o.ModelSHA256
		if i == 1 && c == 0 || i == n && c == 1 {
			set.Observations = append(set.Observations, o)
		}
	}
	set.Parts[0].Plan, set.Parts[0].Cells = observe.PlanSum(models), len(set.Observations)
	return set
}

func TestMerge(t *testing.T) {
	with := func(set observe.Set, change func(*observe.Set)) observe.Set { change(&set); return set }
	for _, row := range []struct {
		why  string
		sets []observe.Set
		want string // "" for no error
	}{
		{"one whole run", []observe.Set{shard(1, 1, "amd64")}, ""},
		{"all shards", []observe.Set{shard(2, 2, "amd64"), shard(1, 2, "amd64")}, ""},
		{"a shard may have no cell", []observe.Set{shard(1, 3, "amd64"), shard(2, 3, "amd64"), shard(3, 3, "amd64")}, ""},
		{"two machines, each in its own parts", []observe.Set{shard(1, 1, "arm64"), shard(1, 2, "amd64"), shard(2, 2, "amd64")}, ""},
		{"machines may run other cells, where models are the same", []observe.Set{shard(1, 1, "arm64"), with(shard(1, 1, "amd64"), func(s *observe.Set) { s.Parts[0].Plan = "other" })}, ""},

		{"a named run may be on machines of several kinds", []observe.Set{named("all", shard(1, 2, "amd64")), named("all", shard(2, 2, "arm64"))}, ""},
		{"two named runs of other cells, on machines of one kind", []observe.Set{named("one", alone(shard(1, 1, "amd64"), 0)), named("two", alone(shard(1, 1, "amd64"), 1))}, ""},

		{"a shard is missing", []observe.Set{shard(1, 3, "amd64"), shard(3, 3, "amd64")},
			"shard 2/3 of linux/amd64 avx2 is missing; run it with `posetest report --shard 2/3`"},
		{"of the second machine", []observe.Set{shard(1, 1, "amd64"), shard(1, 2, "arm64")}, "shard 2/2 of linux/arm64 avx2 is missing"},
		{"a shard twice", []observe.Set{shard(1, 2, "amd64"), shard(1, 2, "amd64")}, "a.jsonl and b.jsonl are both shard 1/2 of linux/amd64 avx2; name each once"},
		{"a whole run twice", []observe.Set{shard(1, 1, "amd64"), shard(1, 1, "amd64")}, "a.jsonl and b.jsonl are both shard 1/1 of linux/amd64 avx2"},
		{"parts of other numbers", []observe.Set{shard(1, 2, "amd64"), shard(2, 3, "amd64")},
			"a.jsonl and b.jsonl are mixed: on linux/amd64 avx2 one is of a run in 2 parts, and the other in 3"},
		{"shards of other runs", []observe.Set{shard(1, 2, "amd64"), with(shard(2, 2, "amd64"), func(s *observe.Set) { s.Parts[0].Plan = "other" })},
			"a.jsonl and b.jsonl are mixed: on linux/amd64 avx2 they planned other cells, or other models"},
		{"a shard of a named run is missing", []observe.Set{named("cuda", shard(1, 3, "amd64")), named("cuda", shard(3, 3, "amd64"))},
			"shard 2/3 of run cuda is missing; run it with `posetest report --run cuda --shard 2/3`, and merge again"},
		{"a shard of a named run twice, on machines of two kinds", []observe.Set{named("cuda", shard(1, 2, "amd64")), named("cuda", shard(1, 2, "arm64"))},
			"a.jsonl and b.jsonl are both shard 1/2 of run cuda; name each once"},
		{"a named run of other numbers of parts", []observe.Set{named("cuda", shard(1, 2, "amd64")), named("cuda", shard(2, 3, "amd64"))},
			"a.jsonl and b.jsonl are mixed: in run cuda one is of a run in 2 parts, and the other in 3"},
		{"shards of a named run that planned other cells", []observe.Set{named("cuda", shard(1, 2, "amd64")), with(named("cuda", shard(2, 2, "amd64")), func(s *observe.Set) { s.Parts[0].Plan = "other" })},
			"a.jsonl and b.jsonl are mixed: in run cuda they planned other cells, or other models"},
		{"two named runs that have a cell in common", []observe.Set{named("one", shard(1, 1, "amd64")), named("two", shard(1, 1, "amd64"))},
			"a.jsonl and b.jsonl both have cell model=yolov8n-pose/precision=fp32/provider=cpu/ort=1.23.2 on linux/amd64 avx2; leave one of them out"},
		{"a run without a name whose shards landed on two classes of processors", []observe.Set{shard(1, 2, "amd64"), with(shard(2, 2, "amd64"), func(s *observe.Set) { s.Parts[0].ISA, s.Observations[0].Machine.ISA = "vnni", "vnni" })},
			"shard 2/2 of linux/amd64 avx2 is missing; b.jsonl has it, of linux/amd64 vnni: keep to one kind of machine, or give all shards the name of their run (--run), and merge again"},
		{"machines with other models of one name", []observe.Set{shard(1, 1, "arm64"), with(shard(1, 1, "amd64"), func(s *observe.Set) { s.Observations[1].ModelSHA256 = "cd" })},
			"a.jsonl and b.jsonl are mixed: model yolov8n-pose int8 has sum abababababab… in the one and cd… in the other"},
		{"machines with other photographs of one name", []observe.Set{shard(1, 1, "arm64"), with(shard(1, 1, "amd64"), func(s *observe.Set) { s.Observations[0].Photos[0].SHA256 = "ab" })},
			"a.jsonl and b.jsonl are mixed: photograph band has sum cdcdcdcdcdcd… in the one and ab… in the other"},
	} {
		t.Run(row.why, func(t *testing.T) {
			merged, err := observe.Merge([]string{"a.jsonl", "b.jsonl", "c.jsonl"}[:len(row.sets)], row.sets)
			if row.want != "" {
				require.ErrorContains(t, err, row.want)
				assert.Zero(t, merged)
				return
			}
			require.NoError(t, err)
			var file bytes.Buffer
			require.NoError(t, observe.Write(&file, merged))
			read, err := observe.Read(&file, "merged.jsonl")
			require.NoError(t, err, "what was merged reads again")
			again, err := observe.Merge([]string{"merged.jsonl"}, []observe.Set{read})
			require.NoError(t, err, "and merges again")
			assert.Equal(t, cells(row.sets...), cells(again))
		})
	}
}

// named is a set that is of a named run.
func named(run string, set observe.Set) observe.Set {
	set.Parts[0].Run = run
	return set
}

// alone is a whole run of one of a set's cells.
func alone(set observe.Set, i int) observe.Set { return observe.Whole(set.Observations[i : i+1]) }

// cells are those of sets, each with the kind of its machine, in order.
func cells(sets ...observe.Set) (all []string) {
	for _, set := range sets {
		for _, o := range set.Observations {
			all = append(all, o.Cell.String()+" "+o.Machine.Kind())
		}
	}
	slices.Sort(all)
	return all
}

// Whoever asks for runs by name is told which one no file has, and which file is of none of them.
func TestCheckRuns(t *testing.T) {
	merged, err := observe.Merge([]string{"a", "b"}, []observe.Set{named("cpu", alone(shard(1, 1, "amd64"), 0)), named("cuda", alone(shard(1, 1, "amd64"), 1))})
	require.NoError(t, err)
	unnamed := shard(1, 1, "amd64")
	for _, row := range []struct {
		why  string
		set  observe.Set
		runs []string
		want string // "" for no error
	}{
		{"nobody asked", merged, nil, ""},
		{"all are there", merged, []string{"cuda", "cpu"}, ""},
		{"a job that never ran left no file that could tell", merged, []string{"cpu", "cuda", "openvino"}, "run openvino is missing as a whole: no file has a shard of it; run its shards with `posetest report --run openvino`"},
		{"what an earlier run left", merged, []string{"cpu"}, "run cuda is none of the runs cpu that were asked for"},
		{"a run without a name", unnamed, []string{"cpu"}, "linux/amd64 avx2 is none of the runs cpu"},
	} {
		err := row.set.CheckRuns(row.runs)
		if row.want == "" {
			assert.NoError(t, err, row.why)
		} else {
			assert.ErrorContains(t, err, row.want, row.why)
		}
	}
}

// A name can stand in a file's name and in a list.
func TestCheckRun(t *testing.T) {
	for _, name := range []string{"", "cuda", "linux-amd64", "GPU_2.x"} {
		assert.NoError(t, observe.CheckRun(name), name)
	}
	for _, name := range []string{"a b", "a,b", "a/b", "../x", "-x", strings.Repeat("x", 64)} {
		assert.ErrorContains(t, observe.CheckRun(name), "a run can't be named", name)
	}
}

// A sum over a plan does not depend on the order of its cells, and on all else.
func TestPlanSum(t *testing.T) {
	other := cell
	other.Precision = "fp32"
	sum := observe.PlanSum(map[observe.Cell]string{cell: "ab", other: "cd"})
	for range 20 {
		assert.Equal(t, sum, observe.PlanSum(map[observe.Cell]string{other: "cd", cell: "ab"}))
	}
	assert.NotEqual(t, sum, observe.PlanSum(map[observe.Cell]string{cell: "ab"}))
	assert.NotEqual(t, sum, observe.PlanSum(map[observe.Cell]string{cell: "ab", other: "ce"}))
}
