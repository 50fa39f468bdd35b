package ortlib

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The test binary stands for python and for a second process that installs, as these variables say.
const (
	fakeMode   = "ORTLIB_FAKE_PIP" // what the fake pip does: see fakePip
	fakeDir    = "ORTLIB_FAKE_DIR" // the wheels it serves; it writes "calls" there, and may wait for "go"
	installVar = "ORTLIB_INSTALL"  // the installation that a second process is to make, as JSON
)

func TestMain(m *testing.M) {
	beOnADisk()
	switch {
	case len(os.Args) > 2 && os.Args[1] == "-m" && os.Args[2] == "pip":
		os.Exit(fakePip(os.Args[3:]))
	case os.Getenv(installVar) != "":
		os.Exit(installHere(os.Getenv(installVar)))
	}
	os.Exit(m.Run())
}

// fakePip does what pip does with the arguments that this package gives: it refuses sums that differ, in pip's
// words, unless the mode says "blind".
func fakePip(args []string) int {
	mode, served := os.Getenv(fakeMode), os.Getenv(fakeDir)
	mode, after, _ := strings.Cut(mode, " ")
	if args[0] == "--version" {
		if mode == "missing" {
			fmt.Fprintln(os.Stderr, "No module named pip")
			return 1
		}
		fmt.Println("pip 99.0 from nowhere (python 3.11)")
		return 0
	}
	if args[0] == "index" {
		if mode == "unreachable" {
			fmt.Fprintln(os.Stderr, "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\nERROR: No matching distribution found for it")
			return 1
		}
		fmt.Println("onnxruntime-fake (9.10.0)\nAvailable versions: 9.10.0, 9.10.0rc1, 9.9.9, 9.9.8")
		return 0
	}
	calls, err := os.OpenFile(filepath.Join(served, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(calls, strings.Join(args, " "))
	calls.Close()

	value := func(flag string) string { return args[slices.Index(args, flag)+1] }
	requirement, err := os.ReadFile(value("-r"))
	if err != nil {
		panic(err)
	}
	var wheel string
	wheels, _ := filepath.Glob(filepath.Join(served, "*.whl"))
	for _, w := range wheels {
		tags, err := parseWheel(filepath.Base(w))
		if err == nil && slices.Contains(args, "--python-version="+tags.python) && slices.Contains(args, "--platform="+tags.platforms[0]) &&
			strings.HasPrefix(string(requirement), strings.ReplaceAll(tags.distribution, "_", "-")+"=="+tags.version) {
			wheel = w
		}
	}
	if wheel == "" {
		fmt.Fprintln(os.Stderr, "ERROR: Could not find a version that satisfies the requirement (from versions: none)\nERROR: No matching distribution found for it")
		return 1
	}
	content, err := os.ReadFile(wheel)
	if err != nil {
		panic(err)
	}
	target := filepath.Join(value("-d"), filepath.Base(wheel))
	write := func(b []byte) {
		if err := os.WriteFile(target, b, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "ERROR:", err)
			os.Exit(1)
		}
	}
	wait := func() {
		for range 1000 {
			if _, err := os.Stat(filepath.Join(served, "go")); err == nil {
				return
			}
			if _, err := os.Stat(served); err != nil {
				break // the test is over
			}
			time.Sleep(20 * time.Millisecond)
		}
		os.Exit(1)
	}
	cut := content[:len(content)/2]
	if tenths, err := strconv.Atoi(after); err == nil {
		cut = content[:len(content)*tenths/10]
	}
	firstCall := func() bool {
		text, _ := os.ReadFile(filepath.Join(served, "calls"))
		return bytes.Count(text, []byte("\n")) == 1
	}
	mismatch := func(got [sha256.Size]byte, want string) int {
		fmt.Fprintf(os.Stderr, "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n        Expected sha256 %s\n             Got        %x\n", want, got)
		return 1
	}
	sum := sha256.Sum256(content)
	_, want, hashed := strings.Cut(strings.TrimSpace(string(requirement)), "--hash=sha256:")
	switch mode {
	case "serve", "blind":
		if hashed && hex.EncodeToString(sum[:]) != want && mode == "serve" {
			return mismatch(sum, want)
		}
		write(content)
	case "slow": // half of it, and the rest on "go"
		write(content[:len(content)/2])
		wait()
		write(content)
	case "shorten": // takes what was cut for the whole the first time, as before 25.1
		if firstCall() {
			return mismatch(sha256.Sum256(cut), want)
		}
		write(content)
	case "blind-cut": // takes it for the whole, and does not even look at the sum
		write(cut)
	case "cut": // breaks off the first time
		if firstCall() {
			write(cut)
			fmt.Fprintln(os.Stderr, "ERROR: Exception:\nTraceback (most recent call last):\nurllib3.exceptions.ProtocolError: IncompleteRead(5 bytes read, 5 more expected)")
			return 2
		}
		write(content)
	case "broken":
		fmt.Fprintln(os.Stderr, "ERROR: the registry is on fire")
		return 1
	case "full":
		fmt.Fprintln(os.Stderr, "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")
		return 1
	case "unreachable":
		fmt.Fprintln(os.Stderr, "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\nERROR: No matching distribution found for it")
		return 1
	case "child": // leaves the work to a child, which beats until it is ended
		child := exec.Command(os.Args[0], os.Args[1:]...)
		child.Env = append(os.Environ(), fakeMode+"=beat")
		fmt.Fprintln(os.Stderr, child.Run())
		return 1
	case "beat": // even when its folder is gone
		write(content[:len(content)/2])
		for range 1000 {
			if err := os.WriteFile(filepath.Join(served, "beat"), []byte(time.Now().String()), 0o644); err != nil {
				panic(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	default:
		panic("no such mode: " + mode)
	}
	return 0
}

// An installation is one call of Install in another process.
type installation struct {
	Store   string
	Runtime Runtime
}

func installHere(text string) int {
	var in installation
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		panic(err)
	}
	library, err := Store{Dir: in.Store, Python: os.Args[0], Log: os.Stdout}.Install(context.Background(), in.Runtime)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(library)
	return 0
}

// A rig is a store with a fake pip and one small runtime for this machine.
type rig struct {
	Store
	t       *testing.T
	served  string
	runtime Runtime
	log     *bytes.Buffer
}

type entry struct {
	name, content string
	mode          fs.FileMode
}

var wheelEntries = []entry{
	{"onnxruntime/__init__.py", "import this", 0},
	{"onnxruntime/LICENSE", "MIT", 0},
	{"onnxruntime/ThirdPartyNotices.txt", "many", 0},
	{"onnxruntime/capi/", "", 0},
	{"onnxruntime/capi/libonnxruntime.so.9.9.9", strings.Repeat("the library", 1000), 0},
	{"onnxruntime/capi/libonnxruntime_providers_shared.so", "the bridge", 0},
	{"onnxruntime/capi/libopenvino.so", "one and the same", 0},
	{"onnxruntime/capi/libopenvino.so.2541", "one and the same", 0},
	{"onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so", "python", 0},
	{"onnxruntime/capi/_pybind_state.py", "python", 0},
	{"onnxruntime_fake-9.9.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: onnxruntime-fake\nVersion: 9.9.9\n", 0},
	{"onnxruntime_fake-9.9.9.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: ortlib\nRoot-Is-Purelib: false\nTag: cp311-cp311-any\n", 0},
}

func newRig(t *testing.T, entries []entry) rig {
	served := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	var wheel bytes.Buffer
	z := zip.NewWriter(&wheel)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.mode != 0 {
			header.SetMode(e.mode)
		}
		w, err := z.CreateHeader(header)
		require.NoError(t, err)
		if e.content != "" {
			_, err = w.Write([]byte(e.content))
			require.NoError(t, err)
		}
	}
	require.NoError(t, z.Close())
	name := "onnxruntime_fake-9.9.9-cp311-cp311-this_machine.that_machine.whl"
	require.NoError(t, os.WriteFile(filepath.Join(served, name), wheel.Bytes(), 0o644))
	sum, library := sha256.Sum256(wheel.Bytes()), sha256.Sum256([]byte(strings.Repeat("the library", 1000)))
	t.Setenv(fakeDir, served)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // under -race each fake pip would sleep for a second when it ends
	log := &bytes.Buffer{}
	return rig{
		Store:  Store{Dir: filepath.Join(t.TempDir(), "new", "runtimes"), Python: self, Log: log},
		t:      t,
		served: served,
		log:    log,
		runtime: Runtime{Distribution: "onnxruntime-fake", Version: "9.9.9", Platforms: map[string]Platform{machine: {
			Wheel: name, WheelSHA256: hex.EncodeToString(sum[:]), WheelSize: int64(wheel.Len()),
			Library: "onnxruntime/capi/libonnxruntime.so.9.9.9", LibrarySHA256: hex.EncodeToString(library[:]), Providers: []string{"cpu"},
		}}},
	}
}

// pinned is the rig's runtime with another pin.
func (g rig) pinned(change func(*Platform)) Runtime {
	p := g.runtime.Platforms[machine]
	change(&p)
	r := g.runtime
	r.Platforms = map[string]Platform{machine: p}
	return r
}

func (g rig) pip(mode string) { g.t.Setenv(fakeMode, mode) }

// release lets a slow pip end.
func (g rig) release() {
	require.NoError(g.t, os.WriteFile(filepath.Join(g.served, "go"), nil, 0o644))
}

// calls are the command lines of the downloads so far.
func (g rig) calls() []string {
	text, err := os.ReadFile(filepath.Join(g.served, "calls"))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// left lists what is in the store, locks aside.
func (g rig) left() []string {
	var names []string
	err := filepath.WalkDir(g.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".lock") {
			name, _ := filepath.Rel(g.Dir, path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if !os.IsNotExist(err) {
		require.NoError(g.t, err)
	}
	return names
}

// elsewhere starts the installation in another process.
func (g rig) elsewhere() (*exec.Cmd, *syncBuffer) {
	cmd, out := g.prepared()
	require.NoError(g.t, cmd.Start())
	return cmd, out
}

// prepared is that process before it is started. Its pip is as it was set at this moment.
func (g rig) prepared() (*exec.Cmd, *syncBuffer) {
	text, err := json.Marshal(installation{g.Dir, g.runtime})
	require.NoError(g.t, err)
	cmd, out := exec.Command(g.Python), &syncBuffer{}
	cmd.Env = append(os.Environ(), installVar+"="+string(text))
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}
