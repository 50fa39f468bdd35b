package posetest_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Data flows one way: what each package may import of this module. ARCHITECTURE.md says why.
func TestImports(t *testing.T) {
	const module = "github.com/posetest/suite/"
	everything := []string{"alert", "catalog", "child", "choose", "coco", "diagnose", "drift", "expect", "golden", "gpu", "measure", "observe", "onnx", "ortlib", "pose", "reduce", "report", "session", "sums", "tensor", "whole", "worker"}
	may := map[string][]string{
		"whole":        {},
		"child":        {},
		"choose":       {},
		"faulttest":    {},
		"tensor":       {},
		"alert":        {},
		"measure":      {},
		"pose":         {"tensor", "pose/internal"},
		"onnx":         {"tensor"},
		"sums":         {},
		"session":      {"tensor"},
		"catalog":      {"sums", "tensor"},
		"ortlib":       {"child", "sums", "whole"},
		"reduce":       {},
		"coco":         {"pose"},
		"observe":      {"pose"},
		"gpu":          {"child", "observe"},
		"golden":       {"coco", "observe", "pose", "whole"},
		"drift":        {"coco", "golden", "observe", "pose"},
		"expect":       {"drift", "observe"},
		"diagnose":     {"expect", "observe", "onnx", "tensor"},
		"worker":       {"observe", "pose", "session", "tensor", "whole"},
		"report":       {"drift", "expect", "golden", "observe", "pose"},
		"":             append(everything, "fixtures"),
		"cmd/posetest": append(everything, "", "fixtures"),
	}
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	require.NoError(t, err)
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		require.NoError(t, dec.Decode(&p))
		name, ours := within(p.ImportPath, module+"posetest")
		if !ours || strings.HasPrefix(name, "pose/internal") {
			continue
		}
		allowed, known := may[name]
		if !known {
			t.Errorf("package %s is not in this test's table: say in a sentence what it is for, and what it may import", p.ImportPath)
		}
		seen++
		for _, path := range p.Imports {
			if path == "github.com/yalue/onnxruntime_go" && name != "session" {
				t.Errorf("%s imports the ONNX Runtime binding; only session may", p.ImportPath)
			}
			imported, ours := within(path, module+"posetest")
			if path == module+"fixtures" {
				imported, ours = "fixtures", true
			}
			if !ours {
				continue
			}
			ok := false
			for _, a := range allowed {
				ok = ok || imported == a || strings.HasPrefix(imported, a+"/") && strings.HasSuffix(a, "internal")
			}
			if !ok {
				t.Errorf("%s imports %s, and may import only %v", p.ImportPath, path, allowed)
			}
		}
	}
	require.Equal(t, len(may), seen, "packages that the table knows and that exist")
}

// within is the path of a package below the root, "" for the root itself.
func within(path, root string) (string, bool) {
	if path == root {
		return "", true
	}
	return strings.CutPrefix(path, root+"/")
}
