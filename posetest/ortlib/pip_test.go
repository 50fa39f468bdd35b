package ortlib

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The other tests believe the fake pip. This one asks the machine's own, with a registry on this machine: that it
// takes these arguments, what it says of a wrong sum, of an unknown release and of a registry that is away, and
// that a cut download is mended, whether pip goes on by itself (from 25.1) or is started again.
func TestRealPip(t *testing.T) {
	if _, err := (Store{}).python(t.Context()); err != nil {
		t.Skip(err)
	}
	g := newRig(t, wheelEntries)
	g.Python = ""
	p := g.runtime.Platforms[machine]
	name := strings.Replace(p.Wheel, "this_machine.that_machine", "manylinux_2_28_x86_64", 1)
	content, err := os.ReadFile(filepath.Join(g.served, p.Wheel))
	require.NoError(t, err)
	var cut atomic.Bool
	var downloads atomic.Int32
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/simple/onnxruntime-fake/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(`<!DOCTYPE html><html><body><a href="/files/` + name + `">` + name + `</a></body></html>`))
		case r.URL.Path == "/files/"+name && cut.CompareAndSwap(true, false):
			downloads.Add(1)
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content[:len(content)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case r.URL.Path == "/files/"+name:
			downloads.Add(1)
			_, _ = w.Write(content)
		default:
			http.NotFound(w, r)
		}
	}))
	defer registry.Close()
	for _, v := range []string{"PIP_CONFIG_FILE=" + os.DevNull, "PIP_INDEX_URL=" + registry.URL + "/simple", "PIP_FIND_LINKS=", "PIP_EXTRA_INDEX_URL=", "PIP_NO_INDEX=", "PIP_NO_CACHE_DIR=1", "PIP_REQUIRE_VIRTUALENV=1"} {
		key, value, _ := strings.Cut(v, "=")
		t.Setenv(key, value)
	}
	pinned := g.pinned(func(p *Platform) { p.Wheel = name })

	for _, row := range []struct {
		why     string
		cut     bool
		runtime Runtime
		want    string
		atLeast int32
	}{
		{"a wrong sum", false, g.pinned(func(p *Platform) { p.Wheel, p.WheelSHA256 = name, strings.Repeat("0", 64) }),
			"the wheel of onnxruntime-fake@9.9.9 has sha256 " + p.WheelSHA256 + ", runtimes.json says 000", 1},
		{"an unknown release", false, func() Runtime { r := pinned; r.Version = "9.9.8"; return r }(), "the package registry has no such wheel (pip: No matching distribution found for onnxruntime-fake==9.9.8", 0},
		{"a cut download", true, pinned, "", 2},
	} {
		t.Run(row.why, func(t *testing.T) {
			downloads.Store(0)
			cut.Store(row.cut)
			library, err := g.Install(t.Context(), row.runtime)
			if row.want != "" {
				require.ErrorContains(t, err, row.want)
				assert.NotContains(t, err.Error(), "\n", "one sentence")
				require.Empty(t, g.left())
			} else {
				require.NoError(t, err, g.log)
				require.FileExists(t, library)
			}
			assert.GreaterOrEqual(t, downloads.Load(), row.atLeast)
		})
	}
}

// What pip says when the registry is away, as pip 23.2.1 and 26.3 said it.
func TestPipError(t *testing.T) {
	req := request{runtime: Runtime{Distribution: "onnxruntime", Version: "1.23.2"}, sha256: strings.Repeat("0", 64)}
	exit := context.DeadlineExceeded
	for _, row := range []struct{ why, stderr, want string }{
		{"away", "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'x'\nERROR: Could not find a version\nERROR: No matching distribution found for onnxruntime==1.23.2\n",
			"the package registry cannot be reached (pip: No matching distribution found for onnxruntime==1.23.2): check the network and pip's settings, or point POSETEST_ORT at a library of your own"},
		{"unknown", "ERROR: Could not find a version that satisfies the requirement (from versions: 1.22.0)\nERROR: No matching distribution found for onnxruntime==1.23.2\n",
			"the package registry has no such wheel (pip: No matching distribution found for onnxruntime==1.23.2)"},
		{"a traceback", "ERROR: Exception:\nTraceback (most recent call last):\n  File x\nReadTimeoutError: timed out.\n", "pip failed: ReadTimeoutError: timed out."},
		{"silence", "", "pip failed: context deadline exceeded"},
		{"a warning after the error", "ERROR: no space\nWARNING: a newer pip is there\n", "pip failed: no space"},
	} {
		t.Run(row.why, func(t *testing.T) {
			assert.EqualError(t, pipError(req, exit, row.stderr), row.want)
		})
	}
}
