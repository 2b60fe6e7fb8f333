package openrc

import (
	"fmt"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// service is the init script of a network namespace, and its settings. Of the
// two that the tests use, vpn exists from the beginning, and lan does not.
func (h *host) service(name string, lines ...string) {
	h.T.Helper()
	h.Sh("ln -sf netns /etc/init.d/netns." + name)
	h.Conf("netns."+name, lines...)
}

// names are the names of all network namespaces.
func (h *host) names() string { h.T.Helper(); return h.Sh("ls /run/netns 2>/dev/null | xargs") }

// devices are the interfaces of a namespace; of the machine's own without a
// name.
func (h *host) devices(netns string) string {
	h.T.Helper()
	if netns != "" {
		netns = "-n " + netns
	}
	return h.Sh("ip " + netns + " -o link | sed 's/^[0-9]*: *//; s/[@:].*//' | sort | xargs")
}

// nothingRecorded asserts that OpenRC keeps no values of a service, and that
// there is no journal of any namespace.
func (h *host) nothingRecorded(service string) {
	h.T.Helper()
	kit.Equal(h.T, "recorded", h.Sh("find /run/openrc/options -path '*"+service+"*'; find /run/openrc-netns 2>/dev/null || :"), "")
}

// undone asserts that nothing is recorded of a service, and which devices of the
// machine and names there are.
func (h *host) undone(service, devices, names string) {
	h.T.Helper()
	kit.Equal(h.T, "devices outside", h.devices(""), devices)
	kit.Equal(h.T, "names", h.names(), names)
	h.nothingRecorded(service)
}

func TestFailedStartIsUndone(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("ip link add eth1 type veth peer name eth1p")
	state := func(service string) string {
		return fmt.Sprint(h.state(service), ", names ", h.names(), ", inside ", h.devices("vpn"), ", outside ", h.devices("")) +
			h.Sh("echo; ip netns exec vpn sysctl net.ipv4.ip_forward; cat /proc/self/mountinfo; hostname")
	}
	before := state("netns")
	kit.Contains(t, before, "stopped, names vpn, inside lo, outside eth1 eth1p lo\nnet.ipv4.ip_forward = 0\n")
	fails := func(service, what, want string) {
		t.Helper()
		kit.Contains(t, h.Fails("rc-service "+service+" start"), want)
		kit.Equal(t, what, state(service), before)
		h.nothingRecorded(service)
	}
	fails("netns", "no name", "netns: no network namespace is named")
	for _, test := range []struct{ conf, want string }{
		{"netns_interfaces='eth1:wan eth9'", `interface "eth9" does not exist`},
		{"netns_interfaces='eth1 eth2:abcdefghijklmnop'", `bad interface "eth2:abcdefghijklmnop"`},
		{"netns_interfaces=eth1\nnetns_sysctl='net.ipv4.ip_forward=1 net.ipv4.conf.eth1.forwarding=x'", `set sysctl "net.ipv4.conf.eth1.forwarding=x": invalid argument`},
		{"netns_interfaces=eth1\nnetns_sysctl=net.ipv4.nowhere=1", `set sysctl "net.ipv4.nowhere=1": a network namespace has no such setting`},
		{"netns_interfaces=eth1\nnetns_post_up() { return 3; }", `netns_post_up failed: undoing the start`},
		{"netns_interfaces=eth1\nnetns_post_up() { exit 3; }", `netns_post_up failed: undoing the start`},
	} {
		for _, name := range []string{"lan", "vpn"} {
			h.service(name, test.conf)
			fails("netns."+name, test.conf, test.want)
		}
	}
}

func TestStopWithThingsGone(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Sh("ip link add eth1 type veth peer name eth1p; ip link add eth2 type veth peer name eth2p")
		h.service("lan", "netns_interfaces='eth1:wan eth2'", "netns_pre_down() { echo ran >/run/trace.down; }")
		stop := func(wants ...string) {
			t.Helper()
			errors := h.Sh("exec 2>&1 >/dev/null; rc-service netns.lan stop")
			for _, want := range wants {
				kit.Contains(t, errors, want)
			}
			if n := strings.Count(errors, " * "); n != len(wants) {
				t.Errorf("%d lines, want %d:\n%s", n, len(wants), errors)
			}
			kit.Equal(t, "state", h.state("netns.lan"), "stopped")
			kit.Equal(t, "names", h.names(), "vpn")
			h.nothingRecorded("netns.lan")
		}
		start := func() { t.Helper(); h.Sh("rm -f /run/trace.down; rc-service netns.lan start") }

		// The host has it back already, under the name that it had inside.
		start()
		h.Sh("ip -n lan link set wan netns 1")
		stop()
		kit.Equal(t, "devices", h.devices(""), "eth1 eth1p eth2 eth2p lo")

		// The name is gone, a process keeps the namespace, and the interfaces
		// return.
		start()
		h.Sh("nsenter --net=/run/netns/lan /usr/local/bin/sleeper 1000 </dev/null >/dev/null 2>&1 & sleep 0.5; ip netns delete lan")
		stop(`network namespace "lan" has lost its name`)
		h.Sh("pkill sleeper")
		kit.Equal(t, "devices", h.devices(""), "eth1 eth1p eth2 eth2p lo")
		kit.Equal(t, "netns_pre_down", h.Sh("cat /run/trace.down 2>/dev/null || echo not called"), "not called")

		// A stale file where it was.
		start()
		h.Sh("umount /run/netns/lan; test -f /run/netns/lan; until ! ip link show eth1p 2>/dev/null; do sleep 0.1; done")
		h.service("lan", "netns_interfaces='eth1:wan eth2'")
		stop(`network namespace "lan" is gone`, `interface "eth1" is gone`, `interface "eth2" is gone`)

		// A start replaces one, if it is empty as those are.
		h.Sh("ip link add eth1 type veth peer name eth1p; ip link add eth2 type veth peer name eth2p; echo text >/run/netns/lan")
		kit.Contains(t, h.Fails("rc-service netns.lan start"), `network namespace "lan" is stale: /run/netns/lan is an ordinary file; remove it with: rm /run/netns/lan`)
		h.Sh("grep -q text /run/netns/lan; : >/run/netns/lan; chmod 0 /run/netns/lan")
		start()
		h.Sh("ip -n lan link delete wan")
		stop(`interface "eth1" is gone`)
		kit.Contains(t, h.Fails("rc-service netns.lan start"), `interface "eth1" does not exist`)

		// All gone.
		h.Sh("ip link add eth1 type veth peer name eth1p")
		start()
		h.Sh("ip netns delete lan; until ! ip link show eth1p 2>/dev/null; do sleep 0.1; done")
		stop(`network namespace "lan" is gone`, `interface "eth1" is gone`, `interface "eth2" is gone`)
	})
}

