package choose_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/choose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	linux   = "linux/amd64"
	mac     = "darwin/arm64"
	seen    = "verified linux/amd64 2026-11-24"
	theirs  = "reported by those who shipped it"
	noWords = "unverified"
)

// words are those of a list, nil for none.
func words(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Fields(list)
}

// on are the conditions of cells, each a list of words, "" for all.
func on(precisions, provider, runtimes, platform string) choose.Conditions {
	return choose.Conditions{Precision: words(precisions), Provider: words(provider), Runtime: words(runtimes), Platform: words(platform)}
}

// story is the table of a model whose int8 is what it was in the story: on disk, and in some places of no use.
func story() choose.Table {
	var files []choose.File
	for _, precision := range words("fp32 fp16 int8 int8-naive int8-qdq int8-qop int8-tuned uint8") {
		files = append(files, choose.File{Precision: precision, Name: "pose-" + precision + ".onnx", SHA256: "5a" + precision})
	}
	both := []string{"cpu", "openvino"}
	return choose.Table{
		Format: choose.Format,
		Models: map[string][]choose.File{"pose": files, "other": {{Precision: "fp32", Name: "other.onnx"}}},
		Builds: []choose.Build{{"1.22.1", mac, []string{"cpu", "coreml"}}, {"1.22.1", linux, []string{"cpu"}}, {"1.32.0", linux, []string{"cpu"}},
			{"openvino-1.24.1", linux, both}},
		ISAs:      map[string][]string{linux: {"vnni", "avx2", "sse"}, mac: {"arm64"}},
		Providers: map[string]string{"cpu": "CPUExecutionProvider", "coreml": "CoreMLExecutionProvider", "openvino": "OpenVINOExecutionProvider", "coreml-mlprogram": "CoreMLExecutionProvider"},
		Lacks:     words("nothing libraries device"),
		Rows: []choose.Row{
			{Conditions: on("fp32 fp16 int8-qdq int8-tuned uint8", "cpu", "", ""), Passes: true, Does: "loads", Status: seen, Verified: []string{linux}, Where: "t:1",
				Drift: map[string]string{"fp16": "none", "int8-qdq": "jitter", "int8-tuned": "none", "uint8": "scale collapsed"}},
			{Conditions: on("int8", "cpu coreml", "1.22.1", linux), Does: "fails", Message: "Could not find an implementation for ConvInteger(10).", Why: "there is no kernel",
				See: "https://example.org/26585", Status: seen, Verified: []string{linux}, Where: "t:2"},
			{Conditions: on("int8", "cpu", "1.32.0", ""), Passes: true, Does: "loads", Drift: map[string]string{"int8": "jitter"}, Status: seen, Verified: []string{linux}, Where: "t:3"},
			{Conditions: on("int8-naive", "cpu", "", ""), Does: "loads and finds nobody", Why: "scores share a scale with boxes", Status: seen, Verified: []string{linux}, Where: "t:4"},
			{Conditions: on("int8-qop", "cpu", "", ""), Does: "loads, and sometimes crashes: quarantined until 2027-02-22", Why: "by chance", Status: seen, Verified: []string{linux}, Where: "t:5"},
			{Conditions: on("fp32 fp16", "coreml", "", mac), Passes: true, Does: "loads", Status: noWords, Where: "t:6"},
			{Conditions: on("int8", "coreml", "", mac), Does: "fails", Message: "Could not find an implementation for ConvInteger(10).", Why: "it is handed to cpu", Status: theirs, Where: "t:7"},
			{Conditions: on("", "openvino", "1.22.1 1.32.0", ""), Does: "is unavailable", Message: "not in this build", Status: noWords, Where: "t:8"},
			{Conditions: on("int8-qop uint8 int8-qdq", "openvino", "openvino-1.24.1", linux), Passes: true, Does: "loads", Drift: map[string]string{"int8-qop": "jitter", "uint8": "jitter", "int8-qdq": "jitter"},
				Placement: map[string]int{"CPUExecutionProvider": 96, "OpenVINOExecutionProvider": 4}, Status: seen, Verified: []string{linux}, Where: "t:9"},
			{Conditions: on("int8-qdq", "openvino", "openvino-1.24.1", linux), Passes: true, Does: "loads", Status: seen, Verified: []string{linux}, Where: "t:10"},
		},
		Speeds: []choose.Speed{
			{Conditions: choose.Conditions{Precision: words("int8-qdq"), ISA: words("avx2 vnni")}, AtLeast: 1.5, Status: seen, Verified: []string{linux}, Where: "t:11"},
			{Conditions: choose.Conditions{Precision: words("int8-tuned"), ISA: words("avx2")}, AtLeast: 1.2, Status: seen, Verified: []string{linux}, Where: "t:12"},
			{Conditions: choose.Conditions{Precision: words("int8-tuned"), ISA: words("vnni")}, AtLeast: 9, Status: noWords, Where: "t:13"},
			{Conditions: choose.Conditions{Precision: words("int8"), ISA: words("avx2")}, AtMost: 0.5, Status: seen, Verified: []string{linux}, Where: "t:14"},
			{Conditions: choose.Conditions{Precision: words("uint8"), Provider: words("openvino"), ISA: words("avx2")}, AtLeast: 1.1, Status: seen, Verified: []string{linux}, Where: "t:15"},
		},
	}
}

