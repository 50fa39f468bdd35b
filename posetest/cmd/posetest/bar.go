package main

import (
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"golang.org/x/term"
)

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct {
	writer  progress.Writer
	tracker *progress.Tracker
}

func newBar(total int, what string) bar {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return bar{}
	}
	b := bar{progress.NewWriter(), &progress.Tracker{Message: what, Total: int64(total)}}
	b.writer.SetOutputWriter(os.Stderr)
	b.writer.SetUpdateFrequency(200 * time.Millisecond)
	b.writer.Style().Visibility.ETA = true
	b.writer.Style().Options.TimeInProgressPrecision = time.Second
	b.writer.Style().Visibility.Value = true
	b.writer.AppendTracker(b.tracker)
	go b.writer.Render()
	return b
}

// step counts one thing done, and names it.
func (b bar) step(name string) {
	if b.writer != nil {
		b.tracker.UpdateMessage(name)
		b.tracker.Increment(1)
	}
}

func (b bar) stop() {
	if b.writer == nil {
		return
	}
	b.tracker.MarkAsDone()
	b.writer.Stop()
	for b.writer.IsRenderInProgress() {
		time.Sleep(10 * time.Millisecond)
	}
}
