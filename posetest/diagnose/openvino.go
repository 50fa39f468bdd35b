package diagnose

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/tensor"
)

// A partition is what the openvino provider makes of a graph.
type partition struct {
	parts  int             // that run on OpenVINO; 0 where that is not known
	left   []onnx.Node     // what the cpu provider is left with
	cyclic bool            // parts that wait for each other
	lone   bool            // a single node that found no neighbour in any later part
	odd    map[string]bool // operators of which nobody knows whether it takes them
}

// partitions follows onnxruntime/core/providers/openvino/ov_versions/capability.cc and utils.cc: the nodes in topological
// order are cut at each that the provider does not take; what lies between two cuts falls into connected parts; and a part
// of one node is given to a later one that touches it, be it as its input. A node whose result goes to the cpu provider and
// from there into the part that it was given to closes a circle.
func (g graph) partitions(version string) partition {
	p := partition{odd: map[string]bool{}}
	nodes, edges := g.live()
	clusters, cut := g.clusters(nodes, edges, version, p.odd)
	if !cut {
		p.parts = 1
		return p
	}
	cluster := make([]int, len(nodes)) // of each node that is taken, counted from 1
	for k, c := range clusters {
		for _, i := range c {
			cluster[i] = k + 1
		}
	}
	part := make([]int, len(nodes)) // of each node, counted from 1; 0 is none
	old := in(version, "<1.23")     // then, small parts were left to the cpu provider by a rule of their own
	inexact := old
	for k := range clusters {
		c, last := clusters[k], k == len(clusters)-1
		switch {
		case len(c) == 1 && last && !old:
			inexact = true // it is taken, or not, for a reason that is not known
		case len(c) == 1 && old:
			continue
		case len(c) == 1:
			later := edges.later(c[0], k+1, cluster)
			if later == 0 {
				p.lone = true
				continue
			}
			clusters[later-1] = append(clusters[later-1], c[0])
			cluster[c[0]] = later
			continue
		}
		if g.omitted(nodes, edges, c, cluster) {
			continue
		}
		p.parts++
		for _, i := range c {
			part[i] = p.parts
		}
	}
	for i, n := range nodes {
		if part[i] == 0 {
			p.left = append(p.left, n)
		}
	}
	p.cyclic = edges.cyclic(part, p.parts)
	if inexact {
		p.parts = 0
	}
	return p
}

// clusters are the connected parts of what lies between two nodes that the provider does not take, and whether there is
// such a node. odd gets the operators of which that is not known.
func (g graph) clusters(nodes []onnx.Node, e edges, version string, odd map[string]bool) (clusters [][]int, cut bool) {
	var run []int
	for _, i := range e.order() {
		taken, known := g.taken(nodes[i], version)
		if !known {
			odd[nodes[i].Type()] = true
		}
		if taken {
			run = append(run, i)
			continue
		}
		cut = true
		clusters, run = append(clusters, e.connected(run)...), nil
	}
	return append(clusters, e.connected(run)...), cut
}

// takenScalars are operators that the provider takes with an input that has no dimension: no_dimension_supported_ in data_ops.cc.
var takenScalars = []string{"Add", "And", "Cast", "Ceil", "Clip", "DequantizeLinear", "Div", "Equal", "Expand", "Floor", "Gather",
	"Identity", "If", "Less", "Loop", "Max", "Min", "Mul", "Neg", "Pow", "QuantizeLinear", "Range", "ReduceMax", "ReduceMin",
	"ReduceProd", "Reshape", "Shape", "Sqrt", "Squeeze", "Sub", "Unsqueeze", "Where"}

// taken tells whether the provider takes a node, and whether that is known. The only tensors that are known to have no
// dimension are the scale and zero point of DynamicQuantizeLinear.
func (g graph) taken(n onnx.Node, version string) (taken, known bool) {
	taken, known = openvinoOperators.has(n.Op, version)
	if !taken || slices.Contains(takenScalars, n.Op) {
		return taken, known
	}
	for _, in := range n.Inputs {
		if from, ok := g.made(in); ok && from.Type() == "DynamicQuantizeLinear" && in != from.Outputs[0] {
			return false, true
		}
	}
	return true, known
}

// omitted tells of a part that the provider gives back: one whose Conv or Identity has a result that is wanted outside.
func (g graph) omitted(nodes []onnx.Node, e edges, part, cluster []int) bool {
	for _, i := range part {
		n := nodes[i]
		if n.Op != "Conv" && n.Op != "Identity" || len(n.Outputs) == 0 || len(e.out[i]) == 0 {
			continue
		}
		if slices.ContainsFunc(g.Outputs, func(o tensor.Info) bool { return o.Name == n.Outputs[0] }) ||
			slices.ContainsFunc(e.out[i], func(to int) bool { return cluster[to] != cluster[i] }) {
			return true
		}
	}
	return false
}