func TestSelect(t *testing.T) {
	for _, row := range []struct {
		why  string
		ask  choose.Query
		says string // of the choice
	}{
		{"no bar of speed tells that anything beats fp32", choose.Query{},
			"fp32 of pose on cpu of runtime 1.32.0, linux/amd64: finds the people (t:1, " + seen + ")"},
		{"the fastest of those that find what fp32 finds, not the fastest of all", choose.Query{ISA: "avx2"},
			"int8-tuned of pose on cpu of runtime 1.32.0, linux/amd64: finds what fp32 finds, at least 1.2 × as fast as fp32 (t:1, " + seen + ")"},
		{"a bar that nobody has verified is no speed", choose.Query{ISA: "vnni"},
			"fp32 of pose on cpu of runtime 1.32.0, linux/amd64: finds the people (t:1, " + seen + ")"},
		{"what was asked for, and that another is better: it is slow", choose.Query{ISA: "avx2", Precision: "int8"},
			"int8 of pose on cpu of runtime 1.32.0, linux/amd64: finds the people, with joints somewhat elsewhere than fp32's, at most 0.5 × as fast as fp32 (t:3, " + seen + "); " +
				"int8-tuned is better: finds what fp32 finds, at least 1.2 × as fast as fp32 (t:1, " + seen + ")"},
		{"as good as the best is not worse", choose.Query{Precision: "fp16"},
			"fp16 of pose on cpu of runtime 1.32.0, linux/amd64: finds what fp32 finds (t:1, " + seen + ")"},
		{"the runtime's own name of a provider", choose.Query{Provider: "CPUExecutionProvider"},
			"fp32 of pose on cpu of runtime 1.32.0, linux/amd64: finds the people (t:1, " + seen + ")"},
		{"its distribution is part of a runtime", choose.Query{Runtime: "openvino-1.24.1", ISA: "sse"},
			"fp32 of pose on cpu of runtime openvino-1.24.1, linux/amd64: finds the people (t:1, " + seen + ")"},
		{"where none finds what fp32 finds, the faster", choose.Query{Provider: "openvino", Runtime: "openvino-1.24.1", ISA: "avx2"},
			"uint8 of pose on openvino of runtime openvino-1.24.1, linux/amd64: finds the people, with joints somewhat elsewhere than fp32's, at least 1.1 × as fast as fp32, " +
				"with 4 % of its nodes on the provider (t:9, " + seen + ")"},
		{"of equals, the first in the table", choose.Query{Provider: "openvino", Runtime: "openvino-1.24.1"},
			"int8-qop of pose on openvino of runtime openvino-1.24.1, linux/amd64: finds the people, with joints somewhat elsewhere than fp32's, " +
				"with 4 % of its nodes on the provider (t:9, " + seen + ")"},
	} {
		t.Run(row.why, func(t *testing.T) {
			got, err := story().Select(asked(row.ask))
			require.NoError(t, err)
			assert.Equal(t, row.says, got.String())
			assert.Equal(t, "pose-"+got.Precision+".onnx 5a"+got.Precision, got.File+" "+got.SHA256)
		})
	}
}

