package coco

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Annotations are the images of a set and the persons annotated on them, each in the file's order.
type Annotations struct {
	Images  []Image
	Persons []Annotation
}

// An Image is a photograph of the set.
type Image struct {
	ID   int64
	Name string // of its file, without a folder
}

// An Annotation is a person, or a crowd of them, on an image. Box is x, y, width and height in pixels. Labelled is the
// number of joints that are labelled, as the file says it; who has none is neither to be found nor wrong to find, and
// so is a crowd.
type Annotation struct {
	Truth
	ID, Image int64
	Box       [4]float64
	Labelled  int
	Crowd     bool
}

// file is what is read of a COCO keypoint file. What must be there and is missing is nil.
type file struct {
	Images      []listed    `json:"images"`
	Annotations []annotated `json:"annotations"`
}

type listed struct {
	ID   *int64 `json:"id"`
	Name string `json:"file_name"`
}

type annotated struct {
	ID        *int64    `json:"id"`
	Image     *int64    `json:"image_id"`
	Category  *int64    `json:"category_id"`
	Keypoints []float64 `json:"keypoints"`
	Labelled  *int      `json:"num_keypoints"`
	Area      *float64  `json:"area"`
	Box       []float64 `json:"bbox"`
	Crowd     *int      `json:"iscrowd"`
}

// ReadAnnotations reads all of a COCO keypoint annotation file, such as person_keypoints_val2017.json. An error names
// the file, and the annotation and its image where it is about one: what pycocotools needs is missing; an id is there
// twice; an annotation has the id 0, which pycocotools takes for none, is of an image that is not listed or of another
// category than the one before it; its box or area is negative; or it has another number of keypoints than 17 times
// three. Where num_keypoints is 0 there may be no keypoints at all.
func ReadAnnotations(path string) (*Annotations, error) {
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	a, err := f.annotations()
	if err != nil {
		return nil, fmt.Errorf("COCO annotations %s: %w; correct it, or download them again", path, err)
	}
	return a, nil
}

func readFile(path string) (*file, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("COCO annotations: %w; bring that file, or correct its path", err)
	}
	f := new(file)
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("COCO annotations %s: %w; download them again", path, err)
	}
	return f, nil
}

