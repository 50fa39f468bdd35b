// Package jpeg decodes JPEG files to the pixels that libjpeg-turbo makes of
// them, which is what cv2.imread and so Ultralytics give a model.
//
//	img, err := jpeg.Decode(r) // *image.YCbCr, *image.Gray, *image.CMYK or *image.RGBA
//
// It is Go 1.26's image/jpeg (reader.go, scan.go and huffman.go, its licence
// beside them) with libjpeg's inverse DCT in place of its own, unregistered with
// package image. What that gains: image/jpeg rounds 2 % of luma samples otherwise,
// which moves 1.7 % of YOLOv8n-pose's visible keypoints on 79 COCO images by
// more than 2 px, and its DCT changes between Go releases, each of which would
// move every golden keypoint.
package jpeg
