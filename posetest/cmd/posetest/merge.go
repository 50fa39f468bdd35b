package main

import (
	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/observe"
	"github.com/spf13/cobra"
)

func mergeReports(cfg *posetest.Config) *cobra.Command {
	var out, since string
	cmd := &cobra.Command{
		Use:   "merge FILE…",
		Short: "Join the observations of several machines, or of shards, into one report",
		Long: `Joins files that "posetest report" wrote, and writes the report of all. Shards of one run must be complete, and each
there once; what is of another version, was cut, or does not belong together is refused, and no report is touched.`,
		Example: `  posetest merge part1/observations.jsonl part2/observations.jsonl --out report
  posetest merge linux.jsonl macos.jsonl windows.jsonl --since last.jsonl --out report`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			before, err := sinceFile(since)
			if err != nil {
				return err
			}
			sets := make([]observe.Set, len(files))
			for i, path := range files {
				if sets[i], err = readSet(path); err != nil {
					return err
				}
			}
			merged, err := observe.Merge(files, sets)
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
	cmd.Flags().StringVar(&out, "out", "report", "folder to write to")
	return cmd
}
