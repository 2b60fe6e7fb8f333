package confd

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// settings are the names under which the tests look for values.
var settings = []string{"netns", "vrf", "netns_etc", "netns_hide", "netns_lock"}

// FuzzParseAgreesWithSh feeds Parse any bytes: it must refuse them, and say
// where and why on one line, or give what every shell at hand makes of them.
func FuzzParseAgreesWithSh(f *testing.F) {
	for _, file := range acceptedFiles {
		f.Add([]byte(file.src))
	}
	for _, file := range refusedFiles {
		f.Add([]byte(file.src))
	}
	shells := startShells(f, settings)

	f.Fuzz(func(t *testing.T, src []byte) {
		values, err := Parse(src, settings)
		if err == nil {
			for _, s := range shells {
				s.agree(t, src, settings, values)
			}
			return
		}
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Fatalf("Parse(%q): %v, which does not say where", src, err)
		}
		if lines := 1 + bytes.Count(src, []byte("\n")); syntax.Line < 1 || syntax.Line > lines {
			t.Errorf("Parse(%q): line %d of %d", src, syntax.Line, lines)
		}
		if i := strings.IndexFunc(err.Error(), func(c rune) bool { return c < ' ' || c == 0x7f }); i >= 0 {
			t.Errorf("Parse(%q): %q has a control character", src, err)
		}
	})
}

// TestParseAgreesWithShOnRandomFiles puts files together from the pieces that
// real ones are made of, which reaches corners that changing single bytes does
// not.
func TestParseAgreesWithShOnRandomFiles(t *testing.T) {
	shells := startShells(t, settings)
	random := rand.New(rand.NewPCG(8, 2))
	for compared := 0; compared < 300 && !t.Failed(); {
		src := randomFile(random)
		if compared%2 == 1 {
			src = randomFunction(random)
		}
		values, err := Parse(src, settings)
		if err != nil {
			continue
		}
		compared++
		for _, s := range shells {
			s.agree(t, src, settings, values)
		}
	}
}

func randomFile(random *rand.Rand) []byte {
	var src []byte
	some := func(n int, pieces ...string) {
		for range n {
			src = append(src, pieces[random.IntN(len(pieces))]...)
		}
	}
	text := func(n int) {
		some(n, "netns=vpn", "vrf=", "a", "b c", "=", "/run/x", "~", "~root", "*", "[a]", "{a,b}", "!", "%", "^", "#", " # ", ":", "-n",
			"$FOO", "$netns", "${FOO}", "${netns}", "${FOO:-a}", "${x-$y}", "${x:+${y} z}", "${x+}", "${FOO##*/}", "${FOO#?}", "${x%%}", "${netns:=a}", "${FOO:=a}", "$(date)", "`date`", "$(echo a)", "$1", "2>&1", ">/x", ";",
			"$", "${", "}", "$(", "`", ";", "&", "|", "<", "(", "'", "\"", "\\", "\\\"", "\\$", "\\`", "\\\\", "\\\n",
			" ", "\t", "\n", "\u00e4", "\u00a0", "\u3042", "\xe3\x81", "\x01", "\x7f", "\f")
	}
	for range 1 + random.IntN(4) {
		some(1, "", "", "", "export ", " ", "# it's\n", "# \\\n", "\n", "; ", "[ \"$x\" = a ] && ", "[ -n \"$FOO\" ] || ", "[ ! -e /x ] || ", ": ${FOO:=a}; ",
			"if [ -d / ]; then ", "else ", "fi\n", "f() {\n", "f() { :; }; ", "}\n", "if x; then\n", "for i in a b; do ", "done; ", "return", "return 0\n", "[ x ] && return 0\n", "case $1 in a) ", ";; esac\n", "&& ", "echo \"$(date)\" | ")
		some(1, "netns=", "netns=", "vrf=", "netns_hide=", "FOO=", "FOO=", "x=", "PATH=", "LANG=", "LC_ALL=", "if=", "FOO")
		for range random.IntN(4) {
			switch random.IntN(4) {
			case 0:
				some(1, "a", "vpn", "/x", "b=c", "$FOO", "${x:-y}", "\\ ", "#")
			case 1:
				text(1)
			case 2:
				some(1, "'")
				text(random.IntN(4))
				some(1, "'")
			case 3:
				some(1, "\"")
				text(random.IntN(4))
				some(1, "\"")
			}
		}
		some(1, "\n", "\n", "\n", " ", "\t", " # c\n", "#\n", "")
	}
	return src
}

