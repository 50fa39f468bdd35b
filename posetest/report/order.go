package report

import (
	"cmp"
	"regexp"
	"slices"

	"github.com/Masterminds/semver/v3"
)

// ort is a runtime's distribution, if it has one, and its version, which may be a pre-release.
var ort = regexp.MustCompile(`^(?:(.*?)-)?(\d.*)$`)

// compareORT orders runtimes by distribution, then by version as a person counts. What has no version is its own
// distribution.
func compareORT(a, b string) int {
	name := func(s string) (string, *semver.Version) {
		if m := ort.FindStringSubmatch(s); m != nil {
			if v, err := semver.NewVersion(m[2]); err == nil {
				return m[1], v
			}
		}
		return s, semver.New(0, 0, 0, "", "")
	}
	da, va := name(a)
	db, vb := name(b)
	return cmp.Or(cmp.Compare(da, db), va.Compare(vb), cmp.Compare(a, b))
}

// comparePrecision puts what others are compared with first.
func comparePrecision(a, b string) int {
	rank := func(s string) int { return slices.Index([]string{"int8", "fp16", "fp32"}, s) }
	return cmp.Or(cmp.Compare(rank(b), rank(a)), cmp.Compare(a, b))
}
