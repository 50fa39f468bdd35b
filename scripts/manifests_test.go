package scripts_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kubeconform holds the manifests of a folder to the schemas of deploy/schemas, as `make manifests` does, and returns what it
// found wrong, by file.
func kubeconform(t *testing.T, folder string) map[string]string {
	t.Helper()
	cmd := exec.Command("go", "tool", "-modfile=tools/go.mod", "kubeconform", "-strict", "-skip", "Kustomization", "-output", "json",
		"-schema-location", "deploy/schemas/{{.ResourceKind}}{{.KindSuffix}}.json", folder)
	cmd.Dir = root
	out, err := cmd.Output()
	var found struct {
		Resources []struct{ Filename, Msg string }
	}
	require.NoError(t, json.Unmarshal(out, &found), "%v\n%s", err, out)
	wrong := map[string]string{}
	for _, r := range found.Resources {
		wrong[filepath.Base(r.Filename)] = r.Msg
	}
	assert.Equal(t, len(wrong) > 0, err != nil, "what is wrong, and the exit code")
	return wrong
}

// What a cluster would refuse, or take for something else in silence, `make manifests` refuses.
func TestManifestsAreChecked(t *testing.T) {
	assert.Empty(t, kubeconform(t, "deploy/kubernetes"))
	whole := read(t, filepath.Join(root, "deploy/kubernetes/shards/cpu.yaml"))
	folder := t.TempDir()
	rows := []struct{ why, old, new, says string }{
		{"a misspelt field: pods of a Job that is not Indexed would all run the same shard", "completionMode: Indexed", "completionsMode: Indexed", "completionsMode"},
		{"a misspelt field deep inside: the shard would run anywhere", "nodeSelector:", "nodeSelectors:", "nodeSelectors"},
		{"text for a number", "completions: 3", `completions: "3"`, "completions"},
		{"a number for text: an environment has only text", `value: "3"`, "value: 3", "value"},
		{"a truth for text", `AVX2: "true"`, "AVX2: true", "nodeSelector"},
		{"a volume without its claim", "claimName: posetest-reports", "readOnly: false", "claimName"},
		{"a version that there is not", "apiVersion: batch/v1", "apiVersion: batch/v2", "could not find schema for Job"},
		{"a key twice: the first would be lost", "completions: 3", "completions: 3\n  completions: 2", "completions"},
	}
	for i, row := range rows {
		require.Equal(t, 1, strings.Count(whole, row.old), "places of %q", row.old)
		require.NoError(t, os.WriteFile(filepath.Join(folder, fmt.Sprint(i, ".yaml")), []byte(strings.Replace(whole, row.old, row.new, 1)), 0o644))
	}
	wrong := kubeconform(t, folder)
	for i, row := range rows {
		assert.Contains(t, wrong[fmt.Sprint(i, ".yaml")], row.says, row.why)
	}
}

// Schemas are of the Kubernetes that tools/go.mod pins.
func TestSchemasAreOfTheirModule(t *testing.T) {
	version := ""
	for _, r := range readModule(t, filepath.Join(root, "tools/go.mod")).Require {
		if r.Path == "k8s.io/api" {
			version = r.Version
		}
	}
	require.NotEmpty(t, version)
	paths, err := filepath.Glob(filepath.Join(root, "deploy/schemas/*.json"))
	require.NoError(t, err)
	require.Len(t, paths, 2)
	for _, path := range paths {
		assert.Contains(t, read(t, path), "k8s.io/api "+version+",", "%s: run `make schemas`", path)
	}
}
