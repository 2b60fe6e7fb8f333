package shell

import "testing"

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"sshd.vpn": "sshd.vpn", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'",
	} {
		if got := Quote(text); got != want {
			t.Errorf("%q becomes %s, want %s", text, got, want)
		}
	}
}
