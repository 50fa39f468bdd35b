//go:build !linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// bare is the program of an unpacked bundle with hardly any environment.
func bare(t *testing.T, dir, out string, env, args []string) (cmd *exec.Cmd, seen string) {
	t.Helper()
	cmd = exec.Command(filepath.Join(dir, bundleProgram), args...)
	cmd.Dir = out
	cmd.Env = append(env, "TMPDIR="+t.TempDir(), "TMP="+t.TempDir(), "SystemRoot="+os.Getenv("SystemRoot"))
	return cmd, dir
}
