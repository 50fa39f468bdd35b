package session

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/tensor"
	ort "github.com/yalue/onnxruntime_go"
)

// OpenLibrary opens the runtime library at path and returns the version that it reports of itself, such as "1.23.2".
// Its error is a [LibraryError].
func OpenLibrary(path string) (version string, err error) {
	if ort.IsInitialized() {
		return "", &LibraryError{Path: path, Reason: "ONNX Runtime " + ort.GetVersion() + " is open already, and a process can open only one; start another worker"}
	}
	runtime.LockOSThread() // dlerror's words belong to the thread
	defer runtime.UnlockOSThread()
	keep(path)
	ort.SetSharedLibraryPath(path)
	err = ort.InitializeEnvironment()
	version = ort.GetVersion() // known even if the API version is refused
	if err == nil {
		return version, nil
	}
	reason := err.Error()
	switch {
	case strings.Contains(reason, "Error setting ORT API base: 2"):
		reason = fmt.Sprintf("it is ONNX Runtime %s, and this program needs API version %d: ONNX Runtime %s or newer, "+
			"but not so new that it dropped that version; choose another with `posetest runtime list`", version, bindingAPI, MinVersion)
	case strings.Contains(reason, "OrtGetApiBase"):
		reason = "it exports no OrtGetApiBase, so it is no ONNX Runtime; give the path of libonnxruntime.so, .dylib or onnxruntime.dll"
	default:
		reason += "; give the path of an ONNX Runtime library for this machine, or install one with `posetest runtime install`"
	}
	return version, &LibraryError{Path: path, Reason: reason}
}

// Options say what to open. Inputs and Outputs are the graph's, since the binding binds by name.
type Options struct {
	Model           string            // path
	Provider        string            // ID of one of [Variants]
	ProviderOptions map[string]string // beyond those of the variant
	Plugin          string            // path of the library that brings the provider, for a variant that is a plug-in
	Library         string            // path of the library that is open; its folder is kept out of words that are to be compared
	Threads         int               // of one operator; 0 is the runtime's default
	Inputs, Outputs []tensor.Info
	Tuning
}

// Tuning is what an app may set about a session that changes its speed and nothing else. The zero value is the runtime's
// own default, with a log that tells the placement.
type Tuning struct {
	NoArena bool `json:"no_arena,omitempty"` // memory comes from malloc, not from the runtime's arena with its pattern of a run
	NoSpin  bool `json:"no_spin,omitempty"`  // threads of the pool sleep when they have nothing to do, and don't spin
	Quiet   bool `json:"quiet,omitempty"`    // the log has warnings only, and no placement
}

// A Session is a model that the runtime accepted. It is not safe for concurrent use.
type Session struct {
	s       *ort.DynamicAdvancedSession
	outputs []tensor.Info
	results []ort.Value // of the run before, written over by the next where their shapes can't change
	library string
	memory  string // of the device, as the runtime names it
	device  int
}

// Open creates a session and returns the time that its creation alone took. Its error is an [UnavailableError] or a
// [LoadError]. [OpenLibrary] must have succeeded.
func Open(o Options) (*Session, time.Duration, error) {
	so, err := ort.NewSessionOptions()
	if err != nil {
		return nil, 0, fmt.Errorf("session options: %w", err)
	}
	defer so.Destroy()
	if err := o.Tuning.apply(so); err != nil {
		return nil, 0, err
	}
	if o.Threads > 0 {
		if err := errors.Join(so.SetIntraOpNumThreads(o.Threads), so.SetInterOpNumThreads(1)); err != nil {
			return nil, 0, fmt.Errorf("session threads %d: %w", o.Threads, err)
		}
	}
	if err := appendProvider(so, o); err != nil {
		return nil, 0, &UnavailableError{Provider: o.Provider, Message: o.hide(err.Error())}
	}
	begin := time.Now()
	s, err := ort.NewDynamicAdvancedSession(o.Model, names(o.Inputs), names(o.Outputs), so)
	took := time.Since(begin)
	if err != nil {
		message := o.hide(strings.TrimPrefix(err.Error(), "Error creating C session from file: "))
		if !o.starts() {
			return nil, took, &UnavailableError{Provider: o.Provider, Message: message}
		}
		return nil, took, newLoadError(message, o.Model)
	}
	return &Session{s: s, outputs: o.Outputs, library: o.Library, memory: DeviceMemory(o.Provider), device: DeviceID(o.Provider)}, took, nil
}

