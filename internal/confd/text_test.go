package confd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAssignmentsSaysWhere(t *testing.T) {
	path := write(t, "# first=1\nnetns=vpn\nopts=\"$a\n b\" netns_hid=/x;vrf='a b'\n\n\t[ x ] && export netns='web'\n#netns=a\nnetns=\"$x\"\nnetns=a$x\n")
	want := []Assignment{
		{"netns", "vpn", true, 2}, {"opts", "", false, 3}, {"netns_hid", "/x", true, 4}, {"vrf", "a b", true, 4},
		{"netns", "web", true, 6}, {"netns", "", false, 8}, {"netns", "", false, 9},
	}
	if diff := cmp.Diff(want, Assignments(path)); diff != "" {
		t.Error(diff)
	}
}

func TestAssigns(t *testing.T) {
	for text, want := range map[string]bool{
		"netns=$(cat /etc/which)\n":         true,
		"\tnetns=vpn; export netns\n":       true,
		"if x; then netns=vpn; fi":          true,
		"#netns=vpn\n":                      false,
		"mynetns=vpn\n":                     false,
		"netns_post_up() {\n\tip link\n}\n": false,
		"echo netns is $netns\nnetns_etc=x": false,
	} {
		if got := Assigns(write(t, text), "netns"); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestMayAssign(t *testing.T) {
	for text, want := range map[string]bool{
		"modprobe tun\n":                          false,
		"f() {\ncat <<x\n}\nx\n}\n# netns=vpn\n":  false,
		"FOO=$netns\nmodprobe\nexport BAR=\"$x\"": false,
		"FOO=${netns:-a}\nmy_netns=a\nvrf2=b\n":   false,
		"read -r line </etc/x\n":                  false,
		"read -r line <\"$x\"\n":                  false,
		"modprobe tun\nnetns=vpn\n":               true,
		": ${netns:=vpn}\n":                       true,
		": ${netns=vpn}\n":                        true,
		"read netns </etc/which\n":                true,
		"unset netns\n":                           true,
		"[ -e x ]&&. /etc/more\n":                 true,
		"x=$(date); eval \"$x\"\n":                true,
		"export \"$name=vpn\"\n":                  true,
		"f() { unset $name; }; f\n":               true,
		"printf -v $name vpn\n":                   true,
		"\x00\n":                                  true,
	} {
		if got := MayAssign(write(t, text), []string{"vrf", "netns"}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
