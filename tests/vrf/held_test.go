package vrf

import (
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

// TestCgroupRemadeUnderALaunch takes the cgroups of a VRF away from under a
// launch. No command runs with sockets that are not bound.
func TestCgroupRemadeUnderALaunch(t *testing.T) {
	g := boot(t, vm.Options{})
	const (
		names  = `cgroup() { find /sys/fs/cgroup -type d -name 'netns-exec.*'; }; remove() { for c in $(cgroup); do find $c -depth -type d -exec rmdir {} \;; done; }` + "\n"
		launch = "netns-exec --vrf mgmt vpn probe sockets\n"
		remake = "c=$(cgroup); remove; mkdir -p $c/vpn-ns/vrf/mgmt"

		// Where it stands: it has put the program on the upper cgroup, or has
		// looked for others on the lower one; cgroup.procs is open, and nothing
		// written to it; it is in the lower cgroup.
		attached = `hold remove bpf:when=3 'grep bpf /run/trace | tail -n 1 | grep -q PROG_ATTACH' `
		cleared  = `hold remove bpf:when=5 '[ -d $(cgroup)/vpn-ns/vrf/mgmt ]' `
		opened   = `hold remove openat true -P cgroup.procs `
		joined   = `hold remove openat 'grep -q /vrf/mgmt /proc/$pid/cgroup' -P /proc/self/cgroup `
	)
	for what, test := range map[string]struct {
		hold, meddle string
		refused      bool
	}{
		"removed":                     {attached, "remove", false},
		"remade":                      {attached, remake, false},
		"remade with another program": {attached, remake + "; probe attach $c harmless", false},
		"remade when it was cleared":  {cleared, remake, false},
		"remade when it was opened":   {opened, remake, false},
		"program taken off":           {cleared, "probe detach $(cgroup)", true},
		"remade with the launcher in it": {joined, "in=$(sed -n s/^0:://p /proc/$pid/cgroup); echo $pid >/sys/fs/cgroup/cgroup.procs; " + remake +
			"; echo $pid >/sys/fs/cgroup$in/cgroup.procs", true},
	} {
		t.Run(what, func(t *testing.T) {
			g := &guest{kit.Host{Machine: g.Machine, T: t}}
			end := g.End(names + test.hold + launch + test.meddle)
			if test.refused {
				end.Refused(t, "the BPF program is not in effect in cgroup ")
			} else {
				end.Ran(t, bound("mgmt")+"\n")
			}
		})
	}
}
