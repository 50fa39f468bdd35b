//go:build linux

package posetest_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/diagnose"
	"github.com/posetest/suite/posetest/faulttest"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/onnx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

func modelFaults(t *testing.T) {
	library := realRuntime(t, "1.23.2")
	refusedModels(t, library)
	t.Run("fault=truncated-at-each-of-64-offsets", func(t *testing.T) { cutModels(t, library) })
	t.Run("fault=mutated-at-random", func(t *testing.T) { mutatedModels(t, library) })
	t.Run("fault=swapped-between-plan-and-run", func(t *testing.T) { swappedModel(t, library) })
	t.Run("fault=none", func(t *testing.T) { tinyModels(t, library) })
}

// A modelFile is what stands where a model should be.
type modelFile struct {
	fault     string
	make      func(t *testing.T, path string) error
	own       string // what is said of it as a user's own model
	catalogue string // and as a file of the catalogue; "" where its sum says it
}

func refusedTable(outside string) []modelFile {
	written := func(text []byte) func(*testing.T, string) error {
		return func(_ *testing.T, path string) error { return os.WriteFile(path, text, 0o644) }
	}
	link := func(to string) func(*testing.T, string) error {
		return func(_ *testing.T, path string) error { return os.Symlink(to, path) }
	}
	const device, aDevice = "it is a folder or a device, not a file; name the .onnx file", "is a folder or a device, not a file; remove it"
	const wrong = "and its entry in models.json says"
	return []modelFile{
		{"empty", written(nil), "the file is empty; export or download it again", wrong},
		{"over-2-GB", func(_ *testing.T, path string) error { return sparse(path, 3<<30) }, "it has 3221225472 bytes, over protobuf's limit of 2 GiB", "has 3221225472 bytes, and no model or photograph has over 2 GiB"},
		{"folder", func(_ *testing.T, path string) error { return os.Mkdir(path, 0o755) }, device, aDevice},
		{"named-pipe", func(_ *testing.T, path string) error { return syscall.Mkfifo(path, 0o644) }, device, aDevice},
		{"socket", func(_ *testing.T, path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o644, 0) }, device, aDevice},
		{"link-to-dev-zero", link("/dev/zero"), device, aDevice},
		{"link-to-itself", func(_ *testing.T, path string) error { return os.Symlink(filepath.Base(path), path) }, "too many levels of symbolic links", "too many levels of symbolic links"},
		{"link-to-nothing", link("gone.onnx"), "no such file or directory; check the path", "is missing; restore it from the repository"},
		{"external-data-by-absolute-path", written(tinyModel(outside)), `outside the model's folder`, wrong},
		{"external-data-above-its-folder", written(tinyModel("../weights.bin")), `outside the model's folder`, wrong},
		{"external-data-by-a-link", beside("weights.bin", link(outside)), `"weights.bin", a link that leads out of the model's folder`, wrong},
		{"external-data-in-a-folder-by-a-link", func(t *testing.T, path string) error {
			return errors.Join(os.Symlink(filepath.Dir(outside), filepath.Join(filepath.Dir(path), "sub")),
				written(tinyModel("sub/"+filepath.Base(outside)))(t, path))
		}, "a link that leads out of the model's folder", wrong},
		{"external-data-from-a-pipe", beside("weights.bin", func(_ *testing.T, path string) error { return syscall.Mkfifo(path, 0o644) }),
			`"weights.bin", which is no file in the model's folder; copy it there`, wrong},
		{"external-data-from-dev-zero", beside("weights.bin", link("/dev/zero")), `"weights.bin", which is no file in the model's folder`, wrong},
		{"external-data-missing", written(tinyModel("weights.bin")), `"weights.bin", which is no file in the model's folder; copy it there`, wrong},
		{"control-character-in-a-name", written(bytes.ReplaceAll(tinyModel(""), []byte("input"), []byte("in\x1but"))),
			`it has the name "in\x1but" with a control character`, wrong},
		{"external-data-in-a-second-graph", written(protoJoin(tinyModel(""), tinyModel(outside))), `outside the model's folder`, wrong},
	}
}

