// Package ortlib finds, installs and verifies ONNX Runtime shared libraries.
//
// Several releases of several distributions stand side by side in the user's cache; runtimes.json pins the sums of each.
// Nobody who uses the suite needs to install one by hand:
//
//	known, err := ortlib.Known()
//	runtimes, err := ortlib.Select(known, os.Getenv("POSETEST_RUNTIMES"))
//	library, err := ortlib.Store{}.Install(ctx, runtimes[0]) // at once when it is there
//
// The libraries come from the Python wheels of the distributions, since those are the only form in which all of them,
// for all platforms, can be had through an ordinary package client; Python is needed for nothing else.
//
// An installed library finds all that belongs to it by its own path: on Linux each library of these wheels has $ORIGIN
// as its search path, on macOS and Windows the main library needs no neighbour. So nobody has to set LD_LIBRARY_PATH;
// but one that is set can bring in another runtime's providers, see Environ. The Windows wheels of onnxruntime-openvino come
// without OpenVINO itself, so they are listed with the cpu provider alone.
package ortlib
