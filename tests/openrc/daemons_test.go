package openrc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// TestDaemons has real daemons asked over the wire: inside, by a peer of the
// namespace, they answer; outside, on the machine's own network, they do not.
func TestDaemons(t *testing.T) {
	eachOf(t, releases, func(t *testing.T, release string) {
		w := layWire(bootRelease(t, machine.Options{Release: release, Shell: shellOf[release]}, true))
		w.scripts("chronyd", "dnsmasq", "nginx")
		for _, d := range w.daemons(release) {
			w.life(d)
		}
		w.twoAtOnce()
	})
}

const refused = "connection refused"

// wire is a machine with a peer behind its namespace vpn, and an outsider on
// its own network. Both of these are name servers, each the one of its side,
// and answer with the address that the question came from.
type wire struct {
	*host
	vpn string // the namespace
}

func layWire(h *host) wire {
	h.T.Helper()
	for _, err := range []error{
		h.AddNetns("peer"),
		h.AddNetns("outsider"),
		h.Veth(
			machine.End{Netns: "vpn", Device: "tun0", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}},
			machine.End{Netns: "peer", Device: "tun0", Addrs: []string{"192.0.2.2/24", "2001:db8::2/64"}}),
		h.Veth(
			machine.End{Device: "eth0", Addrs: []string{"198.51.100.1/24", "2001:db8:1::1/64"}},
			machine.End{Netns: "outsider", Device: "eth0", Addrs: []string{"198.51.100.2/24", "2001:db8:1::2/64"}}),
	} {
		if err != nil {
			h.T.Fatal(err)
		}
	}
	// That a UDP port is closed is told as often as it is asked.
	h.Sh(`for in in "" "ip netns exec vpn"; do
			$in sysctl -q -w net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
		done`)
	h.Write("/etc/resolv.conf", "nameserver 198.51.100.2\n")
	h.Write("/etc/netns/vpn/resolv.conf", "nameserver 192.0.2.2\n")
	h.Sh(`ip netns exec peer probe whoami 192.0.2.2 >/run/peer.log 2>&1 &
		ip netns exec outsider probe whoami 198.51.100.2 >/run/outsider.log 2>&1 &
		for log in peer outsider; do
			until grep -q ready /run/$log.log; do sleep 0.02; done
		done`)
	return wire{h, h.inside()}
}

// daemon is a service with a network daemon.
type daemon struct {
	service  string
	process  string // the name of its processes, for pgrep(1)
	users    string // theirs, sorted
	question string // a command of the probe, without the addresses
	answer   string
	crashed  string // what OpenRC takes a killed one for
	revive   string // how it is started again
	reload   func()
}

func (w wire) daemons(release string) []daemon {
	// dpkg's start-stop-daemon, which OpenRC 0.45 has to do with, leaves no
	// record of the daemon to tell that it has died, and cannot stop a dead
	// one.
	crashed, revive := "crashed", "rc-service %s restart"
	if release == "bookworm" {
		crashed, revive = "started", "rc-service %s zap; rc-service %[1]s start"
	}
	w.nginx("nginx", "one")
	w.Write("/etc/dnsmasq.conf", "address=/own.example/192.0.2.99\nno-hosts\naddn-hosts=/etc/dnsmasq.hosts\n")
	w.Write("/etc/dnsmasq.hosts", "192.0.2.10 listed.example\n")
	w.Write("/etc/chrony/chrony.conf", "local stratum 10\nallow all\nsourcedir /etc/chrony/sources.d\n")
	if err := w.SSHD(); err != nil {
		w.T.Fatal(err)
	}
	return []daemon{
		{"nginx", "nginx", "root www-data", "http 80", "one", crashed, revive, w.reloadNginx},
		{"dnsmasq", "dnsmasq", "dnsmasq", "dns own.example", "192.0.2.99", crashed, revive, w.reloadDnsmasq},
		{"chronyd", "chronyd", "_chrony", "ntp", "mode 4 stratum 10", crashed, revive, w.reloadChronyd},
		// Those of sessions have another parent.
		{"sshd", "-P 1 sshd", "root", "ssh", "SSH-2.0-OpenSSH", crashed, revive, w.reloadSSHD},
	}
}

