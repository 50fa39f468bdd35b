//go:build linux

package posetest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/faulttest"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFaults has one sub-test a fault: whatever a provider, a model or a runtime does, the suite keeps its promises.
func TestFaults(t *testing.T) {
	t.Run("in=provider", providerFaults)
	t.Run("in=model", modelFaults)
	t.Run("in=runtime", runtimeFaults)
}

const (
	oneVerdict   = "one verdict a cell"
	noneLost     = "no other cell is lost"
	allReported  = "planned = reported"
	childrenEnd  = "every child ends"
	filesWhole   = "every file is whole"
	clearError   = "a clear error"
	hangTimeout  = 5 * time.Second
	hangingLimit = "by the limit of time 5s"
)

// A providerFault is something that goes wrong inside a call of the runtime.
type providerFault struct {
	fault   string // as testdata/faults/shim.c knows it, and where it is committed
	promise string
	want    string // the verdict; one that ends in … only begins so
	judged  string // what the judge says of a cell that loads all the same; "" for nothing
	why     string
}

const noJSON = "for a breach of the protocol: a line of the worker's protocol is no JSON: "

var providerTable = []providerFault{
	{"sigsegv-in-load", oneVerdict, "crashes: died of SIGSEGV during open", "", "a null pointer, the fault of every native library"},
	{"sigsegv-in-run", oneVerdict, "crashes: died of SIGSEGV during infer", "", "a kernel that is broken"},
	{"sigsegv-in-timing", oneVerdict, "crashes: died of SIGSEGV during time", "", "a kernel that is broken in its second run"},
	{"sigsegv-in-close", oneVerdict, "crashes: died of SIGSEGV during close", "", "a provider that frees twice"},
	{"sigabrt-in-load", oneVerdict, "crashes: died of SIGABRT during open", "", "an assertion of a C library"},
	{"sigabrt-in-run", oneVerdict, "crashes: died of SIGABRT during infer", "", "an assertion of a kernel"},
	{"sigkill-in-load", oneVerdict, "crashes: died of SIGKILL during open", "", "as the kernel's killer of those that need much memory"},
	{"sigkill-in-run", oneVerdict, "crashes: died of SIGKILL during infer", "", "the same, later"},
	{"exit-in-load", oneVerdict, "crashes: left with exit code 3 during open", "", "a library that ends the program over a missing licence"},
	{"exit-in-run", oneVerdict, "crashes: left with exit code 3 during infer", "", "with exit handlers of a runtime that works"},
	{"quiet-exit-in-load", oneVerdict, "crashes: left with exit code 0 during open", "", "_exit(0): success is no answer"},
	{"quiet-exit-in-run", oneVerdict, "crashes: left with exit code 0 during infer", "", "the same, later"},
	{"overflow-in-load", oneVerdict, "crashes: died of SIGSEGV during open", "", "a graph that is walked too deep: the handler needs a stack of its own"},
	{"thread-in-load", oneVerdict, "crashes: died of SIGABRT during open", "", "an exception that nobody catches, on a thread that Go does not know"},
	{"default-in-run", oneVerdict, "crashes: died of SIGSEGV during infer", "", "a provider that takes Go's signal handler away"},
	{"refusal-in-load", oneVerdict, "fails: the device is lost", "", "an ordinary error"},
	{"refusal-in-run", oneVerdict, "loads", "the device is lost", "an ordinary error, of one photograph"},
	{"refusal-in-timing", noneLost, "fails: Error running network: the device is lost", "", "an error after runs that went well"},
	{"nan-in-run", oneVerdict, "loads", "the model computes NaN or infinity", "JSON has no NaN"},
	{"memory-in-load", oneVerdict, "crashes: stopped during open by the limit of memory 4096 MiB", "", "a leak"},
	{"errflood-in-load", filesWhole, "loads", "", "a log that never ends: it is read on, and held in bounds"},
	{"outflood-in-run", filesWhole, "loads", "", "a provider that prints to standard output"},
	{"ugly-refusal-in-load", filesWhole, "fails: [2J ]0;owned several lines and �� no text aaaa…", "", "a megabyte with escapes for the terminal"},
	{"closed-in-behind-load", oneVerdict, "crashes: died of SIGKILL during …", "", "a worker that can't be asked ends itself, at once or after the request that it waits for already"},
	{"closed-err-in-load", oneVerdict, "loads", "the runtime's log tells no placement of nodes", "the log is gone, and the judge says so"},
	{"closed-replies-behind-load", oneVerdict, "crashes: left with exit code 3 during open", "", "a worker that can't answer ends"},
	{"garbage-in-load", oneVerdict, "crashes: stopped during open " + noJSON + `invalid character 'l' looking for beginning of value: "loaded fine, trust me\n"`, "", "words on the pipe of replies"},
	{"garbage-in-timing", oneVerdict, "crashes: stopped during time " + noJSON + "invalid character 'l'…", "", "the same, where least is expected"},
	{"partial-in-load", oneVerdict, "crashes: stopped during open " + noJSON + "invalid character '{' after object key:value pair…", "", "half a line, and then the real one"},
	{"partial-death-in-run", oneVerdict, "crashes: died of SIGABRT during infer", "", "half a line, and no more"},
	{"endless-line-in-load", oneVerdict, "crashes: stopped during open for a breach of the protocol: a line of the worker's protocol is over 8388608 bytes", "", "memory of the suite is bounded"},
	{"empty-reply-in-load", oneVerdict, "crashes: stopped during open for a breach of the protocol: its reply lacks the time that it took", "", "a reply that is none, and would shift all others"},
	{"null-reply-in-load", oneVerdict, "crashes: stopped during open for a breach of the protocol: its reply lacks the time that it took", "", "the same in another form"},
	{"forged-reply-in-load", oneVerdict, "crashes: stopped during infer for a breach of the protocol: its reply lacks the photo", "", "a reply that fits: the real one then answers another question"},
	{"empty-reply-in-run", noneLost, "crashes: stopped during infer for a breach of the protocol: its reply lacks the photo", "", "it ended the whole run once"},
	{"empty-reply-in-timing", noneLost, "crashes: stopped during time for a breach of the protocol: its reply lacks runs: it has 0 of 2", "", "the suite took the median of nothing once"},
	{"child-in-load", childrenEnd, "loads", "", "a helper process that outlives its worker"},
	{"orphan-in-load", childrenEnd, "crashes: died of SIGABRT during open", "", "the same, and the worker dies first"},
	{"daemon-in-load", childrenEnd, "loads", "", "out of the worker's group and session, with the log and replies still open"},
	{"litter-in-load", childrenEnd, "loads", "", "files, pipes, links and shut folders in the temporary folder"},
	{"secrets-in-load", oneVerdict, "crashes: died of SIGABRT during open", "", "what the suite's environment holds is not the provider's to see"},
}

