// Package pose turns a photograph into a pose model's input and the model's
// outputs into persons, for whatever runs the model. There is one decoder a
// family of models, chosen by the name that the catalogue gives, never guessed.
//
//	pipeline, err := family.NewPipeline(inputs, outputs) // family, err := pose.Lookup("yolov8-pose")
//	input, err := pipeline.Preprocess(img)               // img, err := pose.ReadImage("beach.jpg")
//	persons, err := pipeline.Decode(run(input), pose.Options{})
//
// The families, their inputs and outputs:
//
//	yolov8-pose    float32 [1,3,h,w] → float32 [1,56,boxes]   Ultralytics YOLO, NMS done here
//	yolo-pose-nms  float32 [1,3,h,w] → float32 [1,boxes,57]   the same with NMS in the graph, or end to end
//	movenet        int32 [1,h,w,3]   → float32 [1,1,17,3]     MoveNet SinglePose
//	heatmap        float32 [1,3,h,w] → float32 [1,17,h/s,w/s] SimplePose, HRNet: one person, top-down
//	simcc          float32 [1,3,h,w] → float32 [1,17,w·k] and [1,17,h·k]  RTMPose: one person, top-down
//
// Preprocessing equals the models' own to the byte: JPEG as libjpeg-turbo
// decodes it, scaling as OpenCV does it.
package pose
