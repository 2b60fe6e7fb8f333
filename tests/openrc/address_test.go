package openrc

import (
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// Interfaces that are moved in get addresses and routes, in netifrc's spelling,
// and lose them when they return.
func TestAddressesAndRoutes(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Sh(`ip link add eth1.5 type veth peer name eth1p; ip link add eth2 type veth peer name eth2p
			ip address add 192.0.2.1/24 dev eth1p; ip -6 address add 2001:db8::1/64 dev eth1p nodad; ip link set eth1p up`)
		h.service("lan", "netns_interfaces='eth1.5:wan.5 eth2'", "netns_sysctl='net.ipv6.conf.wan/5.accept_ra=0 net.ipv4.conf.wan/5.rp_filter=2'", `
config_wan_5="192.0.2.2/24
	2001:db8::2/64 192.0.2.9"
routes_wan_5="
	# it's the way out
	default via 192.0.2.1 src 192.0.2.9
	default via 2001:db8::1
	203.0.113.0/24 via 192.0.2.7 metric 5 table 10 # \"the\" office

	198.51.100.0/24 via 198.51.100.1 onlink dev wan.5
"
config_eth2=null
config_nothing=
config_functions()
{
	:
}
netns_post_up()
{
	config_late=late
}`)
		h.Sh("rc-service netns.lan start")
		h.service("vpn", "netns_interfaces=")
		kit.Equal(t, "addresses", h.Sh("ip -n lan -o address show dev wan.5 scope global | awk '{ print $4 }' | xargs"), "192.0.2.2/24 192.0.2.9/32 2001:db8::2/64")
		kit.Equal(t, "routes", h.Sh("(ip -n lan route; ip -n lan -6 route show default; ip -n lan route show table 10) | sed 's/ *$//'"),
			"default via 192.0.2.1 dev wan.5 src 192.0.2.9\n192.0.2.0/24 dev wan.5 proto kernel scope link src 192.0.2.2\n198.51.100.0/24 via 198.51.100.1 dev wan.5 onlink\n"+
				"default via 2001:db8::1 dev wan.5 metric 1024 pref medium\n203.0.113.0/24 via 192.0.2.7 dev wan.5 metric 5")
		kit.Equal(t, "ready", h.Sh("ip -n lan address show dev wan.5 tentative"), "")
		kit.Contains(t, h.Sh("ip -n lan link show eth2"), ",UP")
		h.Sh("probe serve host >/dev/null 2>&1 </dev/null &")
		for _, address := range []string{"192.0.2.1", "2001:db8::1"} {
			kit.Equal(t, "answer", h.Await("netns-exec lan probe ask "+address), "tcp: host\nudp: host")
		}
		h.Sh("rc-service netns.lan stop")
		kit.Equal(t, "devices outside", h.devices(""), "eth1.5 eth1p eth2 eth2p lo")
		kit.Equal(t, "addresses outside", h.Sh("ip -o address show dev eth1.5; ip route show dev eth1.5"), "")
		h.nothingRecorded("netns.lan")

		for conf, want := range map[string]string{
			"config_eth1=dhcp": `netns.lan: config_eth1: "dhcp" is not done here; run the client as a service with netns set, or in netns_post_up()`,
			"config_eth1='192.0.2.2 netmask 255.255.255.0'":                              `netns.lan: config_eth1: "netmask" is not known here`,
			"config_eth3=192.0.2.2/24":                                                   `netns.lan: config_eth3: no interface is called that; name it in netns_interfaces, netns_wireguard or netns_veth, or remove the setting`,
			"config_eth1=192.0.2.2/24\nroutes_eth1='default gw 192.0.2.1'":               `netns.lan: routes_eth1: "gw" in "default gw 192.0.2.1" is not known here`,
			"config_eth1=192.0.2.2/24\nroutes_eth1='default via 198.51.100.1'":           `netns.lan: routes_eth1: no address of interface "eth1" has the gateway 198.51.100.1 in its network`,
			"config_eth1=2001:db8::1/64":                                                 `netns.lan: another host has the address 2001:db8::1/64 of interface "eth1"`,
			"config_eth1=2001:db8::3/64\nnetns_sysctl=net.ipv6.conf.eth1.disable_ipv6=1": `netns.lan: give interface "eth1" the address 2001:db8::3/64: IPv6 is off here, by the kernel's command line or a sysctl`,
		} {
			h.service("lan", "netns_interfaces=eth1.5:eth1", conf)
			kit.Contains(t, h.Fails("rc-service netns.lan start"), want)
			kit.Equal(t, "devices outside", h.devices(""), "eth1.5 eth1p eth2 eth2p lo")
			kit.Equal(t, "names", h.names(), "vpn")
			h.nothingRecorded("netns.lan")
		}
	})
}