// hangTable needs a short limit of time.
var hangTable = []providerFault{
	{"hang-in-load", oneVerdict, "hangs: stopped during open " + hangingLimit, "", "a deadlock"},
	{"hang-in-run", oneVerdict, "hangs: stopped during infer " + hangingLimit, "", "a device that never answers"},
	{"hang-in-timing", oneVerdict, "hangs: stopped during time " + hangingLimit, "", "in its second run"},
	{"hang-in-close", oneVerdict, "hangs: stopped during close " + hangingLimit, "", "a thread that nobody joins"},
	{"spin-in-run", oneVerdict, "hangs: stopped during infer " + hangingLimit, "", "a loop, which no signal of Go interrupts"},
	{"ignore-in-load", childrenEnd, "hangs: stopped during open " + hangingLimit, "", "every signal ignored and blocked that can be"},
	{"swallow-in-run", oneVerdict, "hangs: stopped during infer " + hangingLimit, "", "a handler of SIGSEGV that returns to the fault"},
}

// id is the model of the i-th fault of a table; healthy ones are between.
func (f providerFault) id(i int) string { return fmt.Sprintf("c%02d-%s", i, f.fault) }

// houseOf is a house with a cell for each fault of a table, and a healthy one before, behind and among them.
func houseOf(t *testing.T, table []providerFault) *faultyHouse {
	t.Helper()
	h := newFaultyHouse(t)
	for i, f := range table {
		if i%4 == 0 {
			h.addWhole(t, fmt.Sprintf("c%02d-a-healthy", i))
		}
		h.addWhole(t, f.id(i))
	}
	h.addWhole(t, fmt.Sprintf("c%02d-a-healthy", len(table)))
	return h
}

