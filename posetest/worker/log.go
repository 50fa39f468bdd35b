package worker

import (
	"bufio"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// A Log is what a worker's standard error told.
type Log struct {
	Placement map[string]int // nodes by provider
	Errors    []string       // the runtime's warnings and errors, the first few
	Tail      []string       // the last lines, or those around the words of a crash
	Signal    string         // that the Go runtime or libc reported before it ended the process, such as "SIGSEGV"
}

const (
	tailLines  = 8
	errorLines = 8
	lineLength = 400
	readLength = 4 << 10 // of a line, before anything looks at it
)

var (
	// onnxruntime/core/session/inference_session.cc and framework/session_state.cc, at verbose level.
	placed = regexp.MustCompile(`(?:All nodes|Node\(s\)) placed on \[(\w+)\]\. Number of nodes: (\d+)`)
	// The log's own prefix: time [level:category:logger, file:line function] message.
	entry = regexp.MustCompile(`\[([VIWEF]):onnxruntime:[^,\]]*, [^\]]*\] (.*)$`)
	// The Go runtime's first line of a fatal signal.
	fatal = regexp.MustCompile(`^(?:\[signal )?(SIG[A-Z]+): `)
	color = regexp.MustCompile("\x1b\\[[0-9;]*m")
)

// readLog reads until the other side closes. It holds a bounded part of any flood.
func readLog(r io.Reader) Log {
	log := Log{Placement: map[string]int{}}
	lines := bufio.NewReaderSize(r, readLength)
	after := -1 // lines still wanted behind the words of a crash
	for {
		line, err := readClipped(lines)
		if err != nil {
			return log
		}
		line = color.ReplaceAllString(strings.TrimRight(line, "\r\n"), "")
		if line == "" {
			continue
		}
		if m := placed.FindStringSubmatch(line); m != nil {
			if n, err := strconv.Atoi(m[2]); err == nil {
				log.Placement[m[1]] += n
			}
		}
		if m := entry.FindStringSubmatch(line); m != nil && strings.Contains("WEF", m[1]) && len(log.Errors) < errorLines {
			log.Errors = append(log.Errors, clip(m[1]+": "+m[2]))
		}
		if m := fatal.FindStringSubmatch(line); m != nil && log.Signal == "" {
			log.Signal, after = m[1], 3
		}
		if after == 0 {
			continue
		}
		after--
		log.Tail = append(log.Tail, clip(line))
		if len(log.Tail) > tailLines {
			log.Tail = log.Tail[1:]
		}
	}
}

// readClipped reads a line and drops what is beyond the buffer.
func readClipped(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	text := string(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	if err != nil && text == "" {
		return "", err
	}
	return text, nil
}

func clip(s string) string {
	if len(s) <= lineLength {
		return s
	}
	return strings.ToValidUTF8(s[:lineLength], "") + "…"
}
