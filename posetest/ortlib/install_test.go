package ortlib

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posetest/suite/posetest/sums"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func eventually(t *testing.T, what string, ok func() bool) {
	require.Eventually(t, ok, 10*time.Second, 10*time.Millisecond, what)
}

func TestInstall(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("serve")
	_, err := g.Library(g.runtime)
	var missing *NotInstalledError
	require.ErrorAs(t, err, &missing)
	require.ErrorContains(t, err, `onnxruntime-fake@9.9.9 is not installed (`)
	require.ErrorContains(t, err, `install it with "posetest runtime install fake-9.9.9"`)
	require.Empty(t, g.left(), "asking changes nothing")

	library, err := g.Install(t.Context(), g.runtime)
	require.NoError(t, err)
	require.Equal(t, "libonnxruntime.so.9.9.9", filepath.Base(library))
	folder := filepath.Base(filepath.Dir(library)) + "/"
	assert.Equal(t, []string{folder + "LICENSE", folder + "ThirdPartyNotices.txt", folder + "libonnxruntime.so.9.9.9", folder + "libonnxruntime_providers_shared.so",
		folder + "libopenvino.so", folder + "libopenvino.so.2541", folder + "manifest.json"}, g.left(), "no Python module, no wheel, no staging")
	one, err := os.Stat(filepath.Join(g.Dir, folder, "libopenvino.so"))
	require.NoError(t, err)
	two, err := os.Stat(filepath.Join(g.Dir, folder, "libopenvino.so.2541"))
	require.NoError(t, err)
	assert.True(t, os.SameFile(one, two), "equal files are stored once")
	assert.Equal(t, "installing onnxruntime-fake@9.9.9 (0 MB) …\n", g.log.String())
	require.Len(t, g.calls(), 1)
	for _, want := range []string{"--no-deps", "--only-binary=:all:", "--python-version=3.11", "--abi=cp311", "--platform=this_machine", "--platform=that_machine", "--require-hashes", "--quiet"} {
		assert.Contains(t, strings.Fields(g.calls()[0]), want)
	}

	again, err := g.Install(t.Context(), g.runtime)
	require.NoError(t, err)
	assert.Equal(t, library, again)
	assert.Len(t, g.calls(), 1, "nothing is downloaded twice")

	for _, row := range []struct {
		why, want string
		harm      func() error
	}{
		{"a neighbour cut short", "libopenvino.so in ", func() error { return os.Truncate(filepath.Join(g.Dir, folder, "libopenvino.so"), 3) }},
		{"a neighbour removed", "libonnxruntime_providers_shared.so is missing in ", func() error {
			return os.Remove(filepath.Join(g.Dir, folder, "libonnxruntime_providers_shared.so"))
		}},
		{"a bit turned in the library", "libonnxruntime.so.9.9.9 in ", func() error {
			return os.WriteFile(library, []byte(strings.Repeat("the librarx", 1000)), 0o644)
		}},
		{"a bit turned in a neighbour", "libonnxruntime_providers_shared.so in ", func() error {
			return os.WriteFile(filepath.Join(g.Dir, folder, "libonnxruntime_providers_shared.so"), []byte("the bridgf"), 0o644)
		}},
		{"a library that the linker would find here before its own", "libtbb.so.12 in ", func() error {
			return os.WriteFile(filepath.Join(g.Dir, folder, "libtbb.so.12"), nil, 0o644)
		}},
		{"a folder that the linker looks into first", "glibc-hwcaps/x86-64-v3/libopenvino.so in ", func() error {
			dir := filepath.Join(g.Dir, folder, "glibc-hwcaps", "x86-64-v3")
			return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "libopenvino.so"), nil, 0o644))
		}},
		{"another library in the manifest", "manifest.json holds onnxruntime/capi/libonnxruntime.so.9.9.9 with sha256 0000", func() error {
			return edit(filepath.Join(g.Dir, folder, manifestName), g.runtime.Platforms[machine].LibrarySHA256, strings.Repeat("0", 64))
		}},
		{"the manifest emptied", "manifest.json is damaged", func() error { return os.Truncate(filepath.Join(g.Dir, folder, manifestName), 0) }},
		{"the library removed", "libonnxruntime.so.9.9.9 is missing in ", func() error { return os.Remove(library) }},
	} {
		t.Run(row.why, func(t *testing.T) {
			require.NoError(t, row.harm())
			_, err := g.Library(g.runtime)
			require.ErrorAs(t, err, &missing)
			require.ErrorContains(t, err, row.want)
			_, err = g.Install(t.Context(), g.runtime)
			require.NoError(t, err, "Install mends it")
			require.Len(t, g.left(), 7)
		})
	}

	t.Run("a neighbour together with its sum in the manifest", func(t *testing.T) {
		list := unpacked(t, filepath.Dir(library))
		whole := g.pinned(func(p *Platform) { p.FilesSHA256 = list.SHA256() })
		_, err := g.Library(whole)
		require.NoError(t, err)
		const name = "libonnxruntime_providers_shared.so"
		require.NoError(t, os.WriteFile(filepath.Join(g.Dir, folder, name), []byte("the bridgf"), 0o644))
		evil, _, err := sums.Of(t.Context(), filepath.Join(g.Dir, folder, name))
		require.NoError(t, err)
		i := slices.IndexFunc(list, func(e sums.Entry) bool { return e.Name == name })
		require.NoError(t, edit(filepath.Join(g.Dir, folder, manifestName), list[i].SHA256, evil))
		_, err = g.Library(g.runtime)
		require.NoError(t, err, "without filesSHA256 nothing says that it is another")
		_, err = g.Library(whole)
		require.ErrorAs(t, err, &missing)
		require.ErrorContains(t, err, "manifest.json holds files of the sum ")
		_, err = g.Install(t.Context(), whole)
		require.NoError(t, err, "Install mends it")
	})
	t.Run("what was read already is read again when it was touched", func(t *testing.T) {
		s := g.Store
		s.Sums = new(sums.Memo)
		for range 2 {
			_, err := s.Library(g.runtime)
			require.NoError(t, err)
		}
		require.NoError(t, os.WriteFile(library, []byte(strings.Repeat("the librarx", 1000)), 0o644))
		_, err := s.Library(g.runtime)
		require.ErrorContains(t, err, "libonnxruntime.so.9.9.9 in ")
		_, err = s.Install(t.Context(), g.runtime)
		require.NoError(t, err)
	})
	t.Run("a file manager's traces are nothing to load", func(t *testing.T) {
		require.NoError(t, os.WriteFile(filepath.Join(g.Dir, folder, ".DS_Store"), nil, 0o644))
		_, err := g.Library(g.runtime)
		require.NoError(t, err)
		require.NoError(t, os.Remove(filepath.Join(g.Dir, folder, ".DS_Store")))
	})
	t.Run("another pin", func(t *testing.T) {
		other := g.pinned(func(p *Platform) { p.WheelSHA256 = strings.Repeat("0", 64) })
		_, err := g.Library(other)
		require.ErrorAs(t, err, &missing)
		require.ErrorContains(t, err, "from another wheel than runtimes.json pins")
	})
	t.Run("another machine", func(t *testing.T) {
		r := g.runtime
		r.Platforms = map[string]Platform{"plan9/386": {}}
		_, err := g.Install(t.Context(), r)
		require.EqualError(t, err, "onnxruntime-fake@9.9.9 has no wheel for "+machine+", only for plan9/386: choose another runtime, or point POSETEST_ORT at a library of your own")
	})
}

