package main

import (
	"fmt"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// chatter is a service that asks everybody it knows, and the name servers, all
// the time.
const chatter = `#!/sbin/openrc-run
command=/bin/sh
command_args=/usr/local/bin/chatter
command_background=yes
pidfile=/run/chatter.pid
`

const chatterProgram = `
while :; do
	for address in 10.66.0.1 fd66::1 198.51.100.2; do
		probe ask $address
	done
	getent ahosts www.example.org
	sleep 0.5
done >/dev/null 2>&1
`

// provider is the other end of the tunnel, behind the machine's own network. Who
// has which address there need not be asked.
const provider = `
ip link set lo up
sysctl -qw net.ipv6.conf.eth1.disable_ipv6=1
ip netns exec peer sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1
ip neighbour add 198.51.100.2 lladdr $(ip netns exec peer cat /sys/class/net/eth0/address) dev eth1 nud permanent
ip -n peer neighbour add 198.51.100.1 lladdr $(cat /sys/class/net/eth1/address) dev eth0 nud permanent
ip route add default via 198.51.100.2
echo nameserver 198.51.100.2 >/etc/resolv.conf
rm -rf /etc/netns/vpn
LOG_LEVEL=silent ip netns exec peer wireguard-go far 2>/dev/null
nc -U -N /var/run/wireguard/far.sock </root/far | grep -q errno=0
ip -n peer address add 10.66.0.1/24 dev far
ip -n peer address add fd66::1/64 dev far
ip -n peer link set far up
(ip netns exec peer probe serve "the other end" & probe capture /run/capture &) >/dev/null 2>&1 </dev/null
until [ -e /run/capture ]; do sleep 0.1; done
`

// tunnel has a service that reaches the world through one, and through nothing
// else.
func (s *scene) tunnel() {
	m := s.m
	mine, theirs := kit.NewKeys(), kit.NewKeys()
	s.do(m.WriteFile("/root/far", 0o600, fmt.Sprintf("set=1\nprivate_key=%s\nlisten_port=51820\npublic_key=%s\nallowed_ip=10.66.0.2/32\nallowed_ip=fd66::2/128\n\n",
		theirs.Private.Hex(), mine.Public.Hex())))
	s.do(m.WriteFile("/etc/wireguard/wg0.conf", 0o600, fmt.Sprintf(`[Interface]
PrivateKey = %s
Address = 10.66.0.2/32, fd66::2/128
DNS = 10.66.0.1
[Peer]
PublicKey = %s
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = 198.51.100.2:51820
`, mine.Private, theirs.Public)))
	s.do(m.WriteFile("/etc/init.d/chatter", 0o755, chatter))
	s.do(m.WriteFile("/usr/local/bin/chatter", 0o755, chatterProgram))
	s.do(m.Run("ip netns delete peer").Err())
	s.do(m.AddNetns("peer"))
	s.do(m.Veth(machine.End{Device: "eth1", Addrs: []string{"198.51.100.1/24"}},
		machine.End{Netns: "peer", Device: "eth0", Addrs: []string{"198.51.100.2/24"}}))
	s.do(m.Run("set -e\n" + provider).Err())

	s.say("What if vpn is to be a VPN? A provider hands out a file of wg-quick, here without its keys:")
	s.show("grep -v Key /etc/wireguard/wg0.conf", "Endpoint")
	s.say("Three lines put a service behind it, one that asks everybody for everything all the time:")
	s.show("ln -s netns /etc/init.d/netns.vpn", "")
	s.show("echo netns_wireguard=/etc/wireguard/wg0.conf >/etc/conf.d/netns.vpn", "")
	s.show("echo netns=vpn >>/etc/conf.d/chatter", "")
	s.show("rc-service chatter start", "Starting chatter")
	s.do(m.Run("for i in $(seq 600); do netns-exec vpn probe ask 10.66.0.1 && exit; sleep 0.1; done; exit 1").Err())
	s.say("It is answered through the tunnel. Where would its packets leave? Nothing is sent to find that out:")
	s.show("rc-netns egress chatter", "chatter: tunnel only, through wg0")
	s.say("This is all that the machine's network has carried since before the service was started:")
	s.do(m.Run("pid=$(pgrep -f '^probe capture'); kill $pid; while [ -e /proc/$pid ]; do sleep 0.1; done").Err())
	s.show("sort /run/capture | uniq -c", "> 198.51.100.2:51820")
	// Nothing but packets of the tunnel.
	s.do(m.Run("! grep -vxE 'missed 0|eth1 (out udp 198.51.100.1:[0-9]+ > 198.51.100.2:51820|in udp 198.51.100.2:51820 > 198.51.100.1:[0-9]+)' /run/capture").Err())
	s.say("And if somebody deletes the tunnel, there is no other way:")
	s.show("ip -n vpn link delete wg0", "")
	s.show("rc-netns egress chatter", "chatter: no way out")
}
