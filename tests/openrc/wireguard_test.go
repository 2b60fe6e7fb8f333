package openrc

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"openrc-netns/tests/internal/build"
	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// userspace is wireguard-go, as this kernel may have no WireGuard, built once.
var userspace = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "openrc-netns-wireguard")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "wireguard-go")
	if err := build.Run("go", "build", "-o", program, "golang.zx2c4.com/wireguard"); err != nil {
		return "", err
	}
	text, err := os.ReadFile(program)
	return string(text), err
})

// The addresses of the scene. In the real world are those of RFC 5737 and 3849.
const (
	hostAddress   = "198.51.100.1"
	peerAddress   = "198.51.100.2" // of the endpoint, and of the way out that is no tunnel
	peerPort      = 51820
	insideAddress = "10.66.0.2"
	farAddress    = "10.66.0.1" // behind the tunnel
	inside6       = "fd66::2"
	far6          = "fd66::1"
)

// tunnelScene is a machine with one network, eth1, behind which is the other
// end of a tunnel, and somebody who answers to everything that is not in the
// tunnel.
type tunnelScene struct {
	*host
	mine, theirs kit.Keys
	shared       kit.Key
}

func newTunnelScene(t *testing.T, options machine.Options) *tunnelScene {
	t.Helper()
	program, err := userspace()
	if err != nil {
		t.Fatal(err)
	}
	s := &tunnelScene{host: bootRelease(t, options, true), mine: kit.NewKeys(), theirs: kit.NewKeys(), shared: kit.NewKeys().Private}
	s.Write("/usr/bin/wireguard-go", program)
	s.Sh(`ip netns delete vpn
		mkdir -m 700 /etc/wireguard
		sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.router_solicitations=0
		ip netns add peer
		ip netns exec peer sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.router_solicitations=0
		ip link add eth1 type veth peer name eth0 netns peer
		ip link set lo up
		ip address add ` + hostAddress + `/24 dev eth1
		ip -6 address add 2001:db8:51::1/64 dev eth1 nodad
		ip link set eth1 up
		ip -n peer link set lo up
		ip -n peer address add ` + peerAddress + `/24 dev eth0
		ip -n peer address add 198.51.100.53/32 dev eth0
		ip -n peer -6 address add 2001:db8:51::2/64 dev eth0 nodad
		ip -n peer link set eth0 up
		ip route add default via ` + peerAddress + `
		ip -6 route add default via 2001:db8:51::2
		echo nameserver 198.51.100.53 >/etc/resolv.conf`)
	s.peerUp()
	return s
}

// peerUp starts the other end, as no part of ours would.
func (s *tunnelScene) peerUp() {
	s.T.Helper()
	s.Write("/root/peer", fmt.Sprintf("set=1\nprivate_key=%s\nlisten_port=%d\nreplace_peers=true\npublic_key=%s\npreshared_key=%s\nreplace_allowed_ips=true\nallowed_ip=%s/32\nallowed_ip=%s/128\n\n",
		s.theirs.Private.Hex(), peerPort, s.mine.Public.Hex(), s.shared.Hex(), insideAddress, inside6))
	s.Sh(`ip netns exec peer env LOG_LEVEL=silent wireguard-go far0 2>/dev/null
		nc -U -N /var/run/wireguard/far0.sock </root/peer | grep -q errno=0
		ip -n peer address add ` + farAddress + `/24 dev far0
		ip -n peer -6 address add ` + far6 + `/64 dev far0
		ip -n peer link set far0 up
		(ip netns exec peer probe serve peer & ip netns exec peer probe whoami ` + farAddress + ` &) >/dev/null 2>&1 </dev/null`)
}

// file is what a provider would hand out, with more lines for [Interface].
func (s *tunnelScene) file(lines ...string) string {
	return fmt.Sprintf("[Interface]\r\nprivatekey = %s\r\nAddress = %s/32, %s/128\r\n%s\r\n[Peer] # the only one\r\nPublicKey = %s\r\nPresharedKey=%s\r\nAllowedIPs = 0.0.0.0/0, ::/0\r\nEndpoint = %s:%d\r\n",
		s.mine.Private, insideAddress, inside6, strings.Join(lines, "\r\n"), s.theirs.Public, s.shared, peerAddress, peerPort)
}

func (s *tunnelScene) secret(name, content string) {
	s.T.Helper()
	if err := s.WriteFile(name, 0o600, content); err != nil {
		s.T.Fatal(err)
	}
}

