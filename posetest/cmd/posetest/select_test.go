package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/choose"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what commands say into docs/select.md anew")

// query is a query with a word of it changed: "precision int8".
func query(changed ...string) []string {
	words := map[string]string{"model": "yolov8n-pose", "provider": "cpu", "runtime": "1.32.0", "platform": "linux/amd64", "isa": "avx2"}
	for _, c := range changed {
		name, value, _ := strings.Cut(c, " ")
		words[name] = value
	}
	args := []string{"select"}
	for name, value := range words {
		if value != "" {
			args = append(args, "--"+name, value)
		}
	}
	return args
}

// A script reads the precision and the exit code, a person the sentence; a typo is no refusal.
func TestSelect(t *testing.T) {
	cut := filepath.Join(t.TempDir(), "cut.json")
	require.NoError(t, os.WriteFile(cut, []byte(`{"format": 1, "rows"`), 0o644))
	for _, row := range []struct {
		why  string
		args []string
		code int
		out  string
		says []string
	}{
		{"the best", query(), 0, "int8-tuned\n", []string{"int8-tuned of yolov8n-pose on cpu of runtime 1.32.0, linux/amd64: finds what fp32 finds, at least 1.2 × as fast", "verified linux/amd64"}},
		{"the story, where it was verified", query("precision int8", "runtime 1.22.1"), 1, "", []string{
			"it fails: Could not find an implementation for ConvInteger(10) node with name '/model.0/conv/Conv_quant' (", "; use int8-tuned, which finds what fp32 finds"}},
		{"the story, where it was reported and nobody of ours has looked", query("precision int8", "runtime 1.22.1", "provider coreml", "platform darwin/arm64", "isa "), 1, "", []string{
			"it fails: Could not find an implementation for ConvInteger(10) node with name '/model.0/conv/Conv_quant' (", "not verified on darwin/arm64: reported by the team that shipped this file"}},
		{"a collapse that the matrix expects", query("precision int8-naive"), 1, "", []string{"it loads and finds nobody", "; use int8-tuned"}},
		{"what sometimes crashes", query("precision int8-qop", "provider openvino", "runtime openvino-1.23.0"), 1, "", []string{"it crashes by SIGSEGV during open, and sometimes loads or fails: quarantined until"}},
		{"a typo of the precision", query("precision int4"), 2, "", []string{`precision "int4" is unknown; choose from fp16, fp32, int8, int8-naive, int8-qdq, int8-qdq-pt, int8-qop, int8-tuned, uint8`}},
		{"of the model", query("model yolo"), 2, "", []string{`model "yolo" is unknown; choose from movenet-lightning, yolov8n-pose`}},
		{"of the provider", query("provider gpu"), 2, "", []string{`provider "gpu" is unknown; choose from coreml, `, ", cuda, "}},
		{"of the runtime", query("runtime 1.32"), 2, "", []string{`runtime "1.32" is unknown; choose from 1.22.1, 1.23.2`}},
		{"of the platform", query("platform linux/amd46", "isa "), 2, "", []string{`platform "linux/amd46" is unknown; choose from darwin/arm64, linux/amd64`}},
		{"of the class", query("isa avx"), 2, "", []string{`isa "avx" is unknown; choose from avx2, sse, vnni`}},
		{"no runtime", query("runtime "), 2, "", []string{`required flag(s) "runtime" not set`}},
		{"no such table", query("table nosuch.json"), 2, "", []string{"--table: open nosuch.json", "name a file that `posetest embed-table --json` wrote"}},
		{"half a table", query("table " + cut), 2, "", []string{"--table " + cut + ": support table: unexpected end of JSON input; write it again"}},
		{"a house without a table", query("dir " + filepath.Join(repository, "posetest", "example", "testdata")), 2, "", []string{"no golden/support.toml in"}},
	} {
		t.Run(row.why, func(t *testing.T) {
			r := command(t, nothing(t), row.args...)
			require.Equal(t, row.code, r.exit(t), r.err.String())
			assert.Equal(t, row.out, r.out.String())
			sentence := r.sentence(t)
			for _, words := range row.says {
				assert.Contains(t, sentence, words)
			}
		})
	}
}

// The command of the story, as it was asked: it names no platform. Wherever it is typed, it is refused, and the Mac's words are told.
func TestSelectStory(t *testing.T) {
	r := command(t, nothing(t), query("precision int8", "provider coreml", "runtime 1.22.1", "platform ", "isa ")...)
	require.Equal(t, 1, r.exit(t), r.err.String())
	assert.Empty(t, r.out.String())
	assert.Contains(t, r.err.String(), "int8 of yolov8n-pose is refused on coreml of runtime 1.22.1, darwin/arm64: it fails: "+
		"Could not find an implementation for ConvInteger(10) node with name '/model.0/conv/Conv_quant' (")
	assert.Contains(t, r.err.String(), "not verified on darwin/arm64: reported by the team that shipped this file and never loaded it")
	assert.Contains(t, r.err.String(), "nothing of this model is verified there")
}

