//go:build linux

package posetest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/stretchr/testify/require"
)

const moveNet = "../models/movenet-lightning.onnx"

// A faultyHouse is a catalogue of models for faults, with one photograph of one person.
type faultyHouse struct {
	dir    string
	whole  string         // a copy of MoveNet, for links
	entry  map[string]any // of it
	models []any

	photograph string
	person     map[string]any // in it
}

const photograph = "walking_woman"

func newFaultyHouse(t *testing.T) *faultyHouse {
	t.Helper()
	h := &faultyHouse{dir: t.TempDir(), photograph: filepath.Join("..", "fixtures", photograph+".jpg")}
	for _, sub := range []string{"models", "fixtures"} {
		require.NoError(t, os.Mkdir(filepath.Join(h.dir, sub), 0o755))
	}
	h.whole = filepath.Join(h.dir, "movenet.onnx")
	copyOf(t, moveNet, h.whole)

	var models struct {
		Models []map[string]any `json:"models"`
	}
	readJSON(t, "../models/models.json", &models)
	i := slices.IndexFunc(models.Models, func(m map[string]any) bool { return m["file"] == filepath.Base(moveNet) })
	h.entry = models.Models[i]
	delete(h.entry, "available")

	var list map[string]any
	readJSON(t, "../fixtures/fixtures.json", &list)
	list["fixtures"] = slices.DeleteFunc(list["fixtures"].([]any), func(f any) bool { return f.(map[string]any)["id"] != photograph })
	writeJSON(t, filepath.Join(h.dir, "fixtures", "fixtures.json"), list)
	h.person = list["fixtures"].([]any)[0].(map[string]any)["persons"].([]any)[0].(map[string]any)
	copyOf(t, h.photograph, filepath.Join(h.dir, "fixtures", photograph+".jpg"))
	return h
}

// add lists MoveNet once more, as a model of that id, and returns where its file is to be.
func (h *faultyHouse) add(t *testing.T, id string) (path string) {
	t.Helper()
	entry := maps.Clone(h.entry)
	entry["id"], entry["file"] = id, id+".onnx"
	h.models = append(h.models, entry)
	writeJSON(t, filepath.Join(h.dir, "models", "models.json"), map[string]any{"models": h.models})
	return filepath.Join(h.dir, "models", id+".onnx")
}

// addWhole is add with the file there.
func (h *faultyHouse) addWhole(t *testing.T, id string) (path string) {
	t.Helper()
	path = h.add(t, id)
	require.NoError(t, os.Link(h.whole, path))
	return path
}

// config runs the house on a library, whatever the environment says.
func (h *faultyHouse) config(t *testing.T, library string) posetest.Config {
	t.Helper()
	return posetest.Config{Dir: h.dir, Data: []string{}, Cache: t.TempDir(), Library: library, Require: []string{}, Offline: true, Workers: 4, Runs: 2}
}

// cocoSet is a data path with COCO's annotations of n photographs, which are the same one.
func (h *faultyHouse) cocoSet(t *testing.T, n int) (data string) {
	t.Helper()
	data = t.TempDir()
	folder := filepath.Join(data, "coco", "val2017")
	require.NoError(t, os.MkdirAll(folder, 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(data, "coco", "annotations"), 0o755))
	var images, annotations []any
	keypoints := []any{}
	for _, k := range h.person["keypoints"].([]any) {
		keypoints = append(keypoints, k.([]any)...)
	}
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("%d.jpg", i)
		copyOf(t, h.photograph, filepath.Join(folder, name))
		images = append(images, map[string]any{"id": i, "file_name": name})
		annotations = append(annotations, map[string]any{"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "num_keypoints": 17, "area": 10_000,
			"bbox": h.person["box"], "keypoints": keypoints})
	}
	writeJSON(t, filepath.Join(data, "coco", "annotations", "person_keypoints_val2017.json"), map[string]any{"images": images, "annotations": annotations})
	return data
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o644))
}

func copyOf(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, text, 0o644))
}

// linkTo gives a file another name, or copies it where the file systems differ.
func linkTo(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Link(from, to); err != nil {
		copyOf(t, from, to)
	}
}