// beside makes a model with its weights in a file of that name beside it, which make makes.
func beside(name string, make func(*testing.T, string) error) func(*testing.T, string) error {
	return func(t *testing.T, path string) error {
		return errors.Join(make(t, filepath.Join(filepath.Dir(path), name)), os.WriteFile(path, tinyModel(name), 0o644))
	}
}

func sparse(path string, size int64) error {
	return errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, size))
}

// refusedModels are told in the plan, by name, in no time, and nothing is read that is none of the model's.
func refusedModels(t *testing.T, library string) {
	outside := filepath.Join(t.TempDir(), "weights.bin")
	require.NoError(t, os.WriteFile(outside, tinyPerson(), 0o644))
	for _, row := range refusedTable(outside) {
		t.Run("fault="+row.fault, func(t *testing.T) {
			t.Attr("promise", clearError)
			path := filepath.Join(t.TempDir(), "m.onnx")
			require.NoError(t, row.make(t, path))
			h := newFaultyHouse(t)
			h.addWhole(t, "healthy")
			cfg := h.config(t, library)
			cfg.Own = &posetest.OwnModel{Path: path, Family: "movenet"}
			err := planInTime(t, cfg)
			require.ErrorIs(t, err, posetest.ErrSetup)
			assert.ErrorContains(t, err, "model "+path+": ")
			assert.ErrorContains(t, err, row.own)

			listed := h.add(t, "broken")
			require.NoError(t, row.make(t, listed))
			cfg.Own = nil
			s := posetest.New(cfg)
			plan, err := s.Plan(t.Context(), t.Output())
			if row.fault == "link-to-nothing" { // and nobody who has no use for it is held up
				require.NoError(t, err)
				require.Len(t, plan.Missing, 1)
				assert.ErrorContains(t, plan.Missing[0].Err, row.catalogue)
				require.Len(t, plan.Cells, 1)
				return
			}
			require.ErrorIs(t, err, posetest.ErrSetup)
			assert.ErrorContains(t, err, listed)
			assert.ErrorContains(t, err, row.catalogue)
		})
	}
	t.Run("fault=unreadable", func(t *testing.T) {
		t.Attr("promise", clearError)
		dir := t.TempDir()
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
		path := filepath.Join(dir, "m.onnx")
		require.NoError(t, os.WriteFile(path, tinyModel(""), 0))
		err := asNobody(func() error { _, err := onnx.ReadFile(path); return err })
		assert.EqualError(t, err, "model "+path+": permission denied; make it readable")
	})
}

// planInTime plans, and fails the test if that takes long.
func planInTime(t *testing.T, cfg posetest.Config) error {
	t.Helper()
	planned := make(chan error, 1)
	go func() {
		_, err := posetest.New(cfg).Plan(t.Context(), t.Output())
		planned <- err
	}()
	select {
	case err := <-planned:
		return err
	case <-time.After(20 * time.Second):
		require.FailNow(t, "the plan hangs")
		return nil
	}
}

// asNobody calls f as a user who owns nothing, where this process is root's: root may read everything.
func asNobody(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		if os.Geteuid() == 0 {
			if err := unix.Setfsuid(65534); err != nil {
				done <- err
				return
			}
		}
		done <- f()
	}()
	return <-done
}

// cutModels are what a download that stopped leaves: this package's reader refuses each, and so does the runtime.
func cutModels(t *testing.T, library string) {
	t.Attr("promise", clearError)
	text, err := os.ReadFile(moveNet)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "cut.onnx")
	require.NoError(t, os.WriteFile(path, text, 0o644))
	for i := 63; i >= 0; i-- {
		require.NoError(t, os.Truncate(path, int64(len(text)*i/64)))
		for _, read := range []func(string) error{
			func(path string) error { _, err := onnx.ReadFile(path); return err },
			func(path string) error { _, err := onnx.ReadGraphFile(path); return err },
		} {
			var format *onnx.FormatError
			require.ErrorAs(t, read(path), &format, "cut at %d of 64", i)
		}
	}
	every := faulttest.Times(8, 1)
	models := newMutants(t, library)
	outcomes := models.observe(t, 64/every, func(i int) []byte { return text[:len(text)*i*every/64] })
	assert.Zero(t, outcomes[observe.Loads], "a cut model loads: %v", outcomes)
	t.Logf("in the runtime itself: %v", outcomes)
}

