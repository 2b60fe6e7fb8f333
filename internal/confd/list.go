package confd

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// Assignment is one of those that a file makes.
type Assignment struct {
	Name  string
	Value string // empty where the variable is not one of those asked for
	Line  int    // counted from 1
}

// List is ReadFile for who wants to know where the values stand: it returns all
// assignments of the file, in order, and the values of those to names.
func List(path string, names []string) ([]Assignment, error) {
	src, err := Load(path)
	if err != nil {
		return nil, err
	}
	found, err := list(src, names)
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		syntax.Path = path
	}
	return found, err
}

func list(src []byte, names []string) ([]Assignment, error) {
	if _, err := Parse(src, names); err != nil {
		return nil, err
	}
	g := gate{src: src, line: 1, names: names}
	_ = g.file() // Parse has seen that it passes
	return g.all, nil
}

// Head reads of a file what can be known of it although only a shell can read
// it as a whole, an init script for instance: the assignments to names before
// the first statement that only a shell can read. A name that the rest of the
// file or a function mentions, if only to read another file that may assign it,
// is left out.
func Head(path string, names []string) ([]Assignment, error) {
	src, err := Load(path)
	if err != nil {
		return nil, err
	}
	return head(src, names)
}

func head(src []byte, names []string) ([]Assignment, error) {
	g := gate{src: src, line: 1, names: names}
	_ = g.file()
	found, err := list(src[:g.begin], names)
	if err != nil {
		return nil, err
	}
	// What a function does, it may do before somebody looks.
	rest := withoutComments(bytes.Join(append(g.bodies, src[g.begin:]), []byte("\n")))
	if readsMore(rest) {
		return nil, nil
	}
	var certain []Assignment
	for _, a := range found {
		for _, name := range names {
			if a.Name == name && !mentions(rest, name) {
				certain = append(certain, a)
			}
		}
	}
	return certain, nil
}

// Mentions reports whether the file at path has name as a word, other than to
// expand it and in comments that fill a line.
func Mentions(path, name string) bool {
	src, err := Load(path)
	return err == nil && mentions(withoutComments(src), name)
}

// MayAssign reports whether a shell that reads the file at path may give name a
// value, or take it away, where the file is one that ReadFile refuses: it does
// not unless the file has the name, reads another one, or works out what it
// assigns to. What it does by a command of another file's making is not seen.
// Of what is no text nobody knows.
func MayAssign(path, name string) bool {
	src, err := Load(path)
	return err != nil || mayAssign(withoutComments(src), name)
}

func mayAssign(src []byte, name string) bool {
	return bytes.IndexByte(src, 0) >= 0 || mentions(src, name) || readsMore(src) || worksOut(src)
}

// Unreached are the assignments to names, on lines that are nothing else, that
// stand in a file below a return, and the line of that. They do not count.
func Unreached(path string, names []string) (found []Assignment, line int) {
	src, err := Load(path)
	if err != nil {
		return nil, 0
	}
	g := gate{src: src, line: 1, names: names}
	if g.file() != nil || !g.ended {
		return nil, 0
	}
	for _, a := range candidates(src, "", names) {
		if a.Line >= g.line && slices.Contains(names, a.Name) {
			found = append(found, a)
		}
	}
	return found, g.line - 1
}

// Candidates are the assignments to names, and to other names that begin like
// prefix, that stand in a file on a line that is nothing else. They count or
// not: it is for a file that ReadFile refuses.
func Candidates(path, prefix string, names []string) []Assignment {
	src, err := Load(path)
	if err != nil {
		return nil
	}
	return candidates(src, prefix, names)
}

func candidates(src []byte, prefix string, names []string) []Assignment {
	var found []Assignment
	number := 0
	for line := range bytes.Lines(src) {
		number++
		g := gate{src: bytes.TrimSpace(line), line: number, names: names}
		if g.file() != nil {
			continue
		}
		for _, a := range g.all {
			if prefix != "" && strings.HasPrefix(a.Name, prefix) || slices.Contains(names, a.Name) {
				found = append(found, a)
			}
		}
	}
	return found
}

// Has reports whether the file at path has text in a line that is no comment.
func Has(path, text string) bool {
	src, err := Load(path)
	return err == nil && bytes.Contains(withoutComments(src), []byte(text))
}

// Assigns reports whether the file at path has name with an equals sign after
// it, outside of comments that fill a line. It may be in a place where it does
// nothing, and there are other ways to give a variable a value.
func Assigns(path, name string) bool {
	src, err := Load(path)
	return err == nil && assigns(withoutComments(src), name)
}

func assigns(src []byte, name string) bool {
	for at := 0; ; {
		i := bytes.Index(src[at:], []byte(name+"="))
		if i < 0 {
			return false
		}
		if at += i; at == 0 || !isNamePart(src[at-1]) {
			return true
		}
		at += len(name)
	}
}

// withoutComments drops the lines of src that are comments.
func withoutComments(src []byte) []byte {
	var rest []byte
	for line := range bytes.Lines(src) {
		if !bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("#")) {
			rest = append(rest, line...)
		}
	}
	return rest
}

// readsMore reports whether src may have a command after which the variables
// can be anything. In a function it may never be run; who knows.
func readsMore(src []byte) bool {
	for _, word := range fields(src) {
		switch word {
		case ".", "source", "eval":
			return true
		}
	}
	return false
}

// worksOut reports whether src may have a command that assigns to a variable
// whose name is not written there.
func worksOut(src []byte) bool {
	for line := range bytes.Lines(src) {
		assigns := false
		for _, word := range fields(line) {
			switch word {
			case "declare", "export", "getopts", "let", "local", "mapfile", "read", "readarray", "readonly", "typeset", "unset":
				assigns = true
				continue
			}
			name, _, _ := strings.Cut(word, "=")
			if assigns && strings.ContainsAny(name, "$\"'\\") || word == "-v" {
				return true
			}
		}
	}
	return false
}

// fields are the words of src, more or less.
func fields(src []byte) []string {
	return strings.FieldsFunc(string(src), func(c rune) bool { return strings.ContainsRune(" \t\n;&|(){}`", c) })
}

// mentions reports whether src has name as a word in any way but to expand it.
func mentions(src []byte, name string) bool {
	for at := 0; ; {
		i := bytes.Index(src[at:], []byte(name))
		if i < 0 {
			return false
		}
		before, after := src[:at+i], src[at+i+len(name):]
		at += i + len(name)
		var previous byte
		if len(before) > 0 {
			previous = before[len(before)-1]
		}
		switch {
		case isNamePart(previous) || len(after) > 0 && isNamePart(after[0]):
		case previous == '$':
		case previous == '{' && !bytes.HasPrefix(after, []byte("=")) && !bytes.HasPrefix(after, []byte(":=")):
		default:
			return true
		}
	}
}

func isNamePart(c byte) bool { return isLetter(int(c)) || isDigit(int(c)) || c == '_' }
