package ortlib

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sample is a small valid runtimes.json; rows of the tests below each break one thing in it.
const sample = `{
  "runtimes": [
    {
      "distribution": "onnxruntime",
      "version": "1.23.2",
      "default": true,
      "platforms": {
        "linux/amd64": {
          "wheel": "onnxruntime-1.23.2-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
          "wheelSHA256": "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
          "wheelSize": 17372080,
          "library": "onnxruntime/capi/libonnxruntime.so.1.23.2",
          "librarySHA256": "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100",
          "providers": [
            "cpu"
          ]
        }
      }
    },
    {
      "distribution": "onnxruntime-openvino",
      "version": "1.24.1",
      "platforms": {
        "windows/amd64": {
          "wheel": "onnxruntime_openvino-1.24.1-cp311-cp311-win_amd64.whl",
          "wheelSHA256": "0000000000000000000000000000000000000000000000000000000000000001",
          "wheelSize": 13655357,
          "library": "onnxruntime/capi/onnxruntime.dll",
          "librarySHA256": "0000000000000000000000000000000000000000000000000000000000000002",
          "providers": [
            "cpu"
          ]
        }
      }
    }
  ]
}
`

func TestKnown(t *testing.T) {
	known, err := Known()
	require.NoError(t, err)
	platforms, defaults := map[string][]string{}, []string{}
	for _, r := range known {
		platforms[r.String()] = sortedKeys(r.Platforms)
		if r.Default {
			defaults = append(defaults, r.ID())
		}
		for name, p := range r.Platforms {
			want := []string{"cpu"}
			switch {
			case strings.HasPrefix(name, "darwin/"):
				want = append(want, "coreml")
				if r.Distribution == "onnxruntime-webgpu" {
					want = append(want, "webgpu")
				}
			case r.Distribution == "onnxruntime-webgpu":
				want = append(want, "webgpu")
			case name == "linux/amd64" && r.Distribution == "onnxruntime-openvino":
				want = append(want, "openvino")
			case r.Distribution == "onnxruntime-directml":
				want = append(want, "directml")
			case r.Distribution == "onnxruntime-gpu":
				want = append(want, "cuda")
				if strings.HasSuffix(name, "/amd64") {
					want = append(want, "tensorrt")
				}
			}
			assert.Equal(t, want, p.Providers, "%s on %s", r, name)
			if name == "linux/amd64" && r.Needs == "" { // where the matrix is verified
				assert.NotEmpty(t, p.FilesSHA256, "%s on %s; `posetest runtime pin` takes it", r, name)
			}
		}
	}
	four, two := []string{"darwin/arm64", "linux/amd64", "linux/arm64", "windows/amd64"}, []string{"linux/amd64", "windows/amd64"}
	assert.Equal(t, map[string][]string{
		"onnxruntime@1.22.1": four, "onnxruntime@1.23.2": four, "onnxruntime@1.24.4": four, "onnxruntime@1.31.1": four, "onnxruntime@1.32.0": four,
		"onnxruntime-openvino@1.22.0": two, "onnxruntime-openvino@1.23.0": two, "onnxruntime-openvino@1.24.1": two,
		"onnxruntime-directml@1.24.4": {"windows/amd64"}, "onnxruntime-gpu@1.31.1": {"linux/amd64", "linux/arm64", "windows/amd64"},
		"onnxruntime-webgpu@1.27.0": {"darwin/arm64", "linux/amd64", "windows/amd64"},
	}, platforms)
	assert.Equal(t, []string{"1.23.2", "1.32.0", "openvino-1.24.1"}, defaults)
	text, err := Marshal(known)
	require.NoError(t, err)
	assert.Equal(t, string(runtimesJSON), string(text), `runtimes.json is not as Marshal writes it: run "posetest runtime pin"`)
}

