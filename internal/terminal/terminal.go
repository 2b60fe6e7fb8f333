// Package terminal tells what the standard output of a command for people is.
package terminal

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Terminal is one that a file is open on; the zero value is none.
type Terminal struct {
	// Columns and Rows are its size in characters; 0 where it does not know.
	Columns, Rows int
	// Colour says that it may be used: NO_COLOR is not set, and TERM is a
	// terminal that knows escape sequences.
	Colour bool
}

// Of returns the terminal that file is open on; ok is false if it is open on
// anything else. COLUMNS and LINES in the environment, where they are numbers,
// stand in for the size.
func Of(file *os.File) (t Terminal, ok bool) {
	if _, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS); err != nil {
		return Terminal{}, false
	}
	if size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ); err == nil {
		t.Columns, t.Rows = int(size.Col), int(size.Row)
	}
	override(&t.Columns, "COLUMNS")
	override(&t.Rows, "LINES")
	t.Colour = os.Getenv("NO_COLOR") == "" && Escapes()
	return t, true
}

// Escapes reports whether TERM is a terminal that knows escape sequences.
func Escapes() bool {
	term := os.Getenv("TERM")
	return term != "" && term != "dumb"
}

func override(size *int, variable string) {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil && n > 0 {
		*size = n
	}
}
