package worker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/tensor"
)

// env marks a process as a worker.
const env = "POSETEST_WORKER"

// ServeIfAsked turns this process into a worker if a parent started it as one, and then never returns. Call it before
// anything else in main or TestMain.
func ServeIfAsked() {
	if os.Getenv(env) == "" {
		return
	}
	requests := make(chan request)
	go func() {
		in := bufio.NewReaderSize(os.Stdin, 1<<16)
		for {
			var r request
			if err := readLine(in, &r); err != nil {
				// The parent is gone or broken. This process may hang in a provider and have children by now.
				if !errors.Is(err, io.EOF) {
					fmt.Fprintln(os.Stderr, "posetest worker:", err)
				}
				endSelf()
			}
			requests <- r
			if r.Close {
				return // the end of the input is no longer the end of the parent
			}
		}
	}()
	if err := serve(requests, repliesFile()); err != nil {
		fmt.Fprintln(os.Stderr, "posetest worker:", err)
		os.Exit(3)
	}
	os.Exit(0)
}

// serve answers requests until it is asked to close.
func serve(requests <-chan request, out io.Writer) error {
	var s served
	if err := writeLine(out, reply{}); err != nil { // hello
		return err
	}
	for r := range requests {
		answer, err := s.answer(r)
		if err != nil {
			answer = reply{Refusal: refusal(err)}
		}
		if err := writeLine(out, answer); err != nil {
			return err
		}
		if r.Close {
			return nil
		}
	}
	return io.ErrUnexpectedEOF
}

// served is what one worker holds: at most one of each.
type served struct {
	version  string
	session  *session.Session
	pipeline pose.Pipeline
	input    *tensor.Tensor // of the last image
}

func (s *served) answer(r request) (reply, error) {
	switch {
	case r.Library != "":
		return s.library(r.Library)
	case r.Open != nil:
		return s.open(*r.Open)
	case r.Infer != "":
		return s.infer(r.Infer)
	case r.Time > 0:
		return s.time(r.Time)
	case r.Close && s.session != nil:
		return reply{}, s.session.Close()
	}
	return reply{}, nil
}

func (s *served) library(path string) (reply, error) {
	if s.version != "" {
		return reply{}, misuse("the library comes once")
	}
	begin := time.Now()
	version, err := session.OpenLibrary(path)
	if err != nil {
		return reply{}, err
	}
	s.version = version
	return reply{Version: version, Took: time.Since(begin)}, nil
}

func (s *served) open(m Model) (reply, error) {
	if s.version == "" || s.session != nil {
		return reply{}, misuse("open comes once, after the library")
	}
	family, err := pose.Lookup(m.Family)
	if err != nil {
		return reply{}, misuse(err.Error())
	}
	if s.pipeline, err = family.NewPipeline(m.Inputs, m.Outputs); err != nil {
		return reply{}, misuse(err.Error())
	}
	opened, took, err := session.Open(session.Options{Model: m.Path, Provider: m.Provider, ProviderOptions: m.ProviderOptions,
		Threads: m.Threads, Inputs: m.Inputs, Outputs: m.Outputs})
	if err != nil {
		return reply{}, err
	}
	s.session = opened
	return reply{Took: took}, nil
}

func (s *served) infer(path string) (reply, error) {
	if s.session == nil {
		return reply{}, misuse("infer comes after open")
	}
	img, err := pose.ReadImage(path)
	if err != nil {
		return reply{}, err
	}
	input, err := s.pipeline.Preprocess(img)
	if err != nil {
		return reply{}, err
	}
	s.input = &input
	outputs, took, err := s.session.Run(input)
	if err != nil {
		return reply{}, err
	}
	photo := observe.Photo{Width: img.Width, Height: img.Height, Infer: took}
	if photo.Persons, err = s.pipeline.Decode(outputs, pose.Options{}); err != nil {
		photo.Error = err.Error()
	}
	return reply{Photo: &photo}, nil
}

func (s *served) time(n int) (reply, error) {
	if s.input == nil {
		return reply{}, misuse("time comes after infer")
	}
	runs := make([]time.Duration, n)
	for i := range runs {
		var err error
		if _, runs[i], err = s.session.Run(*s.input); err != nil {
			return reply{}, err
		}
	}
	return reply{Runs: runs}, nil
}

func misuse(message string) error {
	return &Refusal{Kind: Misuse, Failure: observe.Failure{Message: message}}
}

// refusal puts an error into what travels.
func refusal(err error) *Refusal {
	var (
		misused     *Refusal
		library     *session.LibraryError
		unavailable *session.UnavailableError
		load        *session.LoadError
	)
	switch {
	case errors.As(err, &misused):
		return misused
	case errors.As(err, &library):
		return &Refusal{Library, observe.Failure{Message: library.Error()}}
	case errors.As(err, &unavailable):
		return &Refusal{Unavailable, observe.Failure{Message: oneLine(unavailable.Message)}}
	case errors.As(err, &load):
		f := observe.Failure{Message: oneLine(load.Message)}
		if load.Missing != nil {
			f.Op, f.Opset, f.Node = load.Missing.Op, load.Missing.Opset, load.Missing.Node
		}
		return &Refusal{Load, f}
	}
	return &Refusal{Run, observe.Failure{Message: oneLine(err.Error())}}
}

// oneLine keeps a message of several lines, such as a provider's, fit for a table and a row.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