// edit replaces words in a file.
func edit(path, old, new string) error {
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(text, []byte(old)) {
		return errors.Join(err, fmt.Errorf("no %q in %s", old, path))
	}
	return os.WriteFile(path, bytes.ReplaceAll(text, []byte(old), []byte(new)), 0o644)
}

// unpacked is what the manifest of a runtime lists.
func unpacked(t *testing.T, dir string) sums.List {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	require.NoError(t, err)
	var m manifest
	require.NoError(t, json.Unmarshal(text, &m))
	return m.Files
}

// Each of these ends with one sentence, and leaves nothing behind, or only a whole wheel.
func installFails(t *testing.T) {
	zeros := strings.Repeat("0", 64)
	for _, row := range []struct {
		why, mode string
		extra     []entry
		change    func(*Platform)
		want      string
		calls     int
		wheelLeft bool
	}{
		{"pip sees a wrong sum", "serve", nil, func(p *Platform) { p.WheelSHA256 = zeros },
			"runtimes.json says " + zeros + `: it was thrown away; if the registry serves what you trust, pin it again with "posetest runtime pin"`, 2, false},
		{"a pip that does not look at sums", "blind", nil, func(p *Platform) { p.WheelSHA256 = zeros }, "runtimes.json says " + zeros, 1, false},
		{"a wheel of another size", "serve", nil, func(p *Platform) { p.WheelSize = 5 }, "bytes, want 5) has sha256 ", 1, false},
		{"no such wheel", "serve", nil, func(p *Platform) { p.Wheel = "onnxruntime_fake-9.9.9-cp311-cp311-other.whl" }, "the package registry has no such wheel (pip: No matching distribution", 1, false},
		{"no network", "unreachable", nil, nil, "the package registry cannot be reached (pip: No matching distribution found for it): check the network", 1, false},
		{"pip fails for good", "broken", nil, nil, "pip failed: the registry is on fire", tries, false},
		{"pip finds a disk full, which trying again does not change", "full", nil, nil,
			"pip failed: Could not install packages due to an OSError: [Errno 28] No space left on device: make room for some 500 MB in ", 1, false},
		{"Python without pip", "missing", nil, nil, "has no pip for Python 3, with which runtimes are downloaded: install it", 0, false},
		{"the pin of the library is wrong", "serve", nil, func(p *Platform) { p.LibrarySHA256 = zeros }, "this_machine.that_machine.whl holds onnxruntime/capi/libonnxruntime.so.9.9.9 with sha256 ", 1, true},
		{"the pin of all files is wrong", "serve", nil, func(p *Platform) { p.FilesSHA256 = zeros }, "this_machine.that_machine.whl holds files of the sum ", 1, true},
		{"the library is not in the wheel", "serve", nil, func(p *Platform) { p.Library = "onnxruntime/capi/libonnxruntime.so.8" }, "holds no onnxruntime/capi/libonnxruntime.so.8, which runtimes.json says", 1, true},
		{"an entry that climbs out", "serve", []entry{{"onnxruntime/capi/../../../../evil.so", "evil", 0}}, nil, `would leave its folder: nothing was unpacked; do not use this wheel`, 1, true},
		{"an absolute entry", "serve", []entry{{"/tmp/evil.so", "evil", 0}}, nil, `has an entry "/tmp/evil.so" that would leave its folder`, 1, true},
		{"a backslash, which Windows takes for a slash", "serve", []entry{{`onnxruntime\capi\..\..\evil.dll`, "evil", 0}}, nil, "would leave its folder", 1, true},
		{"a symbolic link for a library", "serve", []entry{{"onnxruntime/capi/libevil.so", "/etc/passwd", fs.ModeSymlink | 0o777}}, nil, `"onnxruntime/capi/libevil.so" that is no regular file`, 1, true},
		{"one name twice", "serve", []entry{{"onnxruntime/capi/libopenvino.so", "evil", 0}}, nil, "unpacking onnxruntime/capi/libopenvino.so of onnxruntime_fake-9.9.9", 1, true},
	} {
		t.Run(row.why, func(t *testing.T) {
			g := newRig(t, append(slices.Clone(wheelEntries), row.extra...))
			g.pip(row.mode)
			r := g.runtime
			if row.change != nil {
				r = g.pinned(row.change)
			}
			_, err := g.Install(t.Context(), r)
			require.ErrorContains(t, err, row.want)
			require.ErrorContains(t, err, "installing onnxruntime-fake@9.9.9: ")
			assert.NotContains(t, err.Error(), "\n", "one sentence")
			assert.Len(t, g.calls(), row.calls)
			if left := g.left(); row.wheelLeft {
				require.Len(t, left, 1)
				assert.True(t, strings.HasSuffix(left[0], ".staging/"+g.runtime.Platforms[machine].Wheel), left[0])
			} else {
				assert.Empty(t, left)
				assert.NoDirExists(t, filepath.Join(g.Dir, folder(r)+".staging"))
			}
		})
	}
}

