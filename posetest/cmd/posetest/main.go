// Command posetest runs pose-estimation models through every execution provider and ONNX Runtime that it can get, and
// says which of them load and find people. See posetest --help.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/worker"
	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitRegression = 1
	exitNotJudged  = 2
)

// errRegression ends a command whose findings are already printed.
var errRegression = errors.New("not as expected")

func main() {
	worker.ServeIfAsked()
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // a reader that is gone is an error of the write, not our death
	out := &output{file: os.Stdout}
	err := root(out).ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	stop()
	if err == nil || errors.Is(err, errRegression) {
		err = cmp.Or(out.lost(), err)
	}
	switch {
	case err == nil:
	case errors.Is(err, errRegression):
		os.Exit(exitRegression)
	case interrupted:
		fmt.Fprintln(os.Stderr, "posetest: interrupted; every worker was ended and no file is half written")
		os.Exit(exitNotJudged)
	default:
		fmt.Fprintln(os.Stderr, "posetest:", err)
		os.Exit(exitNotJudged)
	}
}

// endings are the signals that end a run in order: of a person, of a system, and of a terminal that goes away, unless
// nohup asked to outlive it.
func endings() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// root is the command, which prints to out.
func root(out io.Writer) *cobra.Command {
	var cfg posetest.Config
	cmd := &cobra.Command{
		Use:   "posetest",
		Short: "Do these pose models load, on each execution provider of each ONNX Runtime, and find the people?",
		Long: `posetest runs every model × precision × execution provider × ONNX Runtime version in a process of its own, and
says for each: loads, or fails, crashes, falls back, or finds nobody; and whether that is what golden/support.toml expects.

Exit codes: 0 all as expected, 1 something is not, 2 could not judge.

Environment: POSETEST_DATA (path list: folders with models and photographs that may not be committed), POSETEST_RUNTIMES
("all" or a list such as 1.22.1,openvino-1.23.0), POSETEST_ORT (a library of your own), POSETEST_PLUGINS (providers in
libraries of their own), POSETEST_CACHE, POSETEST_OFFLINE=1 (download nothing), POSETEST_REQUIRE (what must not be skipped: ids,
or "all"), POSETEST_REPEAT (times to run each cell: what differs is flaky), POSETEST_SHARD (such as 2/4: which part to run), or
POSETEST_SHARDS with JOB_COMPLETION_INDEX, and POSETEST_RUN (the name of the run that it is a shard of).`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetOut(out)
	f := cmd.PersistentFlags()
	f.StringVar(&cfg.Dir, "dir", "", "folder with models/models.json (default: the nearest one upwards)")
	f.StringSliceVar(&cfg.Data, "data", nil, "folders with data (default $POSETEST_DATA)")
	f.StringVar(&cfg.Cache, "cache", "", "folder for runtimes and derived models (default $POSETEST_CACHE, or the user's cache)")
	f.BoolVar(&cfg.Offline, "offline", false, "download nothing (default $POSETEST_OFFLINE)")
	cmd.AddCommand(reportCommand(&cfg), mergeReports(&cfg), benchCommand(&cfg), cocoCommand(&cfg), diagnoseCommand(&cfg), compareCommand(&cfg), gateCommand(&cfg), claimsCommand(&cfg), scalingCommand(&cfg), bisectCommand(&cfg), reduceCommand(&cfg), selectCommand(&cfg), embedTableCommand(&cfg), runtimeCommand(&cfg), providersCommand(), modelsCommand(&cfg), tensorsCommand())
	return cmd
}

// newTable is a table to be rendered.
func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(header)
	return t
}
