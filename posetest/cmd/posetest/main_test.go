package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/worker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// beCommand turns the test binary into the command, so that tests see what a user sees: output, exit code, processes.
const beCommand = "POSETEST_BE_COMMAND"

func TestMain(m *testing.M) {
	beOnADisk()
	worker.ServeIfAsked()
	if os.Getenv(beCommand) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A run is the command with what surrounds it.
type run struct {
	*exec.Cmd
	out, err bytes.Buffer
	tmp      string // its temporary folder: workers work there
}

// command prepares posetest with args. Of this process's POSETEST_ variables it gets the cache alone, where the
// runtimes are, and CI's rules are off; env adds to that.
func command(t *testing.T, env []string, args ...string) *run {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	r := &run{Cmd: exec.Command(program, args...), tmp: t.TempDir()}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "POSETEST_") && !strings.HasPrefix(variable, "GITHUB_") && !strings.HasPrefix(variable, "CI=") || strings.HasPrefix(variable, "POSETEST_CACHE=") {
			r.Env = append(r.Env, variable)
		}
	}
	r.Env = append(r.Env, "GORACE=atexit_sleep_ms=0") // under -race each process would sleep for a second at its end
	r.Env = append(r.Env, beCommand+"=1", "TMPDIR="+r.tmp, "TMP="+r.tmp, "TEMP="+r.tmp)
	r.Env = append(r.Env, env...)
	r.Stdout, r.Stderr = &r.out, &r.err
	return r
}

// exit runs the command to its end, sees that no worker outlives it, and returns its exit code.
func (r *run) exit(t *testing.T) int {
	t.Helper()
	var exit *exec.ExitError
	if err := r.Run(); !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	assert.Empty(t, names(t, r.tmp), "what a worker left in the temporary folder")
	assert.Empty(t, workersIn(r.tmp), "workers that outlive the command")
	return r.ProcessState.ExitCode()
}

// sentence is what the command said on standard error, which must be one line.
func (r *run) sentence(t *testing.T) string {
	t.Helper()
	line, more, _ := strings.Cut(r.err.String(), "\n")
	assert.Empty(t, more, "more than one sentence on standard error")
	message, ok := strings.CutPrefix(line, "posetest: ")
	assert.True(t, ok, "the sentence does not say who speaks: %s", line)
	return message
}

// workersIn are the processes that work in a folder below dir: workers do, in their private temporary folders. Where
// there is no /proc, nobody is seen.
func workersIn(dir string) (pids []string) {
	cwds, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, cwd := range cwds {
		if at, err := os.Readlink(cwd); err == nil && strings.HasPrefix(at, dir+string(filepath.Separator)) {
			pids = append(pids, filepath.Base(filepath.Dir(cwd)))
		}
	}
	return pids
}

// names are all files and folders below dir, none where dir is not there.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			all = append(all, path)
		}
		return err
	})
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	return all
}

// nothing is the environment of a machine on which nothing is installed and nothing can be: what must be told without
// any runtime is told there.
func nothing(t *testing.T) []string {
	return []string{"POSETEST_CACHE=" + filepath.Join(t.TempDir(), "cache"), "POSETEST_OFFLINE=1"}
}

