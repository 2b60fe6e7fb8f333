package confd

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	exampleRemedy = "write the value itself, as in netns=vpn"
	quoteRemedy   = "put the value in quotes, and every assignment on a line of its own"
	plainRemedy   = "keep to lines like NAME=value, which can be read without a shell"
)

// gate walks a conf.d file from end to end and refuses whatever is not in this
// grammar (POSIX XCU 2.2, 2.3 and 2.6 have the full one):
//
//	line       = [ list { ";" list } [ ";" ] ] [ comment ]
//	list       = part { ( "&&" | "||" ) part }
//	part       = { assignment }
//	           | "export" ( assignment | NAME ) { assignment | NAME }
//	           | ":" { word }
//	           | "[" test "]"
//	           | "return" [ "0" ]   the end of the file, if it is certain
//	           | "if" lines "then" lines { "elif" lines "then" lines } [ "else" lines ] "fi"
//	           | NAME "()" "{" commands "}"   see function
//	assignment = NAME "=" ( literal if NAME is of interest, else word )
//	literal    = plain characters | one pair of quotes, on one line, with nothing in them that a shell expands
//	word       = { character | \character | '...' | "..." | expansion }   "..." holds expansions and \ too
//	expansion  = $NAME | ${NAME} | ${NAME:-text}   also with - + :+ # ## % %% in place of :-, and, of a NAME that is
//	             not of interest, with = and := | $(plain words) | `plain words`
//
// A variable of interest is not assigned where that depends on a condition. A
// blank is a space or a tab, nothing else. What is in the grammar runs no
// command but "[" and those in an expansion, which runs them in a process of
// its own; it changes no variable but the one on the left, and makes no shell
// stop. A reader of the values need not know what the words of other variables
// expand to, so these are checked and passed over.
type gate struct {
	src  []byte
	pos  int
	line int // of src[pos], from 1

	names  []string     // of interest
	found  []assignment // to the names of interest, in order
	all    []Assignment // to any name, in order
	begin  int          // where the statement at hand begins; the end of src when all have passed
	locale string       // the variable that last changed the locale, if one did

	maybe  int      // how many conditions decide whether what is at hand is run
	passed bool     // there was a return on a condition
	ended  bool     // there was a return
	depth  int      // how many compound commands it is in
	inside string   // the function that it is in the body of, which is not run
	bodies [][]byte // of functions

	programs []string // what a shell runs in a process of its own while it reads the file
	mayFail  bool     // what was passed last may have a status other than 0
}

// assignment is one that gives a variable of interest a literal value.
type assignment struct {
	name, value string
	source      string // as it stands in the file, without export and comment
	line        int
}

// file checks the whole file.
func (g *gate) file() error {
	if bytes.HasPrefix(g.src, []byte("\ufeff")) {
		return g.refuse("a byte order mark", "save the file as UTF-8 without one")
	}
	// In comments too: shells disagree about NUL, and where one line ends in a
	// carriage return, all do.
	if i := bytes.IndexAny(g.src, "\x00\r"); i >= 0 {
		g.line += bytes.Count(g.src[:i], []byte("\n"))
		if g.src[i] == '\r' {
			return g.refuse("a carriage return", "save the file with Unix line ends")
		}
		return g.refuse("a NUL byte: this is no text file", "write the file anew")
	}
	for g.pos < len(g.src) {
		g.begin = g.pos
		if err := g.statement(); err != nil {
			return err
		}
		if g.ended {
			break // a shell does not look at the rest
		}
	}
	g.begin = g.pos
	return nil
}

// statement checks one line, or more where quotes or a compound command run
// over several, with the newline at its end.
func (g *gate) statement() error {
	for {
		g.blanks()
		switch g.peek() {
		case '#':
			g.comment()
			fallthrough
		case '\n', eof:
			g.newline()
			return nil
		}
		if err := g.list(); err != nil {
			return err
		}
		g.blanks()
		if err := g.separator(); err != nil {
			return err
		}
	}
}

