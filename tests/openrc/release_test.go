package openrc

import (
	"maps"
	"slices"
	"testing"

	"openrc-netns/tests/machine"
)

// TestCgroupModes goes through a locked service's life where OpenRC uses cgroup
// v2 in another way than it does by default, which the table has.
func TestCgroupModes(t *testing.T) {
	tests := map[string]struct {
		release string
		before  string // a script
		cgroup  string // of the service daemon
		mounted string // cgroup v2
	}{
		"0.45, unified": {"bookworm", "echo rc_cgroup_mode=unified >>/etc/rc.conf; umount /sys/fs/cgroup/unified; mount -t cgroup2 none /sys/fs/cgroup", "/daemon", "/sys/fs/cgroup"},
		"0.45, legacy":  {"bookworm", "echo rc_cgroup_mode=legacy >>/etc/rc.conf", "/openrc-netns.daemon", "/sys/fs/cgroup/unified"},
		"0.56, legacy":  {"trixie", "echo rc_cgroup_mode=legacy >>/etc/rc.conf", "/openrc-netns.daemon", "/sys/fs/cgroup"},
	}
	eachOf(t, slices.Sorted(maps.Keys(tests)), func(t *testing.T, name string) {
		test := tests[name]
		h := bootRelease(t, machine.Options{Release: test.release}, true)
		h.Sh(test.before)
		h.Conf("daemon", "netns=nowhere")
		h.refuses("daemon", `daemon: network namespace "nowhere" does not exist`)
		lockedIn(t, h, test.cgroup, test.mounted)
		h.Sh("rc-service daemon start; ip netns delete vpn")
		h.refusesRestart("daemon", "not stopped, because the start would fail")
		h.stops("daemon")
	})
}
