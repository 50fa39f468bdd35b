package posetest

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bare is a process without any of the variables that a configuration reads.
func bare(t *testing.T) {
	for _, name := range []string{"POSETEST_DATA", "POSETEST_CACHE", "POSETEST_RUNTIMES", "POSETEST_ORT", "POSETEST_PLUGINS", "POSETEST_REQUIRE", "POSETEST_OFFLINE", "POSETEST_REPEAT", "CI"} {
		t.Setenv(name, "")
	}
}

// What a field leaves empty comes from its variable, and without that from the default.
func TestConfig(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	require.NoError(t, os.Mkdir(one, 0o755))
	require.NoError(t, os.Mkdir(two, 0o755))
	library := filepath.Join(dir, "libplugin.so")
	require.NoError(t, os.WriteFile(library, nil, 0o644))
	const list = string(os.PathListSeparator)
	for _, row := range []struct {
		name  string
		env   map[string]string
		given Config
		want  func(t *testing.T, c Config)
	}{
		{"defaults: each core has a cell, each cell one thread", nil, Config{}, func(t *testing.T, c Config) {
			assert.Equal(t, []any{1, runtime.NumCPU(), 5, 1}, []any{c.Threads, c.Workers, c.Runs, c.Repeat})
			assert.WithinDuration(t, time.Now(), c.Today, time.Hour)
			assert.Equal(t, "posetest", filepath.Base(c.Cache))
			assert.True(t, filepath.IsAbs(c.Cache))
			assert.Empty(t, c.Data)
			assert.False(t, c.Offline)
			assert.False(t, c.Requires("yolov8n-pose"), "a machine of a person skips what is missing")
		}},
		{"variables", map[string]string{"POSETEST_CACHE": one, "POSETEST_RUNTIMES": "all", "POSETEST_ORT": two, "POSETEST_OFFLINE": "1"}, Config{},
			func(t *testing.T, c Config) {
				assert.Equal(t, []any{one, "all", two, true}, []any{c.Cache, c.Runtimes, c.Library, c.Offline})
			}},
		{"fields come before variables", map[string]string{"POSETEST_CACHE": one, "POSETEST_RUNTIMES": "all", "POSETEST_DATA": one},
			Config{Cache: two, Runtimes: "1.23.2", Data: []string{two}}, func(t *testing.T, c Config) {
				assert.Equal(t, []any{two, "1.23.2", []string{two}}, []any{c.Cache, c.Runtimes, c.Data})
			}},
		{"repetitions of a variable", map[string]string{"POSETEST_REPEAT": "10"}, Config{}, func(t *testing.T, c Config) { assert.Equal(t, 10, c.Repeat) }},
		{"a field's come first", map[string]string{"POSETEST_REPEAT": "10"}, Config{Repeat: 3}, func(t *testing.T, c Config) { assert.Equal(t, 3, c.Repeat) }},
		{"a day that was given", nil, Config{Today: time.Unix(0, 0)}, func(t *testing.T, c Config) { assert.Equal(t, time.Unix(0, 0), c.Today) }},
		{"plug-ins, with whole paths", map[string]string{"POSETEST_PLUGINS": "webgpu-plugin=" + library}, Config{}, func(t *testing.T, c Config) {
			assert.Equal(t, []string{library, ""}, []string{c.plugin("webgpu-plugin"), c.plugin("openvino-plugin")})
		}},
		{"offline is 1 and nothing else", map[string]string{"POSETEST_OFFLINE": "0"}, Config{}, func(t *testing.T, c Config) { assert.False(t, c.Offline) }},
		{"data is a list of folders", map[string]string{"POSETEST_DATA": one + list + two}, Config{}, func(t *testing.T, c Config) {
			assert.Equal(t, []string{one, two}, c.Data)
		}},
		{"an empty part of the list, as of $UNSET:/data, is no folder", map[string]string{"POSETEST_DATA": list + two + list}, Config{},
			func(t *testing.T, c Config) { assert.Equal(t, []string{two}, c.Data) }},
		{"no data, whatever the variable says", map[string]string{"POSETEST_DATA": one}, Config{Data: []string{}},
			func(t *testing.T, c Config) { assert.Empty(t, c.Data) }},
		{"in CI nothing may be skipped", map[string]string{"CI": "true"}, Config{}, func(t *testing.T, c Config) {
			assert.True(t, c.Requires("yolov8n-pose"))
			assert.True(t, c.Requires("1.32.0"))
		}},
		{"in CI, but for what it says itself", map[string]string{"CI": "true", "POSETEST_REQUIRE": "1.23.2, movenet-lightning"}, Config{}, func(t *testing.T, c Config) {
			assert.True(t, c.Requires("1.23.2"))
			assert.True(t, c.Requires("other", "movenet-lightning"))
			assert.False(t, c.Requires("yolov8n-pose"))
		}},
		{"CI=false is no CI", map[string]string{"CI": "false"}, Config{}, func(t *testing.T, c Config) { assert.False(t, c.Requires("1.32.0")) }},
		{"an importer that requires nothing, in CI", map[string]string{"CI": "true"}, Config{Require: []string{}},
			func(t *testing.T, c Config) { assert.False(t, c.Requires("1.32.0")) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			bare(t)
			for name, value := range row.env {
				t.Setenv(name, value)
			}
			c, err := row.given.complete()
			require.NoError(t, err)
			row.want(t, c)
		})
	}
}