// What is left out is this machine's, and never another's: a precision that may be used elsewhere is told, not chosen.
func TestAnswerFor(t *testing.T) {
	table, err := posetest.SupportTable(posetest.Config{Dir: repository})
	require.NoError(t, err)
	linux, mac := observe.Machine{OS: "linux", Arch: "amd64", ISA: "avx2"}, observe.Machine{OS: "darwin", Arch: "arm64", ISA: "arm64"}
	windows := observe.Machine{OS: "windows", Arch: "amd64", ISA: "avx2"}
	for _, row := range []struct {
		why                           string
		here                          observe.Machine
		provider, runtime, asked, isa string
		want                          string // precision, or platform of the refusal
		elsewhere                     []string
	}{
		{"here", linux, "cpu", "1.32.0", "", "", "int8-tuned", nil},
		{"here by name", linux, "cpu", "1.32.0", "linux/amd64", "", "int8-tuned", nil},
		{"for another class than this machine's", linux, "cpu", "1.32.0", "linux/amd64", "sse", "fp32", nil},
		{"for another platform, of whose processors nothing is known", mac, "cpu", "1.32.0", "linux/amd64", "", "fp32", nil},
		{"CoreML on Linux", linux, "coreml", "1.22.1", "", "", "linux/amd64", []string{"darwin/arm64"}},
		{"CoreML on Linux, by name", linux, "coreml", "1.22.1", "linux/amd64", "", "linux/amd64", nil},
		{"CoreML on a Mac", mac, "coreml", "1.22.1", "", "", "darwin/arm64", nil},
		{"what may be used on Linux is refused on Windows", windows, "openvino", "openvino-1.24.1", "", "", "windows/amd64", []string{"fp32"}},
	} {
		t.Run(row.why, func(t *testing.T) {
			says := func(a answer) string {
				if a.Refused != nil {
					return a.Refused.Query.Platform
				}
				return a.Choice.Precision
			}
			a, err := answerFor(table, choose.Query{Model: "yolov8n-pose", Provider: row.provider, Runtime: row.runtime, Platform: row.asked, ISA: row.isa}, row.here)
			require.NoError(t, err)
			assert.Equal(t, row.want, says(a))
			var elsewhere []string
			for _, other := range a.Elsewhere {
				elsewhere = append(elsewhere, says(other))
			}
			assert.Equal(t, row.elsewhere, elsewhere)
		})
	}
}

func TestSelectJSON(t *testing.T) {
	decode := func(r *run) (a answer) {
		dec := json.NewDecoder(bytes.NewReader(r.out.Bytes()))
		dec.DisallowUnknownFields()
		require.NoError(t, dec.Decode(&a), r.out.String())
		return a
	}
	r := command(t, nothing(t), append(query("precision int8"), "--json")...)
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.Empty(t, r.err.String())
	a := decode(r)
	require.NotNil(t, a.Choice)
	assert.Equal(t, []any{"int8", "jitter", 0.5, "yolov8n-pose-int8.onnx"}, []any{a.Choice.Precision, a.Choice.Drift, a.Choice.AtMost, a.Choice.File})
	require.NotNil(t, a.Choice.Best, "it may be used, and it is slow")
	assert.Equal(t, "int8-tuned", a.Choice.Best.Precision)

	r = command(t, nothing(t), append(query("precision int8", "runtime 1.22.1"), "--json")...)
	require.Equal(t, 1, r.exit(t), r.err.String())
	a = decode(r)
	require.NotNil(t, a.Refused)
	assert.Nil(t, a.Choice)
	assert.Equal(t, "Could not find an implementation for ConvInteger(10) node with name '/model.0/conv/Conv_quant'", a.Refused.Row.Message)
	assert.True(t, a.Refused.Verified)
	assert.Equal(t, "int8-tuned", a.Refused.Instead.Precision)
	assert.Equal(t, a.Refused.Error(), r.sentence(t))
}

// Both files are of one table, are the same each time, and answer as the table does.
func TestEmbedTable(t *testing.T) {
	dir := t.TempDir()
	source, list := filepath.Join(dir, "support.go"), filepath.Join(dir, "support.json")
	var before []byte
	for range 2 {
		r := command(t, nothing(t), "embed-table", "--go", source, "--json", list)
		require.Equal(t, 0, r.exit(t), r.err.String())
		assert.Empty(t, r.out.String()+r.err.String())
		text, err := os.ReadFile(source)
		require.NoError(t, err)
		if before != nil {
			assert.Equal(t, string(before), string(text))
		}
		before = text
	}
	assert.Regexp(t, `^// Code generated by posetest embed-table\. DO NOT EDIT\.\n\npackage support\n`, string(before))
	text, err := os.ReadFile(list)
	require.NoError(t, err)
	assert.Less(t, len(text), 64<<10, "bytes of a small file")
	got, err := choose.Parse(text)
	require.NoError(t, err)
	want, err := posetest.SupportTable(posetest.Config{Dir: repository})
	require.NoError(t, err)
	assert.Equal(t, want, got)

	r := command(t, nothing(t), query("table "+list, "dir "+dir)...) // away from the repository
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.Equal(t, "int8-tuned\n", r.out.String())

	require.NoError(t, os.WriteFile(list, []byte(strings.ReplaceAll(string(text), "int8-tuned", `\u001b[31m`)), 0o644))
	r = command(t, nothing(t), query("table "+list)...)
	require.Equal(t, 0, r.exit(t), r.err.String())
	assert.NotContains(t, r.out.String()+r.err.String(), "\x1b", "a table does not command the terminal")
}

