package vrf

import (
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

// web is a declarative service whose daemon is "probe serve"; every function
// writes down what its sockets are bound to.
const web = `#!/sbin/openrc-run
command=/usr/sbin/probe
command_args="serve web"
command_background=yes
pidfile="/run/$RC_SVCNAME.pid"
extra_started_commands="reload"
trace() { echo "$1: $(probe sockets | cut -d'"' -f2 | sort -u)" >>/run/trace; }
start_pre() { trace start_pre; }
stop_pre() { trace stop_pre; }
reload() { trace reload; }
status() { trace status; default_status; }
`

// supervised is one whose supervisor comes from conf.d.
const supervised = `#!/sbin/openrc-run
command=/usr/sbin/probe
command_args="serve supervised"
command_user=daemon
capabilities="^cap_net_bind_service"
respawn_delay=0
`

func service(t *testing.T, options vm.Options) *guest {
	t.Helper()
	g := boot(t, options)
	for name, script := range map[string]string{"web": web, "supervised": supervised} {
		g.Write("/etc/init.d/"+name, script)
	}
	return g
}

func (g *guest) daemon() string {
	g.T.Helper()
	return g.Await("pgrep -x probe")
}

// respawned kills the daemon with this PID, and returns the one that its
// supervisor starts.
func (g *guest) respawned(first string) string {
	g.T.Helper()
	g.Sh("kill -9 " + first)
	return g.Await("pgrep -x probe | grep -vx " + first)
}

func (g *guest) cgroup(pid string) string {
	g.T.Helper()
	return g.Sh("sed -n s/^0:://p /proc/" + pid + "/cgroup")
}

// cgroups are those of a service. OpenRC 0.64 also makes openrc/NAME, with us
// or without, and leaves it.
func (g *guest) cgroups(service string) string {
	g.T.Helper()
	return g.Sh("find /sys/fs/cgroup -name '*" + service + "*' -not -path '*/openrc/*'")
}

// listens is what the daemon's two listening sockets are bound to, once it has
// them, in the namespace that enter enters.
func (g *guest) listens(enter string) string {
	g.T.Helper()
	return g.Await(enter + " ss -Hltn 'sport = 7' | sed 's/.*%\\(.*\\):7.*/\\1/' | sort | uniq -c | sed -n 's/^ *2 //p' | grep .")
}

// confined asserts that the daemon of a service is confined to a VRF.
func (g *guest) confined(service, pid, enter, vrf string) {
	g.T.Helper()
	kit.Equal(g.T, "cgroup", g.cgroup(pid), "/openrc."+service)
	kit.Equal(g.T, "programs", g.Sh("probe programs /sys/fs/cgroup/openrc."+service), oneProgram)
	kit.Equal(g.T, "listens", g.listens(enter), vrf)
}

// answers asserts that the peer of mgmt is answered, and the other one is not.
func (g *guest) answers(service string) {
	g.T.Helper()
	kit.Equal(g.T, "its peer", g.Sh("ip netns exec peer-m probe ask 192.0.2.1"), "tcp: "+service+"\nudp: "+service)
	kit.Contains(g.T, g.Fails("ip netns exec peer-b probe ask 192.0.2.1"), "connection refused")
}

// stop asserts that nothing is left of a service.
func (g *guest) stop(service string) {
	g.T.Helper()
	g.Sh("rc-service " + service + " stop")
	kit.Equal(g.T, "cgroups", g.cgroups(service), "")
}

const inVPN = "ip netns exec vpn"

const oneProgram = "openrc_netns CGroupSock, 16 instructions"

func TestServices(t *testing.T) {
	g := service(t, vm.Options{})
	run := g.scenes(t)

	run("in a namespace", func(t *testing.T) {
		g.Conf("web", "netns=vpn", "vrf=mgmt", `rc_cgroup_settings="`, "pids.max 100", `"`)
		g.Sh("echo +pids >/sys/fs/cgroup/cgroup.subtree_control")
		g.Sh("rc-service web start")
		g.confined("web", g.daemon(), inVPN, "mgmt")
		kit.Equal(t, "rc_cgroup_settings", g.Sh("cat /sys/fs/cgroup/openrc.web/pids.max"), "100")
		g.answers("web")

		g.Sh("rc-service web reload; rc-service web status")
		g.Sh("rc-service web restart; rc-service web restart")
		g.confined("web", g.daemon(), inVPN, "mgmt")
		g.stop("web")
		kit.Equal(t, "functions that ran bound", g.Sh("sort -u /run/trace"), "reload: mgmt\nstart_pre: mgmt\nstatus: mgmt\nstop_pre: mgmt")
		g.Sh("echo -pids >/sys/fs/cgroup/cgroup.subtree_control")
	})

	run("alone", func(t *testing.T) {
		g.Conf("web", "vrf=host")
		g.Sh("rc-service web start")
		pid := g.daemon()
		kit.Equal(t, "namespace", g.Sh("readlink /proc/"+pid+"/ns/net"), g.Sh("readlink /proc/1/ns/net"))
		g.confined("web", pid, "", "host")
		g.Sh("rc-service web restart; rc-service web status")
		g.stop("web")
		kit.Equal(t, "functions that ran bound", g.Sh("sort -u /run/trace"), "start_pre: host\nstatus: host\nstop_pre: host")
	})

	run("two services, one address", func(t *testing.T) {
		g.Sh("ln -sf web /etc/init.d/web.mgmt; ln -sf web /etc/init.d/web.blue; rm /etc/conf.d/web")
		g.Conf("web.mgmt", "netns=vpn", "vrf=mgmt", `command_args="serve mgmt"`)
		g.Conf("web.blue", "netns=vpn", "vrf=blue", `command_args="serve blue"`)
		// The script sets command_args after conf.d; let conf.d have its way.
		g.Sh(`sed -i 's/^command_args=.*/: ${command_args:=serve web}/' /etc/init.d/web`)
		g.Sh("rc-service web.mgmt start; rc-service web.blue start")
		g.Await("[ $(ip netns exec vpn ss -Hltun 'sport = 7' | wc -l) = 8 ]")
		kit.Equal(t, "peer of mgmt", g.Sh("ip netns exec peer-m probe ask 192.0.2.1"), "tcp: mgmt\nudp: mgmt")
		kit.Equal(t, "peer of blue", g.Sh("ip netns exec peer-b probe ask 192.0.2.1"), "tcp: blue\nudp: blue")
		g.Sh("rc-service web.mgmt stop; rc-service web.blue stop; rm /etc/conf.d/web.*")
	})

	for _, supervisor := range []string{"supervise-daemon", "s6"} {
		run(supervisor+", respawned, and without privileges", func(t *testing.T) {
			if supervisor == "s6" { // which gives no capabilities
				kit.Whole(t)
				g.Write("/etc/init.d/s6-svscan", kit.Read(t, "../openrc/testdata/init.d/s6-svscan"))
				g.Sh("ip netns exec vpn sh -c 'echo 7 >/proc/sys/net/ipv4/ip_unprivileged_port_start'; rc-service s6-svscan start")
				defer g.Sh("rc-service s6-svscan stop")
			}
			g.Conf("supervised", "supervisor="+supervisor, "netns=vpn", "vrf=mgmt")
			g.Sh("rc-service supervised start")
			first := g.daemon()
			kit.Equal(t, "user", g.Sh("ps -o user= -p "+first), "daemon")
			g.Sh("grep -q " + supervisor + " /proc/$(ps -o ppid= -p " + first + " | xargs)/cmdline")
			g.confined("supervised", first, inVPN, "mgmt")
			g.answers("supervised")
			kit.Contains(t, g.Sh("rc-netns status supervised"), "ok")
			g.confined("supervised", g.respawned(first), inVPN, "mgmt")
			g.Sh("rc-service supervised restart")
			g.confined("supervised", g.daemon(), inVPN, "mgmt")
			g.stop("supervised")
		})
	}

	run("cgroup_cleanup", func(t *testing.T) {
		g.Conf("web", "netns=vpn", "vrf=mgmt")
		// A child that the daemon's stop does not reach.
		g.Sh(`printf 'start_post() { setsid sleep 1000 </dev/null >/dev/null 2>&1 & }\n' >>/etc/init.d/web; rc-service web start; rc-service web stop`)
		g.Await("pgrep -x sleep")
		g.Run("rc-service web cgroup_cleanup")
		g.Await("! pgrep -x sleep")
		g.Sh("sed -i /start_post/d /etc/init.d/web; rmdir /sys/fs/cgroup/openrc.web 2>/dev/null || :")
	})

	run("the VRF goes", func(t *testing.T) {
		g.Sh("ip -n vpn link add brief type vrf table 40")
		g.Conf("web", "netns=vpn", "vrf=brief")
		g.Sh("rc-service web start")
		before := g.daemon()
		g.Sh("ip -n vpn link delete brief")
		out := g.Fails("rc-service web restart")
		kit.Contains(t, out, `web: not stopped, because the start would fail: VRF "brief": no such device in this network namespace`)
		kit.Equal(t, "daemon", g.daemon(), before)
		g.Sh("rc-service web status; rc-service web stop")
		kit.Equal(t, "daemon", g.Run("pgrep -x probe").Stdout, "")
		kit.Contains(t, g.Fails("rc-service web start"), `web: VRF "brief": no such device in this network namespace`)
		kit.Equal(t, "cgroups", g.cgroups("web"), "")
	})

	run("locked", func(t *testing.T) {
		g.Conf("web", "netns=vpn", "vrf=mgmt", "netns_lock=yes")
		g.Sh("rc-service web start")
		kit.Equal(t, "listens", g.listens(inVPN), "mgmt")
		kit.Equal(t, "CAP_SYS_ADMIN", g.Sh("echo $((0x$(sed -n 's/^CapBnd:.//p' /proc/"+g.daemon()+"/status) >> 21 & 1))"), "0")
		g.Sh("rc-service web restart")
		g.stop("web")
	})

	run("cgroups of which OpenRC knows nothing", func(t *testing.T) {
		kit.Whole(t)
		g.inCgroupMode("legacy", "/openrc-netns.web")
	})
}

// Where OpenRC has its cgroups elsewhere, or has none, the service gets one.
func TestServiceByCgroupMode(t *testing.T) {
	kit.Whole(t)
	for cgroups, modes := range map[string][][2]string{
		"hybrid": {{"hybrid", "/openrc.web"}, {"unified", "/openrc-netns.web"}},
		"none":   {{"unified", "/openrc-netns.web"}},
	} {
		t.Run(cgroups, func(t *testing.T) {
			g := service(t, vm.Options{Cgroup: cgroups})
			for _, mode := range modes {
				g.inCgroupMode(mode[0], mode[1])
			}
		})
	}
}

// inCgroupMode has rc.conf name the mode, and wants the service's cgroup to be
// this one, or to end with it.
func (g *guest) inCgroupMode(mode, cgroup string) {
	g.T.Helper()
	g.Sh("rm -f /run/trace; sed -i /rc_cgroup_mode/d /etc/rc.conf; echo rc_cgroup_mode=" + mode + " >>/etc/rc.conf")
	g.Conf("web", "netns=vpn", "vrf=mgmt")
	g.Sh("rc-service web start")
	if got := g.cgroup(g.daemon()); !strings.HasSuffix(got, cgroup) {
		g.T.Errorf("%s: cgroup %s, want %s", mode, got, cgroup)
	}
	kit.Equal(g.T, "listens", g.listens(inVPN), "mgmt")
	g.Sh("rc-service web restart; rc-service web status")
	kit.Equal(g.T, "listens after a restart", g.listens(inVPN), "mgmt")
	g.Sh("mkdir -p /mnt/cgroup && mount -t cgroup2 none /mnt/cgroup")
	kit.Equal(g.T, "programs", g.Sh("probe programs /mnt/cgroup"+g.cgroup(g.daemon())), oneProgram)
	g.Sh("rc-service web stop")
	kit.Equal(g.T, "functions that ran bound", g.Sh("sort -u /run/trace"), "start_pre: mgmt\nstatus: mgmt\nstop_pre: mgmt")
	kit.Equal(g.T, "cgroups", g.Sh("find /mnt/cgroup -name '*web*' -not -path '*/openrc/*'; umount /mnt/cgroup"), "")
}