func (f *file) annotations() (*Annotations, error) {
	switch {
	case len(f.Images) == 0:
		return nil, errors.New(`the file lists no "images"`)
	case f.Annotations == nil:
		return nil, errors.New(`the file has no "annotations", not even an empty list`)
	}
	a := &Annotations{Images: make([]Image, len(f.Images)), Persons: make([]Annotation, len(f.Annotations))}
	names := make(map[int64]string, len(f.Images))
	for i, image := range f.Images {
		if image.ID == nil {
			return nil, fmt.Errorf("images[%d], %q, has no id", i, image.Name)
		}
		if image.Name == "" {
			return nil, fmt.Errorf("image %d has no file_name", *image.ID)
		}
		if other, twice := names[*image.ID]; twice {
			return nil, fmt.Errorf("images %s and %s both have the id %d", other, image.Name, *image.ID)
		}
		names[*image.ID] = image.Name
		a.Images[i] = Image{ID: *image.ID, Name: image.Name}
	}
	images := make(map[int64]int64, len(f.Annotations)) // by annotation
	for i, from := range f.Annotations {
		err := from.check()
		if err == nil {
			_, listed := names[*from.Image]
			other, twice := images[*from.ID]
			category := *f.Annotations[0].Category
			switch {
			case !listed:
				err = errors.New("is of an image that is not listed")
			case twice:
				err = fmt.Errorf("has the id of another one, of image %s", names[other])
			case *from.Category != category:
				err = fmt.Errorf("has the category_id %d, and those before it %d: a file must have persons only", *from.Category, category)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s %w", from.label(i, names), err)
		}
		images[*from.ID] = *from.Image
		a.Persons[i] = Annotation{Truth: from.truth(), ID: *from.ID, Image: *from.Image, Box: [4]float64(from.Box), Labelled: *from.Labelled, Crowd: *from.Crowd != 0}
	}
	return a, nil
}

// label names the annotation, which is the i-th of its file.
func (a *annotated) label(i int, names map[int64]string) string {
	label := fmt.Sprintf("annotations[%d]", i)
	if a.ID != nil {
		label = fmt.Sprintf("annotation %d", *a.ID)
	}
	if a.Image == nil {
		return label
	}
	if name, listed := names[*a.Image]; listed {
		return label + " of image " + name
	}
	return fmt.Sprintf("%s of image %d", label, *a.Image)
}

// check tells what is wrong with an annotation by itself.
func (a *annotated) check() error {
	switch {
	case a.ID == nil:
		return errors.New("has no id")
	case a.Image == nil:
		return errors.New("has no image_id")
	case *a.ID == 0:
		return errors.New("has the id 0, which COCO's own evaluation takes for no match: number from 1")
	case a.Category == nil:
		return errors.New("has no category_id")
	case a.Crowd == nil:
		return errors.New("has no iscrowd")
	case a.Labelled == nil:
		return errors.New("has no num_keypoints")
	case *a.Labelled < 0 || *a.Labelled > Joints:
		return fmt.Errorf("has num_keypoints %d, want 0 to %d", *a.Labelled, Joints)
	case a.checkArea() != nil:
		return a.checkArea()
	case len(a.Box) != 4:
		return fmt.Errorf("has a bbox of %d numbers, want 4: x, y, width, height", len(a.Box))
	case a.Box[2] < 0 || a.Box[3] < 0:
		return fmt.Errorf("has a bbox of the negative size %v × %v", a.Box[2], a.Box[3])
	case len(a.Keypoints) == 0 && *a.Labelled == 0:
		return nil
	}
	return a.checkKeypoints()
}

func (a *annotated) checkKeypoints() error {
	if len(a.Keypoints) != 3*Joints {
		return fmt.Errorf("has %d numbers of keypoints, want %d", len(a.Keypoints), 3*Joints)
	}
	return nil
}

func (a *annotated) checkArea() error {
	switch {
	case a.Area == nil:
		return errors.New("has no area")
	case *a.Area < 0:
		return fmt.Errorf("has the negative area %v", *a.Area)
	}
	return nil
}

// truth is the person without what only Evaluate needs.
func (a *annotated) truth() Truth {
	t := Truth{Area: *a.Area}
	for j := range len(a.Keypoints) / 3 {
		copy(t.Keypoints[j][:], a.Keypoints[3*j:])
	}
	return t
}

// ReadTruth reads the people of one image from a COCO keypoint annotation file, such as
// person_keypoints_val2017.json: those with labelled keypoints that are no crowd. An image that the file does not list
// is an error, and so is a person without an area, or with a negative one or another number of keypoints than 17 times
// three; an image that it lists without people has none.
func ReadTruth(path, image string) ([]Truth, error) {
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(f.Images, func(i listed) bool { return i.Name == image })
	if at < 0 {
		return nil, fmt.Errorf("COCO annotations %s: do not list image %s; use those of the image's own set", path, image)
	}
	id := f.Images[at].ID
	if id == nil {
		return nil, fmt.Errorf("COCO annotations %s: image %s has no id; correct it, or download them again", path, image)
	}
	var truths []Truth
	for i, a := range f.Annotations {
		if a.Image == nil || *a.Image != *id || a.Crowd != nil && *a.Crowd != 0 || a.Labelled == nil || *a.Labelled == 0 {
			continue
		}
		err := a.checkKeypoints()
		if err == nil {
			err = a.checkArea()
		}
		if err != nil {
			return nil, fmt.Errorf("COCO annotations %s: %s %w; correct it, or download them again", path, a.label(i, map[int64]string{*id: image}), err)
		}
		truths = append(truths, a.truth())
	}
	return truths, nil
}
