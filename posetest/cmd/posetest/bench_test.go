package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Rounds are in changing order, the same for a seed, and the first is as listed.
func TestOrder(t *testing.T) {
	var rounds [][]int
	for round := range 6 {
		o := order(12, round, 7)
		assert.Equal(t, o, order(12, round, 7), "of a seed")
		for _, before := range rounds {
			assert.NotEqual(t, before, o, "round %d", round)
		}
		rounds = append(rounds, o)
		assert.True(t, round > 0 || slices.IsSorted(o))
		slices.Sort(slices.Clone(o))
		assert.Len(t, slices.Compact(slices.Sorted(slices.Values(o))), 12, "each cell once")
	}
	assert.NotEqual(t, rounds[1], order(12, 1, 8), "of another seed")
}

// Nothing but benchmarks is on standard output, and what is left out is told beside it.
func TestBench(t *testing.T) {
	installed(t)
	h := newHouse(t, "fp32", "uint8", "int8")
	h.write(t)
	r := command(t, nil, "bench", "--dir", h.dir, "--runtimes", ort, "--providers", "cpu", "--kinds", "infer,load", "--arena", "on,off", "--count", "2", "--benchtime", "3x")
	require.Equal(t, 0, r.exit(t), r.err.String())
	cells, err := posetest.CheckBenchmarks(bytes.NewReader(r.out.Bytes()), "standard output")
	require.NoError(t, err, r.out.String())
	assert.Equal(t, 8, cells)
	assert.Regexp(t, `\nBenchmarkInfer/model=movenet-lightning/precision=fp32/provider=cpu/ort=1\.23\.2/arena=on 3 `, r.out.String())
	assert.True(t, strings.HasSuffix(r.out.String(), "\ncomplete: 8 cells of 2 samples\n"))
	assert.Equal(t, "not timed: 4 fails\n", r.err.String())
}

// A cell that breaks midway ends the run with exit code 2 and a sentence, after all others are done; what was printed
// until then passes for nothing.
func TestBenchBreaksMidway(t *testing.T) {
	installed(t)
	h := newHouse(t, "fp32", "uint8")
	h.write(t)
	r := command(t, nil, "bench", "--dir", h.dir, "--runtimes", ort, "--providers", "cpu", "--count", "5", "--benchtime", "1x")
	r.Stdout = nil
	out, err := r.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, r.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); r.out.WriteByte('\n') {
		r.out.Write(lines.Bytes())
		if strings.Contains(lines.Text(), "precision=uint8") && r.out.Len() < 2000 {
			require.NoError(t, os.WriteFile(h.model("uint8"), []byte("gone"), 0o644))
		}
	}
	r.Wait()
	require.Equal(t, 2, r.ProcessState.ExitCode(), r.err.String())
	assert.Equal(t, 5, strings.Count(r.out.String(), "precision=fp32"), "the others go on")
	assert.Regexp(t, `^1 of 2 cells lack samples, so that nothing may be made of this output: `+
		`Infer/model=movenet-lightning/precision=uint8/provider=cpu/ort=1\.23\.2 has [1-4] of 5 \(.+\)$`, r.sentence(t))

	check := command(t, nil, "bench", "check", "-")
	check.Stdin = &r.out
	require.Equal(t, 2, check.exit(t))
	assert.Contains(t, check.sentence(t), "no line says that the run is complete")
}

// What can't be timed as it was asked for is told, and nothing is printed.
func TestBenchRefused(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "bench.txt")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	const one = "goos: linux\nBenchmarkA 1 2 ns/op\nPASS\n"
	two := file(strings.Replace(one, "A 1", "A 1 3 ns/op\nBenchmarkB 1", 1))
	for _, row := range []struct {
		args []string
		code int
		says string
		why  string
	}{
		{[]string{"bench", "--benchtime", "5"}, 2, `--benchtime: "5" is no time`, ""},
		{[]string{"bench", "--count", "-1"}, 2, "--count -1", ""},
		{[]string{"bench", "--runtimes", "1.32.0"}, 2, "POSETEST_OFFLINE forbids to download it", "a runtime that is not here and was asked for by name"},
		{[]string{"bench", "--runtimes", "1.32.0", "--models", "yolov8n-pose"}, 2, "can't be timed", "and a model"},
		{[]string{"bench", "check"}, 2, "requires at least 1 arg", ""},
		{[]string{"bench", "check", "nosuch.txt"}, 2, "nosuch.txt", ""},
		{[]string{"bench", "check", two}, 0, "", ""},
		{[]string{"bench", "check", file(one)}, 2, "fewer than two cells (1)", "nothing to compare with"},
		{[]string{"bench", "check", file(one), file(one)}, 0, "", "before and after"},
		{[]string{"bench", "check", two, file("panic\n")}, 2, "bench.txt:1: neither", "one bad file is enough"},
	} {
		t.Run(strings.Join(row.args[1:], " "), func(t *testing.T) {
			r := command(t, nothing(t), row.args...)
			require.Equal(t, row.code, r.exit(t), "%s %s", r.err.String(), row.why)
			assert.Empty(t, r.out.String())
			if row.code != 0 {
				assert.Contains(t, r.sentence(t), row.says, row.why)
			}
		})
	}
}

