package confd

import (
	"slices"
	"strconv"
	"strings"
)

// The body of a function is not run when the file is read, but a shell gives up
// on a file in which it does not understand one. So its end has to be found,
// and what is before it has to be in a grammar that all shells share:
//
//	commands = { list ( ";" | "&" | newline ) }
//	list     = pipeline { ( "&&" | "||" ) pipeline }
//	pipeline = [ "!" ] command { "|" command }
//	command  = simple | "{" commands "}" | "(" commands ")" | if | while | until | for | case
//	simple   = { word | redirection }
//
// Words are those of the gate, with patterns, arguments ($1) and commands in
// $() besides. Here-documents, arithmetic and functions in functions are left
// out.

// parentheses passes over the (), if they are next.
func (g *gate) parentheses() bool {
	start := g.pos
	g.blanks()
	if g.peek() == '(' {
		g.pos++
		g.blanks()
		if g.peek() == ')' {
			g.pos++
			return true
		}
	}
	g.pos = start
	return false
}

// function checks the definition of one, after its parentheses.
func (g *gate) function(name string) error {
	if isReserved(name) || isSpecial(name) {
		return g.refuse("no function can be called "+strconv.Quote(name), "choose another name")
	}
	g.spaces()
	if g.peek() != '{' || !isBlank(g.at(1)) && g.at(1) != '\n' {
		return g.refuse(g.character()+" where the body of a function should begin", bodyRemedy)
	}
	locale := g.locale
	start := g.pos
	g.inside = name
	err := g.group("}")
	g.inside = ""
	if err != nil {
		return err
	}
	g.locale = locale
	g.bodies = append(g.bodies, g.src[start:g.pos])
	g.mayFail = false
	return g.compoundEnd()
}

// group checks commands up to an end, from the character before them.
func (g *gate) group(end string) error {
	g.pos++
	_, err := g.commands(false, end)
	return err
}

// commands checks lists until one of ends, which it passes over and returns: a
// reserved word, or one of } ) and ;;. There may be none if empty is set.
func (g *gate) commands(empty bool, ends ...string) (string, error) {
	if err := g.deeper(); err != nil {
		return "", err
	}
	defer func() { g.depth-- }()
	line := g.line
	for n := 0; ; n++ {
		g.spaces()
		if n > 0 || empty {
			if end := g.end(ends); end != "" {
				return end, nil
			}
		}
		if g.peek() == eof {
			g.line = line
			return "", g.refuse(`a function has no "`+ends[len(ends)-1]+`"`, bodyRemedy)
		}
		if err := g.pipelines(); err != nil {
			return "", err
		}
		g.blanks()
		switch c := g.peek(); {
		case c == '#', c == '\n', c == eof:
		case c == ';' && g.at(1) == ';', c == ')':
			if end := g.end(ends); end != "" {
				return end, nil
			}
			return "", g.refuseInFunction()
		case c == ';', c == '&' && g.at(1) != '>':
			g.pos++
		default:
			return "", g.refuseInFunction()
		}
	}
}

// end passes over one of ends, if it is next, and returns it.
func (g *gate) end(ends []string) string {
	for _, end := range ends {
		if !strings.HasPrefix(string(g.src[g.pos:min(g.pos+len(end), len(g.src))]), end) {
			continue
		}
		start := g.pos
		g.pos += len(end)
		if end == ")" || end == ";;" && g.peek() != '&' && g.peek() != ';' || g.atCommandEnd() {
			return end
		}
		g.pos = start
	}
	return ""
}

func (g *gate) refuseInFunction() error {
	if g.peek() == eof {
		return g.refuse("the file ends in a function", bodyRemedy)
	}
	return g.refuse(g.character()+" in a function, in a place where only a shell can read it", bodyRemedy)
}

