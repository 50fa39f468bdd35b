package expect_test

import (
	"strings"
	"testing"

	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const goodSpeed = `[[speed]]
model = "movenet-lightning"
precision = "int8-qdq"
provider = "cpu"
isa = "vnni"
at_least = 1.2
why = "a fifth faster, or it is not worth its loss"
status = "unverified"
`

func TestParseSpeeds(t *testing.T) {
	speeds, err := expect.ParseSpeeds([]byte("\n"+goodSpeed), "support.toml")
	require.NoError(t, err)
	assert.Equal(t, "support.toml:2", speeds[0].Where())

	for _, row := range []struct{ name, from, to, want string }{
		{"no bar", "at_least = 1.2\n", "", "at_least and at_most are times the speed of fp32"},
		{"the other way round", "at_least = 1.2", "at_most = 1.1\nat_least = 1.2", "at_least and at_most"},
		{"a bar below 0", "1.2", "-1", "at_least and at_most"},
		{"no class of processors", `isa = "vnni"`, "", "isa must name"},
		{"a class that is none", "vnni", "mmx", `isa "mmx"`},
		{"fp32 against itself", "int8-qdq", "int8-qdq fp32", "precision must name others than fp32"},
		{"no reason", "a fifth faster, or it is not worth its loss", "", "why must tell"},
		{"how it is known", "unverified", "", `status ""`},
		{"a typo", "at_least", "at_last", `unknown field "speed.at_last"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := strings.ReplaceAll(goodSpeed, row.from, row.to)
			require.NotEqual(t, goodSpeed, text)
			_, err := expect.ParseSpeeds([]byte(text), "support.toml")
			assert.ErrorContains(t, err, row.want)
			assert.ErrorContains(t, err, "support.toml:")
		})
	}
}

func TestSpeedsMatchAndCheck(t *testing.T) {
	const rows = `[[row]]
model = "movenet-lightning"
want = "loads"
status = "unverified"
`
	place := func(precision, isa string) expect.Place {
		return expect.Place{Cell: observe.Cell{Model: "movenet-lightning", Precision: precision, Provider: "cpu", ORT: "1.32.0"}, Version: "1.32.0", ISA: isa}
	}
	table, err := expect.Parse([]byte(rows), "support.toml")
	require.NoError(t, err)
	speeds, err := expect.ParseSpeeds([]byte(goodSpeed), "support.toml")
	require.NoError(t, err)

	bar, has, err := speeds.Match(place("int8-qdq", "vnni"))
	require.NoError(t, err)
	assert.True(t, has)
	assert.Equal(t, 1.2, bar.AtLeast)
	_, has, _ = speeds.Match(place("int8-qdq", "avx2"))
	assert.False(t, has, "a bar holds for the classes that it names alone")

	assert.NoError(t, speeds.Check(table, []expect.Place{place("int8-qdq", "vnni")}))
	assert.ErrorContains(t, speeds.Check(table, []expect.Place{place("int8-qdq", "avx2")}), "support.toml:1: the bar is for no cell", "left over")
	twice := append(expect.Speeds{}, speeds[0], speeds[0])
	assert.ErrorContains(t, twice.Check(table, []expect.Place{place("int8-qdq", "vnni")}), "are both for this cell")
	wrong, err := expect.Parse([]byte(rows+"finds = \"nobody\"\nwhy = \"x\"\n"), "support.toml")
	require.NoError(t, err)
	assert.ErrorContains(t, speeds.Check(wrong, []expect.Place{place("int8-qdq", "vnni")}), "no cell that loads and finds people")
}
