package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
)

// instrument returns the statements of a file, and the file with one more in
// front of each, which notes that it is reached. The first has the number
// given.
func instrument(module, short, name string, first int) ([]statement, string, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, "", err
	}
	f := &file{content: string(content), set: token.NewFileSet(), place: module + "/" + short}
	parsed, err := parser.ParseFile(f.set, name, content, parser.SkipObjectResolution)
	if err != nil {
		return nil, "", err
	}
	for _, decl := range parsed.Decls {
		v := visitor{file: f, function: f.place[:strings.LastIndexByte(f.place, '/')] + " | "}
		if function, ok := decl.(*ast.FuncDecl); ok {
			v.function += f.line(function.Type.Pos(), function.Type.Params.Pos()) + " | "
		}
		ast.Walk(v, decl)
	}
	var text strings.Builder
	done := 0
	insert := func(at token.Pos, what string) {
		offset := f.set.Position(at).Offset
		text.WriteString(f.content[done:offset] + what)
		done = offset
	}
	insert(parsed.Name.End(), `; import _covered_ "`+module+`/internal/covered"`)
	for n, at := range f.starts {
		insert(at, fmt.Sprintf("_covered_.Counts[%d] = 1; ", first+n))
	}
	text.WriteString(f.content[done:] + "\nvar _ = _covered_.Counts\n")
	const sandbox = "func closeOnExec(keep []int) error {"
	return f.statements, strings.Replace(text.String(), sandbox, sandbox+" keep = _covered_.Keep(keep);", 1), nil
}

type file struct {
	content    string
	set        *token.FileSet
	place      string
	starts     []token.Pos
	statements []statement
}

// line is the first line of what stands between two places.
func (f *file) line(from, to token.Pos) string {
	text := f.content[f.set.Position(from).Offset:f.set.Position(to).Offset]
	text, _, _ = strings.Cut(text, "\n")
	return strings.Join(strings.Fields(text), " ")
}

// visitor knows the function that it is in, and the last condition.
type visitor struct {
	file     *file
	function string
	header   string
}

func (v visitor) under(header string) visitor { return visitor{v.file, v.function, header + " | "} }

func (v visitor) Visit(node ast.Node) ast.Visitor {
	switch n := node.(type) {
	case *ast.BlockStmt:
		v.list(n.List)
		return nil
	case *ast.CaseClause:
		v.within(n.Pos(), n.Colon).list(n.Body)
		return nil
	case *ast.CommClause:
		v.within(n.Pos(), n.Colon).list(n.Body)
		return nil
	case *ast.IfStmt:
		then := v.within(n.Pos(), n.Body.Lbrace)
		ast.Walk(v, n.Cond)
		if n.Init != nil {
			ast.Walk(v, n.Init)
		}
		ast.Walk(then, n.Body)
		if n.Else != nil {
			ast.Walk(v.under("else of "+then.header), n.Else)
		}
		return nil
	case *ast.ForStmt:
		return v.within(n.Pos(), n.Body.Lbrace)
	case *ast.RangeStmt:
		return v.within(n.Pos(), n.Body.Lbrace)
	case *ast.SwitchStmt:
		return v.within(n.Pos(), n.Body.Lbrace)
	case *ast.TypeSwitchStmt:
		return v.within(n.Pos(), n.Body.Lbrace)
	}
	return v
}

func (v visitor) within(from, to token.Pos) visitor {
	return v.under(v.file.line(from, to))
}

// list notes the statements of a list, and those within.
func (v visitor) list(list []ast.Stmt) {
	f := v.file
	for _, s := range list {
		switch s.(type) {
		case *ast.CaseClause, *ast.CommClause: // of a switch: no statements
		default:
			from, to := f.set.Position(s.Pos()), f.set.Position(head(s))
			f.starts = append(f.starts, s.Pos())
			f.statements = append(f.statements, statement{
				place: fmt.Sprintf("%s:%d.%d,%d.%d", f.place, from.Line, from.Column, to.Line, to.Column),
				key:   v.function + v.header + f.line(s.Pos(), head(s)),
			})
		}
		ast.Walk(v, s)
	}
}

// head is where a statement ends that other statements are in.
func head(s ast.Stmt) token.Pos {
	switch s := s.(type) {
	case *ast.BlockStmt:
		return s.Lbrace + 1
	case *ast.IfStmt:
		return s.Body.Lbrace
	case *ast.ForStmt:
		return s.Body.Lbrace
	case *ast.RangeStmt:
		return s.Body.Lbrace
	case *ast.SwitchStmt:
		return s.Body.Lbrace
	case *ast.TypeSwitchStmt:
		return s.Body.Lbrace
	case *ast.SelectStmt:
		return s.Body.Lbrace
	case *ast.LabeledStmt:
		return head(s.Stmt)
	}
	return s.End()
}