func TestInstallWithoutPython(t *testing.T) {
	g := newRig(t, wheelEntries)
	t.Setenv("PATH", t.TempDir())
	g.Python = ""
	_, err := g.Install(t.Context(), g.runtime)
	require.ErrorContains(t, err, "installing onnxruntime-fake@9.9.9: no Python 3 was found (tried python3, python")
	require.Empty(t, g.left())
}

func TestInstallOffline(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("serve")
	offline := g.Store
	offline.Offline = true
	_, err := offline.Install(t.Context(), g.runtime)
	require.EqualError(t, err, "installing onnxruntime-fake@9.9.9: its wheel "+g.runtime.Platforms[machine].Wheel+
		" (0 MB) is missing and POSETEST_OFFLINE forbids to download it: allow it once, or point POSETEST_ORT at a library of your own")
	require.NoDirExists(t, g.Dir)
	_, err = Pin(t.Context(), offline, "onnxruntime-fake@9.9.9")
	require.ErrorContains(t, err, "POSETEST_OFFLINE forbids to download them")
	require.Empty(t, g.calls())

	want, err := g.Install(t.Context(), g.runtime)
	require.NoError(t, err)
	got, err := offline.Install(t.Context(), g.runtime)
	require.NoError(t, err, "what is installed needs no network")
	require.Equal(t, want, got)
}

