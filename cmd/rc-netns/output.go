package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// What status and check have in common: how they print, for people and for
// programs.

// The exit statuses of status and check, other than 0.
const (
	exitProblem = 1
	exitError   = 125 // they failed
)

// conclude ends a command: it says what went wrong, and returns the exit
// status.
func conclude(command string, problem bool, err error) int {
	if errors.Is(err, pflag.ErrHelp) {
		problem, err = false, write(usage)
	}
	switch {
	case err != nil:
		if command != "" {
			command += ": "
		}
		complain(command, err)
		return exitError
	case problem:
		return exitProblem
	}
	return 0
}

// complain prints an error, which may have several lines.
func complain(command string, err error) {
	lines := cleaned(strings.Split(err.Error(), "\n"))
	fmt.Fprintf(os.Stderr, "rc-netns: %s%s\n", command, strings.Join(lines, "\n"))
}

// SGR parameters (ECMA-48).
const (
	sgrBold   = "1"
	sgrFaint  = "2"
	sgrRed    = "31"
	sgrGreen  = "32"
	sgrYellow = "33"
)

// paint colours text, if that is wanted.
func paint(text, colour string, wanted bool) string {
	if !wanted || colour == "" || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// clean takes out what a terminal would act on: a process may call itself
// anything.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// words are those of a text, cleaned.
func words(text string) []string { return cleaned(strings.Fields(text)) }

func cleaned(texts []string) []string {
	result := make([]string, len(texts))
	for i, text := range texts {
		result[i] = clean(text)
	}
	return result
}

// wrap puts words into lines for a width in characters; 0 means as wide as it
// gets. The first line begins in column first, the others in column rest,
// counted from 0: what comes before is the caller's to print. A word that is
// too long for a line has one of its own.
func wrap(words []string, width, first, rest int) []string {
	var lines []string
	line, column := "", first
	for _, word := range words {
		length := utf8.RuneCountInString(word)
		switch {
		case line == "":
		case width > 0 && column+1+length > width:
			lines = append(lines, line)
			line, column = "", rest
		default:
			line += " "
			column++
		}
		line += word
		column += length
	}
	return append(lines, line)
}

// encode is the JSON of what --json prints.
func encode(value any) (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // commands with < and > in them
	encoder.SetIndent("", "  ")
	err := encoder.Encode(value)
	return escaped(text.String()), err
}

// escaped has JSON without a character that a terminal would obey: those that
// JSON allows in a string and that cannot be printed.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// write prints text, and reports what scripts would miss: a full disk, a closed
// pipe.
func write(text string) error {
	if _, err := os.Stdout.WriteString(text); err != nil {
		return fmt.Errorf("write to standard output: %w", errors.Unwrap(err))
	}
	return nil
}
