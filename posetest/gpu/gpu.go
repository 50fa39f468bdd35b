// Package gpu tells the state of NVIDIA's graphics processors, as the tool that comes with their driver does.
//
//	all, err := gpu.Query(ctx)
//	mine, ok := gpu.Visible(all, os.Environ(), 0) // what CUDA calls device 0
//
// It opens no library: what a tool tells can't crash who asks.
package gpu

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/child"
	"github.com/posetest/suite/posetest/observe"
)

// A GPU is a graphics processor and where it is.
type GPU struct {
	Index int    // in the order of the bus, as CUDA counts with CUDA_DEVICE_ORDER=PCI_BUS_ID
	UUID  string // "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
	observe.GPU
}

// fields are what nvidia-smi is asked for, in this order.
var fields = []string{"index", "uuid", "name", "driver_version", "memory.total", "pstate", "clocks.sm", "clocks.max.sm", "clocks.mem",
	"power.draw", "power.limit", "temperature.gpu"}

// tool is the program that comes with the driver.
const tool = "nvidia-smi"

// patience is what the tool has to answer, which takes it a second or two: beside a driver that hangs it hangs, too.
const patience = 10 * time.Second

// Query asks nvidia-smi for all GPUs of the machine. The error says what it said, if it could not tell, that it did not answer, or that
// it is not there.
func Query(ctx context.Context) ([]GPU, error) { return query(ctx, patience) }

func query(ctx context.Context, patience time.Duration) ([]GPU, error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(limited, tool, "--query-gpu="+strings.Join(fields, ","), "--format=csv,noheader,nounits")
	defer child.Tie(cmd)()
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case limited.Err() != nil:
		return nil, fmt.Errorf("%s did not answer within %v; look whether the driver hangs", tool, patience)
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s is not on the PATH, so no NVIDIA driver is known of: %w", tool, err)
	case err != nil: // it speaks on standard output
		return nil, fmt.Errorf("%s: %s (%w)", tool, strings.Join(strings.Fields(string(out)), " "), err)
	}
	return Parse(string(out))
}

// Parse reads what nvidia-smi prints for Query: a line for each GPU. What a GPU does not tell, which stands in brackets, is 0.
func Parse(out string) ([]GPU, error) {
	var all []GPU
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		words := strings.Split(line, ", ")
		if len(words) != len(fields) {
			return nil, fmt.Errorf("%s: a line has %d fields, want %d: %.200q", tool, len(words), len(fields), line)
		}
		g, err := parse(words)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tool, err)
		}
		all = append(all, g)
	}
	return all, nil
}

func parse(words []string) (GPU, error) {
	var errs []error
	number := func(i int) float64 {
		n, err := measured(words[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", fields[i], err))
		}
		return n
	}
	g := GPU{Index: int(number(0)), UUID: words[1], GPU: observe.GPU{
		Name: words[2], Driver: words[3], Memory: int64(number(4)) << 20, PState: words[5],
		Clock: int(number(6)), MaxClock: int(number(7)), MemoryClock: int(number(8)),
		Power: number(9), PowerLimit: number(10), Temperature: int(number(11))}}
	return g, errors.Join(errs...)
}

// most is more than any GPU's clock in MHz, power in watts or memory in MiB.
const most = 1 << 30

func measured(word string) (float64, error) {
	if strings.HasPrefix(word, "[") || word == "N/A" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(word, 64)
	if err != nil || math.IsNaN(n) || n < 0 || n > most {
		return 0, fmt.Errorf("%.40q is no measure", word)
	}
	return n, nil
}

// Visible is the GPU that CUDA calls device in a process with that environment: CUDA_VISIBLE_DEVICES hides GPUs, and puts the others in
// its order, by number or by the beginning of a UUID; what comes behind a word that names none is hidden, too.
func Visible(all []GPU, environ []string, device int) (GPU, bool) {
	visible := slices.Clone(all)
	for _, variable := range environ {
		if list, ok := strings.CutPrefix(variable, "CUDA_VISIBLE_DEVICES="); ok {
			visible = listed(all, list)
		}
	}
	if device < 0 || device >= len(visible) {
		return GPU{}, false
	}
	return visible[device], true
}

func listed(all []GPU, list string) []GPU {
	var visible []GPU
	for word := range strings.SplitSeq(list, ",") {
		word = strings.TrimSpace(word)
		n, err := strconv.Atoi(word)
		i := slices.IndexFunc(all, func(g GPU) bool {
			return err == nil && g.Index == n || err != nil && word != "" && strings.HasPrefix(g.UUID, word)
		})
		if i < 0 {
			break
		}
		visible = append(visible, all[i])
	}
	return visible
}
