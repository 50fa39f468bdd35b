package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever waits or never ends in the place of a report is told, and not read.
func TestMergeFolderOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // links are not for everybody there
	}
	for _, to := range []string{os.DevNull, "nosuch"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "observations.jsonl")
		require.NoError(t, os.Symlink(to, path))
		_, err := observationFiles(dir)
		require.EqualError(t, err, path+" is no file; name an observations.jsonl that a report wrote, or a folder with some below it")
	}
}

// folder is the content of each file of a folder, by name.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range names(t, dir) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		all[filepath.Base(path)] = string(text)
	}
	return all
}

// A run in two parts that are merged is the run as a whole, and a report made again from its observations is that report.
func TestShardsFromAndSince(t *testing.T) {
	installed(t)
	h := newHouse(t, "fp32", "int8", "uint8")
	h.write(t)
	tmp := t.TempDir()
	at := func(name string) string { return filepath.Join(tmp, name) }
	reports := func(code int, args ...string) *run {
		t.Helper()
		r := command(t, []string{"POSETEST_RUNTIMES=" + ort}, append(args, "--dir", h.dir)...)
		require.Equal(t, code, r.exit(t), "%v: %s%s", args, r.out.String(), r.err.String())
		return r
	}
	reports(0, "report", "--providers", "cpu", "--out", at("whole"))
	whole := folder(t, at("whole"))
	require.Len(t, whole, 3)

	r := reports(0, "report", "--from", at("whole/observations.jsonl"), "--out", at("again"))
	assert.Equal(t, whole, folder(t, at("again")), "the same observations give the same bytes")
	assert.Contains(t, r.out.String(), "3 cells: 1 loads, 1 wrong, 1 fails; all as expected.")

	r = reports(0, "report", "--from", at("whole/observations.jsonl"), "--since", at("whole/observations.jsonl"), "--out", at("since"))
	assert.Contains(t, r.out.String(), "Nothing changed since the report before:")
	for _, name := range []string{"matrix.md", "index.html"} {
		assert.Contains(t, folder(t, at("since"))[name], "Nothing changed since the report before", name)
	}

	r = reports(0, "report", "--providers", "cpu", "--shard", "1/2", "--out", at("1"))
	assert.Contains(t, r.out.String(), "this is shard 1/2 of ")
	reports(0, "report", "--providers", "cpu", "--shard", "2/2", "--out", at("2"))
	r = reports(0, "merge", at("2/observations.jsonl"), at("1/observations.jsonl"), "--since", at("whole/observations.jsonl"), "--out", at("merged"))
	assert.Contains(t, r.out.String(), "3 cells: 1 loads, 1 wrong, 1 fails; all as expected.")
	assert.NotContains(t, r.out.String(), "shard")
	assert.NotContains(t, r.out.String(), "1 new")

	// A cell of which nothing could be observed is told of wherever its part goes, and no answer comes of the others.
	set, err := readSet(at("whole/observations.jsonl"))
	require.NoError(t, err)
	set.Observations, set.Parts[0].Cells = set.Observations[1:], 2
	set.Parts[0].Unobserved = []string{"model m.onnx: it is another model by now"}
	var hole strings.Builder
	require.NoError(t, observe.Write(&hole, set))
	require.NoError(t, os.WriteFile(at("hole.jsonl"), []byte(hole.String()), 0o644))
	for _, args := range [][]string{{"report", "--from", at("hole.jsonl")}, {"merge", at("hole.jsonl")}} {
		r = reports(2, append(args, "--out", at("hole"))...)
		assert.Contains(t, r.out.String(), "2 cells: 1 wrong, 1 fails; all as expected.", "the others are shown")
		assert.Contains(t, r.err.String(), "posetest: model m.onnx: it is another model by now\n")
		assert.Contains(t, folder(t, at("hole"))["index.html"], "it is another model by now")
	}

	// The table is asked anew: what was right is not, where a row says otherwise.
	inRow(`precision = "fp32"`, `want = "loads"`, `want = "fails"`+"\nmessage = \"never\"\nwhy = \"so we believed\"")(t, h)
	h.write(t)
	r = reports(1, "report", "--from", at("whole/observations.jsonl"), "--out", at("again"))
	assert.Contains(t, r.out.String(), "1 NOT as expected")
	assert.Contains(t, folder(t, at("again"))["index.html"], "1 of them NOT as expected")
}