// noKeys asserts that no key of the scene is in a text.
func (s *tunnelScene) noKeys(text string) {
	s.T.Helper()
	for _, key := range []kit.Key{s.mine.Private, s.shared} {
		for _, spelt := range []string{key.String(), key.Hex(), string(key[:])} {
			if strings.Contains(text, spelt[:16]) {
				s.T.Errorf("a key, or half of it, is in:\n%s", text)
			}
		}
	}
}

// nothingOnHost asserts that the host has what it had before.
func (s *tunnelScene) nothingOnHost() {
	s.T.Helper()
	s.undone("netns.vpn", "eth1 lo", "peer")
	kit.Equal(s.T, "processes", s.Sh("pgrep -a wireguard-go | grep -v -e far0 -e defunct || :"), "")
	kit.Equal(s.T, "sockets", s.Sh("ls /var/run/wireguard"), "far0.sock")
	kit.Equal(s.T, "routes", s.Sh("(ip route; ip -6 route) | grep -v fe80 | cut -d' ' -f-5"), "default via 198.51.100.2 dev eth1\n198.51.100.0/24 dev eth1 proto kernel\n"+
		"2001:db8:51::/64 dev eth1 proto kernel\ndefault via 2001:db8:51::2 dev eth1")
}

// reaches asserts that a command, with netns-exec or nothing, is answered from
// behind the tunnel, and gets names from there.
func (s *tunnelScene) reaches(prefix string) {
	s.T.Helper()
	kit.Equal(s.T, "answer", s.Await(prefix+" probe ask "+farAddress), "tcp: peer\nudp: peer")
	kit.Equal(s.T, "answer by IPv6", s.Await(prefix+" probe ask "+far6), "tcp: peer\nudp: peer")
	// The name server answers with the address of who asks.
	kit.Equal(s.T, "name", s.Await(prefix+" getent ahostsv4 anything.example | awk 'NR == 1 { print $1 }'"), insideAddress)
}

// capture writes down what goes through the machine's own network until the
// function that it returns is called. That asserts that nothing but the packets
// of the tunnel went out, and what two hosts on one wire have to ask each other.
// Either may say that nobody is at the other end of the tunnel by now.
func (s *tunnelScene) capture() (onlyTheTunnel func()) {
	s.T.Helper()
	tunnel := regexp.MustCompile(`^eth1 (out udp 198\.51\.100\.1:\d+ > 198\.51\.100\.2:51820|in udp 198\.51\.100\.2:51820 > 198\.51\.100\.1:\d+)$`)
	wire := regexp.MustCompile(`^eth1 (out|in) (arp 198\.51\.100\.[12]|icmp6 type 13[56] .*|next header 0 .* > ff02::.*)$`)
	unreachable := regexp.MustCompile(`^(eth1|lo) (in|out) icmp type 3 198\.51\.100\.[12] > 198\.51\.100\.[12]$`)
	s.Sh("rm -f /run/capture; probe capture /run/capture >/dev/null 2>&1 </dev/null & until [ -e /run/capture ]; do sleep 0.05; done")
	return func() {
		s.T.Helper()
		text := s.Sh("pid=$(pgrep -f '^probe capture'); kill $pid; while [ -e /proc/$pid ]; do sleep 0.05; done; cat /run/capture")
		lines := strings.Split(text, "\n")
		last := len(lines) - 1
		kit.Equal(s.T, "end of the capture", lines[last], "missed 0")
		there, strange := 0, map[string]int{}
		for _, line := range lines[:last] {
			switch {
			case tunnel.MatchString(line):
				there++
			case !wire.MatchString(line) && !unreachable.MatchString(line):
				strange[line]++
			}
		}
		s.T.Logf("%d packets, %d of the tunnel", last, there)
		if there == 0 || len(strange) > 0 {
			s.T.Errorf("%d packets of the tunnel, and besides: %v", there, strange)
		}
	}
}

// pest never stops asking everybody for everything.
const pest = `#!/bin/sh
while :; do
	for address in 10.66.0.1 fd66::1 198.51.100.2 2001:db8:51::2 198.51.100.53; do
		probe ask $address
		probe dns anything.example $address
	done >/dev/null 2>&1 &
	getent ahosts anything.example >/dev/null
	sleep 0.5
done
`

func (s *tunnelScene) pest() {
	s.T.Helper()
	s.scripts("watched")
	s.Conf("pest", "netns=vpn", "program=/bin/sh", "arguments=/usr/local/bin/pest", "command_background=yes")
	s.Write("/usr/local/bin/pest", pest)
	s.Sh("ln -s watched /etc/init.d/pest; rc-update -u")
}