// mutatedModels are read by this package's readers and rules, and opened and run by the runtime: each has a verdict.
func mutatedModels(t *testing.T, library string) {
	t.Attr("promise", oneVerdict)
	whole := tinyModel("")
	r := rand.New(rand.NewPCG(7, 2026))
	mutants := make([][]byte, 10_000)
	refused := 0
	for i := range mutants {
		mutants[i] = mutate(r, whole)
		begin := time.Now()
		_, err := onnx.Read(bytes.NewReader(mutants[i]), int64(len(mutants[i])))
		g, graph := onnx.ReadGraph(bytes.NewReader(mutants[i]), int64(len(mutants[i])))
		if err != nil || graph != nil {
			refused++
		}
		if graph == nil {
			m := diagnose.Look(g)
			for _, provider := range []string{"cpu", "openvino"} {
				p := m.Predict(diagnose.Cell{Provider: provider, Distribution: "onnxruntime-openvino", Version: "1.24.1", Platform: "linux/amd64", Brings: []string{"cpu", "openvino"}})
				assert.NotEmpty(t, p.Class)
			}
		}
		require.Less(t, time.Since(begin), 5*time.Second, "to read %x", mutants[i])
	}
	t.Logf("%d mutants, %d refused by package onnx", len(mutants), refused)
	assert.Greater(t, refused, len(mutants)/20, "mutations matter")
	assert.Less(t, refused, len(mutants)*19/20, "and do not only spoil the wire format")

	n := faulttest.Times(200, len(mutants))
	outcomes := newMutants(t, library).observe(t, n, func(i int) []byte { return mutants[i] })
	t.Logf("%d of them in the runtime itself: %v", n, outcomes)
	assert.Positive(t, outcomes[observe.Fails])
	assert.Positive(t, outcomes[observe.Loads])
}

// mutate changes a model in one of the ways in which files are damaged.
func mutate(r *rand.Rand, whole []byte) []byte {
	b := slices.Clone(whole)
	at := r.IntN(len(b))
	n := 1 + r.IntN(min(16, len(b)-at))
	switch r.IntN(7) {
	case 0:
		for range 1 + r.IntN(4) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
	case 1:
		b[at] = byte(r.Uint32())
	case 2:
		b = slices.Delete(b, at, at+n)
	case 3:
		b = slices.Insert(b, at, bytes.Repeat([]byte{byte(r.Uint32())}, n)...)
	case 4:
		copy(b[r.IntN(len(b)):], whole[at:at+n])
	case 5:
		b = b[:at]
	case 6: // a number that is too large, where one is
		b = slices.Replace(b, at, at+1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)
	}
	return b
}

// mutants are files that became what they are after the plan.
type mutants struct {
	suite   *posetest.Suite
	planned posetest.Planned
}

func newMutants(t *testing.T, library string) *mutants {
	t.Helper()
	h := newFaultyHouse(t)
	h.addWhole(t, "healthy")
	cfg := h.config(t, library)
	path := filepath.Join(t.TempDir(), "tiny.onnx")
	require.NoError(t, os.WriteFile(path, tinyModel(""), 0o644))
	cfg.Own, cfg.Timeout = &posetest.OwnModel{Path: path, Family: "movenet"}, 20*time.Second
	m := &mutants{suite: posetest.New(cfg)}
	plan, err := m.suite.Plan(t.Context(), t.Output())
	require.NoError(t, err)
	require.Len(t, plan.Cells, 1)
	m.planned = plan.Cells[0]
	return m
}

