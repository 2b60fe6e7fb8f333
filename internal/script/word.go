package script

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Word is a word of a command, or a part of one, as it stands in the script.
type Word struct {
	Raw        string // with quotes
	Start, End int    // the place of Raw in the source, in bytes
	Line       int    // where it begins, from 1
}

// parse takes the word apart: nil if it is none, or more than one.
func (w Word) parse() *syntax.Word {
	var found []*syntax.Word
	for word, err := range newParser().WordsSeq(strings.NewReader(w.Raw)) {
		if err != nil {
			return nil
		}
		found = append(found, word)
	}
	if len(found) != 1 || found[0].End().Offset()-found[0].Pos().Offset() != uint(len(w.Raw)) {
		return nil
	}
	return found[0]
}

// Literal is what a shell makes of the word; ok is false if it would have to
// expand something.
func (w Word) Literal() (text string, ok bool) {
	text, unknown := w.Expand(func(string) (string, bool) { return "", false })
	return text, unknown == ""
}

// Assignment takes NAME=VALUE apart.
func (w Word) Assignment() (name string, value Word, ok bool) {
	name, rest, found := strings.Cut(w.Raw, "=")
	if !found || !syntax.ValidName(name) {
		return "", Word{}, false
	}
	return name, Word{rest, w.Start + len(name) + 1, w.End, w.Line}, true
}

// Fields are the words that a shell would make of the value of the word, if it
// expanded that without quotes: those between one pair of quotes, or the word
// itself. ok is false for a word that is quoted in part.
func (w Word) Fields() (fields []Word, ok bool) {
	if !strings.ContainsAny(w.Raw, `'"`) {
		return []Word{w}, true
	}
	word := w.parse()
	if word == nil || len(word.Parts) != 1 {
		return nil, false
	}
	// Where expansions end, by where they begin: they are not taken apart.
	ends := map[int]int{}
	switch quotes := word.Parts[0].(type) {
	case *syntax.SglQuoted:
		if quotes.Dollar {
			return nil, false
		}
	case *syntax.DblQuoted:
		if quotes.Dollar {
			return nil, false
		}
		for _, part := range quotes.Parts {
			if _, plain := part.(*syntax.Lit); !plain {
				ends[int(part.Pos().Offset())] = int(part.End().Offset())
			}
		}
	default:
		return nil, false
	}
	const blanks = " \t\n"
	line, text := w.Line, w.Raw[:len(w.Raw)-1]
	for at := 1; ; {
		for at < len(text) && (strings.IndexByte(blanks, text[at]) >= 0 || strings.HasPrefix(text[at:], "\\\n")) {
			if text[at] == '\n' {
				line++
			}
			at++
		}
		if at == len(text) {
			return fields, true
		}
		from, begin := at, line
		for at < len(text) && strings.IndexByte(blanks, text[at]) < 0 {
			next := at + 1
			switch end, expansion := ends[at]; {
			case expansion:
				next = end
			case text[at] == '\\' && strings.IndexByte(blanks, (text + " ")[at+1]) >= 0 && !strings.HasPrefix(text[at:], "\\\n"):
			case text[at] == '\\':
				next = min(at+2, len(text))
			}
			if strings.HasPrefix(text[at:], "\\\n ") || strings.HasPrefix(text[at:], "\\\n\t") {
				break // the lines are one
			}
			line += strings.Count(text[at:next], "\n")
			at = next
		}
		fields = append(fields, Word{text[from:at], w.Start + from, w.Start + at, begin})
	}
}
