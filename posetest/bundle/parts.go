package bundle

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/posetest/suite/posetest/sums"
)

// sumsEnding is that of the file of sums beside a bundle.
const sumsEnding = ".sha256"

// partPath names a part, 1…of. The number has as many digits in each, so that a shell lists them in their order, and how many there
// are, so that one that is missing shows.
func partPath(path string, part, of int, split bool) string {
	if !split {
		return path
	}
	return fmt.Sprintf("%s.%0*dof%d", path, len(strconv.Itoa(of)), part, of)
}

var partName = regexp.MustCompile(`^(.+)\.(\d{1,6})of(\d{1,6})$`)

// A splitter writes what it is given into files of a size at most, 0 for any.
type splitter struct {
	dir  string
	size int64 // bytes

	parts []part
	file  *os.File
	sum   hash.Hash
	left  int64 // bytes of the last part
}

// A part is a file of a bundle.
type part struct {
	path string
	sum  string // sha256
}

func (s *splitter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if s.file == nil || s.size > 0 && s.left == 0 {
			if err := s.next(); err != nil {
				return n, err
			}
		}
		chunk := p
		if s.size > 0 {
			chunk = p[:min(int64(len(p)), s.left)]
		}
		k, err := s.file.Write(chunk)
		s.sum.Write(chunk[:k])
		n, s.left, p = n+k, s.left-int64(k), p[k:]
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (s *splitter) next() (err error) {
	if err := s.close(); err != nil {
		return err
	}
	path := filepath.Join(s.dir, strconv.Itoa(len(s.parts)))
	if s.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err != nil {
		return err
	}
	s.parts, s.left, s.sum = append(s.parts, part{path: path}), s.size, sha256.New()
	return nil
}

// close ends the last part.
func (s *splitter) close() error {
	if s.file == nil {
		return nil
	}
	s.parts[len(s.parts)-1].sum = hex.EncodeToString(s.sum.Sum(nil))
	err := errors.Join(s.file.Sync(), s.file.Close())
	s.file = nil
	return err
}

// inOrder are the parts of one bundle in their order, each of which must be there once. A single path that is no part's is a whole
// bundle.
func inOrder(paths []string) ([]string, error) {
	type numbered struct {
		path string
		n    int
	}
	var parts []numbered
	base, of := "", 0
	for _, p := range paths {
		m := partName.FindStringSubmatch(filepath.Base(p))
		if m == nil && len(paths) == 1 {
			return paths, nil
		}
		if m == nil {
			return nil, fmt.Errorf("%s is no part of a bundle, whose names end in .1of4, .2of4 …; name one bundle, or all its parts", p)
		}
		n, _ := strconv.Atoi(m[2])
		last, _ := strconv.Atoi(m[3])
		if base == "" {
			base, of = m[1], last
		}
		switch {
		case m[1] != base || last != of:
			return nil, fmt.Errorf("%s and %s are parts of different bundles; name those of one", paths[0], p)
		case n < 1 || n > of:
			return nil, fmt.Errorf("%s: there is no part %d of %d; name it as it was packed", p, n, of)
		}
		parts = append(parts, numbered{p, n})
	}
	slices.SortStableFunc(parts, func(a, b numbered) int { return cmp.Compare(a.n, b.n) })
	var sorted []string
	for i, p := range parts {
		if i > 0 && parts[i-1].n == p.n {
			return nil, fmt.Errorf("%s and %s are both part %d of %d; name each once", parts[i-1].path, p.path, p.n, of)
		}
		sorted = append(sorted, p.path)
	}
	var missing []string
	for n := range of {
		if !slices.ContainsFunc(parts, func(p numbered) bool { return p.n == n+1 }) {
			missing = append(missing, strconv.Itoa(n+1))
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("of the %d parts of %s, %s missing: carry all of them over, and name them all", of, base, enumerate(missing))
	}
	return sorted, nil
}

func enumerate(numbers []string) string {
	if len(numbers) == 1 {
		return "number " + numbers[0] + " is"
	}
	if len(numbers) > 8 {
		return fmt.Sprintf("numbers %s … are", strings.Join(numbers[:8], ", "))
	}
	return fmt.Sprintf("numbers %s are", strings.Join(numbers, ", "))
}

// checkSums holds parts to the file of sums beside them, where that came along.
func checkSums(ctx context.Context, parts []string) error {
	base := parts[0]
	if m := partName.FindStringSubmatch(filepath.Base(base)); m != nil {
		base = filepath.Join(filepath.Dir(base), m[1])
	}
	list, err := os.Open(base + sumsEnding)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer list.Close()
	want := map[string]string{}
	for lines := bufio.NewScanner(list); lines.Scan(); {
		if sum, name, ok := strings.Cut(lines.Text(), "  "); ok {
			want[name] = sum
		}
	}
	for _, p := range parts {
		sum, size, err := sums.Of(ctx, p)
		if err != nil {
			return err
		}
		if known := want[filepath.Base(p)]; known != "" && known != sum {
			return fmt.Errorf("%s is not as it was packed: it has %d bytes and sha256 %.12s…, and %s says %.12s…; carry it over again", p, size, sum, list.Name(), known)
		}
	}
	return nil
}

// A joined is files one after the other.
type joined struct {
	io.Reader
	files []*os.File
}

func join(paths []string) (*joined, error) {
	j := &joined{}
	var readers []io.Reader
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return nil, errors.Join(err, j.Close())
		}
		j.files, readers = append(j.files, f), append(readers, f)
	}
	j.Reader = io.MultiReader(readers...)
	return j, nil
}

func (j *joined) Close() (err error) {
	for _, f := range j.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
