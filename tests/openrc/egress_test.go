package openrc

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// egress is what "rc-netns egress" prints, with this exit status.
func (h *host) egress(code int, args string) string {
	h.T.Helper()
	result := h.Run("rc-netns egress " + args)
	kit.Equal(h.T, "status of egress "+args, fmt.Sprint(result.Code), fmt.Sprint(code))
	return result.Output
}

// Where packets leave, as an administrator changes what leads out of a
// namespace.
func TestEgress(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("echo netns=vpn >/etc/conf.d/daemon; ip netns add lab; ip -n vpn link set lo up; mount -t devtmpfs none /dev 2>/dev/null; [ -e /dev/net/tun ] || { mkdir -p /dev/net; mknod /dev/net/tun c 10 200; }")
	kit.Equal(t, "none", h.egress(0, ""), "no confined service runs\n")
	kit.Equal(t, "not started", h.egress(0, "daemon"), "daemon: no way out\n  IPv4: no route\n  IPv6: no route\n")
	h.Sh("rc-service daemon start")
	kit.Contains(t, h.egress(0, ""), "daemon: no way out (process "+h.Sh("cat /run/daemon.pid")+")")

	// One way, to the host.
	h.Sh(`ip link add name to-vpn type veth peer name out netns vpn; ip address add 198.51.100.1/24 dev to-vpn; ip link set to-vpn up
		ip -n vpn address add 198.51.100.2/24 dev out; ip -n vpn link set out up
		ip -n vpn route add default via 198.51.100.1`)
	out := h.egress(0, "daemon")
	kit.Contains(t, out, "daemon: through out, no tunnel")
	kit.Contains(t, out, "  IPv4: through out by 198.51.100.1 from 198.51.100.2\n  IPv6: no route\n")
	kit.Contains(t, out, "  out: veth to to-vpn on the host's network, leads to default, 198.51.100.0/24\n")
	kit.Contains(t, h.egress(0, "vpn"), "vpn: through out, no tunnel\n")

	// To a namespace with a name; an address beside the default route is a way
	// too.
	h.Sh(`ip -n lab link add name side type veth peer name lab0 netns vpn
		ip -n vpn address add 203.0.113.2/30 dev lab0; ip -n lab link set side up; ip -n vpn link set lab0 up`)
	kit.Contains(t, h.egress(0, "daemon"), "  lab0: veth to side in network namespace \"lab\", leads to 203.0.113.0/30\n")

	// A tunnel beside them, with the two routes that halve the default route.
	h.Sh(`ip netns exec vpn ip tuntap add tun0 mode tun; ip -n vpn address add 10.9.0.2/32 dev tun0; ip -n vpn link set tun0 up
		ip -n vpn route add 0.0.0.0/1 dev tun0; ip -n vpn route add 128.0.0.0/1 dev tun0`)
	out = h.egress(1, "daemon")
	kit.Contains(t, out, "daemon: through tun0, also through out, lab0")
	kit.Contains(t, out, "  IPv4: through tun0 from 10.9.0.2\n  IPv6: no route\n")
	// Nothing else leads out.
	h.Sh("ip link delete to-vpn; ip -n lab link delete side")
	kit.Contains(t, h.egress(0, "daemon"), "daemon: tunnel only, through tun0")

	// IPv6 beside the tunnel; and a table that only a rule leads to.
	h.Sh(`ip link add name to-vpn type veth peer name six netns vpn; ip link set to-vpn up; ip -n vpn link set six up
		ip -n vpn -6 address add 2001:db8:1::2/64 dev six nodad; ip -n vpn -6 route add default via 2001:db8:1::1`)
	out = h.egress(1, "daemon")
	kit.Contains(t, out, "daemon: through tun0, also through six")
	kit.Contains(t, out, "  IPv6: through six by 2001:db8:1::1 from 2001:db8:1::2\n")
	h.Sh(`ip -n vpn -6 route del default via 2001:db8:1::1; ip -n vpn -6 address del 2001:db8:1::2/64 dev six
		ip -n vpn route add default dev six table 7`)
	kit.Contains(t, h.egress(0, "daemon"), "daemon: tunnel only, through tun0")
	h.Sh("ip -n vpn rule add uidrange 33-33 table 7 priority 5")
	kit.Contains(t, h.egress(1, "daemon"), "daemon: through tun0, also through six")
	h.Sh("ip -n vpn rule del priority 5; ip link delete to-vpn")

	// The resolvers of the daemon's own resolv.conf, and a socket that it can
	// reach.
	h.Sh("mkdir -p /etc/netns/vpn; printf 'nameserver 10.9.0.1\\nnameserver 127.0.0.1\\nnameserver 2001:db8::53\\n' >/etc/netns/vpn/resolv.conf; rc-service daemon restart")
	kit.Contains(t, h.egress(0, "daemon"), "  DNS 10.9.0.1: through tun0 from 10.9.0.2\n  DNS 127.0.0.1: through lo\n  DNS 2001:db8::53: no route\n")
	h.Sh("rm -rf /run/nscd; mkdir -p /run/avahi-daemon; perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(\"/run/avahi-daemon/socket\")) or die'")
	kit.Contains(t, h.egress(1, "daemon"), "daemon: through tun0, also through /run/avahi-daemon/socket")
	h.Sh("rm /run/avahi-daemon/socket")

	// Who holds a tunnel, and where that is.
	h.Sh(`perl -e 'open my $t, "+<", "/dev/net/tun" or die; my $r = pack("a16 s x22", "tun9", 0x1001); ioctl($t, 0x400454ca, $r) or die "$!";
		system("ip link set tun9 netns vpn; ip -n vpn link set tun9 up; ip -n vpn address add 10.8.0.2/24 dev tun9"); $0 = "holder"; sleep 600' >/dev/null 2>&1 &
		until ip -n vpn address show tun9 2>/dev/null | grep -q 10.8; do sleep 0.1; done`)
	kit.Contains(t, h.egress(1, "daemon"), "(holder) on the host's network, leads to 10.8.0.0/24")

	// For programs.
	kit.Contains(t, h.egress(1, "--json daemon"), `"verdict": "leak"`)
	// What the host can reach is no way out, and is listed.
	h.Sh(`ln -s netns /etc/init.d/netns.vpn; ln -s netns-publish /etc/init.d/netns-publish.vpn; sleep 1
		ip link set lo up; echo netns_publish="127.0.0.1:53=10.9.0.1:53" >/etc/conf.d/netns.vpn; rc-service netns-publish.vpn start`)
	const reached = "  the host reaches 10.9.0.1:53 at 127.0.0.1:53\n"
	h.Sh("until rc-netns egress vpn | grep -q 'the host reaches'; do sleep 0.1; done")
	for _, name := range []string{"daemon", "vpn"} {
		kit.Contains(t, h.egress(1, name), reached)
	}
	kit.Contains(t, h.Run("rc-netns status").Output, reached)
	kit.Contains(t, h.egress(1, "--json vpn"), `"target": "10.9.0.1:53"`)
	h.Sh("ip netns add far")
	if out := h.egress(0, "far"); strings.Contains(out, "reaches") {
		t.Error(out)
	}
	// What is wrong is said, and no more.
	for args, want := range map[string]string{
		"nosuch":       `rc-netns: egress: "nosuch" is neither a service nor a network namespace`,
		"plain":        `rc-netns: egress: service "plain" is not confined`,
		"--frob":       "rc-netns: egress: unknown flag: --frob; see: rc-netns --help",
		"/nowhere/net": `rc-netns: egress: /nowhere/net: `,
	} {
		if out := h.egress(125, args); !strings.HasPrefix(out, want) {
			t.Errorf("egress %s: %s", args, out)
		}
	}
	kit.Contains(t, h.Fails("setpriv --reuid daemon --regid daemon --clear-groups rc-netns egress"), "CAP_SYS_ADMIN")
}