func TestInstallGoesOnAfterACutDownload(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("cut")
	_, err := g.Install(t.Context(), g.runtime)
	require.NoError(t, err)
	require.Len(t, g.calls(), 2)
	require.Contains(t, g.log.String(), "try 1 of 3 to download onnxruntime-fake@9.9.9 failed: pip failed: urllib3.exceptions.ProtocolError: IncompleteRead")
}

func TestInstallUsesAWheelThatIsWhole(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("serve")
	wrong := g.pinned(func(p *Platform) { p.LibrarySHA256 = strings.Repeat("0", 64) })
	_, err := g.Install(t.Context(), wrong)
	require.Error(t, err, "downloaded, but not unpacked to the end")
	g.pip("broken")
	g.Offline = true
	_, err = g.Install(t.Context(), g.runtime)
	require.NoError(t, err)
	require.Len(t, g.calls(), 1, "the wheel was whole")
	require.Contains(t, g.log.String(), "installing onnxruntime-fake@9.9.9 (downloaded before) …\n")
}

func afterAKill(t *testing.T) {
	start := func(t *testing.T) rig {
		g := newRig(t, wheelEntries)
		g.pip("slow")
		cmd, _ := g.elsewhere()
		eventually(t, "pip has written half a wheel", func() bool { return slices.ContainsFunc(g.left(), isWheelName) })
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		_, err := g.Library(g.runtime)
		require.Error(t, err, "half a wheel is nothing")
		return g
	}
	t.Run("half a wheel is fetched anew", func(t *testing.T) {
		g := start(t)
		defer g.release() // for the orphaned pip, whose folder is gone
		g.pip("serve")
		_, err := g.Install(t.Context(), g.runtime)
		require.NoError(t, err)
		require.Len(t, g.calls(), 2)
		require.Len(t, g.left(), 7)
	})
	t.Run("what pip had finished is used", func(t *testing.T) {
		g := start(t)
		defer g.release() // where pip outlives who started it
		half, err := filepath.Glob(filepath.Join(g.Dir, "*.staging", "pip-*", "*.whl"))
		require.NoError(t, err)
		require.Len(t, half, 1)
		copyWheel(t, filepath.Join(g.served, filepath.Base(half[0])), half[0])
		g.pip("broken")
		_, err = g.Install(t.Context(), g.runtime)
		require.NoError(t, err)
		require.Len(t, g.calls(), 1)
		require.Len(t, g.left(), 7)
	})
}

func copyWheel(t *testing.T, from, to string) {
	content, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, content, 0o644))
}

func isWheelName(name string) bool { return strings.HasSuffix(name, ".whl") }

func inTwoProcesses(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("slow")
	first, firstOut := g.elsewhere()
	eventually(t, "the first downloads", func() bool { return len(g.calls()) == 1 })
	second, secondOut := g.elsewhere()
	eventually(t, "the second waits", func() bool { return strings.Contains(secondOut.String(), "waiting") })

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := g.Install(ctx, g.runtime)
	require.ErrorIs(t, err, context.DeadlineExceeded, "waiting honours the context")

	g.release()
	require.NoError(t, first.Wait(), firstOut)
	require.NoError(t, second.Wait(), secondOut)
	assert.Len(t, g.calls(), 1, "one download for both")
	library, err := g.Library(g.runtime)
	require.NoError(t, err)
	assert.Equal(t, "installing onnxruntime-fake@9.9.9 (0 MB) …\n"+library+"\n", firstOut.String())
	assert.Equal(t, "waiting for another process that installs onnxruntime-fake@9.9.9 …\n"+library+"\n", secondOut.String())
}

