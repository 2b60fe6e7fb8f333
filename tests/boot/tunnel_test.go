package boot

import (
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

// addWireGuard makes a device. The kernel of User-Mode Linux comes without
// WireGuard: wireguard-go has a tun device then, and the socket for the
// encrypted packets in the namespace that it was started in, where the kernel
// would have it.
const addWireGuard = `#!/bin/sh
ip link add $1 type wireguard 2>/dev/null || LOG_LEVEL=silent wireguard-go $1 >/dev/null 2>&1
`

// tunnel makes tun0 outside, which leads to tun1 in the namespace peer; in
// between is eth1, the only network that the machine has.
const tunnel = `
start()
{
	ebegin "Creating tun0"
	ip netns add peer &&
		ip link add eth1 type veth peer name eth0 netns peer &&
		ip address add 198.51.100.1/24 dev eth1 &&
		ip link set eth1 up &&
		ip -n peer address add 198.51.100.2/24 dev eth0 &&
		ip -n peer link set eth0 up &&
		start_$kind &&
		ip -n peer address add 192.0.2.2/24 dev tun1 &&
		ip -n peer link set tun1 up
	eend $?
}
start_wireguard()
{
	modprobe tun
	(umask 077; wg genkey >/run/here.key; wg genkey >/run/there.key)
	add-wireguard tun0 &&
		ip netns exec peer add-wireguard tun1 &&
		ip netns exec peer wg set tun1 listen-port 5001 private-key /run/there.key \
			peer $(wg pubkey </run/here.key) allowed-ips 192.0.2.1/32 &&
		wg set tun0 listen-port 5000 private-key /run/here.key \
			peer $(wg pubkey </run/there.key) allowed-ips 192.0.2.2/32 endpoint 198.51.100.2:5001 persistent-keepalive 1
}
start_vxlan()
{
	ip link add tun0 type vxlan id 7 dstport 5000 remote 198.51.100.2 dev eth1 &&
		ip -n peer link add tun1 type vxlan id 7 dstport 5000 remote 198.51.100.1 dev eth0
}
`

// A tunnel that is made outside and moved in carries the service's traffic, and
// goes on sending its own through the namespace that it was made in.
func TestTunnel(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	for _, kind := range []string{"wireguard", "vxlan"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			d.write("usr/sbin/add-wireguard", 0o755, addWireGuard)
			d.script("tunnel", tunnel)
			d.conf("tunnel", "kind="+kind+"\n")
			d.namespace("vpn", `
rc_need=tunnel
netns_interfaces=tun0:vpn0
netns_post_up()
{
	ip address add 192.0.2.1/24 dev vpn0 &&
		ip link set vpn0 up
}
`)
			d.script("web", web)
			d.conf("web", "netns=vpn\n")
			g := d.start(vm.Options{})
			g.Sh("rc-service web start")
			kit.Equal(t, "web", g.where("web"), g.inside("vpn"))
			kit.Equal(t, "devices inside", g.Sh("ip -n vpn -br link | sed 's/[@ ].*//' | sort | xargs"), "lo vpn0")
			kit.Equal(t, "devices outside", g.Sh("ip -br link | sed 's/[@ ].*//' | sort | xargs"), "eth1 lo")

			// A first packet may be lost while a tunnel gets ready.
			kit.Equal(t, "to the service", g.Await("ip netns exec peer probe ask 192.0.2.1"), "tcp: web\nudp: web")
			g.Sh("ip netns exec peer probe serve peer >/dev/null 2>&1 &")
			kit.Equal(t, "from the service", g.Await("netns-exec --service web probe ask 192.0.2.2"), "tcp: peer\nudp: peer")

			// The tunnel's packets are outside, and nothing of what is in it.
			const sockets = " cat /proc/net/udp | grep -c :1388 || :" // port 5000
			kit.Equal(t, "its sockets outside", g.Sh(sockets), "1")
			kit.Equal(t, "its sockets inside", g.Sh("nsenter --net=/run/netns/vpn"+sockets), "0")
			packets := func() string { return g.Sh("cat /sys/class/net/eth1/statistics/tx_packets") }
			was := packets()
			g.Sh("netns-exec vpn probe ask 192.0.2.2")
			if packets() == was {
				t.Error("the tunnel's packets do not go over eth1")
			}
			kit.Contains(t, g.Fails("probe ask 192.0.2.2"), "network is unreachable")

			// The stop gives it back, and it still works.
			g.Sh("rc-service netns.vpn stop")
			kit.Equal(t, "started", g.states("started"), "tunnel")
			kit.Equal(t, "names", g.Sh("ls /run/netns"), "peer")
			kit.Equal(t, "devices outside", g.Sh("ip -br link | sed 's/[@ ].*//' | sort | xargs"), "eth1 lo tun0")
			g.Sh("ip address add 192.0.2.1/24 dev tun0; ip link set tun0 up")
			kit.Equal(t, "from outside", g.Await("probe ask 192.0.2.2"), "tcp: peer\nudp: peer")

			g.Sh("rc-service web start")
			kit.Equal(t, "to the service again", g.Await("ip netns exec peer probe ask 192.0.2.1"), "tcp: web\nudp: web")
			if kind == "wireguard" {
				asInTheManual(t, g)
			}
		})
	}
}

// asInTheManual has the service of the namespace make the tunnel itself, as in
// openrc-netns(7); but for the kernel, see addWireGuard.
func asInTheManual(t *testing.T, g *guest) {
	t.Helper()
	g.Sh("rc-service netns.vpn stop; ip link delete tun0")
	g.Sh(`mkdir -p /etc/wireguard; umask 077; cat >/etc/wireguard/wg0.conf <<.
[Interface]
PrivateKey = $(cat /run/here.key)
[Peer]
PublicKey = $(wg pubkey </run/there.key)
Endpoint = 198.51.100.2:5001
AllowedIPs = 0.0.0.0/0
PersistentKeepalive = 1
.
cat >/etc/conf.d/netns.vpn <<.
netns_interfaces=wg0
start_pre()
{
	[ -e /sys/class/net/wg0 ] || add-wireguard wg0 || return
	wg setconf wg0 /etc/wireguard/wg0.conf
}
netns_post_up()
{
	ip address add 192.0.2.1/32 dev wg0 &&
		ip link set wg0 up &&
		ip route add default dev wg0
}
stop_post()
{
	ip link delete wg0
}
.`)
	g.Sh("rc-service web start")
	kit.Equal(t, "to the service", g.Await("ip netns exec peer probe ask 192.0.2.1"), "tcp: web\nudp: web")
	kit.Equal(t, "from the service", g.Await("netns-exec --service web probe ask 192.0.2.2"), "tcp: peer\nudp: peer")
	kit.Equal(t, "devices inside", g.Sh("ip -n vpn -br link | cut -d' ' -f1 | sort | xargs"), "lo wg0")
	g.Sh("rc-service netns.vpn restart") // which restarts web, later
	g.Await("[ -e /run/openrc/started/web ]")
	kit.Equal(t, "to the service after a restart", g.Await("ip netns exec peer probe ask 192.0.2.1"), "tcp: web\nudp: web")
	g.Sh("rc-service netns.vpn stop")
	kit.Equal(t, "devices outside", g.Sh("ip -br link | sed 's/[@ ].*//' | sort | xargs"), "eth1 lo")
	kit.Equal(t, "names", g.Sh("ls /run/netns"), "peer")
}