// A number of repetitions that can't be is told with where it came from.
func TestConfigRepeat(t *testing.T) {
	for _, row := range []struct {
		variable string
		given    int
		want     string
	}{
		{"often", 0, `POSETEST_REPEAT: "often" is no number`},
		{"0", 0, "a cell can't be run 0 times; give 1 or more"},
		{"", -1, "a cell can't be run -1 times"},
	} {
		bare(t)
		t.Setenv("POSETEST_REPEAT", row.variable)
		_, err := Config{Repeat: row.given}.complete()
		require.ErrorIs(t, err, ErrSetup)
		require.ErrorContains(t, err, row.want)
	}
}

// A relative path is one of the working directory; the caller's own slice stays as it is.
func TestConfigPaths(t *testing.T) {
	bare(t)
	t.Chdir(t.TempDir())
	wd, err := os.Getwd()
	require.NoError(t, err)
	require.NoError(t, os.Mkdir("data", 0o755))
	given := Config{Dir: "house", Cache: "cache", Library: "lib.so", Data: []string{"data"}}
	c, err := given.complete()
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(wd, "house"), filepath.Join(wd, "cache"), filepath.Join(wd, "lib.so"), filepath.Join(wd, "data")},
		[]string{c.Dir, c.Cache, c.Library, c.Data[0]})
	assert.Equal(t, []string{"data"}, given.Data)
}

// The catalogue of a folder above is found, from wherever a test runs; without one, the error says what is looked for.
func TestFindDir(t *testing.T) {
	top := t.TempDir()
	below := filepath.Join(top, "a", "b")
	require.NoError(t, os.MkdirAll(below, 0o755))
	t.Chdir(below)
	_, err := findDir()
	require.ErrorIs(t, err, ErrSetup)
	require.ErrorContains(t, err, modelsList)
	require.ErrorContains(t, err, "--dir")

	require.NoError(t, os.MkdirAll(filepath.Join(top, "models"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(top, "models", "models.json"), nil, 0o644))
	dir, err := findDir()
	require.NoError(t, err)
	same, err := os.Stat(top)
	require.NoError(t, err)
	found, err := os.Stat(dir)
	require.NoError(t, err)
	assert.True(t, os.SameFile(same, found), dir)
}

// What is not here is in the plan with what brings it, cell by cell, and what is here is planned beside it.
func TestPlanMissing(t *testing.T) {
	bare(t)
	plan, err := New(Config{Cache: t.TempDir(), Offline: true, Runtimes: "1.23.2,openvino-1.24.1", Precisions: []string{"fp32"}, Providers: []string{"cpu"}}).Plan(t.Context(), io.Discard)
	require.NoError(t, err)
	assert.Empty(t, plan.Cells, "no runtime is here")
	brings := map[string]string{ // of each cell, by model and runtime
		"movenet-lightning 1.23.2":          "POSETEST_OFFLINE forbids to download it: allow it once, or point POSETEST_ORT",
		"movenet-lightning openvino-1.24.1": "POSETEST_OFFLINE forbids to download it: allow it once, or point POSETEST_ORT",
		"yolov8n-pose 1.23.2":               "set POSETEST_DATA to the folder that holds models/yolov8n-pose.onnx, or run `make yolo`",
		"yolov8n-pose openvino-1.24.1":      "set POSETEST_DATA to the folder that holds models/yolov8n-pose.onnx, or run `make yolo`",
	}
	photographs := 0
	for _, m := range plan.Missing {
		if len(m.Cells) == 0 {
			photographs++
			assert.ErrorContains(t, m.Err, "set POSETEST_DATA to the folder that holds it")
		}
		for _, c := range m.Cells {
			key := c.Model + " " + c.ORT
			assert.Contains(t, brings, key)
			assert.ErrorContains(t, m.Err, brings[key])
			assert.Contains(t, []string{c.Model, c.ORT}, m.ID, "what POSETEST_REQUIRE names it by")
			delete(brings, key)
		}
	}
	assert.Empty(t, brings, "cells that are neither planned nor missing")
	assert.Positive(t, photographs, "those of the data path")
	assert.NotEmpty(t, plan.Fixtures, "those of the repository")
}

// A house without photographs has the built-in ones, and is not asked for those that only the data path could bring.
func TestBuiltInPhotographs(t *testing.T) {
	bare(t)
	plan, err := New(Config{Dir: "example/testdata", Data: []string{".."}, Cache: t.TempDir(), Offline: true}).Plan(t.Context(), io.Discard)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(plan.Fixtures), 7, "five with people and two without")
	for _, m := range plan.Missing {
		assert.NotEmpty(t, m.Cells, "missing, and no cell: %v", m.Err)
	}
}