// What is looked at belongs to somebody, who may want egress to ask, to wait or
// to work for him.
func TestEgressOfWhatIsHostile(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh(`mount -t devtmpfs none /dev 2>/dev/null; [ -e /dev/net/tun ] || { mkdir -p /dev/net; mknod /dev/net/tun c 10 200; }
		echo netns=vpn >/etc/conf.d/daemon; rc-service daemon start
		ip link set lo up; echo nameserver 127.0.0.1 >/etc/resolv.conf
		perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 0); bind(S, sockaddr_in(53, inet_aton("127.0.0.1"))) or die;
			recv(S, $q, 512, 0); open F, ">/run/asked"; print F $q; sleep 600' >/dev/null 2>&1 &`)
	egress := func(code int, args string) string {
		t.Helper()
		result := h.Run("timeout -s KILL 30 rc-netns egress " + args)
		if result.Code != code {
			t.Errorf("egress %s: status %d, want %d\n%s", args, result.Code, code, result.Output)
		}
		return result.Output
	}
	kit.Contains(t, egress(0, "daemon"), "daemon: no way out")

	// A file that the daemon's user binds over resolv.conf, where it may mount.
	h.Sh("mkdir /run/evil; mkfifo /run/evil/fifo; truncate -s 1G /run/evil/sparse; ln -s /proc/kmsg /run/evil/link; echo 'nameserver a-secret.exfil.example' >/run/evil/name")
	for file, want := range map[string]string{
		"/run/evil/name":   `the nameserver "a-secret.exfil.example", which is not an IP address`,
		"/run/evil/fifo":   `the nameservers: "/etc/resolv.conf" is not a regular file`,
		"/run/evil/sparse": `the nameservers: "/etc/resolv.conf" has more than 65536 bytes`,
		"/proc/kmsg":       `the nameservers: "/etc/resolv.conf" leads to a file system that is not the host's own (proc)`,
	} {
		h.Sh("nsenter -t $(cat /run/daemon.pid) -m mount --bind " + file + " /etc/resolv.conf")
		kit.Contains(t, egress(1, "daemon"), "\n  not looked at: "+want+"\n")
		var document struct {
			Subjects []struct {
				Verdict     string
				NotLookedAt []string `json:"not_looked_at"`
			}
		}
		if err := json.Unmarshal([]byte(egress(1, "--json daemon")), &document); err != nil {
			t.Fatal(err)
		}
		kit.Equal(t, file, fmt.Sprint(document), "{[{no-way-out ["+want+"]}]}")
		h.Sh("nsenter -t $(cat /run/daemon.pid) -m umount /etc/resolv.conf")
	}
	kit.Equal(t, "asked", h.Sh("cat /run/asked 2>/dev/null || true"), "")
	// FUSE whose server does not answer, for status as well.
	h.Sh(`mkdir -p /etc/netns/vpn; echo nameserver 10.9.0.1 >/etc/netns/vpn/resolv.conf; rc-service daemon restart
		` + fuse + " $(cat /run/daemon.pid) /etc")
	kit.Contains(t, egress(1, "daemon"), `  not looked at: the nameservers: "/etc/resolv.conf" leads to a file system that is not the host's own (fuse)`)
	for _, command := range []string{"status", "repair"} {
		result := h.Run("timeout -s KILL 30 rc-netns " + command + " daemon")
		kit.Equal(t, command, fmt.Sprint(result.Code, strings.Contains(result.Output, "/etc/resolv.conf")), "1 true")
	}
	h.Sh("kill $(cat /run/fuse); pid=$(cat /run/daemon.pid); kill -KILL $pid; while [ -e /proc/$pid ]; do sleep 0.1; done; rm -r /etc/netns/vpn; rc-service daemon zap; rc-service daemon start")
	// A directory on the way to a socket.
	h.Sh("nsenter -t $(cat /run/daemon.pid) -m sh -c 'mkdir -p /run/avahi-daemon && mount --bind /proc/1 /run/avahi-daemon'")
	kit.Contains(t, egress(1, "daemon"), "daemon: not looked at as a whole")
	h.Sh("nsenter -t $(cat /run/daemon.pid) -m umount /run/avahi-daemon")

	// More routes than anybody needs, the last one beside the tunnel.
	h.Sh(`ip netns exec vpn ip tuntap add tun0 mode tun; ip -n vpn link set tun0 up; ip link add name to-vpn type veth peer name out netns vpn
		ip link set to-vpn up; ip -n vpn link set out up
		perl -e 'printf "route add 10.%d.%d.%d dev tun0\n", $_ >> 16, $_ >> 8 & 255, $_ & 255 for 1 .. 20000' | ip -n vpn -batch -`)
	out := egress(1, "daemon")
	kit.Contains(t, out, "daemon: not looked at as a whole (process ")
	kit.Contains(t, out, "\n  not looked at: what follows the first 10000 IPv4 routes\n")
	h.Sh("ip -n vpn link delete tun0; ip link delete to-vpn")

	// More descriptors than anybody needs, where the one of a tunnel is looked
	// for.
	h.Sh(`ip netns exec vpn ip tuntap add tun0 mode tun; ip -n vpn address add 10.9.0.2/32 dev tun0; ip -n vpn link set tun0 up; ip -n vpn route add default dev tun0
		(ulimit -n 10000; exec perl -e 'open $f[$_], "<", "/dev/null" or die for 1 .. 5000; open F, ">/run/many"; print F $$; close F; sleep 600') >/dev/null 2>&1 &
		until [ -s /run/many ]; do sleep 0.1; done`)
	out = egress(1, "daemon")
	kit.Contains(t, out, "daemon: tunnel only, through tun0")
	kit.Contains(t, out, "\n  not looked at: who holds tun0: process "+h.Sh("cat /run/many")+" has more than 1024 descriptors\n")
	h.Sh("kill $(cat /run/many); while [ -e /proc/$(cat /run/many) ]; do sleep 0.1; done")
	egress(0, "daemon")

	// A process that ends meanwhile, or whose network is out of reach, does not
	// keep the others from being shown.
	h.scripts("supervised")
	h.Sh("echo netns=vpn >/etc/conf.d/supervised; echo vrf=nosuch >>/etc/conf.d/daemon; rc-service supervised start")
	out = egress(1, "")
	kit.Contains(t, out, "\n  not looked at: network namespace \"/proc/")
	kit.Contains(t, out, "supervised: tunnel only, through tun0")
	h.Sh("sed -i /vrf/d /etc/conf.d/daemon")

	// A pidfile that belongs to the daemon's user is not opened before it is
	// known what it is.
	h.Sh("rm /run/daemon.pid; mkfifo /run/daemon.pid")
	if out := h.Run("strace -f -o /run/trace -e trace=open,openat,openat2 rc-netns status daemon").Output; !strings.Contains(out, "daemon") {
		t.Error(out)
	}
	for _, line := range strings.Split(h.Sh("grep daemon.pid /run/trace"), "\n") {
		kit.Contains(t, line, "O_PATH")
	}
}

