// Package scripts_test holds what comes into the project from elsewhere to its pins and its licences.
package scripts_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the project's, as seen from here.
const root = ".."

// Python packages come with sums: each list of what is wanted has a lock, made by uv, in which everything has an exact
// version and sha256.
func TestRequirements(t *testing.T) {
	exact := regexp.MustCompile(`^[A-Za-z0-9._-]+(\[[a-z-]+\])?==\d[0-9A-Za-z.]*$`)
	locked := regexp.MustCompile(`^([a-z0-9-]+==\d[0-9A-Za-z.+]*)( ; [^;]+?)?( --hash=sha256:[0-9a-f]{64})+$`)
	wanted, err := filepath.Glob("requirements-*.in")
	require.NoError(t, err)
	require.NotEmpty(t, wanted)
	for _, in := range wanted {
		t.Run(in, func(t *testing.T) {
			lock := strings.TrimSuffix(in, ".in") + ".txt"
			text := read(t, lock)
			assert.Contains(t, text, "--generate-hashes", "%s must say how it was made", lock)
			assert.Contains(t, text, in+" -o "+lock, "%s must say what it was made of", lock)
			has := map[string]bool{}
			for _, line := range commandLines(text) {
				m := locked.FindStringSubmatch(line)
				if assert.NotNil(t, m, "%s: want name==version and its sums: %s", lock, line) {
					has[m[1]] = true
				}
			}
			for _, line := range commandLines(read(t, in)) {
				assert.Regexp(t, exact, line, "%s: a range brings another version every day", in)
				assert.True(t, has[line], "%s: %s is not in %s; make that again with the command at its head", in, line, lock)
			}
		})
	}
	locks, err := filepath.Glob("requirements-*.txt")
	require.NoError(t, err)
	assert.Len(t, locks, len(wanted), "each lock is made of a list")
}

// Go modules come with sums: whatever a go.mod asks for is in the go.sum beside it, nothing is replaced by something
// that has none, and the toolchain is an exact one.
func TestModules(t *testing.T) {
	for _, row := range []struct {
		file     string
		replaces string // the one replacement that there may be
	}{
		{"go.mod", ""},
		{"tools/go.mod", ""},
		{"tools/ortplugin.mod", ""},
		{"posetest/example/go.mod", "github.com/posetest/suite => ../.."},
	} {
		t.Run(row.file, func(t *testing.T) {
			mod := readModule(t, filepath.Join(root, row.file))
			var replaces []string
			for _, r := range mod.Replace {
				replaces = append(replaces, r.Old.Path+" => "+r.New.Path)
			}
			assert.Equal(t, row.replaces, strings.Join(replaces, ", "), "a replacement has no sum, or hides whose code it is")
			sums := read(t, filepath.Join(root, strings.TrimSuffix(row.file, "mod")+"sum"))
			for _, r := range mod.Require {
				if slices.Contains(replaces, r.Path+" => ../..") {
					continue
				}
				assert.Regexp(t, `(?m)^`+regexp.QuoteMeta(r.Path+" "+r.Version)+`(/go\.mod)? h1:[0-9A-Za-z+/]{43}=$`, sums)
			}
		})
	}
	assert.Regexp(t, `^go1\.\d+\.\d+$`, readModule(t, filepath.Join(root, "go.mod")).Toolchain,
		"without it GitHub's machines build with the oldest Go that go.mod allows, and with the faults mended since")
}

// A ban is a way to bring something into the project that has no sum.
type ban struct {
	what   string // regular expression, of a command
	unless string // regular expression: the same command has a sum after all
	why    string
}

var bans = []ban{
	{`\bpip3?["',]*\s+["']?(install|download|wheel)\b`, `--require-hashes`, "give it a lock with sums: scripts/requirements-*.txt"},
	{`\b(pipx|poetry|conda|easy_install|uvx|uv (pip|tool|run|add|sync))\b`, `^#|pip compile --generate-hashes`, "one way to install is enough: pip --require-hashes"},
	{`\bgo (install|run|get)\b.*@`, ``, "it leaves go.mod and go.sum aside: make it a tool of tools/go.mod"},
	{`\b(npm (i|install|ci|exec|pack)|npx|yarn|pnpm)\b`, ``, "what comes must be held to a sum"},
	{`\b(curl|wget|Invoke-WebRequest)\b`, `sha256|SHA256`, "what comes must be held to a sum"},
	{`\b(urlopen|urlretrieve|urllib\.request|httpx\.get|requests\.get|attempt_download_asset)\b`, ``, "what comes must be held to a sum"},
	{`\bgit (clone|fetch|submodule)\b.*(://|@)`, ``, "what comes must be held to a commit"},
	{`\bdocker (pull|run)\b|^\s*(FROM |(image|container):\s*)[\w./-]+(:[\w.-]+)?$`, `@sha256:`, "a tag can be moved to another image"},
	{`\b(apt|apt-get|brew|choco|winget|dnf|apk) install\b`, ``, "what comes depends on the day"},
	{`--trusted-host|--(extra-)?index-url|GONOSUM(DB|CHECK)|GOINSECURE|GONOSUMDB|GOPRIVATE|GOSUMDB=off|GOFLAGS=\S*-insecure`, `--no-emit-index-url`, "it switches a check off"},
	{`\buses:`, `@[0-9a-f]{40} # v\d+\.\d+\.\d+$`, "a tag can be moved to another commit"},
}

// What is excused is banned, and good for the reason given.
type excuse struct{ file, words, why string }

