package diagnose

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

//go:embed cpu.txt
var cpuText string

//go:embed openvino.txt
var openvinoText string

// An operators is a list of operators by range of versions: "" for all, "?" for nobody knows.
type operators map[string][]string

func parse(text string) operators {
	all, under := operators{}, ""
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "#"):
		case strings.ContainsAny(line, "<>?"):
			under = line
		default:
			all[under] = append(all[under], strings.Fields(line)...)
		}
	}
	return all
}

// has tells whether an operator is in the list for a version, and whether that is known.
func (o operators) has(op, version string) (has, known bool) {
	for under, ops := range o {
		if slices.Contains(ops, op) {
			return under != "?" && (under == "" || in(version, under)), under != "?"
		}
	}
	return false, true
}

var cpuOperators, openvinoOperators = parse(cpuText), parse(openvinoText)

// in tells whether a version is in a range such as ">=1.23, <1.24".
func in(version, constraint string) bool {
	v, err := semver.NewVersion(version)
	if err != nil {
		return false
	}
	c, err := semver.NewConstraint(constraint)
	return err == nil && c.Check(v)
}
