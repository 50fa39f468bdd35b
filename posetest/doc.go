// Package posetest tells, for pose-estimation models on ONNX Runtime, which of them load, on which execution provider,
// with which runtime, and whether they then find the people they should.
//
// In a _test.go, with models/models.json below testdata:
//
//	var suite = posetest.New(posetest.Config{Dir: "testdata"})
//
//	func TestMain(m *testing.M)  { posetest.Main(m) }
//	func TestLoad(t *testing.T)  { suite.TestLoad(t) }
//	func TestInfer(t *testing.T) { suite.TestInfer(t) }
//
// Each cell (model × precision × provider × runtime) is one sub-test, and runs in a worker process of its own: whatever
// a provider does there is that cell's result and nothing else's.
package posetest
