package publish

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct{ word, network, listen, target, again string }{
		{"127.0.0.1:9091", "tcp", "127.0.0.1:9091", "127.0.0.1:9091", ""},
		{"tcp:127.0.0.1:80=10.0.0.2:8080", "tcp", "127.0.0.1:80", "10.0.0.2:8080", "127.0.0.1:80=10.0.0.2:8080"},
		{"[::1]:8080=192.0.2.1:80", "tcp", "[::1]:8080", "192.0.2.1:80", ""},
		{"[0:0::1]:80", "tcp", "[::1]:80", "[::1]:80", "[::1]:80"},
		{"0.0.0.0:80=[2001:db8::1]:80", "tcp", "0.0.0.0:80", "[2001:db8::1]:80", ""},
		{"udp:127.0.0.1:53", "udp", "127.0.0.1:53", "127.0.0.1:53", ""},
		{"unix:/run//x.sock=127.0.0.1:80", "unix", "/run/x.sock", "127.0.0.1:80", "unix:/run/x.sock=127.0.0.1:80"},
	} {
		e, err := Parse(test.word)
		if err != nil {
			t.Errorf("%s: %v", test.word, err)
			continue
		}
		listen := e.Path
		if e.Network != Unix {
			listen = e.Listen.String()
		}
		again := test.again
		if again == "" {
			again = test.word
		}
		if string(e.Network) != test.network || listen != test.listen || e.Target.String() != test.target || e.String() != again {
			t.Errorf("%s: %+v, %s", test.word, e, e)
		}
		if twice, err := Parse(e.String()); err != nil || twice != e {
			t.Errorf("%s: read again: %+v, %v", test.word, twice, err)
		}
	}
}

// What is wrong is said with the word, and with what to write.
func TestParseRefuses(t *testing.T) {
	for word, want := range map[string]string{
		"":                            "there is no address: write 127.0.0.1:80 or [::1]:80, for instance",
		"9091":                        `"9091" is not an address and a port: write 127.0.0.1:80 or [::1]:80, for instance`,
		":9091":                       `"" is not an address (names are not looked up): write 127.0.0.1:80 or [::1]:80, for instance`,
		"127.0.0.1":                   `"127.0.0.1" has no port: write 127.0.0.1:80, for instance`,
		"127.0.0.1:":                  `"" is not a port: write a number from 1 to 65535`,
		"127.0.0.1:0":                 `"127.0.0.1:0" has no port: write one from 1 to 65535`,
		"127.0.0.1:65536":             `"65536" is not a port: write a number from 1 to 65535`,
		"127.0.0.1:http":              `"http" is not a port: write a number from 1 to 65535`,
		"::1:80":                      `"::1:80" has no brackets or no port: write [::1:80]:80, for instance`,
		"2001:db8:1:2:3:4:5:6:80":     `"2001:db8:1:2:3:4:5:6:80" has no brackets: write [2001:db8:1:2:3:4:5:6]:80`,
		"[::1]":                       `"[::1]" has no port: write [::1]:80, for instance`,
		"[::ffff:127.0.0.1]:80":       `"[::ffff:127.0.0.1]:80" is an IPv4 address in disguise: write 127.0.0.1:80`,
		"[fe80::1%eth0]:80":           `"[fe80::1%eth0]:80" names an interface, which is not supported: use an address that needs none`,
		"localhost:80":                `"localhost" is not an address (names are not looked up): write 127.0.0.1:80 or [::1]:80, for instance`,
		"sctp:127.0.0.1:80":           `"sctp:127.0.0.1" is not an address (names are not looked up): write 127.0.0.1:80 or [::1]:80, for instance`,
		"127.0.0.1:80=":               "there is no address: write 127.0.0.1:80 or [::1]:80, for instance",
		"127.0.0.1:80=web:80":         `"web" is not an address (names are not looked up): write 127.0.0.1:80 or [::1]:80, for instance`,
		"127.0.0.1:80=0.0.0.0:80":     "0.0.0.0 is no address to connect to: write the one inside, 127.0.0.1:80, for instance",
		"0.0.0.0:80":                  "0.0.0.0 stands for every address of the host, and nothing says which one inside is meant: write 0.0.0.0:80=127.0.0.1:80, for instance",
		"unix:/run/x.sock":            "a socket in the file system needs a target: write unix:/run/x.sock=127.0.0.1:80, for instance",
		"unix:x.sock=127.0.0.1:80":    `"x.sock" is not the absolute path of a socket: write unix:/run/name.sock=127.0.0.1:80, for instance`,
		"unix:/run/it's=127.0.0.1:80": "the path has a quote or a backslash in it: choose another one",
		"unix:/" + strings.Repeat("x", 107) + "=127.0.0.1:80": "the path has 108 bytes, the limit is 107: choose a shorter one",
	} {
		_, err := Parse(word)
		if err == nil {
			t.Errorf("%s: accepted", word)
			continue
		}
		if got := strings.TrimPrefix(err.Error(), `"`+word+`": `); got != want {
			t.Errorf("%s: %s", word, got)
		}
	}
}

func TestParseListTellsWhatClashes(t *testing.T) {
	for list, clash := range map[string]bool{
		"127.0.0.1:80 127.0.0.1:81 [::1]:80 udp:127.0.0.1:80":   false,
		"127.0.0.1:80 tcp:127.0.0.1:80=10.0.0.1:80":             true,
		"127.0.0.1:80 0.0.0.0:80=10.0.0.1:80":                   true,
		"127.0.0.1:80 [::]:80=10.0.0.1:80":                      false,
		"127.0.0.1:80 127.0.0.2:80":                             false,
		"unix:/run/a=127.0.0.1:80 unix:/run/b=127.0.0.1:80":     false,
		"unix:/run/a=127.0.0.1:80 unix:/run//a=127.0.0.1:81":    true,
		"unix:/run/a=127.0.0.1:80\n127.0.0.1:80\tudp:[::1]:80 ": false,
	} {
		_, err := ParseList(list)
		if clash != (err != nil) {
			t.Errorf("%q: %v", list, err)
		}
	}
}
