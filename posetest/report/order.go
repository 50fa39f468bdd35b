package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// compareORT orders runtimes by distribution, then by version as a person counts.
func compareORT(a, b string) int {
	name := func(s string) (string, *semver.Version) {
		distribution, version := "", s
		if i := strings.LastIndex(s, "-"); i >= 0 {
			distribution, version = s[:i], s[i+1:]
		}
		v, err := semver.NewVersion(version)
		if err != nil {
			v = semver.New(0, 0, 0, "", "")
		}
		return distribution, v
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
