package preflight

import (
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/serviceconf"
)

// edit is the remedy of another value for a setting that is in a file.
func (s *serviceCheck) edit(name, value string) finding.Remedy {
	where := s.from[name]
	if name == "netns" && s.byDefault {
		name = serviceconf.DefaultSetting
	}
	return finding.Write(edit(where, func(line string) string { return assign(line, name, value) }))
}

// remove is the edit that takes the setting called name out of a line.
func remove(where finding.Where, name string) finding.Edit {
	return edit(where, func(line string) string { return without(line, name) })
}

// edit is what change makes of a line.
func edit(where finding.Where, change func(string) string) finding.Edit {
	return finding.Edit{Path: where.Path, Line: where.Line, Text: change(lineOf(where.Path, where.Line))}
}

// assign gives, in a line that confd can read, the variable called name another
// value, and leaves the rest of the line.
func assign(line, name, value string) string {
	switch {
	case strings.ContainsAny(value, "\"$`\\"):
		value = "'" + value + "'"
	case strings.ContainsAny(value, " \t'&;|<>()#*?[~"):
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
	text, err := files.Read(file)
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
