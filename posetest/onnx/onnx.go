// Package onnx reads what an ONNX file says of itself, without any runtime and without holding the file in memory.
//
//	m, err := onnx.ReadFile("yolov8n-pose.onnx")
//	fmt.Println(m.Opset, m.Inputs[0]) // 17 images float32 [1,3,640,640]
//	g, err := onnx.ReadGraphFile("yolov8n-pose.onnx")
//	fmt.Println(g.Nodes[0].Op, g.Tensors[g.Nodes[0].Inputs[1]].Type) // Conv float32
//
// The format is the protobuf wire format of onnx/onnx.proto in github.com/onnx/onnx; field numbers below are from there.
package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/posetest/suite/posetest/tensor"
	"google.golang.org/protobuf/encoding/protowire"
)

// A Model is the head of an ONNX file.
type Model struct {
	IR              int64 // version of the format
	Opset           int64 // of the default domain; 0 if the model imports none
	Producer        string
	Inputs, Outputs []tensor.Info // without initializers
}

// A FormatError says why a file is no usable ONNX model.
type FormatError struct {
	Path   string
	Reason string // a clause that says what to do
}

func (e *FormatError) Error() string { return fmt.Sprintf("model %s: %s", e.Path, e.Reason) }

const (
	maxSize  = math.MaxInt32 // protobuf's limit of a message
	maxField = 1 << 20       // no description of an input, an output or an opset is longer
)

// ReadFile reads the head of the model at path. Its error is a [FormatError], or the file system's. Data in other files
// must be in the model's folder, and there.
func ReadFile(path string) (Model, error) {
	g, err := readFile(path, headOnly)
	return g.Model, err
}

func readFile(path string, how depth) (Graph, error) {
	stat, err := os.Stat(path)
	switch {
	case err != nil:
		return Graph{}, fmt.Errorf("model %s: %w; check the path, or set POSETEST_DATA to the folder that holds it", path, errors.Unwrap(err))
	case !stat.Mode().IsRegular(): // to open a named pipe would wait for its writer
		return Graph{}, &FormatError{path, "it is a folder or a device, not a file; name the .onnx file"}
	case stat.Size() == 0:
		return Graph{}, &FormatError{path, "the file is empty; export or download it again"}
	case stat.Size() > maxSize:
		return Graph{}, &FormatError{path, fmt.Sprintf("it has %d bytes, over protobuf's limit of 2 GiB; export it with external data", stat.Size())}
	}
	f, err := os.Open(path)
	if err != nil {
		return Graph{}, fmt.Errorf("model %s: %w; make it readable", path, errors.Unwrap(err))
	}
	defer f.Close()
	p, err := parse(f, stat.Size(), how)
	if err == nil {
		err = p.checkExternal(path)
	}
	if err != nil {
		return Graph{}, &FormatError{path, err.Error()}
	}
	return p.g, nil
}

// Read reads a model of size bytes. Its error is a clause that says what was wrong and what to do. A file that lost its
// end is told by its graph or its opsets, which exporters write last; only metadata or functions that follow them may be
// lost unseen, if the cut is exactly between two of them. A reader that can seek is not read where weights are.
func Read(r io.Reader, size int64) (Model, error) {
	g, err := read(r, size, headOnly)
	return g.Model, err
}

// A depth is how much of a file is kept.
type depth int

const (
	headOnly depth = iota
	wholeGraph
)

func read(r io.Reader, size int64, how depth) (Graph, error) {
	p, err := parse(r, size, how)
	return p.g, err
}

// parse reads a model. Beside an error, the parser holds nothing.
func parse(r io.Reader, size int64, how depth) (parser, error) {
	p := parser{how: how, budget: maxKept, external: map[string]string{}, g: Graph{Opsets: map[string]int64{}, Tensors: map[string]Tensor{}, Functions: map[string]bool{}}}
	graph := false
	root := &message{newSource(r), size}
	err := root.each(func(field protowire.Number, value *message, number uint64) error {
		switch field {
		case 1:
			p.g.IR = int64(number)
		case 2:
			return p.text(&p.g.Producer, value)
		case 3:
			return p.text(&p.g.ProducerVersion, value)
		case 8:
			return p.opset(value)
		case 7:
			graph = true
			return p.graph(value, 0)
		case 25:
			return p.function(value)
		}
		return nil
	})
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && graph:
		return parser{}, errors.New("the file is cut short or damaged; export or download it again")
	case errors.Is(err, errTooMuch) || errors.Is(err, errControl):
		return parser{}, err
	case err != nil:
		return parser{}, fmt.Errorf("it is no ONNX model, or damaged (%w); export or download it again", err)
	case p.g.IR < 1 || !graph:
		return parser{}, errors.New("it is no ONNX model, or cut short; export or download it again")
	case len(p.g.Opsets) == 0 && p.g.IR >= 3: // since then a model must
		return parser{}, errors.New("it imports no opset, as if the file were cut short; export or download it again")
	}
	inputs := p.g.Inputs[:0]
	for _, in := range p.g.Inputs { // before IR version 4, initializers stand among the inputs too
		if _, initialized := p.g.Tensors[in.Name]; !initialized {
			inputs = append(inputs, in)
		}
	}
	p.g.Inputs = inputs
	if len(p.g.Inputs) == 0 || len(p.g.Outputs) == 0 {
		return parser{}, fmt.Errorf("its graph has %d inputs and %d outputs, and a model needs one of each; export it again", len(p.g.Inputs), len(p.g.Outputs))
	}
	return p, nil
}

// readInfo reads a ValueInfoProto.
func (p *parser) readInfo(value *message) (info tensor.Info, err error) {
	info.Type = elementType(0) // of a sequence, a map or a tensor that says none
	err = value.each(func(field protowire.Number, value *message, _ uint64) (err error) {
		switch field {
		case 1:
			info.Name, err = value.text()
			return err
		case 2: // type
			return value.each(func(field protowire.Number, value *message, _ uint64) error {
				if field != 1 { // tensor_type
					return nil
				}
				return value.each(func(field protowire.Number, value *message, number uint64) error {
					switch field {
					case 1:
						info.Type = elementType(number)
					case 2:
						return value.each(func(field protowire.Number, value *message, _ uint64) error {
							if field != 1 {
								return nil
							}
							dim := int64(-1)
							err := value.each(func(field protowire.Number, _ *message, number uint64) error {
								if field == 1 {
									dim = max(int64(number), -1)
								}
								return nil
							})
							info.Shape = append(info.Shape, dim)
							return cmp.Or(err, p.keep(8))
						})
					}
					return nil
				})
			})
		}
		return nil
	})
	return info, err
}

// elementType names a TensorProto.DataType as Go does, where Go has it.
func elementType(n uint64) string {
	names := []string{"undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "float64",
		"uint32", "uint64", "complex64", "complex128", "bfloat16"}
	if n < uint64(len(names)) {
		return names[n]
	}
	return fmt.Sprintf("type%d", n)
}
