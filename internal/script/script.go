// Package script takes shell scripts apart into simple commands, and runs
// nothing of them.
//
// It is for who looks for commands in init scripts and shows lines of them, so
// each word knows where it stands. What a command does it does not know: whether
// one is run, and with which variables, is for the caller to judge by Function,
// Conditional and Nested.
//
// The parser, and what a shell makes of a word, are those of mvdan.cc/sh. It
// takes what bash takes, which is what POSIX shells have in common and more.
package script

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Script is what Parse has found.
type Script struct {
	Commands []Command
	Texts    []Text // here-documents
}

// Command is a simple command: assignments, a name and arguments. Redirections
// are left out, and so are reserved words; but "for", with what follows it up to
// "do", is one.
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

// maxSize, in bytes, and maxNesting bound the stack of the parser, which goes a
// level deeper with whatever opens something. Init scripts are far below.
const (
	maxSize    = 256 << 10
	maxNesting = 10_000
)

// Parse takes a script apart. After an *Error, what is complete before it is
// there.
func Parse(src []byte) (*Script, error) {
	w := walker{src: src, out: &Script{}}
	for _, odd := range [][2]string{
		{"\x00", "a NUL byte: this is no text file"},
		{"\r\n", "a carriage return, which is part of a word for a shell"},
	} {
		if before, _, found := bytes.Cut(src, []byte(odd[0])); found {
			return w.out, &Error{1 + bytes.Count(before, []byte("\n")), odd[1]}
		}
	}
	if len(src) > maxSize {
		return w.out, &Error{1, fmt.Sprintf("%d bytes, which is too long for a script", len(src))}
	}
	opening := 0
	for _, c := range src {
		if c == '(' || c == '{' || c == '[' || c == '`' {
			opening++
		}
	}
	if opening > maxNesting {
		return w.out, &Error{1, "too many parentheses, braces and brackets"}
	}
	// A here-document comes after other commands of its line: no command is
	// looked at before the end.
	var stmts []*syntax.Stmt
	var err error
	for stmt, stmtErr := range newParser().StmtsSeq(bytes.NewReader(src)) {
		switch {
		case stmtErr == nil:
			stmts = append(stmts, stmt)
		case err == nil:
			err = explain(stmtErr) // and no break: it may go on once more, and panics then
		}
	}
	w.stmts(stmts)
	return w.out, err
}

func newParser() *syntax.Parser { return syntax.NewParser(syntax.Variant(syntax.LangBash)) }

func explain(err error) error {
	var parse syntax.ParseError
	var lang syntax.LangError
	switch {
	case errors.As(err, &parse):
		return &Error{int(parse.Pos.Line()), parse.Text}
	case errors.As(err, &lang):
		return &Error{int(lang.Pos.Line()), lang.Feature + " is of another shell"}
	}
	return &Error{1, err.Error()}
}

// walker is at a place in a script.
type walker struct {
	src []byte
	out *Script

	function    string
	conditional bool
	nested      bool
}

func (w walker) stmts(stmts []*syntax.Stmt) {
	for _, s := range stmts {
		w.stmt(s)
	}
}

func (w walker) stmt(s *syntax.Stmt) {
	if s == nil {
		return
	}
	for _, r := range s.Redirs {
		w.within(r.Word)
		if r.Hdoc != nil {
			content := w.text(r.Hdoc) // with part of the line that ends it
			w.out.Texts = append(w.out.Texts, Text{int(r.OpPos.Line()), content[:strings.LastIndexByte(content, '\n')+1], w.function})
		}
	}
	perhaps := w
	perhaps.conditional = true
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		var words []syntax.Node
		for _, a := range c.Assigns {
			words = append(words, a)
		}
		w.command(slices.Concat(words, nodes(c.Args)))
	case *syntax.DeclClause:
		words := []syntax.Node{c.Variant}
		for _, a := range c.Args {
			words = append(words, a)
		}
		w.command(words)
	case *syntax.Block:
		w.stmts(c.Stmts)
	case *syntax.Subshell:
		w.nested = true
		w.stmts(c.Stmts)
	case *syntax.BinaryCmd:
		w.stmt(c.X)
		if c.Op == syntax.AndStmt || c.Op == syntax.OrStmt {
			w = perhaps
		}
		w.stmt(c.Y)
	case *syntax.FuncDecl:
		if w.function == "" && c.Name != nil {
			w.function = c.Name.Value
		}
		w.stmt(c.Body)
	case *syntax.IfClause:
		for ; c != nil; c = c.Else {
			perhaps.stmts(c.Cond)
			perhaps.stmts(c.Then)
		}
	case *syntax.WhileClause:
		perhaps.stmts(c.Cond)
		perhaps.stmts(c.Do)
	case *syntax.ForClause:
		if loop, ok := c.Loop.(*syntax.WordIter); ok {
			keyword := "for"
			if c.Select {
				keyword = "select"
			}
			words := []syntax.Node{literalAt(c.ForPos, keyword), loop.Name}
			if loop.InPos.IsValid() {
				words = append(words, literalAt(loop.InPos, "in"))
			}
			perhaps.command(slices.Concat(words, nodes(loop.Items)))
		} else {
			w.within(c.Loop)
		}
		perhaps.stmts(c.Do)
	case *syntax.CaseClause:
		w.within(c.Word)
		for _, item := range c.Items {
			for _, pattern := range item.Patterns {
				w.within(pattern)
			}
			perhaps.stmts(item.Stmts)
		}
	case *syntax.TimeClause:
		w.stmt(c.Stmt)
	case *syntax.CoprocClause:
		w.nested = true
		w.stmt(c.Stmt)
	case nil:
	default: // of bash: [[ ]], (( )) and let
		w.within(c)
	}
}

// command takes one in, after the commands that its words have in them.
func (w walker) command(words []syntax.Node) {
	c := Command{Function: w.function, Conditional: w.conditional, Nested: w.nested}
	for _, node := range words {
		w.within(node)
		c.Words = append(c.Words, Word{w.text(node), int(node.Pos().Offset()), int(node.End().Offset()), int(node.Pos().Line())})
	}
	w.out.Commands = append(w.out.Commands, c)
}

// within takes in the commands whose output, or a file of theirs, is part of a
// word.
func (w walker) within(node syntax.Node) {
	w.nested = true
	syntax.Walk(node, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CmdSubst:
			w.stmts(n.Stmts)
			return false
		case *syntax.ProcSubst:
			w.stmts(n.Stmts)
			return false
		}
		return true
	})
}

// text is a node as it stands in the script.
func (w walker) text(node syntax.Node) string {
	return string(w.src[node.Pos().Offset():node.End().Offset()])
}

func nodes(words []*syntax.Word) []syntax.Node {
	var all []syntax.Node
	for _, word := range words {
		all = append(all, word)
	}
	return all
}

func literalAt(pos syntax.Pos, text string) *syntax.Lit {
	end := syntax.NewPos(pos.Offset()+uint(len(text)), pos.Line(), pos.Col()+uint(len(text)))
	return &syntax.Lit{ValuePos: pos, ValueEnd: end, Value: text}
}
