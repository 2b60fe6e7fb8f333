package script

import (
	"errors"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// Expand puts values in place of variables, as a shell would in an assignment.
// lookup knows the values; unknown is the first of what it does not know, or of
// what only a shell can expand, and text then means nothing. A variable that
// has no value is one whose value is known to be empty.
func (w Word) Expand(lookup func(name string) (string, bool)) (text, unknown string) {
	if !strings.ContainsAny(w.Raw, "\\'\"$`*?[~{}()<>|&;! \t\n") {
		return w.Raw, ""
	}
	word := w.parse()
	if word == nil {
		return "", w.Raw
	}
	if unknown = w.several(word); unknown != "" {
		return "", unknown
	}
	env := &environ{lookup: lookup}
	all := expand.FieldsSeq(&expand.Config{Env: env}, word)
	env.unknown = "" // PWD, for names of files that it does not look for
	var fields []string
	var err error
	for field, fieldErr := range all {
		fields, err = append(fields, field), fieldErr
	}
	var command expand.UnexpectedCommandError
	switch {
	case err == nil && env.unknown == "" && len(fields) <= 1:
		return strings.Join(fields, ""), ""
	case errors.As(err, &command) && env.unknown == "":
		return "", w.source(command.Node)
	}
	// The expansion that has the variable.
	syntax.Walk(word, func(n syntax.Node) bool {
		p, ok := n.(*syntax.ParamExp)
		if ok && unknown == "" && (env.unknown == "" || p.Param != nil && p.Param.Value == env.unknown) {
			unknown = w.source(p)
		}
		return unknown == ""
	})
	if unknown == "" {
		unknown = w.Raw
	}
	return "", unknown
}

// several is what a shell might make several words or the name of a file of:
// patterns, braces, <(); empty if there is nothing. Braces may stand for more
// words than there is memory for.
func (w Word) several(word *syntax.Word) string {
	for i, part := range word.Parts {
		switch part := part.(type) {
		case *syntax.ProcSubst, *syntax.ExtGlob:
			return w.source(part)
		case *syntax.Lit:
			for at := 0; at < len(part.Value); at++ {
				switch c := part.Value[at]; {
				case c == '\\':
					at++
				case strings.IndexByte("*?[{", c) >= 0, c == '~' && i == 0 && at == 0:
					return part.Value[at:]
				}
			}
		}
	}
	return ""
}

// source is a part of the word as it stands in the script.
func (w Word) source(node syntax.Node) string {
	return w.Raw[node.Pos().Offset():node.End().Offset()]
}

// environ has the first variable that lookup does not know.
type environ struct {
	lookup  func(string) (string, bool)
	unknown string
}

// Get implements expand.Environ. No value is split into fields, as those of
// assignments are not.
func (e *environ) Get(name string) expand.Variable {
	if name == "IFS" {
		return expand.Variable{Set: true, Kind: expand.String}
	}
	value, known := e.lookup(name)
	if !known && e.unknown == "" {
		e.unknown = name
	}
	return expand.Variable{Set: known && value != "", Kind: expand.String, Str: value}
}

// Each implements expand.Environ.
func (e *environ) Each(func(string, expand.Variable) bool) {}

// Set implements expand.WriteEnviron, for ${NAME:=WORD}.
func (e *environ) Set(string, expand.Variable) error { return nil }
