package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/whole"
	"github.com/spf13/cobra"
)

func runtimeCommand(cfg *posetest.Config) *cobra.Command {
	cmd := &cobra.Command{Use: "runtime", Short: "List, install, find and pin ONNX Runtime distributions"}
	store := func() (ortlib.Store, error) { return posetest.RuntimeStore(*cfg, os.Stderr) }
	choose := func(args []string) ([]ortlib.Runtime, error) {
		known, err := ortlib.Known()
		if err != nil {
			return nil, err
		}
		return ortlib.Select(known, strings.Join(args, ","))
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List what is known, and what is installed",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := store()
			if err != nil {
				return err
			}
			known, err := ortlib.Known()
			if err != nil {
				return err
			}
			t := newTable("ort", "runtime", "default", "providers here", "state")
			for _, r := range known {
				t.AppendRow(append(table.Row{r.ID(), r, map[bool]string{true: "yes"}[r.Default]}, state(s, r)...))
			}
			fmt.Fprintln(cmd.OutOrStdout(), t.Render())
			return nil
		},
	}, &cobra.Command{
		Use:   "install [ORT…]",
		Short: "Install runtimes: the default set, all, or those named",
		Example: `  posetest runtime install
  posetest runtime install all
  posetest runtime install 1.22.1 openvino-1.23.0`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := store()
			if err != nil {
				return err
			}
			runtimes, err := choose(args)
			if err != nil {
				return err
			}
			var errs []error
			for _, r := range runtimes {
				path, err := s.Install(cmd.Context(), r)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return errors.Join(errs...)
		},
	}, &cobra.Command{
		Use:     "path ORT",
		Short:   "Print the path of an installed runtime's library",
		Example: "  posetest runtime path 1.32.0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := store()
			if err != nil {
				return err
			}
			runtimes, err := choose(args)
			if err != nil {
				return err
			}
			for _, r := range runtimes {
				path, err := s.Library(r)
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			return nil
		},
	}, pinCommand(store))
	return cmd
}

// state is what a list says of a runtime on this machine: its providers, and whether it is installed.
func state(s ortlib.Store, r ortlib.Runtime) table.Row {
	here, err := r.Here()
	if err != nil {
		return table.Row{"", "no wheel for this machine"}
	}
	providers := strings.Join(here.Providers, " ")
	path, err := s.Library(r)
	if err != nil {
		return table.Row{providers, "not installed"}
	}
	return table.Row{providers, path}
}

func pinCommand(store func() (ortlib.Store, error)) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "pin DISTRIBUTION@VERSION",
		Short: "Add a release to runtimes.json, with the sums of its wheels for every platform",
		Long: `Downloads the wheels of the release, takes their sums, and writes the entry into runtimes.json. Build posetest again
to use it.`,
		Example: "  posetest runtime pin onnxruntime@1.33.0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := store()
			if err != nil {
				return err
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("%w; run in the repository, or name the list with --file", err)
			}
			known, err := ortlib.Parse(text)
			if err != nil {
				return err
			}
			pinned, err := ortlib.Pin(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			all := []ortlib.Runtime{pinned}
			for _, r := range known {
				if r.ID() == pinned.ID() {
					all[0].Default, all[0].Needs = r.Default, r.Needs
					continue
				}
				all = append(all, r)
			}
			if text, err = ortlib.Marshal(all); err != nil {
				return err
			}
			return whole.Write(file, text)
		},
	}
	cmd.Flags().StringVar(&file, "file", "posetest/ortlib/runtimes.json", "the list")
	return cmd
}