// asked is a query with what a row leaves out.
func asked(q choose.Query) choose.Query {
	fill := func(word *string, by string) {
		if *word == "" {
			*word = by
		}
	}
	fill(&q.Model, "pose")
	fill(&q.Provider, "cpu")
	fill(&q.Runtime, "1.32.0")
	fill(&q.Platform, linux)
	return q
}

func TestSelectRefuses(t *testing.T) {
	const run = "run the suite on such a machine (posetest report), and write what it shows into the support table"
	for _, row := range []struct {
		why     string
		ask     choose.Query
		says    string
		instead string // precision and provider
	}{
		{"the story: its words, why, and what to use", choose.Query{Precision: "int8", Runtime: "1.22.1", ISA: "avx2"},
			"int8 of pose is refused on cpu of runtime 1.22.1, linux/amd64: it fails: Could not find an implementation for ConvInteger(10). " +
				"(there is no kernel; https://example.org/26585; t:2, " + seen + "); use int8-tuned, which finds what fp32 finds, at least 1.2 × as fast as fp32 (t:1, " + seen + ")", "int8-tuned cpu"},
		{"the story's Mac, where nobody of ours has looked: said to be so, and nothing is recommended", choose.Query{Precision: "int8", Runtime: "1.22.1", Provider: "coreml", Platform: mac},
			"int8 of pose is refused on coreml of runtime 1.22.1, darwin/arm64: it fails: Could not find an implementation for ConvInteger(10). " +
				"(it is handed to cpu; t:7, not verified on darwin/arm64: " + theirs + "); nothing of this model is verified there: fp32 should work (t:6, unverified); " + run, ""},
		{"what should work is not verified", choose.Query{Precision: "fp16", Runtime: "1.22.1", Provider: "coreml", Platform: mac},
			"fp16 of pose is refused on coreml of runtime 1.22.1, darwin/arm64: it should work there, and no run of the suite has shown that (t:6, unverified); " +
				"nothing of this model is verified there: fp32 should work (t:6, unverified); " + run, ""},
		{"verified on another platform is not verified", choose.Query{Runtime: "1.22.1", Platform: mac},
			"every precision of pose is refused on cpu of runtime 1.22.1, darwin/arm64: fp32 should work there, and no run of the suite has shown that " +
				"(t:1, not verified on darwin/arm64: " + seen + "); nothing of this model is verified there; " + run, ""},
		{"a collapse that the matrix expects is no pass", choose.Query{Precision: "int8-naive"},
			"int8-naive of pose is refused on cpu of runtime 1.32.0, linux/amd64: it loads and finds nobody (scores share a scale with boxes; t:4, " + seen + "); " +
				"use fp32, which finds the people (t:1, " + seen + ")", "fp32 cpu"},
		{"nor is one that its drift alone tells", choose.Query{Precision: "uint8"},
			"uint8 of pose is refused on cpu of runtime 1.32.0, linux/amd64: it loads, and what it finds drifts from fp32's: scale collapsed (t:1, " + seen + "); " +
				"use fp32, which finds the people (t:1, " + seen + ")", "fp32 cpu"},
		{"what sometimes crashes never passes", choose.Query{Precision: "int8-qop"},
			"int8-qop of pose is refused on cpu of runtime 1.32.0, linux/amd64: it loads, and sometimes crashes: quarantined until 2027-02-22 (by chance; t:5, " + seen + "); " +
				"use fp32, which finds the people (t:1, " + seen + ")", "fp32 cpu"},
		{"a provider that is not in the build: another one", choose.Query{Provider: "openvino"},
			"every precision of pose is refused on openvino of runtime 1.32.0, linux/amd64: fp32 is unavailable: not in this build (t:8, unverified); " +
				"use fp32 on cpu, which finds the people (t:1, " + seen + ")", "fp32 cpu"},
		{"no row", choose.Query{Precision: "fp32", Provider: "openvino", Runtime: "openvino-1.24.1"},
			"fp32 of pose is refused on openvino of runtime openvino-1.24.1, linux/amd64: no row of the table is for it; " +
				"use int8-qop, which finds the people, with joints somewhat elsewhere than fp32's, with 4 % of its nodes on the provider (t:9, " + seen + ")", "int8-qop openvino"},
		{"two rows: neither counts", choose.Query{Precision: "int8-qdq", Provider: "openvino", Runtime: "openvino-1.24.1"},
			"int8-qdq of pose is refused on openvino of runtime openvino-1.24.1, linux/amd64: rows t:9 and t:10 are both for it; " +
				"use int8-qop, which finds the people, with joints somewhat elsewhere than fp32's, with 4 % of its nodes on the provider (t:9, " + seen + ")", "int8-qop openvino"},
		{"what nobody has seen to be absent is not expected to work", choose.Query{Provider: "openvino", Runtime: "1.22.1", Platform: mac},
			"every precision of pose is refused on openvino of runtime 1.22.1, darwin/arm64: fp32 is unavailable: not in this build (t:8, unverified); " +
				"nothing of this model is verified there; " + run, ""},
		{"a runtime that is not for the platform", choose.Query{Platform: mac},
			"every precision of pose is refused on cpu of runtime 1.32.0, darwin/arm64: that runtime has no build for it; choose from 1.22.1", ""},
	} {
		t.Run(row.why, func(t *testing.T) {
			got, err := story().Select(asked(row.ask))
			assert.Zero(t, got)
			refused, ok := errors.AsType[*choose.RefusedError](err)
			require.True(t, ok, "%v", err)
			assert.EqualError(t, err, row.says)
			if row.instead == "" {
				assert.Nil(t, refused.Instead)
			} else if assert.NotNil(t, refused.Instead) {
				assert.Equal(t, row.instead, refused.Instead.Precision+" "+refused.Instead.Provider)
			}
			if refused.Expected != nil {
				assert.Contains(t, words("t:1 t:6"), refused.Expected.Where, "rows that pass, and that nobody has verified on a Mac")
			}
			if refused.Row != nil {
				assert.Equal(t, refused.Row.Verified != nil && row.ask.Platform == "", refused.Verified)
			}
		})
	}
}