// randomFunction puts the body of a function together in the way of the
// grammar, and then may break it.
func randomFunction(random *rand.Rand) []byte {
	one := func(choices ...string) string { return choices[random.IntN(len(choices))] }
	var commands func(depth int) string
	var word func(depth int) string
	quoted := func(depth int) string {
		var b strings.Builder
		for range random.IntN(4) {
			switch random.IntN(8) {
			case 0:
				b.WriteString("$(" + commands(depth+1) + one("", "\n", ";") + ")")
			default:
				b.WriteString(one("a", " ", "#", "'", "$1", "${x:-a b}", "\\\"", "\\\\", "`date`", ")", "}", ";;", "\n", "$?", "${1}", "esac", "\u00e4"))
			}
		}
		return b.String()
	}
	word = func(depth int) string {
		var b strings.Builder
		for n := range 1 + random.IntN(2) {
			switch random.IntN(10) {
			case 0:
				b.WriteString("'" + one("", "a", "\"", "$x", "#", "\n", "\\") + "'")
			case 1, 2:
				b.WriteString("\"" + quoted(depth) + "\"")
			case 3:
				if depth < 3 {
					b.WriteString("$(" + commands(depth+1) + one("", "\n", ";", " #c\n") + ")")
				}
			case 4:
				b.WriteString(one("$1", "$@", "${x%%/*}", "${1:-a}", "$x", "`echo a`", "$#", "$$", "$!"))
			case 5:
				b.WriteString(one("{", "}", "!", "{}", "[", "]", "a[1]", "*", "?", "~", "\\;", "\\ ", "a=b", "x=", "-", "in", "if", "do", "esac", "then", "2", "function", "time", "[["))
			default:
				b.WriteString(one("a", "echo", "ip", "/x", "netns=evil", "x=1", "a#b", "%", "1"))
			}
			if n == 0 && b.Len() == 0 {
				b.WriteString("a")
			}
		}
		return b.String()
	}
	redirection := func() string {
		return one(" >/x", " 2>&1", " </x", " >>x", " 2>/dev/null", " >&2", " <&-", " > \"$x\"", "")
	}
	command := func(depth int) string {
		if depth > 3 {
			return "a"
		}
		space, sep := one(" ", "\n", " \n\t", " # it's\n"), one(";", "\n", " ;", " &", " # \"c\n")
		switch random.IntN(14) {
		case 0:
			return "{" + space + commands(depth+1) + sep + " }" + redirection()
		case 1:
			return "(" + commands(depth+1) + one("", sep) + ")" + redirection()
		case 2:
			text := "if " + commands(depth+1) + sep + " then" + space + commands(depth+1) + sep
			if random.IntN(2) == 0 {
				text += " elif " + commands(depth+1) + sep + " then " + commands(depth+1) + sep
			}
			if random.IntN(2) == 0 {
				text += " else" + space + commands(depth+1) + sep
			}
			return text + " fi" + redirection()
		case 3:
			return one("while", "until") + space + commands(depth+1) + sep + " do" + space + commands(depth+1) + sep + " done" + redirection()
		case 4:
			return "for x in " + word(depth) + " " + word(depth) + one(";", "\n", " ;\n") + " do" + space + commands(depth+1) + sep + " done" + redirection()
		case 5:
			text := "case " + word(depth) + " in" + space
			for range random.IntN(3) {
				text += one("", "(") + word(depth) + one("", "|"+word(depth), " | b ") + ")" + space + one("", commands(depth+1)+one("", sep)) + " ;;" + space
			}
			return text + one("", "*) a"+sep) + " esac" + redirection()
		}
		text := word(depth)
		for range random.IntN(3) {
			text += one(" ", " ", "\t", " \\\n ", " \\\n") + word(depth)
		}
		return text + redirection()
	}
	commands = func(depth int) string {
		text := one("", "", "", "! ") + command(depth)
		for random.IntN(3) == 0 {
			text += one(" && ", " || ", " | ", "; ", "\n", " & ", "&&", "|", " &&\n", " | # c\n", ";") + command(depth)
		}
		return text
	}
	src := one("f", "f ", "preup") + one("()", "( )", " ()") + one(" ", "\n", " # c\n") + "{" + one(" ", "\n", "\n\t# c\n") + commands(0) + one("\n", ";", " # c\n", " &\n") + one("", " ") + "}" + one("\n", "; vrf=a\n", "; ", " # c\n") + "netns=vpn\n"
	if random.IntN(2) == 0 {
		at := random.IntN(len(src))
		src = src[:at] + one("", "", ";", " ", "\n", "&", ")", "(", "}", "{", "\"", "'", "#", "$", "|", "\\", "<", ">", "!", "`", "=", "[") + src[min(len(src), at+random.IntN(2)):]
	}
	return []byte(src)
}