func TestInstallIsInterrupted(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("child")
	ctx, cancel := context.WithCancel(t.Context())
	beat := filepath.Join(g.served, "beat")
	go func() {
		defer cancel()
		for range 1000 {
			if _, err := os.Stat(beat); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	_, err := g.Install(ctx, g.runtime)
	require.FileExists(t, beat, "pip's child was at work")
	require.ErrorIs(t, err, context.Canceled)
	require.EqualError(t, err, "installing onnxruntime-fake@9.9.9 was interrupted (context canceled): run it again, it goes on with what is whole")
	require.Empty(t, g.left())
	last, err := os.ReadFile(beat)
	require.NoError(t, err)
	time.Sleep(200 * time.Millisecond)
	now, err := os.ReadFile(beat)
	require.NoError(t, err)
	require.Equal(t, string(last), string(now), "pip's child still beats")
}

func TestUnpackIsInterrupted(t *testing.T) {
	g := newRig(t, wheelEntries)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := unpack(ctx, filepath.Join(g.served, g.runtime.Platforms[machine].Wheel), t.TempDir())
	require.ErrorIs(t, err, context.Canceled)
}

func intoAFile(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("serve")
	taken := filepath.Join(t.TempDir(), "taken")
	require.NoError(t, os.WriteFile(taken, nil, 0o644))
	g.Dir = filepath.Join(taken, "runtimes")
	_, err := g.Install(t.Context(), g.runtime)
	require.ErrorContains(t, err, "the folder for runtimes cannot be made (mkdir "+taken)
	require.Empty(t, g.calls())
}

func TestEnviron(t *testing.T) {
	own, other, plain := t.TempDir(), t.TempDir(), t.TempDir()
	for _, dir := range []string{own, other} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "libonnxruntime_providers_shared.so"), nil, 0o644))
	}
	list := func(dirs ...string) string {
		return "LD_LIBRARY_PATH=" + strings.Join(dirs, string(filepath.ListSeparator))
	}
	library := filepath.Join(own, "libonnxruntime.so")
	for _, row := range []struct {
		why      string
		in, want []string
	}{
		{"most have none", []string{"A=1"}, []string{"A=1"}},
		{"another runtime's folder goes", []string{"A=1", list(other, plain), "B=2"}, []string{"A=1", list(plain), "B=2"}},
		{"its own and unrelated ones stay", []string{list(plain, own)}, []string{list(plain, own)}},
		{"an empty list would mean the working directory", []string{list(other), "B=2"}, []string{"B=2"}},
	} {
		t.Run(row.why, func(t *testing.T) { assert.Equal(t, row.want, Environ(library, row.in)) })
	}
}

