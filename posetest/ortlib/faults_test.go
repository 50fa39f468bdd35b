package ortlib

import (
	"fmt"
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

// The faults of a download, of a store and of whoever else uses it.
func TestFaults(t *testing.T) {
	faulttest.Try(t, "a wrong checksum, and other wheels that are not the pinned one", "a clear error", installFails)
	faulttest.Try(t, "a download cut at each tenth", "every file is whole", cutAtEachTenth)
	faulttest.Try(t, "two processes that install at once", "every file is whole", inTwoProcesses)
	faulttest.Try(t, "a download killed half-way", "every file is whole", afterAKill)
	faulttest.Try(t, "locks, half downloads and runtimes of 1970 and 2040", "every file is whole", fromAnotherTime)
	faulttest.Try(t, "a file in the place of the store", "a clear error", intoAFile)
	faultsHere(t)
}

// Wherever the first download breaks off, and whether pip notices or not, the second is whole. Where pip takes it for whole
// every time, it is thrown away.
func cutAtEachTenth(t *testing.T) {
	type try struct {
		rig
		name   string
		cmd    *exec.Cmd
		out    *syncBuffer
		always bool
	}
	var tries []try
	for tenths := range 10 {
		for _, mode := range []string{"cut", "shorten", "blind-cut"} {
			g := newRig(t, wheelEntries)
			name := fmt.Sprintf("%s %d", mode, tenths)
			g.pip(name)
			cmd, out := g.elsewhere() // all beside each other, since each waits before it tries again
			tries = append(tries, try{g, name, cmd, out, mode == "blind-cut"})
		}
	}
	for _, try := range tries {
		err := try.cmd.Wait()
		if try.always {
			require.Error(t, err, try.name)
			assert.Contains(t, try.out.String(), "it was thrown away", try.name)
			assert.Empty(t, try.left(), try.name)
			continue
		}
		require.NoError(t, err, "%s: %s", try.name, try.out)
		_, err = try.Library(try.runtime)
		require.NoError(t, err, try.name)
		assert.Len(t, try.calls(), 2, "%s: downloads", try.name)
		assert.Len(t, try.left(), 7, try.name)
	}
}

// What a clock says of a file is nowhere believed: neither of a lock that a dead process left, nor of half a download, nor of a
// runtime.
func fromAnotherTime(t *testing.T) {
	for _, when := range []time.Time{time.Unix(0, 0), time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)} {
		t.Run(when.UTC().Format("year=2006"), func(t *testing.T) {
			g := newRig(t, wheelEntries)
			g.pip("serve")
			dir := filepath.Join(g.Dir, folder(g.runtime))
			half := filepath.Join(dir+".staging", "pip-1", g.runtime.Platforms[machine].Wheel)
			require.NoError(t, os.MkdirAll(filepath.Dir(half), 0o755))
			require.NoError(t, os.WriteFile(half, []byte("half"), 0o644))
			require.NoError(t, os.WriteFile(dir+".lock", nil, 0o600))
			timeless := func() {
				require.NoError(t, filepath.WalkDir(g.Dir, func(path string, _ os.DirEntry, err error) error {
					if err != nil {
						return err
					}
					return os.Chtimes(path, when, when)
				}))
			}
			timeless()
			begin := time.Now()
			_, err := g.Install(t.Context(), g.runtime)
			require.NoError(t, err)
			assert.Less(t, time.Since(begin), 5*time.Second, "a lock that nobody holds was waited for")
			require.Len(t, g.left(), 7)
			timeless()
			_, err = g.Install(t.Context(), g.runtime)
			require.NoError(t, err)
			assert.Len(t, g.calls(), 1, "what is whole is not installed again")

			require.NoError(t, os.MkdirAll(filepath.Dir(half), 0o755)) // by one that was killed before it had tidied up
			timeless()
			_, err = g.Install(t.Context(), g.runtime)
			require.NoError(t, err)
			assert.NoDirExists(t, dir+".staging")
		})
	}
}

// oneSentence is the last line of what a process said, which must have these words.
func oneSentence(t *testing.T, said string, words ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(said), "\n")
	last := lines[len(lines)-1]
	for _, w := range words {
		assert.Contains(t, last, w)
	}
}
