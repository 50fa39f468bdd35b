// Package onnx reads what an ONNX file says of itself, without any runtime and without holding the file in memory.
//
//	m, err := onnx.ReadFile("yolov8n-pose.onnx")
//	fmt.Println(m.Opset, m.Inputs[0]) // 17 images float32 [1,3,640,640]
//
// The format is the protobuf wire format of onnx/onnx.proto in github.com/onnx/onnx; field numbers below are from there.
package onnx

import (
	"bufio"
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

// ReadFile reads the head of the model at path. Its error is a [FormatError], or the file system's.
func ReadFile(path string) (Model, error) {
	stat, err := os.Stat(path)
	switch {
	case err != nil:
		return Model{}, fmt.Errorf("model %s: %w; check the path, or set POSETEST_DATA to the folder that holds it", path, errors.Unwrap(err))
	case !stat.Mode().IsRegular(): // to open a named pipe would wait for its writer
		return Model{}, &FormatError{path, "it is a folder or a device, not a file; name the .onnx file"}
	case stat.Size() == 0:
		return Model{}, &FormatError{path, "the file is empty; export or download it again"}
	case stat.Size() > maxSize:
		return Model{}, &FormatError{path, fmt.Sprintf("it has %d bytes, over protobuf's limit of 2 GiB; export it with external data", stat.Size())}
	}
	f, err := os.Open(path)
	if err != nil {
		return Model{}, fmt.Errorf("model %s: %w; make it readable", path, errors.Unwrap(err))
	}
	defer f.Close()
	m, err := Read(f, stat.Size())
	if err != nil {
		return Model{}, &FormatError{path, err.Error()}
	}
	return m, nil
}

// Read reads a model of size bytes. Its error is a clause that says what was wrong and what to do. A file that lost its
// end is told by its graph or its opsets, which exporters write last; only metadata or functions that follow them may be
// lost unseen, if the cut is exactly between two of them.
func Read(r io.Reader, size int64) (Model, error) {
	var m Model
	var graph, imports bool
	initializers := map[string]bool{}
	root := &message{bufio.NewReaderSize(r, 1<<16), size}
	err := root.each(func(field protowire.Number, value *message, number uint64) error {
		switch field {
		case 1:
			m.IR = int64(number)
		case 2:
			s, err := value.bytes()
			m.Producer = string(s)
			return err
		case 8:
			imports = true
			domain, version := "", int64(0)
			err := value.each(func(field protowire.Number, value *message, number uint64) (err error) {
				switch field {
				case 1:
					var s []byte
					s, err = value.bytes()
					domain = string(s)
				case 2:
					version = int64(number)
				}
				return err
			})
			if domain == "" || domain == "ai.onnx" {
				m.Opset = version
			}
			return err
		case 7:
			graph = true
			return readGraph(value, &m, initializers)
		}
		return nil
	})
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && graph:
		return Model{}, errors.New("the file is cut short or damaged; export or download it again")
	case err != nil:
		return Model{}, fmt.Errorf("it is no ONNX model, or damaged (%w); export or download it again", err)
	case m.IR < 1 || !graph:
		return Model{}, errors.New("it is no ONNX model, or cut short; export or download it again")
	case !imports && m.IR >= 3: // since then a model must
		return Model{}, errors.New("it imports no opset, as if the file were cut short; export or download it again")
	}
	inputs := m.Inputs[:0]
	for _, in := range m.Inputs { // before IR version 4, initializers stand among the inputs too
		if !initializers[in.Name] {
			inputs = append(inputs, in)
		}
	}
	m.Inputs = inputs
	if len(m.Inputs) == 0 || len(m.Outputs) == 0 {
		return Model{}, fmt.Errorf("its graph has %d inputs and %d outputs, and a model needs one of each; export it again", len(m.Inputs), len(m.Outputs))
	}
	return m, nil
}

func readGraph(graph *message, m *Model, initializers map[string]bool) error {
	return graph.each(func(field protowire.Number, value *message, _ uint64) error {
		switch field {
		case 5:
			return value.each(func(field protowire.Number, value *message, _ uint64) error {
				if field != 8 {
					return nil
				}
				name, err := value.bytes()
				initializers[string(name)] = true
				return err
			})
		case 11:
			info, err := readInfo(value)
			m.Inputs = append(m.Inputs, info)
			return err
		case 12:
			info, err := readInfo(value)
			m.Outputs = append(m.Outputs, info)
			return err
		}
		return nil
	})
}

// readInfo reads a ValueInfoProto.
func readInfo(value *message) (info tensor.Info, err error) {
	info.Type = elementType(0) // of a sequence, a map or a tensor that says none
	err = value.each(func(field protowire.Number, value *message, _ uint64) error {
		switch field {
		case 1:
			name, err := value.bytes()
			info.Name = string(name)
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
							return err
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

// A message is a part of the stream that holds one protobuf message.
type message struct {
	r    *bufio.Reader
	left int64
}

// each calls f with every field: value for one that has a length, which f may leave unread, and number for a varint.
func (m *message) each(f func(field protowire.Number, value *message, number uint64) error) error {
	for m.left > 0 {
		tag, err := m.varint()
		if err != nil {
			return err
		}
		field, kind := protowire.DecodeTag(tag)
		if field < 1 {
			return errors.New("field number 0")
		}
		switch kind {
		case protowire.VarintType:
			n, err := m.varint()
			if err != nil {
				return err
			}
			if err := f(field, &message{}, n); err != nil {
				return err
			}
		case protowire.BytesType:
			n, err := m.varint()
			if err != nil {
				return err
			}
			if n > uint64(m.left) {
				// Look into the part that is there, so that a cut file is told from garbage.
				if err := f(field, &message{m.r, m.left}, 0); err != nil {
					return err
				}
				return io.ErrUnexpectedEOF
			}
			value := &message{m.r, int64(n)}
			if err := f(field, value, 0); err != nil {
				return err
			}
			if err := value.skip(value.left); err != nil {
				return err
			}
			m.left -= int64(n)
		case protowire.Fixed32Type:
			err = m.skip(4)
		case protowire.Fixed64Type:
			err = m.skip(8)
		default:
			err = fmt.Errorf("wire type %d", kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *message) varint() (uint64, error) {
	b, err := m.r.Peek(int(min(m.left, 10)))
	v, n := protowire.ConsumeVarint(b)
	if n < 0 {
		if err != nil && err != io.EOF {
			return 0, err
		}
		return 0, protowire.ParseError(n)
	}
	return v, m.skip(int64(n))
}

func (m *message) skip(n int64) error {
	if n > m.left {
		return io.ErrUnexpectedEOF
	}
	m.left -= n
	_, err := m.r.Discard(int(n))
	return unexpected(err)
}

func (m *message) bytes() ([]byte, error) {
	if m.left > maxField {
		return nil, fmt.Errorf("a name of %d bytes", m.left)
	}
	b := make([]byte, m.left)
	m.left = 0
	_, err := io.ReadFull(m.r, b)
	return b, unexpected(err)
}

// unexpected is err, an end of the file as the one that nothing expects.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
