package observe_test

import (
	"bytes"
	"testing"

	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A file that is read is merged with nothing as it is, or refused with its name and a remedy; twice it is refused.
func FuzzMerge(f *testing.F) {
	for _, set := range []observe.Set{shard(1, 1, "amd64"), shard(1, 3, "amd64"), named("cuda", shard(1, 1, "amd64")), observe.Whole([]observe.Observation{full()})} {
		var file bytes.Buffer
		require.NoError(f, observe.Write(&file, set))
		f.Add(file.Bytes())
	}
	f.Add([]byte(`{"posetest_format":2,"parts":[{"platform":"a","isa":"b","plan":"","planned":0,"cells":0,"shard":1,"of":100000}]}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := observe.Read(bytes.NewReader(text), "fuzz")
		if err != nil {
			assert.Contains(t, err.Error(), "fuzz:")
			return
		}
		merged, err := observe.Merge([]string{"fuzz"}, []observe.Set{set})
		if err != nil {
			assert.Regexp(t, `merge|name each once`, err.Error())
			assert.Zero(t, merged)
			return
		}
		var before, after bytes.Buffer
		require.NoError(t, observe.Write(&before, set))
		require.NoError(t, observe.Write(&after, merged))
		assert.Equal(t, before.String(), after.String())
		if _, err := observe.Merge([]string{"fuzz", "fuzz"}, []observe.Set{set, set}); len(set.Parts) > 0 {
			assert.Error(t, err, "each part is there twice")
		}
	})
}
