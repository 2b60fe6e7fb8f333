package vrf

import (
	"os"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

func TestByHand(t *testing.T) {
	g := boot(t, vm.Options{})
	run := g.scenes(t)

	run("every socket is bound", func(t *testing.T) {
		kit.Equal(t, "without us", g.Sh("ip netns exec vpn probe sockets"), bound(""))
		kit.Equal(t, "in a namespace", g.Sh("netns-exec --vrf mgmt vpn probe sockets"), bound("mgmt"))
		kit.Equal(t, "the other VRF", g.Sh("netns-exec --vrf blue vpn probe sockets"), bound("blue"))
		kit.Equal(t, "alone", g.Sh("netns-exec --vrf host -- probe sockets"), bound("host"))
		kit.Equal(t, "as ip vrf exec", g.Sh("ip netns exec vpn ip vrf exec mgmt probe sockets"), bound("mgmt"))
		kit.Equal(t, "after a fork and a change of user", g.Sh("netns-exec -u daemon --vrf mgmt vpn sh -c 'sh -c \"probe sockets\" | grep -v raw'"),
			strings.Join(strings.Split(bound("mgmt"), "\n")[:2], "\n")+"\n"+strings.Join(strings.Split(bound("mgmt"), "\n")[3:5], "\n"))
		kit.Equal(t, "as the service says", g.Sh("printf 'netns=vpn\\nvrf=blue\\n' >/etc/conf.d/web; netns-exec --service web probe sockets"), bound("blue"))
	})

	run("completions tell a VRF by its flags", func(t *testing.T) {
		const look = "grep -lsx '0x[0-9a-f]*[4-7c-f][89a-f][0-9a-f]' /sys/class/net/*/flags"
		kit.Equal(t, "of the host", g.Sh(look), "/sys/class/net/host/flags")
		kit.Equal(t, "of a namespace", g.Sh(`netns-exec --no-etc vpn -- sh -c "`+look+`"`),
			"/sys/class/net/blue/flags\n/sys/class/net/mgmt/flags")
		kit.Equal(t, "down, and with more flags", g.Sh("ip link add spare type vrf table 40; ip link set spare multicast on; "+
			look+"; ip link del spare"), "/sys/class/net/host/flags\n/sys/class/net/spare/flags")
		for _, file := range []string{"_netns-exec", "netns-exec.bash", "netns-exec.fish"} {
			text, err := os.ReadFile("../../completions/" + file)
			if err != nil || !strings.Contains(string(text), look) {
				t.Errorf("%s looks elsewhere: %v", file, err)
			}
		}
	})

	run("overlapping addresses answer the right peers", func(t *testing.T) {
		for how, launch := range map[string]string{
			"netns-exec":  "netns-exec --vrf %s vpn",
			"ip vrf exec": "ip netns exec vpn ip vrf exec %s", // the reference
		} {
			for _, vrf := range []string{"mgmt", "blue"} {
				g.Sh(strings.Replace(launch, "%s", vrf, 1) + " probe serve 'this is " + vrf + "' >/dev/null 2>&1 &")
			}
			g.Await("[ $(ip netns exec vpn ss -Hltun 'sport = 7' | wc -l) = 8 ]")
			// What TCP and UDP have seen in the peer's namespace.
			traffic := func(peer string) string {
				return g.Sh("ip netns exec " + peer + " grep -h -e ^Tcp: -e ^Udp: -e ^Udp6.*Datagrams /proc/net/snmp /proc/net/snmp6")
			}
			for _, address := range []string{"192.0.2.1", "2001:db8::1"} {
				for peer, vrf := range map[string]string{"peer-m": "mgmt", "peer-b": "blue"} {
					other := map[string]string{"peer-m": "peer-b", "peer-b": "peer-m"}[peer]
					before := traffic(other)
					kit.Equal(t, how+" to "+peer+" at "+address, g.Sh("ip netns exec "+peer+" probe ask "+address), "tcp: this is "+vrf+"\nudp: this is "+vrf)
					kit.Equal(t, how+": what the other peer has seen", traffic(other), before)
				}
			}
			// Outward as well: a client in a VRF reaches that VRF's peer.
			g.Sh("pkill -x probe")
			g.Await("! pgrep -x probe")
			for peer, vrf := range map[string]string{"peer-m": "mgmt", "peer-b": "blue"} {
				g.Sh("ip netns exec " + peer + " probe serve 'peer of " + vrf + "' >/dev/null 2>&1 &")
				g.Await("[ $(ip netns exec " + peer + " ss -Hltun 'sport = 7' | wc -l) = 4 ]")
				kit.Equal(t, how+" from "+vrf, g.Sh(strings.Replace(launch, "%s", vrf, 1)+" probe ask 192.0.2.2"), "tcp: peer of "+vrf+"\nudp: peer of "+vrf)
			}
			g.Sh("pkill -x probe")
			g.Await("! pgrep -x probe")
		}
	})

	run("sockets of every kind", func(t *testing.T) {
		// What this kernel lacks is tested in internal/vrf, on the one that it
		// runs on.
		g.Sh("modprobe -a rds tipc")
		kit.Equal(t, "in a VRF", g.Sh("netns-exec --vrf mgmt vpn probe kinds"), `MPTCP: protocol not supported
SCTP one to one: "mgmt"
SCTP one to many: "mgmt"
packet: ""
RDS: ""
RxRPC: ""
TIPC: ""
vsock: ""`)
		// The kernel lists the two that listen below a line of titles.
		g.Sh("{ while [ $(ip netns exec vpn cat /proc/net/sctp/eps | wc -l) != 3 ]; do sleep 0.1; done; ip netns exec peer-m probe ask-sctp 192.0.2.1; } >/dev/null 2>&1 &")
		kit.Equal(t, "SCTP, made by the kernel", g.Sh("timeout 300 netns-exec --vrf mgmt vpn probe sctp"), `accepted: "mgmt"
peeled off: "mgmt"`)
	})

	run("an index is not applied in another namespace", func(t *testing.T) {
		// A device there with the number that mgmt has here.
		index := g.Sh("ip netns exec vpn cat /sys/class/net/mgmt/ifindex")
		g.Sh("ip netns add elsewhere; ip -n elsewhere link add wrong index " + index + " type dummy")
		there := " nsenter --net=/run/netns/elsewhere probe sockets"
		kit.Equal(t, "netns-exec", g.Sh("netns-exec --vrf mgmt vpn"+there), bound(""))
		kit.Equal(t, "ip vrf exec", g.Sh("ip netns exec vpn ip vrf exec mgmt"+there), bound("wrong"))
	})

	run("ip vrf knows the process", func(t *testing.T) {
		kit.Equal(t, "identify", g.Sh("netns-exec --vrf mgmt vpn sh -c 'ip vrf identify $$'"), "mgmt")
		kit.Equal(t, "identify, alone", g.Sh("netns-exec --vrf host -- sh -c 'ip vrf identify $$'"), "host")
		g.Sh("netns-exec --vrf mgmt vpn sleep 1000 >/dev/null 2>&1 &")
		pid := g.Await("pgrep -x sleep")
		kit.Equal(t, "pids", g.Sh("ip netns exec vpn ip vrf pids mgmt | xargs"), pid+" sleep")
		g.Sh("pkill -x sleep")
	})

	run("ip vrf exec inside still works", func(t *testing.T) {
		kit.Equal(t, "the same VRF", g.Sh("netns-exec --vrf mgmt vpn ip vrf exec mgmt probe sockets"), bound("mgmt"))
		kit.Equal(t, "another VRF", g.Sh("netns-exec --vrf mgmt vpn ip vrf exec blue probe sockets"), bound("blue"))
		kit.Equal(t, "and the other way round", g.Sh("ip netns exec vpn ip vrf exec mgmt netns-exec --vrf blue vpn probe sockets"), bound("blue"))
		kit.Equal(t, "beside it", g.Sh("ip netns exec vpn ip vrf exec mgmt probe sockets"), bound("mgmt"))
	})

	run("the tree does not grow", func(t *testing.T) {
		cgroups := "find /sys/fs/cgroup -type d | sort"
		g.Sh("netns-exec --vrf mgmt vpn true; netns-exec --vrf mgmt vpn ip vrf exec blue true; netns-exec --vrf blue vpn true")
		before := g.Sh(cgroups)
		g.Sh("for i in 1 2 3; do netns-exec --vrf mgmt vpn netns-exec --vrf blue vpn netns-exec --vrf mgmt vpn true || exit; done")
		kit.Equal(t, "cgroups", g.Sh(cgroups), before)
		top := g.Sh("netns-exec --vrf mgmt vpn sed -n s/^0:://p /proc/self/cgroup | cut -d/ -f2")
		programs := g.Sh("probe programs /sys/fs/cgroup/" + top)
		kit.Equal(t, "programs", programs, "openrc_netns CGroupSock, 16 instructions")
	})

	run("a namespace made anew", func(t *testing.T) {
		// What runs in the old one stays bound to its own VRF.
		g.Sh("ip netns add twice; ip -n twice link add v type vrf table 1")
		g.Sh("netns-exec --vrf v twice sh -c 'touch /run/there; while [ ! -e /run/again ]; do sleep 0.1; done; probe sockets >/run/sockets; touch /run/done' >/dev/null 2>&1 &")
		g.Await("[ -e /run/there ]")
		g.Sh("ip netns delete twice; ip netns add twice; ip -n twice link add v type vrf table 1")
		kit.Equal(t, "new", g.Sh("netns-exec --vrf v twice probe sockets"), bound("v"))
		kit.Equal(t, "old", g.Sh("touch /run/again; while [ ! -e /run/done ]; do sleep 0.1; done; cat /run/sockets"), bound("v"))
	})

	run("locked", func(t *testing.T) {
		there := " unshare --user --map-root-user --net probe sockets"
		kit.Equal(t, "at home", g.Sh("netns-exec --lock --vrf mgmt vpn probe sockets"), bound("mgmt"))
		kit.Equal(t, "elsewhere, without the lock", g.Sh("netns-exec --vrf mgmt vpn"+there), bound(""))
		kit.Equal(t, "elsewhere", g.Sh("netns-exec --lock --vrf mgmt vpn"+there), strings.ReplaceAll(bound(""), `""`, "operation not permitted"))
		kit.Contains(t, g.Fails("netns-exec --lock --vrf mgmt vpn nsenter --net=/proc/1/ns/net true"), "Permission denied")
	})

	run("refused", func(t *testing.T) {
		state := "find /sys/fs/cgroup -type d | sort; cat /proc/self/mountinfo; pgrep -c 'netns|probe' || :"
		// Once removed, the cgroups of the namespace twice come back for a
		// launch that fails, and go with it.
		g.Sh("printf '#!/nowhere\\n' >/run/no-interpreter; chmod 755 /run/no-interpreter; find /sys/fs/cgroup -depth -path '*twice-ns*' -exec rmdir {} +; find /sys/fs/cgroup -maxdepth 1 -name 'netns-exec.*' -exec rmdir {} + 2>/dev/null || :")
		before := g.Sh(state)
		for command, want := range map[string]string{
			"netns-exec --vrf host vpn true":               `netns-exec: VRF "host": no such device in this network namespace`,
			"netns-exec --vrf mgmt -- true":                `netns-exec: VRF "mgmt": no such device in this network namespace`,
			"netns-exec --vrf to-peer-m vpn true":          `netns-exec: device "to-peer-m" is not a VRF`,
			"netns-exec --vrf mgmt vpn no-such-command":    `netns-exec: command "no-such-command": not found in PATH`,
			"netns-exec -n --vrf host vpn true":            `netns-exec: VRF "host": no such device in this network namespace`,
			"netns-exec --vrf mgmt -u nosuchuser vpn true": `netns-exec: unknown user "nosuchuser": there is no entry in /etc/passwd`,
			"netns-exec --lock --vrf mgmt twice true":      `netns-exec: VRF "mgmt": no such device in this network namespace`,
			// Found out by the kernel alone, when all else is done.
			"netns-exec --vrf v twice /run/no-interpreter": `netns-exec: cannot execute "/run/no-interpreter": no such file or directory`,
		} {
			kit.Equal(t, command, strings.TrimSpace(g.Fails(command)), want)
		}
		kit.Equal(t, "what is there", g.Sh(state), before)

		// A program above ours that allows no other: that of ip vrf exec.
		out := g.Fails(`nsenter --net=/run/netns/vpn ip vrf exec mgmt sh -c '
			below=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/below
			mkdir $below && echo 0 >$below/cgroup.procs && exec netns-exec --vrf blue vpn probe sockets'`)
		kit.Equal(t, "another's program", strings.TrimSpace(out), "netns-exec: the kernel refuses the BPF program on the cgroup: a program on it or above it allows no other, or CAP_NET_ADMIN is missing")
	})
}
