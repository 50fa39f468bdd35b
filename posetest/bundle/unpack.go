package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"github.com/posetest/suite/posetest/sums"
	"github.com/posetest/suite/posetest/whole"
)

// Unpack unpacks a bundle, one file or all its parts in any order, into a folder of its own below dir, and returns that folder. It
// is there whole, with the sums that it was packed with, or not at all.
func Unpack(ctx context.Context, paths []string, dir string) (folder string, err error) {
	parts, err := inOrder(paths)
	if err != nil {
		return "", err
	}
	if err := checkSums(ctx, parts); err != nil {
		return "", err
	}
	in, err := join(parts)
	if err != nil {
		return "", err
	}
	defer in.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	work, err := whole.Temporary(dir, ".posetest-unpack-")
	if err != nil {
		if of, ok := errors.AsType[*fs.PathError](err); ok { // without the folder that could not be made
			err = of.Err
		}
		return "", fmt.Errorf("unpack into %s: %w; choose a folder that can be written", dir, err)
	}
	defer func() { err = errors.Join(err, work.Remove()) }()
	root, err := unpack(sums.Reader{Ctx: ctx, Reader: in}, work.Path)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(paths, ", "), withoutFolder(err, work.Path, "unpack elsewhere with --into"))
	}
	m, err := Read(filepath.Join(work.Path, root))
	if err == nil && m.Folder() != root {
		return "", fmt.Errorf("%s: it is no bundle of posetest: its folder is %q, and bundle.json says %q", strings.Join(paths, ", "), root, m.Folder())
	}
	if err == nil {
		err = m.Check(ctx, filepath.Join(work.Path, root))
	}
	if err != nil { // in words without a folder that nobody knows
		return "", errors.New(strings.ReplaceAll(err.Error(), filepath.Join(work.Path, root), strings.Join(paths, ", ")))
	}
	folder = filepath.Join(dir, root)
	if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is there already; remove it, or unpack elsewhere", folder)
	}
	return folder, os.Rename(filepath.Join(work.Path, root), folder)
}

// withoutFolder is an error in words without a temporary folder, of which nobody knows. Where the disk is full, it says what to do.
func withoutFolder(err error, folder, remedy string) error {
	words := strings.ReplaceAll(err.Error(), folder+string(filepath.Separator), "")
	if errors.Is(err, syscall.ENOSPC) {
		words += "; make room in " + filepath.Dir(folder) + ", or " + remedy
	}
	return errors.New(words)
}

// What a bundle holds, libraries, models and photographs, becomes less than 10 times as large. A few bytes that become a disk full are
// none; a bundle has a few hundred files.
const (
	mostTimes = 100
	mostAhead = 8 << 20 // bytes that may come out before much was read
)

// A ration is how much may come out of a stream: so many times what was read of it.
type ration struct {
	in  io.Reader
	got int64 // bytes read
	out int64 // bytes written, and what names take
}

func (r *ration) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	r.got += int64(n)
	return n, err
}

// take tells that so many bytes more are too many.
func (r *ration) take(n int64) error {
	if r.out += n; r.out > mostAhead+mostTimes*r.got {
		return fmt.Errorf("it is no bundle of posetest: it unpacks to more than %d times its size", mostTimes)
	}
	return nil
}

// decompressor tells by its first bytes how a stream was compressed.
func decompressor(r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	magic, _ := in.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return z, nil
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in)
	}
	return in, nil
}

// unpack writes the files of a tar below dir, and returns the one folder that all of them are in.
func unpack(r io.Reader, dir string) (root string, err error) {
	ration := &ration{in: r}
	z, err := decompressor(ration)
	if err != nil {
		return "", damaged(err)
	}
	t := tar.NewReader(z)
	for {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", damaged(err)
		}
		name := strings.TrimSuffix(header.Name, "/")
		if root == "" {
			root = top(name)
		}
		if !inside(name) || top(name) != root {
			return "", fmt.Errorf("it is no bundle of posetest: it has a file %q", header.Name)
		}
		if err := unpackOne(t, ration, header, dir, name); err != nil {
			return "", err
		}
	}
	if root == "" {
		return "", errors.New("it is empty, or no bundle; name a bundle that `posetest pack` wrote")
	}
	// The very end is behind the sum of the compressed.
	switch more, err := io.CopyN(io.Discard, z, 1); {
	case err != nil && err != io.EOF:
		return "", damaged(err)
	case more > 0:
		return "", errors.New("something follows its end, such as a part that was joined twice; join each once, in the order of their numbers")
	}
	return root, nil
}

// blockSize is what a name takes in a tar, and on most disks not less.
const blockSize = 512

func unpackOne(t *tar.Reader, ration *ration, header *tar.Header, dir, name string) error {
	if err := ration.take(blockSize); err != nil {
		return err
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if header.Typeflag == tar.TypeDir {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeLink:
		if !inside(header.Linkname) {
			return fmt.Errorf("it is no bundle of posetest: it has a link %q to %q", header.Name, header.Linkname)
		}
		from := filepath.Join(dir, filepath.FromSlash(header.Linkname))
		info, err := os.Stat(from)
		if err != nil || !info.Mode().IsRegular() {
			return fmt.Errorf("it is no bundle of posetest: it has a link %q to %q, which is no file before it", header.Name, header.Linkname)
		}
		if err := ration.take(info.Size()); err != nil { // it may have to be there twice, and is read twice
			return err
		}
		return linkOrCopy(from, path)
	case tar.TypeReg:
		mode := fs.FileMode(0o644)
		if header.Mode&0o100 != 0 {
			mode = 0o755
		}
		return create(path, mode, t, ration)
	}
	return fmt.Errorf("it is no bundle of posetest: %q is neither a file nor a folder", header.Name)
}

// linkOrCopy gives a file a second name; where the file system has none, it is there twice.
func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return create(to, 0o644, f, nil)
}

// create writes a file of what may be read of a ration; nil is no limit.
func create(path string, mode fs.FileMode, content io.Reader, ration *ration) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	w := &noted{Writer: f, ration: ration}
	if _, err := io.Copy(w, content); err != nil {
		f.Close()
		if w.err != nil { // it is the disk, or the ration
			return w.err
		}
		return damaged(err)
	}
	return f.Close()
}

// noted remembers the error of a write, to tell it from one of the read.
type noted struct {
	io.Writer
	ration *ration // nil for none
	err    error
}

func (n *noted) Write(p []byte) (k int, err error) {
	if n.ration != nil {
		if n.err = n.ration.take(int64(len(p))); n.err != nil {
			return 0, n.err
		}
	}
	k, n.err = n.Writer.Write(p)
	return k, n.err
}

// damaged says what a reader of the format only hints at.
func damaged(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("it was cut: it ends in the middle; carry it over again")
	}
	return fmt.Errorf("it is damaged, or no bundle (%w); carry it over again", err)
}
