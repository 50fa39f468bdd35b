package onnx

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/posetest/suite/posetest/tensor"
	"google.golang.org/protobuf/encoding/protowire"
)

// A Graph is a model without its weights.
type Graph struct {
	Model
	ProducerVersion string
	Opsets          map[string]int64  // by domain; "" is the default one
	Nodes           []Node            // in the order of the file
	Inner           []Node            // of the subgraphs of If, Loop and Scan, however deep
	Tensors         map[string]Tensor // initializers and values of Constant nodes, by name
	Functions       map[string]bool   // the model's own operators, as [Node.Type] writes them
}

// A Node is one operation.
type Node struct {
	Name, Op        string
	Domain          string   // "" is the default one
	Inputs, Outputs []string // tensors; "" is an optional input that is left out
	Group           int64    // of a convolution; 1 where it says none
	Subgraphs       int      // that it holds, as If, Loop and Scan do
	Sum             uint64   // of its attributes: two nodes of one type, inputs and sum do the same
}

// Type is the operator with its domain: Conv, com.microsoft:QLinearAdd.
func (n Node) Type() string {
	if n.Domain == "" {
		return n.Op
	}
	return n.Domain + ":" + n.Op
}

// Input is the name of an input, "" where the node has none there.
func (n Node) Input(i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// A Tensor is a constant of the graph.
type Tensor struct {
	Type     string // as in [tensor.Info]
	Dims     []int64
	External string // the file that holds its data, relative to the model's folder; "" if the model does
	// Data are the bytes, little-endian, of one with 8-bit elements and at most maxSmall of them, or with one float32; nil of others.
	Data []byte
}

// Elements is how many there are, 0 of a tensor that can't be.
func (t Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Dims {
		if d <= 0 || n > math.MaxInt64/d {
			return 0
		}
		n *= d
	}
	return n
}

// Float is the value of a tensor with one float32, and whether it is one whose value is known and finite.
func (t Tensor) Float() (v float64, known bool) {
	if t.Type != "float32" || len(t.Data) != 4 {
		return 0, false
	}
	v = float64(math.Float32frombits(binary.LittleEndian.Uint32(t.Data)))
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, false
	}
	return v, true
}

const (
	maxSmall = 1 << 15  // elements of an 8-bit tensor whose data are kept: a depthwise convolution's weights
	maxKept  = 24 << 20 // bytes that a graph may take in memory
	maxDepth = 32       // of subgraphs in subgraphs
)

var errTooMuch = errors.New("its graph is larger or deeper than any that a runtime would open; export it again")

// ReadGraphFile reads the model at path without its weights. Its error is a [FormatError], or the file system's. Data in
// other files must be in the model's folder, and there.
func ReadGraphFile(path string) (Graph, error) { return readFile(path, wholeGraph) }

// ReadGraph reads a model of size bytes without its weights; see [Read]. Where its external data are is not looked at.
func ReadGraph(r io.Reader, size int64) (Graph, error) { return read(r, size, wholeGraph) }

// A parser holds what was read so far.
type parser struct {
	how    depth
	g      Graph
	budget int // bytes that may still be kept
	// external are the files that hold data, relative to the model's folder, each with a tensor that has some there.
	external map[string]string
}

// keep charges n bytes, and what it costs to hold them.
func (p *parser) keep(n int) error {
	if p.budget -= n + 64; p.budget < 0 {
		return errTooMuch
	}
	return nil
}

func (p *parser) text(s *string, value *message) (err error) {
	*s, err = value.text()
	return cmp.Or(err, p.keep(len(*s)))
}

func (p *parser) texts(list *[]string, value *message) error {
	var s string
	err := p.text(&s, value)
	*list = append(*list, s)
	return err
}

// domain gives the default one its only name.
func domain(s string) string {
	if s == "ai.onnx" {
		return ""
	}
	return s
}

func (p *parser) opset(value *message) error {
	var name string
	version := int64(0)
	err := value.each(func(field protowire.Number, value *message, number uint64) error {
		switch field {
		case 1:
			return p.text(&name, value)
		case 2:
			version = int64(number)
		}
		return nil
	})
	p.g.Opsets[domain(name)] = version
	p.g.Opset = p.g.Opsets[""]
	return err
}

// function reads the name of a FunctionProto.
func (p *parser) function(value *message) error {
	if p.how == headOnly {
		return nil
	}
	var n Node
	err := value.each(func(field protowire.Number, value *message, _ uint64) error {
		switch field {
		case 1:
			return p.text(&n.Op, value)
		case 10:
			return p.text(&n.Domain, value)
		}
		return nil
	})
	n.Domain = domain(n.Domain)
	p.g.Functions[n.Type()] = true
	return err
}

// graph reads a GraphProto; level counts the graphs around it.
func (p *parser) graph(graph *message, level int) error {
	if level > maxDepth {
		return errTooMuch
	}
	return graph.each(func(field protowire.Number, value *message, _ uint64) error {
		switch {
		case field == 1 && p.how == wholeGraph:
			return p.node(value, level)
		case field == 5:
			return p.tensor(value)
		case field == 11 && level == 0:
			return p.info(&p.g.Inputs, value)
		case field == 12 && level == 0:
			return p.info(&p.g.Outputs, value)
		}
		return nil
	})
}

func (p *parser) info(list *[]tensor.Info, value *message) error {
	info, err := p.readInfo(value)
	*list = append(*list, info)
	return cmp.Or(err, p.keep(len(info.Name)))
}

