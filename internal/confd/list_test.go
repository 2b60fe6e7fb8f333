package confd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListSaysWhere(t *testing.T) {
	got, err := list([]byte("# first\nnetns=vpn\nopts=\"a\n b\" netns_hid=/x\n\nnetns='web'\n"), []string{"netns"})
	want := []Assignment{{"netns", "vpn", 2}, {"opts", "", 3}, {"netns_hid", "", 4}, {"netns", "web", 6}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestHeadIsCertain(t *testing.T) {
	for src, want := range map[string][]Assignment{
		"#!/sbin/openrc-run\nsupervisor=s6\nstart_pre()\n{\n\t:\n}\n": {{"supervisor", "s6", 2}},
		"supervisor=s6\n":                             {{"supervisor", "s6", 1}},
		"start() { :; }\nsupervisor=s6\n":             {{"supervisor", "s6", 2}},
		"modprobe tun\nsupervisor=s6\n":               nil, // who knows what came before
		"supervisor=s6\nf() {\n supervisor=\n}":       nil,
		"supervisor=s6\nunset supervisor\n":           nil,
		"supervisor=\nf() { : ${supervisor:=s6}; }\n": nil,
		"supervisor=\nf() { : ${supervisor=s6}; }\n":  nil,
		"supervisor=s6\nf() {\n\t. /etc/more\n}\nf\n": nil,
		"supervisor=s6\n[ -e x ] && eval $x\n":        nil,
		"supervisor=s6\n. /etc/more\n":                nil,
		"supervisor=s6 start\n":                       nil,
		"supervisor=s6 x='\n' start\n":                nil, // for that command alone
		"supervisor=$x\n":                             nil,
		"supervisor=s6\n# supervisor=\nf() { echo $supervisor ${supervisor} $my_supervisor; }\n": {{"supervisor", "s6", 1}},
	} {
		got, err := head([]byte(src), []string{"supervisor"})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", src, err, diff)
		}
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
		if got := assigns(withoutComments([]byte(text)), "netns"); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestMayAssign(t *testing.T) {
	for text, want := range map[string]bool{
		"modprobe tun\n":                          false,
		"f() {\ncat <<x\n}\nx\n}\n# netns=vpn\n":  false,
		"FOO=$netns\nmodprobe\nexport BAR=\"$x\"": false,
		"read -r line </etc/x\n":                  false,
		"modprobe tun\nnetns=vpn\n":               true,
		"read netns </etc/which\n":                true,
		"unset netns\n":                           true,
		"[ -e x ]&&. /etc/more\n":                 true,
		"x=$(date); eval \"$x\"\n":                true,
		"export \"$name=vpn\"\n":                  true,
		"f() { unset $name; }; f\n":               true,
		"printf -v $name vpn\n":                   true,
	} {
		if got := mayAssign(withoutComments([]byte(text)), "netns"); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
