package preflight

import (
	"os"
	"strings"

	"openrc-netns/internal/confd"
)

// rename is the remedy for a name with a mistake in it: the same line with
// another name.
func (s *subject) rename(file string, a confd.Assignment, known string) Remedy {
	text := strings.Replace(lineOf(file, a.Line), a.Name+"=", known+"=", 1)
	return write("write "+known, Edit{file, a.Line, text})
}

// edit is the remedy of another value for a setting that is in a file.
func (s *subject) edit(text, name, value string) Remedy {
	where := s.from[name]
	return write(text, Edit{where.Path, where.Line, assign(lineOf(where.Path, where.Line), name, value)})
}

// assign gives, in a line that confd can read, the variable called name another
// value, and leaves the rest of the line.
func assign(line, name, value string) string {
	if strings.ContainsAny(value, " \t") {
		value = `"` + value + `"`
	}
	assignment := name + "=" + value
	start := strings.LastIndex(" "+line, " "+name+"=")
	if start < 0 {
		if start = strings.LastIndex(line, "\t"+name+"=") + 1; start == 0 {
			return assignment
		}
	}
	rest := line[start+len(name)+1:]
	length := strings.IndexAny(rest+" ", " \t")
	if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		length = strings.IndexByte(rest[1:], rest[0]) + 2
	}
	return line[:start] + assignment + rest[length:]
}

// lineOf is the line of that number, counted from 1.
func lineOf(file string, number int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if number--; number == 0 {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return ""
}

// without takes an assignment out of a line that confd can read.
func without(line, name string) string {
	emptied := assign(line, name, "")
	line = strings.TrimSpace(strings.Replace(" "+emptied+" ", " "+name+"= ", " ", 1))
	if line == "export" {
		return "" // alone it prints all variables
	}
	return line
}
