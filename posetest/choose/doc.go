// Package choose tells an app which precision of a model it may use on an execution provider of a runtime, and why it may
// not use another. It answers from what a run of the suite has verified on that platform, and from nothing else.
//
//	table, err := choose.Parse(text) // what `posetest embed-table` wrote; its Go file has this already
//	choice, err := table.Select(choose.Query{Model: "yolov8n-pose", Precision: "int8", Provider: "cpu", Runtime: "1.22.1",
//		Platform: runtime.GOOS + "/" + runtime.GOARCH})
//	if refused, ok := errors.AsType[*choose.RefusedError](err); ok && refused.Instead != nil {
//		choice = *refused.Instead // log refused: it says why, in the runtime's own words
//	}
//
// It opens no file and no runtime, and imports the standard library alone, so that an app can ship it.
package choose
