package gpu_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/gpu"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// two is a machine with two GPUs, in the form of nvidia-smi's manual; no machine printed it.
const two = `0, GPU-8932f937-d72c-4106-c12f-20bd9faed9f6, NVIDIA H100 80GB HBM3, 580.95.05, 81559, P0, 1980, 1980, 2619, 412.35, 700.00, 54
1, GPU-c1d2e3f4-0000-4106-c12f-20bd9faed9f6, NVIDIA T4, 580.95.05, 15360, P8, 300, 1590, 405, [N/A], [Not Supported], 31
`

var h100 = observe.GPU{Name: "NVIDIA H100 80GB HBM3", Driver: "580.95.05", Memory: 81559 << 20, PState: "P0", Clock: 1980, MaxClock: 1980,
	MemoryClock: 2619, Power: 412.35, PowerLimit: 700, Temperature: 54}

func TestParse(t *testing.T) {
	all, err := gpu.Parse(two)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, gpu.GPU{Index: 0, UUID: "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", GPU: h100}, all[0])
	assert.Equal(t, 1, all[1].Index)
	assert.Equal(t, [3]any{300, 0.0, 0.0}, [3]any{all[1].Clock, all[1].Power, all[1].PowerLimit}, "what it does not tell is 0")

	none, err := gpu.Parse("\n")
	assert.NoError(t, err)
	assert.Empty(t, none)
}

func TestParseErrors(t *testing.T) {
	for _, row := range []struct{ why, from, to, want string }{
		{"a field less", ", 54", "", "nvidia-smi: a line has 11 fields, want 12: \"0, GPU-8932"},
		{"a field more", ", 54", ", 54, 1", "a line has 13 fields, want 12"},
		{"words instead of a table", two, "No devices were found", `a line has 1 fields, want 12: "No devices were found"`},
		{"a clock that is none", "1980, 1980", "fast, 1980", `clocks.sm: "fast" is no measure`},
		{"power that is no number", "412.35", "NaN", `power.draw: "NaN" is no measure`},
		{"power without end", "412.35", "+Inf", `power.draw: "+Inf" is no measure`},
		{"a clock below zero", "2619", "-1", `clocks.mem: "-1" is no measure`},
		{"more memory than there is", "81559", "1e300", `memory.total: "1e300" is no measure`},
	} {
		t.Run(row.why, func(t *testing.T) {
			text := strings.Replace(two, row.from, row.to, 1)
			require.NotEqual(t, two, text, "the test replaces nothing")
			_, err := gpu.Parse(text)
			assert.ErrorContains(t, err, row.want)
		})
	}
}

// The device of a number is another GPU where the environment says so.
func TestVisible(t *testing.T) {
	all, err := gpu.Parse(two)
	require.NoError(t, err)
	for _, row := range []struct {
		why     string
		visible []string // of the environment
		device  int
		want    int // index; -1 for none
	}{
		{"all, in the order of the bus", nil, 1, 1},
		{"more than there are", nil, 2, -1},
		{"below zero", nil, -1, -1},
		{"one is hidden", []string{"1"}, 0, 1},
		{"and then there is no second", []string{"1"}, 1, -1},
		{"another order", []string{"1,0"}, 1, 0},
		{"with spaces", []string{" 1 , 0 "}, 0, 1},
		{"by the beginning of a UUID", []string{"GPU-c1d2"}, 0, 1},
		{"nothing", []string{""}, 0, -1},
		{"a number that hides all", []string{"-1"}, 0, -1},
		{"what comes behind a number that there is not", []string{"0,7,1"}, 1, -1},
		{"a part of a GPU, which is not told of", []string{"MIG-1"}, 0, -1},
		{"the last of several", []string{"0", "1"}, 0, 1},
	} {
		environ := []string{"PATH=/bin"}
		for _, v := range row.visible {
			environ = append(environ, "CUDA_VISIBLE_DEVICES="+v)
		}
		g, ok := gpu.Visible(all, environ, row.device)
		assert.Equal(t, row.want >= 0, ok, row.why)
		if ok {
			assert.Equal(t, row.want, g.Index, row.why)
		}
	}
}

// What the tool says comes out, also if it fails; the tool is a script here.
func TestQuery(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // no scripts there
	}
	for _, row := range []struct{ why, script, want string }{
		{"two GPUs", "cat <<'END'\n" + two + "END\n", ""},
		{"a driver that is too old or gone", "echo \"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\"; exit 9",
			"nvidia-smi: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. (exit status 9)"},
		{"no such field", "echo 'Field \"clocks.sm\" is not a valid field to query.'; exit 2", `nvidia-smi: Field "clocks.sm" is not a valid field to query. (exit status 2)`},
		{"it is not there", "", "nvidia-smi is not on the PATH, so no NVIDIA driver is known of"},
	} {
		t.Run(row.why, func(t *testing.T) {
			dir := t.TempDir()
			if row.script != "" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte("#!/bin/sh\nPATH=/usr/bin:/bin\n"+row.script+"\n"), 0o755))
			}
			t.Setenv("PATH", dir)
			all, err := gpu.Query(t.Context())
			if row.want != "" {
				assert.ErrorContains(t, err, row.want)
				return
			}
			require.NoError(t, err)
			assert.Len(t, all, 2)
		})
	}
}

// Beside a driver that hangs the tool hangs, and nobody waits for it for good.
func TestQueryHangs(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // no scripts there
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte("#!/bin/sh\nPATH=/usr/bin:/bin\nsleep 60\n"), 0o755))
	t.Setenv("PATH", dir)
	_, err := gpu.QueryWithin(t.Context(), 200*time.Millisecond)
	require.EqualError(t, err, "nvidia-smi did not answer within 200ms; look whether the driver hangs")
}

// Whatever the tool prints, no number is beyond what a GPU can have, and nothing panics.
func FuzzParse(f *testing.F) {
	f.Add(two)
	f.Add("0, GPU-1, a, 1, 1e9, P0, [N/A], N/A, 0, 0.5, [], 1")
	f.Fuzz(func(t *testing.T, out string) {
		all, err := gpu.Parse(out)
		if err != nil {
			assert.NotContains(t, err.Error(), "\x00")
			return
		}
		for _, g := range all {
			assert.True(t, g.Index >= 0 && g.Clock >= 0 && g.Clock <= 1<<30 && g.Memory >= 0 && g.Power >= 0 && g.Power <= 1<<30, "%+v", g)
		}
		if found, ok := gpu.Visible(all, []string{"CUDA_VISIBLE_DEVICES=" + out}, 0); ok {
			assert.Contains(t, all, found)
		}
	})
}