func TestParse(t *testing.T) {
	runtimes, err := Parse([]byte(sample))
	require.NoError(t, err)
	assert.Equal(t, "1.23.2", runtimes[0].ID())
	assert.Equal(t, "openvino-1.24.1", runtimes[1].ID())
	assert.Equal(t, "onnxruntime-openvino@1.24.1", runtimes[1].String())

	for _, row := range []struct{ why, old, new, want string }{
		{"a typo in a field's name", `"wheelSize": 17`, `"wheelSzie": 17`, `runtimes.json:11: unknown field "wheelSzie": known are runtimes, `},
		{"a number as a string", `"wheelSize": 17372080`, `"wheelSize": "17 MB"`, `runtimes.json:11: field "runtimes.platforms.wheelSize" is a string, want int64`},
		{"a comma lost", `"1.23.2",`, `"1.23.2"`, "runtimes.json:6: invalid character"},
		{"cut in the middle", sample[300:], "", "ends in the middle"},
		{"emptied", sample, " \n", "runtimes.json: is empty: restore it"},
		{"no entry", sample, `{"runtimes": []}`, `"runtimes" is empty: add one with "posetest runtime pin`},
		{"two documents", "  ]\n}\n", "  ]\n}\n{}", "runtimes.json:38: something follows the closing brace"},
		{"a sum that lost a digit", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef",
			`runtimes[0] (onnxruntime@1.23.2): platforms["linux/amd64"].wheelSHA256: want 64 lower-case hex digits, got 63 characters`},
		{"a sum in capitals would never match", "ffeeddccbbaa99887766554433221100ffee", "FFeeddccbbaa99887766554433221100ffee", `platforms["linux/amd64"].librarySHA256: want 64 lower-case`},
		{"the wheel of another package", `"distribution": "onnxruntime-openvino",
      "version": "1.24.1",`, `"distribution": "onnxruntime",
      "version": "1.23.2",`, `wheel: "onnxruntime_openvino-1.24.1-cp311-cp311-win_amd64.whl" is not a wheel of onnxruntime@1.23.2`},
		{"another package", `"distribution": "onnxruntime-openvino"`, `"distribution": "openvino"`, `runtimes[1] (openvino@1.24.1): distribution: "openvino", want onnxruntime or`},
		{"a version range", `"version": "1.23.2"`, `"version": "1.23"`, `version: "1.23", want three numbers`},
		{"no platform", `"windows/amd64": {`, `"windows": {`, `platforms: "windows", want GOOS/GOARCH`},
		{"a wheel's name as a path", `"wheel": "onnxruntime_openvino-1.24.1`, `"wheel": "../onnxruntime_openvino-1.24.1`, `platforms["windows/amd64"].wheel: "../onnxruntime_openvino`},
		{"a library outside its folder", `onnxruntime/capi/onnxruntime.dll`, `onnxruntime/capi/../../onnxruntime.dll`, `library: "onnxruntime/capi/../../onnxruntime.dll", want a shared library in onnxruntime/capi/`},
		{"the Python module", `onnxruntime/capi/onnxruntime.dll`, `onnxruntime/capi/onnxruntime_pybind11_state.dll`, `want a shared library`},
		{"no cpu", `"cpu"`, `"openvino"`, `providers: ["openvino"], want "cpu" first`},
		{"a provider twice", `"cpu"`, `"cpu", "cpu"`, `providers[1]: "cpu"`},
		{"ONNX Runtime's own name of a provider", `"cpu"`, `"cpu", "OpenVINOExecutionProvider"`, `want lower-case names`},
		{"a sum of all files that was cut", `"wheelSize": 13655357`, `"filesSHA256": "00", "wheelSize": 13655357`, `platforms["windows/amd64"].filesSHA256: want 64 lower-case hex digits, got 2 characters`},
		{"no size", `"wheelSize": 13655357`, `"wheelSize": 0`, `wheelSize: 0 bytes, want more than 0`},
	} {
		t.Run(row.why, func(t *testing.T) {
			broken := strings.Replace(sample, row.old, row.new, 1)
			require.NotEqual(t, sample, broken, "the row changes nothing")
			_, err := Parse([]byte(broken))
			require.ErrorContains(t, err, row.want)
			assert.NotContains(t, err.Error(), "\n", "one sentence")
			assert.True(t, strings.HasPrefix(err.Error(), "runtimes.json"), "names the file: %s", err)
		})
	}

	t.Run("one runtime twice", func(t *testing.T) {
		twice := []Runtime{runtimes[0], runtimes[0]}
		text, err := Marshal(twice)
		require.NoError(t, err)
		_, err = Parse(text)
		require.ErrorContains(t, err, "runtimes.json: runtimes[1] (onnxruntime@1.23.2): a second entry for ort=1.23.2: remove one of them")
	})
}

