package coco

import (
	"encoding/json"
	"fmt"
	"os"
)

// ReadTruth reads the people of one image from a COCO keypoint annotation file, such as
// person_keypoints_val2017.json: those with labelled keypoints that are no crowd. An image that the file does not list
// is an error; one that it lists without people has none.
func ReadTruth(path, image string) ([]Truth, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("COCO annotations: %w; bring that file, or correct its path", err)
	}
	var file struct {
		Images []struct {
			ID   int64  `json:"id"`
			Name string `json:"file_name"`
		} `json:"images"`
		Annotations []struct {
			ID        int64     `json:"id"`
			Image     int64     `json:"image_id"`
			Keypoints []float64 `json:"keypoints"`
			Labelled  int       `json:"num_keypoints"`
			Area      float64   `json:"area"`
			Crowd     int       `json:"iscrowd"`
		} `json:"annotations"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("COCO annotations %s: %w; download them again", path, err)
	}
	id, listed := int64(0), false
	for _, i := range file.Images {
		if i.Name == image {
			id, listed = i.ID, true
		}
	}
	if !listed {
		return nil, fmt.Errorf("COCO annotations %s: do not list image %s; use those of the image's own set", path, image)
	}
	var truths []Truth
	for _, a := range file.Annotations {
		if a.Image != id || a.Crowd != 0 || a.Labelled == 0 {
			continue
		}
		if len(a.Keypoints) != 3*Joints {
			return nil, fmt.Errorf("COCO annotations %s: annotation %d of image %s has %d numbers of keypoints, want %d; correct it, or download them again", path, a.ID, image, len(a.Keypoints), 3*Joints)
		}
		t := Truth{Area: a.Area}
		for j := range t.Keypoints {
			copy(t.Keypoints[j][:], a.Keypoints[3*j:])
		}
		truths = append(truths, t)
	}
	return truths, nil
}