// life is what a service goes through, from the first start to the last stop.
func (w wire) life(d daemon) {
	pids := func() string { return w.Sh("pgrep -x " + d.process + " | xargs") }

	// Outside, it answers outside: all that follows can fail.
	w.Sh("rc-service " + d.service + " start")
	w.Await("probe " + d.question + " 127.0.0.1 | grep -q ': " + d.answer + "'")
	w.answers(d.service+" outside", d.question, d.answer, refused)
	w.Sh("rc-service " + d.service + " stop")
	w.gone(d)

	w.Conf(d.service, "netns=gone")
	kit.Contains(w.T, w.Fails("rc-service "+d.service+" start"), d.service+`: network namespace "gone" does not exist; create it with: ip netns add gone`)
	w.gone(d)

	w.Conf(d.service, "netns=vpn")
	w.Sh("rc-service " + d.service + " start")
	w.isInside(d, "start")
	before := pids()
	kit.Contains(w.T, w.Sh("rc-service "+d.service+" status"), "status: started")

	d.reload()
	w.isInside(d, "reload")
	kit.Equal(w.T, d.service+"'s first process after reload", strings.Fields(pids())[0], strings.Fields(before)[0])

	if d.process == "dnsmasq" {
		// It has another process for each question by TCP, which keeps the port
		// for as long as it is there; some may not have been accepted yet.
		w.Await("[ $(pgrep -xc dnsmasq) = 1 ] && [ -z \"$(ip netns exec vpn ss -Htn 'sport = :53')\" ]")
	}
	before = pids()
	w.Sh("rc-service " + d.service + " restart")
	w.isInside(d, "restart")
	for _, pid := range strings.Fields(before) {
		if strings.Contains(" "+pids()+" ", " "+pid+" ") {
			w.T.Errorf("%s: the restart left process %s", d.service, pid)
		}
	}

	w.Sh("pkill -9 -x " + d.process + "; while pgrep -x " + d.process + "; do sleep 0.02; done")
	kit.Contains(w.T, w.Run("rc-service "+d.service+" status").Output, "status: "+d.crashed)
	w.Sh(fmt.Sprintf(d.revive, d.service))
	w.isInside(d, "a crash")

	w.Sh("rc-service " + d.service + " stop")
	w.gone(d)
	kit.Contains(w.T, w.Run("rc-service "+d.service+" status").Output, "status: stopped")
	kit.Equal(w.T, "state", w.state(d.service), "stopped")
}

// isInside asserts that a daemon answers inside alone, and that each process of
// it is there, as the right user and with the namespace's files.
func (w wire) isInside(d daemon, when string) {
	w.T.Helper()
	what := d.service + " after " + when
	// start-stop-daemon does not wait for what it puts into the background.
	w.Await("ip netns exec peer probe " + d.question + " 192.0.2.1 | grep -q ': " + d.answer + "'")
	w.answers(what, d.question, refused, d.answer)
	var processes []string
	for _, user := range strings.Fields(d.users) {
		processes = append(processes, user+" "+w.vpn+" nameserver 192.0.2.2")
	}
	// A worker that is at its end has no namespace any more.
	kit.Equal(w.T, "processes and outside sockets of "+what, w.Sh(`for p in $(pgrep -x `+d.process+`); do
			user=$(ps -o user:20= -p $p) resolver=$(cat /proc/$p/root/etc/resolv.conf)
			namespace=$(readlink /proc/$p/ns/net) && echo $user $namespace $resolver
		done | sort -u; ss -Hlntu`), strings.Join(processes, "\n"))
}

