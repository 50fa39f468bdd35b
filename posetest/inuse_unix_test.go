//go:build unix

package posetest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a worker opens has the sum that was checked, or its cell is an error that says so: nothing is judged on a guess.
func TestFaultsOfFilesInUse(t *testing.T) {
	another, err := os.ReadFile("../models/movenet-lightning-int8-qdq.onnx")
	require.NoError(t, err)
	replace := func(t *testing.T, path string, with []byte) {
		assert.NoError(t, os.WriteFile(path+".new", with, 0o644))
		assert.NoError(t, os.Rename(path+".new", path))
	}
	for _, row := range []struct {
		fault          string
		before, during func(t *testing.T, model, library string) // the cell, and its inference
		want           string                                    // error; none if the cell is observed
	}{
		{fault: "none"},
		{fault: "a model swapped while it runs", want: ": was swapped while a worker used it: sha256 is ",
			during: func(t *testing.T, model, _ string) { replace(t, model, another) }},
		{fault: "a model written over while it runs", want: ": was swapped while a worker used it: sha256 is ",
			during: func(t *testing.T, model, _ string) { assert.NoError(t, os.WriteFile(model, another, 0o644)) }},
		{fault: "a model removed while it runs", want: "a file was taken away while a worker used it",
			during: func(t *testing.T, model, _ string) { assert.NoError(t, os.Remove(model)) }},
		{fault: "a runtime swapped while it runs", want: ": was swapped while a worker used it: sha256 is ",
			during: func(t *testing.T, _, library string) { replace(t, library, another) }},
		{fault: "a model replaced by its equal",
			during: func(t *testing.T, model, _ string) {
				text, err := os.ReadFile(model)
				assert.NoError(t, err)
				replace(t, model, text)
			}},
		{fault: "a model swapped between plan and cell", want: "it is another model by now; run again when nobody writes to it",
			before: func(t *testing.T, model, _ string) { replace(t, model, another) }},
		{fault: "a runtime swapped between plan and cell", want: "libonnxruntime",
			before: func(t *testing.T, _, library string) { replace(t, library, another) }},
		{fault: "a library put beside the runtime", want: "belongs to nothing that was put there",
			before: func(t *testing.T, _, library string) {
				assert.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(library), "libtbb.so.12"), another, 0o644))
			}},
	} {
		t.Run(row.fault, func(t *testing.T) {
			t.Attr("promise", "a clear error")
			t.Parallel()
			s, p, photo := ownFiles(t)
			if row.before != nil {
				row.before(t, p.File.Path, p.Library)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() {
				done <- whenRead(ctx, photo, "../fixtures/astronaut.png", func() {
					if row.during != nil {
						row.during(t, p.File.Path, p.Library)
					}
				})
			}()
			o, err := s.Observe(t.Context(), p)
			if row.want != "" {
				require.ErrorIs(t, err, ErrSetup)
				assert.ErrorContains(t, err, row.want)
				assert.ErrorContains(t, err, p.Cell.String())
				return
			}
			require.NoError(t, err)
			require.NoError(t, <-done)
			assert.Equal(t, observe.Loads, o.Outcome)
			assert.Empty(t, o.Photos[0].Error)
		})
	}
}

// ownFiles is a suite with one cell, whose model, runtime and photograph nobody else uses. The photograph is a pipe.
func ownFiles(t *testing.T) (*Suite, Planned, string) {
	t.Helper()
	const id = "1.23.2"
	known, err := ortlib.Known()
	require.NoError(t, err)
	chosen, err := ortlib.Select(known, id)
	require.NoError(t, err)
	store, err := RuntimeStore(Config{}, io.Discard)
	require.NoError(t, err)
	library, err := store.Install(t.Context(), chosen[0])
	require.NoError(t, err)
	cache := t.TempDir()
	linkAll(t, filepath.Dir(library), filepath.Join(cache, "runtimes", filepath.Base(filepath.Dir(library))))

	s := New(Config{Cache: cache, Runtimes: id, Models: []string{"movenet-lightning"}, Precisions: []string{"fp32"}, Providers: []string{"cpu"}, Offline: true, Runs: 1})
	plan, err := s.Plan(t.Context(), io.Discard)
	require.NoError(t, err)
	require.Len(t, plan.Cells, 1)
	p := plan.Cells[0]
	model, err := os.ReadFile(p.File.Path)
	require.NoError(t, err)
	p.File.Path = filepath.Join(t.TempDir(), "m.onnx")
	require.NoError(t, os.WriteFile(p.File.Path, model, 0o644))
	photo := filepath.Join(t.TempDir(), "photo.png")
	require.NoError(t, syscall.Mkfifo(photo, 0o644))
	plan.Fixtures = []Photograph{{Path: photo}}
	return s, p, photo
}

// linkAll gives the files of a folder second names in a new one, or copies them where it can't.
func linkAll(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(to, 0o755))
	entries, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, e := range entries {
		if os.Link(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())) == nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(to, e.Name()), text, 0o644))
	}
}

// whenRead waits until somebody reads a pipe, then calls during, and gives them what is in a file.
func whenRead(ctx context.Context, pipe, file string, during func()) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		w, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, syscall.ENXIO) { // nobody reads yet
			continue
		}
		if err != nil {
			return err
		}
		during()
		_, err = w.Write(text)
		return errors.Join(err, w.Close())
	}
	return ctx.Err()
}
