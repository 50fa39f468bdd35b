package posetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/posetest/suite/posetest/observe"
	"golang.org/x/perf/benchfmt"
)

// completeKey is the configuration line that says how a run ended. A run begins with an empty one, which benchstat takes
// for none, so that runs may be appended to each other without splitting its tables.
const completeKey = "complete"

// A BenchWriter writes samples in Go's benchmark format, each line whole, so that a reader can tell whether any is lost:
// [CheckBenchmarks].
type BenchWriter struct {
	w      io.Writer
	format *benchfmt.Writer
	config []benchfmt.Config
}

// NewBenchWriter begins a run on a machine.
func NewBenchWriter(w io.Writer, m observe.Machine) (*BenchWriter, error) {
	b := &BenchWriter{w: w, format: benchfmt.NewWriter(w)}
	for _, c := range []struct{ key, value string }{
		{"goos", m.OS}, {"goarch", m.Arch}, {"cpu", m.CPU}, {"isa", m.ISA}, {"cores", strconv.Itoa(m.Core)},
	} {
		value := cmp.Or(strings.Join(strings.Fields(c.value), " "), "unknown") // what is empty would be that of the run before
		b.config = append(b.config, benchfmt.Config{Key: c.key, Value: []byte(value), File: true})
	}
	if _, err := fmt.Fprintf(w, "%s:\n", completeKey); err != nil {
		return nil, err
	}
	for _, u := range [][3]string{{"fps", "better", "higher"}, {"model-B", "assume", "exact"}} {
		unit := &benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: u[0], Key: u[1]}, OrigUnit: u[0], Value: u[2]}
		if err := b.format.Write(unit); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Write writes a sample.
func (b *BenchWriter) Write(of Benchmark, s Sample) error {
	return b.format.Write(&benchfmt.Result{Config: b.config, Name: benchfmt.Name(of.String()), Iters: len(s.Runs), Values: s.Metrics()})
}

// Complete ends a run that has all its samples.
func (b *BenchWriter) Complete(cells, samples int) error {
	_, err := fmt.Fprintf(b.w, "%s: %s\n", completeKey, extent(cells, samples))
	return err
}

func extent(cells, samples int) string { return fmt.Sprintf("%d cells of %d samples", cells, samples) }

// CheckBenchmarks tells whether benchstat would take every line of r for what it is: it leaves out what it can't read,
// such as a benchmark line with a line of a log inside, and compares the rest. Accepted is what a [BenchWriter] or go test
// -bench wrote, whole: all cells with the same number of samples, on one machine. It returns the number of cells, or one
// sentence that names the input and its line.
func CheckBenchmarks(r io.Reader, name string) (cells int, err error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	if len(text) == 0 {
		return 0, fmt.Errorf("%s: is empty; nothing was measured", name)
	}
	lines := strings.Split(string(text), "\n")
	if lines[len(lines)-1] != "" {
		return 0, fmt.Errorf("%s:%d: the last line has no end, so the input was cut; measure again", name, len(lines))
	}
	records := benchfmt.NewReader(bytes.NewReader(text), name)
	at := map[int]benchfmt.Record{} // by line
	for records.Scan() {
		record := records.Result()
		_, line := record.Pos()
		if result, ok := record.(*benchfmt.Result); ok {
			record = result.Clone()
		}
		if _, wrong := at[line].(*benchfmt.SyntaxError); !wrong { // a line of units has several records
			at[line] = record
		}
	}
	if err := records.Err(); err != nil {
		return 0, err
	}
	c := checking{samples: map[string]int{}, units: map[string][]string{}}
	for i, line := range lines[:len(lines)-1] {
		if err := c.line(strings.TrimSuffix(line, "\r"), at[i+1]); err != nil {
			return 0, fmt.Errorf("%s:%d: %w, in %.80q", name, i+1, err, line)
		}
	}
	if err := c.end(); err != nil {
		return 0, fmt.Errorf("%s:%d: %w", name, len(lines)-1, err)
	}
	return len(c.samples), nil
}

