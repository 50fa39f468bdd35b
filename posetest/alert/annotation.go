package alert

import (
	"fmt"
	"strings"
)

// An Annotation is an error or a warning that GitHub shows at a line of a file, or without a file at the job.
type Annotation struct {
	File    string // "" for none
	Line    int    // from 1 on; 0 for none
	Title   string
	Message string
}

// Escapes as github.com/actions/runner reads them (ActionCommand.cs): in a message the sign of an escape and what ends a
// line, in a property also what ends a property and what ends them all.
var (
	message  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// What an annotation can be, as the runner knows it.
const (
	errorLevel   = "error"
	warningLevel = "warning"
)

// String is the annotation as the line that GitHub reads an error from.
func (a Annotation) String() string { return a.at(errorLevel) }

// at is the annotation as the line that GitHub reads it from: ::error file=…,line=…,title=…::message. A property that is
// empty is left out, since the runner drops its name with it.
func (a Annotation) at(level string) string {
	var properties []string
	add := func(name, value string) {
		if value != "" {
			properties = append(properties, name+"="+property.Replace(value))
		}
	}
	add("file", a.File)
	if a.Line > 0 && a.File != "" {
		add("line", fmt.Sprint(a.Line))
	}
	add("title", a.Title)
	head := level
	if len(properties) > 0 {
		head += " " + strings.Join(properties, ",")
	}
	return "::" + head + "::" + message.Replace(a.Message)
}

// where is the annotation's place in words.
func (a Annotation) where() string {
	switch {
	case a.File == "":
		return "no file"
	case a.Line == 0:
		return a.File
	}
	return fmt.Sprintf("%s:%d", a.File, a.Line)
}