// smallest is an ONNX model of one Relu, from x to y, float32 [1].
const smallest = "\x08\x08" + "\x3a\x33" + // IR version 8; graph:
	"\x0a\x0c\x0a\x01x\x12\x01y\x22\x04Relu" + "\x12\x01g" + // node, name
	"\x5a\x0f\x0a\x01x\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01" + // input
	"\x62\x0f\x0a\x01y\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01" + // output
	"\x42\x02\x10\x0d" // opset 13

// starts tells whether the provider opens any model at all. Some look for their device only when a session is made, and then the
// refusal is no word on the model.
func (o Options) starts() bool {
	if Base(o.Provider) == "cpu" {
		return true
	}
	so, err := ort.NewSessionOptions()
	if err != nil {
		return false
	}
	defer so.Destroy()
	if err := errors.Join(Tuning{Quiet: true}.apply(so), appendProvider(so, o)); err != nil {
		return false
	}
	s, err := ort.NewDynamicAdvancedSessionWithONNXData([]byte(smallest), []string{"x"}, []string{"y"}, so)
	if err != nil {
		return false
	}
	s.Destroy()
	return true
}

func (t Tuning) apply(so *ort.SessionOptions) error {
	// The log at this level is the only place where every version tells the placement of nodes.
	var level ort.LoggingLevel = ort.LoggingLevelVerbose
	if t.Quiet {
		level = ort.LoggingLevelWarning
	}
	errs := []error{so.SetLogSeverityLevel(level)}
	if t.NoArena {
		errs = append(errs, so.SetCpuMemArena(false), so.SetMemPattern(false))
	}
	if t.NoSpin {
		errs = append(errs, so.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
			so.AddSessionConfigEntry("session.inter_op.allow_spinning", "0"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("session options: %w", err)
	}
	return nil
}

// Run runs the model once and returns its outputs, in the order of [Options].Outputs, and the time of the run alone.
// The outputs are valid until the next run.
func (s *Session) Run(inputs ...tensor.Tensor) ([]tensor.Tensor, time.Duration, error) {
	values := make([]ort.Value, 0, len(inputs))
	defer func() { destroy(values) }()
	for _, t := range inputs {
		v, err := value(t)
		if err != nil {
			return nil, 0, fmt.Errorf("input %s: %w", t.Name, err)
		}
		values = append(values, v)
	}
	if len(values) == 0 {
		return nil, 0, errors.New("a run needs at least one input") // the binding panics
	}
	if s.results == nil {
		s.results = make([]ort.Value, len(s.outputs))
	}
	for i, info := range s.outputs {
		if s.results[i] != nil && !info.Static() {
			s.results[i].Destroy()
			s.results[i] = nil
		}
	}
	before := slices.Clone(s.results)
	begin := time.Now()
	err := s.s.Run(values, s.results)
	took := time.Since(begin)
	if err != nil {
		s.results = before // the binding leaves values that can't be destroyed
		return nil, took, err
	}
	outputs := make([]tensor.Tensor, len(s.results))
	for i, r := range s.results {
		outputs[i] = tensor.Tensor{Name: s.outputs[i].Name, Shape: r.GetShape()}
		if outputs[i].Data, err = data(r); err != nil {
			return nil, took, fmt.Errorf("output %s: %w", s.outputs[i].Name, err)
		}
	}
	return outputs, took, nil
}

// RunCopy runs the model once on outputs that the runtime makes anew. They are copies, and stay valid.
func (s *Session) RunCopy(inputs ...tensor.Tensor) ([]tensor.Tensor, error) {
	destroy(s.results)
	s.results = nil
	outputs, _, err := s.Run(inputs...)
	for i := range outputs {
		outputs[i] = outputs[i].Clone()
	}
	return outputs, err
}

// Close frees the session.
func (s *Session) Close() error {
	destroy(s.results)
	s.results = nil
	return s.s.Destroy()
}

func names(infos []tensor.Info) []string {
	names := make([]string, len(infos))
	for i, info := range infos {
		names[i] = info.Name
	}
	return names
}

func destroy(values []ort.Value) {
	for _, v := range values {
		if v != nil {
			v.Destroy()
		}
	}
}

func value(t tensor.Tensor) (ort.Value, error) {
	switch data := t.Data.(type) {
	case []float32:
		return newTensor(t.Shape, data)
	case []int32:
		return newTensor(t.Shape, data)
	case []int64:
		return newTensor(t.Shape, data)
	case []uint8:
		return newTensor(t.Shape, data)
	}
	return nil, fmt.Errorf("no tensors of %T", t.Data)
}

// newTensor refuses what the binding would cut to fit.
func newTensor[T ort.TensorData](shape ort.Shape, data []T) (ort.Value, error) {
	if want := shape.FlattenedSize(); int64(len(data)) != want {
		return nil, fmt.Errorf("has %d elements, shape %v wants %d", len(data), shape, want)
	}
	return ort.NewTensor(shape, data)
}

func data(v ort.Value) (any, error) {
	switch v := v.(type) {
	case *ort.Tensor[float32]:
		return v.GetData(), nil
	case *ort.Tensor[int32]:
		return v.GetData(), nil
	case *ort.Tensor[int64]:
		return v.GetData(), nil
	case *ort.Tensor[uint8]:
		return v.GetData(), nil
	}
	return nil, fmt.Errorf("no tensors of %T; a pose model gives float32, int32, int64 or uint8", v)
}

// A provider is an execution provider that this package can ask for.
type provider struct {
	runtimeName string // as the runtime's log names it
	add         func(*ort.SessionOptions, Options) error
	memory      string // of its device, as the runtime names it; "" for the processor's own
}

var providers = map[string]provider{
	"cpu": {runtimeName: "CPUExecutionProvider", add: func(*ort.SessionOptions, Options) error { return nil }},
	"openvino": {runtimeName: "OpenVINOExecutionProvider", add: func(so *ort.SessionOptions, o Options) error {
		threads := map[string]string{}
		if o.Threads > 0 {
			threads["num_of_threads"] = strconv.Itoa(o.Threads)
		}
		return so.AppendExecutionProviderOpenVINO(merge(threads, o.ProviderOptions))
	}},
	"cuda": {runtimeName: "CUDAExecutionProvider", memory: "Cuda", add: func(so *ort.SessionOptions, o Options) error {
		options, err := ort.NewCUDAProviderOptions()
		if err != nil {
			return err
		}
		defer options.Destroy()
		if err := options.Update(o.ProviderOptions); err != nil {
			return err
		}
		return so.AppendExecutionProviderCUDA(options)
	}},
	"tensorrt": {runtimeName: "TensorrtExecutionProvider", memory: "Cuda", add: func(so *ort.SessionOptions, o Options) error {
		options, err := ort.NewTensorRTProviderOptions()
		if err != nil {
			return err
		}
		defer options.Destroy()
		if err := options.Update(o.ProviderOptions); err != nil {
			return err
		}
		return so.AppendExecutionProviderTensorRT(options)
	}},
	"coreml":  {runtimeName: "CoreMLExecutionProvider", add: byName("CoreML")},
	"webgpu":  {runtimeName: "WebGpuExecutionProvider", add: byName("WebGPU")},
	"xnnpack": {runtimeName: "XnnpackExecutionProvider", add: byName("XNNPACK")},
	"directml": {runtimeName: "DmlExecutionProvider", add: func(so *ort.SessionOptions, o Options) error {
		id, err := strconv.Atoi(o.ProviderOptions["device_id"])
		if err != nil {
			return err
		}
		return so.AppendExecutionProviderDirectML(id)
	}},
}

func byName(name string) func(*ort.SessionOptions, Options) error {
	return func(so *ort.SessionOptions, o Options) error {
		return so.AppendExecutionProvider(name, o.ProviderOptions)
	}
}

// merge joins options; of one that is in several, the last value holds.
func merge(all ...map[string]string) map[string]string {
	merged := map[string]string{}
	for _, options := range all {
		maps.Copy(merged, options)
	}
	return merged
}

// appendProvider adds the provider of a variant. Options other than those that providers.json and [Options] name are the
// provider's own defaults.
func appendProvider(so *ort.SessionOptions, o Options) error {
	v, ok := lookup(o.Provider)
	if !ok {
		return fmt.Errorf("posetest knows no execution provider %q, only %s", o.Provider, strings.Join(Providers(), ", "))
	}
	if err := checkOptions(v.Provider(), o.ProviderOptions); err != nil {
		return err
	}
	o.ProviderOptions = merge(v.Options, o.ProviderOptions)
	if v.Plugin != "" {
		if o.Plugin == "" {
			return fmt.Errorf("%s comes in a library of its own, and none was named; set POSETEST_PLUGINS=%s=PATH", v.ID, v.ID)
		}
		return appendPlugin(so, v, o)
	}
	return providers[v.Provider()].add(so, o)
}

// Providers are the execution providers that [Variants] are of, sorted.
func Providers() []string {
	names := make([]string, 0, len(providers))
	for name := range providers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// RuntimeName is how the runtime's log and placement name the provider of a variant: "cpu" is "CPUExecutionProvider". It is "" for one
// that there is not.
func RuntimeName(id string) string {
	v, ok := lookup(id)
	if !ok {
		return ""
	}
	return providers[v.Provider()].runtimeName
}

// DeviceMemory is how the runtime names the memory of the device of a variant, "" where that is the processor's, or can't be bound.
func DeviceMemory(id string) string { return providers[Base(id)].memory }