// OpenRC forgets a service that is zapped, interrupted or that failed. What the
// start did is on record all the same.
func TestStopAfterZap(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Sh("ip link add eth1 type veth peer name eth1p; ip link add eth2 type veth peer name eth2p")
		h.service("lan", "netns_interfaces='eth1:wan eth2'", "netns_sysctl=net.ipv4.ip_forward=1")
		h.Sh("rc-service netns.lan start; rc-service netns.lan zap")
		kit.Equal(t, "mode and owner", h.Sh("cd /run/openrc-netns; stat -c '%a %U' . lan lan/setup"), "755 root\n755 root\n644 root")
		inode := h.Sh("stat -L -c %i /run/netns/lan")
		h.Sh("ip -n lan link set eth2 netns 1; ip -n lan link set lo down")
		out := h.Sh("rc-service netns.lan start 2>/run/errors && ! grep . /run/errors")
		lacks(t, out, "stays") // it is not taken for somebody else's
		kit.Equal(t, "namespace", h.Sh("stat -L -c %i /run/netns/lan"), inode)
		kit.Equal(t, "devices inside", h.devices("lan"), "eth2 lo wan")
		kit.Contains(t, h.Sh("ip -n lan link show lo"), "LOOPBACK,UP")
		h.Sh("rc-service netns.lan stop")
		h.undone("netns.lan", "eth1 eth1p eth2 eth2p lo", "vpn")

		// In one that was there before, all that any of the starts did is
		// undone.
		h.service("vpn", "netns_interfaces=eth1:wan", "netns_sysctl=net.ipv4.ip_forward=1")
		h.Sh("rc-service netns.vpn start; rc-service netns.vpn zap; rc-service netns.vpn start; rc-service netns.vpn stop")
		kit.Equal(t, "devices inside", h.devices("vpn"), "lo")
		kit.Equal(t, "sysctl", h.Sh("ip netns exec vpn sysctl -n net.ipv4.ip_forward"), "0")
		h.undone("netns.vpn", "eth1 eth1p eth2 eth2p lo", "vpn")

		// Interrupted in netns_post_up, with Ctrl-C.
		h.service("lan", "netns_interfaces=eth1:wan", "netns_post_up() { [ -e /run/go ] || { echo $$ >/run/waits; sleeper 1000; }; }")
		h.Sh(`setsid sh -c 'trap - INT; exec rc-service netns.lan start' >/dev/null 2>&1 & pid=$!
			until [ -s /run/waits ] && pgrep -x sleeper >/dev/null; do sleep 0.05; done
			kill -INT -$pid; while pgrep -x 'sleeper|rc-service|openrc-run' >/dev/null; do sleep 0.05; done; touch /run/go`)
		kit.Equal(t, "state", h.state("netns.lan"), "stopped")
		h.Sh("rc-service netns.lan start; rc-service netns.lan stop")
		h.undone("netns.lan", "eth1 eth1p eth2 eth2p lo", "vpn")
	})
}

