package script

import "strings"

// Expand puts values in place of variables, as a shell would in an assignment.
// lookup knows the values; unknown is the first of what it does not know, or of
// what only a shell can expand, and text then means nothing. A variable that
// has no value is one whose value is known to be empty.
func (w Word) Expand(lookup func(name string) (string, bool)) (text, unknown string) {
	e := expander{text: w.Raw, lookup: lookup}
	for e.pos < len(e.text) && e.unknown == "" {
		e.character(false)
	}
	return e.out.String(), e.unknown
}

type expander struct {
	text    string
	pos     int
	lookup  func(string) (string, bool)
	out     strings.Builder
	unknown string
}

// character takes in one, or what is quoted or expanded.
func (e *expander) character(quoted bool) {
	c := e.text[e.pos]
	switch {
	case c == '"' && !quoted:
		for e.pos++; e.pos < len(e.text) && e.text[e.pos] != '"' && e.unknown == ""; {
			e.character(true)
		}
		e.pos++
	case c == '\'' && !quoted:
		end := strings.IndexByte(e.text[e.pos+1:], '\'')
		if end < 0 {
			e.unknown = e.text[e.pos:]
			return
		}
		e.out.WriteString(e.text[e.pos+1 : e.pos+1+end])
		e.pos += end + 2
	case c == '\\' && e.pos+1 < len(e.text):
		next := e.text[e.pos+1]
		if quoted && strings.IndexByte("$`\"\\\n", next) < 0 {
			e.out.WriteByte('\\')
		}
		if next != '\n' {
			e.out.WriteByte(next)
		}
		e.pos += 2
	case c == '$':
		e.variable()
	case c == '`':
		e.refuse()
	case !quoted && (c == '*' || c == '?' || c == '[' || c == '~' && e.pos == 0):
		e.unknown = e.text[e.pos:]
	default:
		e.out.WriteByte(c)
		e.pos++
	}
}

// refuse has only a shell know what begins here: a command, say, or $1.
func (e *expander) refuse() {
	p := parser{src: []byte(e.text), pos: e.pos, out: &Script{}}
	if p.piece() != nil {
		e.unknown = e.text[e.pos:]
		return
	}
	if p.pos == e.pos+1 && p.pos < len(e.text) {
		p.pos++
	}
	e.unknown = e.text[e.pos:p.pos]
}

// variable takes in $NAME, or ${NAME} with one of the operators below.
func (e *expander) variable() {
	rest := e.text[e.pos+1:]
	name := leadingName(rest)
	if name != "" {
		e.put("$"+name, name, "")
		e.pos += 1 + len(name)
		return
	}
	end := closingBrace(rest)
	if end < 0 {
		e.refuse()
		return
	}
	whole, inner := e.text[e.pos:e.pos+end+2], rest[1:end]
	name = leadingName(inner)
	operator := strings.TrimPrefix(inner, name)
	if name == "" {
		e.unknown = whole
		return
	}
	e.put(whole, name, operator)
	e.pos += len(whole)
}

func (e *expander) put(whole, name, operator string) {
	value, known := e.apply(name, operator)
	if !known {
		e.unknown = whole
	}
	e.out.WriteString(value)
}

// apply is ${NAME operator}.
func (e *expander) apply(name, operator string) (string, bool) {
	value, known := e.lookup(name)
	if operator == "" || !known {
		return value, known
	}
	colon := operator[0] == ':'
	kind, word := operator[0], operator[1:]
	if colon {
		if word == "" {
			return "", false
		}
		kind, word = word[0], word[1:]
	}
	expand := func() (string, bool) {
		text, unknown := Word{Raw: word}.Expand(e.lookup)
		return text, unknown == ""
	}
	switch {
	case kind == '-' || kind == '=':
		if value != "" {
			return value, true
		}
		return expand()
	case kind == '+':
		if value == "" {
			return "", true
		}
		return expand()
	case colon:
		return "", false
	}
	// Of patterns, those that take the name of a service apart.
	switch operator {
	case "#*.":
		if _, after, found := strings.Cut(value, "."); found {
			value = after
		}
	case "##*.":
		value = value[strings.LastIndexByte(value, '.')+1:]
	case "%.*":
		if i := strings.LastIndexByte(value, '.'); i >= 0 {
			value = value[:i]
		}
	case "%%.*":
		value, _, _ = strings.Cut(value, ".")
	case "##*/":
		value = value[strings.LastIndexByte(value, '/')+1:]
	default:
		return "", false
	}
	return value, true
}

// closingBrace is where the brace ends that text begins with; -1 where it does
// not begin with one, or that has no end.
func closingBrace(text string) int {
	if text == "" || text[0] != '{' {
		return -1
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// leadingName is the NAME (POSIX XBD 3.216) that a text begins with.
func leadingName(text string) string {
	i := 0
	for i < len(text) && isNamePart(text[i]) && (i > 0 || text[i] < '0' || text[i] > '9') {
		i++
	}
	return text[:i]
}
