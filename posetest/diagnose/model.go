package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/tensor"
)

// A Model is what a file says of itself.
type Model struct {
	IR           int64            `json:"ir_version"`
	Opsets       map[string]int64 `json:"opsets"` // by domain; "ai.onnx" is the default one
	Producer     string           `json:"producer"`
	Inputs       []tensor.Info    `json:"inputs"`
	Outputs      []tensor.Info    `json:"outputs"`
	Parameters   int64            `json:"parameters"` // elements of all constants
	Nodes        int              `json:"nodes"`      // with those of subgraphs
	Operators    []Count          `json:"operators"`  // most first
	Quantization Quantization     `json:"quantization"`

	g graph
}

// A Count is how often something is there.
type Count struct {
	What string `json:"what"`
	N    int    `json:"n"`
}

// Quantization is how a model's layers (convolutions and matrix products with constant weights) were quantized.
type Quantization struct {
	Kind        string  `json:"kind"`             // "none", "dynamic", "static", "weights only", or several: "dynamic and static"
	Format      string  `json:"format,omitempty"` // of static: "QDQ", "QOperator" or both
	Layers      int     `json:"layers"`
	Float       int     `json:"float_layers"` // left in float
	Half        bool    `json:"float16"`      // whether float weights are float16
	Weights     []Count `json:"weights,omitempty"`
	Activations []Count `json:"activations,omitempty"`
	// Depthwise counts depthwise convolutions, OneScale those with one scale for all channels, Starved those of them in which
	// at least half of the channels are left with less than starvedLevels of the scale's 256 levels, and Unseen those whose
	// weights were not looked at.
	Depthwise int `json:"depthwise"`
	OneScale  int `json:"depthwise_one_scale"`
	Starved   int `json:"depthwise_starved"`
	Unseen    int `json:"depthwise_unseen"`
	// Shared are outputs that join several parts under one scale.
	Shared []Shared `json:"shared_outputs,omitempty"`
}

// A Shared is an output that joins parts under one scale.
type Shared struct {
	Output string  `json:"output"`
	Step   float64 `json:"step"` // between two values that it can have; 0 if the file does not tell
}

const (
	starvedLevels = 8
	coarseStep    = 0.5 // from which a score, which is between 0 and 1, is rounded to 0 or 1
)

// Look reads a graph.
func Look(g onnx.Graph) Model {
	m := Model{IR: g.IR, Opsets: map[string]int64{}, Producer: strings.TrimSpace(g.Producer + " " + g.ProducerVersion),
		Inputs: g.Inputs, Outputs: g.Outputs, Nodes: len(g.Nodes) + len(g.Inner), g: newGraph(g)}
	for domain, version := range g.Opsets {
		m.Opsets[cmp.Or(domain, "ai.onnx")] = version
	}
	operators := counter{}
	for _, n := range slices.Concat(g.Nodes, g.Inner) {
		operators[n.Type()]++
	}
	m.Operators = operators.sorted()
	for _, t := range g.Tensors {
		if n := m.Parameters + t.Elements(); n >= 0 {
			m.Parameters = n
		}
	}
	m.Quantization = m.g.quantization()
	return m
}

// count is how many nodes have one of the operators.
func (m Model) count(types ...string) int {
	n := 0
	for _, c := range m.Operators {
		if slices.Contains(types, c.What) {
			n += c.N
		}
	}
	return n
}

type counter map[string]int

func (c counter) sorted() []Count {
	var all []Count
	for what, n := range c {
		all = append(all, Count{what, n})
	}
	slices.SortFunc(all, func(a, b Count) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.What, b.What)) })
	return all
}

// String is the quantization in a few words.
func (q Quantization) String() string {
	switch {
	case q.Kind == "none" && q.Half:
		return "no: float16"
	case q.Kind == "none":
		return "no"
	}
	parts := []string{q.Kind}
	if q.Format != "" {
		parts[0] += ", " + q.Format
	}
	for _, w := range q.Weights {
		parts = append(parts, fmt.Sprintf("%d × weights %s", w.N, w.What))
	}
	for _, a := range q.Activations {
		parts = append(parts, fmt.Sprintf("%d × activations %s", a.N, a.What))
	}
	if q.Float > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d layers in float", q.Float, q.Layers))
	}
	return strings.Join(parts, "; ")
}
