package golden_test

import (
	"bufio"
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
	"github.com/posetest/suite/posetest/golden"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the test binary does when it is started again.
const (
	writeForever = "GOLDEN_TEST_WRITE_TO" // writes one golden and another into that folder, in turns, until it is killed
	writeOnce    = "GOLDEN_TEST_UPDATE"   // updates the golden in that folder
)

func TestMain(m *testing.M) {
	beOnADisk()
	if dir := os.Getenv(writeForever); dir != "" {
		for at := 0.0; ; at = 300 - at {
			if _, err := (golden.Store{Dir: dir}).Update(crowd(at), golden.Tolerance{}); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println(at)
		}
	}
	if dir := os.Getenv(writeOnce); dir != "" {
		if _, err := (golden.Store{Dir: dir}).Update(crowd(300), golden.Tolerance{}); err != nil {
			fmt.Print(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The faults of an update.
func TestFaults(t *testing.T) {
	faulttest.Try(t, "kill -9 of a golden update at random moments", "every file is whole", killedUpdate)
	faultsHere(t)
}

// again is the test binary, started again with a variable.
func again(t *testing.T, variable, value string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), variable+"="+value)
	return cmd
}

// After kill -9 at any moment the golden is the old or the new one, and whoever comes next can read and update it, and removes
// what the dead left.
func killedUpdate(t *testing.T) {
	store := golden.Store{Dir: t.TempDir()}
	_, err := store.Update(crowd(0), golden.Tolerance{})
	require.NoError(t, err)
	found := map[float64]int{}
	rounds := faulttest.Times(12, 200)
	for range rounds {
		cmd := again(t, writeForever, store.Dir)
		var failed bytes.Buffer
		cmd.Stderr = &failed
		said, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewReader(said)
		for range 2 + rand.IntN(2) { // it has written one or the other
			_, err = lines.ReadString('\n')
		}
		time.Sleep(rand.N(20 * time.Millisecond))
		require.NoError(t, cmd.Process.Kill())
		var exit *exec.ExitError
		require.ErrorAs(t, cmd.Wait(), &exit)
		require.Empty(t, failed.String(), "a process was killed before, and this one could not go on")
		require.NoError(t, err)
		g, err := store.Find(crowd(0).Cell, observe.AVX2)
		require.NoError(t, err)
		require.Len(t, g.Photos[0].Persons, crowdSize)
		found[g.Photos[0].Persons[0].Box[0]]++
	}
	assert.Len(t, found, 2, "the processes wrote nothing: %v", found)
	t.Logf("after %d kills: %v", rounds, found)
	for _, at := range []float64{600, 900} { // neither is what is there
		_, err = store.Update(crowd(at), golden.Tolerance{})
		require.NoError(t, err)
	}
	assert.Len(t, filesIn(t, store.Dir), 1, "what the dead left")
}

// filesIn are the files below a folder, with their text.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = string(text)
		return err
	})
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	return all
}
