package boot

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

func TestBootAndShutdown(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	d.namespace("peer", "")
	d.script("links", links)
	d.namespace("vpn", note+`
rc_need=links
netns_interfaces=eth1
netns_post_up()
{
	note up
	ip link add mgmt type vrf table 10 &&
		ip link set mgmt up &&
		ip link set eth1 master mgmt up &&
		ip address add 192.0.2.1/24 dev eth1
}
netns_pre_down() { note down; }
`)
	d.namespace("lab", noted)
	d.script("daemon", daemon)
	d.conf("daemon", "netns=vpn\n")
	d.script("a-web", web)
	d.conf("a-web", "netns=vpn\nvrf=mgmt\n")
	d.script("supervised", supervised)
	d.conf("supervised", "netns=lab\n")
	d.script("outside", daemon)
	// One namespace is in a runlevel, the other is made because a service needs
	// it.
	d.add("boot", "netns.peer", "netns.vpn")
	d.add("default", "daemon", "a-web", "supervised", "outside")
	g := d.boot()

	kit.Equal(t, "runlevel", g.Sh("rc-status -r"), "default")
	kit.Equal(t, "started", g.states("started"), "a-web daemon links netns.lab netns.peer netns.vpn outside supervised")
	kit.Equal(t, "failed", g.states("failed"), "")
	status := g.Sh("rc-status -a | sed 's/ *\\[ */ /; s/ *\\]//'")
	for _, line := range []string{"Runlevel: boot\n netns.peer started\n netns.vpn started\n", "Dynamic Runlevel: needed/wanted\n links started\n netns.lab started\n"} {
		kit.Contains(t, status, line)
	}

	host := g.Sh("readlink /proc/1/ns/net")
	vpn, lab := g.inside("vpn"), g.inside("lab")
	kit.Equal(t, "daemon", g.where("daemon"), vpn)
	kit.Equal(t, "a-web", g.where("a-web"), vpn)
	kit.Equal(t, "supervise-daemon", g.where("supervised"), lab)
	kit.Equal(t, "what it supervises", g.Sh("readlink /proc/$(pgrep -x -P $(cat /run/supervised.pid) probe)/ns/net"), lab)
	kit.Equal(t, "outside", g.where("outside"), host)
	kit.Equal(t, "bound", g.Sh("ip netns exec vpn ss -Hltn 'sport = 7' | sed 's/.*%\\(.*\\):7.*/\\1/' | sort -u"), "mgmt")
	kit.Equal(t, "program", g.Sh("probe programs /sys/fs/cgroup/openrc.a-web"), "openrc_netns CGroupSock, 16 instructions")
	kit.Equal(t, "bytes from vpn", g.Sh("ip netns exec peer probe ask 192.0.2.1"), "tcp: a-web\nudp: a-web")
	kit.Equal(t, "bytes from lab", g.Sh("ip netns exec lab probe ask 127.0.0.1"), "tcp: supervised\nudp: supervised")
	kit.Contains(t, g.Fails("probe ask 127.0.0.1"), "connection refused")

	order := g.order()
	for _, pair := range [][2]string{{"links start", "netns.vpn up"}, {"netns.vpn up", "daemon start"}, {"netns.vpn up", "a-web start"}, {"netns.lab up", "supervised start"}} {
		before(t, order, pair[0], pair[1])
	}
	kit.Contains(t, g.Sh("cat /run/order"), "netns.vpn up "+vpn+" boot: ")
	kit.Contains(t, g.Sh("cat /run/order"), "daemon start "+vpn+" default: ")

	// What openrc-init runs when the machine goes down.
	g.Sh("rm /run/order; openrc shutdown")
	kit.Equal(t, "started", g.states("started"), "")
	kit.Equal(t, "daemons", g.Run("pgrep -x 'sleep|probe|supervise-daem'").Output, "")
	order = g.order()
	for _, pair := range [][2]string{{"daemon stop", "netns.vpn down"}, {"a-web stop", "netns.vpn down"}, {"supervised stop", "netns.lab down"}, {"netns.vpn down", "links stop"}} {
		before(t, order, pair[0], pair[1])
	}
	record := g.Sh("cat /run/order")
	for service, name := range map[string]string{"daemon": "vpn", "a-web": "vpn", "supervised": "lab"} {
		inside := map[string]string{"vpn": vpn, "lab": lab}[name]
		stop := "(?m)^" + regexp.QuoteMeta(service+" stop "+inside+" shutdown:") + ".* " + name + "( |$)"
		if !regexp.MustCompile(stop).MatchString(record) {
			t.Errorf("%s did not stop in %s while that had its name:\n%s", service, name, record)
		}
	}
	kit.Equal(t, "names", g.Sh("ls /run/netns"), "")
	kit.Equal(t, "journals", g.Run("ls /run/openrc-netns").Stdout, "")
}

// A namespace that cannot be made keeps its own services from starting, and no
// others.
func TestBootWithoutNamespace(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	d.namespace("bad", note+"netns_interfaces=nowhere\nnetns_post_up() { note up; }\n")
	d.namespace("lab", noted)
	d.script("daemon", daemon)
	d.conf("daemon", "netns=bad\n")
	d.link("etc/init.d/needy", "daemon")
	d.conf("needy", "netns=bad\n")
	d.script("fine", daemon)
	d.conf("fine", "netns=lab\n")
	d.script("outside", daemon)
	d.add("boot", "netns.bad")
	d.add("default", "daemon", "needy", "fine", "outside")
	console, err := os.Create(filepath.Join(t.TempDir(), "console"))
	d.must(err)
	g := d.start(vm.Options{Boot: true, Log: console})
	// It may say so later than the boot is done.
	says := func(want string) {
		t.Helper()
		var text []byte
		for late := time.Now().Add(3 * time.Minute); !strings.Contains(string(text), want) && time.Now().Before(late); time.Sleep(50 * time.Millisecond) {
			text, err = os.ReadFile(console.Name())
			d.must(err)
		}
		kit.Contains(t, string(text), want)
	}

	kit.Equal(t, "runlevel", g.Sh("rc-status -r"), "default")
	kit.Equal(t, "started", g.states("started"), "fine netns.lab outside")
	says(`netns.bad: interface "nowhere" does not exist`)
	says("ERROR: netns.bad failed to start")
	for _, service := range []string{"daemon", "needy"} {
		says("ERROR: cannot start " + service + " as netns.bad would not start")
	}
	kit.Equal(t, "fine", g.where("fine"), g.inside("lab"))
	kit.Equal(t, "outside", g.where("outside"), g.Sh("readlink /proc/1/ns/net"))
	kit.Equal(t, "names", g.Sh("ls /run/netns | xargs"), "lab")
	kit.Equal(t, "what has run", g.Sh("grep -E '^(daemon|needy|netns.bad) ' /run/order || :"), "")
}
