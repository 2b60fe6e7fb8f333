package boot

import (
	"os"
	"strings"
	"testing"

	"openrc-netns/tests/vm"
)

// use is one of the everyday uses in README, and what it takes and does.
type use struct {
	title  string // how its paragraph begins
	before string // a script, for what README supposes to be there
	after  func(t *testing.T, g *guest, said []string)
}

// The commands have to succeed; said is what each of them printed.
var uses = []use{
	{"**sshd in vpn**", "", func(t *testing.T, g *guest, _ []string) {
		equal(t, "sshd", g.where("sshd"), g.inside("vpn"))
	}},
	{"**The namespace at every boot,**", "rc-service sshd stop; ip netns delete vpn", func(t *testing.T, g *guest, _ []string) {
		equal(t, "started", g.states("started"), "netns.vpn")
		contains(t, g.sh("rc-update show boot"), "netns.vpn")
	}},
	{"**A second sshd, in vpn,", "rm /etc/conf.d/sshd; rc-service sshd start", func(t *testing.T, g *guest, _ []string) {
		equal(t, "sshd", g.where("sshd"), g.sh("readlink /proc/1/ns/net"))
		equal(t, "sshd.vpn", g.where("sshd.vpn"), g.inside("vpn"))
	}},
	{"**A service in a VRF**", "rc-service sshd.vpn stop; rc-service chronyd start", func(t *testing.T, g *guest, _ []string) {
		equal(t, "chronyd", g.where("chronyd"), g.sh("readlink /proc/1/ns/net"))
		equal(t, "bound", g.boundTo("chronyd", "7"), "mgmt")
	}},
	{"**sshd in a VRF of vpn.**", "echo netns=vpn >>/etc/conf.d/sshd", func(t *testing.T, g *guest, _ []string) {
		equal(t, "sshd", g.where("sshd"), g.inside("vpn"))
		equal(t, "bound", g.boundTo("sshd", "22"), "mgmt")
	}},
	{"**By hand:**", "ip -n vpn link add seen type dummy", func(t *testing.T, _ *guest, said []string) {
		for i, want := range []string{"seen", "", "(nobody)", "seen", "mgmt", "mgmt", ""} {
			contains(t, said[i], want)
		}
	}},
	{"**Look after them.**", "", func(t *testing.T, _ *guest, said []string) {
		contains(t, said[0], "sshd: ok (netns vpn, vrf mgmt)")
		for _, status := range said[1:] {
			contains(t, status, "SERVICE")
			contains(t, status, "ok")
		}
	}},
	{"**Locked in.**", "", func(t *testing.T, g *guest, _ []string) {
		equal(t, "CAP_SYS_ADMIN", g.sh("echo $((0x$(sed -n 's/^CapBnd:\t//p' /proc/$(cat /run/sshd.pid)/status) >> 21 & 1))"), "0")
	}},
	{"**A resolver of its own.**", ": >/etc/resolv.conf", func(t *testing.T, g *guest, _ []string) {
		equal(t, "resolv.conf", g.sh("cat /proc/$(cat /run/sshd.pid)/root/etc/resolv.conf"), "nameserver 192.0.2.53")
	}},
	{"**Other daemons' sockets.**", "mkdir /run/avahi-daemon; : >/run/avahi-daemon/socket", func(t *testing.T, g *guest, _ []string) {
		equal(t, "hidden", g.sh("ls -A /proc/$(cat /run/sshd.pid)/root/run/avahi-daemon; ls -A /run/avahi-daemon"), "socket")
	}},
	// The kernel of User-Mode Linux has nftables for bridges alone.
	{"**A firewall for vpn.**", "modprobe nf_tables; ip netns exec vpn nft add table bridge guard", func(t *testing.T, g *guest, said []string) {
		contains(t, said[len(said)-1], "table bridge guard")
		equal(t, "rules inside", g.sh("ip netns exec vpn nft list tables"), "table bridge guard")
		equal(t, "rules outside", g.sh("nft list tables"), "")
	}},
}

// boundTo is the device that the listening sockets of the daemon of a service are
// bound to.
func (g *guest) boundTo(service, port string) string {
	g.t.Helper()
	return g.sh("nsenter -t $(cat /run/" + service + ".pid) -n ss -Hltn 'sport = " + port + "' | sed 's/.*%\\(.*\\):" + port + ".*/\\1/' | sort -u")
}

// README's everyday uses, word for word and one after the other.
func TestReadme(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	for service, file := range map[string]string{
		"sshd":     "../machine/sshd.initd",
		"nftables": "../openrc/testdata/init.d/nftables",
	} {
		script, err := os.ReadFile(file)
		d.must(err)
		d.write("etc/init.d/"+service, 0o755, string(script))
	}
	d.script("chronyd", web)
	d.write("etc/ssh/sshd_config.d/test.conf", 0o644, "UsePAM no\n")
	g := d.start(vm.Options{})
	g.sh("rm -f /etc/init.d/ssh; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; rc-service sshd start")

	paragraphs := everydayUses(t)
	if len(paragraphs) != len(uses) {
		t.Fatalf("README has %d everyday uses, and %d are tried here", len(paragraphs), len(uses))
	}
	for i, use := range uses {
		if !strings.HasPrefix(paragraphs[i].title, use.title) {
			t.Fatalf("README has %q, not %q", paragraphs[i].title, use.title)
		}
		g.sh(use.before)
		var said []string
		for _, command := range paragraphs[i].commands {
			if strings.HasSuffix(command, "--watch") {
				command = "TERM=xterm timeout -s INT 3 script -qec '" + command + "' /dev/null || [ $? = 124 ]"
			}
			said = append(said, g.sh("exec 2>&1; "+command))
			t.Logf("%s\n%s", command, said[len(said)-1])
		}
		use.after(t, g, said)
	}
}

// paragraph is one of README, with the commands in it.
type paragraph struct {
	title    string
	commands []string
}

func everydayUses(t *testing.T) (paragraphs []paragraph) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Everyday uses\n")
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
