// Package observe holds what was seen of a cell of the matrix, as plain values without opinion.
//
// A [Cell] names what was tried, an [Observation] what happened, and [Write] and [Read] move observations as JSON
// Lines. What was expected is package expect's matter.
//
//	o := observe.Observation{Cell: cell, Outcome: observe.Loads, Load: 31 * time.Millisecond}
//	err := observe.Write(file, []observe.Observation{o})
//	all, err := observe.Read(file, "matrix.jsonl")
package observe

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/pose"
)

// A Cell is one point of the matrix: a model in a precision, on an execution provider, in a runtime.
type Cell struct {
	Model     string `json:"model"`     // "yolov8n-pose"; "yolov8n-pose~1a2b3c4d" for another export of it
	Precision string `json:"precision"` // "fp32", "int8", "int8-qdq", …
	Provider  string `json:"provider"`  // "cpu", "openvino", …
	ORT       string `json:"ort"`       // "1.23.2", "openvino-1.24.1"
}

// String is the cell's name in sub-tests, benchmarks and reports:
// model=yolov8n-pose/precision=int8/provider=cpu/ort=1.23.2.
func (c Cell) String() string {
	return fmt.Sprintf("model=%s/precision=%s/provider=%s/ort=%s", c.Model, c.Precision, c.Provider, c.ORT)
}

// Compare orders cells by model, precision, provider and runtime.
func (c Cell) Compare(d Cell) int {
	return cmp.Or(cmp.Compare(c.Model, d.Model), cmp.Compare(c.Precision, d.Precision),
		cmp.Compare(c.Provider, d.Provider), cmp.Compare(c.ORT, d.ORT))
}

// BaseModel is the model without the mark of another export.
func (c Cell) BaseModel() string {
	base, _, _ := strings.Cut(c.Model, "~")
	return base
}

// An Outcome is what became of the attempt to open a session.
type Outcome string

const (
	Loads       Outcome = "loads"       // the session opened
	Fails       Outcome = "fails"       // the runtime refused the model with a message
	Crashes     Outcome = "crashes"     // the worker died of a signal or left early
	Hangs       Outcome = "hangs"       // the worker gave no answer within its time
	Unavailable Outcome = "unavailable" // the provider is not in this build of the runtime
)

// Outcomes are all of them, in the order of a legend.
func Outcomes() []Outcome { return []Outcome{Loads, Fails, Crashes, Hangs, Unavailable} }

// A Failure is a refusal in the runtime's own words, and what could be parsed of them.
type Failure struct {
	Message string `json:"message"` // the model's path replaced by {model}
	Op      string `json:"op,omitempty"`
	Opset   int    `json:"opset,omitempty"`
	Node    string `json:"node,omitempty"`
}

// A Death is how a worker ended that was not asked to.
type Death struct {
	During string   `json:"during"`           // "open", "infer", …: the request it did not answer
	Signal string   `json:"signal,omitempty"` // "SIGSEGV"
	Exit   int      `json:"exit,omitempty"`   // exit code, where there was no signal
	Limit  string   `json:"limit,omitempty"`  // the limit that ended it: "time 60s", "memory 4096 MiB"
	Log    []string `json:"log,omitempty"`    // the last lines of its log
}

// String is the death in a few words, without the log.
func (d Death) String() string {
	switch {
	case d.Limit != "":
		return fmt.Sprintf("stopped during %s by the limit of %s", d.During, d.Limit)
	case d.Signal != "":
		return fmt.Sprintf("died of %s during %s", d.Signal, d.During)
	}
	return fmt.Sprintf("left with exit code %d during %s", d.Exit, d.During)
}

// A Photo is what a cell made of one fixture.
type Photo struct {
	Fixture string        `json:"fixture"`
	SHA256  string        `json:"sha256"`
	Width   int           `json:"width"`  // pixels
	Height  int           `json:"height"` // pixels
	People  int           `json:"people"` // annotated in it
	OKS     float64       `json:"oks"`    // best of any person found to any annotated; 0 without
	Persons []pose.Person `json:"persons"`
	// Candidate is the best person below the confidence, where nobody is above it: it tells a collapse from an empty result.
	Candidate *pose.Person  `json:"candidate,omitempty"`
	Infer     time.Duration `json:"infer_ns"`        // the session's run alone
	Error     string        `json:"error,omitempty"` // the run or the decoder refused
}

// A Machine is where a cell was observed.
type Machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPU  string `json:"cpu"`   // the processor's own name
	ISA  string `json:"isa"`   // the class that INT8 kernels differ by: one of [ISAs]
	Core int    `json:"cores"` // logical processors this process may use
}

