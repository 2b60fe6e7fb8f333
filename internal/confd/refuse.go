package confd

import (
	"strconv"
	"unicode/utf8"
)

// The ways in which the gate refuses. Each names what stands at the gate's
// position.

func (g *gate) refuse(problem, remedy string) error {
	return &SyntaxError{Line: g.line, Problem: problem, Remedy: remedy}
}

// refuseCommand refuses a word that is no assignment; name is what it has of a
// NAME at its start.
func (g *gate) refuseCommand(name string) error {
	if name == "" {
		return g.refuse(g.character()+" where an assignment should begin", plainRemedy)
	}
	if g.atBlank() {
		start := g.pos
		g.blanks()
		if g.peek() == '=' {
			return g.refuse(strconv.Quote(name)+" has a blank before its equals sign", "write "+name+"=value without blanks")
		}
		g.pos = start
	}
	return g.refuse(strconv.Quote(name)+" does not begin an assignment", plainRemedy)
}

// refuseInLiteral refuses a character in the value of a variable of interest.
func (g *gate) refuseInLiteral(name string) error {
	name = strconv.Quote(name)
	switch c := g.peek(); {
	case c == '`', c == '$' && g.at(1) == '(':
		return g.refuse(name+" takes its value from a command", exampleRemedy)
	case c == '$':
		return g.refuse(name+" takes its value from a variable", exampleRemedy)
	case c == '\\':
		return g.refuse(name+" has a backslash", exampleRemedy)
	case isQuote(c), isQuote(g.at(-1)) && isPlain(c):
		return g.refuse(name+" is quoted in part", "put the whole value into one pair of quotes")
	}
	return g.refuse(name+" has "+g.character()+" outside quotes", quoteRemedy)
}

// refuseUnquoted refuses a character outside quotes in the value of any other
// variable.
func (g *gate) refuseUnquoted(name string) error {
	switch {
	case g.peek() == '`', g.peek() == '$' && g.at(1) == '(':
		return g.refuse(strconv.Quote(name)+" takes its value from a command, outside quotes", "put the value in double quotes")
	case g.peek() == '\\' && (g.at(1) == '\n' || g.at(1) == eof):
		return g.refuse(strconv.Quote(name)+" goes on after a backslash at the end of the line", "put the whole value in double quotes")
	}
	return g.refuse(strconv.Quote(name)+" has "+g.character()+" outside quotes", quoteRemedy)
}

// refuseExpansion refuses a backquote, or a dollar sign and what follows it.
func (g *gate) refuseExpansion(name string) error {
	name = strconv.Quote(name)
	switch next := g.at(1); {
	case g.peek() == '`', next == '(':
		return g.refuse(name+" takes its value from a command that only a shell can read", "write the value itself")
	case next == '{':
		return g.refuse(name+" has an expansion that only a shell can read", "keep to ${NAME} and ${NAME:-text}")
	}
	return g.refuse(name+" has a dollar sign that begins no variable's name", `write \$ in double quotes, or use single quotes`)
}

// refuseUnterminated refuses quotes that were opened on the given line and
// never closed.
func (g *gate) refuseUnterminated(name string, line int) error {
	g.line = line
	return g.refuse(strconv.Quote(name)+" has quotes without an end", "close them")
}

// character returns the character at the gate's position in quotes, escaped if
// it cannot be seen.
func (g *gate) character() string {
	c, size := utf8.DecodeRune(g.src[g.pos:])
	if c == utf8.RuneError && size == 1 {
		return "the byte 0x" + strconv.FormatUint(uint64(g.src[g.pos]), 16)
	}
	return strconv.QuoteRune(c)
}
