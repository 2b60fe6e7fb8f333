package confd

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// What follows looks at the text of a file and not at what a shell makes of it: to
// say where something stands, and whether a shell need be asked.

// Assignment is what looks like one.
type Assignment struct {
	Name  string
	Value string // empty where Known is false
	Known bool   // a literal value stands there
	Line  int    // counted from 1
}

var (
	commentLine = regexp.MustCompile(`(?m)^[ \t]*#.*$`)
	assigned    = regexp.MustCompile(`(?:^|[\s;&|({])(` + name + `)=`)
	headLiteral = regexp.MustCompile(`^=(` + literal + `)(?:[\s;&|)}]|$)`)
	nameAnyhow  = regexp.MustCompile(name)
	wordAnyhow  = regexp.MustCompile("[^\\s;&|(){}`]+")
)

// Assignments lists what looks like an assignment in the file at path, in order.
func Assignments(path string) []Assignment {
	var found []Assignment
	number := 0
	for line := range bytes.Lines(code(path)) {
		number++
		for _, at := range assigned.FindAllSubmatchIndex(line, -1) {
			a := Assignment{Name: string(line[at[2]:at[3]]), Line: number}
			if value := headLiteral.FindSubmatch(line[at[3]:]); value != nil {
				a.Value, a.Known = strings.Trim(string(value[1]), `'"`), true
			}
			found = append(found, a)
		}
	}
	return found
}

// Assigns reports whether what looks like an assignment to name is in the file at
// path.
func Assigns(path, name string) bool {
	return slices.ContainsFunc(Assignments(path), func(a Assignment) bool { return a.Name == name })
}

// HasWord reports whether the file at path has name as a word, in a line that is no
// comment.
func HasWord(path, name string) bool {
	return slices.ContainsFunc(nameAnyhow.FindAll(code(path), -1), func(word []byte) bool { return string(word) == name })
}

// Has reports whether the file at path has text in a line that is no comment.
func Has(path, text string) bool { return bytes.Contains(code(path), []byte(text)) }

// MayAssign reports whether a shell that reads the file at path, one that ReadFile
// refuses or an init script, may give one of names a value, or take it away: it does
// not unless the file has the name, reads another file, or works out what it assigns
// to. What it does by a command of another file's making is not seen. Of what is no
// text nobody knows.
func MayAssign(path string, names []string) bool {
	src := code(path)
	if bytes.IndexByte(src, 0) >= 0 {
		return true
	}
	for _, at := range nameAnyhow.FindAllIndex(src, -1) {
		expanded := at[0] > 0 && (src[at[0]-1] == '$' || src[at[0]-1] == '{' && !bytes.HasPrefix(bytes.TrimPrefix(src[at[1]:], []byte(":")), []byte("=")))
		if !expanded && slices.Contains(names, string(src[at[0]:at[1]])) {
			return true
		}
	}
	for line := range bytes.Lines(src) {
		assigns := false
		for _, word := range wordAnyhow.FindAll(line, -1) {
			name, _, _ := bytes.Cut(word, []byte("="))
			switch string(word) {
			case ".", "source", "eval", "-v": // printf -v
				return true
			case "declare", "export", "getopts", "let", "local", "mapfile", "read", "readarray", "readonly", "typeset", "unset":
				assigns = true
			default:
				if assigns && !bytes.ContainsAny(name[:1], "<>") && bytes.ContainsAny(name, "$\"'\\") {
					return true
				}
			}
		}
	}
	return false
}

// code is what the file at path has besides comments that fill a line, which are
// left empty.
func code(path string) []byte {
	src, err := Load(path)
	if err != nil {
		return nil
	}
	return commentLine.ReplaceAll(src, nil)
}