// pipelines checks one list.
func (g *gate) pipelines() error {
	for first := true; ; first = false {
		if first && g.peek() == '!' && isBlank(g.at(1)) {
			g.pos++
			g.blanks()
		}
		if err := g.command(); err != nil {
			return err
		}
		g.blanks()
		switch c := g.peek(); {
		case (c == '&' || c == '|') && g.at(1) == c:
			g.pos += 2
			first = true
		case c == '|':
			g.pos++
			first = false
		default:
			return nil
		}
		g.spaces()
		if first && g.peek() == '!' && isBlank(g.at(1)) {
			g.pos++
			g.blanks()
		}
	}
}

// command checks one, with its redirections.
func (g *gate) command() error {
	start := g.pos
	word := g.name()
	if !g.atCommandEnd() {
		word = ""
	}
	var err error
	switch {
	case word == "if":
		err = g.ifCommand()
	case word == "while", word == "until":
		if _, err = g.commands(false, "do"); err == nil {
			_, err = g.commands(false, "done")
		}
	case word == "for":
		err = g.forCommand()
	case word == "case":
		err = g.caseCommand()
	case isSyntax(word):
		g.pos = start
		return g.refuse(strconv.Quote(word)+" in a function, in a place where only a shell can read it", bodyRemedy)
	default:
		g.pos = start
		switch c := g.peek(); {
		case c == '{' && (isBlank(g.at(1)) || g.at(1) == '\n'):
			err = g.group("}")
		case c == '(' && g.at(1) != '(':
			err = g.group(")")
		default:
			return g.simple()
		}
	}
	for err == nil {
		g.blanks()
		var found bool
		if found, err = g.redirection(); !found {
			break
		}
	}
	if err == nil && !g.atCommandEnd() {
		return g.refuseInFunction()
	}
	return err
}

func (g *gate) ifCommand() error {
	for {
		if _, err := g.commands(false, "then"); err != nil {
			return err
		}
		end, err := g.commands(false, "elif", "else", "fi")
		if err == nil && end == "else" {
			end, err = g.commands(false, "fi")
		}
		if err != nil || end == "fi" {
			return err
		}
	}
}

// forCommand checks for NAME in WORD...; do commands; done.
func (g *gate) forCommand() error {
	g.blanks()
	if name := g.name(); name == "" || isReserved(name) || isSpecial(name) {
		return g.refuseInFunction()
	}
	g.blanks()
	if g.keyword("in") == "" {
		return g.refuseInFunction()
	}
	for {
		g.continued()
		if c := g.peek(); c == ';' && g.at(1) != ';' || c == '\n' || c == '#' {
			break
		}
		if err := g.argument(); err != nil {
			return err
		}
	}
	if g.peek() == ';' {
		g.pos++
	}
	g.spaces()
	if g.keyword("do") == "" {
		return g.refuseInFunction()
	}
	_, err := g.commands(false, "done")
	return err
}

// caseCommand checks case WORD in { [(] PATTERN { | PATTERN } ) commands ;; }
// esac.
func (g *gate) caseCommand() error {
	g.blanks()
	if err := g.argument(); err != nil {
		return err
	}
	g.spaces()
	if g.keyword("in") == "" {
		return g.refuseInFunction()
	}
	for {
		g.spaces()
		if g.end([]string{"esac"}) != "" {
			return nil
		}
		if g.peek() == '(' {
			g.pos++
			g.blanks()
		}
		for {
			start := g.pos
			if err := g.argument(); err != nil {
				return err
			}
			if isSyntax(string(g.src[start:g.pos])) {
				return g.refuseInFunction()
			}
			g.blanks()
			if g.peek() != '|' {
				break
			}
			g.pos++
			g.blanks()
		}
		if g.peek() != ')' {
			return g.refuseInFunction()
		}
		g.pos++
		end, err := g.commands(true, ";;", "esac")
		if err != nil || end == "esac" {
			return err
		}
	}
}

