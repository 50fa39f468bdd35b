package posetest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/ortlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What runs on GitHub runs anywhere: each step is a target of the Makefile, or an action that is pinned to a commit.
func TestWorkflowsAreTargets(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", ".github", "workflows", "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	makefile, err := os.ReadFile(filepath.Join("..", "Makefile"))
	require.NoError(t, err)
	run := regexp.MustCompile(`(?m)^\s*(?:- )?run: (.*)$`)
	uses := regexp.MustCompile(`(?m)^\s*(?:- )?uses: (.*)$`)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, step := range run.FindAllStringSubmatch(string(text), -1) {
			words := strings.Fields(step[1])
			if assert.True(t, len(words) > 1 && words[0] == "make", "%s: step %q is no make target", path, step[1]) {
				for _, target := range targets(string(text), strings.Join(words[1:], " ")) {
					assert.Regexp(t, `(?m)^`+target+`:`, string(makefile), "%s: step %q", path, step[1])
				}
			}
		}
		for _, action := range uses.FindAllStringSubmatch(string(text), -1) {
			assert.Regexp(t, `^[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`, action[1], "%s: a tag can be moved to another commit", path)
		}
	}
}

// targets are what a step makes: its first word, or each of the matrix's targets.
func targets(workflow, step string) []string {
	list := regexp.MustCompile(`(?m)^\s*target: \[(.*)\]$`).FindStringSubmatch(workflow)
	if step == "${{ matrix.target }}" && list != nil {
		return strings.Split(list[1], ", ")
	}
	return strings.Fields(step)[:1]
}

// The test workflow runs every runtime that there is for its platforms, but for those that need what GitHub's machines
// lack. It lists them, since only what is named may not be skipped.
func TestWorkflowsRunEveryRuntime(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", ".github", "workflows", "test.yml"))
	require.NoError(t, err)
	known, err := ortlib.Known()
	require.NoError(t, err)
	want := map[string][]string{}
	for _, r := range known {
		for platform := range r.Platforms {
			if r.Needs == "" {
				want[strings.ReplaceAll(platform, "/", "-")] = append(want[strings.ReplaceAll(platform, "/", "-")], r.ID())
			}
		}
	}
	got := map[string][]string{}
	for _, leg := range regexp.MustCompile(`- platform: (\S+).*\n\s+runner: \S+\n\s+runtimes: (\S+)\n`).FindAllStringSubmatch(string(text), -1) {
		got[leg[1]] = strings.Split(leg[2], ",")
	}
	for _, lists := range []map[string][]string{want, got} {
		for _, list := range lists {
			slices.Sort(list)
		}
	}
	assert.Equal(t, want, got, "correct .github/workflows/test.yml")
}
