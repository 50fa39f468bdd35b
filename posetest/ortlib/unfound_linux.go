package ortlib

import (
	"context"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/child"
)

// Unfound are the libraries that the dynamic linker does not find for a provider of an ONNX Runtime library, by a process with that
// environment; none for a provider that is not a library of its own. It asks the linker of this very program, which runs none of their
// code.
func Unfound(ctx context.Context, library, provider string, environ []string) ([]string, error) {
	own := filepath.Join(filepath.Dir(library), "libonnxruntime_providers_"+provider+".so")
	if _, err := os.Stat(own); err != nil {
		return nil, nil
	}
	linker, err := interpreter("/proc/self/exe")
	if err != nil || linker == "" {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, linker, own)
	cmd.Env = append(slices.Clone(environ), "LD_TRACE_LOADED_OBJECTS=1") // as ldd does; with --list it ends at the first that is missing
	defer child.Tie(cmd)()
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	missing := unfound(string(out))
	if err != nil && len(missing) == 0 {
		return nil, fmt.Errorf("ask the dynamic linker for the libraries of %s: %w", own, err)
	}
	return missing, nil
}

// interpreter is the dynamic linker that a program asks for, "" if it is linked statically.
func interpreter(program string) (string, error) {
	f, err := elf.Open(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			path, err := io.ReadAll(p.Open())
			return strings.TrimRight(string(path), "\x00"), err
		}
	}
	return "", nil
}

var missingLibrary = regexp.MustCompile(`(?m)^\s*(\S+) => not found$`)

// unfound reads the linker's list.
func unfound(list string) []string {
	var names []string
	for _, m := range missingLibrary.FindAllStringSubmatch(list, -1) {
		names = append(names, m[1])
	}
	return names
}
