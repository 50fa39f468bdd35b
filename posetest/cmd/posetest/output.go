package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// An output is standard output. It keeps its first error, which few who print look at.
type output struct {
	file *os.File
	err  error
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.file.Write(p)
	if err == nil {
		return n, nil
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	o.err = fmt.Errorf("standard output: %w; what was printed is not whole: print it to a place that has room", err)
	return n, o.err
}

// lost is the error of what could not be printed. A reader that has read enough, such as head, has lost nothing.
func (o *output) lost() error {
	if errors.Is(o.err, syscall.EPIPE) {
		return nil
	}
	return o.err
}
