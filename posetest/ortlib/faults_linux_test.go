package ortlib

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/faulttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func beOnADisk() { faulttest.Main() }

func faultsHere(t *testing.T) {
	faulttest.Try(t, "a full disk under the store, at each page", "a clear error", fullStore)
	faulttest.Try(t, "a store that may only be read", "a clear error", readOnlyStore)
	faulttest.Try(t, "kill -9 of an installation at random moments", "every child ends", killedInstallation)
}

// pageSize is by how much a disk has more room than in the try before.
const pageSize = 4096

// However little room there is, there is no runtime or a whole one, and a sentence that says what to do; and with enough
// room it is installed.
func fullStore(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("serve")
	require.NoError(t, os.MkdirAll(g.Dir, 0o755))
	wheel := g.runtime.Platforms[machine]
	for pages := range int64(100) {
		cmd, out := g.prepared()
		disk := faulttest.Disk{Dir: g.Dir, Room: pages * pageSize}
		after := rig{Store: Store{Dir: disk.Under(t, cmd)}, t: t}
		err := cmd.Run()
		if err == nil {
			_, err := after.Library(g.runtime)
			require.NoError(t, err)
			require.Len(t, after.left(), 7)
			require.Positive(t, pages, "it was installed without any room")
			t.Logf("%d pages are enough", pages)
			return
		}
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 1, exit.ExitCode(), "%d pages: %s", pages, out)
		oneSentence(t, strings.ToLower(out.String()), "installing onnxruntime-fake@9.9.9: ", disk.Words())
		if disk.Words() != "file too large" { // of a limit that is no disk's
			oneSentence(t, out.String(), "make room for some 500 MB in "+g.Dir+", or choose another folder with POSETEST_CACHE")
		}
		for _, name := range after.left() {
			assert.True(t, isWheel(t.Context(), filepath.Join(after.Dir, name), wheel), "%d pages: %s was left", pages, name)
		}
		require.NoDirExists(t, filepath.Join(after.Dir, folder(g.runtime)))
	}
	t.Error("no disk is large enough")
}

// A store that may only be read serves what is in it, and says that it can take nothing more.
func readOnlyStore(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("serve")
	require.NoError(t, os.MkdirAll(g.Dir, 0o755))
	disk := faulttest.Disk{Dir: g.Dir, ReadOnly: true}
	for _, there := range []bool{false, true} {
		if there {
			_, err := g.Install(t.Context(), g.runtime)
			require.NoError(t, err)
		}
		cmd, out := g.prepared()
		disk.Under(t, cmd)
		err := cmd.Run()
		if there {
			require.NoError(t, err, out)
			continue
		}
		require.Error(t, err)
		oneSentence(t, out.String(), "installing onnxruntime-fake@9.9.9: cannot lock "+g.Dir, disk.Words()+": make the folder for runtimes writable, or choose another")
	}
}

// After each kill there is a whole runtime or none, nobody is left at work, the next installation need not wait, and what the
// dead left is gone.
func killedInstallation(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("serve")
	begin := time.Now()
	cmd, out := g.elsewhere()
	require.NoError(t, cmd.Wait(), out)
	whole := time.Since(begin)
	dir := filepath.Join(g.Dir, folder(g.runtime))
	times := faulttest.Times(12, 200)
	installed := 0
	for i := range times {
		g.pip([]string{"serve", "slow"}[i%2]) // the slow one would outlive this test by far
		if _, err := g.Library(g.runtime); err == nil {
			installed++
			require.NoError(t, os.RemoveAll(dir))
		}
		cmd, _ := g.elsewhere()
		time.Sleep(rand.N(whole))
		cmd.Process.Kill() // it may have ended
		cmd.Wait()
		require.Eventually(t, func() bool { return len(processesOf(g.served)) == 0 }, 5*time.Second, 5*time.Millisecond, "a pip that outlives who started it")
		_, err := g.Library(g.runtime)
		var missing *NotInstalledError
		require.True(t, err == nil || errors.As(err, &missing), "%v", err)
		require.NotContains(t, fmt.Sprint(err), "damaged")
	}
	g.pip("serve")
	begin = time.Now()
	_, err := g.Install(t.Context(), g.runtime)
	require.NoError(t, err)
	assert.Less(t, time.Since(begin), whole+5*time.Second, "a lock that nobody holds was waited for")
	assert.Len(t, g.left(), 7, "what the dead left")
	assert.NoDirExists(t, dir+".staging")
	t.Logf("%d kills within %v, %d installations were faster", times, whole, installed)
}

// processesOf are the processes whose pip serves that folder, of which this one is none.
func processesOf(served string) (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range all {
		pid := filepath.Base(filepath.Dir(path))
		if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(fakeDir+"="+served)) && pid != fmt.Sprint(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}
