package ortlib

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A folder that may be read only. Root may write everywhere, so the test's thread gives up that right: it is locked and
// ends with its goroutine.
func TestInstallIntoAReadOnlyFolder(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("serve")
	dir, err := os.MkdirTemp("", "ortlib-readonly-*") // t.TempDir is closed to others
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o555))

	install := func(dir string) error {
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			if os.Geteuid() == 0 {
				_ = syscall.Setfsuid(65534) // its result is the former id, in any case
			}
			s := g.Store
			s.Dir = dir
			_, err := s.Install(t.Context(), g.runtime)
			done <- err
		}()
		return <-done
	}
	require.EqualError(t, install(filepath.Join(dir, "runtimes")), "installing onnxruntime-fake@9.9.9: the folder for runtimes cannot be made (mkdir "+
		dir+"/runtimes: permission denied): make its parent writable, or choose another folder")
	err = install(dir)
	require.ErrorContains(t, err, "installing onnxruntime-fake@9.9.9: cannot lock "+dir)
	require.ErrorContains(t, err, "permission denied: make the folder for runtimes writable, or choose another")
	require.Empty(t, g.calls())
}
