// Package script takes shell scripts apart into simple commands, and runs
// nothing of them.
//
// It is for who looks for commands in init scripts and shows lines of them, so
// each word knows where it stands. It reads what POSIX shells have in common
// (XCU 2.2 to 2.10) and the little of bash that init scripts use. What a command
// does it does not know: whether one is run, and with which variables, is for
// the caller to judge by Function, Conditional and Nested.
package script

import "strconv"

// Script is what Parse has found.
type Script struct {
	Commands []Command
	Texts    []Text // here-documents
}

// Command is a simple command: assignments, a name and arguments. Redirections
// are left out, and so are reserved words.
type Command struct {
	Words       []Word
	Function    string // that it is in the body of; empty outside of functions
	Conditional bool   // something decides whether it is run: if, case, a loop, && or ||
	Nested      bool   // it runs in a process of its own: in (), $() or backquotes
}

// Text is a here-document.
type Text struct {
	Line     int // of the command that reads it, from 1
	Content  string
	Function string
}

// Error says where the script is none that this package understands.
type Error struct {
	Line    int // from 1
	Problem string
}

func (e *Error) Error() string { return "line " + strconv.Itoa(e.Line) + ": " + e.Problem }

// maxDepth is how deep commands may be in each other.
const maxDepth = 100

// Parse takes a script apart. After an *Error, the commands before it are there.
func Parse(src []byte) (*Script, error) {
	for i, c := range src {
		if c == 0 {
			return &Script{}, &Error{1 + count(src[:i]), "a NUL byte: this is no text file"}
		}
	}
	p := parser{src: src, line: 1, out: &Script{}}
	err := p.commands(0)
	return p.out, err
}

type parser struct {
	src  []byte
	pos  int
	line int // of src[pos], from 1
	out  *Script

	function string
	begin    int // the braces that were open when the body of the function began
	braces   int
	inside   int // how many compound commands decide whether it is run
	nested   int
	pending  []document // here-documents that begin on the next line
}

// document is a here-document to come.
type document struct {
	end      string
	tabs     bool // tabs at the beginning of its lines do not count
	line     int
	function string
}

// list is a list of commands that is being read.
type list struct {
	words   []Word
	first   bool   // the next word may be a reserved one
	chained bool   // it is behind && or ||
	named   string // the function whose body is to begin
	cases   int    // how many case commands are open
	pattern bool   // it is at the patterns of one
}

// commands reads a list of commands: up to the closing character, ) or a
// backquote, which it passes over, or to the end of the source if that is 0.
func (p *parser) commands(closing byte) error {
	if p.nested > maxDepth {
		return p.fail("too many commands in each other")
	}
	opened := p.line
	l := list{first: true}
	for {
		p.blanks()
		if p.pos == len(p.src) {
			p.flush(&l)
			if closing != 0 {
				p.line = opened
				return p.fail(`"(" has no end`)
			}
			return nil
		}
		c := p.src[p.pos]
		var err error
		switch {
		case c == '#':
			for p.pos < len(p.src) && p.src[p.pos] != '\n' {
				p.pos++
			}
		case c == '\n':
			p.flush(&l)
			l.chained = false
			p.newline()
			p.documents()
		case c == ';':
			p.flush(&l)
			l.chained = false
			p.pos++
			if p.peek() == ';' || p.peek() == '&' {
				p.pos++
				l.pattern = l.cases > 0
			}
		case c == '&' || c == '|':
			p.flush(&l)
			p.pos++
			switch {
			case p.peek() == c:
				p.pos++
				l.chained = true
			case c == '&':
				l.chained = false
			}
		case c == '(':
			err = p.parenthesis(&l)
		case c == ')':
			p.pos++
			switch {
			case l.pattern:
				l.words, l.first, l.pattern = nil, true, false
			case closing == ')':
				p.flush(&l)
				return nil
			default:
				return p.fail(`")" where none should be`)
			}
		case c == '`' && closing == '`':
			p.flush(&l)
			p.pos++
			return nil
		case c == '<' || c == '>':
			err = p.redirection(&l, closing)
		default:
			err = p.next(&l, closing)
		}
		if err != nil {
			return err
		}
	}
}

// flush ends a command.
func (p *parser) flush(l *list) {
	if len(l.words) > 0 && !l.pattern {
		p.out.Commands = append(p.out.Commands, Command{
			Words: l.words, Function: p.function, Nested: p.nested > 0,
			Conditional: p.inside > 0 || l.chained,
		})
	}
	l.words, l.first = nil, true
}

// next reads a word.
func (p *parser) next(l *list, closing byte) error {
	w, err := p.word(closing)
	if err != nil {
		return err
	}
	switch {
	case l.pattern:
		if w.Raw == "esac" {
			p.esac(l)
		}
		return nil
	case !l.first:
		l.words = append(l.words, w)
		return nil
	}
	switch w.Raw {
	case "if", "while", "until", "for", "select":
		p.inside++
	case "fi", "done":
		p.inside = max(p.inside-1, 0)
	case "then", "elif", "else", "do", "!", "time", "function":
	case "{":
		if l.named != "" && p.function == "" {
			p.function, p.begin = l.named, p.braces
		}
		l.named = ""
		p.braces++
	case "}":
		if p.braces = max(p.braces-1, 0); p.function != "" && p.braces == p.begin {
			p.function = ""
		}
	case "case":
		p.inside++
		l.cases++
		return p.caseHead(l, closing)
	case "esac":
		p.esac(l)
	default:
		l.words, l.first = append(l.words, w), false
		return nil
	}
	if w.Raw == "for" || w.Raw == "select" || w.Raw == "function" {
		// The words of it are no command. Those after "function" are its name,
		// which is at the place of one.
		l.first = w.Raw == "function"
		if w.Raw == "function" {
			p.blanks()
			name, err := p.word(closing)
			if err != nil {
				return err
			}
			l.named = name.Raw
			return nil
		}
		l.words = append(l.words, w)
	}
	return nil
}

