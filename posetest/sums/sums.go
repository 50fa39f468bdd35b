package sums

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Of reads a file and returns its sha256, in hexadecimal, and its size in bytes. It ends early with the context's error.
func Of(ctx context.Context, path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, Reader{ctx, f}); err != nil {
		return "", size, fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// A Reader ends with the context's error when that is done.
type Reader struct {
	Ctx context.Context
	io.Reader
}

func (r Reader) Read(p []byte) (int, error) {
	if err := r.Ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// A Stamp tells a file from any other that stood or will stand at its path, and from itself before it was written to, and
// that without reading it. On Linux and macOS it has what the kernel itself writes down of each change, which no program can
// set; elsewhere somebody who writes the same number of bytes and sets the time back goes unnoticed.
type Stamp struct {
	path              string // "" where the number tells the file
	device, number    uint64 // the file's own on its device
	size              int64  // bytes
	modified, changed int64  // ns since 1970: the content, and anything about the file
}

// content leaves out what also a second name of the file, or another owner, changes.
func (s Stamp) content() Stamp {
	s.changed = 0
	return s
}

// Size is the file's, in bytes.
func (s Stamp) Size() int64 { return s.size }

// StampOf looks at a file. It is an error if that is none: to read a named pipe would wait for its writer.
func StampOf(path string) (Stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Stamp{}, err
	}
	if !info.Mode().IsRegular() {
		return Stamp{}, fmt.Errorf("%s: is a folder or a device, not a file; remove it", path)
	}
	s := Stamp{size: info.Size(), modified: info.ModTime().UnixNano()}
	s.changed = s.modified
	if !s.identify(info) {
		s.path = path
	}
	return s, nil
}

// A Memo remembers sums for as long as the files stay the same. Its zero value is empty, and a nil one remembers nothing.
// It is safe for concurrent use, and for one process: what stands in a file can be believed only by who put it there.
type Memo struct{ sums sync.Map } // by stamp

// settled is how long ago a file must have been changed for its stamp to be trusted: a change within the same tick of the
// file system's clock, 2 s on FAT, leaves the stamp as it is.
const settled = 2 * time.Second

// Of returns the sha256 of a file, in hexadecimal, and the stamp that the file has with it. A file that changes while it is
// read is an error.
func (m *Memo) Of(ctx context.Context, path string) (sum string, stamp Stamp, err error) {
	if stamp, err = StampOf(path); err != nil {
		return "", stamp, err
	}
	if m != nil {
		if sum, known := m.sums.Load(stamp); known {
			return sum.(string), stamp, nil
		}
	}
	looked := time.Now()
	if sum, _, err = Of(ctx, path); err != nil {
		return "", stamp, err
	}
	after, err := StampOf(path)
	if err != nil {
		return "", stamp, err
	}
	if after.content() != stamp.content() {
		return "", stamp, fmt.Errorf("%s: was changed while it was read; run again when nobody writes to it", path)
	}
	if m != nil && after == stamp && looked.Sub(time.Unix(0, stamp.changed)) > settled {
		m.sums.Store(stamp, sum)
	}
	return sum, stamp, nil
}