// assignments checks what is one or more of them, or begins with export.
func (g *gate) assignments() error {
	export := g.export()
	g.mayFail = false
	for n := 0; ; n++ {
		g.blanks()
		if n > 0 && g.atPartEnd() {
			return nil
		}
		if export && g.atPartEnd() { // prints all exported variables
			return g.refuse(`"export" without a name`, plainRemedy)
		}
		if err := g.assignment(export); err != nil {
			return err
		}
	}
}

// export passes over the word export, if it is next.
func (g *gate) export() bool {
	start := g.pos
	if g.name() == "export" && g.atBlank() {
		return true
	}
	g.pos = start
	return false
}

// assignment checks NAME=WORD; also NAME alone if the line began with export.
func (g *gate) assignment(export bool) error {
	start, line := g.pos, g.line
	name := g.name()
	if export && name != "" && g.atWordEnd() {
		return nil
	}
	if name == "" || g.peek() != '=' {
		return g.refuseCommand(name)
	}
	g.pos++

	if isSpecial(name) {
		return g.refuse(strconv.Quote(name)+" has a meaning of its own to the shell", "choose another name")
	}
	if isLocale(name) {
		g.locale = name
	}
	if !slices.Contains(g.names, name) {
		g.all = append(g.all, Assignment{Name: name, Line: line})
		return g.word(name, export)
	}
	if g.maybe > 0 || g.passed {
		return g.refuse(strconv.Quote(name)+" is set on a condition", exampleRemedy)
	}
	value, err := g.literal(name)
	if err != nil {
		return err
	}
	g.found = append(g.found, assignment{name, value, string(g.src[start:g.pos]), line})
	g.all = append(g.all, Assignment{name, value, line})
	return nil
}

// literal checks the value of a variable of interest, and returns it without
// its quotes.
func (g *gate) literal(name string) (string, error) {
	quote := g.peek()
	if !isQuote(quote) {
		start := g.pos
		for isPlain(g.peek()) {
			g.pos++
		}
		if !g.atWordEnd() {
			return "", g.refuseInLiteral(name)
		}
		return string(g.src[start:g.pos]), nil
	}

	g.pos++
	start, line := g.pos, g.line
	for g.peek() != quote {
		switch c := g.peek(); {
		case c == eof:
			return "", g.refuseUnterminated(name, line)
		case c == '\n':
			return "", g.refuse(strconv.Quote(name)+" has a value of several lines", "end the quotes on the line on which they begin")
		case c == '\\', quote == '"' && (c == '$' || c == '`'):
			return "", g.refuseInLiteral(name)
		}
		if err := g.quoted(name); err != nil {
			return "", err
		}
	}
	end := g.pos
	g.pos++
	if !g.atWordEnd() {
		return "", g.refuseInLiteral(name)
	}
	return string(g.src[start:end]), nil
}

