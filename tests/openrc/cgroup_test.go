package openrc

import (
	"testing"

	"openrc-netns/tests/kit"
)

// An OpenRC to come has one function that moves a service into its cgroup,
// which it calls when the init script has been read.
func TestOneFunctionForCgroups(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh(`echo 'netns=vpn netns_lock=yes' >/etc/conf.d/daemon; echo 'netns=vpn' >/etc/conf.d/daemon.two; ln -s daemon /etc/init.d/daemon.two
		cat >>/usr/lib/rc/sh/rc-cgroup.sh <<'EOF'
unset -f cgroup2_set_limits cgroup2_remove
cgroup_add_service()
{
	mkdir -p "/sys/fs/cgroup/rc/$RC_SVCNAME"
	echo 0 >"/sys/fs/cgroup/rc/$RC_SVCNAME/cgroup.procs"
}
EOF
		rc-service daemon start; rc-service daemon.two start`)
	kit.Equal(t, "cgroup", h.Sh("cat /proc/$(cat /run/daemon.pid)/cgroup | grep ^0"), "0::/rc/daemon")
	kit.Contains(t, h.Sh("rc-netns status"), "daemon      started  vpn    -    1          ok\ndaemon.two  started  vpn    -    1          ok\n")
	kit.Contains(t, h.Fails("nsenter -t $(cat /run/daemon.pid) -n -m sh -c 'echo $$ >/proc/1/root/sys/fs/cgroup/rc/daemon/cgroup.procs; exec nsenter -t 1 -n perl -MSocket -e \"socket(S, PF_INET, SOCK_DGRAM, 0) or die qq(no socket)\"'"), "no socket")
	kit.Contains(t, h.Sh("exec 2>&1; rc-service daemon.two status"), "runs in network namespace \"vpn\"")

	// One that moves it elsewhere takes the lock away: nothing starts.
	h.Sh(`rc-service daemon stop; sed -i 's,^	echo 0 >.*,	mkdir -p /sys/fs/cgroup/other; echo 0 >/sys/fs/cgroup/other/cgroup.procs,' /usr/lib/rc/sh/rc-cgroup.sh`)
	h.Sh("grep -q other/cgroup.procs /usr/lib/rc/sh/rc-cgroup.sh")
	kit.Contains(t, h.Fails("rc-service daemon start"), "daemon: OpenRC moved the service out of the cgroup that binds its sockets")
	kit.Equal(t, "left", h.Sh("pgrep -xc sleeper || :"), "1")
}