// gone asserts that nothing of a daemon runs.
func (w wire) gone(d daemon) {
	w.T.Helper()
	// A daemon that has removed its pidfile is not yet at its end.
	w.Await("! pgrep -x " + d.process + " >/dev/null")
	w.answers(d.service+" stopped", d.question, refused, refused)
	kit.Equal(w.T, d.service+" has left", w.Run("pgrep -a -x "+d.process).Stdout, "")
}

// answers asserts what a daemon answers on the machine's own network, to the
// machine itself and to the outsider, and what it answers the peer.
func (w wire) answers(what, question, outside, inside string) {
	w.T.Helper()
	var script, want strings.Builder
	for _, place := range []struct{ asked, from, answer, addresses string }{
		{"from the host", "", outside, "127.0.0.1 ::1 198.51.100.1 2001:db8:1::1"},
		{"by the outsider", "ip netns exec outsider", outside, "198.51.100.1 2001:db8:1::1"},
		{"by the peer", "ip netns exec peer", inside, "192.0.2.1 2001:db8::1"},
		// There is no way from one side to the other.
		{"from the host", "", "network is unreachable", "192.0.2.1 2001:db8::1"},
	} {
		fmt.Fprintf(&script, "echo %s; %s probe %s %s\n", place.asked, place.from, question, place.addresses)
		fmt.Fprintln(&want, place.asked)
		for _, address := range strings.Fields(place.addresses) {
			want.WriteString(expect(question, address, place.answer))
		}
	}
	if diff := cmp.Diff(want.String(), w.Sh(script.String())+"\n"); diff != "" {
		w.T.Errorf("%s, asked (-want +got):\n%s", what, diff)
	}
}

// answersPeer asserts what the peer is answered.
func (w wire) answersPeer(what, question, answer string) {
	w.T.Helper()
	out := w.Sh("ip netns exec peer probe " + question + " 192.0.2.1 2001:db8::1")
	kit.Equal(w.T, what, out+"\n", expect(question, "192.0.2.1", answer)+expect(question, "2001:db8::1", answer))
}

// expect is what the probe prints of an address; it asks for names twice, by
// UDP and by TCP.
func expect(question, address, answer string) string {
	line := address + ": " + answer + "\n"
	if strings.HasPrefix(question, "dns ") {
		line += line
	}
	return line
}

// nginx writes the configuration of a service of nginx.
func (w wire) nginx(service, text string) {
	w.T.Helper()
	w.Write("/etc/nginx/"+service+".conf", fmt.Sprintf(`
		user www-data;
		worker_processes 2;
		pid /run/%s.pid;
		events {}
		http {
			access_log off;
			default_type text/plain;
			server { listen 80; listen [::]:80; return 200 "%s\n"; }
		}`, service, text))
}

// Workers are replaced, and the new ones have what is new.
func (w wire) reloadNginx() {
	workers := func() string { return w.Sh("pgrep -P $(cat /run/nginx.pid) | xargs") }
	for _, reload := range []struct{ text, command string }{
		{"two", "rc-service nginx reload"},
		{"one", "netns-exec --service nginx -- nginx -c /etc/nginx/nginx.conf -s reload"},
	} {
		before := workers()
		kit.Equal(w.T, "workers", fmt.Sprint(len(strings.Fields(before))), "2")
		w.nginx("nginx", reload.text)
		w.Sh(reload.command)
		for _, worker := range strings.Fields(before) {
			w.Await("[ ! -e /proc/" + worker + " ]")
		}
		kit.Equal(w.T, "workers after "+reload.command, fmt.Sprint(len(strings.Fields(workers()))), "2")
		w.answersPeer("nginx after "+reload.command, "http 80", reload.text)
	}
}