// providerFaults runs the suite twice, at the same time: on all faults that need no patience, and on those that hang.
func providerFaults(t *testing.T) {
	s := newShim(t)
	library := s.build(t, fmt.Sprintf("-DFLOOD=%dL", faulttest.Times(32<<20, 1<<30)))
	quick := houseOf(t, providerTable).config(t, library)
	slow := houseOf(t, hangTable).config(t, library)
	slow.Timeout, slow.Workers = hangTimeout, len(hangTable)+1
	t.Setenv("POSETEST_TEST_SECRET", "token")
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	files, goroutines := openFiles(t), runtime.NumGoroutine()

	var all, hung ran
	var wg sync.WaitGroup
	wg.Go(func() { all = planAndRun(t, quick, nil) })
	wg.Go(func() { hung = planAndRun(t, slow, nil) })
	wg.Wait()
	require.NoError(t, all.err)
	require.NoError(t, hung.err)

	t.Run("fault=all-at-once", func(t *testing.T) { together(t, all, providerTable) })
	t.Run("fault=all-hang-at-once", func(t *testing.T) { together(t, hung, hangTable) })
	still := func() bool {
		return openFiles(t) > files || runtime.NumGoroutine() > goroutines || len(children(t, tmp)) > 0
	}
	for begin := time.Now(); still() && time.Since(begin) < 5*time.Second; {
		time.Sleep(20 * time.Millisecond) // the last are on their way out
	}
	filesNow, goroutinesNow := openFiles(t), runtime.NumGoroutine()
	t.Run("fault=what-is-left", func(t *testing.T) {
		t.Attr("promise", childrenEnd)
		assert.Empty(t, children(t, tmp), "processes")
		left, err := os.ReadDir(tmp)
		require.NoError(t, err)
		assert.Empty(t, left, "temporary folders")
		assert.LessOrEqual(t, filesNow, files, "open files")
		assert.LessOrEqual(t, goroutinesNow, goroutines, "goroutines")
	})
	for i, f := range providerTable {
		t.Run("fault="+f.fault, func(t *testing.T) { f.check(t, all, i) })
	}
	for i, f := range hangTable {
		t.Run("fault="+f.fault, func(t *testing.T) { f.check(t, hung, i) })
	}
	t.Run("fault=processes", func(t *testing.T) {
		t.Attr("promise", childrenEnd)
		for _, name := range []string{"child", "orphan", "daemon"} {
			assert.Eventually(t, func() bool { return !alive(s.pid(t, name)) }, 5*time.Second, 20*time.Millisecond, "the %s lives on", name)
		}
		left, err := filepath.Glob(filepath.Join(s.notes, "*"))
		require.NoError(t, err)
		assert.Len(t, left, 3, "what a link in a temporary folder leads to stays as it is")
	})
	t.Run("fault=sigsegv-in-fifth-run", func(t *testing.T) { faultOfAP(t, library) })
	t.Run("in=tester", func(t *testing.T) { brokenPromises(t, all) })
}

// faultOfAP dies where the cell's average precision is taken, after all else went well.
func faultOfAP(t *testing.T, library string) {
	t.Attr("promise", noneLost)
	h := newFaultyHouse(t)
	h.addWhole(t, "c-healthy")
	h.addWhole(t, "c-sigsegv-in-fifth-run")
	cfg := h.config(t, library)
	cfg.Data = []string{h.cocoSet(t, 6)}
	r := planAndRun(t, cfg, nil)
	require.NoError(t, r.err)
	for i := range r.plan.Cells {
		require.NoError(t, healthy(r.plan.Cells[i], r.seen[i]))
		r.plan.Cells[i].Row.AP = map[string]float64{"fp32": 0.5}
	}
	require.NoError(t, r.suite.RunAP(t.Context(), r.plan, r.seen, func(posetest.Planned) {}))
	assert.NoError(t, checkPromises(cellsOf(r.plan), r.seen, r.told))
	_, o := r.of(t, "c-healthy", "cpu")
	assert.NotNil(t, o.COCO)
	_, o = r.of(t, "c-sigsegv-in-fifth-run", "cpu")
	assert.Equal(t, "crashes: died of SIGSEGV during infer", expect.Describe(o))
	assert.Nil(t, o.COCO)
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// together holds a run as a whole to its promises.
func together(t *testing.T, r ran, table []providerFault) {
	t.Attr("promise", allReported)
	t.Attr("also", noneLost)
	assert.Len(t, r.plan.Cells, len(table)+(len(table)+3)/4+1)
	assert.NoError(t, checkPromises(cellsOf(r.plan), r.seen, r.told))
	assert.NoError(t, checkWritten(r.suite.Config(), r.plan, r.seen))
	for i, p := range r.plan.Cells {
		if strings.HasSuffix(p.Cell.Model, "-healthy") {
			assert.NoError(t, healthy(p, r.seen[i]), "%s", p.Cell)
		}
	}
}

// check holds the fault's cell to its verdict.
func (f providerFault) check(t *testing.T, r ran, i int) {
	t.Attr("promise", f.promise)
	t.Attr("why", f.why)
	p, o := r.of(t, f.id(i), "cpu")
	got := expect.Describe(o)
	if begin, cut := strings.CutSuffix(f.want, "…"); cut {
		assert.True(t, strings.HasPrefix(got, begin), "verdict\n got %.300s\nwant %s", got, f.want)
	} else {
		assert.Equal(t, f.want, got, "verdict; its log: %q", logOf(o))
	}
	if o.Outcome == observe.Loads {
		err := healthy(p, o)
		if f.judged == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, f.judged)
		}
	}
	size := 0
	for _, line := range logOf(o) {
		size += len(line)
		assert.NotContains(t, line, "a secret:", "the provider saw")
	}
	assert.Less(t, size, 1<<14, "bytes of the log that are kept")
	if f.fault == "secrets-in-load" {
		assert.Contains(t, logOf(o), "that was all of the environment", "the provider looked")
	}
	if f.fault == "ugly-refusal-in-load" {
		assert.Less(t, len(got), 20<<10, "bytes of a message")
	}
}

func logOf(o observe.Observation) []string {
	if o.Death == nil {
		return nil
	}
	return o.Death.Log
}
