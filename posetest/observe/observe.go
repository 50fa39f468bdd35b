// Package observe holds what was seen of a cell of the matrix, as plain values without opinion.
//
// A [Cell] names what was tried, an [Observation] what happened, and a [Set] is what one run saw, or several joined by
// [Merge]. [Write] and [Read] move it as JSON Lines. What was expected is package expect's matter.
//
//	o := observe.Observation{Cell: cell, Outcome: observe.Loads, Load: 31 * time.Millisecond}
//	err := observe.Write(file, observe.Whole([]observe.Observation{o}))
//	set, err := observe.Read(file, "observations.jsonl")
package observe

import (
	"cmp"
	"fmt"
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
	Hangs       Outcome = "hangs"       // the worker gave no answer within its time, on the clock or of processors
	Unavailable Outcome = "unavailable" // the provider is not in this build of the runtime, or starts with no model on this machine
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
	Limit  string   `json:"limit,omitempty"`  // the limit that ended it: "time 1m0s", "processor time 10m0s", "memory 4096 MiB"
	Breach string   `json:"breach,omitempty"` // what it did against the worker's protocol, and was ended for
	Log    []string `json:"log,omitempty"`    // the last lines of its log
}

// String is the death in a few words, without the log.
func (d Death) String() string {
	switch {
	case d.Limit != "":
		return fmt.Sprintf("stopped during %s by the limit of %s", d.During, d.Limit)
	case d.Breach != "":
		return fmt.Sprintf("stopped during %s for a breach of the protocol: %s", d.During, d.Breach)
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

// A GPU is the graphics processor that a cell ran on, as its driver's tool told while the cell was warmed up; what it does not
// tell is 0.
type GPU struct {
	Name        string  `json:"name"`
	Driver      string  `json:"driver"`
	Memory      int64   `json:"memory_bytes"`
	PState      string  `json:"pstate"`        // performance state: P0 is the fastest
	Clock       int     `json:"clock_mhz"`     // of the multiprocessors
	MaxClock    int     `json:"max_clock_mhz"` // that they can have
	MemoryClock int     `json:"memory_clock_mhz"`
	Power       float64 `json:"power_w"`
	PowerLimit  float64 `json:"power_limit_w"`
	Temperature int     `json:"temperature_c"` // °C
}

// What a provider may lack on a machine, though the build brings it; "" for nothing.
const (
	LacksLibraries = "libraries" // of a vendor, such as CUDA's
	LacksDevice    = "device"
)

// An Observation is all that was seen of one cell.
type Observation struct {
	Cell
	Family      string    `json:"family,omitempty"` // of package pose
	ModelFile   string    `json:"model_file"`       // base name
	ModelSHA256 string    `json:"model_sha256"`
	ModelSize   int64     `json:"model_size"` // bytes
	Runtime     string    `json:"runtime"`    // the version that the library itself reports
	Machine     Machine   `json:"machine"`
	Threads     int       `json:"threads"`
	When        time.Time `json:"when"`

	// Lacks is what the provider needs beyond the build and this machine has not, by its files: [LacksLibraries], [LacksDevice].
	Lacks     string         `json:"lacks,omitempty"`
	Outcome   Outcome        `json:"outcome"`
	Failure   *Failure       `json:"failure,omitempty"`   // for Fails and Unavailable
	Death     *Death         `json:"death,omitempty"`     // for Crashes and Hangs
	Placement map[string]int `json:"placement,omitempty"` // nodes by provider, as the runtime names them
	// Earlier are the outcomes of the attempts before this one, where a cell is known to be unstable.
	Earlier []Outcome `json:"earlier,omitempty"`
	// Variants are the ways in which repetitions of the cell went, the most frequent first, which the rest of the
	// observation is of; nil if it was not repeated. See [Repeated].
	Variants []Variant `json:"variants,omitempty"`

	Start      time.Duration   `json:"start_ns"`                 // worker started and runtime opened
	Load       time.Duration   `json:"load_ns,omitempty"`        // the session's creation alone
	FirstRun   time.Duration   `json:"first_run_ns"`             // the first inference
	Run        time.Duration   `json:"run_ns"`                   // median of Runs
	Runs       []time.Duration `json:"runs_ns,omitempty"`        // the timed inferences, in their order
	DeviceRuns []time.Duration `json:"device_runs_ns,omitempty"` // timed with inputs and outputs in the memory of a device, copies not counted
	GPU        *GPU            `json:"gpu,omitempty"`            // of providers of NVIDIA's; nil where nothing tells
	PeakMemory int64           `json:"peak_memory_bytes"`        // of the worker, resident
	Worker     time.Duration   `json:"worker_ns"`                // what the worker spent in load and runs, of all repetitions
	Photos     []Photo         `json:"photos,omitempty"`         // in the order of the fixtures
	COCO       *COCO           `json:"coco,omitempty"`           // nil if not asked for
	LogErrors  []string        `json:"log_errors,omitempty"`     // warnings and errors of the runtime's log
}

// COCO is how accurate a cell is on COCO's annotated photographs; see package coco for the figures.
type COCO struct {
	Images int     `json:"images"`
	AP     float64 `json:"ap"`
	AP50   float64 `json:"ap50"`
	AR     float64 `json:"ar"`
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
