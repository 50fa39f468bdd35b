package main

import (
	"io"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"

	"github.com/spf13/cobra"
)

// All commands share one configuration, so that a flag's default of one would narrow every other: it must be empty.
func TestNoFlagNarrowsByDefault(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, flags := range []*pflag.FlagSet{cmd.LocalFlags(), cmd.PersistentFlags()} {
			flags.VisitAll(func(f *pflag.Flag) {
				if f.Name == "out" || f.Name == "file" { // variables of their own command
					return
				}
				assert.Contains(t, []string{"", "[]", "0", "0s", "false"}, f.DefValue, "default of %s --%s", cmd.CommandPath(), f.Name)
			})
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(root(io.Discard))
}
