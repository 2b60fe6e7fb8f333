// Package confd reads settings from an OpenRC conf.d file without running a
// shell.
//
// A conf.d file is a piece of shell script: OpenRC reads it with `. FILE`.
// Commands that must not run code from it, or cannot, still have to see what a
// service will see. So the rule is: the values that this package returns are
// those that /bin/sh (dash, bash in POSIX mode or busybox ash) has after
// reading the file, or the file is refused. There is nothing in between.
//
// Two readers take part. A gate of our own walks the whole file and lets only
// assignments pass that no shell can read in two ways (see gate);
// github.com/joho/godotenv then turns those that are wanted into values.
// godotenv alone would not do: it reads `key: value`, takes `${x:-y}` apart
// wrongly and folds line ends, all without a word.
//
// Taken for granted is a shell in the state in which OpenRC reads conf.d: no
// nounset, no variable of interest that is read-only or an integer, and a
// locale in which the bytes of ASCII characters stand for nothing else, as in
// UTF-8, ISO 8859 and EUC.
package confd

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/joho/godotenv"

	"openrc-netns/internal/files"
)

// MaxSize is the size in bytes above which ReadFile refuses a file.
const MaxSize = 1 << 20

// SyntaxError says why a file was refused, and where.
type SyntaxError struct {
	Path    string // of the file; empty if Parse was given the text alone
	Line    int    // counted from 1; where several lines belong together, that of the first
	Problem string // what is wrong, as in `"netns" takes its value from a variable`
	Remedy  string // how to put it right, as in `write the value itself`
}

// Error gives all of it on one line: the path, the line, the problem, the
// remedy.
func (e *SyntaxError) Error() string {
	var at string
	if e.Path != "" {
		at = e.Path + ": "
	}
	return at + "line " + strconv.Itoa(e.Line) + ": " + e.Problem + "; " + e.Remedy
}

// ReadFile is Parse for the file at path.
//
// Where there is no such file, the error satisfies errors.Is(err,
// fs.ErrNotExist). A directory, a FIFO, a device or anything else that is not a
// regular file is refused, as is a file of more than MaxSize bytes. ReadFile
// never blocks on a FIFO. A file that cannot be read statically gives a
// *SyntaxError that carries path.
func ReadFile(path string, names []string) (map[string]string, error) {
	src, err := Load(path)
	if err != nil {
		return nil, err
	}
	values, err := Parse(src, names)
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		syntax.Path = path
	}
	return values, err
}

// Load returns what is in the regular file at path, as ReadFile sees it.
func Load(path string) ([]byte, error) {
	f, err := files.OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(src) > MaxSize {
		return nil, fmt.Errorf("%q is larger than %d bytes: too large for a file of settings or an init script", path, MaxSize)
	}
	return src, nil
}

// Parse returns the values that src, the text of a conf.d file, assigns to
// those variables whose names are in names. Of several assignments to one
// variable the last counts. A variable that src does not assign is not in the
// map; one that it assigns nothing (`netns=`) is there with an empty value.
//
// The error is a *SyntaxError if src holds anything whose outcome only a shell
// can tell.
func Parse(src []byte, names []string) (map[string]string, error) {
	g := gate{src: src, line: 1, names: names}
	if err := g.file(); err != nil {
		return nil, err
	}

	var plain strings.Builder
	for _, a := range g.found {
		plain.WriteString(a.source)
		plain.WriteByte('\n')
	}
	values, err := godotenv.Unmarshal(plain.String())
	if err != nil {
		return nil, fmt.Errorf("read plain assignments: %w", err)
	}

	// The gate lets pass only what both read alike. Should they ever differ,
	// neither is to be believed.
	last := make(map[string]assignment)
	for _, a := range g.found {
		last[a.name] = a
	}
	for name, a := range last {
		if value, ok := values[name]; !ok || value != a.value {
			return nil, &SyntaxError{
				Line:    a.line,
				Problem: strconv.Quote(name) + " can be read in two ways",
				Remedy:  exampleRemedy,
			}
		}
	}
	if len(values) != len(last) {
		return nil, errors.New("read plain assignments: a variable that the file does not assign turned up")
	}
	return values, nil
}
