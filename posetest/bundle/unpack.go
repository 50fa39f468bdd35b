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
		return "", fmt.Errorf("unpack into %s: %w; choose a folder that can be written", dir, err)
	}
	defer func() { err = errors.Join(err, work.Remove()) }()
	root, err := unpack(sums.Reader{Ctx: ctx, Reader: in}, work.Path)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(paths, ", "), err)
	}
	m, err := Read(filepath.Join(work.Path, root))
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
	z, err := decompressor(r)
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
		if err := unpackOne(t, header, dir, root, name); err != nil {
			return "", err
		}
	}
	if root == "" {
		return "", errors.New("it is empty, or no bundle; name a bundle that `posetest pack` wrote")
	}
	// To the very end, where the sum of the compressed is.
	switch more, err := io.Copy(io.Discard, z); {
	case err != nil:
		return "", damaged(err)
	case more > 0:
		return "", errors.New("something follows its end, such as a part that was joined twice; join each once, in the order of their numbers")
	}
	return root, nil
}

func unpackOne(t *tar.Reader, header *tar.Header, dir, root, name string) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if header.Typeflag == tar.TypeDir {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeLink:
		if !inside(header.Linkname) || top(header.Linkname) != root {
			return fmt.Errorf("it is no bundle of posetest: it has a link %q to %q", header.Name, header.Linkname)
		}
		return linkOrCopy(filepath.Join(dir, filepath.FromSlash(header.Linkname)), path)
	case tar.TypeReg:
		mode := fs.FileMode(0o644)
		if header.Mode&0o100 != 0 {
			mode = 0o755
		}
		return create(path, mode, t)
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
	return create(to, 0o644, f)
}

func create(path string, mode fs.FileMode, content io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	w := &noted{Writer: f}
	if _, err := io.Copy(w, content); err != nil {
		f.Close()
		if w.err != nil { // it is the disk
			return w.err
		}
		return damaged(err)
	}
	return f.Close()
}

// noted remembers the error of a write, to tell it from one of the read.
type noted struct {
	io.Writer
	err error
}

func (n *noted) Write(p []byte) (int, error) {
	k, err := n.Writer.Write(p)
	n.err = err
	return k, err
}

// damaged says what a reader of the format only hints at.
func damaged(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("it was cut: it ends in the middle; carry it over again")
	}
	return fmt.Errorf("it is damaged, or no bundle (%w); carry it over again", err)
}
