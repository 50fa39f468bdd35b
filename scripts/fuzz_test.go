package scripts_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each fuzz target has a corpus that is committed, which every `go test` runs as cases.
func TestCorpora(t *testing.T) {
	target := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)
	found := 0
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "posetest"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range target.FindAllStringSubmatch(read(t, path), -1) {
			found++
			cases, err := filepath.Glob(filepath.Join(filepath.Dir(path), "testdata", "fuzz", m[1], "*"))
			require.NoError(t, err)
			assert.NotEmpty(t, cases, "%s: %s has no corpus; put cases into testdata/fuzz/%[2]s", path, m[1])
		}
		return nil
	}))
	assert.Greater(t, found, 40, "targets that were looked at")
}
