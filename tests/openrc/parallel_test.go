package openrc

import (
	"testing"

	"openrc-netns/tests/kit"
)

// Fifty services in ten namespaces, all at once, each in its own. What is
// between them has no part in the shell, and one machine that does this keeps
// all others waiting.
func TestParallelStart(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh(`echo 'rc_parallel="YES"' >>/etc/rc.conf
		for i in $(seq 100 149); do
			[ $i -ge 110 ] || ip netns add ns${i#??}
			ln -s daemon /etc/init.d/daemon.$i
			echo netns=ns${i#??} >/etc/conf.d/daemon.$i
			ln -s /etc/init.d/daemon.$i /etc/runlevels/default/daemon.$i
		done
		openrc default >/run/output 2>&1`)
	const misplaced = `for i in $(seq 100 149); do
			[ /run/netns/ns${i#??} -ef /proc/$(cat /run/daemon.$i.pid)/ns/net ] || echo daemon.$i
		done`
	kit.Equal(t, "services that are not where they belong", h.Sh(misplaced), "")
	h.Await("[ $(pgrep -xc sleeper) = 50 ]")
	h.Sh("openrc shutdown >/run/output 2>&1 || :")
	h.Await("! pgrep -x sleeper >/dev/null")
}
