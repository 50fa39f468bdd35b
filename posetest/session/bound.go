package session

import (
	"errors"
	"fmt"
	"slices"

	"github.com/posetest/suite/posetest/tensor"
	ort "github.com/yalue/onnxruntime_go"
)

// A Bound is a session with its memory: inputs and outputs are bound once, and every run reads and writes them in place.
type Bound struct {
	s       *Session
	binding *ort.IoBinding
	values  []ort.Value
	device  *device // where outputs stay on a device
	// Outputs are valid until the next run. Those whose shape the graph leaves open are not bound, and not here.
	Outputs []tensor.Tensor
}

// Bind binds inputs, whose memory is used as it is, and outputs of the shapes that the graph tells; an open first
// dimension, the batch, is that of the first input. If the provider's memory is that of a device, inputs are copied there once, here, and
// outputs are copied from there in each run.
func (s *Session) Bind(inputs ...tensor.Tensor) (_ *Bound, err error) {
	b := &Bound{s: s}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if err := b.bindInputs(inputs); err != nil {
		return nil, err
	}
	for _, info := range s.outputs {
		t, err := empty(info, inputs[0].Shape[0])
		if err != nil {
			return nil, fmt.Errorf("bind output %s: %w", info.Name, err)
		}
		v, err := value(t)
		if err != nil {
			return nil, fmt.Errorf("bind output %s: %w", info.Name, err)
		}
		b.values = append(b.values, v)
		if err := b.binding.BindOutput(info.Name, v); err != nil {
			return nil, fmt.Errorf("bind output %s: %w", info.Name, err)
		}
		b.Outputs = append(b.Outputs, t)
	}
	return b, nil
}

func (b *Bound) bindInputs(inputs []tensor.Tensor) (err error) {
	if len(inputs) == 0 || len(inputs[0].Shape) == 0 {
		return errors.New("bind: a run needs at least one input")
	}
	if b.binding, err = b.s.s.CreateIoBinding(); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	for _, t := range inputs {
		v, err := value(t)
		if err != nil {
			return fmt.Errorf("bind input %s: %w", t.Name, err)
		}
		b.values = append(b.values, v)
		if err := b.binding.BindInput(t.Name, v); err != nil {
			return fmt.Errorf("bind input %s: %w", t.Name, err)
		}
	}
	return nil
}

// empty is memory for an output.
func empty(info tensor.Info, batch int64) (tensor.Tensor, error) {
	t := tensor.Tensor{Name: info.Name, Shape: slices.Clone(info.Shape)}
	if len(t.Shape) > 0 && t.Shape[0] < 0 {
		t.Shape[0] = batch
	}
	n := int64(1)
	for _, d := range t.Shape {
		if d < 0 {
			return t, fmt.Errorf("shape %v is open, and memory can't be bound before it is known", info.Shape)
		}
		n *= d
	}
	switch info.Type {
	case "float32":
		t.Data = make([]float32, n)
	case "int32":
		t.Data = make([]int32, n)
	case "int64":
		t.Data = make([]int64, n)
	case "uint8":
		t.Data = make([]uint8, n)
	default:
		return t, fmt.Errorf("no memory of type %s", info.Type)
	}
	return t, nil
}

// Run runs the model once on the memory that is bound, and returns when outputs are there.
func (b *Bound) Run() error {
	err := b.s.s.RunWithBinding(b.binding)
	if err == nil && b.device != nil {
		err = b.device.synchronize(synchronizeBoundOutputs)
	}
	return err
}

// Close frees the binding; the session stays.
func (b *Bound) Close() {
	if b.binding != nil {
		b.binding.Destroy()
	}
	destroy(b.values)
}
