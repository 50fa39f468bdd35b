package posetest_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is missing is skipped with what it is and what brings it; where it is required, as it is in CI, that is a failure.
func TestSkips(t *testing.T) {
	program, err := os.Executable()
	require.NoError(t, err)
	const yolo = "model yolov8n-pose.onnx is missing; set POSETEST_DATA to the folder that holds models/yolov8n-pose.onnx, or run `make yolo`"
	for _, row := range []struct {
		name   string
		run    string // of the repository's own tests
		env    []string
		passes bool
		says   []string
	}{
		{"a model, on somebody's machine", "TestLoad/model=yolov8n-pose/precision=fp32/provider=cpu/ort=1.23.2", nil, true,
			[]string{"--- SKIP: TestLoad/model=yolov8n-pose/precision=fp32/provider=cpu/ort=1.23.2", yolo}},
		{"a model, in CI", "TestInfer/model=yolov8n-pose/precision=fp32/provider=cpu/ort=1.23.2", []string{"CI=true"}, false,
			[]string{"--- FAIL: TestInfer/model=yolov8n-pose/precision=fp32/provider=cpu/ort=1.23.2", yolo, "POSETEST_REQUIRE allows no skip of yolov8n-pose"}},
		{"a model that is required", "TestLoad/model=yolov8n-pose/precision=int8/provider=cpu/ort=1.23.2", []string{"POSETEST_REQUIRE=yolov8n-pose"}, false,
			[]string{"--- FAIL: TestLoad/model=yolov8n-pose/precision=int8/provider=cpu/ort=1.23.2", "POSETEST_REQUIRE allows no skip of yolov8n-pose"}},
		{"a model, in a CI that requires another", "TestLoad/model=yolov8n-pose/precision=fp32/provider=cpu/ort=1.23.2", []string{"CI=true", "POSETEST_REQUIRE=movenet-lightning"}, true,
			[]string{"--- SKIP: ", yolo}},
		{"a runtime, on somebody's machine", "TestLoad/model=movenet-lightning/precision=fp32/provider=cpu/ort=1.23.2", nil, true,
			[]string{"--- SKIP: TestLoad/model=movenet-lightning/precision=fp32/provider=cpu/ort=1.23.2", "onnxruntime@1.23.2", "POSETEST_OFFLINE forbids to download it"}},
		{"a runtime, in CI", "TestLoad/model=movenet-lightning/precision=fp32/provider=cpu/ort=1.23.2", []string{"CI=true"}, false,
			[]string{"--- FAIL: TestLoad/model=movenet-lightning/precision=fp32/provider=cpu/ort=1.23.2", "POSETEST_REQUIRE allows no skip of 1.23.2"}},
		{"a photograph, in CI", "TestInfer/fixture=coco_", []string{"CI=true"}, false,
			[]string{"--- FAIL: TestInfer/fixture=coco_", "set POSETEST_DATA to the folder that holds it", "POSETEST_REQUIRE allows no skip of coco_"}},
		{"a configuration that is wrong", "TestLoad", []string{"POSETEST_RUNTIMES=9.9.9"}, false,
			[]string{"--- FAIL: TestLoad", `runtime "9.9.9" is unknown`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			cmd := exec.Command(program, "-test.v", "-test.run", "^"+strings.ReplaceAll(row.run, "/", "$/^"))
			for _, variable := range os.Environ() {
				if !strings.HasPrefix(variable, "POSETEST_") && !strings.HasPrefix(variable, "GITHUB_") && !strings.HasPrefix(variable, "CI=") {
					cmd.Env = append(cmd.Env, variable)
				}
			}
			cmd.Env = append(cmd.Env, "POSETEST_CACHE="+t.TempDir(), "POSETEST_OFFLINE=1", "POSETEST_RUNTIMES=1.23.2")
			cmd.Env = append(cmd.Env, row.env...)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if row.passes {
				require.NoError(t, err, "%s", out)
			} else {
				require.True(t, errors.As(err, &exit), "passes\n%s", out)
			}
			for _, words := range row.says {
				assert.Contains(t, string(out), words)
			}
		})
	}
}
