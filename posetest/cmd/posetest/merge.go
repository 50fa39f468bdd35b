package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/observe"
	"github.com/spf13/cobra"
)

func mergeReports(cfg *posetest.Config) *cobra.Command {
	var out, since string
	var runs []string
	cmd := &cobra.Command{
		Use:   "merge FILE|FOLDER…",
		Short: "Join the observations of several machines, or of shards, into one report",
		Long: `Joins files that "posetest report" wrote, and writes the report of all; a folder stands for each observations.jsonl
below it. Shards of one run must be complete, and each there once; with --runs each of these runs must be there, and no other.
What is of another version, was cut, or does not belong together is refused, and no report is touched.`,
		Example: `  posetest merge part1/observations.jsonl part2/observations.jsonl --out report
  posetest merge linux.jsonl macos.jsonl windows.jsonl --since last.jsonl --out report
  posetest merge shards --runs cpu,openvino,cuda --out report`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := sinceFile(since)
			if err != nil {
				return err
			}
			merged, err := mergeFiles(args, runs)
			if err != nil {
				return err
			}
			if err := writable(out); err != nil {
				return err
			}
			return present(cmd.OutOrStdout(), *cfg, merged, before, out, "")
		},
	}
	sinceFlag(cmd, &since)
	cmd.Flags().StringSliceVar(&runs, "runs", nil, "names of the runs (report --run) that must be there, and no other")
	cmd.Flags().StringVar(&out, "out", "report", "folder to write to")
	return cmd
}

// mergeFiles joins files of observations, and those of folders; if runs are named, they must be all.
func mergeFiles(args, runs []string) (observe.Set, error) {
	var files []string
	for _, arg := range args {
		found, err := observationFiles(arg)
		if err != nil {
			return observe.Set{}, err
		}
		files = append(files, found...)
	}
	sets := make([]observe.Set, len(files))
	for i, path := range files {
		var err error
		if sets[i], err = readSet(path); err != nil {
			return observe.Set{}, err
		}
	}
	merged, err := observe.Merge(files, sets)
	if err != nil {
		return observe.Set{}, err
	}
	if err := merged.CheckRuns(runs); err != nil {
		return observe.Set{}, fmt.Errorf("--runs: %w", err)
	}
	return merged, nil
}

// observationFiles are each observations.jsonl below a folder, in order of their paths; what is no folder is itself one.
func observationFiles(path string) (files []string, err error) {
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || entry.IsDir() || name != path && entry.Name() != "observations.jsonl":
			return err
		case name != path: // what a person names may be a pipe
			if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
				return fmt.Errorf("%s is no file", name)
			}
		}
		files = append(files, name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w; name an observations.jsonl that a report wrote, or a folder with some below it", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no observations.jsonl below it; name a folder that reports were written into", path)
	}
	return files, nil
}
