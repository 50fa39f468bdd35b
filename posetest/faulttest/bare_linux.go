package faulttest

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A Bare is a machine that has glibc and nothing else, no shell, no C++ library and no network. What the kernel shows is there (/proc,
// /sys, /dev), and an empty /tmp.
type Bare struct {
	Dir     string   // of this machine, which is /bundle there, and can only be read
	Out     string   // of this machine, which is /out there: where the program is started
	Program string   // below Dir
	Args    []string // of it
	Env     []string // all that it has

	Root string // set by Command
}

// bareEnv holds a Bare, for Main.
const bareEnv = "POSETEST_FAULTTEST_BARE"

// Command is the program, ready to run on the machine, and the name that Dir has for it. Where no namespaces are to be had, it is the
// program on this machine, with no more environment than it is given.
func (b Bare) Command(t testing.TB) (cmd *exec.Cmd, dir string) {
	t.Helper()
	if !bareable() {
		t.Log("no namespaces are to be had: the program runs with what this machine has, and little environment")
		cmd = exec.Command(filepath.Join(b.Dir, b.Program), b.Args...)
		cmd.Env, cmd.Dir = b.Env, b.Out
		return cmd, b.Dir
	}
	b.Root = t.TempDir()
	if err := glibcInto(b.Root); err != nil {
		t.Fatal(err)
	}
	cmd, err := b.command()
	if err != nil {
		t.Fatal(err)
	}
	return cmd, "/bundle"
}

// command is the test binary, started again to become the program.
func (b Bare) command() (*exec.Cmd, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = []string{bareEnv + "=" + string(text)}
	cmd.SysProcAttr = namespace()
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
	return cmd, nil
}

// bareable tells whether such a machine can be had.
var bareable = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("", "faulttest-")
	if err != nil || os.Getenv(NoMounts) != "" {
		return false
	}
	defer os.RemoveAll(dir)
	cmd, err := Bare{Root: dir, Dir: os.TempDir(), Out: os.TempDir()}.command() // without a program it is a try
	return err == nil && cmd.Run() == nil
})

var loadedLibc = regexp.MustCompile(` (/\S*)/libc(-[\d.]+\.so|\.so\.6)\n`)

// glibcInto puts this process's dynamic linker and the libraries of glibc into a root, each where it is here.
func glibcInto(root string) error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	m := loadedLibc.FindSubmatch(maps)
	if m == nil {
		return errors.New("faulttest: this test binary runs without glibc; build it with cgo")
	}
	linker, err := interpreter("/proc/self/exe")
	if err != nil {
		return err
	}
	files := []string{linker}
	for _, name := range []string{"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2"} {
		files = append(files, filepath.Join(string(m[1]), name))
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(root, path), text, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// interpreter is the dynamic linker that a program asks for.
func interpreter(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			text, err := io.ReadAll(p.Open())
			return strings.TrimRight(string(text), "\x00"), err
		}
	}
	return "", fmt.Errorf("faulttest: %s is no dynamic program", path)
}

// main lays the machine out and runs the program on it.
func (b Bare) main() (code int, err error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, fmt.Errorf("keep mounts to this process: %w", err)
	}
	for _, m := range []struct{ from, to string }{{"/proc", "/proc"}, {"/sys", "/sys"}, {"/dev", "/dev"}, {b.Dir, "/bundle"}, {b.Out, "/out"}} {
		to := filepath.Join(b.Root, m.to)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return 0, err
		}
		if err := unix.Mount(m.from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return 0, fmt.Errorf("mount %s: %w", m.from, err)
		}
	}
	if err := readOnly(filepath.Join(b.Root, "bundle")); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(filepath.Join(b.Root, "tmp"), 0o755); err != nil {
		return 0, err
	}
	if err := unix.Mount("tmpfs", filepath.Join(b.Root, "tmp"), "tmpfs", 0, ""); err != nil {
		return 0, fmt.Errorf("mount /tmp: %w", err)
	}
	if err := errors.Join(unix.Chroot(b.Root), unix.Chdir("/out")); err != nil || b.Program == "" {
		return 0, err
	}
	cmd := exec.Command(filepath.Join("/bundle", b.Program), b.Args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = b.Env, os.Stdout, os.Stderr
	err = cmd.Run()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// stRelatime is MS_RELATIME as statfs has it (ST_RELATIME of glibc's sys/statvfs.h).
const stRelatime = 4096

// readOnly makes a mount one that can only be read. What a user's namespace has inherited of its flags it may not drop.
func readOnly(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	keep := uintptr(st.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME) // statfs numbers them alike
	if st.Flags&stRelatime != 0 {
		keep |= unix.MS_RELATIME
	}
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|keep, ""); err != nil {
		return fmt.Errorf("mount %s read-only: %w", dir, err)
	}
	return nil
}