// observe runs n cells, and counts their outcomes.
func (m *mutants) observe(t *testing.T, n int, text func(int) []byte) map[observe.Outcome]int {
	t.Helper()
	dir := t.TempDir()
	outcomes := map[observe.Outcome]int{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(4)
	for i := range n {
		group.Go(func() error {
			path := filepath.Join(dir, fmt.Sprintf("m%d.onnx", i))
			if err := os.WriteFile(path, text(i), 0o644); err != nil {
				return err
			}
			defer os.Remove(path)
			sum, err := catalog.Sum(path)
			if err != nil {
				return err
			}
			p := m.planned
			p.Cell.Model = fmt.Sprintf("mutant%d", i)
			p.File = catalog.File{Path: path, SHA256: sum, Size: int64(len(text(i))), ID: p.Cell.Model}
			o, err := m.suite.Observe(ctx, p)
			if err == nil {
				err = verdict(o)
			}
			if err != nil {
				return fmt.Errorf("%d: %w: %x", i, err, text(i)[:min(len(text(i)), 1<<10)])
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[o.Outcome]++
			return nil
		})
	}
	require.NoError(t, group.Wait())
	return outcomes
}

// swappedModel is another one when its cell runs: nobody is told that the planned one finds people.
func swappedModel(t *testing.T, library string) {
	t.Attr("promise", noneLost)
	h := newFaultyHouse(t)
	h.addWhole(t, "healthy")
	path := h.addWhole(t, "swapped")
	r := planAndRun(t, h.config(t, library), func(*posetest.Plan) {
		copyOf(t, "../models/movenet-lightning-int8-qdq.onnx", path+".new")
		require.NoError(t, os.Rename(path+".new", path))
	})
	var unobserved *posetest.UnobservedError
	require.ErrorAs(t, r.err, &unobserved)
	require.Len(t, unobserved.Errs, 1)
	require.ErrorIs(t, r.err, posetest.ErrSetup)
	assert.ErrorContains(t, r.err, path)
	assert.ErrorContains(t, r.err, "it is another model by now")
	require.Len(t, r.seen, 1, "the other cell is not lost")
	require.Len(t, r.plan.Cells, 1)
	assert.NoError(t, healthy(r.plan.Cells[0], r.seen[0]))
}

// tinyModels are not refused: the same model as those above, with nothing wrong about where its weights are.
func tinyModels(t *testing.T, library string) {
	run := func(t *testing.T, path string) {
		h := newFaultyHouse(t)
		h.addWhole(t, "healthy")
		cfg := h.config(t, library)
		cfg.Own = &posetest.OwnModel{Path: path, Family: "movenet"}
		r := planAndRun(t, cfg, nil)
		require.NoError(t, r.err)
		require.Len(t, r.seen, 1)
		require.Equal(t, observe.Loads, r.seen[0].Outcome, "%+v", r.seen[0])
		assert.Len(t, r.seen[0].Photos[0].Persons, 1)
	}
	t.Run("weights=in-the-model", func(t *testing.T) {
		t.Attr("promise", clearError)
		path := filepath.Join(t.TempDir(), "m.onnx")
		require.NoError(t, os.WriteFile(path, tinyModel(""), 0o644))
		run(t, path)
	})
	t.Run("weights=beside-it", func(t *testing.T) {
		t.Attr("promise", clearError)
		path := filepath.Join(t.TempDir(), "m.onnx")
		weights := func(_ *testing.T, path string) error { return os.WriteFile(path, tinyPerson(), 0o644) }
		require.NoError(t, beside("weights.bin", weights)(t, path))
		run(t, path)
	})
	t.Run("weights=in-a-cache-that-links", func(t *testing.T) { // to files that are named by their sums
		t.Attr("promise", clearError)
		dir := t.TempDir()
		path := filepath.Join(dir, "snapshot", "m.onnx")
		require.NoError(t, errors.Join(os.Mkdir(filepath.Join(dir, "blobs"), 0o755), os.Mkdir(filepath.Dir(path), 0o755),
			os.WriteFile(filepath.Join(dir, "blobs", "1a2b"), tinyModel("weights.bin"), 0o644), os.WriteFile(filepath.Join(dir, "blobs", "3c4d"), tinyPerson(), 0o644),
			os.Symlink("../blobs/1a2b", path), os.Symlink("../blobs/3c4d", filepath.Join(filepath.Dir(path), "weights.bin"))))
		_, err := onnx.ReadGraphFile(path)
		require.NoError(t, err)
	})
}
