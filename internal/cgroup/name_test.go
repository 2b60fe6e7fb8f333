package cgroup

import "testing"

func TestServiceOfCgroup(t *testing.T) {
	known := func(service string) bool { return service == "sshd" || service == "sshd.vpn" }
	for _, test := range []struct{ cgroups, want string }{
		{"0::/openrc.sshd\n", "sshd"},
		{"0::/openrc.sshd.vpn\n", "sshd.vpn"},
		{"0::/openrc.nosuch\n", ""},
		{"0::/rc/nosuch\n", ""},
		{"0::/openrc.sshd/netns-exec.17.0.lock\n", "sshd"},
		{"0::/openrc.sshd/anything/below\n", "sshd"},
		{"0::/sshd\n", "sshd"}, // OpenRC 0.45
		{"0::/sshd/vpn-ns/vrf/mgmt\n", "sshd"},
		{"0::/sshd/vrf/mgmt\n", "sshd"},
		{"0::/sshd/0123456789abcdef\n", ""}, // a container's
		{"0::/rc/sshd.vpn\n", "sshd.vpn"},
		{"0::/rc/sshd/netns-exec.17.0.lock\n", "sshd"},
		{"0::/rc\n", ""},
		{"0::/user\n", ""},
		{"0::/\n", ""},
		{"0::/containers/one/openrc.sshd\n", ""}, // another OpenRC's
		{"4:memory:/sshd\n1:name=openrc:/sshd\n0::/\n", "sshd"},
		{"4:memory:/sshd\n1:name=openrc:/\n0::/\n", ""},
		{"", ""},
	} {
		if got := ServiceOf([]byte(test.cgroups), known); got != test.want {
			t.Errorf("%q is of %q, want %q", test.cgroups, got, test.want)
		}
	}
}
