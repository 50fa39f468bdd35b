// Package session opens one model on one execution provider of one ONNX Runtime library, and runs it.
//
// It is the only importer of the ONNX Runtime binding, and turns the words of its errors into types. A process opens at
// most one library in its life:
//
//	version, err := session.OpenLibrary("/path/to/libonnxruntime.so.1.23.2")
//	s, load, err := session.Open(session.Options{Model: "m.onnx", Provider: "cpu", Inputs: in, Outputs: out})
//	outputs, took, err := s.Run(input)
package session
