package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/posetest/suite/posetest/faulttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever ends a report, no worker outlives it, be it at work or hung in the runtime, and the last report stays whole.
func endFaults() []fault {
	return []fault{
		{"Ctrl-C while cells run", childEnds, ended(ending{signal: os.Interrupt})},
		{"Ctrl-C while a worker hangs in its runtime", childEnds, ended(ending{signal: os.Interrupt, hangs: "OrtGetApiBase"})},
		{"the end of a CI job (SIGTERM)", childEnds, ended(ending{signal: syscall.SIGTERM})},
		{"the end of a session (SIGHUP)", childEnds, ended(ending{signal: syscall.SIGHUP})},
		{"Ctrl-C at a terminal", childEnds, ended(ending{terminal: "\x03"})},
		{"a terminal that goes away", childEnds, ended(ending{terminal: "closed"})},
		{"a terminal that goes away under nohup", filesWhole, nohup},
		{"kill -9 while cells run", childEnds, ended(ending{signal: os.Kill})},
		{"kill -9 while a worker hangs in its runtime's begin", childEnds, ended(ending{signal: os.Kill, hangs: "OrtGetApiBase"})},
		{"kill -9 while a worker hangs in its load", childEnds, ended(ending{signal: os.Kill, hangs: "CreateSession"})},
		{"kill -9 while a worker hangs in its run", childEnds, ended(ending{signal: os.Kill, hangs: "Run"})},
		{"kill -9 while a worker hangs in its end", childEnds, ended(ending{signal: os.Kill, hangs: "ReleaseSession"})},
		{"kill -9 of a report at random moments", filesWhole, killedReports},
	}
}

// An ending is what befalls a report at work.
type ending struct {
	signal   os.Signal
	terminal string // what is typed at it, or "closed"
	hangs    string // the runtime's function in which workers hang; "" for none
}

func ended(e ending) func(*testing.T, reported) {
	return func(t *testing.T, _ reported) {
		env := []string{"POSETEST_RUNTIMES=" + ort}
		if e.hangs != "" {
			env = []string{"POSETEST_ORT=" + hanging(t, e.hangs)}
		}
		out, before := oldReport(t)
		r := command(t, env, "report", "--models", "movenet-lightning", "--workers", "2", "--out", out)
		terminal := r.startAt(t, e.terminal != "")
		t.Cleanup(func() { // where the test fails
			for _, pid := range workersIn(r.tmp) {
				if n, err := strconv.Atoi(pid); err == nil {
					syscall.Kill(n, syscall.SIGKILL)
				}
			}
		})
		if !assert.Eventually(t, func() bool { return atWork(r.tmp, e.hangs != "") }, 30*time.Second, 5*time.Millisecond, "a worker is at work") {
			r.Process.Kill()
		}
		switch e.terminal {
		case "":
			require.NoError(t, r.Process.Signal(e.signal))
		case "closed":
			require.NoError(t, terminal.Close())
		default:
			_, err := terminal.WriteString(e.terminal)
			require.NoError(t, err)
		}
		begin := time.Now()
		assert.Error(t, r.Wait())
		assert.Less(t, time.Since(begin), 5*time.Second, "time that the command took to end")
		if e.signal == os.Kill {
			assert.Eventually(t, func() bool { return len(workersIn(r.tmp)) == 0 }, 10*time.Second, 20*time.Millisecond, "workers end by themselves")
			clearsAway(t, r.tmp)
		} else {
			assert.Equal(t, 2, r.ProcessState.ExitCode())
			assert.Empty(t, workersIn(r.tmp), "workers that outlive the command")
			assert.Empty(t, names(t, r.tmp), "what workers left behind")
		}
		if e.terminal == "" && e.signal != os.Kill {
			assert.Equal(t, "interrupted; every worker was ended and no file is half written", r.sentence(t))
		}
		assert.Equal(t, before, folder(t, out))
		assert.Empty(t, bytes.TrimSpace(r.out.Bytes()), "a table of half a run")
	}
}

// startAt starts a command, at a terminal of its own if that is asked for.
func (r *run) startAt(t *testing.T, terminal bool) *os.File {
	t.Helper()
	if !terminal {
		require.NoError(t, r.Start())
		return nil
	}
	r.Stdout, r.Stderr = nil, nil
	f, err := pty.Start(r.Cmd)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	go io.Copy(io.Discard, f)
	return f
}

