package confd

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// settings are the names under which the tests look for values.
var settings = []string{"netns", "vrf", "netns_etc", "netns_hide", "netns_lock"}

// FuzzParseAgreesWithSh feeds Parse any bytes: it must refuse them, and say
// where, or give what every shell at hand makes of them.
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
		var shell *ShellError
		if !errors.As(err, &shell) {
			t.Fatalf("Parse(%q): %v, which does not say where", src, err)
		}
		if lines := 1 + bytes.Count(src, []byte("\n")); shell.Line < 1 || shell.Line > lines {
			t.Errorf("Parse(%q): line %d of %d", src, shell.Line, lines)
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
