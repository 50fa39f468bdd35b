package child

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// env makes the test binary one that starts a child, which writes its number there and sleeps.
const env = "CHILD_TEST_NUMBER"

func TestMain(m *testing.M) {
	if path := os.Getenv(env); path != "" {
		cmd := exec.CommandContext(context.Background(), "sh", "-c", `echo $$ >"$0".part && mv "$0".part "$0" && exec sleep 60`, path)
		defer Tie(cmd)()
		cmd.Run()
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// number waits for a child's number.
func number(t *testing.T, path string) int {
	t.Helper()
	var text []byte
	require.Eventually(t, func() (ok bool) {
		var err error
		text, err = os.ReadFile(path)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond, "the child is there")
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return n
}

func gone(t *testing.T, pid int) {
	t.Helper()
	assert.Eventually(t, func() bool {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		return err != nil || strings.Contains(string(stat), ") Z ") // nobody need have waited for an orphan
	}, 5*time.Second, 5*time.Millisecond, "the child outlives its parent")
	syscall.Kill(pid, syscall.SIGKILL)
}

// A child ends with whoever started it, even where that had no time for last words.
func TestTie(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	self, err := os.Executable()
	require.NoError(t, err)
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), env+"="+path)
	require.NoError(t, parent.Start())
	pid := number(t, path)
	require.NoError(t, parent.Process.Kill())
	parent.Wait()
	gone(t, pid)
}

// A context that ends ends what the child has started, too, and is not held up by it.
func TestTieContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "sh", "-c", `sh -c 'echo $$ >"$0".part && mv "$0".part "$0" && exec sleep 60' "$0" & wait`, path)
	defer Tie(cmd)()
	var out strings.Builder
	cmd.Stdout = &out // which the grandchild holds open
	require.NoError(t, cmd.Start())
	pid := number(t, path)
	cancel()
	begin := time.Now()
	require.Error(t, cmd.Wait())
	assert.Less(t, time.Since(begin), 3*time.Second)
	gone(t, pid)
}
