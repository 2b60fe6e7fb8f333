package preflight

import "testing"

func TestInNamespace(t *testing.T) {
	for line, want := range map[string]string{
		"vpn:3:wait:/sbin/ip netns exec vpn /sbin/openrc vpn":             "vpn",
		"::wait:ip  netns exec mgmt rc-service sshd start":                "mgmt",
		"l9:3:wait:/usr/sbin/netns-exec vpn -- /sbin/openrc vpn":          "vpn",
		"x:3:wait:/usr/bin/nsenter --net=/run/netns/lan /sbin/openrc lan": "lan",
		"x:3:wait:/usr/bin/nsenter -n/var/run/netns/lan -- /sbin/rc lan":  "lan",
		"::wait:/sbin/openrc default":                                     "",
		"tty1::respawn:/sbin/ip netns exec vpn /sbin/getty 38400 tty1":    "",
		"::wait:/sbin/ip netns exec vpn /usr/bin/openrc-less":             "",
	} {
		got := ""
		if found := inNamespace.FindStringSubmatch(line); found != nil {
			got = found[1]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