// inVPN asserts that the service pest is inside.
func (s *tunnelScene) inVPN() {
	s.T.Helper()
	pid := s.Await("cat /run/pest.pid")
	kit.Equal(s.T, "pest", s.where(pid), s.inside())
}

// The three lines of the manual. From the first packet to the last one, nothing
// leaves but what the tunnel sends to its endpoint, whatever becomes of the
// tunnel.
func TestTunnelIsTheOnlyWayOut(t *testing.T) {
	eachOf(t, releases, func(t *testing.T, release string) {
		s := newTunnelScene(t, machine.Options{Release: release, Shell: shellOf[release]})
		s.secret("/etc/wireguard/wg0.conf", s.file("DNS = "+farAddress+", vpn.example", "MTU = 1380"))
		onlyTheTunnel := s.capture()
		s.Sh("ln -s netns /etc/init.d/netns.vpn; echo netns_wireguard=/etc/wireguard/wg0.conf >/etc/conf.d/netns.vpn")
		s.pest()
		s.noKeys(s.Sh("exec 2>&1; rc-service pest start || exit; cat /run/openrc-netns/vpn/*; grep -rs . /run/openrc"))
		kit.Equal(t, "devices inside", s.devices("vpn"), "lo wg0")
		kit.Equal(t, "devices outside", s.devices(""), "eth1 lo")
		kit.Contains(t, s.Sh("ip -n vpn link show wg0"), "mtu 1380")
		kit.Equal(t, "routes", s.Sh("ip -n vpn route; ip -n vpn -6 route show default"), "default dev wg0 scope link \ndefault dev wg0 metric 1024 pref medium")
		s.inVPN()
		s.reaches("netns-exec vpn")
		kit.Contains(t, s.Sh("netns-exec vpn cat /etc/resolv.conf"), "nameserver 10.66.0.1\nsearch vpn.example")
		kit.Contains(t, s.Sh("cat /etc/resolv.conf"), "nameserver 198.51.100.53")

		// Restarted: what needs it is restarted too.
		s.Sh("rc-service netns.vpn restart; until [ -e /run/openrc/started/pest ]; do sleep 0.1; done")
		s.inVPN()
		s.reaches("netns-exec vpn")

		// A process that OpenRC does not know stays where it is.
		s.Sh("netns-exec vpn /usr/local/bin/pest >/dev/null 2>&1 </dev/null & echo $! >/run/stray; sleep 0.5")
		inside, stray := s.inside(), s.Sh("cat /run/stray")
		kit.Contains(t, s.Sh("rc-service netns.vpn restart 2>&1; until [ -e /run/openrc/started/pest ]; do sleep 0.1; done"), `network namespace "vpn" is kept, for the processes in it`)
		kit.Equal(t, "namespace", s.inside(), inside)
		kit.Equal(t, "process", s.where(stray), inside)
		s.inVPN()
		s.reaches("nsenter -t " + stray + " -n -m")

		// The endpoint is not there, in two ways, and comes back.
		s.Sh("pkill -f '^wireguard-go far0'; sleep 2; ! netns-exec vpn probe ask " + farAddress)
		s.Sh("rc-service netns.vpn restart; until [ -e /run/openrc/started/pest ]; do sleep 0.1; done")
		s.Sh("ip -n peer link set eth0 down; sleep 2; ip -n peer link set eth0 up; ip -n peer -6 address add 2001:db8:51::2/64 dev eth0 nodad")
		s.inVPN()
		s.peerUp()
		s.reaches("netns-exec vpn")

		// The interface is deleted below it.
		s.Sh("ip -n vpn link delete wg0; sleep 2")
		s.inVPN()
		kit.Contains(t, s.Fails("netns-exec vpn probe ask "+farAddress), "network is unreachable")
		s.Sh("rc-service netns.vpn restart; until [ -e /run/openrc/started/pest ]; do sleep 0.1; done")
		s.reaches("netns-exec vpn")
		s.Sh("ip -n vpn link delete wg0; while pgrep -f '^[^ ]*wireguard-go wg0'; do sleep 0.1; done")

		// Stopped; what is inside still has no way out.
		kit.Contains(t, s.Run("rc-service netns.vpn stop").Output, `interface "wg0" is gone`)
		kit.Equal(t, "state of pest", s.state("pest"), "stopped")
		s.Sh("sleep 1; kill " + stray)
		s.nothingOnHost()
		onlyTheTunnel()
	})
}

