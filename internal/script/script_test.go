package script

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// show is a command a line: the line, the function, ? where something decides
// whether it is run, $ where it has a process of its own, and the words.
func show(s *Script) string {
	var text strings.Builder
	for _, c := range s.Commands {
		fmt.Fprintf(&text, "%d %s", c.Words[0].Line, c.Function)
		if c.Conditional {
			text.WriteString("?")
		}
		if c.Nested {
			text.WriteString("$")
		}
		text.WriteString(":")
		for _, w := range c.Words {
			text.WriteString(" <" + w.Raw + ">")
		}
		text.WriteString("\n")
	}
	for _, t := range s.Texts {
		fmt.Fprintf(&text, "%d %s<<%q\n", t.Line, t.Function, t.Content)
	}
	return text.String()
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"nothing":      {"", ""},
		"comments":     {"#!/sbin/openrc-run\n# ip netns exec vpn a\nb#c # d\n", "3 : <b#c>\n"},
		"words":        {"a 'b c' \"d $e\" f\\ g h'i'\"j\"\n", "1 : <a> <'b c'> <\"d $e\"> <f\\ g> <h'i'\"j\">\n"},
		"continuation": {"a \\\n\tb\\\nc \\\nd\ne\n", "1 : <a> <b\\\nc> <d>\n5 : <e>\n"},
		"lists":        {"a;b&c|d\n", "1 : <a>\n1 : <b>\n1 : <c>\n1 : <d>\n"},
		"conditions":   {"a && b | c; d || e\nf\n", "1 : <a>\n1 ?: <b>\n1 ?: <c>\n1 : <d>\n1 ?: <e>\n2 : <f>\n"},
		"if":           {"if a; then b; elif ! c\nthen d\nelse\ne\nfi\nf", "1 ?: <a>\n1 ?: <b>\n1 ?: <c>\n2 ?: <d>\n4 ?: <e>\n6 : <f>\n"},
		"loops": {"while a; do b; done\nfor x in c d; do e; done\nfor y\ndo f\ndone\ng\n",
			"1 ?: <a>\n1 ?: <b>\n2 ?: <for> <x> <in> <c> <d>\n2 ?: <e>\n3 ?: <for> <y>\n4 ?: <f>\n6 : <g>\n"},
		"case": {"case \"$a\" in\nb | 'c)') d ;;\n(e) f && g\n;;\n*)\nesac\ncase x in y) case z in w) h;; esac; i;; esac; j\n",
			"2 ?: <d>\n3 ?: <f>\n3 ?: <g>\n7 ?: <h>\n7 ?: <i>\n7 : <j>\n"},
		"functions": {"a()\n{\n\tb\n\t{ c; }\n}\nd() { e; }; f\ng () ( h )\nfunction i { j; }\nk\n",
			"3 a: <b>\n4 a: <c>\n6 d: <e>\n6 : <f>\n7 g$: <h>\n8 i: <j>\n9 : <k>\n"},
		"function in a function": {"a() { b() { c; }; d; }\ne\n", "1 a: <c>\n1 a: <d>\n2 : <e>\n"},
		"subshell":               {"(a; b) && c\n", "1 $: <a>\n1 $: <b>\n1 ?: <c>\n"},
		"substitutions": {"a=$(b \"$(c)\") d `e \"f\"`\n\"$(g `h` i)\" ${j:-$(k)} \"l\"\n",
			"1 $: <c>\n1 $: <b> <\"$(c)\">\n1 $: <e> <\"f\">\n1 : <a=$(b \"$(c)\")> <d> <`e \"f\"`>\n" +
				"2 $: <h>\n2 $: <g> <`h`> <i>\n2 $: <k>\n2 : <\"$(g `h` i)\"> <${j:-$(k)}> <\"l\">\n"},
		"case in a substitution":    {"a=$(case b in c) d;; esac)\n", "1 ?$: <d>\n1 : <a=$(case b in c) d;; esac)>\n"},
		"redirection in backquotes": {"a `b 2>/dev/null`\nc\n", "1 $: <b>\n1 : <a> <`b 2>/dev/null`>\n2 : <c>\n"},
		"arithmetic":                {"a=$((1 + (2) * $(b))); c=$(( x ))\n", "1 $: <b>\n1 : <a=$((1 + (2) * $(b)))>\n1 : <c=$(( x ))>\n"},
		"expansions":                {"a ${b#\"}\"} ${c:+d e}\n", "1 : <a> <${b#\"}\"}> <${c:+d e}>\n"},
		"redirections":              {"a >b 2>&1 <c >>d 3<>e >|f g\n>h\ni < <(j)\nk 2 >l\n", "1 : <a> <g>\n3 $: <j>\n3 : <i>\n4 : <k> <2>\n"},
		"here-documents": {"a <<b; c\nd $(e)\nb\nf <<-'g' <<h\n\ti\n\tg\nj\nh\nk\n",
			"1 : <a>\n1 : <c>\n4 : <f>\n9 : <k>\n1 <<\"d $(e)\\n\"\n4 <<\"\\ti\\n\"\n4 <<\"j\\n\"\n"},
		"here-document in a substitution": {"a=$(b <<c\nd )\nc\n)\ne\n", "1 $: <b>\n1 : <a=$(b <<c\nd )\nc\n)>\n5 : <e>\n1 <<\"d )\\n\"\n"},
		"reserved words as arguments":     {"echo if { case }\n", "1 : <echo> <if> <{> <case> <}>\n"},
		"array":                           {"a=(b c)\nd\n", "1 : <a=(b c)>\n2 : <d>\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse([]byte(c.src))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, show(s)); diff != "" {
				t.Error(diff)
			}
			for _, c2 := range s.Commands {
				for _, w := range c2.Words {
					if got := c.src[w.Start:w.End]; got != w.Raw {
						t.Errorf("%q stands where %q is", w.Raw, got)
					}
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for src, want := range map[string]string{
		"a\n'b\nc":                      "line 2: reached EOF without closing quote `'`",
		"a $(b\nc":                      "line 1: reached EOF without matching `$(` with `)`",
		"a )\n":                         "line 1: a command can only contain words and redirects; encountered `)`",
		"a >\n":                         "line 1: `>` must be followed by a word",
		"a <<b\nc":                      "line 1: unclosed here-document `b`",
		"\x7fELF\n\x00ip netns":         "line 2: a NUL byte: this is no text file",
		strings.Repeat("$(", 50_000):    "line 1: too many parentheses, braces and brackets",
		strings.Repeat("${a:-", 20_000): "line 1: too many parentheses, braces and brackets",
		strings.Repeat("if ", 40_000):   "line 1: `if` must be followed by a statement list",
		"a\nb\r\n":                      "line 2: a carriage return, which is part of a word for a shell",
		strings.Repeat("a\n", 600_000):  "line 1: 1200000 bytes, which is too long for a script",
	} {
		_, err := Parse([]byte(src))
		if err == nil || err.Error() != want {
			t.Errorf("%.20q: %v, want %s", src, err, want)
		}
	}
	// What comes before is there.
	s, _ := Parse([]byte("a\n'b\n"))
	if got := show(s); got != "1 : <a>\n" {
		t.Error(got)
	}
}

// Init scripts as they are.
func TestParseInitScripts(t *testing.T) {
	scripts, _ := filepath.Glob("../../tests/openrc/testdata/init.d/*")
	ours, _ := filepath.Glob("../../openrc/*")
	if len(scripts) == 0 || len(ours) == 0 {
		t.Fatal("no scripts")
	}
	for _, file := range append(scripts, ours...) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(src); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Whatever it is given, it ends, and the words are where it says.
func FuzzParse(f *testing.F) {
	f.Add("a() { case b in c) d <<e;; esac; }\nf\ne\n")
	f.Add("a() { case b in b) c <<d; esac; } &\n")
	f.Add("a=$(b `c \"${d:-'$((1))'}\"`) 2>&1 | e && ! f\n")
	f.Fuzz(func(t *testing.T, src string) {
		s, _ := Parse([]byte(src))
		for _, c := range s.Commands {
			for _, w := range c.Words {
				if src[w.Start:w.End] != w.Raw || w.Line < 1 {
					t.Errorf("%+v in %q", w, src)
				}
				fields, _ := w.Fields()
				for _, field := range fields {
					if src[field.Start:field.End] != field.Raw {
						t.Errorf("field %+v of %+v in %q", field, w, src)
					}
				}
				w.Literal()
			}
		}
	})
}

func TestFields(t *testing.T) {
	for src, want := range map[string]string{
		`a`:                        "<a>",
		`""`:                       "",
		`"a  b\` + "\n" + `	c"`:    "<a> <b> <c>",
		`'a $b'`:                   "<a> <$b>",
		`"a ${b:-c d} $(e f) \"g"`: `<a> <${b:-c d}> <$(e f)> <\"g>`,
		`"a"b`:                     "quoted in part",
		`"a" "b"`:                  "quoted in part",
		`"a"'b'"c"`:                "quoted in part",
	} {
		fields, ok := Word{Raw: src}.Fields()
		got := "quoted in part"
		if ok {
			var words []string
			for _, f := range fields {
				words = append(words, "<"+f.Raw+">")
			}
			got = strings.Join(words, " ")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", src, got, want)
		}
	}
}

func TestExpand(t *testing.T) {
	values := map[string]string{"a": "vpn", "e": "", "RC_SVCNAME": "web.lan.two"}
	for raw, want := range map[string]string{
		`vpn`: "vpn", `"vpn"`: "vpn", `'v'p"n"`: "vpn", `v\pn`: "vpn", `"v\pn"`: `v\pn`, `"\$a"`: "$a", `'$a'`: "$a",
		`$a`: "vpn", `"x-${a}y"`: "x-vpny", `$a$a`: "vpnvpn", `${e:-lan}`: "lan", `${e-lan}`: "lan", `${a:-lan}`: "vpn",
		`${e:="$a"}`: "vpn", `${a:+x}`: "x", `${e:+x}`: "", `${e}`: "",
		`${RC_SVCNAME#*.}`: "lan.two", `${RC_SVCNAME##*.}`: "two", `${RC_SVCNAME%.*}`: "web.lan", `"${RC_SVCNAME%%.*}"`: "web",
		`$b`: "? $b", `${b:-c}`: "? ${b:-c}", `x$(c)`: "? $(c)", "x`c`": "? `c`", `"$1"`: "? $1", `"$(c "d")e"`: `? $(c "d")`, `$`: "$", `${a#v}`: "pn", `{a,b}`: "? {a,b}", `x{1..99999999}`: "? {1..99999999}", `a<(b)`: "? <(b)", `>(b)`: "? >(b)", `@(a|b)`: "? @(a|b)",
		`${a:?x}`: "vpn", `${e:?x}`: "? ${e:?x}", `${`: "? ${", `*`: "? *", `"*"`: "*", `~x`: "? ~x", `${a:1:2}`: "pn", `'x`: "? 'x", `${e:-$b}`: "? $b",
	} {
		text, unknown := Word{Raw: raw}.Expand(func(name string) (string, bool) { v, known := values[name]; return v, known })
		if unknown != "" {
			text = "? " + unknown
		}
		if text != want {
			t.Errorf("%s: %s, want %s", raw, text, want)
		}
	}
}