// A pair of interfaces, one end on the host's network.
func TestVethPair(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.service("lan", "netns_veth='lan0:eth0 lan1:eth1'", "config_lan0='192.0.2.1/30 2001:db8::1/64'", "config_eth0='192.0.2.2/30 2001:db8::2/64'",
		"routes_eth0='default via 192.0.2.1'", "routes_lan0='203.0.113.0/24 via 192.0.2.2'")
	h.Sh("rc-service netns.lan start")
	kit.Equal(t, "devices inside", h.devices("lan"), "eth0 eth1 lo")
	kit.Equal(t, "devices outside", h.devices(""), "lan0 lan1 lo")
	kit.Equal(t, "routes", h.Sh("ip -n lan route show default; ip route show 203.0.113.0/24"), "default via 192.0.2.1 dev eth0 \n203.0.113.0/24 via 192.0.2.2 dev lan0 ")
	h.Sh("probe serve host >/dev/null 2>&1 </dev/null & netns-exec lan probe serve inside >/dev/null 2>&1 </dev/null & sleep 0.5")
	for _, end := range [][3]string{{"", "192.0.2.2", "inside"}, {"", "2001:db8::2", "inside"}, {"netns-exec lan ", "192.0.2.1", "host"}, {"netns-exec lan ", "2001:db8::1", "host"}} {
		kit.Equal(t, "answer", h.Sh(end[0]+"probe ask "+end[1]), "tcp: "+end[2]+"\nudp: "+end[2])
	}
	h.Sh("pkill -x probe; rc-service netns.lan stop")
	kit.Equal(t, "devices outside", h.devices(""), "lo")
	kit.Equal(t, "routes", h.Sh("ip route; ip -6 route"), "")
	h.nothingRecorded("netns.lan")

	// In a namespace that stays, and with one end gone.
	h.service("vpn", "netns_veth=vpn0:eth0")
	h.Sh("rc-service netns.vpn start; rc-service netns.vpn stop")
	kit.Equal(t, "devices", h.devices("vpn")+" "+h.devices(""), "lo lo")
	h.Sh("rc-service netns.vpn start; ip link delete vpn0")
	kit.Contains(t, h.Run("rc-service netns.vpn stop").Output, `interface "eth0" is gone`)
	h.nothingRecorded("netns.vpn")

	// Whatever has become of its ends, the pair goes, and no other one does.
	h.Sh("ip netns add lab; ip link add other type veth peer name there")
	for what, change := range map[string]string{
		"the end inside has another name":  "ip -n vpn link set eth0 down; ip -n vpn link set eth0 name eth7",
		"the end outside has another name": "ip link set vpn0 down; ip link set vpn0 name vpn7",
		"both have":                        "ip -n vpn link set eth0 down; ip -n vpn link set eth0 name eth7; ip link set vpn0 down; ip link set vpn0 name vpn7",
		"the end inside is elsewhere":      "ip -n vpn link set eth0 netns lab",
		"the end outside is elsewhere":     "ip link set vpn0 netns lab",
		"it has another address":           "ip link set vpn0 address 02:00:00:00:00:77",
		"another pair has the name":        "ip link set vpn0 down; ip link set vpn0 name vpn7; ip link set there down; ip link set there name vpn0",
	} {
		h.Sh("rc-service netns.vpn start; " + change)
		out := h.Sh("exec 2>&1; rc-service netns.vpn stop")
		kit.Equal(t, what+": devices", h.devices("vpn")+" "+h.devices("lab"), "lo lo")
		h.Sh("[ ! -e /sys/class/net/vpn0 ] || { ip link set vpn0 down; ip link set vpn0 name there; }")
		kit.Equal(t, what+": devices outside", h.devices(""), "lo other there")
		if strings.Contains(out, "is gone") {
			t.Errorf("%s: %s", what, out)
		}
		h.nothingRecorded("netns.vpn")
	}
	h.Sh("ip netns delete lab; ip link delete other")

	// Other settings after a start that OpenRC has forgotten.
	h.Sh("rc-service netns.vpn start; rc-service netns.vpn zap")
	h.service("vpn", "netns_veth=vpn1:eth1")
	h.Sh("rc-service netns.vpn start")
	kit.Equal(t, "devices", h.devices("vpn")+" "+h.devices(""), "eth1 lo lo vpn1")
	h.Sh("rc-service netns.vpn stop")

	for conf, want := range map[string]string{
		"netns_veth=other:eth0":    `cannot make veth "other": the host has another interface of that name`,
		"netns_veth=vpn0:there":    `cannot make veth "there": the namespace has another interface of that name`,
		"netns_veth='a:b a:d'":     `two interfaces are called "a"`,
		"netns_veth='a:b other:d'": `cannot make veth "other": the host has another interface of that name`,
	} {
		h.Sh("ip link add other type veth peer name there netns vpn")
		h.service("vpn", conf)
		kit.Contains(t, h.Fails("rc-service netns.vpn start"), want)
		kit.Equal(t, "devices", h.devices("vpn")+" "+h.devices(""), "lo there lo other")
		h.nothingRecorded("netns.vpn")
		h.Sh("ip link delete other")
	}
}

