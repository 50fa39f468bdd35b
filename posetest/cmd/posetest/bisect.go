package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/posetest/suite/posetest"
	"github.com/spf13/cobra"
)

func bisectCommand(cfg *posetest.Config) *cobra.Command {
	var b posetest.Bisection
	var model, family, precision, provider, moreThan string
	cmd := &cobra.Command{
		Use:   "bisect",
		Short: "Between which releases of ONNX Runtime does a model's outcome change?",
		Long: `Looks at the two ends, then at as few releases between them as binary search needs: those of runtimes.json, and any other
that pip's index lists for this machine. Those that are installed come first, the others are downloaded as they are needed; the sums
of one that runtimes.json does not have are taken when it is downloaded first, and held to from then on, but nobody has reviewed them.

--by says what may change: load (with its exact words), placement of the nodes, keypoints (beside the first release, by the
tolerance of goldens), or speed (beside the first release, by more than --more-than). Steps go to standard error, and the sentence
too; on standard output stand the rows of golden/support.toml for both sides. Exit code 0 whether something changes or not.`,
		Example: `  posetest bisect --model yolov8n-pose --precision int8 --provider cpu
  posetest bisect --model yolov8n-pose --precision int8-qdq --by speed --more-than 5% --from 1.31.1
  posetest bisect --model theirs.onnx --family yolov8-pose --provider openvino --by placement >rows.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Providers = []string{cmp.Or(provider, "cpu")}
			switch {
			case model == "":
				return errors.New("name a --model: one of `posetest models list` with its --precision, or a file with its --family")
			case strings.HasSuffix(model, ".onnx"):
				if family == "" || precision != "" {
					return errors.New("a model file goes with its --family, which says how to read its output, and has no --precision")
				}
				cfg.Own = &posetest.OwnModel{Path: model, Family: family}
			case family != "" || precision == "":
				return errors.New("a model of the catalogue goes with its --precision, and has no --family")
			default:
				cfg.Models, cfg.Precisions = []string{model}, []string{precision}
			}
			if moreThan != "" {
				percent, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(moreThan, "%")), 64)
				if err != nil || !strings.HasSuffix(moreThan, "%") || !(percent > 0 && percent <= 1000) || b.By != "speed" {
					return fmt.Errorf("--more-than %q must be a percentage such as 10%%, and goes with --by speed", moreThan)
				}
				b.MoreThan = percent / 100
			}
			result, err := posetest.Bisect(cmd.Context(), *cfg, b, os.Stderr)
			if err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, result.Sentence)
			fmt.Fprint(cmd.OutOrStdout(), result.Rows)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "model", "", "a model of the catalogue, by id, or an ONNX file of your own")
	f.StringVar(&family, "family", "", "the file's family")
	f.StringVar(&precision, "precision", "", "the model's precision")
	f.StringVar(&provider, "provider", "", "execution provider (default cpu)")
	f.StringVar(&b.From, "from", "", "first release, by its runtime's id (default: the oldest known)")
	f.StringVar(&b.To, "to", "", "last release (default: the newest known)")
	f.StringVar(&b.By, "by", "", "what may change: "+strings.Join(posetest.BisectBy(), ", ")+" (default load)")
	f.StringVar(&moreThan, "more-than", "", "by speed: what counts as a change (default 10%)")
	contestFlags(cmd, cfg, &b.Contest)
	return cmd
}