func TestPin(t *testing.T) {
	g := newRig(t, wheelEntries)
	g.pip("serve")
	shipped := bindingLibraries(t)
	for _, w := range []struct{ wheel, name, file string }{
		{"onnxruntime_fake-1.33.0-cp311-cp311-manylinux_2_28_aarch64.whl", "libonnxruntime.so.1.33.0", "onnxruntime_arm64.so"},
		{"onnxruntime_fake-1.33.0-cp312-cp312-win_amd64.whl", "onnxruntime.dll", "onnxruntime.dll"},
		{"onnxruntime_fake-1.34.0-cp311-cp311-manylinux_2_28_aarch64.whl", "libonnxruntime.so.1.34.0", "onnxruntime.dll"},
		{"onnxruntime_fake-1.35.0-cp311-cp311-win_amd64.whl", "other.dll", "onnxruntime.dll"},
	} {
		writeWheel(t, filepath.Join(g.served, w.wheel), libraryDir+"/"+w.name, filepath.Join(shipped, w.file))
	}
	require.NoError(t, os.MkdirAll(g.Dir, 0o755))
	r, err := Pin(t.Context(), g.Store, "onnxruntime-fake@1.33.0")
	require.NoError(t, err)
	require.Equal(t, []string{"linux/arm64", "windows/amd64"}, sortedKeys(r.Platforms), "platforms without a wheel are left out, a newer Python's wheel will do")
	for name, file := range map[string]string{"linux/arm64": "onnxruntime_arm64.so", "windows/amd64": "onnxruntime.dll"} {
		p := r.Platforms[name]
		sum, _, err := sums.Of(t.Context(), filepath.Join(shipped, file))
		require.NoError(t, err)
		assert.Equal(t, sum, p.LibrarySHA256)
		sum, size, err := sums.Of(t.Context(), filepath.Join(g.served, p.Wheel))
		require.NoError(t, err)
		assert.Equal(t, sum, p.WheelSHA256)
		assert.Equal(t, size, p.WheelSize)
		assert.Equal(t, []string{"cpu"}, p.Providers)
	}
	text, err := Marshal([]Runtime{r})
	require.NoError(t, err)
	back, err := Parse(text)
	require.NoError(t, err, "what Pin yields is a valid entry")
	require.Equal(t, []Runtime{r}, back)

	for _, row := range []struct{ why, name, want string }{
		{"no wheel anywhere", "onnxruntime-fake@1.99.0", "pinning onnxruntime-fake@1.99.0: the package registry has no such wheel for Python 3.11, 3.12, 3.13, 3.14 on any platform: check the name and the version"},
		{"a wheel with another machine's library", "onnxruntime-fake@1.34.0", "pinning onnxruntime-fake@1.34.0 for linux/arm64: "},
		{"a wheel without ONNX Runtime", "onnxruntime-fake@1.35.0", "holds no ONNX Runtime library in onnxruntime/capi"},
		{"another package", "numpy@2.0.0", `"numpy@2.0.0" is no runtime: want distribution@version such as`},
		{"no version", "onnxruntime", "is no runtime: want distribution@version"},
	} {
		t.Run(row.why, func(t *testing.T) {
			_, err := Pin(t.Context(), g.Store, row.name)
			require.ErrorContains(t, err, row.want)
			assert.NotContains(t, err.Error(), "\n", "one sentence")
		})
	}
	require.Empty(t, g.left(), "nothing is left in the store")
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("PK"), "onnxruntime/capi/x.so")
	f.Fuzz(func(t *testing.T, content []byte, name string) {
		if len(name) > 200 {
			return
		}
		root := t.TempDir()
		dir, wheel := filepath.Join(root, "a", "b"), filepath.Join(root, "w.whl")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		writeWheelOf(t, wheel, name, bytes.NewReader(content))
		_, _ = unpack(t.Context(), wheel, dir)
		for _, parent := range []string{root, filepath.Join(root, "a")} {
			inside, err := os.ReadDir(parent)
			require.NoError(t, err)
			for _, e := range inside {
				require.Contains(t, []string{"a", "b", "w.whl"}, e.Name(), "%q left its folder", name)
			}
		}
	})
}

func writeWheelOf(t testing.TB, path, name string, content io.Reader) {
	f, err := os.Create(path)
	require.NoError(t, err)
	z := zip.NewWriter(f)
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	require.NoError(t, err)
	_, err = io.Copy(w, content)
	if !strings.HasSuffix(name, "/") { // a folder has no content
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
}

func writeWheel(t testing.TB, path, name, from string) {
	f, err := os.Open(from)
	require.NoError(t, err)
	defer f.Close()
	writeWheelOf(t, path, name, f)
}

// The smallest runtime that has a wheel for this machine, as anybody gets it.
func TestInstallReal(t *testing.T) {
	if os.Getenv("POSETEST_OFFLINE") == "1" {
		t.Skip("POSETEST_OFFLINE=1 forbids to download a runtime: unset it")
	}
	known, err := Known()
	require.NoError(t, err)
	all, err := Select(known, "all")
	if err != nil {
		t.Skip(err)
	}
	smallest := slices.MinFunc(all, func(a, b Runtime) int {
		return int(a.Platforms[machine].WheelSize - b.Platforms[machine].WheelSize)
	})
	log := &bytes.Buffer{}
	library, err := Store{Dir: t.TempDir(), Log: log}.Install(t.Context(), smallest)
	require.NoError(t, err, log)
	require.NoError(t, CheckLibrary(library))
	var files sums.List
	inside, err := os.ReadDir(filepath.Dir(library))
	require.NoError(t, err)
	for _, e := range inside {
		files = append(files, sums.Entry{Name: e.Name()})
	}
	got, err := providers(filepath.Dir(library), filepath.Base(library), files)
	require.NoError(t, err)
	require.Equal(t, smallest.Platforms[machine].Providers, got)
	if want := smallest.Platforms[machine].FilesSHA256; want != "" {
		require.Equal(t, want, unpacked(t, filepath.Dir(library)).SHA256())
	}
}
