package observe_test

import (
	"bytes"
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

		{"a shard is missing", []observe.Set{shard(1, 3, "amd64"), shard(3, 3, "amd64")},
			"shard 2/3 of linux/amd64 avx2 is missing; run it with `posetest report --shard 2/3`"},
		{"of the second machine", []observe.Set{shard(1, 1, "amd64"), shard(1, 2, "arm64")}, "shard 2/2 of linux/arm64 avx2 is missing"},
		{"a shard twice", []observe.Set{shard(1, 2, "amd64"), shard(1, 2, "amd64")}, "a.jsonl and b.jsonl are both shard 1/2 of linux/amd64 avx2; name each once"},
		{"a whole run twice", []observe.Set{shard(1, 1, "amd64"), shard(1, 1, "amd64")}, "a.jsonl and b.jsonl are both shard 1/1 of linux/amd64 avx2"},
		{"parts of other numbers", []observe.Set{shard(1, 2, "amd64"), shard(2, 3, "amd64")},
			"a.jsonl and b.jsonl are mixed: on linux/amd64 avx2 one is of a run in 2 parts, and the other in 3"},
		{"shards of other runs", []observe.Set{shard(1, 2, "amd64"), with(shard(2, 2, "amd64"), func(s *observe.Set) { s.Parts[0].Plan = "other" })},
			"a.jsonl and b.jsonl are mixed: on linux/amd64 avx2 they planned other cells, or other models"},
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
			assert.Len(t, again.Observations, 2*len(kinds(merged)))
		})
	}
}

func kinds(set observe.Set) map[string]bool {
	all := map[string]bool{}
	for _, p := range set.Parts {
		all[p.Kind()] = true
	}
	return all
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