// The command line itself: exit code 0, and where it can't judge 2 with a sentence that says what to do.
func TestCommandLine(t *testing.T) {
	for _, row := range []struct {
		args []string
		env  []string
		code int
		says []string // on standard output, or in the sentence
		why  string
	}{
		{args: nil, says: []string{"Exit codes: 0 all as expected, 1 something is not, 2 could not judge.", "POSETEST_DATA"},
			why: "who types the name alone is told what there is"},
		{args: []string{"report", "--help"}, says: []string{"Examples:", "posetest report --model their.onnx --family yolov8-pose", "movenet"},
			why: "help shows whole commands, and the families to choose from"},
		{args: []string{"runtime", "install", "--help"}, says: []string{"posetest runtime install all"}, why: "the same"},
		{args: []string{"runtime", "pin", "--help"}, says: []string{"posetest runtime pin onnxruntime@1.33.0"}, why: "the same"},
		{args: []string{"tensors", "--help"}, says: []string{"posetest tensors --model"}, why: "the same"},
		{args: []string{"completion", "bash"}, says: []string{"posetest"}, why: "shells complete it"},

		{args: []string{"models", "list"}, says: []string{"movenet-lightning.onnx", "9351685", "yolov8n-pose.onnx is missing; set POSETEST_DATA"},
			why: "models that are here with their paths, and others with what brings them"},
		{args: []string{"runtime", "list"}, says: []string{"onnxruntime@1.22.1", "openvino-1.24.1", "not installed", "cpu openvino"},
			why: "needs no runtime"},
		{args: []string{"providers"}, says: []string{"coreml-mlprogram", "ModelFormat=MLProgram", "cuda-1", "device_id=1", "none: POSETEST_PLUGINS"}, why: "needs neither a runtime nor a device"},
		{args: []string{"providers", "--help"}, says: []string{"--providers cuda,cuda-notf32", "docs/providers.md"}, why: "the same"},
		{args: []string{"runtime", "path", "1.32.0"}, code: 2, says: []string{"onnxruntime@1.32.0 is not installed", `posetest runtime install 1.32.0`},
			why: "a path that is not there must not be printed"},
		{args: []string{"runtime", "install", "1.32.0"}, code: 2, says: []string{"onnxruntime-1.32.0-", "POSETEST_OFFLINE forbids to download it"},
			why: "offline installs nothing"},
		{args: []string{"runtime", "path", "9.9.9"}, code: 2, says: []string{`"9.9.9" is unknown`, "1.23.2", "posetest runtime pin onnxruntime@9.9.9"},
			why: "says which there are, and how to add one"},
		{args: []string{"report", "--runtimes", "openvino-1.24.1"}, code: 2, says: []string{"nothing to run", "onnxruntime-openvino@1.24.1", "POSETEST_OFFLINE"},
			why: "the missing runtime is the reason, not the photographs that are missing too"},
		{args: []string{"report", "--precisions", "fp32"}, env: []string{"POSETEST_REQUIRE=yolov8n-pose"}, code: 2,
			says: []string{"yolov8n-pose.onnx is missing", "may not be skipped (POSETEST_REQUIRE)"}, why: "what is required is not left out in silence"},

		{args: []string{"report", "--runtimes", "1.23.2,9.9.9"}, code: 2, says: []string{"POSETEST_RUNTIMES", `"9.9.9" is unknown`}, why: "one of several is enough"},
		{args: []string{"report", "--models", "movenet-lightning,nosuch"}, code: 2, says: []string{`models: "nosuch" is unknown`, "movenet-lightning, yolov8n-pose"},
			why: "a typo beside a right name would run less than was asked for"},
		{args: []string{"report", "--precisions", "int9"}, code: 2, says: []string{`precisions: "int9" is unknown`, "int8-qdq"}, why: "the same"},
		{args: []string{"report", "--providers", "gpu"}, code: 2, says: []string{`providers: "gpu" is unknown`, "coreml-mlprogram", "cuda", "cuda-1"}, why: "the same"},
		{args: []string{"report", "--model", "my.onnx"}, code: 2, says: []string{"--model and --family go together"}, why: "a file does not say how to read its output"},
		{args: []string{"report", "--family", "movenet"}, code: 2, says: []string{"--model and --family go together"}, why: "the same"},
		{args: []string{"report", "--dir", "nosuch"}, code: 2, says: []string{"--dir", "nosuch", "models/models.json"}, why: "names the flag and what must be there"},
		{args: []string{"report"}, env: []string{"POSETEST_PLUGINS=webgpu-plugin=/nosuch"}, code: 2, says: []string{`POSETEST_PLUGINS: the library of webgpu-plugin, "/nosuch", is no file`},
			why: "a library that is not there must not look like a provider that fails"},
		{args: []string{"report"}, env: []string{"POSETEST_PLUGINS=cuda=/bin"}, code: 2, says: []string{`POSETEST_PLUGINS: "cuda=/bin" must be the name of a plug-in of`}, why: "a provider of builds is none"},
		{args: []string{"report"}, env: []string{"POSETEST_DATA=nosuch"}, code: 2, says: []string{"POSETEST_DATA: nosuch is no folder", "unset it"},
			why: "a wrong data path must not look like a run without data"},
		{args: []string{"tensors", "a.jpg"}, code: 2, says: []string{"--model, --family and --out"}, why: "none has a default"},
		{args: []string{"report"}, env: []string{"POSETEST_SHARDS=3"}, code: 2, says: []string{"POSETEST_SHARDS=3", "JOB_COMPLETION_INDEX", "completionMode: Indexed"},
			why: "pods of a Job that is not Indexed would each run all"},
		{args: []string{"report"}, env: []string{"POSETEST_SHARD=4/3"}, code: 2, says: []string{`POSETEST_SHARD: shard "4/3" must be as 2/8`}, why: "a variable is no less strict than the flag"},
		{args: []string{"report"}, env: []string{"POSETEST_RUN=a b"}, code: 2, says: []string{"--run, POSETEST_RUN: ", `a run can't be named "a b"`}, why: "a name stands in lists"},
		{args: []string{"merge", "."}, code: 2, says: []string{"has no observations.jsonl below it"}, why: "a folder of none"},
		{args: []string{"report", "--wrokers", "1"}, code: 2, says: []string{"--wrokers"}, why: "a typo"},
	} {
		t.Run(strings.Join(append(row.args, row.env...), " "), func(t *testing.T) {
			r := command(t, append(nothing(t), row.env...), row.args...)
			out := filepath.Join(t.TempDir(), "out")
			if len(row.args) > 0 && row.args[0] == "report" {
				r.Args = append(r.Args, "--out", out)
			}
			require.Equal(t, row.code, r.exit(t), "exit code; %s\n%s", row.why, r.err.String())
			text := r.out.String()
			if row.code != 0 {
				assert.Empty(t, text, "standard output of a command that could not judge")
				text = r.sentence(t)
			}
			for _, words := range row.says {
				assert.Contains(t, text, words, row.why)
			}
			assert.Empty(t, names(t, out))
		})
	}
}

// A mistyped command is told with the one that was meant.
func TestSuggestion(t *testing.T) {
	r := command(t, nothing(t), "rpeort")
	require.Equal(t, 2, r.exit(t))
	assert.Regexp(t, `unknown command "rpeort"[^\n]*\s+Did you mean this\?\s+report\s`, r.err.String())
}

// An installed runtime is printed by its path alone, for $(…).
func TestRuntimePath(t *testing.T) {
	library := installed(t)
	for _, verb := range []string{"path", "install"} {
		r := command(t, nil, "runtime", verb, ort)
		require.Equal(t, 0, r.exit(t), r.err.String())
		assert.Equal(t, library+"\n", r.out.String(), verb)
		assert.FileExists(t, library)
	}
}
