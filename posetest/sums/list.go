package sums

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// An Entry is one file of a [List], or a symbolic link, which has no sum of its own.
type Entry struct {
	Name   string `json:"name"`             // in its folder, with slashes
	Size   int64  `json:"size"`             // bytes
	SHA256 string `json:"sha256,omitempty"` // in hexadecimal
	Link   string `json:"link,omitempty"`   // where a symbolic link points to, as it says
}

// A List is the files and links of a folder, by name.
type List []Entry

// Tree lists all files and links below a folder. What is neither is an error.
func Tree(ctx context.Context, dir string) (List, error) {
	list, err := look(dir, nil)
	if err != nil {
		return nil, err
	}
	for i, e := range list {
		if e.Link == "" {
			if list[i].SHA256, _, err = Of(ctx, filepath.Join(dir, filepath.FromSlash(e.Name))); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// look lists a folder without sums, sorted by name.
func look(dir string, ignore func(name string) bool) (List, error) {
	dir, err := filepath.EvalSymlinks(dir) // the folder itself may be reached by a link, such as one out of a cache
	if err != nil {
		return nil, err
	}
	var list List
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		e := Entry{Name: filepath.ToSlash(name)}
		if ignore != nil && ignore(e.Name) {
			return nil
		}
		switch info, err := d.Info(); {
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			if e.Link, err = os.Readlink(path); err != nil {
				return err
			}
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s: is neither a file nor a link; remove it", path)
		default:
			e.Size = info.Size()
		}
		list = append(list, e)
		return nil
	})
	list.sort()
	return list, err
}

func (l List) sort() { slices.SortFunc(l, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) }) }

// SHA256 is the sum of the whole list, by which all that it lists can be pinned: that of what sha256sum prints of the files,
// sorted by name.
func (l List) SHA256() string {
	sorted := slices.Clone(l)
	sorted.sort()
	h := sha256.New()
	for _, e := range sorted {
		fmt.Fprintf(h, "%s  %s\n", cmp.Or(e.SHA256, e.Link), e.Name)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Check says what in a folder is not as listed: the first file that is missing, another, or one too many, since also a file
// that nobody named can be loaded by its place. It ignores those of a name that ignore, unless it is nil, says yes to.
func (l List) Check(ctx context.Context, dir string, memo *Memo, ignore func(name string) bool) error {
	found, err := look(dir, ignore)
	if err != nil {
		return err
	}
	here := map[string]Entry{}
	for _, e := range found {
		here[e.Name] = e
	}
	for _, want := range l {
		got, ok := here[want.Name]
		delete(here, want.Name)
		switch {
		case !ok:
			return fmt.Errorf("%s is missing in %s", want.Name, dir)
		case got.Link != want.Link:
			return fmt.Errorf("%s in %s links to %q, want %q", want.Name, dir, got.Link, want.Link)
		case got.Size != want.Size:
			return fmt.Errorf("%s in %s has %d bytes, want %d", want.Name, dir, got.Size, want.Size)
		case want.Link != "":
			continue
		}
		sum, _, err := memo.Of(ctx, filepath.Join(dir, filepath.FromSlash(want.Name)))
		if err != nil {
			return err
		}
		if sum != want.SHA256 {
			return fmt.Errorf("%s in %s has sha256 %s, want %s", want.Name, dir, sum, want.SHA256)
		}
	}
	for _, e := range found {
		if _, extra := here[e.Name]; extra {
			return fmt.Errorf("%s in %s belongs to nothing that was put there", e.Name, dir)
		}
	}
	return nil
}