var excused = []excuse{
	{"scripts/README.md", "npm pack @vladmandic/human@3.3.6", "convert_movenet.py holds what it takes from it to SOURCE_SHA256"},
	{"scripts/convert_movenet.py", "npm pack", "it holds what it takes from it to SOURCE_SHA256"},
	{"scripts/export_yolo.py", "attempt_download_asset", "it holds what came to WEIGHTS_SHA256 before it is loaded"},
}

// No command of the project, be it of a script, the Makefile, a workflow or a page of documentation, brings anything
// without a sum.
func TestCommandsArePinned(t *testing.T) {
	used := make([]bool, len(excused))
	files := 0
	for _, file := range texts(t) {
		files++
		for _, command := range commands(read(t, filepath.Join(root, file))) {
			for _, b := range bans {
				if !b.bans(command) {
					continue
				}
				i := slices.IndexFunc(excused, func(e excuse) bool { return e.file == file && strings.Contains(command, e.words) })
				if i < 0 {
					t.Errorf("%s: %s\n%s", file, command, b.why)
					continue
				}
				used[i] = true
			}
		}
	}
	for i, e := range excused {
		assert.True(t, used[i], "%s has no %q any more: remove its excuse", e.file, e.words)
	}
	assert.Greater(t, files, 30, "files that were looked at")
}

func (b ban) bans(command string) bool {
	return regexp.MustCompile(b.what).MatchString(command) && (b.unless == "" || !regexp.MustCompile(b.unless).MatchString(command))
}

// The bans see what they are for, and let pass what they do not mean.
func TestBans(t *testing.T) {
	const sum = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
	for _, row := range []struct {
		command string
		banned  bool
	}{
		{"bin/python -m pip install --quiet ultralytics==8.4.190", true},
		{"pip3 install onnx", true},
		{"pip install --require-hashes -r requirements.txt", false},
		{"python3 -m pip index versions onnxruntime", false}, // asks, and brings nothing
		{"subprocess.run([sys.executable, '-m', 'pip', 'install', 'onnx'])", true},
		{"uv pip install onnx", true},
		{"#    uv pip compile --generate-hashes --universal requirements-x.in -o requirements-x.txt", false},
		{"go install golang.org/x/vuln/cmd/govulncheck@latest", true},
		{"go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12", true},
		{"go run ./posetest/cmd/posetest tensors --out /tmp/tensors", false},
		{"npx cdxgen", true},
		{"curl -fsSLO https://example.org/a.tgz", true},
		{"curl -fsSLO https://example.org/a.tgz && echo " + sum + " a.tgz | sha256sum -c", false},
		{"git clone https://example.org/a.git", true},
		{`git clone --quiet --no-checkout "$root" "$work/source"`, false}, // of this machine
		{"    container: golang:1.26", true},
		{"    image: golang@sha256:" + sum, false},
		{"sudo apt-get install gcc-mingw-w64", true},
		{"pip install --require-hashes --extra-index-url https://example.org -r a.txt", true},
		{"GOSUMDB=off go mod download", true},
		{"      - uses: actions/checkout@v7", true},
		{"      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", false},
	} {
		banned := slices.ContainsFunc(bans, func(b ban) bool { return b.bans(row.command) })
		assert.Equal(t, row.banned, banned, row.command)
	}
}

// Go code that has pip install or download gives it the sums.
func TestGoRunsPip(t *testing.T) {
	runs, brings := regexp.MustCompile(`"pip"`), regexp.MustCompile(`"pip",[^\n]*"(install|download|wheel)"`)
	found := 0
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text := read(t, path)
		if !runs.MatchString(text) {
			return nil
		}
		asks := strings.Contains(text, `"pip", "index"`) && !brings.MatchString(text)
		assert.True(t, asks || strings.Contains(text, `"--require-hashes"`), "%s: who holds what this brings to a sum?", path)
		found++
		return nil
	}))
	assert.Equal(t, 3, found, "files that run pip")
}

// texts are the files, relative to the root, whose lines a person or a machine may run. Go has rules of its own.
func texts(t *testing.T) (all []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if d.IsDir() && slices.Contains([]string{".git", "bin", "dist", "report", "golden/keypoints", "models", "fixtures"}, name) {
			return fs.SkipDir
		}
		switch ext := filepath.Ext(name); {
		case d.IsDir() || name == "ci.log":
		case slices.Contains([]string{".md", ".py", ".sh", ".yml", ".yaml", ".mk", ".in", ".txt"}, ext),
			ext == "" && (strings.HasPrefix(name, "scripts/") || strings.HasPrefix(name, ".ci/") || name == "Makefile" || filepath.Base(name) == "Dockerfile"):
			all = append(all, name)
		}
		return nil
	}))
	return all
}

// commands are the lines of a text, of which those that go on in the next are joined.
func commands(text string) []string {
	lines := strings.Split(regexp.MustCompile(`\\\r?\n\s*`).ReplaceAllString(text, ""), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return lines
}

// commandLines are the commands of a list of requirements, without its comments.
func commandLines(text string) []string {
	return slices.DeleteFunc(commands(text), func(line string) bool { return line == "" || strings.HasPrefix(line, "#") })
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// A module is what `go mod edit -json` says of a go.mod.
type module struct {
	Toolchain string
	Require   []struct{ Path, Version string }
	Replace   []struct {
		Old, New struct{ Path, Version string }
	}
}

func readModule(t *testing.T, path string) (m module) {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json", path).Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &m))
	require.NotEmpty(t, m.Require)
	return m
}