func TestMarshalIsSortedByVersionNumber(t *testing.T) {
	text, err := Marshal([]Runtime{{Distribution: "onnxruntime-openvino", Version: "1.9.0"}, {Distribution: "onnxruntime", Version: "1.10.0"}, {Distribution: "onnxruntime", Version: "1.9.1"}})
	require.NoError(t, err)
	var at []int
	for _, v := range []string{`"1.9.1"`, `"1.10.0"`, `"1.9.0"`} {
		at = append(at, strings.Index(string(text), v))
	}
	assert.IsIncreasing(t, at)
}

func TestSelect(t *testing.T) {
	on := func(distribution, version string, isDefault bool, platforms ...string) Runtime {
		r := Runtime{Distribution: distribution, Version: version, Default: isDefault, Platforms: map[string]Platform{}}
		for _, p := range platforms {
			r.Platforms[p] = Platform{}
		}
		return r
	}
	known := []Runtime{
		on("onnxruntime", "1.22.1", false, "linux/amd64", "linux/arm64"),
		on("onnxruntime", "1.23.2", true, "linux/amd64", "linux/arm64"),
		on("onnxruntime-openvino", "1.24.1", true, "linux/amd64"),
	}
	for _, row := range []struct{ why, platform, list, want, err string }{
		{"nothing chosen: the default set", "linux/amd64", "", "1.23.2 openvino-1.24.1", ""},
		{"the default set, as far as this machine has wheels", "linux/arm64", "", "1.23.2", ""},
		{"all", "linux/amd64", "all", "1.22.1 1.23.2 openvino-1.24.1", ""},
		{"all, as far as this machine has wheels", "linux/arm64", "all", "1.22.1 1.23.2", ""},
		{"a machine without any", "plan9/386", "", "", "no runtime in runtimes.json has a wheel for plan9/386: point POSETEST_ORT at"},
		{"a list keeps its order", "linux/amd64", "openvino-1.24.1,1.22.1", "openvino-1.24.1 1.22.1", ""},
		{"spaces and repetition do no harm", "linux/amd64", " 1.22.1, 1.22.1 ", "1.22.1", ""},
		{"the long form", "linux/amd64", "onnxruntime-openvino@1.24.1", "openvino-1.24.1", ""},
		{"one named for a machine without it is kept: Install says why", "linux/arm64", "openvino-1.24.1", "openvino-1.24.1", ""},
		{"a new release", "linux/amd64", "1.33.0", "", `runtime "1.33.0" is unknown: known are 1.22.1, 1.23.2, openvino-1.24.1, and "all"; add a new one to runtimes.json with "posetest runtime pin onnxruntime@1.33.0"`},
		{"a new release of another distribution", "linux/amd64", "1.22.1,openvino-1.25.0", "", `"posetest runtime pin onnxruntime-openvino@1.25.0"`},
		{"a wrong word", "linux/amd64", "latest", "", `runtime "latest" is unknown`},
		{"a comma too many", "linux/amd64", "1.22.1,", "", `runtime "" is unknown`},
	} {
		t.Run(row.why, func(t *testing.T) {
			picked, err := selectFor(row.platform, known, row.list)
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			var ids []string
			for _, r := range picked {
				ids = append(ids, r.ID())
			}
			assert.Equal(t, row.want, strings.Join(ids, " "))
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add(runtimesJSON)
	f.Add([]byte(`{"runtimes":[{"distribution":"onnxruntime","version":"1.2.3","platforms":{}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		runtimes, err := Parse(text)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "runtimes.json"), "names the file: %s", err)
			return
		}
		once, err := Marshal(runtimes)
		require.NoError(t, err)
		again, err := Parse(once)
		require.NoError(t, err, "what Marshal writes must be read")
		twice, err := Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
	})
}
