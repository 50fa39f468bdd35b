package bundle

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/posetest/suite/posetest/sums"
	"github.com/posetest/suite/posetest/whole"
)

// A File is one to be packed.
type File struct {
	Name    string // below the bundle's folder, with slashes
	Source  string // where it is; "" for Content
	Content []byte
	Program bool // may be executed
}

// An Output is where a bundle goes.
type Output struct {
	Path  string // its ending, one of [Endings], says how it is compressed
	Split int64  // bytes of a part, at most; 0 for one file
}

// Endings are those that a bundle's path may have.
func Endings() []string { return []string{".tar.zst", ".tar.gz", ".tar"} }

// Check tells why a bundle can't go there, before anything is collected for it.
func (out Output) Check() error {
	if endingOf(out.Path) == "" {
		return fmt.Errorf("%s: the name of a bundle says how it is compressed; end it with one of %s", out.Path, strings.Join(Endings(), ", "))
	}
	if err := whole.Writable(filepath.Dir(out.Path)); err != nil {
		return fmt.Errorf("%w; choose a folder that is there and can be written", err)
	}
	return nil
}

// Pack writes a bundle, whole or not at all, and returns the paths of its parts. Beside it, with the ending .sha256, it writes
// their sums, as sha256sum checks them. The same files and manifest give the same bytes.
func Pack(ctx context.Context, out Output, m Manifest, files []File) (parts []string, err error) {
	if err := out.Check(); err != nil {
		return nil, err
	}
	dir := filepath.Dir(out.Path)
	work, err := whole.Temporary(dir, ".posetest-pack-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, work.Remove()) }()
	s := &splitter{dir: work.Path, size: out.Split}
	if err := errors.Join(write(ctx, s, endingOf(out.Path), m, files), s.close()); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("pack %s: %w", out.Path, withoutFolder(err, work.Path, "choose another folder"))
	}
	var list strings.Builder
	for i, part := range s.parts {
		parts = append(parts, partPath(out.Path, i+1, len(s.parts), out.Split > 0))
		fmt.Fprintf(&list, "%s  %s\n", part.sum, filepath.Base(parts[i]))
	}
	sumsFile := filepath.Join(work.Path, "sums")
	if err := whole.Write(sumsFile, []byte(list.String())); err != nil {
		return nil, fmt.Errorf("pack %s: %w", out.Path, withoutFolder(err, work.Path, "choose another folder"))
	}
	// Sums of what was there before are never beside what is there now.
	if err := os.Remove(out.Path + sumsEnding); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for i, part := range s.parts {
		if err := os.Rename(part.path, parts[i]); err != nil {
			return nil, err
		}
	}
	return parts, os.Rename(sumsFile, out.Path+sumsEnding)
}

func endingOf(path string) string {
	for _, ending := range Endings() {
		if base := filepath.Base(path); strings.HasSuffix(base, ending) && base != ending {
			return ending
		}
	}
	return ""
}

// compressor is the one of an ending. None of them notes a time or a name, and zstd runs on one processor, so that the bytes
// depend on nothing else.
func compressor(ending string, w io.Writer) (io.WriteCloser, error) {
	switch ending {
	case ".tar.zst":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	case ".tar.gz":
		return gzip.NewWriter(w), nil
	}
	return plain{w}, nil
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// packed is the time of every file, the first that a zip can have: tar warns of those of 1970.
var packed = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// write writes the tar. The manifest comes last, so that a bundle that was cut has none.
func write(ctx context.Context, w io.Writer, ending string, m Manifest, files []File) (err error) {
	z, err := compressor(ending, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	t := tar.NewWriter(z)
	m.Format, m.Files = format, nil
	first := map[string]string{} // name, by sum
	names := map[string]bool{}
	for _, f := range slices.SortedFunc(slices.Values(files), programsFirst) {
		if !inside(f.Name) || f.Name == Name || names[f.Name] {
			return fmt.Errorf("%q can't be in a bundle, or is there twice", f.Name)
		}
		names[f.Name] = true
		entry, err := f.entry(ctx)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, entry)
		header := &tar.Header{Name: path.Join(m.Folder(), f.Name), Mode: 0o644, Size: entry.Size, ModTime: packed, Format: tar.FormatPAX}
		if f.Program {
			header.Mode = 0o755
		}
		if name, twice := first[entry.SHA256]; twice && !f.Program && entry.Size > 0 { // as a runtime has its libraries under several names
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, path.Join(m.Folder(), name), 0
			if err := t.WriteHeader(header); err != nil {
				return err
			}
			continue
		}
		first[entry.SHA256] = f.Name
		if err := f.write(ctx, t, header, entry.SHA256); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	header := &tar.Header{Name: path.Join(m.Folder(), Name), Mode: 0o644, Size: int64(len(text) + 1), ModTime: packed, Format: tar.FormatPAX}
	if err := t.WriteHeader(header); err != nil {
		return err
	}
	if _, err := t.Write(append(text, '\n')); err != nil {
		return err
	}
	return t.Close()
}

// programsFirst orders files by name, after the programs: what was cut has one that says so.
func programsFirst(a, b File) int {
	switch {
	case a.Program == b.Program:
		return cmp.Compare(a.Name, b.Name)
	case a.Program:
		return -1
	}
	return 1
}

func (f File) entry(ctx context.Context) (e sums.Entry, err error) {
	e = sums.Entry{Name: f.Name, Size: int64(len(f.Content))}
	if f.Source != "" {
		e.SHA256, e.Size, err = sums.Of(ctx, f.Source)
		return e, err
	}
	sum := sha256.Sum256(f.Content)
	e.SHA256 = hex.EncodeToString(sum[:])
	return e, nil
}

// write writes the file, which must still be the one that has the sum.
func (f File) write(ctx context.Context, t *tar.Writer, header *tar.Header, sum string) error {
	var content io.Reader = bytes.NewReader(f.Content)
	if f.Source != "" {
		file, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer file.Close()
		content = sums.Reader{Ctx: ctx, Reader: file}
	}
	if err := t.WriteHeader(header); err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(t, h), content)
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && (n != header.Size || hex.EncodeToString(h.Sum(nil)) != sum) {
		return fmt.Errorf("%s: was changed while it was packed; pack again when nobody writes to it", f.Source)
	}
	return err
}
