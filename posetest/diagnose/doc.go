// Package diagnose says how a model file will fare on each execution provider of each ONNX Runtime, and why, from what the
// graph has, without a runtime.
//
//	g, err := onnx.ReadGraphFile("yolov8n-pose-int8.onnx")
//	m := diagnose.Look(g)                                       // opset, operators, how it was quantized
//	p := m.Predict(diagnose.Cell{Provider: "cpu", Version: "1.23.2", …}) // fails: Could not find an implementation for …
//
// A rule decides on operators, types, shapes and weights, never on names of models, says why, and names a public reference
// where there is one. What no rule covers is unknown.
package diagnose