// realRuntime is the library of a runtime that runtimes.json has.
func realRuntime(t *testing.T, id string) string {
	t.Helper()
	store, err := posetest.RuntimeStore(posetest.Config{}, os.Stderr)
	require.NoError(t, err)
	known, err := ortlib.Known()
	require.NoError(t, err)
	picked, err := ortlib.Select(known, id)
	require.NoError(t, err)
	library, err := store.Install(t.Context(), picked[0])
	require.NoError(t, err)
	return library
}

// A shim makes libraries of testdata/faults/shim.c.
type shim struct {
	include string
	real    string // the runtime that it wraps
	notes   string // the folder where it leaves numbers of processes
}

func newShim(t *testing.T) *shim {
	t.Helper()
	binding, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	require.NoError(t, err)
	return &shim{include: strings.TrimSpace(string(binding)), real: realRuntime(t, "1.23.2"), notes: t.TempDir()}
}

// build makes a library with those arguments of the compiler beside its own.
func (s *shim) build(t *testing.T, more ...string) (library string) {
	t.Helper()
	library = filepath.Join(t.TempDir(), "libonnxruntime.so")
	args := slices.Concat([]string{"-shared", "-fPIC", "-w", "-pthread", "-I" + s.include, fmt.Sprintf("-DREAL=%q", s.real), fmt.Sprintf("-DNOTES=%q", s.notes),
		"-o", library, "testdata/faults/shim.c"}, more, []string{"-ldl"})
	compile(t, "", args...)
	return library
}

// compile runs the C compiler, which cgo needs as well.
func compile(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cc := strings.Fields(os.Getenv("CC"))
	if len(cc) == 0 {
		cc = []string{"cc"}
	}
	cmd := exec.Command(cc[0], append(cc[1:], args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// pid is the number of a process that the shim has noted.
func (s *shim) pid(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.notes, name))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return pid
}

// A ran is what a run of the suite gave.
type ran struct {
	suite *posetest.Suite
	plan  *posetest.Plan
	seen  []observe.Observation
	told  []observe.Cell // as finished
	err   error
}

// planAndRun runs the suite as its command does; between comes after the plan and before the run.
func planAndRun(t *testing.T, cfg posetest.Config, between func(*posetest.Plan)) ran {
	r := ran{suite: posetest.New(cfg)}
	if r.plan, r.err = r.suite.Plan(t.Context(), io.Discard); r.err != nil {
		return r
	}
	if between != nil {
		between(r.plan)
	}
	var mu sync.Mutex
	r.seen, r.err = r.suite.Run(t.Context(), r.plan, func(p posetest.Planned) {
		mu.Lock()
		defer mu.Unlock()
		r.told = append(r.told, p.Cell)
	})
	return r
}

// of is what a run planned and saw of the model of that id on a provider.
func (r ran) of(t *testing.T, id, provider string) (posetest.Planned, observe.Observation) {
	t.Helper()
	require.NoError(t, r.err)
	i := slices.IndexFunc(r.plan.Cells, func(p posetest.Planned) bool { return p.Cell.Model == id && p.Provider == provider })
	j := slices.IndexFunc(r.seen, func(o observe.Observation) bool { return o.Model == id && o.Provider == provider })
	require.True(t, i >= 0 && j >= 0, "%s on %s is not among the cells", id, provider)
	return r.plan.Cells[i], r.seen[j]
}

// children are the processes of this test's workers, and of what those started: they have a temporary folder below tmp. The
// dead that nobody has waited for are among them.
func children(t *testing.T, tmp string) (found []string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	self := strconv.Itoa(os.Getpid())
	for _, dir := range processes {
		if filepath.Base(dir) == self {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(dir, "environ")) // what has ended meanwhile has none
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
		_, state, _ := bytes.Cut(stat, []byte(") "))
		fields := strings.Fields(string(state)) // state, parent, …
		zombie := len(fields) > 1 && fields[0] == "Z" && fields[1] == self
		if zombie || bytes.Contains(environ, []byte("TMPDIR="+tmp+"/")) || strings.HasPrefix(cwd, tmp) {
			found = append(found, fmt.Sprintf("%s: %.60s", dir, stat))
		}
	}
	return found
}

// openFiles is how many this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