// The file of hosts is read again. And what the daemon does not know it asks
// the name server that /etc/netns/vpn/resolv.conf names, from inside.
func (w wire) reloadDnsmasq() {
	w.answersPeer("dnsmasq", "dns listed.example", "192.0.2.10")
	w.Write("/etc/dnsmasq.hosts", "192.0.2.11 listed.example\n")
	w.Sh("rc-service dnsmasq reload")
	w.Await("ip netns exec peer probe dns listed.example 192.0.2.1 | grep -q 192.0.2.11")
	w.answersPeer("dnsmasq after reload", "dns listed.example", "192.0.2.11")

	w.answersPeer("dnsmasq's own question", "dns inside.example", "192.0.2.1")
	kit.Equal(w.T, "the peer was asked", w.Sh("grep ^inside /run/peer.log | sort -u"), "inside.example. for 192.0.2.1")
	kit.Equal(w.T, "the outsider was asked", w.Run("grep ^inside /run/outsider.log").Stdout, "")
	// Who would have answered.
	kit.Equal(w.T, "the outsider", w.Sh("probe dns inside.example 198.51.100.2"), "198.51.100.2: 198.51.100.1\n198.51.100.2: 198.51.100.1")
	kit.Equal(w.T, "the outsider was asked", w.Sh("grep ^inside /run/outsider.log | sort -u"), "inside.example. for 198.51.100.1")
}

// The list of sources is read again. (There is no NTP server at this one.)
func (w wire) reloadChronyd() {
	const sources = "chronyc -n -c sources | cut -d, -f3"
	kit.Equal(w.T, "sources", w.Sh(sources), "")
	w.Write("/etc/chrony/sources.d/peer.sources", "server 192.0.2.2\n")
	w.Sh("rc-service chronyd reload")
	kit.Equal(w.T, "sources after reload", w.Sh(sources), "192.0.2.2")
	w.Sh("rm /etc/chrony/sources.d/peer.sources")
}

// A login lands inside, with the namespace's files and devices and the host's
// cgroups, before and after.
func (w wire) reloadSSHD() {
	const mount = "grep ' /sys/fs/cgroup ' /proc/self/mountinfo | cut -d' ' -f4-6,8-"
	cgroups := w.Sh("ls /sys/fs/cgroup; " + mount)
	kit.Equal(w.T, "host's resolv.conf", w.Sh("cat /etc/resolv.conf"), "nameserver 198.51.100.2")
	for range 2 {
		session := w.Sh(`ip netns exec peer ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=5 root@192.0.2.1 "
			readlink /proc/self/ns/net; cat /etc/resolv.conf; ls /sys/class/net | xargs; ls /sys/fs/cgroup; ` + mount + `"`)
		kit.Equal(w.T, "session", session, w.vpn+"\nnameserver 192.0.2.2\nlo tun0\n"+cgroups)
		w.Sh("rc-service sshd reload; sleep 0.5")
	}
}

// twoAtOnce has nginx on the host's network and nginx.vpn in the namespace, on
// the same port.
func (w wire) twoAtOnce() {
	w.Conf("nginx")
	w.Conf("nginx.vpn", "netns=vpn")
	w.nginx("nginx", "the host's")
	w.nginx("nginx.vpn", "the namespace's")
	w.Sh("ln -s nginx /etc/init.d/nginx.vpn")

	w.Sh("rc-service nginx start; rc-service nginx.vpn start")
	w.answers("both", "http 80", "the host's", "the namespace's")
	process := func(service string) string { return w.Sh("cat /run/" + service + ".pid") }
	kit.Equal(w.T, "nginx", w.where(process("nginx")), w.outside())
	kit.Equal(w.T, "nginx.vpn", w.where(process("nginx.vpn")), w.vpn)

	// What is done to one is not done to the other.
	inside := process("nginx.vpn")
	w.Sh("rc-service nginx restart")
	kit.Equal(w.T, "nginx.vpn after nginx's restart", process("nginx.vpn"), inside)
	w.answers("both after a restart", "http 80", "the host's", "the namespace's")
	outside := process("nginx")
	w.Sh("rc-service nginx.vpn stop")
	kit.Equal(w.T, "nginx after nginx.vpn's stop", process("nginx"), outside)
	w.answers("nginx alone", "http 80", "the host's", refused)
	w.Sh("rc-service nginx stop")
	kit.Equal(w.T, "left", w.Run("pgrep -a -x nginx").Stdout, "")
}
