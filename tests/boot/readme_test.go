package boot

import (
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

const (
	readme = "../../README.md"
	manual = "../../man/openrc-netns.7"
)

// use is what README or the manual says to type, and what it takes and does.
type use struct {
	file   string
	title  string // how its paragraph begins
	before string // a script, for what is supposed to be there
	after  func(t testing.TB, g *guest, said []string)
}

// OpenRC does not see what changes in the second in which it looked.
const nextSecond = "while [ $(date +%s) = $(stat -c %Y /run/openrc/deptree) ]; do sleep 0.05; done"

// The commands have to succeed; said is what each of them printed.
var uses = []use{
	// The tunnel needs no peer that answers.
	{readme, "**A VPN for one service,**", `rc-service sshd stop; ip netns delete vpn; modprobe tun; mkdir -m 700 /etc/wireguard
		printf '[Interface]\nPrivateKey = %s\nAddress = 10.2.0.2/32\n[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 127.0.0.1:51820\n' \
			$(wg genkey) $(wg genkey | wg pubkey) >/etc/wireguard/wg0.conf; ` + nextSecond, func(t testing.TB, g *guest, _ []string) {
		kit.Equal(t, "transmission-daemon", g.where("transmission-daemon"), g.inside("vpn"))
		kit.Contains(t, g.Sh("rc-netns egress transmission-daemon"), "transmission-daemon: tunnel only, through wg0")
	}},
	{readme, "**The namespace at every boot,**", "rc-service netns.vpn stop; rm /etc/init.d/netns.vpn /etc/conf.d/netns.vpn", func(t testing.TB, g *guest, _ []string) {
		kit.Equal(t, "started", g.states("started"), "netns.vpn")
		kit.Contains(t, g.Sh("rc-update show boot"), "netns.vpn")
	}},
	{readme, "**A port of the namespace on the host,**", nextSecond, func(t testing.TB, g *guest, _ []string) {
		g.Await("rc-netns egress vpn | grep 'the host reaches 127.0.0.1:9091 at 127.0.0.1:9091'")
		g.Sh("rc-service netns-publish.vpn stop; rm /etc/init.d/netns-publish.vpn")
	}},
	{readme, "**A second sshd, in vpn,**", "rm /etc/conf.d/sshd; rc-service sshd start", func(t testing.TB, g *guest, _ []string) {
		kit.Equal(t, "sshd", g.where("sshd"), g.Sh("readlink /proc/1/ns/net"))
		kit.Equal(t, "sshd.vpn", g.where("sshd.vpn"), g.inside("vpn"))
	}},
	{readme, "**A resolver of its own.**", ": >/etc/resolv.conf", func(t testing.TB, g *guest, _ []string) {
		kit.Equal(t, "resolv.conf", g.Sh("cat /proc/$(cat /run/sshd.vpn.pid)/root/etc/resolv.conf"), "nameserver 192.0.2.53")
	}},
	{readme, "**All services,**", "sed -i /netns_publish/d /etc/conf.d/netns.vpn; rc-update -q add chronyd default", func(t testing.TB, g *guest, said []string) {
		kit.Contains(t, said[1], `netns_default is "vpn"`)
		g.Sh("rc-service chronyd start")
		kit.Equal(t, "chronyd", g.where("chronyd"), g.inside("vpn"))
		g.Sh("rc-service chronyd stop; rc-update -q del chronyd default; sed -i /netns_default/d /etc/rc.conf")
	}},
	{readme, "**A service in a VRF**", "rc-service chronyd start", func(t testing.TB, g *guest, _ []string) {
		kit.Equal(t, "chronyd", g.where("chronyd"), g.Sh("readlink /proc/1/ns/net"))
		kit.Equal(t, "bound", g.boundTo("chronyd", "7"), "mgmt")
	}},
	{readme, "**By hand:**", "ip -n vpn link add seen type dummy", func(t testing.TB, _ *guest, said []string) {
		for i, want := range []string{"seen", "", "(nobody)", "seen", "mgmt", ""} {
			kit.Contains(t, said[i], want)
		}
	}},
	{readme, "**An ordinary user,**", "", func(t testing.TB, _ *guest, said []string) {
		kit.Contains(t, said[0], "alice ALL=(root) NOPASSWD: /usr/sbin/netns-exec --caller vpn")
	}},
	{manual, "Bind the sockets of sshd to the VRF mgmt of the host's network:", "rc-service sshd.vpn stop; rc-service chronyd stop; ip link delete mgmt", func(t testing.TB, g *guest, _ []string) {
		kit.Equal(t, "sshd", g.where("sshd"), g.Sh("readlink /proc/1/ns/net"))
		kit.Equal(t, "bound", g.boundTo("sshd", "22"), "mgmt")
	}},
	{manual, "Bind them to a VRF of vpn:", "", func(t testing.TB, g *guest, _ []string) {
		kit.Equal(t, "sshd", g.where("sshd"), g.inside("vpn"))
		kit.Equal(t, "bound", g.boundTo("sshd", "22"), "mgmt")
	}},
	{manual, "Lock sshd in,", "", func(t testing.TB, g *guest, _ []string) {
		kit.Equal(t, "CAP_SYS_ADMIN", g.Sh("echo $((0x$(sed -n 's/^CapBnd:\t//p' /proc/$(cat /run/sshd.pid)/status) >> 21 & 1))"), "0")
	}},
	{manual, "Hide the socket of a daemon", "mkdir /run/avahi-daemon; : >/run/avahi-daemon/socket", func(t testing.TB, g *guest, _ []string) {
		kit.Equal(t, "hidden", g.Sh("ls -A /proc/$(cat /run/sshd.pid)/root/run/avahi-daemon; ls -A /run/avahi-daemon"), "socket")
	}},
	// The kernel of User-Mode Linux has nftables for bridges alone.
	{manual, "A firewall for vpn,", "modprobe nf_tables; ip netns exec vpn nft add table bridge guard", func(t testing.TB, g *guest, said []string) {
		kit.Contains(t, said[len(said)-1], "table bridge guard")
		kit.Equal(t, "rules inside", g.Sh("ip netns exec vpn nft list tables"), "table bridge guard")
		kit.Equal(t, "rules outside", g.Sh("nft list tables"), "")
	}},
}

// sessions are the transcripts in README, with what it takes for each.
var sessions = []string{
	"rc-service sshd stop; ip netns add vpn; ip link add tun0 netns vpn type dummy",
	"rm /etc/conf.d/chronyd",
	"printf 'return 0\nnetns=vpn\n' >/etc/conf.d/ntpd",
}

// boundTo is the device that the listening sockets of the daemon of a service
// are bound to.
func (g *guest) boundTo(service, port string) string {
	g.T.Helper()
	return g.Sh("nsenter -t $(cat /run/" + service + ".pid) -n ss -Hltn 'sport = " + port + "' | sed 's/.*%\\(.*\\):" + port + ".*/\\1/' | sort -u")
}

// README, word for word and from top to bottom, and what the manual has beyond
// it.
func TestReadme(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	d := newDisk(t)
	for service, file := range map[string]string{
		"sshd":     "../machine/sshd.initd",
		"nftables": "../openrc/testdata/init.d/nftables",
	} {
		d.write("etc/init.d/"+service, 0o755, kit.Read(t, file))
	}
	d.script("chronyd", web)
	d.script("ntpd", web)
	d.script("transmission-daemon", web)
	d.write("etc/ssh/sshd_config.d/test.conf", 0o644, "UsePAM no\n")
	g := d.start(vm.Options{})
	g.Sh("rm -f /etc/init.d/ssh; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; rc-service sshd start")

	paragraphs := map[string][]paragraph{readme: everydayUses(t), manual: examples(t)}
	typed := transcripts(t)
	if len(typed) != len(sessions) {
		t.Fatalf("README has %d transcripts, and %d are typed here", len(typed), len(sessions))
	}
	g.replay(typed[0], sessions[0])
	for i, use := range uses {
		if use.file == readme && (i >= len(paragraphs[readme]) || !strings.HasPrefix(paragraphs[readme][i].title, use.title)) {
			t.Fatalf("README does not have %q for its everyday use %d", use.title, i+1)
		}
		g.play(use, paragraphs[use.file])
		if i+1 == len(paragraphs[readme]) {
			g.Sh("rc-service chronyd stop")
			for i := range typed[1:] {
				g.replay(typed[1+i], sessions[1+i])
			}
		}
	}
}

// play types what one use says.
func (g *guest) play(use use, paragraphs []paragraph) {
	g.T.Helper()
	for _, p := range paragraphs {
		if !strings.HasPrefix(p.title, use.title) {
			continue
		}
		g.Sh(use.before)
		var said []string
		for _, command := range p.commands {
			said = append(said, g.Sh("exec 2>&1; "+command))
			g.T.Logf("%s\n%s", command, said[len(said)-1])
		}
		use.after(g.T, g, said)
		return
	}
	g.T.Fatalf("%s has no %q", use.file, use.title)
}

// replay types a transcript, and wants what is printed there. What rc-netns
// prints is made for a terminal. OpenRC caches dependencies whenever a file has
// changed, which README does not show.
func (g *guest) replay(transcript, before string) {
	g.T.Helper()
	g.Sh(before)
	var session strings.Builder
	for line := range strings.Lines(transcript) {
		command, typed := strings.CutPrefix(line, "# ")
		if !typed {
			continue
		}
		command = strings.TrimSpace(command)
		script := "exec 2>&1; " + command
		if strings.HasPrefix(command, "rc-netns ") {
			script = "script -qc 'stty cols 76; " + command + "' /dev/null </dev/null | tr -d '\\r'"
		}
		printed := g.Run(script).Stdout
		printed = strings.Replace(printed, " * Caching service dependencies ... [ ok ]\n", "", 1)
		session.WriteString(line + printed)
	}
	kit.Equal(g.T, "README", session.String(), transcript)
}

// paragraph is one with commands in it.
type paragraph struct {
	title    string
	commands []string
}

// everydayUses are those of README, a command a line.
func everydayUses(t *testing.T) (paragraphs []paragraph) {
	t.Helper()
	_, section, _ := strings.Cut(kit.Read(t, readme), "\n## Everyday uses\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "**") {
			paragraphs = append(paragraphs, paragraph{title: line})
		} else if command, is := strings.CutPrefix(line, "    "); is {
			last := &paragraphs[len(paragraphs)-1]
			last.commands = append(last.commands, command)
		}
	}
	return paragraphs
}

