package boot

import (
	"strings"
	"sync"
	"testing"
	"time"

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
netns_up()
{
	note up
	ip link add mgmt type vrf table 10 &&
		ip link set mgmt up &&
		ip link set eth1 master mgmt up &&
		ip address add 192.0.2.1/24 dev eth1
}
netns_down() { note down; }
`)
	d.namespace("lab", noted)
	d.script("daemon", daemon)
	d.conf("daemon", "netns=vpn\n")
	d.script("a-web", web)
	d.conf("a-web", "netns=vpn\nvrf=mgmt\n")
	d.script("supervised", supervised)
	d.conf("supervised", "netns=lab\n")
	d.script("outside", daemon)
	// One namespace is in a runlevel, the other is made because a service needs it.
	d.add("boot", "netns.peer", "netns.vpn")
	d.add("default", "daemon", "a-web", "supervised", "outside")
	g := d.boot()

	equal(t, "runlevel", g.sh("rc-status -r"), "default")
	equal(t, "started", g.states("started"), "a-web daemon links netns.lab netns.peer netns.vpn outside supervised")
	equal(t, "failed", g.states("failed"), "")
	status := g.sh("rc-status -a | sed 's/ *\\[ */ /; s/ *\\]//'")
	for _, line := range []string{"Runlevel: boot\n netns.peer started\n netns.vpn started\n", "Dynamic Runlevel: needed/wanted\n links started\n netns.lab started\n"} {
		contains(t, status, line)
	}

	host := g.sh("readlink /proc/1/ns/net")
	vpn, lab := g.inside("vpn"), g.inside("lab")
	equal(t, "daemon", g.where("daemon"), vpn)
	equal(t, "a-web", g.where("a-web"), vpn)
	equal(t, "supervise-daemon", g.where("supervised"), lab)
	equal(t, "what it supervises", g.sh("readlink /proc/$(pgrep -x -P $(cat /run/supervised.pid) probe)/ns/net"), lab)
	equal(t, "outside", g.where("outside"), host)
	equal(t, "bound", g.sh("ip netns exec vpn ss -Hltn 'sport = 7' | sed 's/.*%\\(.*\\):7.*/\\1/' | sort -u"), "mgmt")
	equal(t, "program", g.sh("probe programs /sys/fs/cgroup/openrc.a-web"), "openrc_netns CGroupSock, 16 instructions")
	equal(t, "bytes from vpn", g.sh("ip netns exec peer probe ask 192.0.2.1"), "tcp: a-web\nudp: a-web")
	equal(t, "bytes from lab", g.sh("ip netns exec lab probe ask 127.0.0.1"), "tcp: supervised\nudp: supervised")
	contains(t, g.fails("probe ask 127.0.0.1"), "connection refused")

	order := g.order()
	for _, pair := range [][2]string{{"links start", "netns.vpn up"}, {"netns.vpn up", "daemon start"}, {"netns.vpn up", "a-web start"}, {"netns.lab up", "supervised start"}} {
		before(t, order, pair[0], pair[1])
	}
	contains(t, g.sh("cat /run/order"), "netns.vpn up "+vpn+" boot: ")
	contains(t, g.sh("cat /run/order"), "daemon start "+vpn+" default: ")

	// What openrc-init runs when the machine goes down.
	g.sh("rm /run/order; openrc shutdown")
	equal(t, "started", g.states("started"), "")
	equal(t, "daemons", g.Run("pgrep -x 'sleep|probe|supervise-daem'").Output, "")
	order = g.order()
	for _, pair := range [][2]string{{"daemon stop", "netns.vpn down"}, {"a-web stop", "netns.vpn down"}, {"supervised stop", "netns.lab down"}, {"netns.vpn down", "links stop"}} {
		before(t, order, pair[0], pair[1])
	}
	record := g.sh("cat /run/order")
	for service, inside := range map[string]string{"daemon": vpn, "a-web": vpn, "supervised": lab} {
		name := "vpn"
		if inside == lab {
			name = "lab"
		}
		found := false
		for _, line := range strings.Split(record, "\n") {
			if names, ok := strings.CutPrefix(line, service+" stop "+inside+" shutdown: "); ok {
				found = index(strings.Fields(names), name) >= 0
			}
		}
		if !found {
			t.Errorf("%s did not stop in %s while that had its name:\n%s", service, name, record)
		}
	}
	equal(t, "names", g.sh("ls /run/netns"), "")
	equal(t, "journals", g.Run("ls /run/openrc-netns").Stdout, "")
}

// A namespace that cannot be made keeps its own services from starting, and no
// others.
func TestBootWithoutNamespace(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	d.namespace("bad", note+"netns_interfaces=nowhere\nnetns_up() { note up; }\n")
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
	var console log
	g := d.start(vm.Options{Boot: true, Log: &console})

	equal(t, "runlevel", g.sh("rc-status -r"), "default")
	equal(t, "started", g.states("started"), "fine netns.lab outside")
	console.wait(t, `netns.bad: interface "nowhere" does not exist`)
	console.wait(t, "ERROR: netns.bad failed to start")
	for _, service := range []string{"daemon", "needy"} {
		console.wait(t, "ERROR: cannot start "+service+" as netns.bad would not start")
	}
	equal(t, "fine", g.where("fine"), g.inside("lab"))
	equal(t, "outside", g.where("outside"), g.sh("readlink /proc/1/ns/net"))
	equal(t, "names", g.sh("ls /run/netns | xargs"), "lab")
	equal(t, "what has run", g.sh("grep -E '^(daemon|needy|netns.bad) ' /run/order || :"), "")
}

// log is what the console says; that may come later than the boot is done.
type log struct {
	turn sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.turn.Lock()
	defer l.turn.Unlock()
	return l.text.Write(p)
}

func (l *log) wait(t *testing.T, want string) {
	t.Helper()
	said := func() string {
		l.turn.Lock()
		defer l.turn.Unlock()
		return l.text.String()
	}
	for range 100 {
		if strings.Contains(said(), want) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	contains(t, said(), want)
}