// The journal tells one namespace from another of the same name, and one boot
// from another.
func TestStaleJournalDeletesNothing(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.service("lan", "netns_sysctl=net.ipv4.ip_forward=1")
	// Somebody else's has the name, and the inode if the kernel gives that
	// again.
	h.Sh(`rc-service netns.lan start; rc-service netns.lan zap; inode=$(stat -L -c %i /run/netns/lan)
		for i in $(seq 10); do
			ip netns delete lan; sleep 0.1; ip netns add lan
			[ $inode != $(stat -L -c %i /run/netns/lan) ] || break
		done`)
	kit.Contains(t, h.Sh("rc-service netns.lan start"), `network namespace "lan" is there already, and stays`)
	h.Sh("rc-service netns.lan stop")
	h.undone("netns.lan", "lo", "lan vpn")
	kit.Equal(t, "sysctl", h.Sh("ip netns exec lan sysctl -n net.ipv4.ip_forward"), "0")

	// A /run that outlives a boot has the numbers of another boot's namespaces.
	h.Sh("ip netns delete lan; rc-service netns.lan start; boot=$(cat /proc/sys/kernel/random/boot_id); grep -q $boot /run/openrc-netns/lan/setup && sed -i s/$boot/00000000-0000-4000-8000-000000000000/ /run/openrc-netns/lan/setup")
	kit.Contains(t, h.Run("rc-service netns.lan stop").Output, "nothing is on record that would have to be undone")
	h.undone("netns.lan", "lo", "lan vpn")

	// Names that look alike have journals of their own.
	h.Sh("ip netns delete lan; for name in lan lan.new setup setup.new; do rc-netns up $name; done; rc-netns up --sysctl net.ipv4.ip_forward=1 lan")
	for _, name := range []string{"setup.new", "lan", "lan.new", "setup"} {
		h.Sh("rc-netns down " + name)
	}
	h.undone("netns.lan", "lo", "vpn")
}

// steps are the calls at which a step has been written down, and where: a
// namespace, loopback, a sysctl, an interface. It is written to a new file, which
// is then renamed.
var steps = map[string]string{"write": "setup.new", "renameat": "setup"}

// heldAt is a script for [kit.Host.End]: the command is killed behind the call
// that has written down its step of that number. Which may be that of its child: it is
// stopped itself then.
func heldAt(call, file, namespace string, step int, command string) string {
	return fmt.Sprintf(`lines() { n=0; while read -r _; do n=$((n + 1)); done 2>/dev/null <"$1"; echo $n; }
		hold 'rc-netns down %[1]s >/dev/null 2>&1' %[2]s '[ "$(lines /run/openrc-netns/%[1]s/%[3]s)" = %[4]d ]' %[5]s
		kill -KILL $pid $tracer; pkill -KILL -f '^rc-netns up' || :`, namespace, call, file, step, command)
}

// Killed at any point of what it does, a second start repairs it and the stop
// leaves nothing.
func TestStartRepairsWhatACrashLeft(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("ip link add eth1 type veth peer name eth1p")
	h.service("lan", "netns_interfaces=eth1:wan", "netns_sysctl=net.ipv4.ip_forward=1")
	for step := range 4 {
		for call, file := range steps {
			what := fmt.Sprintf("%s %d: ", call, step+1)
			killed := h.End(heldAt(call, file, "lan", step+1, "rc-netns up --interface eth1:wan --sysctl net.ipv4.ip_forward=1 lan"))
			kit.Equal(t, what+"status of the killed", killed.Status, "137")
			h.Sh("rc-service netns.lan start")
			kit.Equal(t, what+"devices inside", h.devices("lan"), "lo wan")
			kit.Contains(t, h.Sh("ip -n lan link show lo"), "LOOPBACK,UP")
			kit.Equal(t, what+"sysctls", h.Sh("ip netns exec lan sysctl -n net.ipv4.ip_forward"), "1")
			h.Sh("rc-service netns.lan stop")
			h.undone("netns.lan", "eth1 eth1p lo", "vpn")
		}
	}
	// Killed, and another namespace under the name since.
	h.Conf("netns.lan")
	h.Sh("rc-netns up lan; ip netns delete lan; ip netns add lan; rc-service netns.lan start; rc-service netns.lan stop")
	kit.Equal(t, "names", h.names(), "lan vpn")
	lacks(t, h.Sh("ip -n lan link show lo"), "LOOPBACK,UP")
}