// checking is what was read so far.
type checking struct {
	samples map[string]int // by cell
	units   map[string][]string
	part    map[string]int // samples by cell since the run began
	machine string
	open    bool // a run has begun and is not complete
	ended   bool // nothing is missing after the last sample
}

var configLine = regexp.MustCompile(`^([a-z][^\s:A-Z]*):(?:[ \t]+(.*))?$`)

// line takes one line, and what benchfmt made of it, if anything.
func (c *checking) line(line string, record benchfmt.Record) error {
	switch record := record.(type) {
	case *benchfmt.SyntaxError:
		return fmt.Errorf("%s, so that benchstat would leave this line out; keep logs out of the file and measure again", record.Msg)
	case *benchfmt.Result:
		return c.result(record)
	case *benchfmt.UnitMetadata:
		return nil
	}
	config := configLine.FindStringSubmatch(line)
	switch {
	case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "Unit "): // what is known already makes no record
		return nil
	case line == "PASS" || strings.HasPrefix(line, "ok  \t"): // go test's end
		c.ended = true
		return nil
	case config == nil:
		return errors.New("neither a whole benchmark line nor configuration; keep logs out of the file and measure again")
	case config[1] == completeKey:
		return c.complete(config[2])
	case !slices.Contains(append(machineKeys(), "pkg"), config[1]):
		return fmt.Errorf("benchstat would take %s for configuration and split its tables there; keep logs out of the file and measure again", config[1])
	}
	return nil
}

// complete takes the line at the begin of a run, which says nothing, or at its end, which says what it holds.
func (c *checking) complete(says string) error {
	if (says == "") == c.open {
		return errors.New("a run ends that did not begin, or begins before the one before is complete; the input was cut: measure again")
	}
	c.open, c.ended = says == "", says != ""
	if c.open {
		c.part = map[string]int{}
		return nil
	}
	if err := equal(c.part); err != nil {
		return err
	}
	samples := 0
	for _, samples = range c.part {
	}
	if holds := extent(len(c.part), samples); holds != says {
		return fmt.Errorf("the run has %s before this line; the input was cut: measure again", holds)
	}
	return nil
}

// equal tells whether all cells have the same number of samples.
func equal(samples map[string]int) error {
	var few, many string
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		if few == "" || samples[name] < samples[few] {
			few = name
		}
		if many == "" || samples[name] > samples[many] {
			many = name
		}
	}
	if samples[few] != samples[many] {
		return fmt.Errorf("unequal samples: %s has %d, and %s %d; measure again", few, samples[few], many, samples[many])
	}
	return nil
}

// machineKeys are the configuration of a machine.
func machineKeys() []string { return []string{"goos", "goarch", "cpu", "isa", "cores"} }

func (c *checking) result(r *benchfmt.Result) error {
	c.ended = false
	name := string(r.Name)
	var machine, units []string
	for _, key := range machineKeys() {
		machine = append(machine, key+" "+r.GetConfig(key))
	}
	switch on := strings.Join(machine, ", "); c.machine {
	case "":
		c.machine = on
	case on:
	default:
		return fmt.Errorf("mixed machines: %s, and before %s; compare what one machine measured", on, c.machine)
	}
	for _, v := range r.Values {
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || v.Value < 0 {
			return fmt.Errorf("%v is no measurement of %s; measure again", v.Value, v.Unit)
		}
		units = append(units, v.Unit)
	}
	slices.Sort(units)
	if len(slices.Compact(slices.Clone(units))) != len(units) {
		return errors.New("a unit comes twice; keep logs out of the file and measure again")
	}
	if c.samples[name] == 0 {
		c.units[name] = units
	}
	if !slices.Equal(c.units[name], units) {
		return fmt.Errorf("this sample has %s, and one before of the same cell %s; measure again", strings.Join(units, " "), strings.Join(c.units[name], " "))
	}
	c.samples[name]++
	if c.part != nil {
		c.part[name]++
	}
	return nil
}

// end looks at all that was read.
func (c *checking) end() error {
	if c.open || !c.ended {
		return fmt.Errorf("no line says that the run is complete (%s: …, or PASS of go test), so the input was cut; measure again", completeKey)
	}
	return equal(c.samples)
}
