package posetest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
)

// A DetectionsHead is the first line of a file of detections: what they are of. Files of shards differ in it by the
// shard alone.
type DetectionsHead struct {
	observe.Cell
	ModelSHA256       string       `json:"model_sha256"`
	AnnotationsSHA256 string       `json:"annotations_sha256"`
	Options           pose.Options `json:"options"`
	Images            int          `json:"images"` // of the whole set
	Shard             Shard        `json:"shard"`
}

// imageDetections is every further line: all that was found on one image.
type imageDetections struct {
	Image   int64         `json:"image"`
	Persons []pose.Person `json:"persons"`
}

// A DetectionsFile is written a whole line an image, so that a run that was killed goes on where it was.
type DetectionsFile struct {
	file *os.File
	Done map[int64]bool // images that are in it
}

// OpenDetections opens a file of detections to go on with, or makes it. A last line that was cut is dropped. One of
// other detections is an error, and left as it is.
func OpenDetections(path string, head DetectionsHead) (*DetectionsFile, error) {
	done := map[int64]bool{}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	if len(text) > 0 {
		have, lines, err := readDetections(bytes.NewReader(text), path)
		if err != nil {
			return nil, err
		}
		if have != head {
			return nil, fmt.Errorf("%s holds other detections (%s, shard %d/%d); delete it, or write to another file with --out", path, have.Cell, have.Shard.Index, have.Shard.Of)
		}
		for _, l := range lines {
			done[l.Image] = true
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := file.Truncate(int64(len(text))); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := file.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	f := &DetectionsFile{file: file, Done: done}
	if len(text) == 0 {
		if err := f.write(head); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return f, nil
}

// Add writes what was found on one image, best first, as far as COCO looks at it.
func (f *DetectionsFile) Add(image int64, persons []pose.Person) error {
	f.Done[image] = true
	return f.write(imageDetections{image, persons[:min(len(persons), coco.MaxDetections)]})
}

// Close closes the file once all of it is on the disk.
func (f *DetectionsFile) Close() error { return errors.Join(f.file.Sync(), f.file.Close()) }

func (f *DetectionsFile) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = f.file.Write(append(line, '\n'))
	return err
}

func readDetections(r io.Reader, name string) (head DetectionsHead, lines []imageDetections, err error) {
	in := bufio.NewReader(r)
	seen := map[int64]int{}
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return head, lines, nil
		}
		if err != nil {
			return head, nil, fmt.Errorf("%s:%d: the line is cut; run the same command again, and it goes on from there", name, n)
		}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if n == 1 {
			err = dec.Decode(&head)
		} else {
			var l imageDetections
			if err = dec.Decode(&l); err == nil && seen[l.Image] > 0 {
				err = fmt.Errorf("image %d stands on line %d already", l.Image, seen[l.Image])
			}
			seen[l.Image] = n
			lines = append(lines, l)
		}
		if err != nil {
			return head, nil, fmt.Errorf("%s:%d: no detections of this version of posetest: %w; delete the file and run again", name, n, err)
		}
	}
}

// MergeDetections reads the files of all shards and returns the whole set's figures. A shard that is missing or there
// twice, and an image that is, are errors that name it.
func MergeDetections(paths []string, annotations *coco.Annotations, annotationsSHA256 string) (DetectionsHead, coco.Stats, error) {
	var first DetectionsHead
	shards := map[Shard]string{}
	missing := map[int64]bool{}
	for _, image := range annotations.Images {
		missing[image.ID] = true
	}
	var all []coco.Detection
	fail := func(format string, args ...any) (DetectionsHead, coco.Stats, error) {
		return first, coco.Stats{}, fmt.Errorf(format, args...)
	}
	for i, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return first, coco.Stats{}, err
		}
		head, lines, err := readDetections(file, path)
		file.Close()
		if err != nil {
			return first, coco.Stats{}, err
		}
		if i == 0 {
			first = head
		}
		if other, twice := shards[head.Shard]; twice {
			return fail("%s and %s are both of shard %d/%d; name each once", other, path, head.Shard.Index, head.Shard.Of)
		}
		shards[head.Shard] = path
		if same := (DetectionsHead{head.Cell, head.ModelSHA256, head.AnnotationsSHA256, head.Options, head.Images, first.Shard}); same != first || head.Shard.Of != first.Shard.Of {
			return fail("%s is of %s in %d parts, and %s of another cell, model, set or number of parts; merge what belongs together", path, head.Cell, head.Shard.Of, paths[0])
		}
		if head.AnnotationsSHA256 != annotationsSHA256 {
			return fail("%s was made with other annotations; name the same file with --annotations", path)
		}
		for _, l := range lines {
			if !missing[l.Image] {
				return fail("%s: image %d is there twice, or in no annotation", path, l.Image)
			}
			delete(missing, l.Image)
			for _, person := range l.Persons {
				all = append(all, coco.Detection{Image: l.Image, Person: person})
			}
		}
	}
	var absent []string
	for i := 1; i <= first.Shard.Of; i++ {
		if shards[Shard{i, first.Shard.Of}] == "" {
			absent = append(absent, fmt.Sprintf("%d/%d", i, first.Shard.Of))
		}
	}
	if len(absent) > 0 {
		return fail("shard %s is missing; run it with --shard, and merge again", strings.Join(absent, ", "))
	}
	if len(missing) > 0 {
		ids := make([]int64, 0, len(missing))
		for id := range missing {
			ids = append(ids, id)
		}
		return fail("%d of %d images are missing, the first is %d; run the same commands again, and they go on from there", len(missing), len(annotations.Images), slices.Min(ids))
	}
	// In the order of the set, so that ties fall as they do without shards.
	position := map[int64]int{}
	for i, image := range annotations.Images {
		position[image.ID] = i
	}
	slices.SortStableFunc(all, func(a, b coco.Detection) int { return position[a.Image] - position[b.Image] })
	stats, err := coco.Evaluate(annotations, all)
	return first, stats, err
}
