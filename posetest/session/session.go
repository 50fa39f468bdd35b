package session

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/tensor"
	ort "github.com/yalue/onnxruntime_go"
)

// MinVersion is the oldest ONNX Runtime that the binding can open: it asks for API version 22.
const MinVersion = "1.22"

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
		reason = fmt.Sprintf("it is ONNX Runtime %s, and this program needs API version 22: ONNX Runtime %s or newer, "+
			"but not so new that it dropped that version; choose another with `posetest runtime list`", version, MinVersion)
	case strings.Contains(reason, "OrtGetApiBase"):
		reason = "it exports no OrtGetApiBase, so it is no ONNX Runtime; give the path of libonnxruntime.so, .dylib or onnxruntime.dll"
	default:
		reason += "; give the path of an ONNX Runtime library for this machine, or install one with `posetest runtime install`"
	}
	return version, &LibraryError{Path: path, Reason: reason}
}

// Options say what to open. Inputs and Outputs are the graph's, since the binding binds by name.
type Options struct {
	Model           string // path
	Provider        string // one of [Providers]
	ProviderOptions map[string]string
	Threads         int // of one operator; 0 is the runtime's default
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
		return nil, 0, &UnavailableError{Provider: o.Provider, Message: hidePath(err.Error(), o.Model)}
	}
	begin := time.Now()
	s, err := ort.NewDynamicAdvancedSession(o.Model, names(o.Inputs), names(o.Outputs), so)
	took := time.Since(begin)
	if err != nil {
		return nil, took, newLoadError(strings.TrimPrefix(err.Error(), "Error creating C session from file: "), o.Model)
	}
	return &Session{s: s, outputs: o.Outputs}, took, nil
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
}

var providers = map[string]provider{
	"cpu": {"CPUExecutionProvider", func(*ort.SessionOptions, Options) error { return nil }},
	"openvino": {"OpenVINOExecutionProvider", func(so *ort.SessionOptions, o Options) error {
		options := map[string]string{"device_type": "CPU"}
		if o.Threads > 0 {
			options["num_of_threads"] = strconv.Itoa(o.Threads)
		}
		return so.AppendExecutionProviderOpenVINO(merge(options, o.ProviderOptions))
	}},
	"cuda": {"CUDAExecutionProvider", func(so *ort.SessionOptions, o Options) error {
		options, err := ort.NewCUDAProviderOptions()
		if err != nil {
			return err
		}
		defer options.Destroy()
		if err := options.Update(merge(map[string]string{"device_id": "0"}, o.ProviderOptions)); err != nil {
			return err
		}
		return so.AppendExecutionProviderCUDA(options)
	}},
	"tensorrt": {"TensorrtExecutionProvider", func(so *ort.SessionOptions, o Options) error {
		options, err := ort.NewTensorRTProviderOptions()
		if err != nil {
			return err
		}
		defer options.Destroy()
		if err := options.Update(merge(map[string]string{"device_id": "0"}, o.ProviderOptions)); err != nil {
			return err
		}
		return so.AppendExecutionProviderTensorRT(options)
	}},
	"coreml":   {"CoreMLExecutionProvider", byName("CoreML")},
	"webgpu":   {"WebGpuExecutionProvider", byName("WebGPU")},
	"xnnpack":  {"XnnpackExecutionProvider", byName("XNNPACK")},
	"directml": {"DmlExecutionProvider", func(so *ort.SessionOptions, o Options) error { return so.AppendExecutionProviderDirectML(0) }},
}

func byName(name string) func(*ort.SessionOptions, Options) error {
	return func(so *ort.SessionOptions, o Options) error {
		return so.AppendExecutionProvider(name, o.ProviderOptions)
	}
}

func merge(defaults, own map[string]string) map[string]string {
	for k, v := range own {
		defaults[k] = v
	}
	return defaults
}

func appendProvider(so *ort.SessionOptions, o Options) error {
	p, ok := providers[o.Provider]
	if !ok {
		return fmt.Errorf("posetest knows no execution provider %q, only %s", o.Provider, strings.Join(Providers(), ", "))
	}
	return p.add(so, o)
}

// Providers are the names of the execution providers that [Open] takes, sorted.
func Providers() []string {
	names := make([]string, 0, len(providers))
	for name := range providers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// RuntimeName is how the runtime's log and placement name a provider: "cpu" is "CPUExecutionProvider".
func RuntimeName(provider string) string { return providers[provider].runtimeName }
