package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/posetest/suite/posetest"
	"github.com/posetest/suite/posetest/diagnose"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/report"
	"github.com/posetest/suite/posetest/tensor"
	"github.com/spf13/cobra"
)

func diagnoseCommand(cfg *posetest.Config) *cobra.Command {
	var platform, family string
	var asJSON, run bool
	cmd := &cobra.Command{
		Use:   "diagnose model.onnx",
		Short: "Say from a model's file alone where it will fail, fall back, be slow or wrong, why, and what to run instead",
		Long: `Reads the graph, without any runtime: what the file says of itself, how it was quantized, and what each execution
provider of each ONNX Runtime will make of it, and why. With --run it is tried on the runtimes of this machine, and what
was observed stands beside what was predicted; exit code 1 tells that they differ.

Families for --family: ` + strings.Join(pose.Families(), ", ") + ".",
		Example: `  posetest diagnose yolov8n-pose-int8.onnx
  posetest diagnose yolov8n-pose-int8.onnx --platform darwin/arm64
  posetest diagnose yolov8n-pose-int8.onnx --run --runtimes all
  posetest diagnose yolov8n-pose-int8.onnx --json | jq .model.quantization`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := posetest.Diagnose(args[0], platform)
			if err != nil {
				return err
			}
			if run {
				if err := d.Run(cmd.Context(), *cfg, family, os.Stderr); err != nil {
					return err
				}
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(d)
			} else {
				err = writeDiagnosis(cmd.OutOrStdout(), d, styleOf(os.Stdout))
			}
			if err == nil && slices.ContainsFunc(d.Cells, func(c posetest.Diagnosed) bool { return c.Differs != "" }) {
				return errRegression
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&platform, "platform", "", "predict for this platform, such as darwin/arm64 (default: this machine's)")
	f.BoolVar(&asJSON, "json", false, "write JSON, for machines")
	f.BoolVar(&run, "run", false, "try it on the runtimes here, and compare")
	f.StringVar(&family, "family", "", "its family, for --run (default: found out from its inputs and outputs)")
	f.StringVar(&cfg.Runtimes, "runtimes", "", `runtimes for --run, or "all" (default $POSETEST_RUNTIMES, or the default set)`)
	f.StringSliceVar(&cfg.Providers, "providers", nil, "only these execution providers, for --run")
	cmd.MarkFlagsMutuallyExclusive("platform", "run")
	return cmd
}

// maxListed is how many operators are listed.
const maxListed = 10

// writeDiagnosis writes a diagnosis for a person: what the file says, then the cells that fare alike together, worst first,
// then what to run instead.
func writeDiagnosis(w io.Writer, d posetest.Diagnosis, style report.Style) error {
	p := page{w: w, style: style}
	m := d.Model
	p.line("%s", printable(d.File))
	p.field("format", "%s", format(m))
	p.field("inputs", "%s", infos(m.Inputs))
	p.field("outputs", "%s", infos(m.Outputs))
	p.field("parameters", "%s", thousands(m.Parameters))
	p.field("operators", "%d: %s", m.Nodes, list(m.Operators))
	p.field("quantized", "%s", m.Quantization)
	p.line("\non %s, predicted from the file alone:", d.Platform)
	for _, like := range alike(d.Cells) {
		p.outcome(like)
	}
	if absent := absent(d.Cells); len(absent) > 0 {
		p.field("in no build", "%s", strings.Join(absent, ", "))
	}
	if len(d.Advice) > 0 {
		p.line("\ninstead:")
	}
	for _, a := range d.Advice {
		p.indented(2, a)
	}
	p.observed(d.Cells)
	return p.err
}

// A page writes lines and remembers the first error.
type page struct {
	w     io.Writer
	style report.Style
	err   error
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// column is where the second one begins.
const column = 14

func (p *page) field(name, format string, args ...any) {
	lines := strings.Split(p.wrap(column, fmt.Sprintf(format, args...)), "\n")
	p.line("  %-*s%s", column-2, name, lines[0])
	for _, l := range lines[1:] {
		p.line("%*s%s", column, "", l)
	}
}

func (p *page) indented(by int, s string) {
	for l := range strings.SplitSeq(p.wrap(by, s), "\n") {
		p.line("%*s%s", by, "", l)
	}
}

// wrap breaks text between words where a terminal ends.
func (p *page) wrap(by int, s string) string {
	s = printable(s)
	if p.style.Width <= by+20 {
		return s
	}
	return text.WrapSoft(s, p.style.Width-by)
}

// printable keeps the control characters that names in a file may hold from the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return ' '
		}
		return r
	}, s)
}

var colors = map[expect.Class]text.Color{expect.ClassLoads: text.FgGreen, expect.ClassFallsBack: text.FgYellow, expect.ClassWrong: text.FgRed,
	expect.ClassFails: text.FgRed, expect.ClassCrashes: text.FgRed, diagnose.Unknown: text.FgYellow}