// live are the nodes that are left when the runtime has folded what depends on constants alone, taken out Identity, and
// joined nodes that do the same, with their edges: its optimizations before providers choose.
func (g graph) live() ([]onnx.Node, edges) {
	folded, as, same := map[string]bool{}, map[string]string{}, map[string]onnx.Node{}
	output := map[string]bool{}
	for _, o := range g.Outputs {
		output[o.Name] = true
	}
	var nodes []onnx.Node
	for _, n := range g.Nodes {
		n.Inputs = slices.Clone(n.Inputs)
		fold := n.Op == "Constant" || len(n.Inputs) > 0 && n.Op != "DequantizeLinear" && n.Subgraphs == 0
		for i, in := range n.Inputs {
			n.Inputs[i] = cmp.Or(as[in], in)
			_, constant := g.Tensors[n.Inputs[i]]
			fold = fold && (in == "" || constant || folded[n.Inputs[i]])
		}
		what := fmt.Sprint(n.Type(), n.Inputs, n.Sum)
		twin, twice := same[what]
		switch wanted := slices.ContainsFunc(n.Outputs, func(out string) bool { return output[out] }); {
		case fold:
			for _, out := range n.Outputs {
				folded[out] = true
			}
		case n.Type() == "Identity" && !wanted && len(n.Inputs) == 1 && len(n.Outputs) == 1:
			as[n.Outputs[0]] = n.Inputs[0]
		case twice && !wanted && n.Subgraphs == 0 && len(n.Inputs) > 0 && len(twin.Outputs) == len(n.Outputs):
			for i, out := range n.Outputs {
				as[out] = twin.Outputs[i]
			}
		default:
			same[what] = n
			nodes = append(nodes, n)
		}
	}
	producer := map[string]int{}
	for i, n := range nodes {
		for _, out := range n.Outputs {
			producer[out] = i
		}
	}
	e := edges{make([][]int, len(nodes)), make([][]int, len(nodes))}
	for i, n := range nodes {
		for _, in := range n.Inputs {
			if from, ok := producer[in]; ok && in != "" {
				e.in[i] = append(e.in[i], from)
				e.out[from] = append(e.out[from], i)
			}
		}
		slices.Sort(e.in[i])
	}
	return nodes, e
}

// edges are the neighbours of each node.
type edges struct{ in, out [][]int }

// order is ONNX Runtime's topological order: Graph::ReverseDFSFrom of the leaves in onnxruntime/core/graph/graph.cc, later
// nodes first.
func (e edges) order() []int {
	type visit struct {
		node  int
		leave bool
	}
	var stack []visit
	for i, out := range e.out {
		if len(out) == 0 {
			stack = append(stack, visit{i, false})
		}
	}
	seen := make([]bool, len(e.in))
	order := make([]int, 0, len(e.in))
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		switch {
		case v.leave:
			order = append(order, v.node)
		case !seen[v.node]:
			seen[v.node] = true
			stack = append(stack, visit{v.node, true})
			for _, from := range e.in[v.node] {
				if !seen[from] {
					stack = append(stack, visit{from, false})
				}
			}
		}
	}
	return order
}

// connected parts a run of nodes into what hangs together within it.
func (e edges) connected(run []int) [][]int {
	left := make(map[int]bool, len(run))
	for _, i := range run {
		left[i] = true
	}
	var parts [][]int
	for _, first := range run {
		if !left[first] {
			continue
		}
		var part []int
		for todo := []int{first}; len(todo) > 0; {
			i := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if left[i] {
				delete(left, i)
				part = append(part, i)
				todo = append(append(todo, e.in[i]...), e.out[i]...)
			}
		}
		parts = append(parts, part)
	}
	return parts
}

// later is the first cluster behind the one given that a node has a neighbour in, 0 if none.
func (e edges) later(node, behind int, cluster []int) int {
	first := 0
	for _, i := range slices.Concat(e.in[node], e.out[node]) {
		if c := cluster[i]; c > behind && (first == 0 || c < first) {
			first = c
		}
	}
	return first
}

// cyclic tells whether parts and the nodes outside them wait for each other when each part is one node.
func (e edges) cyclic(part []int, parts int) bool {
	as := func(i int) int { // the node that a node becomes
		if part[i] > 0 {
			return part[i] - 1
		}
		return parts + i
	}
	next, waits := make([][]int, parts+len(part)), make([]int, parts+len(part))
	for i, out := range e.out {
		for _, j := range out {
			if as(i) != as(j) {
				next[as(i)] = append(next[as(i)], as(j))
				waits[as(j)]++
			}
		}
	}
	var ready []int
	for v, n := range waits {
		if n == 0 {
			ready = append(ready, v)
		}
	}
	done := 0
	for ; len(ready) > 0; done++ {
		v := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		for _, to := range next[v] {
			if waits[to]--; waits[to] == 0 {
				ready = append(ready, to)
			}
		}
	}
	return done < len(waits)
}