// What is wrong is told with file and line, before anything is made, and no key
// is.
func TestWireGuardStartsThatFail(t *testing.T) {
	t.Parallel()
	s := newTunnelScene(t, machine.Options{})
	const path = "/etc/wireguard/wg0.conf"
	good := s.file("DNS = " + farAddress)
	for name, test := range map[string]struct {
		file   string
		conf   []string
		before string
		want   string
		after  string
	}{
		"two mistakes":        {file: s.file("SaveConfig = true", "MTU = 9"), want: `netns.vpn: ` + path + `: line 5: bad MTU "9"`},
		"half a key":          {file: strings.Replace(good, s.mine.Private.String(), s.mine.Private.String()[:20], 1), want: `"PrivateKey" is no key`},
		"the key elsewhere":   {file: strings.Replace(good, "Address = ", "Address = "+s.mine.Private.String()+", ", 1), want: `bad address (not shown, as it may be a key) in Address`},
		"nobody to ask":       {file: strings.Replace(good, peerAddress, "vpn.example", 1), before: "echo nameserver 127.0.0.1 >/etc/resolv.conf", after: "echo nameserver 198.51.100.53 >/etc/resolv.conf", want: `cannot resolve the Endpoint "vpn.example" on the host's network`},
		"a zone of nobody":    {file: strings.Replace(good, peerAddress, "[fe80::1%eth9]", 1), want: path + `: line 9: the zone "eth9" of the Endpoint is no interface on the host's network`},
		"a port that is used": {file: s.file("ListenPort = 4000"), before: "nc -u -l 4000 >/dev/null 2>&1 </dev/null & echo $! >/run/nc; sleep 0.5", after: "kill $(cat /run/nc)", want: path + `: ListenPort 4000 is in use on the host's network`},
		"no device for it":    {file: good, before: "mv /dev/net/tun /dev/net/off", after: "mv /dev/net/off /dev/net/tun", want: `wireguard-go cannot make interface "wg0": `},
		"the name is taken":   {file: good, before: "ip link add wg0 type veth peer name other", after: "ip link delete wg0", want: `cannot make interface "wg0": there is another one of that name, and wireguard-go cannot make a second`},
		"a function after it": {file: good, conf: []string{"netns_wireguard=" + path, "netns_dns=10.66.0.1", "netns_post_up() { return 1; }"}, want: "netns_post_up failed: undoing the start"},
		"a sysctl after it":   {file: good, conf: []string{"netns_wireguard=" + path, "netns_sysctl=net.ipv4.conf.wg0.forwarding=x"}, want: `set sysctl "net.ipv4.conf.wg0.forwarding=x": invalid argument`},
		"a route that is none": {file: good, conf: []string{"netns_wireguard=" + path, "config_wg0=10.77.0.2/24", "routes_wg0='198.51.100.0/24 via 10.77.0.255'"},
			want: `make route 198.51.100.0/24 via 10.77.0.255 through interface "wg0": invalid argument`},
	} {
		t.Run(name, func(t *testing.T) {
			s.T = t
			if s.kernel() && strings.Contains(test.want, "wireguard-go") {
				t.Skip("the kernel has WireGuard, and wireguard-go is not asked")
			}
			s.secret(path, test.file)
			conf := test.conf
			if conf == nil {
				conf = []string{"netns_wireguard=" + path}
			}
			s.service("vpn", append(conf, "export WG_ENDPOINT_RESOLUTION_RETRIES=1")...)
			s.Sh(test.before)
			out := s.Sh("exec 2>&1; ! rc-service netns.vpn start")
			kit.Contains(t, out, test.want)
			s.noKeys(out)
			s.Sh(test.after)
			kit.Equal(t, "state", s.state("netns.vpn"), "stopped")
			s.nothingOnHost()
		})
	}
	s.T = t

	// Others can read it: that is a word, and no more.
	s.Write(path, good)
	s.Sh("chmod 755 /etc/wireguard")
	s.service("vpn", "netns_wireguard="+path)
	kit.Contains(t, s.Run("rc-service netns.vpn start").Output, path+": everybody can read it, and the keys in it; fix it with: chmod 600 "+path)
	s.reaches("netns-exec vpn")

	// A restart that could not succeed is refused, and what runs goes on.
	s.pest()
	s.Sh("rc-service pest start; netns-exec vpn /usr/local/bin/sleeper 1000 >/dev/null 2>&1 </dev/null & until pgrep -x sleeper >/dev/null; do sleep 0.1; done")
	inside := s.inside()
	s.secret(path, s.file("MTU = 9"))
	kit.Contains(t, s.Fails("rc-service netns.vpn restart"), "netns.vpn: not stopped, because the start would fail: "+path+`: line 4: bad MTU "9"; give a number of bytes`)
	s.Sh("until [ -e /run/openrc/started/pest ]; do sleep 0.1; done")
	kit.Equal(t, "state", s.state("netns.vpn"), "started")
	kit.Equal(t, "namespace", s.inside(), inside)
	s.inVPN()
	s.reaches("netns-exec vpn")
	s.service("vpn", "netns_wireguard="+path, "netns_interfaces=eth9")
	s.secret(path, good)
	kit.Contains(t, s.Fails("rc-service netns.vpn restart"), `not stopped, because the start would fail: interface "eth9" does not exist`)
	s.Sh("until [ -e /run/openrc/started/pest ]; do sleep 0.1; done; rc-service pest stop; pkill -x sleeper; rc-service netns.vpn stop")
	s.nothingOnHost()
}