// bash runs a line in a folder, as a person would: stopped by what fails in a pipe. Of this process's POSETEST_ variables
// it sees the cache alone.
func bash(t *testing.T, dir, line string, env ...string) (out, err string, code int) {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	r := command(t, nil)
	cmd := exec.Command("bash", "-o", "pipefail", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(r.Env, func(v string) bool { // a user's shell has none of what make tells the makes below it
		return strings.HasPrefix(v, beCommand) || strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS")
	}), env...)
	cmd.Stdout, cmd.Stderr = &r.out, &r.err
	cmd.Run()
	return r.out.String(), r.err.String(), cmd.ProcessState.ExitCode()
}

// The README's lines, as written, on few cells: benchstat's table has a column for each precision, and each has all
// samples.
func TestReadmePipes(t *testing.T) {
	installed(t)
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	lines := regexp.MustCompile(`(?m)^make bench \|.*$`).FindAllString(string(readme), -1)
	require.Len(t, lines, 2, "lines of README that pipe make bench into benchstat")
	for _, line := range lines {
		t.Run(strings.Fields(line)[3], func(t *testing.T) {
			out, log, code := bash(t, root, line, "PATH="+filepath.Join(root, "scripts")+string(os.PathListSeparator)+os.Getenv("PATH"),
				"MODEL=movenet-lightning", "PRECISION=fp32,int8-qdq,uint8", "PROVIDER=cpu", "ORT="+ort, "COUNT=2", "BENCH_FLAGS=--benchtime 3x")
			require.Equal(t, 0, code, log)
			table, _, _ := strings.Cut(out, "\n\n")
			assert.Regexp(t, `│\s+fp32\s+│\s+int8-qdq\s+│\s+uint8\s+│`, table)
			assert.Regexp(t, `Infer/model=movenet-lightning/provider=cpu/ort=1\.23\.2 .*n=2\).*n=2\)`, table)
			assert.NotRegexp(t, `n=\d+\+\d+`, out, "unequal samples")
			assert.Contains(t, out, "fps")
			assert.NotContains(t, out, "complete", "no table of its own")
		})
	}
}

// The wrapper works from anywhere, through links, passes on its arguments, and is not silent where benchstat is.
func TestBenchstatWrapper(t *testing.T) {
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "a folder")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(root, "scripts", "benchstat"), filepath.Join(dir, "bin", "there")))
	require.NoError(t, os.Symlink("there", filepath.Join(dir, "bin", "benchstat")))
	const sample = "BenchmarkA/precision=fp32 1 20 ns/op\nBenchmarkA/precision=int8 1 10 ns/op\n"
	for name, text := range map[string]string{"good.txt": sample + sample + "PASS\n", "log.txt": sample + "BenchmarkA/precision=fp32 1 warning\n20 ns/op\nPASS\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	for _, row := range []struct {
		line string
		code int
		says string
	}{
		{"benchstat < good.txt", 0, `fp32.*int8`},
		{"cat good.txt | benchstat -col /precision -row .name -", 0, `A .*n=2\)`},
		{"benchstat good.txt", 0, `A/precision=int8`},
		{"benchstat old=good.txt good.txt", 0, `old +│ +good\.txt`},
		{"benchstat < log.txt", 2, `^posetest: standard input:3: parsing measurement`},
		{"benchstat -col /precision log.txt", 2, `^posetest: log\.txt:3: parsing measurement`},
		{"head -c 30 good.txt | benchstat", 2, `^posetest: standard input:1: the last line has no end`},
		{"benchstat < /dev/null", 2, `^posetest: standard input: is empty`},
	} {
		t.Run(row.line, func(t *testing.T) {
			out, log, code := bash(t, dir, row.line, "PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
			require.Equal(t, row.code, code, "%s%s", out, log)
			if row.code == 0 {
				assert.Regexp(t, row.says, out)
				assert.Empty(t, log)
			} else {
				assert.Empty(t, out)
				assert.Regexp(t, row.says, log)
			}
		})
	}
}
