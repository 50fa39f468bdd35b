package worker

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"unsafe"

	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/windows"
)

// A group is a worker with whatever it starts: a job, which ends when its last handle, ours, is closed.
type group struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	job windows.Handle // 0 once it is closed
}

func startGroup(cmd *exec.Cmd) (*group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP} // Ctrl-C is ours to handle
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE}}
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		windows.CloseHandle(job)
		return nil, err
	}
	g := &group{cmd: cmd, job: job}
	if err := g.join(); err != nil { // it has started nothing yet: it waits for a request
		cmd.Process.Kill()
		cmd.Wait()
		windows.CloseHandle(job)
		return nil, err
	}
	return g, nil
}

func (g *group) join() error {
	p, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(g.cmd.Process.Pid))
	if err != nil {
		return err
	}
	defer windows.CloseHandle(p)
	return windows.AssignProcessToJobObject(g.job, p)
}

// killed is the exit code of a process that its job ended.
const killed = 3

// kill ends the whole group, if its worker is not gone.
func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.job != 0 {
		windows.TerminateJobObject(g.job, killed)
	}
}

// wait waits until the worker has ended, and ends what it left behind.
func (g *group) wait() {
	g.cmd.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	windows.CloseHandle(g.job)
	g.job = 0
}

// usage is what the worker uses; nothing once it is gone.
func (g *group) usage() (u usage) {
	p := process.Process{Pid: int32(g.cmd.Process.Pid)}
	if m, err := p.MemoryInfo(); err == nil {
		u.memory, u.peak = int64(m.RSS), int64(m.RSS)
	}
	u.cpu = cpuTimeOf(g.cmd.Process.Pid)
	return u
}

// endSelf ends this process; its job ends what it started.
func endSelf() { os.Exit(killed) }

// passReplies uses standard output, since Windows passes no extra files to a child.
func passReplies(cmd *exec.Cmd, replies, _ *os.File) { cmd.Stdout = replies }

func repliesFile() io.Writer { return os.Stdout }

func deathSignal(*os.ProcessState) string { return "" }
