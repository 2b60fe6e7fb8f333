package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// ofGo are the mutations of a file of Go: a condition is negated, "and" is "or",
// a number is one more, a flag is missing, a call with what becomes of its error
// is missing, a return is.
func ofGo(name, content string) (all []mutation, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, content, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	offset := func(at token.Pos) int { return set.Position(at).Offset }
	for _, decl := range file.Decls {
		function, ok := decl.(*ast.FuncDecl)
		if !ok || function.Body == nil {
			continue
		}
		where := content[offset(function.Type.Pos()):offset(function.Type.Params.Pos())]
		replace := func(from, to token.Pos, text string) {
			all = append(all, lines(name, where, content, offset(from), offset(to), text))
		}
		ast.Inspect(function.Body, func(node ast.Node) bool {
			if node == nil {
				return false
			}
			from, to := node.Pos(), node.End()
			text := content[offset(from):offset(to)]
			switch n := node.(type) {
			case *ast.IfStmt:
				cond := content[offset(n.Cond.Pos()):offset(n.Cond.End())]
				replace(n.Cond.Pos(), n.Cond.End(), "!("+cond+")")
				if assign, ok := n.Init.(*ast.AssignStmt); ok && n.Else == nil && strings.HasSuffix(cond, "err != nil") {
					if _, ok := assign.Rhs[0].(*ast.CallExpr); ok {
						replace(from, to, "")
					}
				}
			case *ast.ExprStmt:
				replace(from, to, "")
			case *ast.AssignStmt:
				if strings.HasPrefix(text, "_ = ") {
					replace(from, to, "")
				}
			case *ast.ReturnStmt:
				replace(from, to, "")
			case *ast.BinaryExpr:
				switch n.Op {
				case token.LAND:
					replace(n.OpPos, n.OpPos+2, "||")
				case token.LOR:
					replace(n.OpPos, n.OpPos+2, "&&")
				case token.OR:
					replace(n.X.End(), to, "")
				}
			case *ast.BasicLit:
				if number, err := strconv.Atoi(n.Value); err == nil {
					replace(from, to, strconv.Itoa(number+1))
				}
			}
			return true
		})
	}
	return all, nil
}

// lines is the mutation of all lines that the text between two offsets is on.
func lines(name, where, content string, from, to int, text string) mutation {
	first := 1 + strings.LastIndexByte(content[:from], '\n')
	last := to + strings.IndexByte(content[to:]+"\n", '\n')
	return mutation{
		File: name, Where: where, Line: 1 + strings.Count(content[:first], "\n"),
		Before: content[first:last],
		After:  content[first:from] + text + content[to:last],
	}
}

var (
	shellFunction = regexp.MustCompile(`^(\w+)\(\)`)
	shellTest     = regexp.MustCompile(`(\[ .* \]|\b(?:if|elif|while) )`)
	shellSwap     = regexp.MustCompile(`&&|\|\|`)
	// shellPart are lines that belong to others.
	shellPart = regexp.MustCompile(`(^\s*(#|fi|done|esac|else|then|do|\}|\{|;;|$))|(\{|\\|;;|then|do|in|&&|\|\||\||\))$|\(\)`)
)

// ofShell are those of a file of shell: a test is negated, && is ||, a line is
// missing.
func ofShell(name, content string) (all []mutation) {
	where, start := "", 0
	for line := range strings.Lines(content) {
		from := start
		start += len(line)
		line = strings.TrimSuffix(line, "\n")
		if found := shellFunction.FindStringSubmatch(line); found != nil {
			where = found[1]
		}
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		replace := func(at []int, text string) {
			all = append(all, lines(name, where, content, from+at[0], from+at[1], text))
		}
		for _, at := range shellTest.FindAllStringIndex(line, -1) {
			if found := line[at[0]:at[1]]; found[0] == '[' {
				replace(at, "! "+found)
			} else {
				replace(at, found+"! ")
			}
		}
		for _, at := range shellSwap.FindAllStringIndex(line, -1) {
			replace(at, map[string]string{"&&": "||", "||": "&&"}[line[at[0]:at[1]]])
		}
		if !shellPart.MatchString(line) {
			indent := len(line) - len(strings.TrimLeft(line, "\t"))
			replace([]int{indent, len(line)}, ":")
		}
	}
	return all
}
