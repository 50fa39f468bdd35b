package posetest

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/worker"
)

// COCOOptions are how COCO's figures are taken, as Ultralytics' validator does: nearly every detection counts.
var COCOOptions = pose.Options{Confidence: 0.001, IoU: 0.7, Max: 300}

// A COCOSet is photographs with their annotations.
type COCOSet struct {
	Annotations *coco.Annotations
	Folder      string // of the photographs
}

// OpenCOCOSet reads an annotation file, and sees that each of its images is in the folder.
func OpenCOCOSet(folder, annotations string) (COCOSet, error) {
	all, err := coco.ReadAnnotations(annotations)
	if err != nil {
		return COCOSet{}, err
	}
	missing := 0
	var first error
	for _, image := range all.Images {
		if _, err := os.Stat(filepath.Join(folder, image.Name)); err != nil {
			if missing++; missing == 1 {
				first = err
			}
		}
	}
	if missing > 0 {
		return COCOSet{}, fmt.Errorf("%s lists %d images, and %d of them are missing: %w; name the folder of that very set", annotations, len(all.Images), missing, first)
	}
	return COCOSet{Annotations: all, Folder: folder}, nil
}

// A Shard is a part of a set, 1…Of; its zero value is all.
type Shard struct{ Index, Of int }

// maxShards is more parts than a set is ever cut into, and few enough to count through.
const maxShards = 100_000

// ParseShard reads "2/8".
func ParseShard(text string) (Shard, error) {
	index, of, ok := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(of)
	if !ok || err1 != nil || err2 != nil || !(Shard{i, n}).valid() {
		return Shard{}, fmt.Errorf("shard %q must be as 2/8: which part, of how many, %d at most", text, maxShards)
	}
	return Shard{i, n}, nil
}

// ShardOf is the shard that a flag names, as 2/8, and, where it is empty, the one that the environment does: POSETEST_SHARD in
// the same words, or POSETEST_SHARDS, of how many, with JOB_COMPLETION_INDEX, which counts from 0 and is there in each pod
// of an Indexed Job of Kubernetes. Where neither is set it is the zero value, all.
func ShardOf(flag string, getenv func(string) string) (Shard, error) {
	text, shards := getenv("POSETEST_SHARD"), getenv("POSETEST_SHARDS")
	from := func(where, text string) (Shard, error) {
		s, err := ParseShard(text)
		if err != nil {
			err = fmt.Errorf("%s: %w", where, err)
		}
		return s, err
	}
	switch {
	case flag != "":
		return from("--shard", flag)
	case text != "" && shards != "":
		return Shard{}, fmt.Errorf("POSETEST_SHARD=%s and POSETEST_SHARDS=%s both say which shard this is; unset one of them", text, shards)
	case text != "":
		return from("POSETEST_SHARD", text)
	case shards != "":
		return indexed(shards, getenv("JOB_COMPLETION_INDEX"))
	}
	return Shard{}, nil
}

// indexed is the shard of a pod of an Indexed Job.
func indexed(shards, index string) (Shard, error) {
	n, err := strconv.Atoi(shards)
	if err != nil || n < 1 || n > maxShards {
		return Shard{}, fmt.Errorf("POSETEST_SHARDS=%.80q must be the number of shards, 1 to %d", shards, maxShards)
	}
	if index == "" {
		return Shard{}, fmt.Errorf("POSETEST_SHARDS=%d, and JOB_COMPLETION_INDEX, which says which of them this is, is not set; a Job of Kubernetes sets it with completionMode: Indexed, elsewhere set POSETEST_SHARD=1/%d", n, n)
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= n {
		return Shard{}, fmt.Errorf("JOB_COMPLETION_INDEX=%.80q must be 0 to %d, since POSETEST_SHARDS=%d; give the Job as many completions", index, n-1, n)
	}
	return Shard{i + 1, n}, nil
}

// valid tells of a part that there can be.
func (s Shard) valid() bool { return s.Index >= 1 && s.Index <= s.Of && s.Of <= maxShards }

// Has tells whether an image belongs to the shard: by a hash of its id, whatever else is in the set.
func (s Shard) Has(image int64) bool {
	if s.Of < 2 {
		return true
	}
	h := fnv.New32a()
	fmt.Fprint(h, image)
	return int(h.Sum32()%uint32(s.Of)) == s.Index-1
}

// Detections runs a cell over images and calls each with what it found on every one, in their order, with the time of
// the session's run alone. Reading and preprocessing of an image go on while the one before it runs.
func (s *Suite) Detections(ctx context.Context, p Planned, folder string, images []coco.Image, options pose.Options, each func(coco.Image, []pose.Person, time.Duration) error) error {
	used, err := s.use(ctx, p)
	if err != nil {
		return setupUnlessDone(ctx, fmt.Errorf("%s: %w", p.Cell, err))
	}
	w, err := worker.Start(ctx, s.spec(p.Library))
	if err != nil {
		return setupUnlessDone(ctx, err)
	}
	defer w.Close()
	if _, err := s.openIn(ctx, w, p, &observe.Observation{}); err != nil {
		return fmt.Errorf("%s: %w", p.Cell, err)
	}
	if err := used.same(ctx); err != nil {
		return setupUnlessDone(ctx, fmt.Errorf("%s: %w", p.Cell, err))
	}
	for i, image := range images {
		r := worker.Inference{Image: filepath.Join(folder, image.Name), Options: options}
		if i+1 < len(images) {
			r.Next = filepath.Join(folder, images[i+1].Name)
		}
		photo, err := w.Infer(ctx, r)
		if err == nil && photo.Error != "" {
			err = &worker.Refusal{Kind: worker.Run, Failure: observe.Failure{Message: photo.Error}}
		}
		if err != nil {
			return fmt.Errorf("%s: image %s: %w", p.Cell, image.Name, err)
		}
		if err := each(image, photo.Persons, photo.Infer); err != nil {
			return err
		}
	}
	return w.Finish(ctx)
}

// COCO runs a cell over a whole set and returns COCO's figures.
func (s *Suite) COCO(ctx context.Context, p Planned, set COCOSet) (coco.Stats, error) {
	var all []coco.Detection
	err := s.Detections(ctx, p, set.Folder, set.Annotations.Images, COCOOptions, func(image coco.Image, persons []pose.Person, _ time.Duration) error {
		for _, person := range persons {
			all = append(all, coco.Detection{Image: image.ID, Person: person})
		}
		return nil
	})
	if err != nil {
		return coco.Stats{}, err
	}
	return coco.Evaluate(set.Annotations, all)
}
