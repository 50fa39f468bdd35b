// Package worker is the process boundary: one runtime and one session in a process of their own, so that whatever a
// runtime or a provider does ends in an error here and in nothing else.
//
// A worker is the running program started again. That program hands itself over first thing in main or TestMain:
//
//	worker.ServeIfAsked()
//
// and starts workers anywhere later:
//
//	w, err := worker.Start(worker.Spec{})
//	version, took, err := w.OpenLibrary(ctx, library)
//	load, err := w.Open(ctx, worker.Model{Path: "m.onnx", Family: "movenet", Provider: "cpu", …})
//	photo, err := w.Infer(ctx, worker.Inference{Image: "astronaut.png"})
//	end := w.Close() // placement, peak memory, log
//
// Requests and replies are lines of JSON on pipes of their own; the worker times itself, so that the pipe is in no
// measurement. The runtime's log is the worker's standard error.
package worker
