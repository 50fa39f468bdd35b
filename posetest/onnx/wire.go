package onnx

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode"

	"google.golang.org/protobuf/encoding/protowire"
)

// A source is a stream that is not read where it is skipped, if it can seek.
type source struct {
	*bufio.Reader
	seeker io.Seeker // nil if it cannot
	under  io.Reader
}

const bufferSize = 1 << 16

func newSource(r io.Reader) *source {
	s := &source{Reader: bufio.NewReaderSize(r, bufferSize), under: r}
	s.seeker, _ = r.(io.Seeker)
	return s
}

// skip passes over n bytes, and reads the last of them, so that a file that is shorter than its size said is found out.
func (s *source) skip(n int64) error {
	if behind := n - 1 - int64(s.Buffered()); s.seeker != nil && behind > bufferSize {
		if _, err := s.seeker.Seek(behind, io.SeekCurrent); err != nil {
			return err
		}
		s.Reset(s.under)
		n = 1
	}
	_, err := s.Discard(int(n))
	return unexpected(err)
}

// A message is a part of the stream that holds one protobuf message.
type message struct {
	r    *source
	left int64
}

// each calls f with every field: value for one that has a length, which f may leave unread, and number for a varint.
func (m *message) each(f func(field protowire.Number, value *message, number uint64) error) error {
	for m.left > 0 {
		tag, err := m.varint()
		if err != nil {
			return err
		}
		field, kind := protowire.DecodeTag(tag)
		if field < 1 {
			return errors.New("field number 0")
		}
		switch kind {
		case protowire.VarintType:
			n, err := m.varint()
			if err != nil {
				return err
			}
			if err := f(field, &message{r: m.r}, n); err != nil {
				return err
			}
		case protowire.BytesType:
			n, err := m.varint()
			if err != nil {
				return err
			}
			if n > uint64(m.left) {
				// Look into the part that is there, so that a cut file is told from garbage.
				if err := f(field, &message{m.r, m.left}, 0); err != nil {
					return err
				}
				return io.ErrUnexpectedEOF
			}
			value := &message{m.r, int64(n)}
			if err := f(field, value, 0); err != nil {
				return err
			}
			if err := value.skip(value.left); err != nil {
				return err
			}
			m.left -= int64(n)
		case protowire.Fixed32Type:
			err = m.skip(4)
		case protowire.Fixed64Type:
			err = m.skip(8)
		default:
			err = fmt.Errorf("wire type %d", kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *message) varint() (uint64, error) {
	b, err := m.r.Peek(int(min(m.left, 10)))
	v, n := protowire.ConsumeVarint(b)
	if n < 0 {
		if err != nil && err != io.EOF {
			return 0, err
		}
		return 0, protowire.ParseError(n)
	}
	return v, m.skip(int64(n))
}

func (m *message) skip(n int64) error {
	if n > m.left {
		return io.ErrUnexpectedEOF
	}
	m.left -= n
	return m.r.skip(n)
}

func (m *message) bytes() ([]byte, error) {
	if m.left > maxField {
		return nil, fmt.Errorf("a name of %d bytes", m.left)
	}
	b := make([]byte, m.left)
	m.left = 0
	_, err := io.ReadFull(m.r, b)
	return b, unexpected(err)
}

var errControl = errors.New("with a control character, which no exporter writes and a terminal would obey; export it again")

// text is a name, or something else that a person may get to see.
func (m *message) text() (string, error) {
	b, err := m.bytes()
	if err == nil && bytes.ContainsFunc(b, unicode.IsControl) {
		err = fmt.Errorf("it has the name %.80q %w", b, errControl)
	}
	return string(b), err
}

// unexpected is err, an end of the file as the one that nothing expects.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// varints calls f with each number of a packed field.
func (m *message) varints(f func(uint64) error) error {
	for m.left > 0 {
		v, err := m.varint()
		if err != nil {
			return err
		}
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}
