package posetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/whole"
)

// ErrOneImage is wrapped by the error of a model that can't take several images at once: its graph is for one, or it
// looks at the whole batch, so that an image's outputs depend on the others.
var ErrOneImage = errors.New("the model is for one image at a time")

// BatchModel is a cell with its model's first dimension open: so many images at once as its input has. That file is
// made in the cache, once for each model, and gives each image the outputs that it gets alone. Its error wraps
// [ErrOneImage] or [ErrSetup].
func BatchModel(ctx context.Context, cfg Config, p Planned) (Planned, error) {
	return Derivation{Log: os.Stderr}.Batch(ctx, cfg, p)
}

// Batch is [BatchModel] with a Python and a log of choice.
func (d Derivation) Batch(ctx context.Context, cfg Config, p Planned) (Planned, error) {
	if p.Head.Inputs[0].Shape[0] < 0 {
		return p, nil
	}
	h, err := open(cfg)
	if err != nil {
		return p, err
	}
	out := filepath.Join(h.finder.DerivedDir(p.File.SHA256), p.Model.ID+"-"+p.Model.Precision+"-batch.onnx")
	made, err := d.batch(ctx, h, p, out)
	switch {
	case ctx.Err() != nil:
		return p, context.Cause(ctx)
	case errors.Is(err, ErrOneImage):
		return p, err
	case err != nil:
		return p, fmt.Errorf("%w: open the batch of %s: %w", ErrSetup, p.File.Path, err)
	}
	if p.Head, err = look(p.Model.Family, out); err != nil {
		return p, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	made.ID = p.File.ID
	p.File = made
	return p, nil
}

// batchImages is how many photographs are run together and alone, to see that both give the same.
const batchImages = 4

// batch makes the file unless it is there, whole, of this model and by this script.
func (d Derivation) batch(ctx context.Context, h *house, p Planned, out string) (catalog.File, error) {
	file, stamp, err := h.batchFile(p, out)
	if err != nil {
		return file, err
	}
	if was, err := os.ReadFile(out + ".stamp"); err == nil && string(was) == stamp {
		return file, nil
	}
	tensors, err := whole.Temporary("", "posetest-tensors-")
	if err != nil {
		return file, err
	}
	defer tensors.Remove()
	images, err := h.someFixtures(batchImages)
	if err != nil {
		return file, err
	}
	if err := WriteTensors(ctx, OwnModel{Path: p.File.Path, Family: p.Model.Family}, tensors.Path, images); err != nil {
		return file, err
	}
	fmt.Fprintf(d.Log, "opening the batch of %s\n", p.File.Path)
	var words bytes.Buffer
	d.Log = io.MultiWriter(d.Log, &words)
	err = d.script(ctx, h, "batch.py", "--model", p.File.Path, "--tensors", tensors.Path, "--out", out)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // and words are a sentence, not Python's own about an exception
		if reason, ok := strings.CutPrefix(words.String(), "batch.py: "); ok {
			return file, fmt.Errorf("%w: %s", ErrOneImage, strings.TrimSpace(reason))
		}
	}
	if err != nil {
		return file, err
	}
	if file, stamp, err = h.batchFile(p, out); err != nil {
		return file, err
	}
	return file, whole.Write(out+".stamp", []byte(stamp))
}

// batchFile is the file at out, if there is one, with all that it depends on.
func (h *house) batchFile(p Planned, out string) (file catalog.File, stamp string, err error) {
	for _, path := range []string{filepath.Join(h.Dir, "scripts", "batch.py"), filepath.Join(h.Dir, "scripts", "requirements-quantize.txt"), p.File.Path, out} {
		sum, err := catalog.Sum(path)
		if err != nil && !(path == out && errors.Is(err, fs.ErrNotExist)) {
			return file, "", err
		}
		stamp += sum + "  " + filepath.Base(path) + "\n"
		file.SHA256 = sum
	}
	if stat, err := os.Stat(out); err == nil {
		file.Path, file.Size = out, stat.Size()
	}
	return file, stamp, nil
}

// someFixtures are paths of photographs that are here, n at most.
func (h *house) someFixtures(n int) ([]string, error) {
	var paths []string
	for _, f := range h.catalogue.Fixtures {
		path, _, err := h.finder.Fixture(h.fixtures, f)
		var gone *catalog.MissingError
		if errors.As(err, &gone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if paths = append(paths, path); len(paths) == n {
			break
		}
	}
	return paths, nil
}