// kernel reports whether the kernel has WireGuard.
func (h *host) kernel() bool {
	return h.Run("unshare -n ip link add wg0 type wireguard").Code == 0
}

// Killed at any moment, the start is completed by the next one, and undone by
// the stop.
func TestWireGuardStartRepairsWhatACrashLeft(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	s := newTunnelScene(t, machine.Options{})
	s.secret("/etc/wireguard/wg0.conf", s.file("DNS = "+farAddress))
	s.service("vpn", "netns_wireguard=/etc/wireguard/wg0.conf", "netns_veth=host0:eth0", "config_host0=192.0.2.1/30", "config_eth0='192.0.2.2/30 2001:db8:2::2/64'",
		"routes_host0='203.0.113.0/24 via 192.0.2.2'", "routes_eth0='203.0.113.0/24 via 192.0.2.1'")
	complete := func(what string) {
		t.Helper()
		kit.Equal(t, what+": devices inside", s.devices("vpn"), "eth0 lo wg0")
		kit.Equal(t, what+": devices outside", s.devices(""), "eth1 host0 lo")
		kit.Equal(t, what+": routes", s.Sh("(ip -n vpn route; ip route show dev host0) | sed 's/ *$//'"), "default dev wg0 scope link\n192.0.2.0/30 dev eth0 proto kernel scope link src 192.0.2.2\n"+
			"203.0.113.0/24 via 192.0.2.1 dev eth0\n192.0.2.0/30 proto kernel scope link src 192.0.2.1\n203.0.113.0/24 via 192.0.2.2")
		s.reaches("netns-exec vpn")
		s.noKeys(s.Sh("cat /run/openrc-netns/vpn/*"))
	}
	s.Sh("rc-service netns.vpn start")
	complete("at first")
	s.Sh("rc-service netns.vpn zap; rc-service netns.vpn start")
	complete("again")
	s.Sh("rc-service netns.vpn stop")
	s.nothingOnHost()

	// By time: what it does with others, and waits for, lies between the steps.
	// And when each step has been written down.
	const command = "rc-netns up --wireguard /etc/wireguard/wg0.conf --veth host0:eth0 --config host0=192.0.2.1/30 --config eth0='192.0.2.2/30 2001:db8:2::2/64'" +
		" --routes host0='203.0.113.0/24 via 192.0.2.2' --routes eth0='203.0.113.0/24 via 192.0.2.1' vpn"
	type kill struct {
		what string
		do   func()
	}
	var kills []kill
	for i := range 10 {
		wait := fmt.Sprintf("%.3f", 0.01*float64(i*i)) // up to 0.8 s
		kills = append(kills, kill{"after " + wait + " s", func() {
			s.Run(command + " >/dev/null 2>&1 & pid=$!; sleep " + wait + "; kill -KILL $pid; wait $pid")
		}})
	}
	for step := 1; step <= 5; step++ {
		for call, file := range steps {
			kills = append(kills, kill{fmt.Sprintf("%s %d", call, step), func() { s.End(heldAt(call, file, "vpn", step, command)) }})
		}
	}
	// One that is dying is a process inside.
	const gone = "! pgrep -f '^rc-netns up'"
	for _, kill := range kills {
		kill.do()
		s.Await(gone)
		s.noKeys(s.Sh("cat /run/openrc-netns/vpn/* 2>/dev/null || :"))
		s.Sh("rc-service netns.vpn start")
		complete(kill.what)
		s.Sh("rc-service netns.vpn stop")
		s.nothingOnHost()

		kill.do()
		s.Await(gone)
		undone := s.Run("rc-netns down vpn").Output
		s.nothingOnHost()
		if t.Failed() {
			t.Fatalf("killed %s; %s", kill.what, undone)
		}
	}
}
