package posetest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/gofrs/flock"
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
	lock *flock.Flock   // two runs that go on with one file would each do what is left
	Done map[int64]bool // images that are in it
}

// OpenDetections opens a file of detections to go on with, or makes it. A last line that was cut is dropped. One of
// other detections is an error, and left as it is; so is one that another run writes just now.
func OpenDetections(path string, head DetectionsHead) (*DetectionsFile, error) {
	lock := flock.New(path + ".lock")
	switch ok, err := locked(lock); {
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w; choose a place that can be written with --out", lock.Path(), err)
	case !ok:
		return nil, fmt.Errorf("another run writes %s just now; wait for its end, or write to another file with --out", path)
	}
	f, err := openDetections(path, head)
	if err != nil {
		return nil, errors.Join(err, unlock(lock))
	}
	f.lock = lock
	return f, nil
}

// unlock leaves no file behind. It is removed while it is locked, so that nobody can lock a file that has no name any
// more; Windows removes none that is open.
func unlock(lock *flock.Flock) error {
	removed := os.Remove(lock.Path())
	err := lock.Unlock()
	if removed != nil {
		err = errors.Join(err, os.Remove(lock.Path()))
	}
	return err
}

// locked locks a file of its own beside another, and tells whether it could. One that a dead process left is as good as none.
func locked(lock *flock.Flock) (bool, error) {
	for {
		ok, err := lock.TryLock()
		if !ok || err != nil {
			return ok, err
		}
		mine, err := lock.Stat()
		if err != nil {
			return false, errors.Join(err, lock.Unlock())
		}
		if there, err := os.Stat(lock.Path()); err == nil && os.SameFile(mine, there) {
			return true, nil
		}
		if err := lock.Unlock(); err != nil { // who had it before removed it after we had opened it
			return false, err
		}
	}
}

func openDetections(path string, head DetectionsHead) (f *DetectionsFile, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%w; choose a place that can be written with --out", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	f = &DetectionsFile{file: file, Done: map[int64]bool{}}
	have, whole, err := readDetections(file, path, func(l imageDetections) { f.Done[l.Image] = true })
	switch {
	case err != nil && !errors.Is(err, errCut):
		return nil, err
	case whole > 0 && have != head:
		return nil, fmt.Errorf("%s holds other detections (%s, shard %d/%d); delete it, or write to another file with --out", path, have.Cell, have.Shard.Index, have.Shard.Of)
	case whole > 0:
		if err := file.Truncate(whole); err != nil {
			return nil, err
		}
		_, err = file.Seek(whole, io.SeekStart)
		return f, err
	}
	first, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	begun, err := io.ReadAll(io.NewSectionReader(file, 0, int64(len(first))+1))
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(first, begun) {
		return nil, fmt.Errorf("%s holds no detections; write to another file with --out", path)
	}
	if err := file.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return f, f.write(head)
}

// Add writes what was found on one image, best first, as far as COCO looks at it.
func (f *DetectionsFile) Add(image int64, persons []pose.Person) error {
	f.Done[image] = true
	return f.write(imageDetections{image, persons[:min(len(persons), coco.MaxDetections)]})
}

// Close closes the file once all of it is on the disk.
func (f *DetectionsFile) Close() error {
	return errors.Join(f.file.Sync(), f.file.Close(), unlock(f.lock))
}

func (f *DetectionsFile) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err = f.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%w; make room there and run the same command again, which goes on from here", err)
	}
	return nil
}

var errCut = errors.New("the line is cut; run the same command again, and it goes on from there")

// readDetections calls each with every line but the head, and returns how many bytes of whole lines there are. Its error
// is [errCut] if bytes are left.
func readDetections(r io.Reader, name string, each func(imageDetections)) (head DetectionsHead, whole int64, err error) {
	in := bufio.NewReader(r)
	seen := map[int64]int{}
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return head, whole, nil
		case errors.Is(err, io.EOF):
			return head, whole, fmt.Errorf("%s:%d: %w", name, n, errCut)
		case err != nil:
			return head, whole, err
		}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if n == 1 {
			if err = dec.Decode(&head); err == nil && head.Shard != (Shard{}) && !head.Shard.valid() {
				err = fmt.Errorf("there can be no shard %d/%d", head.Shard.Index, head.Shard.Of)
			}
		} else {
			var l imageDetections
			if err = dec.Decode(&l); err == nil && seen[l.Image] > 0 {
				err = fmt.Errorf("image %d stands on line %d already", l.Image, seen[l.Image])
			}
			seen[l.Image] = n
			each(l)
		}
		if _, more := dec.Token(); err == nil && more != io.EOF {
			err = errors.New("something follows on the line")
		}
		if err != nil {
			return head, whole, fmt.Errorf("%s:%d: no detections of this version of posetest: %w; delete the file and run again", name, n, err)
		}
		whole += int64(len(line))
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
		var lines []imageDetections
		head, _, err := readDetections(file, path, func(l imageDetections) { lines = append(lines, l) })
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
	if err != nil {
		return fail("%s: %w; delete what is damaged and run again", strings.Join(paths, ", "), err)
	}
	return first, stats, nil
}
