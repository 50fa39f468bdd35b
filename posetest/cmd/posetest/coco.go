package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/catalog"
	"github.com/posetest/suite/posetest/coco"
	"github.com/posetest/suite/posetest/pose"
	"github.com/spf13/cobra"
)

func cocoCommand(cfg *posetest.Config) *cobra.Command {
	var own posetest.OwnModel
	var images, annotations, out, shard string
	cmd := &cobra.Command{
		Use:   "coco",
		Short: "Take COCO's figures (AP, AR) of a model on a whole set, such as val2017 as published",
		Long: `Runs one cell over all images of an annotation file and prints COCO's ten figures. What is found is written image by
image, so that the same command, run again after a kill, goes on where it was. With --shard the set is parted over
machines, and "posetest coco merge" gives the whole set's figures.`,
		Example: `  posetest coco --images val2017 --annotations person_keypoints_val2017.json --models yolov8n-pose --precisions fp32 --runtimes 1.32.0
  posetest coco --images val2017 --annotations person_keypoints_val2017.json --model their.onnx --family yolov8-pose --runtimes 1.32.0
  posetest coco … --shard 2/8 --out part2.jsonl
  posetest coco merge --annotations person_keypoints_val2017.json part*.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if images == "" || annotations == "" {
				return errors.New("coco needs --images and --annotations: the folder of a set, and its keypoint file")
			}
			if own.Path != "" {
				cfg.Own = &own
			}
			if len(cfg.Providers) == 0 {
				cfg.Providers = []string{"cpu"}
			}
			part, err := posetest.ShardOf(shard, os.Getenv)
			if err != nil {
				return err
			}
			return runCOCO(cmd, *cfg, images, annotations, part, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&images, "images", "", "folder of the photographs")
	f.StringVar(&annotations, "annotations", "", "COCO keypoint file of that set")
	f.StringVar(&shard, "shard", "", "only this part, such as 2/8 (default $POSETEST_SHARD, or all)")
	f.StringVar(&out, "out", "", "file of detections to write or go on with (default: named after the cell)")
	f.StringVar(&own.Path, "model", "", "an ONNX file of your own, instead of the catalogue")
	f.StringVar(&own.Family, "family", "", "its family: "+strings.Join(pose.Families(), ", "))
	f.StringVar(&cfg.Runtimes, "runtimes", "", "the runtime")
	f.StringSliceVar(&cfg.Models, "models", nil, "the model, by id")
	f.StringSliceVar(&cfg.Precisions, "precisions", nil, "its precision")
	f.StringSliceVar(&cfg.Providers, "providers", nil, "the execution provider (default cpu)")
	f.IntVar(&cfg.Threads, "threads", 0, "threads of one operator (default 1)")
	cmd.AddCommand(mergeCommand())
	return cmd
}

func runCOCO(cmd *cobra.Command, cfg posetest.Config, images, annotations string, part posetest.Shard, out string) error {
	set, err := posetest.OpenCOCOSet(images, annotations)
	if err != nil {
		return err
	}
	sum, err := catalog.Sum(annotations)
	if err != nil {
		return err
	}
	suite := posetest.New(cfg)
	plan, err := suite.Plan(cmd.Context(), os.Stderr)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(plan.Missing, func(m posetest.Missing) bool { return len(m.Cells) > 0 }); i >= 0 && len(plan.Cells) == 0 {
		return fmt.Errorf("nothing to run: %w", plan.Missing[i].Err)
	}
	if len(plan.Cells) != 1 {
		return fmt.Errorf("coco runs one cell, and %d match; narrow --models, --precisions, --providers and --runtimes", len(plan.Cells))
	}
	cell := plan.Cells[0]
	if out == "" {
		out = strings.NewReplacer("/", "_", "=", "-").Replace(cell.Cell.String()) + ".jsonl"
	}
	file, err := posetest.OpenDetections(out, posetest.DetectionsHead{Cell: cell.Cell, ModelSHA256: cell.File.SHA256, AnnotationsSHA256: sum,
		Options: posetest.COCOOptions, Images: len(set.Annotations.Images), Shard: part})
	if err != nil {
		return err
	}
	var todo []coco.Image
	for _, image := range set.Annotations.Images {
		if part.Has(image.ID) && !file.Done[image.ID] {
			todo = append(todo, image)
		}
	}
	if done := len(file.Done); done > 0 {
		fmt.Fprintf(os.Stderr, "%s has %d images already; %d to go\n", out, done, len(todo))
	}
	bar := newBar(len(todo), "images")
	begin := time.Now()
	var running time.Duration
	if len(todo) > 0 {
		err = suite.Detections(cmd.Context(), cell, set.Folder, todo, posetest.COCOOptions, func(image coco.Image, persons []pose.Person, took time.Duration) error {
			running += took
			bar.step(filepath.Base(image.Name))
			return file.Add(image.ID, persons)
		})
	}
	bar.stop()
	wall := time.Since(begin)
	if closeErr := file.Close(); err == nil { // its sentence is the first reason
		err = closeErr
	}
	if err != nil {
		return err
	}
	if n := len(todo); n > 0 {
		fmt.Fprintf(os.Stderr, "%d images in %v: %.1f images/s, %.2f of the inference alone\n", n, wall.Round(time.Millisecond),
			float64(n)/wall.Seconds(), running.Seconds()/wall.Seconds())
	}
	if part.Of > 1 {
		fmt.Fprintf(os.Stderr, "shard %d/%d is whole: %s; join all with `posetest coco merge`\n", part.Index, part.Of, out)
		return nil
	}
	return printMerged(cmd.OutOrStdout(), []string{out}, annotations)
}

func mergeCommand() *cobra.Command {
	var annotations string
	cmd := &cobra.Command{
		Use:     "merge FILE…",
		Short:   "Take COCO's figures of the shards of a set",
		Example: "  posetest coco merge --annotations person_keypoints_val2017.json part*.jsonl",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if annotations == "" {
				return errors.New("merge needs --annotations: the keypoint file that the shards were made with")
			}
			return printMerged(cmd.OutOrStdout(), files, annotations)
		},
	}
	cmd.Flags().StringVar(&annotations, "annotations", "", "COCO keypoint file of the set")
	return cmd
}

func printMerged(w io.Writer, files []string, annotations string) error {
	all, err := coco.ReadAnnotations(annotations)
	if err != nil {
		return err
	}
	sum, err := catalog.Sum(annotations)
	if err != nil {
		return err
	}
	head, stats, err := posetest.MergeDetections(files, all, sum)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s on %d images: %s\n", head.Cell, head.Images, stats)
	return nil
}
