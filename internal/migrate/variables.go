package migrate

import (
	"strings"

	"openrc-netns/internal/script"
)

// assigned is a value that a variable is given.
type assigned struct {
	file     *file
	value    script.Word
	certain  bool // the file gives it whenever it is read
	fallback bool // only if it has none
}

// remember takes note of what a command assigns.
func (s *service) remember(f *file, c script.Command) {
	certain := !c.Conditional && !c.Nested && c.Function == ""
	add := func(name string, a assigned) { s.variables[name] = append(s.variables[name], a) }
	words, keyword := skipKeyword(c.Words)
	if len(words) == 0 {
		return
	}
	_, _, assigns := words[len(words)-1].Assignment()
	switch {
	case words[0].Raw == ":":
		for _, w := range words[1:] {
			text := strings.TrimPrefix(strings.Trim(w.Raw, `"`), "${")
			name, _, found := strings.Cut(text, "=")
			if found && text != strings.Trim(w.Raw, `"`) {
				add(strings.TrimSuffix(name, ":"), assigned{f, w, certain, true})
			}
		}
	case words[0].Raw == "for", words[0].Raw == "select", words[0].Raw == "read", words[0].Raw == "unset":
		for _, w := range words[1:] {
			add(w.Raw, assigned{file: f})
		}
	case keyword == "" && !assigns: // those before a command are for that
	default:
		for _, w := range words {
			name, value, ok := w.Assignment()
			if !ok { // a local one that has no value
				add(w.Raw, assigned{file: f})
				continue
			}
			text := strings.Trim(value.Raw, `"`)
			fallback := strings.HasPrefix(text, "${"+name+":-") || strings.HasPrefix(text, "${"+name+"-")
			add(name, assigned{f, value, certain, fallback})
		}
	}
}

// lookup is the value that a variable has when the functions of the script run.
func (s *service) lookup(name string) (string, bool) { return s.valueOf(name, 0) }

func (s *service) valueOf(name string, depth int) (string, bool) {
	const deepest = 8
	if name == "RC_SVCNAME" || name == "SVCNAME" {
		return s.Name, true
	}
	list := s.variables[name]
	if len(list) == 0 || depth > deepest {
		return "", false
	}
	value, set, scripts := "", false, 0
	for _, a := range list {
		if !a.certain || !a.file.conf && !a.fallback && scripts > 0 {
			return "", false
		}
		if !a.file.conf && !a.fallback {
			scripts++
		}
		text, unknown := a.value.Expand(func(other string) (string, bool) {
			if other == name {
				return value, true
			}
			return s.valueOf(other, depth+1)
		})
		if unknown != "" {
			return "", false
		}
		value, set = text, true
	}
	return value, set
}

// assignment looks at one.
func (s *service) assignment(f *file, name string, value script.Word) {
	if strings.HasPrefix(name, "description") || name == "name" {
		return // for people
	}
	fields, ok := value.Fields()
	if !ok {
		if mayEnter(value.Raw) {
			s.remark(InText, f, value.Line)
		}
		return
	}
	e, ok := s.split(fields)
	if !ok {
		s.entries(f, fields, "")
		return
	}
	line := fields[0].Line
	if name != "command_args" {
		s.remark(TwoVariables, f, line)
		return
	}
	quote := ""
	if value.Raw[0] == '"' || value.Raw[0] == '\'' {
		quote = value.Raw[:1]
	}
	s.pairs = append(s.pairs, pairing{located{f, line, name}, value.Start - len(name) - 1, quote, fields, e})
}

// split finds what would be an entry with an ip before it.
func (s *service) split(words []script.Word) (e entry, found bool) {
	if len(words) == 0 || strings.HasPrefix(words[0].Raw, "-") {
		return entry{}, false
	}
	if e, found = afterIP(words, 0); !found {
		return e, false
	}
	if more, again := s.enters(words, e.end); again {
		e.odd = e.odd || more.odd || more.netns != nil
		e.end, e.vrf = more.end, more.vrf
	}
	return e, true
}

// pair is for command=ip with the rest of it in command_args.
func (s *service) pair(p pairing) {
	var commands []assigned
	for _, a := range s.variables["command"] {
		if a.value.Raw != "" && s.program(a.value) == "ip" {
			commands = append(commands, a)
		}
	}
	e := p.entry
	switch {
	case len(commands) != 1:
		s.remark(TwoVariables, p.file, p.line)
		return
	case e.end >= len(p.words):
		s.remark(Unusual, p.file, p.line)
		return
	}
	word := p.words[e.end].Raw
	plain := strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./") == ""
	if !plain {
		word = p.quote + word + p.quote
	}
	c := commands[0]
	instead := cut{c.value.Start, c.value.End, word}
	file := c.file
	if !plain && (file != p.file && file.conf || file == p.file && c.value.Start < p.start) {
		// A variable in it may have no value there yet.
		file, instead = p.file, cut{p.start, p.start, "command=" + word + " "}
	}
	before := len(s.uses)
	s.use(p.file, p.words, 0, e, remove(p.words, 0, e.end+1))
	if len(s.uses) > before {
		file.cuts = append(file.cuts, instead)
	}
}