func (p *parser) esac(l *list) {
	p.inside = max(p.inside-1, 0)
	l.cases = max(l.cases-1, 0)
	l.pattern, l.words, l.first = false, nil, true
}

// caseHead reads WORD in, after the word case.
func (p *parser) caseHead(l *list, closing byte) error {
	for _, want := range []string{"", "in"} {
		p.spaces()
		if p.pos == len(p.src) {
			return p.fail(`"case" has no end`)
		}
		w, err := p.word(closing)
		if err != nil {
			return err
		}
		if want != "" && w.Raw != want {
			return p.fail(`"case" without "in"`)
		}
	}
	l.pattern = true
	return nil
}

// parenthesis reads what begins with one: a subshell, the () of a function, or
// one before a pattern.
func (p *parser) parenthesis(l *list) error {
	p.pos++
	if l.pattern {
		return nil
	}
	p.blanks()
	if p.peek() == ')' && (len(l.words) == 1 || l.named != "") {
		p.pos++
		if len(l.words) == 1 {
			l.named = l.words[0].Raw
		}
		l.words, l.first = nil, true
		return nil
	}
	if len(l.words) > 0 { // an array of bash, or nothing that a shell knows
		return p.nest(')')
	}
	function, begin := p.function, p.begin
	if l.named != "" && function == "" {
		p.function, p.begin, l.named = l.named, -1, ""
	}
	err := p.nest(')')
	p.function, p.begin = function, begin
	l.first = false // only redirections may follow
	return err
}

// nest reads commands that run in a process of their own.
func (p *parser) nest(closing byte) error {
	braces, inside, pending := p.braces, p.inside, p.pending
	p.pending = nil
	p.nested++
	err := p.commands(closing)
	p.nested--
	p.braces, p.inside = braces, inside
	p.pending = append(pending, p.pending...)
	return err
}

// redirection passes over one, with its target.
func (p *parser) redirection(l *list, closing byte) error {
	if n := len(l.words); n > 0 && l.words[n-1].End == p.pos && isNumber(l.words[n-1].Raw) {
		l.words = l.words[:n-1]
	}
	start := p.pos
	for p.pos < len(p.src) && p.pos-start < 3 && (p.src[p.pos] == '<' || p.src[p.pos] == '>') {
		p.pos++
	}
	operator := string(p.src[start:p.pos])
	if operator == "<" || operator == ">" {
		if p.peek() == '&' || p.peek() == '|' {
			p.pos++
		}
	}
	tabs := operator == "<<" && p.peek() == '-'
	if tabs {
		p.pos++
	}
	p.blanks()
	if c := p.peek(); (c == '<' || c == '>') && p.at(1) == '(' {
		p.pos++
	}
	if p.peek() == '(' { // of bash: a file that is a command
		p.pos++
		return p.nest(')')
	}
	if p.pos == len(p.src) || p.src[p.pos] == '\n' {
		return p.fail("a redirection to nowhere")
	}
	line := p.line
	target, err := p.word(closing)
	if err != nil || operator != "<<" {
		return err
	}
	p.pending = append(p.pending, document{unquote(target.Raw), tabs, line, p.function})
	return nil
}

// documents reads the here-documents that begin here.
func (p *parser) documents() {
	for _, d := range p.pending {
		start := p.pos
		for p.pos < len(p.src) {
			at := p.pos
			for p.pos < len(p.src) && p.src[p.pos] != '\n' {
				p.pos++
			}
			line := string(p.src[at:p.pos])
			p.newline()
			for d.tabs && line != "" && line[0] == '\t' {
				line = line[1:]
			}
			if line == d.end {
				p.out.Texts = append(p.out.Texts, Text{d.line, string(p.src[start:at]), d.function})
				start = -1
				break
			}
		}
		if start >= 0 { // shells take the end of the file for its end
			p.out.Texts = append(p.out.Texts, Text{d.line, string(p.src[start:p.pos]), d.function})
		}
	}
	p.pending = nil
}

// blanks passes over blanks, and newlines behind a backslash.
func (p *parser) blanks() {
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == ' ' || c == '\t':
			p.pos++
		case c == '\\' && p.at(1) == '\n':
			p.pos++
			p.newline()
		default:
			return
		}
	}
}

// spaces passes over newlines and comments as well.
func (p *parser) spaces() {
	for {
		p.blanks()
		switch p.peek() {
		case '#':
			for p.pos < len(p.src) && p.src[p.pos] != '\n' {
				p.pos++
			}
		case '\n':
			p.newline()
		default:
			return
		}
	}
}

// newline passes over one, if it is next.
func (p *parser) newline() {
	if p.peek() == '\n' {
		p.pos++
		p.line++
	}
}

func (p *parser) peek() byte { return p.at(0) }

// at is the byte that is offset bytes ahead; 0 behind the end.
func (p *parser) at(offset int) byte {
	if i := p.pos + offset; i < len(p.src) {
		return p.src[i]
	}
	return 0
}

func (p *parser) fail(problem string) error { return &Error{p.line, problem} }

func count(src []byte) (newlines int) {
	for _, c := range src {
		if c == '\n' {
			newlines++
		}
	}
	return newlines
}

func isNumber(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}
