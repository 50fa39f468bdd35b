package worker

import (
	"io/fs"
	"os"
	"path/filepath"
)

// openFolders opens the folders that a worker has shut in its own, so that they can be removed with what is in them.
func openFolders(dir string) {
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() { // and no link
			os.Chmod(path, 0o700)
		}
		return nil
	})
}