// What can't be joined or read is told in one sentence with exit code 2, and the report before stays as it was.
func TestMergeRefused(t *testing.T) {
	h := newHouse(t, "fp32")
	h.write(t)
	tmp := t.TempDir()
	write := func(name string, set observe.Set, cut int) string {
		var b strings.Builder
		require.NoError(t, observe.Write(&b, set))
		path := filepath.Join(tmp, name)
		require.NoError(t, os.WriteFile(path, []byte(b.String()[:b.Len()-cut]), 0o644))
		return path
	}
	seen := observe.Observation{Cell: observe.Cell{Model: "movenet-lightning", Precision: "fp32", Provider: "cpu", ORT: ort}, Family: "movenet", ModelSHA256: "ab",
		Machine: observe.Machine{OS: "linux", Arch: "amd64", ISA: "avx2"}, Outcome: observe.Fails, Failure: &observe.Failure{Message: "no"}}
	set := observe.Whole([]observe.Observation{seen})
	whole, cut := write("whole.jsonl", set, 0), write("cut.jsonl", set, 5)
	set.Parts[0].Of, set.Parts[0].Planned = 2, 2
	part := write("part.jsonl", set, 0)
	seen.ModelSHA256, seen.Machine.OS = "cd", "windows"
	other := write("other.jsonl", observe.Whole([]observe.Observation{seen}), 0)
	old := filepath.Join(tmp, "old.jsonl")
	require.NoError(t, os.WriteFile(old, []byte(`{"posetest_format":1,"parts":[]}`+"\n"), 0o644))

	for _, row := range []struct {
		name string
		args []string
		says []string
	}{
		{"file that is not there", []string{"merge", filepath.Join(tmp, "nosuch.jsonl")}, []string{"nosuch.jsonl", "name an observations.jsonl"}},
		{"another version", []string{"merge", whole, old}, []string{"old.jsonl: is of format 1, and this posetest reads format 2"}},
		{"truncated", []string{"merge", cut}, []string{"cut.jsonl:2: the last line is cut"}},
		{"truncated, alone", []string{"report", "--from", cut}, []string{"cut.jsonl:2: the last line is cut"}},
		{"truncated, of the report before", []string{"report", "--from", whole, "--since", cut}, []string{"--since: ", "cut.jsonl:2: the last line is cut"}},
		{"duplicated", []string{"merge", whole, whole}, []string{"are both shard 1/1 of linux/amd64 avx2; name each once"}},
		{"missing", []string{"merge", part}, []string{"shard 2/2 of linux/amd64 avx2 is missing"}},
		{"mixed", []string{"merge", whole, other}, []string{"are mixed: model movenet-lightning fp32 has sum ab… in the one and cd… in the other"}},
		{"flags of a run beside --from", []string{"report", "--from", whole, "--threads", "2"}, []string{"--from runs nothing, so --threads has no meaning beside it"}},
		{"a run that is asked for", []string{"merge", whole, "--runs", "cuda"}, []string{"--runs: linux/amd64 avx2 is none of the runs cuda"}},
		{"a run's name beside --from", []string{"report", "--from", whole, "--run", "cuda"}, []string{"--from runs nothing, so --run has no meaning beside it"}},
		{"shard that can't be", []string{"report", "--shard", "3/2"}, []string{"--shard: ", `shard "3/2" must be as 2/8`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			require.NoError(t, os.Mkdir(out, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(out, "index.html"), []byte("before"), 0o644))
			r := command(t, nothing(t), append(row.args, "--dir", h.dir, "--out", out)...)
			require.Equal(t, 2, r.exit(t), "%s%s", r.out.String(), r.err.String())
			sentence := r.sentence(t)
			for _, words := range row.says {
				assert.Contains(t, sentence, words)
			}
			assert.Empty(t, r.out.String())
			assert.Equal(t, map[string]string{"index.html": "before"}, folder(t, out))
		})
	}
	for _, row := range []struct {
		name    string
		prepare func(t *testing.T, out string)
		says    string
	}{
		{"out is a file", func(t *testing.T, out string) { require.NoError(t, os.WriteFile(out, []byte("x"), 0o644)) }, "choose a folder that can be written"},
		{"out is below a file", func(t *testing.T, out string) {
			require.NoError(t, os.WriteFile(filepath.Dir(out), []byte("x"), 0o644))
		}, "choose a folder that can be written"},
		{"one file of three can't be replaced", func(t *testing.T, out string) {
			require.NoError(t, os.MkdirAll(filepath.Join(out, "index.html"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(out, "matrix.md"), []byte("before"), 0o644))
		}, "index.html: it is no file that could be replaced; the report before is as it was"},
	} {
		t.Run(row.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "in", "out")
			if row.name != "out is below a file" {
				require.NoError(t, os.Mkdir(filepath.Dir(out), 0o755))
			}
			row.prepare(t, out)
			before := names(t, filepath.Dir(out))
			r := command(t, nothing(t), "merge", whole, "--dir", h.dir, "--out", out)
			require.Equal(t, 2, r.exit(t), "%s%s", r.out.String(), r.err.String())
			assert.Contains(t, r.sentence(t), "--out: ")
			assert.Contains(t, r.err.String(), row.says)
			assert.Equal(t, before, names(t, filepath.Dir(out)), "files")
		})
	}
}