// outcome writes cells that fare alike.
func (p *page) outcome(cells []posetest.Diagnosed) {
	c := cells[0]
	name := fmt.Sprintf("%-*s", column-2, string(c.Class))
	if color, ok := colors[c.Class]; ok && p.style.Color {
		name = color.Sprint(name)
	}
	lines := strings.Split(p.wrap(column, where(cells)), "\n")
	p.line("  %s%s", name, lines[0])
	for _, l := range lines[1:] {
		p.line("%*s%s", column, "", l)
	}
	if c.Message != "" {
		p.indented(column, "in these words: "+c.Message)
	}
	if c.Slow != "" {
		p.indented(column, "slow: "+c.Slow)
	}
	for _, why := range c.Why {
		see := ""
		if why.See != "" {
			see = " (" + why.See + ")"
		}
		p.indented(column, why.Text+see)
	}
}

// observed compares with what ran.
func (p *page) observed(cells []posetest.Diagnosed) {
	ran, right := 0, 0
	for _, c := range cells {
		if c.Observed != "" {
			ran++
		}
		if c.Observed != "" && c.Differs == "" && c.Class != diagnose.Unknown {
			right++
		}
	}
	if ran == 0 {
		return
	}
	p.line("\nobserved: as predicted in %d of %d cells that ran", right, ran)
	for _, c := range cells {
		cell := c.Provider + "@" + c.ORT
		switch {
		case c.Observed == "":
		case c.Differs != "":
			p.indented(2, cell+": "+c.Differs)
		case c.Class == diagnose.Unknown:
			p.indented(2, strings.TrimSpace(fmt.Sprintf("%s: predicted nothing, observed %s %s", cell, c.Observed, c.Words)))
		default:
			p.indented(2, fmt.Sprintf("%s: %s", cell, c.Observed))
		}
	}
}

// alike groups the cells by what is predicted of them, in the order of the worst; those whose provider is not in the build
// are left out.
func alike(cells []posetest.Diagnosed) [][]posetest.Diagnosed {
	var groups [][]posetest.Diagnosed
	at := map[string]int{}
	for _, c := range cells {
		if c.Class == expect.ClassUnavailable {
			continue
		}
		key := fmt.Sprint(c.Class, c.Message, c.Slow, c.Parts, texts(c.Why))
		i, known := at[key]
		if !known {
			i = len(groups)
			at[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], c)
	}
	order := []expect.Class{expect.ClassCrashes, expect.ClassHangs, expect.ClassFails, expect.ClassWrong, diagnose.Unknown, expect.ClassFallsBack, expect.ClassLoads}
	slices.SortStableFunc(groups, func(a, b []posetest.Diagnosed) int {
		return slices.Index(order, a[0].Class) - slices.Index(order, b[0].Class)
	})
	return groups
}

func texts(why []diagnose.Reason) (all []string) {
	for _, w := range why {
		all = append(all, w.Text)
	}
	return all
}

// where names cells: cpu@1.22.1, 1.23.2; openvino@openvino-1.22.0.
func where(cells []posetest.Diagnosed) string {
	var b strings.Builder
	for i, c := range cells {
		switch {
		case i > 0 && cells[i-1].Provider == c.Provider:
			b.WriteString(", " + c.ORT)
			continue
		case i > 0:
			b.WriteString("; ")
		}
		b.WriteString(c.Provider + "@" + c.ORT)
	}
	return b.String()
}

// absent are the providers that no build brings.
func absent(cells []posetest.Diagnosed) []string {
	brought := map[string]bool{}
	var all []string
	for _, c := range cells {
		brought[c.Provider] = brought[c.Provider] || c.Class != expect.ClassUnavailable
		all = append(all, c.Provider)
	}
	return slices.DeleteFunc(slices.Compact(all), func(provider string) bool { return brought[provider] })
}

func format(m diagnose.Model) string {
	s := fmt.Sprintf("IR %d, opset %d", m.IR, m.Opsets["ai.onnx"])
	var others []string
	for domain, version := range m.Opsets {
		if domain != "ai.onnx" {
			others = append(others, fmt.Sprintf(", %s %d", domain, version))
		}
	}
	slices.Sort(others)
	s += strings.Join(others, "")
	if m.Producer != "" {
		s += ", by " + m.Producer
	}
	return s
}

func infos(all []tensor.Info) string {
	var words []string
	for _, info := range all {
		words = append(words, info.String())
	}
	return strings.Join(words, ", ")
}

func list(counts []diagnose.Count) string {
	var words []string
	for i, c := range counts {
		if i == maxListed {
			words = append(words, fmt.Sprintf("and %d other kinds", len(counts)-maxListed))
			break
		}
		words = append(words, fmt.Sprintf("%d %s", c.N, c.What))
	}
	return strings.Join(words, ", ")
}

// thousands writes 3340869 as 3,340,869.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