// A word that the table does not know is a mistake of who asks, or nothing is known of it; it is no refusal.
func TestSelectUnknown(t *testing.T) {
	for _, row := range []struct {
		ask  choose.Query
		says string
	}{
		{choose.Query{Model: "pse"}, `model "pse" is unknown; choose from other, pose`},
		{choose.Query{Model: "pose~1a2b3c4d"}, `model "pose~1a2b3c4d" is unknown; choose from other, pose`},
		{choose.Query{Precision: "int4"}, `precision "int4" is unknown; choose from fp16, fp32, int8, int8-naive, int8-qdq, int8-qop, int8-tuned, uint8`},
		{choose.Query{Model: "other", Precision: "int8"}, `precision "int8" is unknown; choose from fp32`},
		{choose.Query{Provider: "gpu"}, `provider "gpu" is unknown; choose from coreml, coreml-mlprogram, cpu, openvino`},
		{choose.Query{Runtime: "1.30.0"}, `runtime "1.30.0" is unknown; choose from 1.22.1, 1.32.0, openvino-1.24.1`},
		{choose.Query{Platform: "plan9/amd64"}, `platform "plan9/amd64" is unknown; choose from darwin/arm64, linux/amd64`},
		{choose.Query{Lacks: "gpu"}, `lacks "gpu" is unknown; choose from device, libraries, nothing`},
		{choose.Query{ISA: "arm64"}, `isa "arm64" is unknown; choose from avx2, sse, vnni`},
	} {
		_, err := story().Select(asked(row.ask))
		assert.EqualError(t, err, row.says)
		_, ok := errors.AsType[*choose.UnknownError](err)
		assert.True(t, ok)
		_, err = story().Ranked(asked(row.ask))
		assert.EqualError(t, err, row.says)
	}
	_, err := choose.Table{}.Select(asked(choose.Query{}))
	assert.EqualError(t, err, `model "pose" is unknown, as the table has none`)
	_, err = choose.Table{Models: map[string][]choose.File{"pose": nil}}.Select(asked(choose.Query{}))
	assert.EqualError(t, err, `precision "" is unknown, as the table has none`)
}

