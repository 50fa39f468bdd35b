package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/session"
	"github.com/spf13/cobra"
)

func reduceCommand(cfg *posetest.Config) *cobra.Command {
	var r posetest.Reduction
	var out string
	cmd := &cobra.Command{
		Use:   "reduce model.onnx",
		Short: "Cut a model that fails to load, or crashes, to the smallest that fails the same",
		Long: `Leaves out nodes as long as the runtime refuses the rest with the same words (names of the model and numbers apart),
or dies of the same signal while it opens the model; then the weights' data. What is left is small enough for an upstream issue,
and has none of your weights but those that matter. Each try has a process of its own. A crash may come by
chance: a smaller model must crash in 3 of as many tries as its share among six tries of the whole model asks for.

The model is read with this program alone, and must hold its weights itself.`,
		Example: `  posetest reduce yolov8n-pose-int8.onnx --provider openvino --runtime openvino-1.24.1 -o small.onnx
  POSETEST_ORT=/opt/ort/libonnxruntime.so posetest reduce theirs.onnx -o small.onnx`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Model, r.Provider = args[0], cmp.Or(r.Provider, "cpu")
			if r.Tries < 0 {
				return fmt.Errorf("--tries %d must be 1 or more", r.Tries)
			}
			result, err := posetest.Reduce(cmd.Context(), *cfg, r, out, os.Stderr)
			if err != nil {
				return err
			}
			printReduced(cmd.OutOrStdout(), r, result, out)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Provider, "provider", "", "execution provider (default cpu)")
	f.StringVar(&r.Runtime, "runtime", "", "runtime, by id (default $POSETEST_ORT)")
	f.StringVarP(&out, "out", "o", "small.onnx", "file to write")
	f.IntVar(&r.Tries, "tries", 0, "take one failure in so many tries for the failure (default: 1 for words, for a crash see above)")
	f.IntVar(&cfg.Threads, "threads", 0, "threads of one operator (default 1)")
	f.DurationVar(&cfg.Timeout, "timeout", 0, "time of one load (default 1m)")
	return cmd
}

func printReduced(w io.Writer, r posetest.Reduction, result posetest.Reduced, out string) {
	fmt.Fprintf(w, "%s: %d of %d nodes (%s), %d of %d bytes, after %d tries\n", out, result.Nodes, result.Before, strings.Join(result.Operators, ", "),
		result.Bytes, result.BytesBefore, result.Opened)
	fmt.Fprintf(w, "%s, in %d of %d tries\n", expect.Describe(result.Observed), result.Again, result.Tried)
	fmt.Fprintln(w, "reproduce:")
	runtime := ""
	if r.Runtime != "" {
		runtime = " --runtime " + r.Runtime
	}
	fmt.Fprintf(w, "  posetest reduce %s --provider %s%s -o smaller.onnx\n", out, r.Provider, runtime)
	known, err := ortlib.Known()
	if err != nil {
		return
	}
	if chosen, err := ortlib.Select(known, r.Runtime); err == nil && r.Runtime != "" {
		fmt.Fprintf(w, "  pip install %s==%s\n", chosen[0].Distribution, chosen[0].Version)
		fmt.Fprintf(w, "  python -c \"import onnxruntime as o; o.InferenceSession('%s', providers=['%s'])\"\n", out, session.RuntimeName(r.Provider))
	}
}
