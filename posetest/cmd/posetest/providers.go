package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/session"
	"github.com/spf13/cobra"
)

func providersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "providers",
		Short: "List execution providers with their options, and which runtimes bring them here",
		Long: `Lists all that --providers takes. Those with "yes" run when nobody chooses; the others only if they are named. "device" tells whether
this machine has one, as far as files tell. docs/providers.md says what each needs.`,
		Example: `  posetest providers
  posetest report --runtimes gpu-1.31.1 --providers cuda,cuda-notf32`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			known, err := ortlib.Known()
			if err != nil {
				return err
			}
			t := newTable("provider", "options", "default", "device", "runtimes here")
			for _, v := range session.Variants() {
				t.AppendRow([]any{v.ID, optionsOf(v), map[bool]string{true: "yes"}[v.Default], deviceOf(v), strings.Join(bring(known, v), " ")})
			}
			fmt.Fprintln(cmd.OutOrStdout(), t.Render())
			return nil
		},
	}
}

func optionsOf(v session.Variant) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(v.Options)) {
		words = append(words, name+"="+v.Options[name])
	}
	return strings.Join(words, " ")
}

// deviceOf is "" for what needs none, or where nobody looks.
func deviceOf(v session.Variant) string {
	if len(v.Devices) == 0 {
		return ""
	}
	return map[bool]string{true: "yes", false: "none"}[v.HasDevice()]
}

// bring are the runtimes that bring a provider on this machine, or what does so instead.
func bring(known []ortlib.Runtime, v session.Variant) []string {
	if v.Plugin != "" {
		return []string{"none: POSETEST_PLUGINS"}
	}
	var ids []string
	for _, r := range known {
		if here, err := r.Here(); err == nil && slices.Contains(here.Providers, v.Provider()) && v.Provider() != "cpu" {
			ids = append(ids, r.ID())
		}
	}
	if v.Provider() == "cpu" {
		return []string{"all"}
	}
	return ids
}
