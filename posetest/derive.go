package posetest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/child"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/posetest/suite/posetest/whole"
)

// CalibrationImages is where the data path has the photographs that a model is calibrated on. They are never the ones
// that accuracy is measured on.
const CalibrationImages = "coco/train2017"

// A Derivation makes the derived models of a catalogue: int8 and its kin, from each export of their fp32 model.
type Derivation struct {
	Python string    // that has scripts/requirements-quantize.txt; default: a virtual environment in the cache, made when needed
	Log    io.Writer // what is made, in lines for a person
}

// Make makes what is not in the cache. Without the fp32 model it says so on the log, and makes nothing of it. Its error
// wraps [ErrSetup].
func (d Derivation) Make(ctx context.Context, cfg Config) error {
	h, err := open(cfg)
	if err != nil {
		return err
	}
	for _, source := range h.catalogue.Models {
		if source.Where != catalog.Data {
			continue
		}
		exports, err := h.finder.Find(source)
		var gone *catalog.MissingError
		if errors.As(err, &gone) {
			fmt.Fprintln(d.Log, "skipped:", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSetup, err)
		}
		for _, export := range exports {
			if err := d.make(ctx, h, source, export); err != nil {
				return fmt.Errorf("%w: make the precisions of %s: %w", ErrSetup, export.Path, err)
			}
		}
	}
	return nil
}

func (d Derivation) make(ctx context.Context, h *house, source catalog.Model, export catalog.File) error {
	out := h.finder.DerivedDir(export.SHA256)
	if len(h.underived(source, out)) == 0 {
		return nil
	}
	unlock, err := lockDerived(ctx, out)
	if err != nil {
		return err
	}
	defer unlock()
	missing := h.underived(source, out) // now that nobody else makes them
	if len(missing) == 0 {
		return nil
	}
	table := filepath.Join(h.Dir, "models", "calibration", source.ID+".json")
	if !tableIsOf(table, export.SHA256) {
		table = filepath.Join(out, "calibration.json")
		if err := d.calibrate(ctx, h, source, export, table); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.Log, "making %s of %s\n", strings.Join(missing, ", "), export.Path)
	quantize := func(precisions []string, more ...string) error {
		args := []string{"make", "--model", export.Path, "--id", source.ID, "--out", out}
		for _, precision := range precisions {
			args = append(args, "--precision", precision)
		}
		return d.quantize(ctx, h, slices.Concat(args, []string{"--calibration", table}, more)...)
	}
	// By itself, since the recipe names nodes that another export may not have.
	if i := slices.Index(missing, tuned); i >= 0 {
		missing = slices.Delete(missing, i, i+1)
		recipe := filepath.Join(h.Dir, "models", "recipes", source.ID+".json")
		if err := quantize([]string{tuned}, "--recipe", recipe); err != nil && export.ID == source.ID {
			return err
		} else if err != nil {
			fmt.Fprintf(d.Log, "skipped: %s of %s: the recipe %s is of another export\n", tuned, export.Path, recipe)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return quantize(missing)
}

// underived are the precisions of a model that are not in a folder.
func (h *house) underived(source catalog.Model, dir string) (missing []string) {
	for _, m := range h.catalogue.Models {
		if m.ID != source.ID || m.Where != catalog.Derived {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, m.File)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, m.Precision)
		}
	}
	return missing
}

// lockDerived makes this process the only one that writes derived models into a folder, and removes what one that was killed
// has left there.
func lockDerived(ctx context.Context, dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w; make room there, or choose another cache with POSETEST_CACHE", err)
	}
	lock := flock.New(dir + ".lock")
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return nil, fmt.Errorf("lock %s: %w; make room there, or choose another cache with POSETEST_CACHE", lock.Path(), err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return lock.Unlock, nil
}

// tuned is the precision that a recipe tells how to make.
const tuned = "int8-tuned"

// tableIsOf tells whether a calibration table was made of the model of that sum.
func tableIsOf(path, sha256 string) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	var table struct {
		Model string `json:"model_sha256"`
	}
	return json.Unmarshal(text, &table) == nil && table.Model == sha256
}