func TestRanked(t *testing.T) {
	precisions := func(q choose.Query) (all []string) {
		ranked, err := story().Ranked(asked(q))
		require.NoError(t, err)
		for _, c := range ranked {
			all = append(all, c.Precision)
		}
		return all
	}
	assert.Equal(t, words("int8-tuned fp32 fp16 int8-qdq int8"), precisions(choose.Query{ISA: "avx2"}))
	assert.Equal(t, words("fp32 fp16 int8-tuned int8-qdq int8"), precisions(choose.Query{ISA: "vnni", Precision: "int8"}))
	assert.Empty(t, precisions(choose.Query{Provider: "coreml", Runtime: "1.22.1", Platform: mac}), "nothing is verified there")
	assert.Empty(t, precisions(choose.Query{Platform: mac}), "that runtime is not for it")
}

// A speed is what is sure: at least so much; no more than fp32's where a bar says only that it is slow; fp32's without a bar, or
// with two. The class of processor is the platform's own where that has one.
func TestRankedBySpeed(t *testing.T) {
	bar := func(precision string, atLeast, atMost float64) choose.Speed {
		return choose.Speed{Conditions: choose.Conditions{Precision: words(precision), ISA: words("arm64")}, AtLeast: atLeast, AtMost: atMost, Verified: []string{mac}}
	}
	table := choose.Table{
		Models: map[string][]choose.File{"pose": nil}, Builds: []choose.Build{{Runtime: "1.32.0", Platform: mac, Providers: []string{"cpu"}}},
		ISAs: map[string][]string{mac: {"arm64"}}, Providers: map[string]string{"cpu": "CPUExecutionProvider"},
		Rows:   []choose.Row{{Passes: true, Verified: []string{mac}, Drift: map[string]string{}}},
		Speeds: []choose.Speed{bar("slow", 0, 0.5), bar("worse", 0.8, 2), bar("doubled", 9, 0), bar("doubled", 9, 0), bar("unsure", 0, 3), bar("fast", 1.2, 0)},
	}
	for _, precision := range words("slow worse doubled unsure fp32 plain fast") {
		table.Models["pose"] = append(table.Models["pose"], choose.File{Precision: precision})
		table.Rows[0].Drift[precision] = "none"
	}
	ranked, err := table.Ranked(asked(choose.Query{Platform: mac}))
	require.NoError(t, err)
	var got []string
	for _, c := range ranked {
		got = append(got, c.Precision)
	}
	assert.Equal(t, words("fast doubled unsure fp32 plain worse slow"), got)
}

// A machine without what the provider needs is another place: what passes where a device is does not pass there.
func TestLacks(t *testing.T) {
	table := story()
	here, gone := on("fp32", "openvino", "1.32.0", linux), on("", "openvino", "1.32.0", linux)
	here.Lacks, gone.Lacks = words("nothing"), words("device")
	table.Rows = []choose.Row{table.Rows[0], {Conditions: here, Passes: true, Does: "loads", Status: seen, Verified: []string{linux}, Where: "t:20"},
		{Conditions: gone, Does: "is unavailable", Message: "no device is detected", Why: "there is none", Status: seen, Verified: []string{linux}, Where: "t:21"}}
	for _, lacks := range []string{"", "nothing"} {
		got, err := table.Select(asked(choose.Query{Provider: "openvino", Lacks: lacks}))
		require.NoError(t, err)
		assert.Equal(t, "fp32 of pose on openvino of runtime 1.32.0, linux/amd64: finds the people (t:20, "+seen+")", got.String())
	}
	_, err := table.Select(asked(choose.Query{Provider: "openvino", Lacks: "device"}))
	assert.EqualError(t, err, "every precision of pose is refused on openvino of runtime 1.32.0, linux/amd64 without the provider's device: "+
		"fp32 is unavailable: no device is detected (there is none; t:21, "+seen+"); use fp32 on cpu, which finds the people (t:1, "+seen+")")
	_, err = table.Select(asked(choose.Query{Provider: "openvino", Lacks: "libraries"}))
	assert.ErrorContains(t, err, "linux/amd64 without the provider's libraries: no row of the table is for it; use fp32 on cpu")
}

func TestPlatforms(t *testing.T) {
	assert.Equal(t, []string{mac, linux}, story().Platforms("1.22.1", "cpu"))
	assert.Equal(t, []string{mac}, story().Platforms("1.22.1", "CoreMLExecutionProvider"))
	assert.Equal(t, []string{mac}, story().Platforms("1.22.1", "coreml-mlprogram"), "the build brings the provider, and options are options")
	assert.Empty(t, story().Platforms("1.32.0", "coreml"))
}
