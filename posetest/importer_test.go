package posetest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The module in example runs TestLoad and TestInfer on a catalogue of its own, in under 15 lines; it is what README tells
// others to write, so it must go on working.
func TestImporter(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("example", "example_test.go"))
	require.NoError(t, err)
	_, code, ok := strings.Cut(string(source), "\n)\n")
	require.True(t, ok, "imports end")
	assert.Less(t, len(strings.Split(strings.TrimSpace(code), "\n")), 15, "lines of code")

	cmd := exec.Command("go", "test", "-count=1", "-v", "./...")
	cmd.Dir = "example"
	cmd.Env = append(os.Environ(), "POSETEST_RUNTIMES=1.23.2", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "after a change of go.mod, run `go mod tidy` in posetest/example\n%s", out)
	const cell = "/model=movenet-lightning/precision=fp32/provider=cpu/ort=1.23.2"
	if strings.Contains(string(out), "--- SKIP: TestLoad"+cell) { // an error where CI or POSETEST_REQUIRE says so
		t.Skipf("%s", out)
	}
	for _, want := range []string{"--- PASS: TestLoad" + cell, "--- PASS: TestInfer" + cell} {
		assert.Contains(t, string(out), want)
	}
	assert.NotContains(t, string(out), "--- SKIP", "the built-in photographs are all there")
}
