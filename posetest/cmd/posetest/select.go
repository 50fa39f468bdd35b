package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/choose"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/whole"
	"github.com/spf13/cobra"
)

func selectCommand(cfg *posetest.Config) *cobra.Command {
	var q choose.Query
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "select",
		Short: "Say which precision of a model may be used somewhere, or why one may not and what to use instead",
		Long: `Answers from golden/support.toml alone, or from what embed-table made of one; nothing is run. A precision may be used
where a run of the suite on that platform showed that it loads and finds the people, each time. Without --precision it is the
best of those: what finds what fp32 finds, then what is fastest by the bars of speed that were verified, then fp32.

Standard output has the precision alone. Standard error says what is known of it, or why it is refused.

Exit codes: 0 it may be used, 1 it is refused, 2 the table can't tell: it does not know the model, provider, runtime, platform.`,
		Example: `  posetest select --model yolov8n-pose --provider cpu --runtime 1.32.0
  posetest select --model yolov8n-pose --precision int8 --provider coreml --runtime 1.22.1
  posetest select --model yolov8n-pose --provider cpu --runtime 1.32.0 --platform linux/amd64 --isa vnni --json
  posetest select --table support.json --model yolov8n-pose --provider cpu --runtime 1.32.0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			table, err := supportTable(*cfg, file)
			if err != nil {
				return err
			}
			a, err := answerFor(table, q, observe.ThisMachine())
			if err != nil {
				return err
			}
			if err := a.write(cmd.OutOrStdout(), os.Stderr, asJSON); err != nil {
				return err
			}
			if a.Refused != nil {
				return errRegression
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Model, "model", "", "the model, by its id in models.json")
	f.StringVar(&q.Precision, "precision", "", "the precision that is wanted (default: the best)")
	f.StringVar(&q.Provider, "provider", "", "the execution provider: cpu, or as the runtime says it, CPUExecutionProvider")
	f.StringVar(&q.Runtime, "runtime", "", "the runtime, as posetest runtime list names it: 1.22.1, openvino-1.24.1")
	f.StringVar(&q.Platform, "platform", "", "such as linux/amd64 (default: this machine's)")
	f.StringVar(&q.ISA, "isa", "", "class of the processor, for its speed: vnni, avx2, sse, arm64 (default: this machine's, on its platform)")
	f.StringVar(&q.Lacks, "lacks", "", "what the machine has not that the provider needs beyond the build: libraries, device (default: nothing)")
	f.StringVar(&file, "table", "", "ask this `file` of embed-table --json instead of golden/support.toml")
	f.BoolVar(&asJSON, "json", false, "write the choice, or the refusal, with all that is known of it, as JSON")
	for _, name := range []string{"model", "provider", "runtime"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	return cmd
}

// supportTable is that of a file, or without one the repository's own.
func supportTable(cfg posetest.Config, file string) (choose.Table, error) {
	if file == "" {
		return posetest.SupportTable(cfg)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return choose.Table{}, fmt.Errorf("--table: %w; name a file that `posetest embed-table --json` wrote", err)
	}
	table, err := choose.Parse(text)
	if err != nil {
		return choose.Table{}, fmt.Errorf("--table %s: %w", file, err)
	}
	return table, nil
}

// An answer is what a table says to a query: a choice, or why there is none.
type answer struct {
	Choice  *choose.Choice       `json:"choice,omitempty"`
	Refused *choose.RefusedError `json:"refused,omitempty"`
	// Elsewhere is the answer for the platforms whose builds bring the provider, where nobody named a platform and this
	// machine's build does not: who asks for CoreML on Linux wants to hear of the Mac.
	Elsewhere []answer `json:"elsewhere,omitempty"`
}

// answerFor asks for this machine where the query leaves that open. Its error says which word of the query is unknown.
func answerFor(table choose.Table, q choose.Query, here observe.Machine) (answer, error) {
	open := q.Platform == ""
	if open {
		q.Platform = here.Platform()
	}
	if q.ISA == "" && q.Platform == here.Platform() {
		q.ISA = here.ISA
	}
	a, err := ask(table, q)
	brought := table.Platforms(q.Runtime, q.Provider)
	if err != nil || a.Refused == nil || !open || slices.Contains(brought, q.Platform) {
		return a, err
	}
	for _, platform := range brought {
		q.Platform, q.ISA = platform, ""
		other, err := ask(table, q)
		if err != nil {
			return a, err
		}
		a.Elsewhere = append(a.Elsewhere, other)
	}
	return a, nil
}

func ask(table choose.Table, q choose.Query) (answer, error) {
	choice, err := table.Select(q)
	if err == nil {
		return answer{Choice: &choice}, nil
	}
	if refused, ok := errors.AsType[*choose.RefusedError](err); ok {
		return answer{Refused: refused}, nil
	}
	return answer{}, err
}

// write prints for a script, on out, the precision that may be used and nothing else, and for a person what is known; or
// all as JSON, with the refusal's sentence beside it.
func (a answer) write(out, person io.Writer, asJSON bool) error {
	var err error
	switch {
	case asJSON:
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(a)
	case a.Choice != nil:
		_, err = fmt.Fprintln(out, printable(a.Choice.Precision))
	}
	if err != nil || asJSON && a.Choice != nil {
		return err
	}
	fmt.Fprintln(person, "posetest:", printable(a.says()))
	for _, other := range a.Elsewhere {
		fmt.Fprintln(person, "posetest: where that runtime brings it:", printable(other.says()))
	}
	return nil
}

func (a answer) says() string {
	if a.Refused != nil {
		return a.Refused.Error()
	}
	return a.Choice.String()
}

func embedTableCommand(cfg *posetest.Config) *cobra.Command {
	var goFile, jsonFile, name string
	cmd := &cobra.Command{
		Use:   "embed-table",
		Short: "Write golden/support.toml as a Go file and as JSON, for an app to ship and to ask",
		Long: `The Go file has one variable, Table, of package choose, which imports the standard library alone: Table.Select says which
precision an app may use, or why not. The JSON file has the same for other languages, a row a line; docs/select.md says how it is read.
The same table gives the same bytes, so that git diff --exit-code after embed-table shows one that is out of date.`,
		Example: `  posetest embed-table --go internal/support/support.go
  posetest embed-table --go support.go --package main --models yolov8n-pose
  posetest embed-table --json support.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if goFile == "" && jsonFile == "" {
				return errors.New("embed-table: nothing to write; give --go FILE, --json FILE, or both")
			}
			table, err := posetest.SupportTable(*cfg)
			if err != nil {
				return err
			}
			if name == "" {
				name = "support"
			}
			source, err := posetest.SupportGo(table, name)
			if err != nil {
				return err
			}
			text, err := posetest.SupportJSON(table)
			if err != nil {
				return err
			}
			var files []whole.File
			for _, f := range []whole.File{{Path: goFile, Text: source}, {Path: jsonFile, Text: text}} {
				if f.Path != "" {
					files = append(files, f)
				}
			}
			if err := whole.WriteAll(files); err != nil {
				return fmt.Errorf("embed-table: %w; choose a folder that is there and can be written", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&goFile, "go", "", "the Go `file` to write")
	f.StringVar(&name, "package", "", "package of the Go file (default support)")
	f.StringVar(&jsonFile, "json", "", "the JSON `file` to write")
	f.StringSliceVar(&cfg.Models, "models", nil, "only these models")
	return cmd
}