// Name servers of the namespace, for services, netns-exec and status.
func TestNameServersOfNamespace(t *testing.T) {
	eachOf(t, []string{"sid", "bookworm"}, func(t *testing.T, release string) {
		h := bootRelease(t, machine.Options{Release: release, Shell: "busybox"}, true)
		const own = "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.com corp.example.com"
		h.Sh("echo nameserver 198.51.100.53 >/etc/resolv.conf")
		h.service("lan", "umask 077", "netns_dns='192.0.2.53 2001:db8::53 example.com corp.example.com'")
		h.Conf("daemon", "netns=lan")
		sees := func(want string) {
			t.Helper()
			kit.Equal(t, "the daemon sees", h.Sh("grep -v '^#' /proc/"+h.daemon()+"/root/etc/resolv.conf"), want)
			kit.Equal(t, "netns-exec sees", h.Sh("netns-exec -u nobody lan grep -v '^#' /etc/resolv.conf"), want)
		}
		h.Sh("rc-service daemon start")
		sees(own)
		kit.Equal(t, "the host sees", h.Sh("cat /etc/resolv.conf"), "nameserver 198.51.100.53")
		kit.Contains(t, h.Sh("netns-exec -n lan true"), "/run/openrc-netns/lan/resolv.conf over /etc/resolv.conf")
		kit.Equal(t, "mode", h.Sh("stat -c %a /run/openrc-netns/lan/resolv.conf"), "644")
		h.says("daemon", "ok", "")
		kit.Equal(t, "ip netns exec sees", h.Sh("ip netns exec lan cat /etc/resolv.conf"), "nameserver 198.51.100.53")

		// Most programs replace the file, and the mount goes without a
		// word.
		h.Sh("echo nameserver 198.51.100.54 >/etc/resolv.conf.new; mv /etc/resolv.conf.new /etc/resolv.conf")
		h.fixed("daemon", "files", "it sees the host's /etc/resolv.conf and not /run/openrc-netns/lan/resolv.conf", "ok")
		sees(own)

		// The start that OpenRC has forgotten changes nothing that is as it
		// should be.
		h.Sh("rc-service netns.lan zap; rc-service netns.lan start")
		h.says("daemon", "ok", "")
		sees(own)

		// A file in /etc/netns counts, and netns_etc=no leaves /etc
		// alone.
		h.Sh("mkdir -p /etc/netns/lan; echo nameserver 203.0.113.53 >/etc/netns/lan/resolv.conf; rc-service daemon restart")
		sees("nameserver 203.0.113.53")
		h.says("daemon", "ok", "")
		h.Sh("ln -sf /run/openrc-netns/lan/resolv.conf /etc/netns/lan/resolv.conf; rc-service daemon restart")
		sees(own)
		h.says("daemon", "ok", "")
		kit.Equal(t, "ip netns exec sees", h.Sh("ip netns exec lan grep -v '^#' /etc/resolv.conf"), own)
		h.Sh("rm -r /etc/netns; echo netns_etc=no >>/etc/conf.d/daemon; rc-service daemon restart")
		kit.Equal(t, "with netns_etc=no", h.Sh("cat /proc/"+h.daemon()+"/root/etc/resolv.conf"), "nameserver 198.51.100.54")
		h.says("daemon", "ok", "")

		// Nothing to put it over: no service starts that would ask the
		// host's.
		h.Conf("daemon", "netns=lan")
		h.Sh("rc-service daemon stop; rm /etc/resolv.conf")
		kit.Contains(t, h.Fails("rc-service daemon start"), `cannot bind "/run/openrc-netns/lan/resolv.conf" over "/etc/resolv.conf", which does not exist; create it`)
		h.noDaemon()
		h.Sh("touch /etc/resolv.conf; rc-service daemon start")
		sees(own)
		h.Sh("rc-service netns.lan stop")
		h.noDaemon()
		h.nothingRecorded("netns.lan")

		// Settings that say no more of it.
		h.Sh("rc-service netns.lan start; rc-service netns.lan zap")
		h.service("lan", "")
		h.Sh("rc-service netns.lan start; [ ! -e /run/openrc-netns/lan/resolv.conf ]; rc-service netns.lan stop")
		h.nothingRecorded("netns.lan")
		h.service("lan", "netns_dns='192.0.2.53, 192.0.2.54'")
		kit.Contains(t, h.Fails("rc-service netns.lan start"), `netns.lan: bad DNS "192.0.2.53,": give the address of a name server, or a domain to search`)
		if left := h.names(); strings.Contains(left, "lan") {
			t.Errorf("names: %s", left)
		}
	})
}