// calibrate makes the table of an export that the repository has none for.
func (d Derivation) calibrate(ctx context.Context, h *house, source catalog.Model, export catalog.File, table string) error {
	var images []string
	for _, dir := range h.Data {
		found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(CalibrationImages), "*.jpg"))
		if err != nil {
			return err
		}
		images = append(images, found...)
	}
	if len(images) == 0 {
		return fmt.Errorf("it is another export than the repository's calibration table is of, and the data path has no %s to calibrate it on; bring that folder", CalibrationImages)
	}
	tensors, err := whole.Temporary("", "posetest-tensors-")
	if err != nil {
		return err
	}
	defer tensors.Remove()
	fmt.Fprintf(d.Log, "calibrating %s on %d photographs\n", export.Path, len(images))
	if err := WriteTensors(ctx, OwnModel{Path: export.Path, Family: source.Family}, tensors.Path, images); err != nil {
		return err
	}
	return d.quantize(ctx, h, "calibrate", "--model", export.Path, "--id", source.ID, "--tensors", tensors.Path, "--out", table)
}

func (d Derivation) quantize(ctx context.Context, h *house, args ...string) error {
	return d.script(ctx, h, "quantize.py", args...)
}

// script runs one of the scripts that scripts/requirements-quantize.txt is for.
func (d Derivation) script(ctx context.Context, h *house, name string, args ...string) error {
	python, environ := d.Python, os.Environ()
	if python == "" {
		var err error
		if python, err = d.environment(ctx, h); err != nil {
			return err
		}
		environ = unsteered(environ)
	}
	return d.run(ctx, environ, python, append([]string{filepath.Join(h.Dir, "scripts", name)}, args...)...)
}

// run runs a Python, which writes nothing into its own folders.
func (d Derivation) run(ctx context.Context, environ []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(slices.Clone(environ), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdout, cmd.Stderr = d.Log, d.Log
	defer child.Tie(cmd)()
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s %s: %w; its words are above", filepath.Base(program), strings.Join(args[:2], " "), err)
	}
	return nil
}

// WriteTensors writes the model's input for each image as a NumPy file in dir, so that other tools, such as a
// quantizer's calibration, see exactly what the model sees here.
func WriteTensors(ctx context.Context, m OwnModel, dir string, images []string) error {
	head, err := look(m.Family, m.Path)
	if err != nil {
		return err
	}
	family, err := pose.Lookup(m.Family)
	if err != nil {
		return err
	}
	pipeline, err := family.NewPipeline(head.Inputs, head.Outputs)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	from := map[string]string{}
	for _, path := range images {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)) + ".npy"
		if other, taken := from[name]; taken {
			return fmt.Errorf("%s and %s would both be %s; rename one", other, path, name)
		}
		from[name] = path
		img, err := pose.ReadImage(path)
		if err != nil {
			return err
		}
		input, err := pipeline.Preprocess(img)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		text, err := npy(input)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := whole.Write(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	return nil
}

// npy is a tensor in NumPy's format 1.0 (numpy.lib.format).
func npy(t tensor.Tensor) ([]byte, error) {
	kind := map[string]string{"[]float32": "<f4", "[]int32": "<i4", "[]int64": "<i8", "[]uint8": "|u1"}[fmt.Sprintf("%T", t.Data)]
	if kind == "" {
		return nil, fmt.Errorf("no NumPy type for %T", t.Data)
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s,), }", kind,
		strings.Trim(strings.ReplaceAll(fmt.Sprint(t.Shape), " ", ", "), "[]"))
	const magic = "\x93NUMPY\x01\x00"
	pad := 64 - (len(magic)+2+len(header)+1)%64
	header += strings.Repeat(" ", pad) + "\n"
	text := slices.Concat([]byte(magic), binary.LittleEndian.AppendUint16(nil, uint16(len(header))), []byte(header))
	return binary.Append(text, binary.LittleEndian, t.Data)
}
