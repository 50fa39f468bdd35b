package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/session"
	"github.com/posetest/suite/posetest/tensor"
)

// protocolVersion tells binaries of different commits apart: count it up when a request or reply changes its meaning. The
// first said none.
const protocolVersion = 2

// maxLine bounds a request or reply: 300 persons of 17 keypoints are some 300 kB.
const maxLine = 8 << 20

// A request asks for one thing: the field that is set.
type request struct {
	Library string     `json:"library,omitempty"` // open this runtime
	Open    *Model     `json:"open,omitempty"`
	Infer   *Inference `json:"infer,omitempty"`
	Time    *Timing    `json:"time,omitempty"`
	Ping    bool       `json:"ping,omitempty"`
	Close   bool       `json:"close,omitempty"`
}

func (r request) name() string {
	switch {
	case r.Library != "":
		return "library"
	case r.Open != nil:
		return "open"
	case r.Infer != nil:
		return "infer"
	case r.Time != nil:
		return "time"
	case r.Close:
		return "close"
	}
	return "ping"
}

// A Model says what to open and how.
type Model struct {
	Path            string            `json:"path"`
	Family          string            `json:"family"`   // "" only opens the model, and can't infer
	Provider        string            `json:"provider"` // ID of one of [session.Variants]
	ProviderOptions map[string]string `json:"provider_options,omitempty"`
	Plugin          string            `json:"plugin,omitempty"` // path of the library that brings the provider
	Threads         int               `json:"threads"`
	Inputs          []tensor.Info     `json:"inputs"`
	Outputs         []tensor.Info     `json:"outputs"`
	Tuning          session.Tuning    `json:"tuning"`
}

// An Inference says which image to run, and how to read the result.
type Inference struct {
	Image   string       `json:"image"`          // path
	Next    string       `json:"next,omitempty"` // path of the image that comes after, to make ready while this one runs
	Options pose.Options `json:"options"`
}

// A reply answers one request. The first comes unasked, and says the version of the protocol.
type reply struct {
	Protocol int `json:"protocol,omitempty"`

	Refusal *Refusal       `json:"refusal,omitempty"`
	Version string         `json:"version,omitempty"`
	Took    time.Duration  `json:"took_ns,omitempty"`
	Photo   *observe.Photo `json:"photo,omitempty"`
	Runs    []Sample       `json:"runs,omitempty"`
}

// A Kind tells who refused.
type Kind string

const (
	Library     Kind = "library"     // the file can't serve as the runtime
	Unavailable Kind = "unavailable" // the provider is not in this build, or can't start here
	Load        Kind = "load"        // the runtime refused the model
	Run         Kind = "run"         // the runtime, the image or the decoder refused an inference
	Misuse      Kind = "misuse"      // the request made no sense
)

// A Refusal is an error that the worker survived.
type Refusal struct {
	Kind Kind `json:"kind"`
	observe.Failure
}

func (r *Refusal) Error() string { return r.Message }

func writeLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// readLine reads one value. io.EOF means that the other side ended between lines.
func readLine(r *bufio.Reader, v any) error {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			if err := json.Unmarshal(line, v); err != nil {
				return fmt.Errorf("a line of the worker's protocol is no JSON: %w: %.80q", err, line)
			}
			return nil
		case len(line) > maxLine:
			return fmt.Errorf("a line of the worker's protocol is over %d bytes", maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return fmt.Errorf("a line of the worker's protocol was cut: %w", io.ErrUnexpectedEOF)
		}
		return err
	}
}