// node reads a NodeProto.
func (p *parser) node(node *message, level int) error {
	n := Node{Group: 1}
	var constant *Tensor
	err := node.each(func(field protowire.Number, value *message, _ uint64) error {
		switch field {
		case 1:
			return p.texts(&n.Inputs, value)
		case 2:
			return p.texts(&n.Outputs, value)
		case 3:
			return p.text(&n.Name, value)
		case 4:
			return p.text(&n.Op, value)
		case 7:
			return p.text(&n.Domain, value)
		case 5:
			return p.attribute(&n, &constant, value, level)
		}
		return nil
	})
	n.Domain = domain(n.Domain)
	if n.Op == "Constant" && constant != nil && len(n.Outputs) > 0 {
		p.g.Tensors[n.Outputs[0]] = *constant
	}
	if level == 0 {
		p.g.Nodes = append(p.g.Nodes, n)
	} else {
		p.g.Inner = append(p.g.Inner, n)
	}
	return cmp.Or(err, p.keep(200))
}

// sum adds an attribute to a node's sum; a long one is like no other.
func (p *parser) sum(n *Node, value *message) {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(nil, n.Sum))
	if b, err := value.r.Peek(int(min(value.left, bufferSize))); err == nil && int64(len(b)) == value.left {
		h.Write(b)
	} else {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(p.budget)))
	}
	n.Sum = h.Sum64()
}

// attribute reads an AttributeProto. Its name comes first in every file, and what it holds is read by kind, so that the
// order does not matter for anything but group.
func (p *parser) attribute(n *Node, constant **Tensor, value *message, level int) error {
	p.sum(n, value)
	var name string
	var number int64
	err := value.each(func(field protowire.Number, value *message, v uint64) error {
		switch field {
		case 1:
			return p.text(&name, value)
		case 3:
			number = int64(v)
		case 5:
			_, t, err := p.readTensor(value)
			*constant = &t
			return err
		case 6, 11:
			n.Subgraphs++
			return p.graph(value, level+1)
		}
		return nil
	})
	if name == "group" {
		n.Group = number
	}
	return err
}

func (p *parser) tensor(value *message) error {
	name, t, err := p.readTensor(value)
	p.g.Tensors[name] = t
	return err
}

// readTensor reads a TensorProto. Data are kept only where they are small, and only half of the budget is for them.
func (p *parser) readTensor(value *message) (name string, t Tensor, err error) {
	var kind uint64
	var data []byte
	spare := func(n int64) bool { return n <= maxSmall && p.budget > maxKept/2 }
	dim := func(v uint64) error {
		t.Dims = append(t.Dims, int64(v))
		return p.keep(8)
	}
	err = value.each(func(field protowire.Number, value *message, number uint64) error {
		switch {
		case field == 8:
			return p.text(&name, value)
		case field == 13:
			return p.outside(&t, value)
		case p.how == headOnly:
		case field == 1 && value.left > 0: // packed
			return value.varints(dim)
		case field == 1:
			return dim(number)
		case field == 2:
			kind = number
		case (field == 4 || field == 9) && spare(value.left): // float_data, packed, or raw_data
			data, err = value.bytes()
			return err
		case field == 5 && spare(value.left/10): // int32_data, packed, in which a negative number takes ten bytes
			return value.varints(func(v uint64) error {
				if len(data) <= maxSmall {
					data = append(data, byte(v))
				}
				return nil
			})
		}
		return nil
	})
	if t.External != "" && err == nil {
		p.external[t.External] = name
	}
	t.Type = elementType(kind)
	eight := t.Type == "int8" || t.Type == "uint8"
	if n := t.Elements(); eight && n == int64(len(data)) || t.Type == "float32" && n == 1 && len(data) == 4 {
		t.Data = data
	}
	return name, t, cmp.Or(err, p.keep(len(t.Data)+64))
}

// outside reads an entry of external_data.
func (p *parser) outside(t *Tensor, value *message) error {
	var key, text string
	err := value.each(func(field protowire.Number, value *message, _ uint64) error {
		switch field {
		case 1:
			return p.text(&key, value)
		case 2:
			return p.text(&text, value)
		}
		return nil
	})
	if key == "location" {
		t.External = text
		p.external[text] = "" // and every other place that it names
	}
	return err
}

// checkExternal wants all data that are not in the model at path itself in files of its folder: a model that somebody sent
// must not make a runtime read any other. Its error is a clause that says what to do.
func (p *parser) checkExternal(path string) error {
	for _, location := range slices.Sorted(maps.Keys(p.external)) {
		says := fmt.Sprintf("tensor %q keeps its data in %q", p.external[location], location)
		file := filepath.FromSlash(location)
		if !filepath.IsLocal(file) {
			return fmt.Errorf("%s, outside the model's folder, which runtimes refuse; put that file beside the model and export again", says)
		}
		file = filepath.Join(filepath.Dir(path), file)
		if stat, err := os.Stat(file); err != nil || !stat.Mode().IsRegular() {
			return fmt.Errorf("%s, which is no file in the model's folder; copy it there", says)
		}
		if !linksWithin(path, file) {
			return fmt.Errorf("%s, a link that leads out of the model's folder; put the file itself there", says)
		}
	}
	return nil
}

// linksWithin tells whether a file of a model's folder is in it behind all links, or in the folder that holds the model
// behind its own link: a cache that keeps files by their sums links to both.
func linksWithin(model, file string) bool {
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return false
	}
	within := func(dir string, err error) bool {
		if err != nil {
			return false
		}
		rel, err := filepath.Rel(dir, target)
		return err == nil && filepath.IsLocal(rel)
	}
	if within(filepath.EvalSymlinks(filepath.Dir(model))) {
		return true
	}
	itself, err := filepath.EvalSymlinks(model)
	return within(filepath.Dir(itself), err)
}
