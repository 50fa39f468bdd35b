package session

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Variant is an execution provider with options, under the name that it has in cells.
type Variant struct {
	// ID is the provider's name, or that, a dash, and what is special: "coreml", "coreml-mlprogram".
	ID      string            `json:"id"`
	Options map[string]string `json:"options,omitempty"`
	Default bool              `json:"default,omitempty"` // runs when nobody chooses; others run only if asked for by name

	// Plugin is the name under which a library of its own brings it, which must be named (Options.Plugin): no build does.
	Plugin string `json:"plugin,omitempty"`

	// What it needs beyond the build. Whether that is there is looked at on Linux only.
	Libraries bool     `json:"libraries,omitempty"` // those of a vendor, which the machine must have
	Devices   []string `json:"devices,omitempty"`   // patterns of files, one of which is there where a device is
}

// Provider is the execution provider that it is a variant of, one of [Providers].
func (v Variant) Provider() string { return Base(v.ID) }

// Special tells whether it is another than the provider's own default.
func (v Variant) Special() bool { return v.ID != v.Provider() }

// HasDevice tells whether the machine has a device for it, as far as files tell.
func (v Variant) HasDevice() bool {
	if runtime.GOOS != "linux" || len(v.Devices) == 0 {
		return true
	}
	return slices.ContainsFunc(v.Devices, func(pattern string) bool {
		found, err := filepath.Glob(pattern)
		return err == nil && len(found) > 0
	})
}

// Base is the execution provider of a variant's ID: "coreml-mlprogram" is of "coreml".
func Base(id string) string {
	base, _, _ := strings.Cut(id, "-")
	return base
}

// Variants are all that [Open] takes for a provider, sorted by ID.
func Variants() []Variant { return slices.Clone(variants()) }

// IsPlugin tells whether a variant comes in a library of its own.
func IsPlugin(id string) bool {
	v, _ := lookup(id)
	return v.Plugin != ""
}

// DeviceID is the number of the device that a variant asks for, 0 where it asks for none.
func DeviceID(id string) int {
	v, _ := lookup(id)
	n, _ := strconv.Atoi(v.Options["device_id"]) // what is no number was refused when the list was read
	return n
}

//go:embed providers.json
var providersJSON []byte

// variants are those of providers.json, which a test holds to be right.
var variants = sync.OnceValue(func() []Variant {
	all, err := parseVariants(providersJSON)
	if err != nil {
		panic(err)
	}
	return all
})

func lookup(id string) (Variant, bool) {
	i := slices.IndexFunc(variants(), func(v Variant) bool { return v.ID == id })
	if i < 0 {
		return Variant{}, false
	}
	return variants()[i], true
}

var variantID = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// parseVariants reads a list of variants. Its error has a sentence for each that is wrong.
func parseVariants(text []byte) ([]Variant, error) {
	var all []Variant
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&all); err != nil {
		return nil, fmt.Errorf("providers.json: %w; correct it there", err)
	}
	var errs []error
	seen := map[string]bool{}
	for i, v := range all {
		bad := func(err error) { errs = append(errs, fmt.Errorf("providers.json: entry %d (%s): %w", i, v.ID, err)) }
		switch _, known := providers[v.Provider()]; {
		case !variantID.MatchString(v.ID):
			bad(fmt.Errorf("id %q must be words of small letters and digits with dashes between", v.ID))
		case !known:
			bad(fmt.Errorf("its id must begin with an execution provider: %s", strings.Join(Providers(), ", ")))
		case seen[v.ID]:
			bad(errors.New("it is there twice; remove one"))
		case v.Special() && len(v.Options) == 0 && v.Plugin == "":
			bad(errors.New("it has no options, so nothing makes it special"))
		}
		seen[v.ID] = true
		if err := checkOptions(v.Provider(), v.Options); err != nil {
			bad(err)
		}
		for _, pattern := range v.Devices {
			if _, err := filepath.Match(pattern, ""); err != nil {
				bad(fmt.Errorf("device %q: %w", pattern, err))
			}
		}
	}
	for _, p := range Providers() {
		if !seen[p] {
			errs = append(errs, fmt.Errorf("providers.json: %s itself has no entry; add one", p))
		}
	}
	slices.SortFunc(all, func(a, b Variant) int { return strings.Compare(a.ID, b.ID) })
	return all, errors.Join(errs...)
}

