package boot

import (
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

// makeVPN makes the namespace vpn with the library that ifstate is written
// with, and by the same steps: a name, the loopback, a link that is made
// outside and moved in, and an address.
const makeVPN = `from pyroute2 import IPRoute, NetNS, netns

netns.create("vpn")
with NetNS("vpn") as inside, IPRoute() as host:
    inside.link("set", index=inside.link_lookup(ifname="lo")[0], state="up")
    host.link("add", ifname="eth0.42", kind="dummy")
    host.link("set", index=host.link_lookup(ifname="eth0.42")[0], net_ns_fd="vpn")
    link = inside.link_lookup(ifname="eth0.42")[0]
    inside.addr("add", index=link, address="192.0.2.1", prefixlen=25)
    inside.link("set", index=link, state="up")
`

const ifstate = note + `
description="Sets up links, addresses and namespaces"
depend()
{
	after bootmisc hwdrivers modules
	provide net
}
start()
{
	ebegin "Configuring the network"
	python3 /usr/sbin/make-vpn
	eend $? && note start
}
stop() { note stop; }
`

// The namespace is ifstate's, so there is no service netns.vpn.
func TestIfstate(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	d := newDisk(t)
	d.write("usr/sbin/make-vpn", 0o644, makeVPN)
	d.script("ifstate", ifstate)
	// It would be started before ifstate if only names counted.
	d.script("chronyd", web)
	d.conf("chronyd", "netns=vpn\n")
	d.add("default", "chronyd", "ifstate")
	g := d.start(vm.Options{})
	g.Sh("[ ! -e /run/netns ]; openrc default")
	kit.Equal(t, "started", g.states("started"), "chronyd ifstate")
	before(t, g.order(), "ifstate start", "chronyd start")
	inside := g.inside("vpn")
	kit.Contains(t, g.Sh("cat /run/order"), "chronyd start "+inside)
	kit.Equal(t, "chronyd", g.where("chronyd"), inside)
	kit.Equal(t, "what it sees", g.Sh("nsenter -t $(cat /run/chronyd.pid) -n -m ip -br -4 address show dev eth0.42 | awk '{ print $1, $3 }'"), "eth0.42 192.0.2.1/25")
	kit.Equal(t, "bytes", g.Sh("netns-exec vpn probe ask 192.0.2.1"), "tcp: chronyd\nudp: chronyd")
	g.Sh("rc-service chronyd restart")
	kit.Equal(t, "after a restart", g.where("chronyd"), inside)

	// Both stop, and ifstate's namespace is for ifstate to delete.
	g.Sh("rm /run/order; openrc shutdown")
	before(t, g.order(), "chronyd stop", "ifstate stop")
	kit.Equal(t, "names", g.Sh("ls /run/netns"), "vpn")

	// Made anew by it, the name leads elsewhere, and restart follows.
	g.Sh("openrc default; rc-service chronyd status; python3 -c 'from pyroute2 import netns; netns.remove(\"vpn\"); netns.create(\"vpn\")'; rc-service chronyd restart")
	if now := g.inside("vpn"); now == inside || now != g.where("chronyd") {
		t.Errorf("chronyd is in %s; vpn is %s, and was %s", g.where("chronyd"), now, inside)
	}
}
