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
			for n in 0 1 2 3 4 5 6 7 8 9; do
				ip netns add ns$n
				for i in 0 1 2 3 4; do
					ln -s daemon /etc/init.d/daemon.$n$i
					echo netns=ns$n >/etc/conf.d/daemon.$n$i
					ln -s /etc/init.d/daemon.$n$i /etc/runlevels/default/daemon.$n$i
				done
			done
			openrc default >/run/output 2>&1`)
	const misplaced = `for n in 0 1 2 3 4 5 6 7 8 9; do
				for i in 0 1 2 3 4; do
					[ /run/netns/ns$n -ef /proc/$(cat /run/daemon.$n$i.pid)/ns/net ] || echo daemon.$n$i
				done
			done`
	kit.Equal(t, "services that are not where they belong", h.Sh(misplaced), "")
	h.Await("[ $(pgrep -xc sleeper) = 50 ]")
	h.Sh("openrc shutdown >/run/output 2>&1 || :")
	h.Await("! pgrep -x sleeper >/dev/null")
}