// word checks the value of a variable that is not of interest. On a line that
// begins with export it is an argument: older releases of dash split what is
// expanded in it into words, any of which may be an assignment, and bash
// expands braces.
func (g *gate) word(name string, export bool) error {
	for !g.atWordEnd() {
		var err error
		switch c := g.peek(); {
		case c == '\'':
			err = g.singleQuotes(name)
		case c == '"':
			err = g.doubleQuotes(name)
		case (c == '$' || c == '`') && !export:
			err = g.expansion(name)
		case c == '\\' && isPrintable(g.at(1)):
			g.pos += 2
		case isPlain(c) || !export && strings.IndexByte("#*?!^~[]{}", byte(c)) >= 0:
			g.pos++
		default:
			err = g.refuseUnquoted(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// singleQuotes checks '...', at its first quote.
func (g *gate) singleQuotes(name string) error {
	line := g.line
	for g.pos++; g.peek() != '\''; {
		if g.peek() == eof {
			return g.refuseUnterminated(name, line)
		}
		if err := g.quoted(name); err != nil {
			return err
		}
	}
	g.pos++
	return nil
}

// doubleQuotes checks "...", at its first quote.
func (g *gate) doubleQuotes(name string) error {
	line := g.line
	for g.pos++; g.peek() != '"'; {
		var err error
		switch g.peek() {
		case eof:
			return g.refuseUnterminated(name, line)
		case '`':
			err = g.expansion(name)
		case '$':
			if g.at(1) == '"' { // a dollar sign as the last character stands for itself
				g.pos++
				break
			}
			err = g.expansion(name)
		case '\\':
			g.pos++
			if g.peek() == eof {
				return g.refuseUnterminated(name, line)
			}
			err = g.quoted(name)
		default:
			err = g.quoted(name)
		}
		if err != nil {
			return err
		}
	}
	g.pos++
	return nil
}

// expansion checks $NAME, the ${...} of the grammar and commands, at the dollar
// sign or the backquote. The text in ${NAME:-text} may itself hold $NAME and
// ${NAME}, but no second text: depth is what shells run out of stack on.
func (g *gate) expansion(name string) error {
	switch {
	case g.peek() == '`':
		return g.program(name, "`", '`')
	case g.simpleExpansion():
		return nil
	case g.at(1) == '(' && g.inside != "":
		return g.substitution(name)
	case g.at(1) == '(':
		return g.program(name, "$(", ')')
	case g.at(1) != '{':
		return g.refuseExpansion(name)
	}
	start := g.pos
	g.pos += len("${")
	variable := g.parameter()
	if variable == "" || !g.operator(variable) {
		g.pos = start
		return g.refuseExpansion(name)
	}
	for g.peek() != '}' {
		switch c := g.peek(); {
		case isPlain(c) || c == ' ' || c == '*' || c == '?':
			g.pos++
		case c == '$' && g.simpleExpansion():
		default:
			g.pos = start
			return g.refuseExpansion(name)
		}
	}
	g.pos++
	return nil
}

// program checks a command of plain words, between begin and end, that a shell
// runs for its output.
func (g *gate) program(name, begin string, end int) error {
	start := g.pos
	g.pos += len(begin)
	g.blanks()
	first := g.pos
	for isPlain(g.peek()) {
		g.pos++
	}
	program := string(g.src[first:g.pos])
	for isPlain(g.peek()) || g.atBlank() {
		g.pos++
	}
	if g.peek() != end || program == "" || isReserved(program) {
		g.pos = start
		return g.refuseExpansion(name)
	}
	g.pos++
	g.programs = append(g.programs, program)
	g.mayFail = true
	return nil
}

// simpleExpansion passes over $NAME or ${NAME}, if one is next.
func (g *gate) simpleExpansion() bool {
	start := g.pos
	g.pos++
	if g.name() != "" {
		return true
	}
	if g.inside != "" && g.peek() != eof && (isDigit(g.peek()) || strings.IndexByte("@*#?$!", byte(g.peek())) >= 0) {
		g.pos++
		return true
	}
	if g.peek() == '{' {
		g.pos++
		if g.parameter() != "" && g.peek() == '}' {
			g.pos++
			return true
		}
	}
	g.pos = start
	return false
}

// parameter passes over what has a value, in braces: a NAME, or in a function
// an argument of that.
func (g *gate) parameter() string {
	if g.inside != "" && isDigit(g.peek()) {
		g.pos++
		return string(g.src[g.pos-1 : g.pos])
	}
	return g.name()
}

// operator passes over what may follow the variable in ${NAME:-text}. Not ?,
// which exits; and those that assign only where nobody wants to know what.
func (g *gate) operator(variable string) bool {
	for _, op := range [...]string{":-", ":+", "-", "+", "##", "#", "%%", "%", ":=", "="} {
		if !bytes.HasPrefix(g.src[g.pos:], []byte(op)) {
			continue
		}
		if strings.HasSuffix(op, "=") {
			if slices.Contains(g.names, variable) || isSpecial(variable) || isDigit(int(variable[0])) {
				return false
			}
			if isLocale(variable) {
				g.locale = variable
			}
			if g.inside == "" {
				g.all = append(g.all, Assignment{Name: variable, Line: g.line})
			}
		}
		g.pos += len(op)
		return true
	}
	return false
}

// quoted checks one character between quotes and passes over it.
func (g *gate) quoted(name string) error {
	c, size := utf8.DecodeRune(g.src[g.pos:])
	switch {
	case c == utf8.RuneError && size == 1:
		return g.refuse(strconv.Quote(name)+" has a byte that is not UTF-8", "save the file as UTF-8")
	case c == '\n':
		g.newline()
		return nil
	case c < ' ' && c != '\t' || c == 0x7f: // bash uses some of them as marks of its own
		return g.refuse(strconv.Quote(name)+" has the control character "+strconv.QuoteRune(c), "leave it out")
	case c > 0x7f && g.locale != "": // in some charsets the second byte of a character is a backslash or a brace
		return g.refuse(strconv.Quote(name)+" has "+strconv.QuoteRune(c)+" after a change of locale",
			"set "+strconv.Quote(g.locale)+" at the end of the file")
	}
	g.pos += size
	return nil
}

// name passes over a NAME (POSIX XBD 3.216) and returns it; empty if none is
// next.
func (g *gate) name() string {
	start := g.pos
	for c := g.peek(); isLetter(c) || c == '_' || isDigit(c) && g.pos > start; c = g.peek() {
		g.pos++
	}
	return string(g.src[start:g.pos])
}

func (g *gate) blanks() {
	for g.atBlank() {
		g.pos++
	}
}

// comment passes over the rest of the line; a backslash at its end does not
// continue it.
func (g *gate) comment() {
	for g.peek() != '\n' && g.peek() != eof {
		g.pos++
	}
}

// newline passes over one, if it is next.
func (g *gate) newline() {
	if g.peek() == '\n' {
		g.pos++
		g.line++
	}
}

const eof = -1

func (g *gate) peek() int { return g.at(0) }

// at returns the byte that is offset bytes ahead, or eof.
func (g *gate) at(offset int) int {
	if i := g.pos + offset; i < len(g.src) {
		return int(g.src[i])
	}
	return eof
}

func (g *gate) atBlank() bool {
	c := g.peek()
	return c == ' ' || c == '\t'
}

func (g *gate) atWordEnd() bool {
	c := g.peek()
	return g.atBlank() || c == '\n' || c == eof || c == ';'
}

// atPartEnd reports whether what is next is none of the words of a command.
func (g *gate) atPartEnd() bool {
	switch g.peek() {
	case '#', '\n', ';', '&', '|', eof:
		return true
	}
	return false
}

func isLetter(c int) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c int) bool  { return '0' <= c && c <= '9' }

func isQuote(c int) bool { return c == '\'' || c == '"' }

// isPrintable reports whether c is one of the printable characters of ASCII.
func isPrintable(c int) bool { return ' ' <= c && c <= '~' }

// isPlain reports whether c stands for itself wherever a word can be, to the
// shells and to godotenv.
func isPlain(c int) bool {
	return isLetter(c) || isDigit(c) || c != eof && strings.IndexByte("_-+.,/:@%=", byte(c)) >= 0
}

// isSpecial reports whether an assignment to name does more than to give it a
// value, in one of the shells.
func isSpecial(name string) bool {
	switch name {
	case "BASHOPTS", "EUID", "PPID", "SHELLOPTS", "UID": // bash(1): read-only, the shell exits
		return true
	case "OPTIND": // dash(1), ash: the shell exits unless it is a number
		return true
	case "BASHPID", "EPOCHREALTIME", "EPOCHSECONDS", "HISTCMD", "LINENO", "RANDOM", "SECONDS", "SRANDOM":
		return true // bash: an integer, so the value is an expression; RANDOM="netns=5" assigns netns
	case "DIRSTACK", "FUNCNAME", "GROUPS": // bash: an array that the shell keeps
		return true
	case "IFS": // decides what the words of every list are
		return true
	}
	return strings.HasPrefix(name, "BASH_")
}

// isLocale reports whether an assignment to name changes how a shell takes
// bytes for characters.
func isLocale(name string) bool {
	return name == "LANG" || strings.HasPrefix(name, "LC_")
}
