package main

import (
	"os/exec"
	"testing"

	"github.com/posetest/suite/posetest/faulttest"
)

// bare is the program of an unpacked bundle on a machine that has glibc and nothing else, and can't write into the bundle.
func bare(t *testing.T, dir, out string, env, args []string) (cmd *exec.Cmd, seen string) {
	t.Helper()
	return faulttest.Bare{Dir: dir, Out: out, Program: bundleProgram, Args: args, Env: env}.Command(t)
}
