package worker

import (
	"bufio"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// A Log is what a worker's standard error told.
type Log struct {
	Placement map[string]int // nodes by provider
	Errors    []string       // the runtime's warnings and errors, the first few
	Tail      []string       // the last lines, or those around the words of a crash or panic
	Signal    string         // that the Go runtime or libc reported before it ended the process, such as "SIGSEGV"
}

const (
	providers  = 16 // that placement is kept of: no session has more
	tailLines  = 8
	errorLines = 8
	lineLength = 400
	readLength = 4 << 10 // of a line, before anything looks at it
)

var (
	// "All nodes placed on […]" or "Node(s) placed on […]" of onnxruntime/core/framework/session_state.cc, at verbose
	// level. (Expressions that begin with plain text are fast on the lines that lack it, which is nearly all of them.)
	placed = regexp.MustCompile(`placed on \[(\w{1,64})\]\. Number of nodes: (\d{1,9})\b`)
	// The log's own prefix: time [level:category:logger, file:line function] message, from warnings on.
	entry = regexp.MustCompile(`\[([WEF]):onnxruntime:[^,\]]*, [^\]]*\] (.*)$`)
	// The Go runtime's first line of a fatal signal, of a panic, or of an error of its own; after it come all goroutines.
	fatal = regexp.MustCompile(`^(?:panic: |fatal error: |(?:\[signal )?(SIG(?:ABRT|BUS|FPE|ILL|QUIT|SEGV|SYS|TRAP)): )`)
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
			n, _ := strconv.Atoi(m[2]) // nine digits are a number
			if _, known := log.Placement[m[1]]; known || len(log.Placement) < providers {
				log.Placement[m[1]] += n
			}
		}
		if m := entry.FindStringSubmatch(line); m != nil && len(log.Errors) < errorLines {
			log.Errors = append(log.Errors, clip(m[1]+": "+m[2]))
		}
		if m := fatal.FindStringSubmatch(line); m != nil {
			if log.Signal == "" {
				log.Signal = m[1]
			}
			if after < 0 {
				after = 3
			}
		}
		if after == 0 {
			continue
		}
		after = max(after-1, -1)
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

// clip makes of a line what may be printed anywhere, and short.
func clip(s string) string {
	if len(s) > lineLength {
		s = strings.ToValidUTF8(s[:lineLength], "") + "…"
	}
	return printable(s)
}

// printable is text that may be printed anywhere: valid, without control characters.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
