//go:build ortplugin

package session

import (
	"fmt"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// MinVersion is the oldest ONNX Runtime that the binding can open: it asks for API version 26.
const (
	MinVersion = "1.26"
	bindingAPI = 26
)

// registered are the libraries that the environment of this process has; it takes each once.
var registered = struct {
	sync.Mutex
	paths map[string]bool
}{paths: map[string]bool{}}

// appendPlugin registers the library of a plug-in, and adds its provider on the first device that it offers.
func appendPlugin(so *ort.SessionOptions, v Variant, o Options) error {
	registered.Lock()
	defer registered.Unlock()
	if !registered.paths[o.Plugin] {
		if err := ort.RegisterExecutionProviderLibrary(v.ID, o.Plugin); err != nil {
			return err
		}
		registered.paths[o.Plugin] = true
	}
	all, err := ort.GetEpDevices()
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.EpName() == v.Plugin {
			return so.AppendExecutionProviderV2([]ort.EpDevice{d}, o.ProviderOptions)
		}
	}
	return fmt.Errorf("the library of %s is registered, and offers no device for %s here", v.ID, v.Plugin)
}
