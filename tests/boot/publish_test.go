package boot

import (
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

// Ten thousand connections at once, in a machine whose root may open as many
// files as that takes.
func TestPublishTenThousand(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	d := newDisk(t)
	d.namespace("vpn", "netns_publish=127.0.0.1:9091\n")
	d.link("etc/init.d/netns-publish.vpn", "netns-publish")
	g := d.start(vm.Options{})
	g.Sh(`ip link set lo up; rc-service netns-publish.vpn start
		netns-exec vpn -- probe echo 9091 >/dev/null 2>&1 &`)
	g.Await("netns-exec vpn -- probe crowd 9091 1")
	memory := func() string { return g.Sh("grep -h RssAnon $(pgrep -x netns-publish | sed 's|.*|/proc/&/status|')") }
	t.Log(memory())
	kit.Equal(t, "crowd", g.Sh("probe crowd 9091 10000"), "10000 at once")
	t.Log(memory())
	if out := g.Run("cat /var/log/netns-publish.vpn.log").Stdout; out != "" {
		t.Errorf("it said: %s", out)
	}
	// And again: nothing is left of the first ones.
	kit.Equal(t, "crowd", g.Sh("probe crowd 9091 10000"), "10000 at once")
}
