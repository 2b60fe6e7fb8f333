package openrc

import (
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// movingBlocks are the code of a section of docs/moving.md, which has so many
// blocks of it.
func movingBlocks(t *testing.T, section string, count int) (blocks []string) {
	t.Helper()
	_, rest, found := strings.Cut(kit.Read(t, "../../docs/moving.md"), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/moving.md has no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	block := ""
	for line := range strings.Lines(rest + "\nend\n") {
		code, indented := strings.CutPrefix(line, "    ")
		switch {
		case indented:
			block += code
		case block != "" && strings.TrimSpace(line) == "":
			block += "\n"
		case block != "":
			blocks = append(blocks, strings.TrimRight(block, "\n")+"\n")
			block = ""
		}
	}
	if len(blocks) != count {
		t.Fatalf("section %q has %d blocks", section, len(blocks))
	}
	return blocks
}

// docs/moving.md on "ip netns exec": each script runs inside before and after, and
// the command of the page and rc-netns check find it before and nothing after.
func TestMovingFromIPNetnsExec(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)

	blocks := movingBlocks(t, "`ip netns exec` in init scripts", 9)
	grep, setting, link := blocks[0], blocks[1], blocks[7]
	for _, pair := range [][2]string{{blocks[2], blocks[3]}, {blocks[4], blocks[5]}, {blocks[6], blocks[8]}} {
		before, after := pair[0], pair[1]
		h.Write("/etc/init.d/web", before)
		conf := ""
		if strings.Contains(before, "$NETNS") {
			conf = "NETNS=vpn\n"
		}
		h.Write("/etc/conf.d/web", conf)
		makes := strings.Contains(before, "ip netns add")
		if makes {
			h.Sh("ip netns delete vpn")
		}
		for _, command := range []string{grep, strings.ReplaceAll(grep, "grep", "busybox grep")} {
			kit.Contains(t, h.Sh(command), "/etc/init.d/web:")
		}
		kit.Equal(t, "check before", h.check("rc-netns check").ids(), "script-enters")
		h.starts("web", "vpn")
		h.Sh("rc-service web stop; sleep 1") // OpenRC does not see what changes in the second in which it looked
		h.Write("/etc/init.d/web", after)
		h.Write("/etc/conf.d/web", conf+setting)
		if makes {
			h.Sh("cd /etc/init.d; " + link)
		}
		kit.Equal(t, "places after", h.Run(grep).Output, "")
		kit.Equal(t, "check after", h.check("rc-netns check").ids(), "")
		h.starts("web", "vpn")
		kit.Contains(t, h.Sh("rc-netns status web"), "web      started  vpn    -    1          ok")
		if makes {
			kit.Equal(t, "netns.vpn", h.state("netns.vpn"), "started")
		}
		h.stops("web")
	}
}

// docs/moving.md on Alpine's patches: the line stays, and what is for the host
// becomes a service.
func TestMovingFromAlpinesPatches(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", false)
	blocks := movingBlocks(t, "Alpine's patches", 5)
	setting, before, forwarding, after, patched := blocks[0], blocks[1], blocks[2], blocks[3], blocks[4]
	patched = strings.ReplaceAll(patched, "/usr/libexec/rc/", "/usr/lib/rc/") // Debian's
	const forwards = "cat /proc/sys/net/ipv4/ip_forward; ip netns exec vpn cat /proc/sys/net/ipv4/ip_forward"
	h.Sh(`cd /usr/lib/rc/sh; mkdir /root/stock; cp -p openrc-run.sh start-stop-daemon.sh /root/stock
		sed -i 's/^# load service supervisor functions/[ -z "$netns" ] || RC_VRF_EXEC="ip netns exec $netns"\n&/' openrc-run.sh
		sed -i 's/eval start-stop-daemon --start/eval $RC_VRF_EXEC start-stop-daemon --start/' start-stop-daemon.sh
		grep -q RC_VRF_EXEC openrc-run.sh && grep -q RC_VRF_EXEC start-stop-daemon.sh
		sysctl -q -w net.ipv4.ip_forward=0`)
	h.Sh(patched)
	h.Write("/etc/init.d/web", before)
	h.Write("/etc/conf.d/web", setting)
	h.starts("web", "vpn")
	kit.Equal(t, "forwarding outside, inside", h.Sh(forwards), "1\n0")
	h.Sh("rc-service web stop")

	if err := h.Install(installed); err != nil {
		t.Fatal(err)
	}
	h.Sh("sysctl -q -w net.ipv4.ip_forward=0; sleep 1")
	h.Write("/etc/init.d/forwarding", forwarding)
	h.Write("/etc/init.d/web", after)
	h.starts("web", "vpn")
	kit.Equal(t, "forwarding outside, inside", h.Sh(forwards), "1\n0")
	// The patch has not entered a second time.
	h.Sh("grep /sys/fs/cgroup /proc/$(pgrep -x sleeper)/mountinfo")
	h.Sh("rc-service web stop")

	h.Sh("cp -p /root/stock/* /usr/lib/rc/sh")
	h.Fails(patched)
	h.starts("web", "vpn")
	h.stops("web")
}

// docs/moving.md on units of systemd, and on netifrc: what is there instead.
func TestMovingFromUnits(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	blocks := movingBlocks(t, "Units of systemd", 3)
	maker, setting := blocks[1], blocks[2]
	h.Sh("ip netns delete vpn; ip link add eth1 type veth peer name peer; ln -s netns /etc/init.d/netns.vpn; ln -s daemon /etc/init.d/web; sleep 1")
	h.Sh("mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf; : >/etc/resolv.conf")
	h.Write("/etc/conf.d/netns.vpn", maker)
	h.Write("/etc/conf.d/web", setting)
	h.Write("/etc/conf.d/net", "netns_eth1=\"vpn\"\nnetns_lo=vpn\n")
	h.Sh("rc-netns check")
	h.starts("web", "vpn")
	kit.Contains(t, h.Sh("ip -n vpn -br address show eth1"), "192.0.2.2/24")
	kit.Equal(t, "resolv.conf", h.Sh("nsenter -t $(pgrep -x sleeper) -m cat /etc/resolv.conf"), "nameserver 192.0.2.53")
	h.Sh("rc-service web stop; rc-service netns.vpn stop; ip link show eth1")
}
