package posetest

import (
	"context"
	"fmt"

	"github.com/posetest/suite/posetest/sums"
)

// inUse are files that a worker opens by their paths.
type inUse struct {
	sums  *sums.Memo
	files []asChecked
}

// An asChecked is a file as it was when its sum was checked.
type asChecked struct {
	path, sum string
	stamp     sums.Stamp
}

// use checks what a cell's worker will open: that the model has the sum that was planned, and the runtime those that are
// pinned, unless it is the user's own, of which nobody knows a sum. What was checked before in this process and not touched since
// is not read again. Ask before the worker starts, since reading takes time.
func (s *Suite) use(ctx context.Context, p Planned) (inUse, error) {
	used := inUse{sums: s.sums}
	if p.File.SHA256 != "" {
		sum, err := used.add(ctx, p.File.Path)
		if err == nil && sum != p.File.SHA256 {
			err = fmt.Errorf("model %s: sha256 is %s, and was %s when the run was planned: it is another model by now; run again when nobody writes to it",
				p.File.Path, sum, p.File.SHA256)
		}
		if err != nil {
			return used, err
		}
	}
	if p.runtime.Distribution == "" {
		return used, nil
	}
	store := s.cfg.store(nil)
	store.Sums = s.sums
	library, err := store.Library(p.runtime)
	if err == nil {
		_, err = used.add(ctx, library)
	}
	return used, err
}

func (used *inUse) add(ctx context.Context, path string) (sum string, err error) {
	c := asChecked{path: path}
	if c.sum, c.stamp, err = used.sums.Of(ctx, path); err == nil {
		used.files = append(used.files, c)
	}
	return c.sum, err
}

// same says which of the files is another than the one that was checked. One that was touched and has the same bytes is the
// same; one that was another for a while, and then put back, goes unnoticed.
func (used inUse) same(ctx context.Context) error {
	for _, was := range used.files {
		is, err := sums.StampOf(was.path)
		if err != nil {
			return fmt.Errorf("a file was taken away while a worker used it: %w; run again when nobody does that", err)
		}
		if is == was.stamp {
			continue
		}
		sum, _, err := used.sums.Of(ctx, was.path)
		if err != nil {
			return err
		}
		if sum != was.sum {
			return fmt.Errorf("%s: was swapped while a worker used it: sha256 is %s, and was %s when the worker started, so that nobody knows which one was opened; run again when nobody writes to it",
				was.path, sum, was.sum)
		}
	}
	return nil
}