// Who asked to outlive the terminal does, and what can't be printed any more is written.
func nohup(t *testing.T, was reported) {
	out := filepath.Join(t.TempDir(), "out")
	r := was.report(t, out)
	r.throughShell(`trap "" HUP; exec "$@"`)
	terminal := r.startAt(t, true)
	require.Eventually(t, func() bool { return atWork(r.tmp, false) }, 30*time.Second, 5*time.Millisecond, "a worker is at work")
	require.NoError(t, terminal.Close())
	r.Wait()
	assert.Equal(t, 2, r.ProcessState.ExitCode(), "the table could not be printed")
	wholeReport(t, out)
	assert.Empty(t, names(t, r.tmp))
}

// clearsAway sees that the next command that starts a worker removes what workers of the dead left.
func clearsAway(t *testing.T, tmp string) {
	t.Helper()
	r := command(t, []string{"POSETEST_ORT=" + compiled(refusing("1.21.0"))(t), "TMPDIR=" + tmp}, "report", "--out", filepath.Join(t.TempDir(), "out"))
	require.Equal(t, 2, r.exit(t))
	require.Contains(t, r.err.String(), "it is ONNX Runtime 1.21.0", "a worker was started")
	assert.Empty(t, names(t, tmp), "what the dead left")
}

// hanging is a runtime that is the installed one, but for one function, which leaves a file "hung" and never returns.
func hanging(t *testing.T, function string) string {
	t.Helper()
	const hang = `
		#include <fcntl.h>
		#include <unistd.h>
		static void *hang(void) { creat("hung", 0644); for (;;) sleep(1000); }
	`
	if function == "OrtGetApiBase" {
		return compiled(hang + `void *OrtGetApiBase(void) { return hang(); }`)(t)
	}
	header, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	require.NoError(t, err)
	return compiled(fmt.Sprintf(`#include "%s/onnxruntime_c_api.h"
		#include <dlfcn.h>
		#include <string.h>
		%s
		static OrtApi api;
		static const OrtApiBase *real(void) {
			const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))dlsym(dlopen(%q, RTLD_NOW | RTLD_LOCAL), "OrtGetApiBase");
			return base();
		}
		static const OrtApi *get(uint32_t version) {
			const OrtApi *all = real()->GetApi(version);
			if (!all) return 0;
			memcpy(&api, all, sizeof api);
			void *instead = (void *)hang;
			memcpy(&api.%s, &instead, sizeof instead);
			return &api;
		}
		static const char *version(void) { return real()->GetVersionString(); }
		static const OrtApiBase base = {get, version};
		const OrtApiBase *OrtGetApiBase(void) { return &base; }`, strings.TrimSpace(string(header)), hang, installed(t), function))(t)
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

// After each kill no worker is left, each file of the report is whole, and the next run need not wait; after the last, nothing of
// the dead is left.
func killedReports(t *testing.T, was reported) {
	out, tmp := filepath.Join(t.TempDir(), "out"), t.TempDir()
	start := func() *run {
		r := was.report(t, out)
		r.Env = append(r.Env, "TMPDIR="+tmp)
		require.NoError(t, r.Start())
		return r
	}
	begin := time.Now()
	require.NoError(t, start().Wait())
	whole := time.Since(begin)
	times := faulttest.Times(8, 200)
	for range times {
		r := start()
		time.Sleep(rand.N(whole + whole/10))
		r.Process.Kill() // it may have ended
		r.Wait()
		require.Eventually(t, func() bool { return len(workersIn(tmp)) == 0 }, 10*time.Second, 5*time.Millisecond, "workers end by themselves")
		set, err := readSet(filepath.Join(out, "observations.jsonl"))
		require.NoError(t, err)
		require.Len(t, set.Observations, 2)
		text, err := os.ReadFile(filepath.Join(out, "index.html"))
		require.NoError(t, err)
		require.True(t, strings.HasSuffix(strings.TrimSpace(string(text)), "</html>"))
	}
	r := start()
	require.NoError(t, r.Wait(), r.err.String())
	wholeReport(t, out)
	assert.Empty(t, names(t, tmp), "what the dead left")
	t.Logf("%d kills within %v", times, whole)
}
