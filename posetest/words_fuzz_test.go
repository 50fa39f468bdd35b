package posetest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Words are read as they are written, and no part of what was typed is lost.
func FuzzParseWords(f *testing.F) {
	f.Add("model=yolov8n-pose/precision=int8 threads=2")
	f.Add("binding=bound/program=/opt/a=b/posetest")
	f.Add("model=myprogram=x")
	f.Add("program=")
	f.Add("stages=fused//  /spin=off")
	f.Fuzz(func(t *testing.T, text string) {
		words, err := ParseWords(text, nil)
		if err != nil {
			return
		}
		again, err := ParseWords(words.String(), nil)
		require.NoError(t, err)
		assert.Equal(t, words, again)
		assert.Empty(t, words.Beside(words))
		based, err := ParseWords(text, Words{"model": "m", "arena": "off"})
		require.NoError(t, err)
		for key, value := range words {
			assert.Equal(t, value, based[key])
		}
		for key, choice := range wordChoices {
			if words[key] != "" {
				assert.Contains(t, choice, words[key])
			}
		}
	})
}

func TestParseWordsParts(t *testing.T) {
	_, err := ParseWords("model=myprogram=x", nil)
	assert.ErrorContains(t, err, "must part its words by /")
	_, err = ParseWords("model=m/program=", nil)
	assert.ErrorContains(t, err, "must name a program")
	words, err := ParseWords("model=m program=/opt/program=x", nil)
	require.NoError(t, err)
	assert.Equal(t, Words{"model": "m", "program": "/opt/program=x"}, words)
}

// A shard that is taken has a number of its own, and all shards together have each image once.
func FuzzParseShard(f *testing.F) {
	for _, text := range []string{"1/1", "2/8", "0/3", "4/3", "1/4294967296", "9223372036854775807/9223372036854775807", "+1/2", "1/2/3", ""} {
		f.Add(text, int64(7))
	}
	f.Fuzz(func(t *testing.T, text string, image int64) {
		shard, err := ParseShard(text)
		if err != nil {
			assert.ErrorContains(t, err, "must be as 2/8")
			return
		}
		require.True(t, shard.Index >= 1 && shard.Index <= shard.Of && shard.Of <= maxShards, "%+v", shard)
		in := 0
		for i := 1; i <= min(shard.Of, 300); i++ {
			if (Shard{i, shard.Of}).Has(image) {
				in++
			}
		}
		if shard.Of <= 300 {
			assert.Equal(t, 1, in, "shards that have image %d", image)
		} else {
			assert.LessOrEqual(t, in, 1)
		}
	})
}

func FuzzParseBenchtime(f *testing.F) {
	for _, text := range []string{"300ms", "662x", "-1x", "0s", "9223372036854775808x", "1e3x", "2562047h47m16.854775807s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		benchtime, err := ParseBenchtime(text)
		if err != nil {
			assert.ErrorContains(t, err, "is no time and no number of runs")
			return
		}
		assert.True(t, benchtime.Runs > 0 && benchtime.Time == 0 || benchtime.Runs == 0 && benchtime.Time > 0, "%+v", benchtime)
		for _, n := range []int{1, 5, 1000} {
			assert.GreaterOrEqual(t, benchtime.more(n, benchtime.Time/2, minRuns), min(0, benchtime.Runs-n))
		}
	})
}
