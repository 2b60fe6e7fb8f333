package vrf

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

// status asserts what "rc-netns status web" says, and returns the remedy
// that it gives.
func (g *guest) status(verdict, text string) string {
	g.T.Helper()
	result := g.Run("rc-netns status web")
	alarm := 1
	if verdict == "ok" || verdict == "stopped" {
		alarm = 0
	}
	if result.Code != alarm || !strings.Contains(result.Stdout, " "+verdict+"\n") || !strings.Contains(result.Stdout, text) {
		g.T.Errorf("exit status %d, missing %q or %q in:\n%s", result.Code, verdict, text, result.Output)
	}
	g.T.Logf("%s", result.Stdout)
	match := regexp.MustCompile(`(?m)fix it with: (.*)$`).FindStringSubmatch(result.Stdout)
	if match == nil {
		return ""
	}
	return match[1]
}

func TestStatusOfVRFs(t *testing.T) {
	kit.Whole(t)
	g := service(t, vm.Options{})
	fixed := func(text string) {
		t.Helper()
		remedy := g.status("sockets", text)
		g.Sh(remedy)
		g.status("ok", "")
	}
	g.Conf("web", "netns=vpn", "vrf=mgmt")
	g.status("stopped", "")
	g.Sh("rc-service web start")
	g.status("ok", g.daemon()+"  probe ")
	kit.Contains(t, g.Sh("rc-service web status"), `web: runs in network namespace "vpn", its sockets are bound to VRF "mgmt"`)
	kit.Contains(t, g.Sh("rc-netns status --json"), `"vrf": "mgmt"`)
	kit.Contains(t, g.Sh("rc-netns status --json"), `"kind": "vrf"`)

	// A recreated device has another index.
	g.Sh("ip -n vpn link delete mgmt; ip -n vpn link add mgmt type vrf table 10; ip -n vpn link set mgmt up")
	fixed(`its sockets are bound to a device that is gone: VRF "mgmt" was recreated since the start`)
	kit.Equal(t, "listens", g.listens(inVPN), "mgmt")

	// One that has gone has to be made first.
	g.Sh("ip -n vpn link delete mgmt")
	remedy := g.status("sockets", `VRF "mgmt" no longer exists: recreate it first`)
	kit.Contains(t, g.Fails(remedy), `VRF "mgmt": no such device`)
	g.Sh("ip -n vpn link add mgmt type vrf table 10; ip -n vpn link set mgmt up; " + remedy)
	g.status("ok", "")

	// Another VRF, or none, in conf.d now.
	g.Conf("web", "netns=vpn", "vrf=blue")
	fixed(`its sockets are bound to VRF "mgmt", but its settings now name "blue"`)
	kit.Equal(t, "listens", g.listens(inVPN), "blue")
	g.Conf("web", "netns=vpn")
	fixed("its sockets are bound to a VRF, but its settings no longer name one")
	g.Conf("web", "netns=vpn", "vrf=mgmt")
	fixed("it was started before vrf or netns_lock was set: its sockets are not bound")
	g.Conf("web", "netns=vpn", "vrf=mgmt", "netns_lock=yes")
	fixed("it is not locked: netns_lock was set after the start")

	// The program taken off, which no tool does by accident.
	g.Sh("probe detach /sys/fs/cgroup/openrc.web")
	pid := g.daemon()
	fixed("no BPF program of ours is on its cgroup /openrc.web")
	kit.Equal(t, "daemon", g.daemon(), pid)
	// A socket that is made meanwhile stays as it is.
	const listens = "ip netns exec vpn ss -Hltun 'sport = "
	beside := func(program, port string) {
		t.Helper()
		g.Sh("sh -c 'echo $$ >/sys/fs/cgroup/openrc.web/cgroup.procs; echo $$ >/run/beside; exec ip netns exec vpn probe " + program + " " + port + "' >/dev/null 2>&1 &")
		g.Await(listens + port + "' | grep .")
	}
	g.Sh("probe detach /sys/fs/cgroup/openrc.web")
	beside("stray", "7262")
	kit.Contains(t, g.status("sockets", "no BPF program of ours"), "rc-service web restart")
	result := g.Run("rc-netns repair web")
	kit.Equal(t, "repair", fmt.Sprint(result.Code, " ", result.Output), "1 web: BPF program attached again to its cgroup /openrc.web\n"+
		"rc-netns: repair: web: its TCP port 7262 is not bound to VRF \"mgmt\": it hears other networks; fix it with: rc-service web restart\n")
	g.Sh("kill $(cat /run/beside); rc-service web stop")

	// Open beside the VRF: by a socket that its process has freed, and by one
	// that the kernel has made for a process, which no program is asked for.
	g.Conf("web", "netns=vpn", "vrf=mgmt")
	for program, port := range map[string]string{"stray": "TCP port 7262", "rxrpc": "UDP port 7001"} {
		number := strings.Fields(port)[2]
		g.Sh("rc-service web start")
		g.status("ok", "")
		beside(program, number)
		g.status("sockets", "its "+port+` is not bound to VRF "mgmt": it hears other networks`)
		kit.Contains(t, g.Run("rc-service web status").Output, port)
		g.Sh("kill $(cat /run/beside)")
		g.Await("! " + listens + number + "' | grep .")
		g.status("ok", "")
		g.Sh("rc-service web stop")
	}

	// Alone, on the host's network; started before it was set.
	g.Sh("rm /etc/conf.d/web; rc-service web start")
	g.Conf("web", "vrf=host")
	fixed("it was started before vrf or netns_lock was set: its sockets are not bound")
	kit.Contains(t, g.Sh("rc-service web status"), `web: runs on the host's network, its sockets are bound to VRF "host"`)
	g.Sh("ip link delete host; ip link add host type vrf table 30; ip link set host up")
	fixed(`its sockets are bound to a device that is gone: VRF "host" was recreated`)
	g.Sh("rc-service web stop")
	g.status("stopped", "")
}