// checkOptions tells of an option that a provider does not have, or of a value that it can't have. Options that make a provider open
// a library or a compiled model, such as one out of a cache, are none of them: nothing would hold those to a sum.
func checkOptions(provider string, options map[string]string) error {
	known := optionsOf[provider]
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(options)) {
		can, ok := known[name]
		switch {
		case !ok && len(known) == 0:
			errs = append(errs, fmt.Errorf("option %q: posetest knows no options of %s", name, provider))
		case !ok:
			errs = append(errs, fmt.Errorf("option %q is unknown for %s; choose from %s", name, provider, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
		case !can.pattern.MatchString(options[name]):
			errs = append(errs, fmt.Errorf("option %s of %s can't be %q; give %s", name, provider, options[name], can.words))
		}
	}
	return errors.Join(errs...)
}

// A choice is what an option may be.
type choice struct {
	pattern *regexp.Regexp
	words   string // for a message: "0 or 1"
}

func oneOf(words ...string) choice {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = regexp.QuoteMeta(w)
	}
	return choice{regexp.MustCompile(`^(?:` + strings.Join(quoted, "|") + `)$`), strings.Join(words, " or ")}
}

var (
	flag       = oneOf("0", "1")
	boolean    = oneOf("true", "false")
	number     = choice{regexp.MustCompile(`^\d{1,18}$`), "a number"}
	folder     = choice{regexp.MustCompile(`^[^\x00]+$`), "a folder"}
	level      = choice{regexp.MustCompile(`^[0-5]$`), "a number from 0 to 5"}
	deviceType = choice{regexp.MustCompile(`^(?:(?:AUTO|HETERO|MULTI):)?(?:CPU|GPU|NPU)(?:\.\d)?(?:,(?:CPU|GPU|NPU)(?:\.\d)?)*$`), "a device such as CPU, GPU.1, NPU or AUTO:GPU,CPU"}
)

// optionsOf are the options of each provider, as the documentation of ONNX Runtime has them (docs/providers.md says where).
var optionsOf = map[string]map[string]choice{
	"coreml": {
		"ModelFormat":                        oneOf("NeuralNetwork", "MLProgram"),
		"MLComputeUnits":                     oneOf("ALL", "CPUOnly", "CPUAndGPU", "CPUAndNeuralEngine"),
		"RequireStaticInputShapes":           flag,
		"EnableOnSubgraphs":                  flag,
		"SpecializationStrategy":             oneOf("Default", "FastPrediction"),
		"ProfileComputePlan":                 flag,
		"AllowLowPrecisionAccumulationOnGPU": flag,
	},
	"cuda": {
		"device_id":                    number,
		"gpu_mem_limit":                number,
		"arena_extend_strategy":        oneOf("kNextPowerOfTwo", "kSameAsRequested"),
		"cudnn_conv_algo_search":       oneOf("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
		"cudnn_conv_use_max_workspace": flag,
		"cudnn_conv1d_pad_to_nc1d":     flag,
		"do_copy_in_default_stream":    flag,
		"enable_cuda_graph":            flag,
		"fuse_conv_bias":               flag,
		"prefer_nhwc":                  flag,
		"tunable_op_enable":            flag,
		"use_tf32":                     flag,
	},
	"directml": {"device_id": number},
	"openvino": {
		"device_type":            deviceType,
		"precision":              oneOf("FP32", "FP16", "ACCURACY"),
		"num_of_threads":         number,
		"num_streams":            number,
		"disable_dynamic_shapes": boolean,
		"enable_qdq_optimizer":   boolean,
		"model_priority":         oneOf("LOW", "MEDIUM", "HIGH", "DEFAULT"),
	},
	"tensorrt": {
		"device_id":                      number,
		"trt_max_workspace_size":         number,
		"trt_max_partition_iterations":   number,
		"trt_min_subgraph_size":          number,
		"trt_fp16_enable":                flag,
		"trt_bf16_enable":                flag,
		"trt_int8_enable":                flag,
		"trt_builder_optimization_level": level,
		"trt_cuda_graph_enable":          flag,
		"trt_sparsity_enable":            flag,
		"trt_auxiliary_streams":          number,
		"trt_timing_cache_enable":        flag,
		"trt_timing_cache_path":          folder,
	},
	"webgpu": {
		"deviceId":           number,
		"preferredLayout":    oneOf("NCHW", "NHWC"),
		"enableGraphCapture": flag,
		"dawnBackendType":    oneOf("Vulkan", "D3D12"),
		"powerPreference":    oneOf("high-performance", "low-power"),
		"validationMode":     oneOf("disabled", "wgpuOnly", "basic", "full"),
	},
	"xnnpack": {"intra_op_num_threads": number},
}
