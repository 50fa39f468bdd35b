package session

import ort "github.com/yalue/onnxruntime_go"

// Values are copies of what is bound as outputs, for a device that is the processor.
func (b *Bound) Values() ([]ort.Value, error) { return b.binding.GetBoundOutputValues() }

// OnMemory makes a session bind in another memory than its provider's.
func (s *Session) OnMemory(name string, device int) { s.memory, s.device = name, device }

// Forget makes a session not know where its library is.
func (s *Session) Forget() { s.library = "" }

// Starts is whether the provider opens any model.
func (o Options) Starts() bool { return o.starts() }

// Places are those of the functions of OrtApi that are called without the binding.
var Places = map[string]int{"GetErrorMessage": getErrorMessage, "CreateMemoryInfo": createMemoryInfo, "ReleaseStatus": releaseStatus,
	"ReleaseMemoryInfo": releaseMemoryInfo, "BindOutputToDevice": bindOutputToDevice, "SynchronizeBoundInputs": synchronizeBoundInputs,
	"SynchronizeBoundOutputs": synchronizeBoundOutputs}

// APIVersion is the version of OrtApi that is asked for.
const APIVersion = apiVersion
