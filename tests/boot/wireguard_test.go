package boot

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// ends makes the host's network, eth1, and in the namespace peer the other ends
// of the tunnels. What is asked there for a name knows one.
const ends = note + `
depend() { provide net; }
start()
{
	note start
	local i=
	modprobe tun
	ip netns add peer
	ip link add eth1 type veth peer name eth0 netns peer
	ip address add 198.51.100.1/24 dev eth1
	ip link set eth1 up
	ip -n peer address add 198.51.100.2/24 dev eth0
	ip -n peer link set eth0 up
	ip -n peer link set lo up
	echo '198.51.100.2 two.example' >>/etc/hosts
	for i in $(seq $tunnels); do
		LOG_LEVEL=silent ip netns exec peer wireguard-go far$i >/dev/null 2>&1 &&
			ip netns exec peer wg setconf far$i /etc/far$i.conf &&
			ip -n peer address add 10.9.$i.1/24 dev far$i &&
			ip -n peer link set far$i up || return
	done
}
stop() { note stop; }
`

// Three namespaces, each with a tunnel of its own, are set up at once, after
// the host's network and before what runs in them; in the short run it is one.
func TestBootWithTunnels(t *testing.T) {
	t.Parallel()
	tunnels := 3
	if testing.Short() {
		tunnels = 1
	}
	d := newDisk(t)
	d.script("ends", ends)
	d.conf("ends", fmt.Sprintf("tunnels=%d\n", tunnels))
	d.write("etc/rc.conf.d/parallel.conf", 0o644, "rc_parallel=\"YES\"\n")
	var webs []string
	for i := 1; i <= tunnels; i++ {
		mine, theirs := kit.NewKeys(), kit.NewKeys()
		endpoint := fmt.Sprintf("198.51.100.2:5000%d", i)
		if i == 2 {
			endpoint = "two.example:50002"
		}
		d.write(fmt.Sprintf("etc/wireguard/tun%d.conf", i), 0o600, fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.9.%d.2/32\nDNS = 10.9.%d.1\n[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0\nEndpoint = %s\nPersistentKeepalive = 1\n",
			mine.Private, i, i, theirs.Public, endpoint))
		d.write(fmt.Sprintf("etc/far%d.conf", i), 0o600, fmt.Sprintf("[Interface]\nPrivateKey = %s\nListenPort = 5000%d\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.9.%d.2/32\n", theirs.Private, i, mine.Public, i))
		name, service := fmt.Sprintf("vpn%d", i), fmt.Sprintf("web%d", i)
		d.namespace(name, fmt.Sprintf(note+"netns_wireguard=/etc/wireguard/tun%d.conf\nnetns_post_up() { note up; }\nnetns_pre_down() { note down; }\n", i))
		d.script(service, web)
		d.conf(service, "netns="+name+"\n")
		webs = append(webs, service)
	}
	d.add("boot", "netns.vpn1")
	d.add("default", append(webs, "ends")...)
	g := d.boot()

	kit.Equal(t, "runlevel", g.Sh("rc-status -r"), "default")
	started := "ends"
	for _, service := range []string{"netns.vpn", "web"} {
		for i := 1; i <= tunnels; i++ {
			started += fmt.Sprint(" ", service, i)
		}
	}
	kit.Equal(t, "started", g.states("started"), started)
	kit.Equal(t, "failed", g.states("failed"), "")
	kit.Equal(t, "devices outside", g.Sh("ip -br link | sed 's/[@ ].*//' | sort | xargs"), "eth1 lo")
	order := g.order()
	g.Sh("probe capture /run/capture >/dev/null 2>&1 &")
	g.Await("[ -e /run/capture ]")
	for i := 1; i <= tunnels; i++ {
		name, service := fmt.Sprintf("vpn%d", i), fmt.Sprintf("web%d", i)
		kit.Equal(t, service, g.where(service), g.inside(name))
		kit.Equal(t, "devices in "+name, g.Sh("ip -n "+name+" -br link | sed 's/[@ ].*//' | sort | xargs"), fmt.Sprintf("lo tun%d", i))
		// Even what is meant for the host's own network goes through the tunnel.
		g.Sh("netns-exec " + name + " bash -c 'echo >/dev/udp/198.51.100.2/9'")
		ask := fmt.Sprintf("ip netns exec peer probe ask 10.9.%d.2", i)
		kit.Equal(t, "bytes from "+service, g.Await(ask), "tcp: "+service+"\nudp: "+service)
		kit.Contains(t, g.Sh("cat /proc/$(cat /run/"+service+".pid)/root/etc/resolv.conf"), fmt.Sprintf("nameserver 10.9.%d.1", i))
		kit.Contains(t, g.Sh("rc-netns egress "+service), service+": tunnel only, through "+fmt.Sprintf("tun%d", i))
		before(t, order, "ends start", "netns."+name+" up")
		before(t, order, "netns."+name+" up", service+" start")
	}

	g.Sh("pkill -f '^probe capture'")
	captured := g.Await("grep -q ^missed /run/capture && sort /run/capture | uniq -c | sort -rn")
	for i := 1; i <= tunnels; i++ {
		kit.Contains(t, captured, fmt.Sprintf("> 198.51.100.2:5000%d", i))
	}
	encrypted := regexp.MustCompile(`(?m)^ *\d+ (eth1 (out udp 198\.51\.100\.1:\d+ > 198\.51\.100\.2:5000\d|in udp 198\.51\.100\.2:5000\d > 198\.51\.100\.1:\d+|(in|out) (arp|icmp6 type 13[3-6]|next header 0) .*)|missed 0)$`)
	kit.Equal(t, "captured besides", strings.TrimSpace(encrypted.ReplaceAllString(captured, "")), "")

	g.Sh("rm /run/order; openrc shutdown")
	kit.Equal(t, "started", g.states("started"), "")
	order = g.order()
	for i := 1; i <= tunnels; i++ {
		before(t, order, fmt.Sprintf("web%d stop", i), fmt.Sprintf("netns.vpn%d down", i))
	}
	kit.Equal(t, "names", g.Sh("ls /run/netns"), "peer")
	kit.Equal(t, "journals", g.Run("ls /run/openrc-netns").Stdout, "")
	if left := g.Run("pgrep -a wireguard-go").Stdout; strings.Contains(left, "tun") {
		t.Errorf("still there: %s", left)
	}
}