// Platform is the machine's "linux/amd64".
func (m Machine) Platform() string { return m.OS + "/" + m.Arch }

// An Observation is all that was seen of one cell.
type Observation struct {
	Cell
	ModelFile   string    `json:"model_file"` // base name
	ModelSHA256 string    `json:"model_sha256"`
	ModelSize   int64     `json:"model_size"` // bytes
	Runtime     string    `json:"runtime"`    // the version that the library itself reports
	Machine     Machine   `json:"machine"`
	Threads     int       `json:"threads"`
	When        time.Time `json:"when"`

	Outcome   Outcome        `json:"outcome"`
	Failure   *Failure       `json:"failure,omitempty"`   // for Fails and Unavailable
	Death     *Death         `json:"death,omitempty"`     // for Crashes and Hangs
	Placement map[string]int `json:"placement,omitempty"` // nodes by provider, as the runtime names them
	// Earlier are the outcomes of the attempts before this one, where a cell is known to be unstable.
	Earlier []Outcome `json:"earlier,omitempty"`

	Start      time.Duration `json:"start_ns"`             // worker started and runtime opened
	Load       time.Duration `json:"load_ns,omitempty"`    // the session's creation alone
	FirstRun   time.Duration `json:"first_run_ns"`         // the first inference
	Run        time.Duration `json:"run_ns"`               // median of the later ones
	PeakMemory int64         `json:"peak_memory_bytes"`    // of the worker, resident
	Worker     time.Duration `json:"worker_ns"`            // what the worker spent in load and runs
	Photos     []Photo       `json:"photos,omitempty"`     // in the order of the fixtures
	LogErrors  []string      `json:"log_errors,omitempty"` // warnings and errors of the runtime's log
}

// Share is the part of the nodes that was placed on the runtime's provider named, 0…1, and whether placement is known.
func (o Observation) Share(provider string) (share float64, known bool) {
	total := 0
	for _, n := range o.Placement {
		total += n
	}
	if total == 0 {
		return 0, false
	}
	return float64(o.Placement[provider]) / float64(total), true
}

// Write puts one observation on a line each, ordered by cell, then by platform and ISA class.
func Write(w io.Writer, all []Observation) error {
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b Observation) int {
		return cmp.Or(a.Cell.Compare(b.Cell), cmp.Compare(a.Machine.Platform(), b.Machine.Platform()), cmp.Compare(a.Machine.ISA, b.Machine.ISA))
	})
	enc := json.NewEncoder(w)
	for _, o := range sorted {
		if err := enc.Encode(o); err != nil {
			return fmt.Errorf("observation %s: %w", o.Cell, err)
		}
	}
	return nil
}

// Read reads what [Write] wrote; name stands in errors. A file without lines has no observations. A line that was cut,
// has an unknown field, or lacks its cell or what its outcome needs is an error, as is a cell that appears twice on one
// platform and ISA class.
func Read(r io.Reader, name string) ([]Observation, error) {
	var all []Observation
	type key struct {
		Cell
		platform, isa string
	}
	seen := map[key]int{}
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return all, nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%s:%d: the last line is cut; write the observations again", name, n)
		case err != nil:
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		o, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: not an observation of this version of posetest: %w; write the observations again", name, n, err)
		}
		k := key{o.Cell, o.Machine.Platform(), o.Machine.ISA}
		if first, twice := seen[k]; twice {
			return nil, fmt.Errorf("%s:%d: cell %s stands on line %d already, of %s %s, too; remove one of the lines", name, n, o.Cell, first, k.platform, k.isa)
		}
		seen[k] = n
		all = append(all, o)
	}
}

// parse reads a line, and makes sure that whoever looks at the observation finds what its outcome promises.
func parse(line []byte) (o Observation, err error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return o, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return o, errors.New("something follows it on its line")
	}
	switch {
	case o.Model == "" || o.Precision == "" || o.Provider == "" || o.ORT == "":
		return o, fmt.Errorf("its cell %s is not whole", o.Cell)
	case !slices.Contains(Outcomes(), o.Outcome):
		return o, fmt.Errorf("outcome %q is none of %v", o.Outcome, Outcomes())
	case (o.Outcome == Fails || o.Outcome == Unavailable) && o.Failure == nil:
		return o, fmt.Errorf("outcome %q lacks its failure", o.Outcome)
	case (o.Outcome == Crashes || o.Outcome == Hangs) && o.Death == nil:
		return o, fmt.Errorf("outcome %q lacks its death", o.Outcome)
	}
	return o, nil
}
