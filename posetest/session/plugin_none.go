//go:build !ortplugin

package session

import (
	"fmt"

	ort "github.com/yalue/onnxruntime_go"
)

// MinVersion is the oldest ONNX Runtime that the binding can open: it asks for API version 22.
const (
	MinVersion = "1.22"
	bindingAPI = 22
)

// appendPlugin refuses: the binding of this build, which opens ONNX Runtime from 1.22 on, knows no plug-ins.
func appendPlugin(_ *ort.SessionOptions, v Variant, _ Options) error {
	return fmt.Errorf("this build of posetest can't register %s: build it with `make ortplugin`", v.ID)
}