// A service that makes a namespace runs in none: settings for others in its
// file are a mistake. It can be stopped all the same.
func TestNamespaceServiceTakesNoNetns(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		const why = ", but this service makes a network namespace and runs on the host's network: remove it there"
		h.service("lan", "netns_post_up() { :; }", "netns_pre_down() { readlink /proc/self/ns/net >/run/trace.down; }")
		for setting, name := range map[string]string{
			"netns=lan": "netns", "vrf=mgmt": "vrf", "  export netns_lock='yes'": "netns_lock",
		} {
			want := "netns.lan: " + name + " is set in /etc/conf.d/netns.lan" + why
			h.Sh("rm -f /run/trace.down; rc-service netns.lan start")
			inside := h.Sh("stat -L -c %i /run/netns/lan")
			h.Sh(`echo "` + setting + `" >>/etc/conf.d/netns.lan`)
			kit.Contains(t, h.Fails("rc-service netns.lan restart"), "netns.lan: not stopped, because the start would fail: "+strings.TrimPrefix(want, "netns.lan: "))
			kit.Equal(t, setting+": state", h.state("netns.lan"), "started")
			h.Sh("rc-service netns.lan status")
			errors := h.Sh("exec 2>&1 >/dev/null; rc-service netns.lan stop")
			kit.Contains(t, errors, want)
			kit.Equal(t, setting+": lines", fmt.Sprint(strings.Count(errors, " * ")), "1")
			kit.Equal(t, setting+": netns_pre_down", h.Sh("cat /run/trace.down"), "net:["+inside+"]")
			kit.Equal(t, setting+": names", h.names(), "vpn")
			kit.Contains(t, h.Sh("exec 2>&1 >/dev/null; rc-service netns.lan start; [ $? = 1 ]"), want)
			kit.Equal(t, setting+": state", h.state("netns.lan"), "stopped")
			h.undone("netns.lan", "lo", "vpn")
			// The remedy.
			h.Sh("sed -i '$d' /etc/conf.d/netns.lan; rc-service netns.lan start; rc-service netns.lan stop")
		}
		// No other service is dragged in for it.
		h.service("vpn")
		h.Conf("netns.lan", "netns=vpn")
		h.Sh("rc-update -u")
		kit.Equal(t, "needs", h.Sh("sed -n \"s/^\\(depinfo_[0-9]*\\)_service='netns.lan'/\\1_ineed/p\" /run/openrc/deptree | grep -cf - /run/openrc/deptree || :"), "0")
		h.Sh("rm /etc/init.d/netns.vpn /etc/conf.d/netns.*")
		// From a confined shell too.
		h.Sh("rc-service netns.lan start; echo netns=vpn >>/etc/conf.d/netns.lan")
		kit.Contains(t, h.Run("netns-exec vpn rc-service netns.lan stop").Stderr, "netns.lan: netns is set in /etc/conf.d/netns.lan"+why)
		kit.Equal(t, "names", h.names(), "vpn")
		// The other files that OpenRC reads, and what is in none.
		h.Sh("rm /etc/conf.d/netns.lan; echo 'netns=vpn' >/etc/conf.d/netns")
		kit.Contains(t, h.Fails("rc-service netns.lan start"), "netns.lan: netns is set in /etc/conf.d/netns"+why)
		h.Sh("echo '#netns=vpn' >/etc/conf.d/netns; echo 'netns=vpn' >/etc/rc.conf.d/99-all.conf")
		kit.Contains(t, h.Fails("rc-service netns.lan start"), "netns.lan: netns is set in rc.conf or the environment"+why)
	})
}

