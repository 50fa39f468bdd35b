package main

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The version is for a person who reports something, and needs neither models nor a folder of them.
func TestVersion(t *testing.T) {
	r := command(t, nil, "--version")
	r.Dir = t.TempDir()
	assert.Zero(t, r.exit(t), "%s", r.err.String())
	assert.Regexp(t, `^posetest version \S+ `+runtime.Version()+` `+runtime.GOOS+`/`+runtime.GOARCH+"\n$", r.out.String())
	assert.Empty(t, r.err.String())
}
