package openrc

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		lines string
		own   []string
		want  []string
	}{
		"empty":              {"", []string{"A=1"}, nil},
		"as it is":           {"A=1\nB=\nno assignment\n\nA=2", []string{"A=3"}, []string{"A=1", "B=", "no assignment", "", "A=2"}},
		"a newline":          {"A=1\x012\nB=3", []string{"A=1\n2", "B=3"}, []string{"A=1\n2", "B=3"}},
		"a \\x01":            {"A=1\x012\nB=3", []string{"B=3", "A=1\x012"}, []string{"A=1\x012", "B=3"}},
		"both":               {"A=\x01\x01", []string{"A=\x01\n"}, []string{"A=\x01\n"}},
		"the first of two":   {"A=\x01\nA=2", []string{"A=\x01"}, []string{"A=\x01", "A=2"}},
		"changed since":      {"A=1\x012", []string{"A=\x01"}, []string{"A=1\n2"}},
		"another's value":    {"A=\x01", []string{"B=\x01"}, []string{"A=\n"}},
		"not the shell's":    {"a-b=1\x012\n\x01", []string{"A=1"}, []string{"a-b=1\n2", "\n"}},
		"a name that begins": {"A=\x01", []string{"AA=\x01"}, []string{"A=\n"}},
	} {
		if diff := cmp.Diff(test.want, decodeEnvironment(test.lines, test.own)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
