package faulttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A Disk is what a child process finds at a folder: what is there now, and no room beyond that.
type Disk struct {
	Dir      string
	Room     int64 // bytes free, of pages of 4096
	ReadOnly bool

	Copy, Hold string // set by Under: where the child leaves what it saw, and keeps what was there
	Mounted    bool   // set by Under
}

// env holds a Disk, for Main.
const env = "POSETEST_FAULTTEST"

// page is the unit in which tmpfs gives room, in bytes.
const page = 4096

// Under makes a command, which must be the test binary and not started, run on the disk, and returns the folder in which
// there will be a copy of Dir as the command left it.
func (d Disk) Under(t testing.TB, cmd *exec.Cmd) (seen string) {
	t.Helper()
	tmp := t.TempDir()
	d.Copy, d.Hold, d.Mounted = filepath.Join(tmp, "copy"), filepath.Join(tmp, "hold"), mountable()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, env+"="+string(text))
	if d.Mounted {
		cmd.SysProcAttr = namespace()
	}
	return d.Copy
}

// Words are what the system says of this disk's fault.
func (d Disk) Words() string {
	switch {
	case mountable() && d.ReadOnly:
		return unix.EROFS.Error()
	case mountable():
		return unix.ENOSPC.Error()
	case d.ReadOnly:
		return unix.EACCES.Error()
	}
	return unix.EFBIG.Error()
}

// namespace is one of mounts, and where this process is not root one of users, in which it is.
func namespace() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return a
}

// NoMounts is a variable that keeps this package from namespaces, so that the other way is tried on any machine.
const NoMounts = "POSETEST_FAULTTEST_NO_MOUNTS"

// mountable tells whether a child can have a disk of its own.
var mountable = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("", "faulttest-")
	if err != nil || os.Getenv(NoMounts) != "" {
		return false
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return false
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), env+"="+fmt.Sprintf(`{"Dir":%q,"Mounted":true}`, dir)) // without a Hold it is a try
	cmd.SysProcAttr = namespace()
	return cmd.Run() == nil
})

// Main turns this process into the one that lays out a disk and runs the command on it, if it was started for that. Call it
// first thing in TestMain.
func Main() {
	if text := os.Getenv(bareEnv); text != "" {
		var b Bare
		err := json.Unmarshal([]byte(text), &b)
		end(err, b.main)
	}
	text := os.Getenv(env)
	if text == "" {
		return
	}
	var d Disk
	err := json.Unmarshal([]byte(text), &d)
	end(err, d.main)
}

// end ends this process as what it became, if its orders could be read.
func end(err error, main func() (code int, err error)) {
	code := 0
	if err == nil {
		code, err = main()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faulttest:", err)
		os.Exit(99)
	}
	os.Exit(code)
}

func (d Disk) main() (code int, err error) {
	if d.Hold == "" {
		return 0, d.mount(page)
	}
	lay, lift := d.limit, d.unlimit
	if d.Mounted {
		lay, lift = d.replace, func() error { return nil }
	}
	if err := lay(); err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, env+"=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), errors.Join(lift(), os.CopyFS(d.Copy, os.DirFS(d.Dir)))
}

// replace puts a disk of that size in the folder's place, with what is in the folder.
func (d Disk) replace() error {
	if err := os.CopyFS(d.Hold, os.DirFS(d.Dir)); err != nil {
		return err
	}
	size := int64(page) // a size of 0 would be no limit
	err := filepath.WalkDir(d.Dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += (info.Size() + page - 1) / page * page
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := d.mount(size + d.Room); err != nil {
		return err
	}
	if err := os.CopyFS(d.Dir, os.DirFS(d.Hold)); err != nil {
		return err
	}
	if d.ReadOnly {
		return unix.Mount("", d.Dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return d.take()
}

func (d Disk) mount(size int64) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to this process: %w", err)
	}
	return os.NewSyscallError("mount", unix.Mount("tmpfs", d.Dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", size)))
}

// taken is held open, by nobody's name.
var taken *os.File

// take takes the first page, so that the room is all that is left.
func (d Disk) take() (err error) {
	if taken, err = os.CreateTemp(d.Dir, ""); err != nil {
		return err
	}
	if err := os.Remove(taken.Name()); err != nil {
		return err
	}
	_, err = taken.Write(make([]byte, page))
	return err
}

// limit does without a disk: no file grows beyond the room, or nothing in the folder can be written.
func (d Disk) limit() error {
	if !d.ReadOnly {
		signal.Ignore(unix.SIGXFSZ)
		room := uint64(d.Room)
		return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: room, Max: unix.RLIM_INFINITY})
	}
	if os.Geteuid() == 0 { // who may write everywhere, unless that right is given up for good
		runtime.LockOSThread() // of the thread that starts the command
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_DAC_OVERRIDE, 0, 0, 0); err != nil {
			return err
		}
	}
	return d.permit(0)
}

func (d Disk) unlimit() error {
	if d.ReadOnly {
		return d.permit(0o200)
	}
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
}

// permit gives all in the folder the owner's write permission, or takes it.
func (d Disk) permit(write fs.FileMode) error {
	return filepath.WalkDir(d.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm()&^0o222|write)
	})
}
