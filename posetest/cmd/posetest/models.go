package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/posetest/suite/posetest"
	"github.com/spf13/cobra"
)

func modelsCommand(cfg *posetest.Config) *cobra.Command {
	cmd := &cobra.Command{Use: "models", Short: "List the models, and make those that are derived from others"}
	derivation := posetest.Derivation{Log: os.Stderr}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the models of the catalogue and where their files are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := posetest.Models(*cfg)
			if err != nil {
				return err
			}
			t := newTable("model", "precision", "bytes", "file")
			for _, m := range all {
				if m.Missing != nil {
					t.AppendRow(table.Row{m.ID, m.Precision, "", m.Missing})
				}
				for _, f := range m.Files {
					t.AppendRow(table.Row{f.ID, m.Precision, f.Size, f.Path})
				}
			}
			fmt.Fprintln(cmd.OutOrStdout(), t.Render())
			return nil
		},
	}
	derive := &cobra.Command{
		Use:     "make",
		Short:   "Make the int8 and fp16 variants of models from the data path, into the cache",
		Example: "  POSETEST_DATA=/data posetest models make",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return derivation.Make(cmd.Context(), *cfg)
		},
	}
	derive.Flags().StringVar(&derivation.Python, "python", "", "a Python that has scripts/requirements-quantize.txt (default: an environment in the cache, made when needed)")
	cmd.AddCommand(list, derive)
	return cmd
}

func tensorsCommand() *cobra.Command {
	var m posetest.OwnModel
	var out string
	cmd := &cobra.Command{
		Use:     "tensors IMAGE…",
		Short:   "Write a model's input for each image as a NumPy file, for calibration by another tool",
		Example: "  posetest tensors --model movenet-lightning.onnx --family movenet --out tensors fixtures/*.jpg",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, images []string) error {
			if m.Path == "" || m.Family == "" || out == "" {
				return errors.New("tensors needs --model, --family and --out")
			}
			return posetest.WriteTensors(cmd.Context(), m, out, images)
		},
	}
	cmd.Flags().StringVar(&m.Path, "model", "", "the ONNX file")
	cmd.Flags().StringVar(&m.Family, "family", "", "its family")
	cmd.Flags().StringVar(&out, "out", "", "folder to write to")
	return cmd
}
