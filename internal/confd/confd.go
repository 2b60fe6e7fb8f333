// Package confd reads settings from an OpenRC conf.d file without running a
// shell, where that is possible.
//
// A conf.d file is a piece of shell script: OpenRC reads it with `. FILE`. What
// most of them hold is comments and lines like NAME=value, which nobody needs a
// shell for. So the rule is: the values that this package returns are those that
// /bin/sh (dash, bash in POSIX mode or busybox ash) has after reading the file, or
// the file is refused, and only a shell can tell (see package ask).
//
// A pattern lets those files pass that no shell can read in two ways;
// github.com/joho/godotenv then turns the assignments that are wanted into values.
// godotenv alone would not do: it reads `key: value`, takes `${x:-y}` apart wrongly
// and folds line ends, all without a word.
//
// Taken for granted is a shell in the state in which OpenRC reads conf.d: no
// nounset, no variable of interest that is read-only or an integer, and a
// locale in which the bytes of ASCII characters stand for nothing else, as in
// UTF-8, ISO 8859 and EUC.
package confd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/joho/godotenv"

	"openrc-netns/internal/files"
)

// MaxSize is the size in bytes above which ReadFile refuses a file.
const MaxSize = 1 << 20

// ShellError says that only a shell can tell what a file sets.
type ShellError struct {
	Path string // of the file; empty if Parse was given the text alone
	Line int    // the first that is not plain, counted from 1
}

func (e *ShellError) Error() string {
	return fmt.Sprintf("%q, line %d: only a shell can read this", e.Path, e.Line)
}

// ReadFile is Parse for the file at path.
//
// Where there is no such file, the error satisfies errors.Is(err,
// fs.ErrNotExist). A directory, a FIFO, a device or anything else that is not a
// regular file is refused, as is a file of more than MaxSize bytes. ReadFile
// never blocks on a FIFO.
func ReadFile(path string, names []string) (map[string]string, error) {
	src, err := Load(path)
	if err != nil {
		return nil, err
	}
	values, err := Parse(src, names)
	var shell *ShellError
	if errors.As(err, &shell) {
		shell.Path = path
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

// The grammar of plain files (POSIX XCU 2.2, 2.3 and 2.6 have the full one). A
// statement is a line, or more where quotes run over several. A blank is a space or
// a tab, nothing else. Control characters are marks of its own to bash. Values that
// nobody asks for may hold expansions, which change no variable and run nothing.
const (
	name      = `[A-Za-z_][A-Za-z0-9_]*`
	plain     = `[A-Za-z0-9_+.,/:@%=-]` // stands for itself, to the shells and to godotenv
	others    = `\x{80}-\x{10ffff}`
	expansion = `\$(?:` + name + `|\{` + name + `(?:(?::?[-+]|##?|%%?)(?:[*?]|` + plain + `)*)?\})`
	single    = `'[\t\n -&(-~` + others + `]*'`
	double    = `"(?:[\t\n !#%-\[\]-_a-~` + others + `]|\\[\n -~]|` + expansion + `)*\$?"` // a dollar sign at the end stands for itself
	argument  = `(?:` + plain + `|\\[ -~]|` + single + `|` + double + `)*`
	word      = `(?:[*?!^~{}\[\]]|` + expansion + `|` + argument + `)*`
	literal   = `(?:` + plain + `*|'[\t -&(-\[\]-~` + others + `]*'|"[\t !#%-\[\]-_a-~` + others + `]*")`
)

var (
	statement  = regexp.MustCompile(`^[ \t]*(?:(export[ \t]+)?(` + name + `)(=` + word + `)?(?:[ \t]+#[^\n]*|[ \t]*)|#[^\n]*)?(?:\n|$)`)
	exportable = regexp.MustCompile(`^(?:=` + argument + `)?$`)
	readable   = regexp.MustCompile(`^=` + literal + `$`)
)

// Parse returns the values that src, the text of a conf.d file, assigns to
// those variables whose names are in names. Of several assignments to one
// variable the last counts. A variable that src does not assign is not in the
// map; one that it assigns nothing (`netns=`) is there with an empty value.
//
// The error is a *ShellError if src holds anything whose outcome only a shell
// can tell.
func Parse(src []byte, names []string) (map[string]string, error) {
	// Shells disagree about these, in comments too.
	if bytes.ContainsAny(src, "\x00\r") || bytes.HasPrefix(src, []byte("\ufeff")) {
		return nil, &ShellError{Line: 1}
	}
	var sources strings.Builder
	want := map[string]string{}
	for line := 1; len(src) > 0; {
		found := statement.FindSubmatch(src)
		if found == nil {
			return nil, &ShellError{Line: line}
		}
		export, name, value := len(found[1]) > 0, string(found[2]), found[3]
		switch {
		case name == "":
		case isSpecial(name), !utf8.Valid(value), !export && len(value) == 0, export && !exportable.Match(value):
			return nil, &ShellError{Line: line}
		case len(value) == 0 || !slices.Contains(names, name):
		case !readable.Match(value):
			return nil, &ShellError{Line: line}
		default:
			want[name] = strings.Trim(string(value[1:]), `'"`)
			fmt.Fprintf(&sources, "%s%s\n", name, value)
		}
		line += bytes.Count(found[0], []byte("\n"))
		src = src[len(found[0]):]
	}
	values, err := godotenv.Unmarshal(sources.String())
	if err != nil {
		return nil, fmt.Errorf("read plain assignments: %w", err)
	}
	// The pattern lets pass only what both read alike. Should they ever differ,
	// neither is to be believed.
	if !maps.Equal(values, want) {
		return nil, fmt.Errorf("read plain assignments: %q can be read in two ways", want)
	}
	return values, nil
}

// isSpecial reports whether an assignment to name does more than to give it a
// value, in one of the shells.
func isSpecial(name string) bool {
	switch name {
	case "BASHOPTS", "EUID", "PPID", "SHELLOPTS", "UID": // bash(1): read-only, the shell exits
		return true
	case "OPTIND": // dash(1), ash: the shell exits unless it is a number
		return true
	case "BASHPID", "EPOCHREALTIME", "EPOCHSECONDS", "HISTCMD", "LINENO", "RANDOM", "SECONDS", "SRANDOM":
		return true // bash: an integer, so the value is an expression; RANDOM="netns=5" assigns netns
	case "DIRSTACK", "FUNCNAME", "GROUPS": // bash: an array that the shell keeps
		return true
	case "IFS", "LANG": // what words are, and characters: in some charsets the second byte of one is a backslash or a brace
		return true
	}
	return strings.HasPrefix(name, "BASH_") || strings.HasPrefix(name, "LC_")
}
