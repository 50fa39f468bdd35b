package worker

import (
	"errors"
	"runtime"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// closeNetwork keeps this process, all its threads and all that they start from the network, for good and without privileges.
// Of sockets they can make those to other processes of the machine (Unix) and to the kernel (netlink), which providers use to
// find devices, and no others; nor an io_uring, through which sockets are made past any filter. Who asks for more is refused with
// EPERM. It is an error if the kernel refuses; nothing is closed then.
//
// What runs in the process can still talk to a local service that talks to the network, and do with the user's files what the
// user can: this stops what reports home by itself, and is no jail for hostile code.
func closeNetwork() error {
	runtime.LockOSThread() // that no new privileges are to be had is the thread's, until the filter brings it to all
	defer runtime.UnlockOSThread()
	err := seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		// Without the second flag kernels before 5.16 make all of the process slower, against Spectre.
		Flag: seccomp.FilterFlagTSync | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		Policy: seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{{
			Action: seccomp.ActionErrno, // EPERM
			Names:  []string{"io_uring_setup"},
			NamesWithCondtions: []seccomp.NameWithConditions{{Name: "socket", Conditions: seccomp.ArgumentConditions{
				{Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_UNIX},
				{Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_NETLINK},
			}}},
		}}},
	})
	if err != nil {
		return err
	}
	// The library does not tell of a thread that could not be brought along.
	if s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		unix.Close(s)
		return errors.New("the kernel took a filter, and makes sockets all the same")
	}
	return nil
}