// simple checks a simple command: words and redirections, at least one.
func (g *gate) simple() error {
	onlyAssignments := true
	for n := 0; ; n++ {
		g.continued()
		if n > 0 && (g.atCommandEnd() || g.peek() == '#') {
			return nil
		}
		found, err := g.redirection()
		if err != nil {
			return err
		}
		if found {
			continue
		}
		start := g.pos
		if err := g.argument(); err != nil {
			return err
		}
		word := string(g.src[start:g.pos])
		if onlyAssignments && isSyntax(word) || word == "[[" { // in any place ash takes && for a word after it
			g.pos = start
			return g.refuseInFunction()
		}
		name, _, assigns := strings.Cut(word, "=")
		onlyAssignments = onlyAssignments && assigns && isName(name)
	}
}

// argument checks one word, which is not empty.
func (g *gate) argument() error {
	start := g.pos
	for n := 0; !g.atCommandEnd() && g.peek() != '<' && g.peek() != '>'; n++ {
		var err error
		switch c := g.peek(); {
		case c == '\'':
			err = g.singleQuotes(g.inside)
		case c == '"':
			err = g.doubleQuotes(g.inside)
		case c == '$', c == '`':
			err = g.expansion(g.inside)
		case c == '\\' && isPrintable(g.at(1)):
			g.pos += 2
		case c == '[' && n > 0 && isName(string(g.src[start:g.pos])): // to bash an element of an array
			err = g.refuseInFunction()
		case c == '#' && n == 0:
			err = g.refuseInFunction()
		case isPlain(c), c != eof && strings.IndexByte("#*?!^~[]{}", byte(c)) >= 0:
			g.pos++
		default:
			err = g.refuseInFunction()
		}
		if err != nil {
			return err
		}
	}
	if g.pos == start {
		return g.refuseInFunction()
	}
	return nil
}

// redirection checks and passes over one, if it is next.
func (g *gate) redirection() (found bool, err error) {
	at := 0
	if isDigit(g.peek()) {
		at = 1
	}
	c := g.at(at)
	if c != '<' && c != '>' {
		return false, nil
	}
	g.pos += at + 1
	switch next := g.peek(); {
	case next == '&':
		g.pos++
		if c := g.peek(); !isDigit(c) && c != '-' {
			return false, g.refuseInFunction()
		}
		g.pos++
		if !g.atCommandEnd() {
			return false, g.refuseInFunction()
		}
		return true, nil
	case next == '>' && c == '>':
		g.pos++
	case next == '<', next == '>', next == '|', next == '(':
		return false, g.refuseInFunction()
	}
	g.blanks()
	start := g.pos
	if err := g.argument(); err != nil {
		return false, err
	}
	number := strings.Trim(string(g.src[start:g.pos]), "0123456789") == ""
	if number && (g.peek() == '<' || g.peek() == '>') { // the number of a descriptor, and no file
		return false, g.refuseInFunction()
	}
	return true, nil
}

// substitution checks $(commands), at the dollar sign.
func (g *gate) substitution(name string) error {
	if g.at(2) == '(' { // arithmetic
		return g.refuseExpansion(name)
	}
	g.pos++
	return g.group(")")
}

// continued passes over blanks, and over newlines behind a backslash.
func (g *gate) continued() {
	for {
		g.blanks()
		if g.peek() != '\\' || g.at(1) != '\n' || !isBlank(g.at(-1)) {
			return
		}
		g.pos++
		g.newline()
		if !g.atBlank() { // what is next would be part of nothing before it
			return
		}
	}
}

// atCommandEnd reports whether no word goes on here.
func (g *gate) atCommandEnd() bool {
	switch g.peek() {
	case ' ', '\t', '\n', ';', '&', '|', '(', ')', eof:
		return true
	}
	return false
}

// isSyntax reports whether word, where a command begins, is none in one of the
// shells.
func isSyntax(word string) bool {
	return slices.Contains([]string{
		"!", "{", "}", "[[", "]]", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then", "time", "until", "while",
	}, word)
}

func isName(text string) bool {
	for i := range len(text) {
		if c := int(text[i]); !isLetter(c) && c != '_' && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return text != ""
}
