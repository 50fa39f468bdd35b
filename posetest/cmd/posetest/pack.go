package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/bundle"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func packCommand(cfg *posetest.Config) *cobra.Command {
	var want posetest.Packing
	var out, split string
	cmd := &cobra.Command{
		Use:   "pack",
		Short: "Pack program, runtimes, models and expectations for a machine without toolchain and network",
		Long: `Writes a bundle for machines of this platform: this very program, the runtimes with their providers, the models, those that
are derived from others among them, photographs, goldens and the support table. Unpacked anywhere, ./run in it prints the matrix
and writes observations that "posetest merge" takes in.

The name says how it is compressed: .tar.zst, .tar.gz (which every machine can unpack), or .tar. The sums of all files are in it, and
are checked whenever it runs; the sum of the bundle itself is written beside it, into a file that ends in .sha256.`,
		Example: `  posetest pack --providers cpu --runtimes 1.32.0 -o bundle.tar.zst
  posetest pack --models movenet-lightning --precisions fp32,int8-qdq --runtimes 1.32.0 -o bundle.tar.gz
  posetest pack --runtimes all --split 60MB -o bundle.tar.zst      # there: cat bundle.tar.zst.*of* | zstd -dc | tar -xf -
  bin/posetest-portable pack --glibc 2.28 -o bundle.tar.gz         # of make portable`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			size, err := parseSize(split)
			if err != nil {
				return fmt.Errorf("--split: %w", err)
			}
			output := bundle.Output{Path: out, Split: size}
			if err := output.Check(); err != nil {
				return fmt.Errorf("--out: %w", err)
			}
			suite := posetest.New(*cfg)
			manifest, files, err := suite.Pack(cmd.Context(), want, os.Stderr)
			if err != nil {
				return err
			}
			parts, err := bundle.Pack(cmd.Context(), output, manifest, files)
			if err != nil {
				return err
			}
			for _, part := range parts {
				fmt.Fprintln(cmd.OutOrStdout(), part)
			}
			fmt.Fprint(os.Stderr, describe(manifest, out, parts))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&out, "out", "o", "bundle.tar.zst", "file to write; its parts are named after it")
	f.StringVar(&split, "split", "", "write parts of this size at most, such as 60MB")
	f.StringVar(&cfg.Runtimes, "runtimes", "", `runtimes, or "all" (default $POSETEST_RUNTIMES, or the default set)`)
	f.StringSliceVar(&cfg.Models, "models", nil, "only these models, by id")
	f.StringSliceVar(&cfg.Precisions, "precisions", nil, "only these precisions")
	f.StringSliceVar(&cfg.Providers, "providers", nil, "only these execution providers")
	f.StringVar(&want.GLIBC, "glibc", "", "refuse to pack what needs a newer glibc than this, such as 2.28")
	f.BoolVar(&want.COCO, "coco", false, "with COCO's photographs of the data path, so that report --ap can be run there")
	f.StringArrayVar(&want.With, "with", nil, "put this file beside the program, such as licences that must go along")
	f.StringVar(&want.Spares, "spares", "", "take libstdc++, libgcc_s and libz, which are used where a machine has none, from this folder, such as those of an older distribution (default: this machine's)")
	f.BoolVar(&want.NoSpares, "without-spares", false, "leave them out")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "runtime", "model", "precision", "provider": // one is a list, too
			name += "s"
		}
		return pflag.NormalizedName(name)
	})
	return cmd
}

// describe says what a bundle needs, and how it is unpacked.
func describe(m bundle.Manifest, out string, parts []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "for %s", m.Platform)
	if m.GLIBC != "" {
		fmt.Fprintf(&b, ", glibc %s or newer", m.GLIBC)
	}
	fmt.Fprintf(&b, "; runtimes %s\n", strings.Join(m.Runtimes, ", "))
	for _, s := range m.Spares {
		fmt.Fprintf(&b, "brings %s, for a machine that has none, if its glibc is %s or newer\n", s.Name, s.GLIBC)
	}
	if len(m.Lacks) > 0 {
		fmt.Fprintf(&b, "does not bring %s\n", strings.Join(m.Lacks, ", "))
	}
	name := filepath.Base(out)
	if parts[0] != out {
		name += fmt.Sprintf(".*of%d", len(parts))
	}
	tool := map[string]string{".zst": " | zstd -dc", ".gz": " | gzip -dc"}[filepath.Ext(out)]
	fmt.Fprintf(&b, "unpack it with: cat %s%s | tar -xf -\n", name, tool)
	fmt.Fprintf(&b, "or, without these tools: posetest unpack %s\n", name)
	fmt.Fprintf(&b, "run it with: %s\n", filepath.ToSlash(filepath.Join(m.Folder(), "run")))
	return b.String()
}

var sizeWords = regexp.MustCompile(`^(\d+(?:\.\d+)?) ?(B|kB|MB|GB|KiB|MiB|GiB)?$`)

// parseSize reads a size in bytes, such as 60MB; "" is 0.
func parseSize(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	m := sizeWords.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is no size; write it as 60MB, 500kB or 2GiB", text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	n *= map[string]float64{"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[m[2]]
	if err != nil || n < smallestPart || n > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is no size of a part; give %d bytes or more", text, smallestPart)
	}
	return int64(n), nil
}

// smallestPart keeps a slip of the unit, B for MB, from making a million files.
const smallestPart = 100_000 // bytes

func unpackCommand() *cobra.Command {
	var into string
	cmd := &cobra.Command{
		Use:   "unpack BUNDLE|PART…",
		Short: "Unpack a bundle, or all its parts, whole or not at all",
		Long: `Unpacks what "posetest pack" wrote, and prints the folder. Parts may be named in any order; one that is missing, there twice,
cut or altered is told by name. tar, and zstd or gzip, do the same where they are; this is for where they are not.`,
		Example: `  posetest unpack bundle.tar.zst
  posetest unpack bundle.tar.zst.*of4 --into /opt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name a bundle, or all its parts")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			folder, err := bundle.Unpack(cmd.Context(), args, cmp.Or(into, "."))
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), folder)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&into, "into", "", "folder to unpack below (default: where you are)")
	return cmd
}

// useBundle makes the command of an unpacked bundle run what lies beside it: a report, where no command is named.
func useBundle(cmd *cobra.Command, cfg *posetest.Config, dir string, args []string) {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") && args[0] != "-h" && args[0] != "--help" && args[0] != "--version" {
		args = append([]string{"report"}, args...)
	}
	cmd.SetArgs(args)
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		*cfg, err = posetest.UseBundle(cmd.Context(), *cfg, dir)
		return err
	}
}