// A WireGuard interface that wireguard-go serves from the host's network, as an
// administrator would want to know of it.
func TestEgressOfWireGuard(t *testing.T) {
	t.Parallel()
	s := newTunnelScene(t, machine.Options{})
	if s.kernel() {
		t.Skip("the kernel has WireGuard, and wireguard-go is not asked")
	}
	matches := func(text, want string) {
		t.Helper()
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no match for %q in:\n%s", want, text)
		}
	}
	const (
		from = "    peer 198.51.100.2:51820, from the host's network through eth1 from 198.51.100.1"
		held = `  wg0: tun of process \d+ \(wireguard-go\) on the host's network, leads to default\n`
	)
	s.secret("/etc/wireguard/wg0.conf", s.file("DNS = "+farAddress))
	s.service("vpn", "netns_wireguard=/etc/wireguard/wg0.conf")
	s.Conf("daemon", "netns=vpn")
	// With nobody there yet: the kernel sends words of its own into a tunnel.
	s.Sh("pkill -f '^wireguard-go far0'; rc-update -u; rc-service daemon start")
	out := s.egress(0, "daemon")
	kit.Contains(t, out, "daemon: tunnel only, through wg0 (process "+s.daemon()+")\n")
	kit.Contains(t, out, "  IPv4: through wg0 from "+insideAddress+"\n  IPv6: through wg0 from "+inside6+"\n")
	kit.Contains(t, out, "  DNS "+farAddress+": through wg0 from "+insideAddress+"\n")
	matches(out, held+from+", no handshake yet\n$")
	s.Sh("pkill -x probe")
	s.peerUp()
	s.reaches("netns-exec vpn")
	matches(s.egress(0, "daemon"), held+from+`, last handshake (\d+m)?\d+s ago\n$`)
	matches(s.egress(0, "vpn"), `^vpn: tunnel only, through wg0\n`)

	// For programs, the same.
	shown := strings.Join(strings.Fields(s.egress(0, "--json daemon")), " ")
	matches(shown, `^\{ "version": 1, "subjects": \[ \{ "name": "daemon", "pid": \d+, "verdict": "tunnel-only", `)
	matches(shown, `"exits": \[ \{ "interface": "wg0", "kind": "tun", "tunnel": true, "to": \[ "default" \], `+
		`"leads": "of process \d+ \(wireguard-go\) on the host's network", `+
		`"peers": \[ \{ "endpoint": "198\.51\.100\.2:51820", "handshake_seconds": [0-9.]+, `+
		`"through": \{ "family": "IPv4", "interface": "eth1", "source": "198\.51\.100\.1", "gateway": "[0-9.]*" \}, "through_host": true \} \] \} \], `+
		`"published": \[\], "not_looked_at": \[\] \} \] \}$`)

	// Whoever holds it, and does not answer.
	s.Sh("pkill -STOP -x wireguard-go")
	out = s.egress(1, "daemon")
	kit.Contains(t, out, "daemon: tunnel only, through wg0 (process ")
	kit.Contains(t, out, "\n  not looked at: the peers of wg0: nobody answers\n")
	s.Sh("pkill -CONT -x wireguard-go")

	// The other end, whose packets do not go through the host's network.
	out = s.egress(1, "peer")
	kit.Contains(t, out, "peer: through far0, also through eth0\n")
	matches(out, `  far0: tun of process \d+ \(wireguard-go\) in the same namespace, leads to 10\.66\.0\.0/24, fd66::/64\n    peer 198\.51\.100\.1:\d+, from there through eth0 from 198\.51\.100\.2, last handshake `)

	// A tun device that is only called like it, and leads elsewhere.
	s.Sh("ip netns add lab; ip netns exec lab ip tuntap add wg0 mode tun; ip -n lab link set wg0 up; ip -n lab route add default dev wg0")
	kit.Equal(t, "another wg0", s.egress(0, "lab"), "lab: tunnel only, through wg0\n  IPv4: through wg0\n  IPv6: no route\n  wg0: tun, leads to default\n")

	// A second way out for IPv6, whether or not it is preferred to the first.
	s.Sh(`ip link add to-vpn type veth peer name side netns vpn; ip link set to-vpn up; ip -n vpn link set side up
		ip -n vpn -6 address add 2001:db8:7::2/64 dev side nodad`)
	matches(s.egress(1, "daemon"), `^daemon: through wg0, also through side `)
	s.Sh("ip -n vpn -6 route add default via 2001:db8:7::1 metric 2048")
	out = s.egress(1, "daemon")
	kit.Contains(t, out, "  IPv6: through wg0 from "+inside6+"\n")
	kit.Contains(t, out, "  side: veth to to-vpn on the host's network, leads to default, 2001:db8:7::/64\n")
	s.Sh("ip -n vpn -6 route add default via 2001:db8:7::1 metric 1")
	out = s.egress(1, "daemon")
	kit.Contains(t, out, "  IPv4: through wg0 from "+insideAddress+"\n  IPv6: through side by 2001:db8:7::1 from 2001:db8:7::2\n")
	s.Sh("ip link delete to-vpn")
	s.egress(0, "daemon")

	// A resolver that is not behind the tunnel.
	s.Sh(`ip link add to-vpn type veth peer name side netns vpn; ip link set to-vpn up; ip -n vpn link set side up
		ip -n vpn address add 203.0.113.2/24 dev side
		mkdir -p /etc/netns/vpn; printf 'nameserver 203.0.113.53\nnameserver ` + farAddress + `\n' >/etc/netns/vpn/resolv.conf
		rc-service daemon restart`)
	out = s.egress(1, "daemon")
	kit.Contains(t, out, "daemon: through wg0, also through side ")
	kit.Contains(t, out, "  DNS 203.0.113.53: through side from 203.0.113.2\n  DNS "+farAddress+": through wg0 from "+insideAddress+"\n")
	s.Sh("ip link delete to-vpn")
	kit.Contains(t, s.egress(0, "daemon"), "  DNS 203.0.113.53: through wg0 from "+insideAddress+"\n")

	// No tunnel, no way out.
	s.Sh("ip -n vpn link delete wg0")
	kit.Contains(t, s.egress(0, "daemon"), "daemon: no way out (process ")
	s.noKeys(shown + out)
}
