package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cocoSet is a folder with the repository's photographs n times over, and annotations of nobody: what is found in them is
// compared line by line.
func cocoSet(t *testing.T, n int) (images, annotations string) {
	t.Helper()
	images = t.TempDir()
	var listed []map[string]any
	for _, name := range []string{"astronaut.png", "camera.png", "jumping_man.jpg"} {
		for i := range n {
			copied := fmt.Sprintf("%d_%s", i, name)
			copyFile(t, filepath.Join(repository, "fixtures", name), filepath.Join(images, copied))
			listed = append(listed, map[string]any{"id": 1000 - len(listed), "file_name": copied})
		}
	}
	text, err := json.Marshal(map[string]any{"images": listed, "annotations": []any{}})
	require.NoError(t, err)
	annotations = filepath.Join(t.TempDir(), "annotations.json")
	require.NoError(t, os.WriteFile(annotations, text, 0o644))
	return images, annotations
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// A file that was cut anywhere becomes the one of a run that was not, and shards have its lines among them.
func TestCOCO(t *testing.T) {
	installed(t)
	images, annotations := cocoSet(t, 3)
	out := t.TempDir()
	coco := func(name string, args ...string) (path, said string) {
		t.Helper()
		path = filepath.Join(out, name)
		r := command(t, nil, append([]string{"coco", "--images", images, "--annotations", annotations, "--models", "movenet-lightning",
			"--precisions", "fp32", "--runtimes", ort, "--out", path}, args...)...)
		require.Zero(t, r.exit(t), "%s", r.err.String())
		return path, r.out.String() + r.err.String()
	}
	whole, said := coco("whole.jsonl")
	assert.Contains(t, said, "on 9 images: AP none")
	want := lines(t, whole)
	require.Len(t, want, 1+9)
	assert.Contains(t, want[1], `"image":1000,"persons":[{`, "the astronaut is found")

	text, err := os.ReadFile(whole)
	require.NoError(t, err)
	cut := filepath.Join(out, "cut.jsonl")
	require.NoError(t, os.WriteFile(cut, text[:2*len(text)/3], 0o644))
	_, said = coco("cut.jsonl")
	assert.Contains(t, said, "images already")
	assert.Equal(t, want, lines(t, cut))

	var parts, all []string
	for i := range 2 {
		part, said := coco(fmt.Sprintf("part%d.jsonl", i+1), "--shard", fmt.Sprintf("%d/2", i+1))
		assert.NotContains(t, said, "AP", "of a part")
		parts, all = append(parts, part), append(all, lines(t, part)[1:]...)
	}
	assert.ElementsMatch(t, want[1:], all)
	merge := func(files ...string) *run {
		return command(t, nil, append([]string{"coco", "merge", "--annotations", annotations}, files...)...)
	}
	r := merge(parts...)
	require.Zero(t, r.exit(t), "%s", r.err.String())
	assert.Contains(t, r.out.String(), "on 9 images: AP none")
	r = merge(parts[1])
	assert.Equal(t, 2, r.exit(t))
	assert.Contains(t, r.sentence(t), "shard 1/2 is missing")
	assert.Len(t, names(t, out), 4, "no lock is left behind")
}

// What a set lacks, or one of its photographs, is told by name.
func TestCOCORefused(t *testing.T) {
	for _, row := range []struct {
		why    string
		damage func(t *testing.T, images string)
		model  string // movenet-lightning where it is empty
		args   []string
		needs  bool // a runtime
		says   []string
	}{
		{why: "no set", args: []string{"--images", ""}, says: []string{"coco needs --images and --annotations"}},
		{why: "a shard that is none", args: []string{"--shard", "3/2"}, says: []string{`shard "3/2" must be as 2/8`}},
		{why: "photographs of another set", says: []string{"lists 3 images, and 1 of them are missing", "0_camera.png", "name the folder of that very set"},
			damage: func(t *testing.T, images string) {
				require.NoError(t, os.Remove(filepath.Join(images, "0_camera.png")))
			}},
		{why: "a model that is not here", model: "yolov8n-pose", needs: true, says: []string{"nothing to run", "yolov8n-pose.onnx is missing; set POSETEST_DATA"}},
		{why: "several cells", args: []string{"--precisions", "fp32,int8"}, needs: true, says: []string{"coco runs one cell, and 2 match"}},
		{why: "a photograph that was cut", needs: true, says: []string{"image 0_camera.png: photograph", "get a whole copy of the file"},
			damage: func(t *testing.T, images string) {
				require.NoError(t, os.Truncate(filepath.Join(images, "0_camera.png"), 20))
			}},
	} {
		t.Run(row.why, func(t *testing.T) {
			env := nothing(t)
			if row.needs {
				installed(t)
				env = nil
			}
			images, annotations := cocoSet(t, 1)
			if row.damage != nil {
				row.damage(t, images)
			}
			r := command(t, env, append([]string{"coco", "--images", images, "--annotations", annotations, "--models", cmp.Or(row.model, "movenet-lightning"),
				"--precisions", "fp32", "--runtimes", ort, "--out", filepath.Join(t.TempDir(), "out.jsonl")}, row.args...)...)
			assert.Equal(t, 2, r.exit(t))
			for _, words := range row.says {
				assert.Contains(t, r.sentence(t), words)
			}
			assert.Empty(t, r.out.String())
		})
	}
}
