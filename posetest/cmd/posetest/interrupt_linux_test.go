package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever ends a report, no worker outlives it, be it at work or hung in the runtime, and the last report stays whole.
func TestInterrupt(t *testing.T) {
	const hung = `#include <fcntl.h>
		#include <unistd.h>
		void *OrtGetApiBase(void) { creat("hung", 0644); for (;;) sleep(1000); }`
	for _, row := range []struct {
		name   string
		signal os.Signal
		hung   bool
	}{
		{"Ctrl-C while cells run", os.Interrupt, false},
		{"Ctrl-C while a worker hangs in its runtime", os.Interrupt, true},
		{"end of a CI job", syscall.SIGTERM, false},
		{"kill while cells run", os.Kill, false},
		{"kill while a worker hangs in its runtime", os.Kill, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			env := []string{"POSETEST_RUNTIMES=" + ort}
			if row.hung {
				env = []string{"POSETEST_ORT=" + compiled(hung)(t)}
			} else {
				installed(t)
			}
			out := filepath.Join(t.TempDir(), "out")
			require.NoError(t, os.Mkdir(out, 0o755))
			old := filepath.Join(out, "observations.jsonl")
			require.NoError(t, os.WriteFile(old, []byte("the last report\n"), 0o644))

			r := command(t, env, "report", "--models", "movenet-lightning", "--workers", "2", "--out", out)
			require.NoError(t, r.Start())
			t.Cleanup(func() { // where the test fails
				for _, pid := range workersIn(r.tmp) {
					if n, err := strconv.Atoi(pid); err == nil {
						syscall.Kill(n, syscall.SIGKILL)
					}
				}
			})
			workers := func() int { return len(workersIn(r.tmp)) }
			if !assert.Eventually(t, func() bool { return atWork(r.tmp, row.hung) }, 30*time.Second, 5*time.Millisecond, "a worker is at work") {
				r.Process.Kill()
			}
			require.NoError(t, r.Process.Signal(row.signal))
			begin := time.Now()
			assert.Error(t, r.Wait())
			assert.Less(t, time.Since(begin), 5*time.Second, "time that the command took to end")
			if row.signal == os.Kill {
				assert.Eventually(t, func() bool { return workers() == 0 }, 5*time.Second, 20*time.Millisecond, "workers end by themselves")
			} else {
				assert.Equal(t, 2, r.ProcessState.ExitCode())
				assert.Equal(t, "interrupted; every worker was ended and no file is half written", r.sentence(t))
				assert.Zero(t, workers(), "workers that outlive the command")
				assert.Empty(t, names(t, r.tmp), "what workers left behind")
			}
			text, err := os.ReadFile(old)
			require.NoError(t, err)
			assert.Equal(t, "the last report\n", string(text))
			assert.Len(t, names(t, out), 1, "files of the last report")
			assert.Empty(t, bytes.TrimSpace(r.out.Bytes()), "a table of half a run")
		})
	}
}

// atWork tells whether a worker has its runtime open, or hangs in it.
func atWork(tmp string, hung bool) bool {
	if hung {
		found, _ := filepath.Glob(filepath.Join(tmp, "*", "hung"))
		return len(found) > 0
	}
	return slices.ContainsFunc(workersIn(tmp), func(pid string) bool {
		maps, _ := os.ReadFile(filepath.Join("/proc", pid, "maps"))
		return bytes.Contains(maps, []byte("libonnxruntime"))
	})
}