// transcripts are the blocks of README that begin with a prompt.
func transcripts(t *testing.T) (all []string) {
	t.Helper()
	block := ""
	for line := range strings.Lines(kit.Read(t, readme)) {
		if code, is := strings.CutPrefix(line, "    "); is || line == "\n" && block != "" {
			if block == "" && !strings.HasPrefix(code, "# ") {
				continue
			}
			if !is {
				code = line
			}
			block += code
			continue
		}
		if block != "" {
			all = append(all, strings.TrimRight(block, "\n")+"\n")
		}
		block = ""
	}
	return all
}

// examples are those of the manual. What is typed into a file ends with ^D.
func examples(t *testing.T) (paragraphs []paragraph) {
	t.Helper()
	_, section, _ := strings.Cut(kit.Read(t, manual), "\n.Sh EXAMPLES\n")
	section, _, _ = strings.Cut(section, "\n.Sh ")
	section = strings.NewReplacer(`\(aq`, "'", `\(dq`, `"`, `\&`, "").Replace(section)
	for text := range strings.SplitSeq(section, "\n.Pp\n") {
		title, literal, _ := strings.Cut(text, "\n.Bd -literal -offset indent\n")
		p := paragraph{title: title}
		file := false
		for line := range strings.Lines(literal) {
			last := len(p.commands) - 1
			switch command, typed := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "# "); {
			case file && line == "^D\n":
				p.commands[last] += "end\n"
				file = false
			case file:
				p.commands[last] += line
			case typed && strings.HasPrefix(command, "cat >"):
				p.commands = append(p.commands, command+" <<'end'\n")
				file = true
			case typed:
				p.commands = append(p.commands, command)
			}
		}
		paragraphs = append(paragraphs, p)
	}
	return paragraphs
}
