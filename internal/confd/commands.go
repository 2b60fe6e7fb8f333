package confd

import (
	"slices"
	"strconv"
)

// What conf.d files have besides assignments: conditions, defaults, lists and
// functions. See gate for the grammar.

const (
	testRemedy = `keep to tests like [ "$NAME" = value ], [ -n "$NAME" ] and [ -e FILE ]`
	bodyRemedy = "keep the function to plain commands, or put it into the init script"
)

// maxDepth is how deep compound commands may be in each other. Shells run out
// of stack, at some thousands.
const maxDepth = 50

// list checks parts with && and || between them.
func (g *gate) list() error {
	defer func(n int) { g.maybe = n }(g.maybe)
	if err := g.part(); err != nil {
		return err
	}
	for {
		g.blanks()
		c := g.peek()
		if c != '&' && c != '|' || g.at(1) != c {
			return nil
		}
		failed := g.mayFail
		g.pos += 2
		g.spaces()
		g.maybe++
		if err := g.part(); err != nil {
			return err
		}
		g.mayFail = g.mayFail || failed && c == '&'
	}
}

// lines checks lists until one of the reserved words in ends, which it passes
// over and returns.
func (g *gate) lines(opened string, ends ...string) (string, error) {
	line := g.line
	for n := 0; ; n++ {
		g.spaces()
		if n > 0 {
			if word := g.keyword(ends...); word != "" {
				return word, nil
			}
		}
		if g.peek() == eof {
			g.line = line
			return "", g.refuse(strconv.Quote(opened)+" has no end", plainRemedy)
		}
		if err := g.list(); err != nil {
			return "", err
		}
		g.blanks()
		if err := g.separator(); err != nil {
			return "", err
		}
	}
}

// separator passes over the semicolon after a list. The end of a line, where a
// comment may be, is left.
func (g *gate) separator() error {
	switch g.peek() {
	case '#', '\n', eof:
		return nil
	case ';':
		if g.at(1) != ';' {
			g.pos++
			return nil
		}
	}
	return g.refuse(g.character()+" where an assignment should end", plainRemedy)
}

// part checks what stands between the operators of a list.
func (g *gate) part() error {
	if g.peek() == '[' && isBlank(g.at(1)) {
		return g.test()
	}
	if g.peek() == ':' && (isBlank(g.at(1)) || g.at(1) == '\n' || g.at(1) == eof || g.at(1) == ';') {
		g.pos++
		return g.defaults()
	}
	if g.keyword("if") != "" {
		return g.condition()
	}
	if g.keyword("return") != "" {
		return g.leave()
	}
	start := g.pos
	if name := g.name(); name != "" && g.parentheses() {
		return g.function(name)
	}
	g.pos = start
	return g.assignments()
}

// test checks [ ... ], which has no effect but its status.
func (g *gate) test() error {
	g.mayFail = true
	g.pos++
	var words []string
	for {
		g.blanks()
		start := g.pos
		if g.atPartEnd() {
			return g.refuse(`"[" has no "]"`, testRemedy)
		}
		if !g.operand("]") && !g.operand("!") && !g.operand("!=") {
			if err := g.word("[", true); err != nil {
				return err
			}
		}
		word := string(g.src[start:g.pos])
		if word == "]" {
			break
		}
		words = append(words, word)
	}
	given := words
	if len(words) > 0 && words[0] == "!" {
		words = words[1:]
	}
	unary := []string{"-n", "-z", "-e", "-f", "-d", "-r", "-w", "-x", "-s", "-L", "-h", "-b", "-c", "-p", "-S"}
	switch {
	case len(words) == 2 && slices.Contains(unary, words[0]):
	case len(words) == 3 && (words[1] == "=" || words[1] == "!="):
	case len(given) == 1 && given[0] != "!":
	default:
		return g.refuse("a test that shells may take for different ones", testRemedy)
	}
	return nil
}

// operand passes over a word that has to be that, if it is next.
func (g *gate) operand(word string) bool {
	start := g.pos
	for _, c := range []byte(word) {
		if g.peek() != int(c) {
			g.pos = start
			return false
		}
		g.pos++
	}
	if !g.atWordEnd() {
		g.pos = start
		return false
	}
	return true
}

// defaults checks the words of ":", as in : ${NAME:=value}.
func (g *gate) defaults() error {
	for {
		g.blanks()
		if g.atPartEnd() {
			g.mayFail = false
			return nil
		}
		if err := g.word(":", false); err != nil {
			return err
		}
	}
}

// condition checks an if, after that word.
func (g *gate) condition() error {
	defer func(n, depth int) { g.maybe, g.depth = n, depth }(g.maybe, g.depth)
	if err := g.deeper(); err != nil {
		return err
	}
	for {
		if _, err := g.lines("if", "then"); err != nil {
			return err
		}
		g.maybe++
		end, err := g.lines("if", "elif", "else", "fi")
		if err == nil && end == "else" {
			end, err = g.lines("if", "fi")
		}
		if err != nil {
			return err
		}
		if end == "fi" {
			g.mayFail = true
			return g.compoundEnd()
		}
	}
}

// leave checks a return, after that word.
func (g *gate) leave() error {
	g.mayFail = true
	g.blanks()
	if g.operand("0") {
		g.mayFail = false
	}
	g.blanks()
	switch certain := g.maybe == 0 && !g.passed; {
	case !certain && g.atPartEnd():
		g.passed = true
		return nil
	case g.depth == 0 && (g.peek() == '#' || g.peek() == '\n' || g.peek() == eof):
		g.ended = certain
		return nil
	}
	return g.refuse(`"return" with more than 0`, plainRemedy)
}

// compoundEnd refuses what follows a compound command and belongs to it.
func (g *gate) compoundEnd() error {
	g.blanks()
	if g.atPartEnd() {
		return nil
	}
	return g.refuse(g.character()+" after the end of a command", plainRemedy)
}

func (g *gate) deeper() error {
	if g.depth++; g.depth > maxDepth {
		return g.refuse("too many commands in each other", plainRemedy)
	}
	return nil
}

// keyword passes over one of words, if it is next, and returns it.
func (g *gate) keyword(words ...string) string {
	start := g.pos
	if word := g.name(); slices.Contains(words, word) && g.atWordEnd() {
		return word
	}
	g.pos = start
	return ""
}

// spaces passes over blanks, newlines and comments.
func (g *gate) spaces() {
	for {
		g.blanks()
		switch g.peek() {
		case '#':
			g.comment()
		case '\n':
			g.newline()
		default:
			return
		}
	}
}

func isBlank(c int) bool { return c == ' ' || c == '\t' }

// isReserved reports whether word is one that begins or ends something in a
// shell's grammar, or names a builtin that a function cannot be named like
// (POSIX XCU 2.4 and 2.14, and what bash, dash and ash add).
func isReserved(word string) bool {
	switch word {
	case "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then", "time", "until", "while",
		"break", "continue", "eval", "exec", "exit", "export", "local", "readonly", "return", "set", "shift", "source", "times", "trap", "unset":
		return true
	}
	return false
}
