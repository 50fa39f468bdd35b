// Package faulttest gives a test's child process a disk that is full, or may only be read, or a machine that has nothing but glibc. It
// is for tests alone, on Linux. Try and Times are for every system.
//
//	func TestMain(m *testing.M) { faulttest.Main(); os.Exit(m.Run()) }
//	…
//	disk := faulttest.Disk{Dir: dir, Room: 4096}
//	seen := disk.Under(t, cmd)  // cmd is the test binary, started again
//	err := cmd.Run()            // and must tell of disk.Words(); seen is a copy of dir as cmd left it
//
//	cmd, dir := faulttest.Bare{Dir: dir, Out: out, Program: "run"}.Command(t)
//	err := cmd.Run()            // in a root of its own
//
// The disk is a small tmpfs in a mount namespace of the child's own, which root may have, and elsewhere a user in a user
// namespace. Where neither is allowed, files may be no longer than the room, or the folder loses its write permission: the
// system then has other words for it, and nothing is skipped. Nor is it for want of a machine: its program then runs on this one.
package faulttest
