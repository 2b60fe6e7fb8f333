package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
)

// instrument returns where the statements of a file begin and end, as a profile
// has it, and the file with one more in front of each, which notes that it is
// reached. The first has the number given. One of several lines ends with its
// first: what comes after that has statements of its own.
func instrument(module, short, name string, first int) (places []string, changed string, err error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, "", err
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, name, content, parser.SkipObjectResolution)
	if err != nil {
		return nil, "", err
	}
	var statements []ast.Stmt
	ast.Inspect(parsed, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.BlockStmt:
			statements = append(statements, n.List...)
		case *ast.CaseClause:
			statements = append(statements, n.Body...)
		case *ast.CommClause:
			statements = append(statements, n.Body...)
		}
		return true
	})
	statements = slices.DeleteFunc(statements, func(s ast.Stmt) bool {
		_, clause := s.(*ast.CaseClause) // of a switch: no statement
		_, comm := s.(*ast.CommClause)
		return clause || comm
	})
	slices.SortFunc(statements, func(a, b ast.Stmt) int { return int(a.Pos() - b.Pos()) })
	var text strings.Builder
	done := 0
	insert := func(at token.Pos, what string) {
		offset := set.Position(at).Offset
		text.WriteString(string(content[done:offset]) + what)
		done = offset
	}
	insert(parsed.Name.End(), `; import _covered_ "`+module+`/internal/covered"`)
	for n, s := range statements {
		insert(s.Pos(), fmt.Sprintf("_covered_.Counts[%d] = 1; ", first+n))
		from, to := set.Position(s.Pos()), set.Position(s.End())
		if to.Line > from.Line {
			line, _, _ := strings.Cut(string(content[from.Offset:]), "\n")
			to = token.Position{Line: from.Line, Column: from.Column + len(line)}
		}
		places = append(places, fmt.Sprintf("%s/%s:%d.%d,%d.%d", module, short, from.Line, from.Column, to.Line, to.Column))
	}
	text.WriteString(string(content[done:]) + "\nvar _ = _covered_.Counts\n")
	const sandbox = "func closeOnExec(keep []int) error {"
	return places, strings.Replace(text.String(), sandbox, sandbox+" keep = _covered_.Keep(keep);", 1), nil
}
