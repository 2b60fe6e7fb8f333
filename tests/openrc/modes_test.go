package openrc

import (
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// The ways in which OpenRC comes to start a service, other than rc-service and
// start.

func conditions(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service -i nosuch start; rc-service -s daemon start; rc-service -I daemon start; rc-service -c daemon start")
	h.noDaemon()
	h.Sh("rc-service -S daemon start")
	pid := h.daemon()
	kit.Equal(t, "daemon", h.where(pid), h.inside())
	h.Sh("rc-service -N daemon restart; rc-service -S daemon restart; rc-service --ifcrashed daemon restart")
	kit.Equal(t, "daemon", h.daemon(), pid)
	h.Sh("rm /run/trace.daemon; rc-service --ifstarted daemon reload")
	ran(h, "daemon", h.inside(), "reload")
	if h.seesCrashes() {
		h.killDaemon()
		h.Sh("rc-service -c daemon restart")
		kit.Equal(t, "daemon after -c restart", h.where(h.daemon()), h.inside())
	}
	h.Sh("rc-service --ifexists daemon stop")
	h.noDaemon()
}

// A dry run says what would be done, and nothing of the service runs for it.
func dryRun(t *testing.T, h *host) {
	h.Write("/etc/init.d/netns.vpn", "#!/sbin/openrc-run\nstart() { :; }\n")
	h.Conf("daemon", "netns=vpn", "netns_lock=yes")
	h.Sh("rc-update -u; rm -f /run/trace.daemon")
	before := traces(h)
	for _, command := range []string{"rc-service -Z daemon start", "/etc/init.d/daemon --dry-run start"} {
		kit.Contains(t, h.Sh(command), "start: netns.vpn daemon")
		same(t, command, h, before)
	}
	h.Sh("rc-service daemon start; rm /run/trace.daemon")
	pid := h.daemon()
	before = traces(h)
	for command, want := range map[string]string{
		"rc-service -Z daemon stop":    "stop: daemon",
		"rc-service -Z daemon restart": "start: daemon",
		"rc-service -Z netns.vpn stop": "stop: daemon netns.vpn",
	} {
		kit.Contains(t, h.Sh(command), want)
		same(t, command, h, before)
	}
	kit.Equal(t, "daemon", h.daemon(), pid)
	if h.Run("test -e /run/trace.daemon").Code == 0 {
		t.Errorf("the script ran:\n%s", h.Sh("cat /run/trace.daemon"))
	}
	// With the namespace gone it is no obstacle either.
	h.Sh("ip netns delete vpn")
	kit.Contains(t, h.Sh("rc-service -Z daemon restart"), "start: ")
	h.Sh("rc-service daemon stop; rc-service netns.vpn stop")
	h.noDaemon()
}

// A change of runlevels stops what is inside and starts what is to be there.
func runlevels(t *testing.T, h *host) {
	h.Sh("mkdir /etc/runlevels/work; ln -s daemon /etc/init.d/daemon.b; ip netns add mgmt")
	mgmt := "net:[" + h.Sh("stat -L -c %i /run/netns/mgmt") + "]"
	h.Conf("daemon", "netns=vpn")
	h.Conf("daemon.b.work", "netns=mgmt")
	h.Sh("rc-update add plain default; rc-update add daemon work; rc-update add daemon.b work")
	kit.Contains(t, h.Sh("rc-update show work"), "daemon")
	for _, parallel := range []string{"NO", "YES"} {
		h.Sh("rm -f /run/trace.*; echo rc_parallel=" + parallel + " >>/etc/rc.conf; openrc work")
		kit.Equal(t, "daemon", h.where(h.Sh("cat /run/daemon.pid")), h.inside())
		kit.Equal(t, "daemon.b", h.where(h.Sh("cat /run/daemon.b.pid")), mgmt)
		ran(h, "daemon", h.inside(), "start_pre", "start_post")
		ran(h, "daemon.b", mgmt, "start_pre", "start_post")
		kit.Equal(t, "states", h.state("plain")+" "+h.state("daemon")+" "+h.state("daemon.b"), "stopped started started")
		kit.Contains(t, h.Sh("rc-status work"), "started")

		h.Sh("openrc default")
		h.noDaemon()
		ran(h, "daemon", h.inside(), "stop_pre", "stop_post")
		ran(h, "daemon.b", mgmt, "stop_pre", "stop_post")
		kit.Equal(t, "states", h.state("plain")+" "+h.state("daemon")+" "+h.state("daemon.b"), "started stopped stopped")
	}
	h.Sh("rc-service plain stop")
}

// With rc_interactive an administrator at the console presses I, and is asked
// for each service: 1 starts it, 2 does not.
func interactive(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	h.Sh("echo rc_interactive=YES >>/etc/rc.conf; rc-update add daemon default; rc-update add plain default")
	out := h.Sh("printf I12 | TERM=linux script -qec 'openrc default' /dev/null")
	kit.Contains(t, out, "About to start the service daemon")
	kit.Contains(t, out, "About to start the service plain")
	kit.Equal(t, "states", h.state("daemon")+" "+h.state("plain"), "started stopped")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	ran(h, "daemon", h.inside(), "start_pre", "start_post")
	h.Sh("rc-service daemon stop")
	h.noDaemon()
}

// openrc starts a crashed service again.
func crashed(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-update add daemon default; rc-service daemon start; rm /run/trace.daemon")
	h.killDaemon()
	h.Sh("echo rc_crashed_start=NO >>/etc/rc.conf; openrc default")
	h.noDaemon()
	h.Sh("echo rc_crashed_start=YES >>/etc/rc.conf; openrc default")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	ran(h, "daemon", h.inside(), "start_pre", "start_post")
	h.Sh("rc-service daemon stop")
	h.noDaemon()
}

// A device manager starts services with IN_HOTPLUG.
func hotplug(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	kit.Contains(t, h.Fails("IN_HOTPLUG=1 /etc/init.d/daemon start"), "not allowed to be hotplugged")
	h.Sh("echo 'rc_hotplug=daemon' >>/etc/rc.conf; IN_HOTPLUG=1 /etc/init.d/daemon start")
	kit.Equal(t, "hotplugged", h.Sh("ls /run/openrc/hotplugged"), "daemon")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	ran(h, "daemon", h.inside(), "start_pre", "start_post")
	h.Sh("rc-service daemon stop")
	ran(h, "daemon", h.inside(), "stop_pre", "stop_post")
	h.noDaemon()
}

// A tunnel is inactive until it is up, when a command of its own, inside, says
// so to OpenRC, and what needs the tunnel is started.
func background(t *testing.T, h *host) {
	h.Write("/etc/init.d/tunnel", `#!/sbin/openrc-run
command=/usr/local/bin/tunnel
command_args=/usr/local/bin/tunnel.sh
command_background=yes
pidfile=/run/tunnel.pid
retry=TERM/5
start_inactive=yes
in_background_fake="start stop"
start_pre() { echo "start_pre $(readlink /proc/self/ns/net)" >>/run/trace.tunnel; }
stop_pre() { echo "stop_pre $(readlink /proc/self/ns/net)" >>/run/trace.tunnel; }
`)
	// A copy, so that the daemon has a name of its own; it does what it finds in /run.
	h.Sh("cp $(command -v dash) /usr/local/bin/tunnel; mkfifo /run/trace.fifo")
	h.Write("/usr/local/bin/tunnel.sh", `while read -r action </run/trace.fifo; do
	IN_BACKGROUND=yes /etc/init.d/tunnel "$action" >/run/trace.hook 2>&1
	echo "$action $?" >>/run/trace.done
done
`)
	hook := func(action string) {
		t.Helper()
		h.Sh("rm -f /run/trace.done; echo " + action + " >/run/trace.fifo; for i in $(seq 600); do [ ! -s /run/trace.done ] || exit 0; sleep 0.05; done; exit 1")
		kit.Equal(t, "the tunnel's "+action, h.Sh("cat /run/trace.done")+h.Run("grep -i error /run/trace.hook").Stdout, action+" 0")
	}
	for _, service := range []string{"home", "guest"} {
		h.Write("/etc/init.d/"+service, "#!/sbin/openrc-run\ndepend() { need tunnel; }\nstart() { echo \"start $(readlink /proc/self/ns/net)\" >>/run/trace."+service+"; }\n")
	}
	h.Conf("tunnel", "netns=vpn")
	h.Conf("guest", "netns=vpn")
	tunnel := func() string { return h.Sh("cat /run/tunnel.pid") }
	// The hook does not wait for the services that OpenRC starts for it.
	states := func(when, want string) {
		t.Helper()
		const services = "tunnel home guest"
		out := h.Run(`cd /run/openrc; for i in $(seq 100); do
				states=
				for service in ` + services + `; do
					state=stopped
					for s in started inactive starting stopping failed; do [ ! -e $s/$service ] || state=$s; done
					states="$states $state"
				done
				[ "$states" != " ` + want + `" ] || break
				sleep 0.05
			done; echo $states`).Stdout
		kit.Equal(t, services+" "+when, strings.TrimSpace(out), want)
	}

	h.Run("rc-service home start; rc-service guest start")
	states("before it is up", "inactive stopped stopped")
	pid := tunnel()
	kit.Equal(t, "tunnel", h.where(pid), h.inside())

	hook("start")
	states("when it is up", "started started started")
	kit.Equal(t, "home", h.Sh("cat /run/trace.home"), "start "+h.outside())
	kit.Equal(t, "guest", h.Sh("cat /run/trace.guest"), "start "+h.inside())
	kit.Equal(t, "tunnel", tunnel()+" "+h.where(tunnel()), pid+" "+h.inside())

	hook("stop")
	states("when it is down", "inactive stopped stopped")
	kit.Equal(t, "tunnel", tunnel()+" "+h.where(tunnel()), pid+" "+h.inside())

	h.Sh("rm /run/trace.home /run/trace.guest")
	hook("start")
	states("when it is up again", "started started started")
	kit.Equal(t, "home", h.Sh("cat /run/trace.home"), "start "+h.outside())
	kit.Equal(t, "guest", h.Sh("cat /run/trace.guest"), "start "+h.inside())

	h.Sh("rm /etc/conf.d/tunnel; rc-service tunnel stop")
	states("when it is stopped", "stopped stopped stopped")
	kit.Equal(t, "functions", h.Sh("xargs </run/trace.tunnel"), "start_pre "+h.inside()+" stop_pre "+h.inside())

	// The rest of a start acts where its beginning did: in the daemon's own
	// namespace, whatever the name leads to now; and a lock is no obstacle.
	for _, lock := range []string{"no", "yes"} {
		h.Conf("tunnel", "netns=vpn", "netns_lock="+lock)
		h.Sh("rm -f /run/trace.tunnel; rc-service tunnel start || [ -e /run/openrc/inactive/tunnel ]")
		began := h.inside()
		h.Sh("ip netns delete vpn; ip netns add other" + lock + "; ip netns add vpn")
		hook("start")
		states("when it is up, netns_lock="+lock, "started stopped stopped")
		h.Sh("rc-service tunnel stop")
		kit.Equal(t, "functions, netns_lock="+lock, h.Sh("xargs </run/trace.tunnel"), "start_pre "+began+" stop_pre "+began)
	}
	// Without the setting as well, and from outside.
	h.Sh("rm /run/trace.tunnel; rc-service tunnel start || [ -e /run/openrc/inactive/tunnel ]; rm /etc/conf.d/tunnel; IN_BACKGROUND=yes rc-service tunnel start")
	states("when it is up, without a setting", "started stopped stopped")
	h.Sh("rc-service tunnel stop")
	kit.Equal(t, "functions, without a setting", h.Sh("xargs </run/trace.tunnel"), "start_pre "+h.inside()+" stop_pre "+h.inside())
}

// What conf.d says about dependencies counts as before.
func dependencies(t *testing.T, h *host) {
	depends := func(how string) string {
		return h.Sh(`rm -f /run/openrc/deptree; rc-update -u >/dev/null
			n=$(sed -n "s/^depinfo_\([0-9]*\)_service='daemon'$/\1/p" /run/openrc/deptree)
			[ "$n" ] && sed -n "s/^depinfo_${n}_` + how + `_[0-9]*='\(.*\)'$/\1/p" /run/openrc/deptree | sort | xargs`)
	}
	h.Write("/etc/init.d/netns.vpn", "#!/sbin/openrc-run\nstart() { :; }\n")
	h.Conf("daemon", "netns=vpn", "rc_need=plain", "rc_after=firewall")
	kit.Equal(t, "need", depends("ineed"), "netns.vpn plain")
	kit.Equal(t, "after", depends("iafter"), "firewall")
	h.Sh("rc-service daemon start")
	kit.Equal(t, "states", h.state("plain")+" "+h.state("netns.vpn")+" "+h.state("firewall"), "started started stopped")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.Sh("rc-service plain stop; rc-service netns.vpn stop")
	kit.Equal(t, "state", h.state("daemon"), "stopped")
	h.noDaemon()
	// Without the service of the namespace, it comes after what may make it.
	h.Sh("rm /etc/init.d/netns.vpn")
	h.Conf("daemon", "netns=vpn", "rc_after=firewall")
	kit.Equal(t, "after", depends("iafter"), "firewall ifstate networking")
	kit.Equal(t, "need", depends("ineed"), "")
}

// The shell's own trace, of all that is done.
func debug(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn", "rc_verbose=yes")
	for _, command := range []string{"rc-service -d daemon start", "RC_DEBUG=yes rc-service daemon restart", "/etc/init.d/daemon --debug --verbose reload"} {
		out := h.Sh("rm -f /run/trace.daemon; exec 2>&1; " + command)
		kit.Contains(t, out, "\n+ ")
		kit.Contains(t, out, "+ trace ")
		kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
		for function, where := range trace(h, "daemon") {
			kit.Equal(t, function, where, h.inside())
		}
	}
	h.Sh("rc-service --verbose daemon stop")
	h.noDaemon()
}

func oddName(t *testing.T, h *host) {
	for _, name := range []string{"a-b_c+d.e", "4[x]*?"} {
		h.Sh("ln -s daemon '/etc/init.d/" + name + "'")
		h.Conf(name, "netns=vpn", "netns_lock=yes")
		h.Sh("rc-service '" + name + "' start")
		kit.Equal(t, name, h.where(h.daemon()), h.inside())
		cgroup, _ := h.cgroupOf(name)
		kit.Equal(t, name+"'s cgroup", h.Sh("sed -n s/^0:://p /proc/"+h.daemon()+"/cgroup"), cgroup)
		kit.Contains(t, h.Sh("rc-service '"+name+"' status"), "started")
		h.Sh("rc-service '" + name + "' restart")
		kit.Equal(t, name, h.where(h.daemon()), h.inside())
		h.Sh("rc-service '" + name + "' stop; rm '/run/trace." + name + "'")
		h.noDaemon()
	}
}

// OpenRC 0.45 and 0.56 know of /usr/local/etc, later ones have RC_PATH.
func scriptOutsideOfEtc(t *testing.T, h *host) {
	dir := "/usr/local/etc"
	if h.pathed() {
		dir = "/etc/rc"
	}
	h.Sh("mkdir -p " + dir + "/init.d " + dir + "/conf.d; cp /etc/init.d/daemon " + dir + "/init.d/local; echo netns=vpn >" + dir + "/conf.d/local")
	h.Sh("rc-service local start")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	ran(h, "local", h.inside(), "start_pre", "start_post")
	h.Sh("rm " + dir + "/conf.d/local; rc-service local stop")
	ran(h, "local", h.inside(), "stop_pre", "stop_post")
	h.noDaemon()

	// It needs the service of its namespace, which is in /etc.
	if !h.pathed() {
		h.Sh("ip netns delete vpn; ln -s netns /etc/init.d/netns.vpn; echo netns=vpn >" + dir + "/conf.d/local; rc-update -u; rc-service local start")
		kit.Equal(t, "netns.vpn", h.state("netns.vpn"), "started")
		kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
		h.Sh("rc-service netns.vpn stop")
		h.noDaemon()
	}
	h.Sh("rm -r " + dir)
}

// pathed reports whether this OpenRC has RC_PATH.
func (h *host) pathed() bool {
	h.T.Helper()
	return h.Run("grep -q RC_PATH /usr/lib/rc/sh/openrc-run.sh").Code == 0
}

// A file of a folder that comes first in RC_PATH has the last word.
func confInPath(t *testing.T, h *host) {
	if !h.pathed() {
		t.Fatal("this OpenRC has no RC_PATH")
	}
	h.Sh("mkdir -p /etc/rc/conf.d /run/openrc/conf.d; ip netns add mgmt; echo netns=vpn >/etc/rc/conf.d/daemon")
	mgmt := "net:[" + h.Sh("stat -L -c %i /run/netns/mgmt") + "]"
	h.Sh("rc-service daemon start")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.Conf("daemon", "netns=mgmt")
	h.Sh("rc-service daemon restart")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.Sh("mv /etc/rc/conf.d/daemon /run/openrc/conf.d; rc-service daemon restart")
	kit.Equal(t, "daemon", h.where(h.daemon()), mgmt)
	h.Sh("rm -r /etc/rc /run/openrc/conf.d; rc-service daemon stop")
	h.noDaemon()
}