func TestEmbedTableRefuses(t *testing.T) {
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "folder")
	require.NoError(t, os.Mkdir(inTheWay, 0o755))
	for _, row := range []struct {
		why  string
		args []string
		says []string
	}{
		{"nothing to write", nil, []string{"give --go FILE, --json FILE, or both"}},
		{"no package", []string{"--go", filepath.Join(dir, "a.go"), "--package", "my-app"}, []string{`--package "my-app" is no name of a Go package`}},
		{"no such model", []string{"--json", filepath.Join(dir, "a.json"), "--models", "yolo"}, []string{`models: "yolo" is unknown`, "yolov8n-pose"}},
		{"one of two has no place: then neither is written", []string{"--json", filepath.Join(dir, "a.json"), "--go", inTheWay}, []string{inTheWay, "choose a folder that is there"}},
		{"no such folder", []string{"--json", filepath.Join(dir, "nosuch", "a.json")}, []string{"nosuch", "choose a folder that is there"}},
	} {
		t.Run(row.why, func(t *testing.T) {
			r := command(t, nothing(t), append([]string{"embed-table"}, row.args...)...)
			require.Equal(t, 2, r.exit(t), r.err.String())
			for _, words := range row.says {
				assert.Contains(t, r.sentence(t), words)
			}
			assert.Equal(t, []string{inTheWay}, names(t, dir))
		})
	}
}

const selectPage = repository + "/docs/select.md"

// block is the first block of a language in the page.
func block(t *testing.T, page, language string) string {
	t.Helper()
	_, text, ok := strings.Cut(page, "\n```"+language+"\n")
	require.True(t, ok, "docs/select.md has a block of %s", language)
	text, _, ok = strings.Cut(text, "\n```\n")
	require.True(t, ok)
	return text + "\n"
}

// docs/select.md shows what the commands say. Line numbers of the table, which move, are not compared.
func TestSelectPage(t *testing.T) {
	text, err := os.ReadFile(selectPage)
	require.NoError(t, err)
	shown := 0
	page := regexp.MustCompile("(?ms)^```console\n(.*?)^```$").ReplaceAllStringFunc(string(text), func(old string) string {
		var b strings.Builder
		b.WriteString("```console\n")
		for _, line := range strings.Split(old, "\n") {
			args, ok := strings.CutPrefix(line, "$ bin/posetest ")
			if !ok {
				continue
			}
			r := command(t, nothing(t), strings.Fields(args)...)
			code := r.exit(t)
			fmt.Fprintf(&b, "%s\n%s%s", line, r.out.String(), r.err.String())
			if code != 0 {
				fmt.Fprintf(&b, "exit code %d\n", code)
			}
			shown++
		}
		return b.String() + "```"
	})
	require.Greater(t, shown, 4)
	if *update {
		require.NoError(t, os.WriteFile(selectPage, []byte(page), 0o644))
		text = []byte(page)
	}
	assert.Equal(t, withoutLines(string(text)), withoutLines(page), "if it is right now: go test ./posetest/cmd/posetest -run 'TestSelectPage|TestEmbeddedApp' -update")
}

func withoutLines(text string) string {
	return regexp.MustCompile(`golden/support\.toml:\d+`).ReplaceAllString(text, "golden/support.toml:N")
}

// The program of docs/select.md, as an app would have it: a module of its own, with the generated file, and without a network.
func TestEmbeddedApp(t *testing.T) {
	page, err := os.ReadFile(selectPage)
	require.NoError(t, err)
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "support"), 0o755))
	r := command(t, nothing(t), "embed-table", "--go", filepath.Join(dir, "support", "support.go"), "--models", "yolov8n-pose")
	require.Equal(t, 0, r.exit(t), r.err.String())
	own, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go \S+$`).FindString(string(own))
	module := fmt.Sprintf("module example.com/app\n\n%s\n\nrequire github.com/posetest/suite v0.0.0\n\nreplace github.com/posetest/suite => %s\n", version, strconv.Quote(filepath.ToSlash(root)))
	for name, text := range map[string]string{"go.mod": module, "main.go": block(t, string(page), "go")} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	program := filepath.Join(dir, "app")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off", "GOTOOLCHAIN=local")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.Command(program).CombinedOutput()
	require.NoError(t, err, "%s", out)
	want := block(t, string(page), "text")
	if *update {
		require.NoError(t, os.WriteFile(selectPage, []byte(replace(t, string(page), "\n```text\n"+want+"```\n", "\n```text\n"+string(out)+"```\n")), 0o644))
		want = string(out)
	}
	assert.Equal(t, withoutLines(want), withoutLines(string(out)))
}
