package ortlib

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// A Runtime is one release of one distribution, such as onnxruntime@1.23.2 or onnxruntime-openvino@1.24.1.
type Runtime struct {
	Distribution string              `json:"distribution"` // name of the Python package that carries the library
	Version      string              `json:"version"`
	Default      bool                `json:"default,omitempty"` // in the set that is used when nobody chooses
	Needs        string              `json:"needs,omitempty"`   // what beyond the wheel, such as "NVIDIA GPU": it runs only if asked for by name
	Platforms    map[string]Platform `json:"platforms"`         // by GOOS/GOARCH, as in "linux/amd64"
}

// A Platform is what a Runtime is for one operating system and CPU. The sums were taken from the wheel itself (see Pin).
type Platform struct {
	Wheel         string `json:"wheel"`         // file name; its tags say what the package client is asked for
	WheelSHA256   string `json:"wheelSHA256"`   // hex
	WheelSize     int64  `json:"wheelSize"`     // bytes
	Library       string `json:"library"`       // path of ONNX Runtime itself inside the wheel
	LibrarySHA256 string `json:"librarySHA256"` // hex
	// FilesSHA256 stands for all that is unpacked, in hex: what "sha256sum * | sha256sum" says in the runtime's folder, the
	// manifest aside. Without it only ONNX Runtime itself is pinned, and not what it opens beside itself.
	FilesSHA256 string   `json:"filesSHA256,omitempty"`
	Providers   []string `json:"providers"` // execution providers that this build really brings, sorted after cpu: cpu, coreml, openvino, …
}

// ID is the value of ort= in the name of a cell: "1.23.2", "openvino-1.24.1".
func (r Runtime) ID() string {
	if variant, ok := strings.CutPrefix(r.Distribution, "onnxruntime-"); ok {
		return variant + "-" + r.Version
	}
	return r.Version
}

// String is the distribution and its version: "onnxruntime-openvino@1.24.1".
func (r Runtime) String() string { return r.Distribution + "@" + r.Version }

// Here returns what the runtime is for this machine. The error says for which machines there is a wheel.
func (r Runtime) Here() (Platform, error) {
	p, ok := r.Platforms[machine]
	if !ok {
		return p, fmt.Errorf("%s has no wheel for %s, only for %s: choose another runtime, or point POSETEST_ORT at a library of your own",
			r, machine, strings.Join(sortedKeys(r.Platforms), ", "))
	}
	return p, nil
}

const machine = runtime.GOOS + "/" + runtime.GOARCH

//go:embed runtimes.json
var runtimesJSON []byte

// Known returns the runtimes of the embedded runtimes.json. An error names the file, the field and the remedy.
func Known() ([]Runtime, error) { return Parse(runtimesJSON) }

type document struct {
	Runtimes []Runtime `json:"runtimes"`
}

// Marshal returns the text of runtimes.json, sorted by distribution and version, so that a new pin is a small diff.
func Marshal(runtimes []Runtime) ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(runtimes), compare)
	text, err := json.MarshalIndent(document{sorted}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// compare orders by distribution, then by version as semver counts it (1.9 before 1.10).
func compare(a, b Runtime) int {
	if c := cmp.Compare(a.Distribution, b.Distribution); c != 0 {
		return c
	}
	va, errA := semver.StrictNewVersion(a.Version)
	vb, errB := semver.StrictNewVersion(b.Version)
	if errA != nil || errB != nil {
		return cmp.Compare(a.Version, b.Version)
	}
	return va.Compare(vb)
}

// Parse decodes the text of a runtimes.json. Unknown fields, missing fields, malformed sums and two entries for one
// runtime are errors, which name the field and the remedy.
func Parse(text []byte) ([]Runtime, error) {
	var doc document
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return nil, decodeError(text, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("runtimes.json:%d: something follows the closing brace: remove it", lineAt(text, dec.InputOffset()))
	}
	if len(doc.Runtimes) == 0 {
		return nil, errors.New(`runtimes.json: "runtimes" is empty: add one with "posetest runtime pin onnxruntime@VERSION"`)
	}
	seen := map[string]bool{}
	for i, r := range doc.Runtimes {
		if err := r.validate(); err != nil {
			return nil, fmt.Errorf(`runtimes.json: runtimes[%d] (%s): %w; "posetest runtime pin %s" writes a right entry`, i, r, err, r)
		}
		if seen[r.ID()] {
			return nil, fmt.Errorf("runtimes.json: runtimes[%d] (%s): a second entry for ort=%s: remove one of them", i, r, r.ID())
		}
		seen[r.ID()] = true
	}
	return doc.Runtimes, nil
}

// decodeError turns what encoding/json says into a sentence with a line.
func decodeError(text []byte, err error) error {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return errors.New(`runtimes.json: is empty: restore it, or write an entry with "posetest runtime pin onnxruntime@VERSION"`)
	case errors.As(err, &syntax):
		return fmt.Errorf("runtimes.json:%d: %w: mend the JSON there", lineAt(text, syntax.Offset), err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("runtimes.json:%d: ends in the middle: restore the rest", lineAt(text, int64(len(text))))
	case errors.As(err, &typ):
		return fmt.Errorf("runtimes.json:%d: field %q is a %s, want %s", lineAt(text, typ.Offset), typ.Field, typ.Value, typ.Type)
	}
	if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return fmt.Errorf("runtimes.json:%d: unknown field %s: known are runtimes, distribution, version, default, needs, platforms, wheel, wheelSHA256, wheelSize, library, librarySHA256, filesSHA256, providers",
			lineAt(text, int64(bytes.Index(text, []byte(field)))), field)
	}
	return fmt.Errorf("runtimes.json: %w", err)
}

