package preflight

import "testing"

func TestAssignLeavesTheRestOfTheLine(t *testing.T) {
	for _, test := range []struct{ line, name, value, want string }{
		{"netns=vpn", "netns", "web", "netns=web"},
		{"netns=", "netns", "web", "netns=web"},
		{"netns='a b' # why", "netns", "web", "netns=web # why"},
		{`export netns="vpn"`, "netns", "web", "export netns=web"},
		{"\tx=1\tnetns=vpn\ty=2", "netns", "web", "\tx=1\tnetns=web\ty=2"},
		{"netns=a netns=b", "netns", "web", "netns=a netns=web"},
		{"mynetns=a netns=b", "netns", "web", "mynetns=a netns=web"},
		{"netns_hide='/a /b' netns=vpn", "netns_hide", "/a /c", `netns_hide="/a /c" netns=vpn`},
		{"", "netns", "web", "netns=web"},
	} {
		if got := assign(test.line, test.name, test.value); got != test.want {
			t.Errorf("assign(%q, %q, %q) = %q, want %q", test.line, test.name, test.value, got, test.want)
		}
	}
	for line, want := range map[string]string{
		"netns=vpn": "", "export netns=vpn": "", "x=1 netns='vpn' y=2": "x=1 y=2", "netns=vpn # why": "# why",
	} {
		if got := without(line, "netns"); got != want {
			t.Errorf("without(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestNearestIsAMistakeAway(t *testing.T) {
	for name, want := range map[string]string{
		"netns_hid": "netns_hide", "netns_ect": "netns_etc", "netns_locks": "netns_lock", "netns_interface": "netns_interfaces",
		"netns_hide": "", "netns_table": "", "netn": "", "vfr": "", "NETNS_HIDE": "",
	} {
		if got := likely(name); got != want {
			t.Errorf("likely(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"ssdh": "sshd", "sshd": "", "ssh": "sshd", "x": "", "nginx": ""} {
		if got := nearest(name, []string{"a", "sshd", "dnsmasq"}); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
