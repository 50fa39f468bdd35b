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
	if err := closeNetwork(); err != nil {
		fmt.Fprintln(os.Stderr, "posetest worker: the network stays open to it:", err)
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
			if r.Close { // the end of the input is no longer the end of the parent, but soon after it this process must be gone, too
				io.Copy(io.Discard, in)
				time.Sleep(2 * grace)
				endSelf()
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
	if err := writeLine(out, reply{Protocol: protocolVersion}); err != nil { // hello
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

// served is what one worker holds.
type served struct {
	version   string
	path      string // of the runtime's library
	session   *session.Session
	inputs    []tensor.Info    // of the model
	pipelines [2]pose.Pipeline // one for the image that runs, one for the image that comes after
	image     *pose.Image      // the last one
	input     *tensor.Tensor   // of it
	ahead     *readied         // the image that comes after, if one was named

	stilled bool   // Go's runtime is quiet, since runs are timed
	live    uint64 // bytes of the heap after the last collection for that
}

// candidateConfidence is the score from which somebody below the confidence is told at all.
const candidateConfidence = 0.01

// readied is an image on its way to a tensor.
type readied struct {
	path     string
	pipeline int
	done     chan struct{}

	img   *pose.Image
	input tensor.Tensor
	err   error
}

func (s *served) answer(r request) (reply, error) {
	s.still(r.Time != nil)
	switch {
	case r.Library != "":
		return s.library(r.Library)
	case r.Open != nil:
		return s.open(*r.Open)
	case r.Infer != nil:
		return s.infer(*r.Infer)
	case r.Time != nil:
		return s.time(*r.Time)
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
	s.version, s.path = version, path
	return reply{Version: version, Took: time.Since(begin)}, nil
}

func (s *served) open(m Model) (reply, error) {
	if s.version == "" || s.session != nil {
		return reply{}, misuse("open comes once, after the library")
	}
	if m.Family != "" {
		family, err := pose.Lookup(m.Family)
		if err != nil {
			return reply{}, misuse(err.Error())
		}
		for i := range s.pipelines {
			if s.pipelines[i], err = family.NewPipeline(m.Inputs, m.Outputs); err != nil {
				return reply{}, misuse(err.Error())
			}
		}
	}
	opened, took, err := session.Open(session.Options{Model: m.Path, Provider: m.Provider, ProviderOptions: m.ProviderOptions,
		Plugin: m.Plugin, Library: s.path, Threads: m.Threads, Inputs: m.Inputs, Outputs: m.Outputs, Tuning: m.Tuning})
	if err != nil {
		return reply{}, err
	}
	s.session, s.inputs = opened, m.Inputs
	return reply{Took: took}, nil
}

func (s *served) infer(r Inference) (reply, error) {
	if s.session == nil || s.pipelines[0] == nil {
		return reply{}, misuse("infer comes after open, of a model with a family")
	}
	image := s.ahead
	if image == nil || image.path != r.Image {
		image = s.ready(r.Image, 0)
	}
	<-image.done
	s.ahead = nil
	if r.Next != "" {
		s.ahead = s.ready(r.Next, 1-image.pipeline)
	}
	if image.err != nil {
		return reply{}, image.err
	}
	s.image, s.input = image.img, &image.input
	outputs, took, err := s.session.Run(image.input)
	if err != nil {
		return reply{}, err
	}
	photo := observe.Photo{Width: image.img.Width, Height: image.img.Height, Infer: took}
	pipeline := s.pipelines[image.pipeline]
	if photo.Persons, err = pipeline.Decode(outputs, r.Options); err != nil {
		photo.Error = err.Error()
	} else if len(photo.Persons) == 0 {
		if below, err := pipeline.Decode(outputs, pose.Options{Confidence: candidateConfidence, Max: 1}); err == nil && len(below) > 0 {
			photo.Candidate = &below[0]
		}
	}
	return reply{Photo: &photo}, nil
}

// ready reads an image and makes its tensor in a pipeline of its own, beside whatever else goes on.
func (s *served) ready(path string, pipeline int) *readied {
	if s.ahead != nil {
		<-s.ahead.done // it was named and is not wanted after all
	}
	r := &readied{path: path, pipeline: pipeline, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		if r.img, r.err = pose.ReadImage(path); r.err == nil {
			r.input, r.err = s.pipelines[pipeline].Preprocess(r.img)
		}
	}()
	return r
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
		return &Refusal{Library, observe.Failure{Message: oneLine(library.Error())}}
	case errors.As(err, &unavailable):
		return &Refusal{Unavailable, observe.Failure{Message: oneLine(unavailable.Message)}}
	case errors.As(err, &load):
		f := observe.Failure{Message: oneLine(load.Message)}
		if load.Missing != nil {
			f.Op, f.Opset, f.Node = oneLine(load.Missing.Op), load.Missing.Opset, printable(load.Missing.Node)
		}
		return &Refusal{Load, f}
	}
	return &Refusal{Run, observe.Failure{Message: oneLine(err.Error())}}
}

// oneLine makes of a message, of several lines maybe and with whatever names a model has, what fits a table and a row.
func oneLine(s string) string {
	if len(s) > messageLength {
		s = s[:messageLength] + "…"
	}
	return strings.Join(strings.Fields(printable(s)), " ")
}

const messageLength = 16 << 10 // bytes; no message that tells something has a tenth of that
