// Package whole writes files whole or not at all, and lends temporary folders. What a process that was killed left of
// either, the next one that comes by removes.
//
//	err := whole.Write(path, text)
//	err := whole.WriteAll([]whole.File{{Path: a, Text: …}, {Path: b, Text: …}}) // all, or none
//	folder, err := whole.Temporary("", "posetest-worker-")                      // and defer folder.Remove()
//
// It does what google/renameio does for one file, and beside that: several files at once, errors that name the file and
// not the temporary one beside it, an end to what a kill leaves, no device or folder replaced, and the same on Windows.
package whole

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// A File is what is to be written.
type File struct {
	Path string
	Text []byte
}

// Write makes or replaces a file. Its error names the file; what was there before is then as it was.
func Write(path string, text []byte) error { return WriteAll([]File{{path, text}}) }

// WriteAll makes or replaces several files. All are on the disk before the first takes its place, so that where one can't
// be written none is. A file that is replaced keeps its permissions.
func WriteAll(files []File) error {
	var staged []*os.File
	defer func() {
		for _, f := range staged { // of those that have their place, the name is gone
			f.Close()
			os.Remove(f.Name())
		}
	}()
	for _, f := range files {
		s, err := stage(f)
		if s != nil {
			staged = append(staged, s)
		}
		if err != nil {
			return about("write", f.Path, err)
		}
	}
	for i, f := range files {
		if !canReplaceOpen {
			staged[i].Close()
		}
		if err := os.Rename(staged[i].Name(), f.Path); err != nil {
			return about("replace", f.Path, err)
		}
	}
	return nil
}

// Writable tells whether files can be made in a folder, which must be there. Its error names the folder.
func Writable(dir string) error {
	f, err := create(dir, probe, 0o600)
	if err != nil {
		return about("write into", dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

const probe = ".probe."

// about is an error of a file, without the name of the temporary one.
func about(op, path string, err error) error {
	var of *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &of):
		err = of.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// suffix ends the names of files that are not in their place yet.
const suffix = ".new"

// stage writes a file's text beside it. What it returns is to be removed, even beside an error.
func stage(f File) (*os.File, error) {
	mode := fs.FileMode(0o644)
	before, err := os.Stat(f.Path)
	switch {
	case err == nil && !before.Mode().IsRegular():
		return nil, errors.New("it is no file that could be replaced")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	dir, prefix := filepath.Dir(f.Path), "."+filepath.Base(f.Path)+"."
	file, err := create(dir, prefix, mode)
	if err != nil {
		return nil, err
	}
	if before != nil {
		if err := file.Chmod(before.Mode().Perm()); err != nil {
			return file, err
		}
	}
	if _, err := file.Write(f.Text); err != nil {
		return file, err
	}
	return file, file.Sync()
}

// create makes a new file whose name begins with prefix, and removes those of that prefix that the dead left.
func create(dir, prefix string, mode fs.FileMode) (*os.File, error) {
	sweep(dir, prefix, suffix)
	return fresh(func() (*os.File, error) {
		return os.OpenFile(filepath.Join(dir, fmt.Sprintf("%s%d%s", prefix, rand.Int64(), suffix)), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	})
}

// fresh opens something new until it is claimed: who clears away what the dead left takes it for that for an instant.
func fresh(open func() (*os.File, error)) (*os.File, error) {
	for range 1000 {
		f, err := open()
		if err == errGone {
			continue
		}
		if err != nil || claim(f) {
			return f, err
		}
		f.Close()
	}
	return nil, errGone
}

// errGone says that what was just made is there no more.
var errGone = errors.New("what is made here is removed at once")

// A Folder is a temporary folder, of this process as long as that lives.
type Folder struct {
	Path string
	held *os.File
}

// Temporary makes a new folder in dir ("" is the system's folder for temporary files), whose name begins with prefix.
// Others of that prefix whose process is gone are removed. Windows can't tell, and keeps them.
func Temporary(dir, prefix string) (*Folder, error) {
	dir = cmp.Or(dir, os.TempDir())
	sweep(dir, prefix, "")
	held, err := fresh(func() (*os.File, error) {
		path, err := os.MkdirTemp(dir, prefix)
		if err != nil {
			return nil, err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = errGone
		}
		return f, err
	})
	if err != nil {
		return nil, err
	}
	return &Folder{held.Name(), held}, nil
}

// Remove removes the folder and all that is in it.
func (f *Folder) Remove() error {
	if !canReplaceOpen {
		f.held.Close()
	}
	return errors.Join(os.RemoveAll(f.Path), closed(f.held))
}

// closed closes a file that may be closed already.
func closed(f *os.File) error {
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) {
		return err
	}
	return nil
}

// sweep removes what the dead left in a folder under such names. What it can't look at or remove it leaves alone.
func sweep(dir, prefix, suffix string) {
	folder, err := os.Open(dir)
	if err != nil {
		return
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(-1)
	for _, name := range names {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			sweepOne(filepath.Join(dir, name))
		}
	}
}
