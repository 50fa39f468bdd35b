package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version names this build: the release, or the commit that go put in ("(devel)" where it was built without one), and the
// toolchain and platform, on which the bytes depend as well.
func version() string {
	release := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok {
		release = cmp.Or(info.Main.Version, release)
	}
	return fmt.Sprintf("%s %s %s/%s", release, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
