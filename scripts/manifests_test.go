package scripts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kubeconform holds manifests to the schemas of deploy/schemas, as `make manifests` does, and says what it found.
func kubeconform(path string) (string, error) {
	cmd := exec.Command("go", "tool", "-modfile=tools/go.mod", "kubeconform", "-strict", "-skip", "Kustomization",
		"-schema-location", "deploy/schemas/{{.ResourceKind}}{{.KindSuffix}}.json", path)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// What a cluster would refuse, or take for something else in silence, `make manifests` refuses.
func TestManifestsAreChecked(t *testing.T) {
	out, err := kubeconform("deploy/kubernetes")
	require.NoError(t, err, out)
	whole := read(t, filepath.Join(root, "deploy/kubernetes/shards/cpu.yaml"))
	for _, row := range []struct{ why, old, new, says string }{
		{"a misspelt field: pods of a Job that is not Indexed would all run the same shard", "completionMode: Indexed", "completionsMode: Indexed", "completionsMode"},
		{"a misspelt field deep inside: the shard would run anywhere", "nodeSelector:", "nodeSelectors:", "nodeSelectors"},
		{"text for a number", "completions: 3", `completions: "3"`, "completions"},
		{"a number for text: an environment has only text", `value: "3"`, "value: 3", "value"},
		{"a truth for text", `AVX2: "true"`, "AVX2: true", "nodeSelector"},
		{"a volume without its claim", "claimName: posetest-reports", "readOnly: false", "claimName"},
		{"a version that there is not", "apiVersion: batch/v1", "apiVersion: batch/v2", "could not find schema for Job"},
		{"a key twice: the first would be lost", "completions: 3", "completions: 3\n  completions: 2", "completions"},
	} {
		t.Run(row.why, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(whole, row.old), "places of %q", row.old)
			path := filepath.Join(t.TempDir(), "job.yaml")
			require.NoError(t, os.WriteFile(path, []byte(strings.Replace(whole, row.old, row.new, 1)), 0o644))
			out, err := kubeconform(path)
			assert.Error(t, err, "passes")
			assert.Contains(t, out, row.says)
		})
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
