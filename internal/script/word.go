package script

import "strings"

// Word is a word of a command, or a part of one, as it stands in the script.
type Word struct {
	Raw        string // with quotes
	Start, End int    // the place of Raw in the source, in bytes
	Line       int    // where it begins, from 1
}

// word reads one, with the commands that are in it. It ends before a closing
// backquote.
func (p *parser) word(closing byte) (Word, error) {
	start, line := p.pos, p.line
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		if c == ' ' || c == '\t' || c == '\n' || strings.IndexByte(";&|()<>", c) >= 0 || c == '`' && closing == '`' {
			break
		}
		if err := p.piece(); err != nil {
			return Word{}, err
		}
	}
	if p.pos == start {
		return Word{}, p.fail(string(rune(p.src[start])) + " where a word should be")
	}
	return Word{string(p.src[start:p.pos]), start, p.pos, line}, nil
}

// piece passes over one character of a word, or what is quoted or expanded.
func (p *parser) piece() error {
	switch p.peek() {
	case '\'':
		return p.until('\'', "quotes have no end")
	case '"':
		return p.doubleQuotes()
	case '\\':
		p.pos++
		p.any()
	case '$':
		return p.expansion()
	case '`':
		p.pos++
		return p.nest('`')
	default:
		p.any()
	}
	return nil
}

// any passes over one byte.
func (p *parser) any() {
	if p.peek() == '\n' {
		p.newline()
	} else if p.pos < len(p.src) {
		p.pos++
	}
}

// until passes over the character at hand and everything up to another one.
func (p *parser) until(end byte, problem string) error {
	line := p.line
	for p.pos++; p.pos < len(p.src) && p.src[p.pos] != end; {
		p.any()
	}
	if p.pos == len(p.src) {
		p.line = line
		return p.fail(problem)
	}
	p.pos++
	return nil
}

func (p *parser) doubleQuotes() error {
	line := p.line
	for p.pos++; p.pos < len(p.src); {
		var err error
		switch p.src[p.pos] {
		case '"':
			p.pos++
			return nil
		case '\\', '$', '`':
			err = p.piece()
		default:
			p.any()
		}
		if err != nil {
			return err
		}
	}
	p.line = line
	return p.fail("quotes have no end")
}

// expansion passes over what begins with a dollar sign.
func (p *parser) expansion() error {
	p.pos++
	switch p.peek() {
	case '(':
		p.pos++
		if p.peek() == '(' {
			return p.arithmetic()
		}
		return p.nest(')')
	case '{':
		return p.braced()
	}
	return nil // the name is plain characters
}

// arithmetic passes over $((...)), at its second parenthesis.
func (p *parser) arithmetic() error {
	line := p.line
	for depth := 1; p.pos < len(p.src); {
		switch p.src[p.pos] {
		case '(':
			depth++
			p.pos++
		case ')':
			p.pos++
			if depth--; depth == 0 {
				return nil
			}
		case '$', '`', '\\':
			if err := p.piece(); err != nil {
				return err
			}
		default:
			p.any()
		}
	}
	p.line = line
	return p.fail(`"$((" has no end`)
}

// braced passes over ${...}, at the brace.
func (p *parser) braced() error {
	if p.nested++; p.nested > maxDepth {
		return p.fail("too many expansions in each other")
	}
	defer func() { p.nested-- }()
	line := p.line
	for p.pos++; p.pos < len(p.src); {
		var err error
		switch c := p.src[p.pos]; c {
		case '}':
			p.pos++
			return nil
		case '"', '\\', '$', '`':
			err = p.piece()
		case '\'':
			// In double quotes it stands for itself; outside, init scripts have
			// no brace in it.
			p.any()
		default:
			p.any()
		}
		if err != nil {
			return err
		}
	}
	p.line = line
	return p.fail(`"${" has no end`)
}

// Literal is what a shell makes of the word; ok is false if it would have to
// expand something.
func (w Word) Literal() (text string, ok bool) {
	text, unknown := w.Expand(func(string) (string, bool) { return "", false })
	return text, unknown == ""
}

// Assignment takes NAME=VALUE apart.
func (w Word) Assignment() (name string, value Word, ok bool) {
	name, rest, found := strings.Cut(w.Raw, "=")
	if !found || !isName(name) {
		return "", Word{}, false
	}
	return name, Word{rest, w.Start + len(name) + 1, w.End, w.Line}, true
}

// Fields are the words that a shell would make of the value of the word, if it
// expanded that without quotes: those between one pair of quotes, or the word
// itself. ok is false for a word that is quoted in part.
func (w Word) Fields() (fields []Word, ok bool) {
	text, start := w.Raw, w.Start
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		inner := parser{src: []byte(text), line: w.Line, out: &Script{}}
		if inner.piece() != nil || inner.pos != n {
			return nil, false
		}
		text, start = text[1:n-1], start+1
	} else if strings.ContainsAny(text, "'\"") {
		return nil, false
	} else {
		return []Word{w}, true
	}
	p := parser{src: []byte(text), line: w.Line, out: &Script{}}
	for {
		for p.pos < len(p.src) && strings.IndexByte(" \t\n", p.src[p.pos]) >= 0 || p.peek() == '\\' && p.at(1) == '\n' {
			if p.peek() == '\\' {
				p.pos++
			}
			p.any()
		}
		if p.pos == len(p.src) {
			return fields, true
		}
		from, line := p.pos, p.line
		for p.pos < len(p.src) && strings.IndexByte(" \t\n", p.src[p.pos]) < 0 {
			if p.peek() == '\\' && p.at(1) == '\n' && (p.at(2) == ' ' || p.at(2) == '\t') {
				break // the lines are one
			}
			if p.peek() == '\\' || p.peek() == '$' || p.peek() == '`' {
				if p.piece() != nil {
					return nil, false
				}
				continue
			}
			p.pos++
		}
		fields = append(fields, Word{text[from:p.pos], start + from, start + p.pos, line})
	}
}

// unquote drops the quotes of a word that expands nothing.
func unquote(raw string) string {
	var text strings.Builder
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '\'', '"':
		case '\\':
			if i++; i < len(raw) {
				text.WriteByte(raw[i])
			}
		default:
			text.WriteByte(raw[i])
		}
	}
	return text.String()
}

func isName(text string) bool {
	for i := range len(text) {
		if !isNamePart(text[i]) || i == 0 && text[i] >= '0' && text[i] <= '9' {
			return false
		}
	}
	return text != ""
}

func isNamePart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}