// What makes the interface may need the host's network, before which the
// service would be started otherwise.
func TestNamespaceServiceAfterTheNetwork(t *testing.T) {
	eachOf(t, releases, func(t *testing.T, release string) {
		h := bootRelease(t, machine.Options{Release: release}, true)
		h.Sh("ip netns delete vpn")
		h.Write("/etc/init.d/host-net", "#!/sbin/openrc-run\ndepend() { provide net; }\nstart() { echo net >>/run/trace; }\n")
		h.Write("/etc/init.d/tunnel", "#!/sbin/openrc-run\ndepend() { need net; }\nstart() { echo tunnel >>/run/trace; ip link add tun0 type veth peer name tun0p; }\n")
		h.service("vpn", "rc_need=tunnel", `rc_before="!net"`, "netns_interfaces=tun0", "netns_post_up() { echo vpn >>/run/trace; }")
		h.Conf("daemon", "netns=vpn")
		h.Sh("for s in netns.vpn host-net daemon; do rc-update add $s default; done")
		lacks(t, h.Sh("exec 2>&1; rc-update -u; openrc default"), "loop") // of dependencies
		kit.Equal(t, "order", h.Sh("xargs </run/trace"), "net tunnel vpn")
		kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
		kit.Equal(t, "devices inside", h.devices("vpn"), "lo tun0")
		h.Sh("openrc shutdown")
		kit.Equal(t, "names", h.names(), "")
	})
}

// Two that make /run/netns a mount point at the same time make it one.
func TestNamespacesAreMadeAtTheSameTime(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("ip netns delete vpn; umount /run/netns; rmdir /run/netns")
	h.Sh("for i in 1 2 3 4 5 6 7 8; do rc-netns up lan$i & done; wait")
	kit.Equal(t, "names", h.names(), "lan1 lan2 lan3 lan4 lan5 lan6 lan7 lan8")
	kit.Equal(t, "mount points", h.Sh("grep -c ' /run/netns ' /proc/self/mountinfo"), "1")
	h.Sh("for i in 1 2 3 4 5 6 7 8; do rc-netns down lan$i & done; wait")
	kit.Equal(t, "names", h.names(), "")
	// They wait for each other, and for ip-netns(8), which locks the directory
	// too.
	h.Sh(`set -e; exec 9</run/netns; flock 9
		rc-netns up lan 9<&- & sleep 0.3; [ ! -e /run/netns/lan ]
		flock -u 9; wait; [ -e /run/netns/lan ]`)
}

func TestUpByHand(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("ip link add eth1 type veth peer name eth1p; ip link add eth2 type veth peer name eth2p")
	h.Sh("rc-netns up --interface eth1 --interface eth2:wan --sysctl net.ipv4.ip_forward=1 --sysctl net.ipv4.ip_local_port_range='2000 3000' lan")
	kit.Equal(t, "devices inside", h.devices("lan"), "eth1 lo wan")
	kit.Equal(t, "sysctl", h.Sh("ip netns exec lan sysctl -n net.ipv4.ip_local_port_range"), "2000\t3000")
	h.Sh("rc-netns down lan")
	h.undone("netns.lan", "eth1 eth1p eth2 eth2p lo", "vpn")
	h.Sh("ip netns attach host 1")
	for command, want := range map[string]string{
		"up /run/netns/lan":           `bad network namespace name "/run/netns/lan": give a name without a slash`,
		"down --all lan":              "rc-netns: down: unknown flag: --all",
		"up --interface eth1:a:b lan": `bad interface "eth1:a:b"`,
		"up host 3</proc/1/ns/net":    `"host" is the host's own network namespace`,
		"up lan; rc-netns down lan/":  `bad network namespace name "lan/"`,
	} {
		kit.Contains(t, h.Fails("rc-netns "+command), want)
	}
	h.Sh("rc-netns down lan; ip netns delete host")
	kit.Contains(t, h.Fails("unshare -m rc-netns up lan"), "rc-netns: this is not the host's mount namespace; enter that first, with: nsenter -t 1 -m -n")
	kit.Contains(t, h.Fails("setpriv --bounding-set -sys_admin --inh-caps -sys_admin rc-netns up lan"), "needs CAP_SYS_ADMIN")
	// From a confined shell: a service goes home by itself, by hand there is
	// the remedy.
	h.service("lan", "netns_interfaces=eth1")
	h.Sh("netns-exec vpn rc-service netns.lan start")
	kit.Equal(t, "devices inside", h.devices("lan"), "eth1 lo")
	h.Sh("netns-exec vpn rc-service netns.lan stop")
	kit.Equal(t, "names", h.names(), "vpn")
	h.Sh("netns-exec vpn nsenter -t 1 -m -n rc-netns up --interface eth1 lan")
	kit.Equal(t, "devices inside", h.devices("lan"), "eth1 lo")
	h.Sh("rc-netns down lan")
	h.undone("netns", "eth1 eth1p eth2 eth2p lo", "vpn")
}