func lineAt(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(max(offset, 0), int64(len(text)))], []byte("\n"))
}

var (
	distributionName = regexp.MustCompile(`^onnxruntime(-[a-z0-9]+)*$`)
	versionNumber    = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	platformName     = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+$`)
	hexSHA256        = regexp.MustCompile(`^[0-9a-f]{64}$`)
	providerName     = regexp.MustCompile(`^[a-z0-9]+$`)
)

func (r Runtime) validate() error {
	switch {
	case !distributionName.MatchString(r.Distribution):
		return fmt.Errorf("distribution: %q, want onnxruntime or onnxruntime-VARIANT", r.Distribution)
	case !versionNumber.MatchString(r.Version):
		return fmt.Errorf("version: %q, want three numbers such as 1.23.2", r.Version)
	case len(r.Platforms) == 0:
		return errors.New("platforms: is empty, want at least one")
	}
	for _, name := range sortedKeys(r.Platforms) {
		if !platformName.MatchString(name) {
			return fmt.Errorf(`platforms: %q, want GOOS/GOARCH such as "linux/amd64"`, name)
		}
		if err := r.Platforms[name].validate(r); err != nil {
			return fmt.Errorf("platforms[%q].%w", name, err)
		}
	}
	return nil
}

func (p Platform) validate(r Runtime) error {
	tags, err := parseWheel(p.Wheel)
	switch {
	case err != nil:
		return fmt.Errorf("wheel: %w", err)
	case tags.distribution != strings.ReplaceAll(r.Distribution, "-", "_") || tags.version != r.Version:
		return fmt.Errorf("wheel: %q is not a wheel of %s", p.Wheel, r)
	case !hexSHA256.MatchString(p.WheelSHA256):
		return fmt.Errorf("wheelSHA256: want 64 lower-case hex digits, got %d characters (%q)", len(p.WheelSHA256), p.WheelSHA256)
	case p.WheelSize <= 0:
		return fmt.Errorf("wheelSize: %d bytes, want more than 0", p.WheelSize)
	case path.Dir(p.Library) != libraryDir || !isLibrary(path.Base(p.Library)):
		return fmt.Errorf("library: %q, want a shared library in %s/", p.Library, libraryDir)
	case !hexSHA256.MatchString(p.LibrarySHA256):
		return fmt.Errorf("librarySHA256: want 64 lower-case hex digits, got %d characters (%q)", len(p.LibrarySHA256), p.LibrarySHA256)
	case p.FilesSHA256 != "" && !hexSHA256.MatchString(p.FilesSHA256):
		return fmt.Errorf("filesSHA256: want 64 lower-case hex digits, got %d characters (%q)", len(p.FilesSHA256), p.FilesSHA256)
	case len(p.Providers) == 0 || p.Providers[0] != "cpu":
		return fmt.Errorf(`providers: %q, want "cpu" first: every build has it`, p.Providers)
	}
	for i, name := range p.Providers {
		if !providerName.MatchString(name) || slices.Contains(p.Providers[:i], name) {
			return fmt.Errorf("providers[%d]: %q, want lower-case names such as openvino, each once", i, name)
		}
	}
	return nil
}

// Select picks from known: "" is the default set and "all" is all, both without those that have no wheel for this
// machine or need more than that; else list holds IDs or distribution@version, separated by commas, and the result has their order, each once.
// The error for an unknown one lists what is known and says how to pin a new one.
func Select(known []Runtime, list string) ([]Runtime, error) { return selectFor(machine, known, list) }

func selectFor(platform string, known []Runtime, list string) ([]Runtime, error) {
	list = strings.TrimSpace(list)
	var picked []Runtime
	if list == "" || list == "all" {
		for _, r := range known {
			if _, ok := r.Platforms[platform]; ok && r.Needs == "" && (r.Default || list == "all") {
				picked = append(picked, r)
			}
		}
		if len(picked) == 0 {
			return nil, fmt.Errorf("no runtime in runtimes.json has a wheel for %s: point POSETEST_ORT at a library of your own", platform)
		}
		return picked, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(known, func(r Runtime) bool { return name == r.ID() || name == r.String() })
		if i < 0 {
			return nil, unknownError(known, name)
		}
		if !slices.ContainsFunc(picked, func(r Runtime) bool { return r.ID() == known[i].ID() }) {
			picked = append(picked, known[i])
		}
	}
	return picked, nil
}

func unknownError(known []Runtime, name string) error {
	ids := make([]string, len(known))
	for i, r := range known {
		ids[i] = r.ID()
	}
	pin := "onnxruntime@VERSION"
	if r, err := parseID(name); err == nil {
		pin = r.String()
	}
	return fmt.Errorf(`runtime %q is unknown: known are %s, and "all"; add a new one to runtimes.json with "posetest runtime pin %s"`,
		name, strings.Join(ids, ", "), pin)
}

// parseID reads an ID or a distribution@version.
func parseID(name string) (Runtime, error) {
	distribution, version, ok := strings.Cut(name, "@")
	if !ok {
		distribution, version = "onnxruntime", name
		if i := strings.LastIndex(name, "-"); i >= 0 {
			distribution, version = "onnxruntime-"+name[:i], name[i+1:]
		}
	}
	if !distributionName.MatchString(distribution) || !versionNumber.MatchString(version) {
		return Runtime{}, fmt.Errorf("%q is no runtime: want distribution@version such as onnxruntime@1.23.2 or onnxruntime-openvino@1.24.1", name)
	}
	return Runtime{Distribution: distribution, Version: version}, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
