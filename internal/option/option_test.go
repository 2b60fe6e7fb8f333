package option

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		args string // each word an argument, "~" for an empty one
		want string
	}{
		{"", "user= hide=[] dry=false [] false"},
		{"-u x -n a -n", "user=x hide=[] dry=true [a -n] false"},
		{"-ux a", "user=x hide=[] dry=false [a] false"},
		{"-nux a", "user=x hide=[] dry=true [a] false"},
		{"--user x --user=y -- -n", "user=y hide=[] dry=false [-n] true"},
		{"--user=a=b", "user=a=b hide=[] dry=false [] false"},
		{"--user -- --", "user=-- hide=[] dry=false [] true"},
		{"--hide a --hide=b - c", "user= hide=[a b] dry=false [- c] false"},
		{"a -- b", "user= hide=[] dry=false [a -- b] false"},
		{"--user", `option "--user" needs a value`},
		{"--user=", `option "--user" needs a value`},
		{"-u", `option "-u" needs a value`},
		{"-nu ~", `option "-u" needs a value`},
		{"--dry-run=yes", `option "--dry-run" takes no value`},
		{"-nx", `unknown option "-x"`},
		{"--us x", `unknown option "--us"`},
		{"--=x", `unknown option "--"`},
		{"-nh", "help was asked for"},
		{"--help", "help was asked for"},
	} {
		var user string
		var hide []string
		var dry bool
		var set Set
		set.Value(&user, "user", 'u')
		set.Values(&hide, "hide")
		set.Flag(&dry, "dry-run", 'n')
		operands, dashes, err := set.Parse(words(test.args))
		got := fmt.Sprintf("user=%s hide=%v dry=%v %v %v", user, hide, dry, operands, dashes)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q: %s, want %s", test.args, got, test.want)
		}
	}
}

func TestIgnoreUnknown(t *testing.T) {
	var service string
	set := Set{AllowEmpty: true, IgnoreUnknown: true}
	set.Value(&service, "service", 0)
	operands, _, err := set.Parse(words("--new x --newer=y --newest --service ~ -- command"))
	if got := fmt.Sprintf("%q %v %v", service, operands, err); got != `"" [command] <nil>` {
		t.Error(got)
	}
}

func words(text string) []string {
	var words []string
	for word := range strings.FieldsSeq(text) {
		if word == "~" {
			word = ""
		}
		words = append(words, word)
	}
	return words
}
