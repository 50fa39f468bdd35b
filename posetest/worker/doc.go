// Package worker is the process boundary: one runtime and one session in a process of their own, so that whatever a
// runtime or a provider does ends in an error here and in nothing else.
//
// A worker is the running program started again. That program hands itself over first thing in main or TestMain:
//
//	worker.ServeIfAsked()
//
// and starts workers anywhere later:
//
//	w, err := worker.Start(ctx, worker.Spec{})
//	version, took, err := w.OpenLibrary(ctx, library)
//	load, err := w.Open(ctx, worker.Model{Path: "m.onnx", Family: "movenet", Provider: "cpu", …})
//	photo, err := w.Infer(ctx, worker.Inference{Image: "astronaut.png"})
//	end := w.Close() // placement, peak memory, log
//
// Requests and replies are lines of JSON on pipes of their own; the worker times itself, so that the pipe is in no
// measurement. The runtime's log is the worker's standard error.
//
// A worker has a limit of time for each request, and of processor time and memory for its life (see [Spec]). What passes one
// is ended together with all that it started, and the [DeathError] names the limit. Its environment is closed, its working and
// temporary folder its own, and removed with it.
//
//   - On Linux it has no network, and its home is that folder. A kernel that refuses the filter of the network is told of in the
//     log, and the worker goes on.
//   - On macOS and Windows the network stays open, and HOME is the user's.
//   - Memory and processor time are looked at every 25 ms. What happens between two looks is not seen, but for the peak of memory
//     on Linux, and they are the worker's alone: what it starts is ended with it, and not limited.
//   - What leaves the process group (setsid) is ended on Linux, where its environment tells whose it is; on macOS it can't be.
package worker
