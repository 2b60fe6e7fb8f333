package openrc

import (
	"strings"
	"testing"
)

// The ways in which OpenRC comes to start a service, other than rc-service and
// start.

func conditions(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	h.sh("rc-service -i nosuch start; rc-service -s daemon start; rc-service -I daemon start; rc-service -c daemon start")
	h.noDaemon()
	h.sh("rc-service -S daemon start")
	pid := h.daemon()
	equal(t, "daemon", h.where(pid), h.inside())
	h.sh("rc-service -N daemon restart; rc-service -S daemon restart; rc-service --ifcrashed daemon restart")
	equal(t, "daemon", h.daemon(), pid)
	h.sh("rm /run/trace.daemon; rc-service --ifstarted daemon reload")
	ran(h, "daemon", h.inside(), "reload")
	if h.seesCrashes() {
		h.killDaemon()
		h.sh("rc-service -c daemon restart")
		equal(t, "daemon after -c restart", h.where(h.daemon()), h.inside())
	}
	h.sh("rc-service --ifexists daemon stop")
	h.noDaemon()
}

// A dry run says what would be done, and nothing of the service runs for it.
func dryRun(t *testing.T, h *host) {
	h.initScript("netns.vpn", "#!/sbin/openrc-run\nstart() { :; }\n")
	h.conf("daemon", "netns=vpn", "netns_lock=yes")
	h.sh("rc-update -u; rm -f /run/trace.daemon")
	before := traces(h)
	for _, command := range []string{"rc-service -Z daemon start", "/etc/init.d/daemon --dry-run start"} {
		contains(t, h.sh(command), "start: netns.vpn daemon")
		same(t, command, h, before)
	}
	h.sh("rc-service daemon start; rm /run/trace.daemon")
	pid := h.daemon()
	before = traces(h)
	for command, want := range map[string]string{
		"rc-service -Z daemon stop":    "stop: daemon",
		"rc-service -Z daemon restart": "start: daemon",
		"rc-service -Z netns.vpn stop": "stop: daemon netns.vpn",
	} {
		contains(t, h.sh(command), want)
		same(t, command, h, before)
	}
	equal(t, "daemon", h.daemon(), pid)
	if h.Run("test -e /run/trace.daemon").Code == 0 {
		t.Errorf("the script ran:\n%s", h.sh("cat /run/trace.daemon"))
	}
	// With the namespace gone it is no obstacle either.
	h.sh("ip netns delete vpn")
	contains(t, h.sh("rc-service -Z daemon restart"), "start: ")
	h.sh("rc-service daemon stop; rc-service netns.vpn stop")
	h.noDaemon()
}

// A change of runlevels stops what is inside and starts what is to be there.
func runlevels(t *testing.T, h *host) {
	h.sh("mkdir /etc/runlevels/work; ln -s daemon /etc/init.d/daemon.b; ip netns add mgmt")
	mgmt := "net:[" + h.sh("stat -L -c %i /run/netns/mgmt") + "]"
	h.conf("daemon", "netns=vpn")
	h.conf("daemon.b.work", "netns=mgmt")
	h.sh("rc-update add plain default; rc-update add daemon work; rc-update add daemon.b work")
	contains(t, h.sh("rc-update show work"), "daemon")
	for _, parallel := range []string{"NO", "YES"} {
		h.sh("rm -f /run/trace.*; echo rc_parallel=" + parallel + " >>/etc/rc.conf; openrc work")
		equal(t, "daemon", h.where(h.sh("cat /run/daemon.pid")), h.inside())
		equal(t, "daemon.b", h.where(h.sh("cat /run/daemon.b.pid")), mgmt)
		ran(h, "daemon", h.inside(), "start_pre", "start_post")
		ran(h, "daemon.b", mgmt, "start_pre", "start_post")
		equal(t, "states", h.state("plain")+" "+h.state("daemon")+" "+h.state("daemon.b"), "stopped started started")
		contains(t, h.sh("rc-status work"), "started")

		h.sh("openrc default")
		h.noDaemon()
		ran(h, "daemon", h.inside(), "stop_pre", "stop_post")
		ran(h, "daemon.b", mgmt, "stop_pre", "stop_post")
		equal(t, "states", h.state("plain")+" "+h.state("daemon")+" "+h.state("daemon.b"), "started stopped stopped")
	}
	h.sh("rc-service plain stop")
}

// With rc_interactive an administrator at the console presses I, and is asked
// for each service: 1 starts it, 2 does not.
func interactive(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	h.sh("echo rc_interactive=YES >>/etc/rc.conf; rc-update add daemon default; rc-update add plain default")
	out := h.sh("printf I12 | TERM=linux script -qec 'openrc default' /dev/null")
	contains(t, out, "About to start the service daemon")
	contains(t, out, "About to start the service plain")
	equal(t, "states", h.state("daemon")+" "+h.state("plain"), "started stopped")
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	ran(h, "daemon", h.inside(), "start_pre", "start_post")
	h.sh("rc-service daemon stop")
	h.noDaemon()
}

// openrc starts a crashed service again.
func crashed(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	h.sh("rc-update add daemon default; rc-service daemon start; rm /run/trace.daemon")
	h.killDaemon()
	h.sh("echo rc_crashed_start=NO >>/etc/rc.conf; openrc default")
	h.noDaemon()
	h.sh("echo rc_crashed_start=YES >>/etc/rc.conf; openrc default")
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	ran(h, "daemon", h.inside(), "start_pre", "start_post")
	h.sh("rc-service daemon stop")
	h.noDaemon()
}

// A device manager starts services with IN_HOTPLUG.
func hotplug(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	contains(t, h.fails("IN_HOTPLUG=1 /etc/init.d/daemon start"), "not allowed to be hotplugged")
	h.sh("echo 'rc_hotplug=daemon' >>/etc/rc.conf; IN_HOTPLUG=1 /etc/init.d/daemon start")
	equal(t, "hotplugged", h.sh("ls /run/openrc/hotplugged"), "daemon")
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	ran(h, "daemon", h.inside(), "start_pre", "start_post")
	h.sh("rc-service daemon stop")
	ran(h, "daemon", h.inside(), "stop_pre", "stop_post")
	h.noDaemon()
}

// A tunnel is inactive until it is up, when a command of its own, inside, says
// so to OpenRC, and what needs the tunnel is started.
func background(t *testing.T, h *host) {
	h.initScript("tunnel", `#!/sbin/openrc-run
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
	h.sh("cp $(command -v dash) /usr/local/bin/tunnel; mkfifo /run/trace.fifo")
	h.write("/usr/local/bin/tunnel.sh", `while read -r action </run/trace.fifo; do
	IN_BACKGROUND=yes /etc/init.d/tunnel "$action" >/run/trace.hook 2>&1
	echo "$action $?" >>/run/trace.done
done
`)
	hook := func(action string) {
		t.Helper()
		h.sh("rm -f /run/trace.done; echo " + action + " >/run/trace.fifo; for i in $(seq 600); do [ ! -s /run/trace.done ] || exit 0; sleep 0.05; done; exit 1")
		equal(t, "the tunnel's "+action, h.sh("cat /run/trace.done")+h.Run("grep -i error /run/trace.hook").Stdout, action+" 0")
	}
	for _, service := range []string{"home", "guest"} {
		h.initScript(service, "#!/sbin/openrc-run\ndepend() { need tunnel; }\nstart() { echo \"start $(readlink /proc/self/ns/net)\" >>/run/trace."+service+"; }\n")
	}
	h.conf("tunnel", "netns=vpn")
	h.conf("guest", "netns=vpn")
	tunnel := func() string { return h.sh("cat /run/tunnel.pid") }
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
		equal(t, services+" "+when, strings.TrimSpace(out), want)
	}

	h.Run("rc-service home start; rc-service guest start")
	states("before it is up", "inactive stopped stopped")
	pid := tunnel()
	equal(t, "tunnel", h.where(pid), h.inside())

	hook("start")
	states("when it is up", "started started started")
	equal(t, "home", h.sh("cat /run/trace.home"), "start "+h.outside())
	equal(t, "guest", h.sh("cat /run/trace.guest"), "start "+h.inside())
	equal(t, "tunnel", tunnel()+" "+h.where(tunnel()), pid+" "+h.inside())

	hook("stop")
	states("when it is down", "inactive stopped stopped")
	equal(t, "tunnel", tunnel()+" "+h.where(tunnel()), pid+" "+h.inside())

	h.sh("rm /run/trace.home /run/trace.guest")
	hook("start")
	states("when it is up again", "started started started")
	equal(t, "home", h.sh("cat /run/trace.home"), "start "+h.outside())
	equal(t, "guest", h.sh("cat /run/trace.guest"), "start "+h.inside())

	h.sh("rm /etc/conf.d/tunnel; rc-service tunnel stop")
	states("when it is stopped", "stopped stopped stopped")
	equal(t, "functions", h.sh("xargs </run/trace.tunnel"), "start_pre "+h.inside()+" stop_pre "+h.inside())

	// The rest of a start acts where its beginning did: in the daemon's own
	// namespace, whatever the name leads to now; and a lock is no obstacle.
	for _, lock := range []string{"no", "yes"} {
		h.conf("tunnel", "netns=vpn", "netns_lock="+lock)
		h.sh("rm -f /run/trace.tunnel; rc-service tunnel start || [ -e /run/openrc/inactive/tunnel ]")
		began := h.inside()
		h.sh("ip netns delete vpn; ip netns add other" + lock + "; ip netns add vpn")
		hook("start")
		states("when it is up, netns_lock="+lock, "started stopped stopped")
		h.sh("rc-service tunnel stop")
		equal(t, "functions, netns_lock="+lock, h.sh("xargs </run/trace.tunnel"), "start_pre "+began+" stop_pre "+began)
	}
	// Without the setting as well, and from outside.
	h.sh("rm /run/trace.tunnel; rc-service tunnel start || [ -e /run/openrc/inactive/tunnel ]; rm /etc/conf.d/tunnel; IN_BACKGROUND=yes rc-service tunnel start")
	states("when it is up, without a setting", "started stopped stopped")
	h.sh("rc-service tunnel stop")
	equal(t, "functions, without a setting", h.sh("xargs </run/trace.tunnel"), "start_pre "+h.inside()+" stop_pre "+h.inside())
}

// What conf.d says about dependencies counts as before.
func dependencies(t *testing.T, h *host) {
	depends := func(how string) string {
		return h.sh(`rm -f /run/openrc/deptree; rc-update -u >/dev/null
			n=$(sed -n "s/^depinfo_\([0-9]*\)_service='daemon'$/\1/p" /run/openrc/deptree)
			[ "$n" ] && sed -n "s/^depinfo_${n}_` + how + `_[0-9]*='\(.*\)'$/\1/p" /run/openrc/deptree | sort | xargs`)
	}
	h.initScript("netns.vpn", "#!/sbin/openrc-run\nstart() { :; }\n")
	h.conf("daemon", "netns=vpn", "rc_need=plain", "rc_after=firewall")
	equal(t, "need", depends("ineed"), "netns.vpn plain")
	equal(t, "after", depends("iafter"), "firewall")
	h.sh("rc-service daemon start")
	equal(t, "states", h.state("plain")+" "+h.state("netns.vpn")+" "+h.state("firewall"), "started started stopped")
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.sh("rc-service plain stop; rc-service netns.vpn stop")
	equal(t, "state", h.state("daemon"), "stopped")
	h.noDaemon()
	// Without the service of the namespace, it comes after what may make it.
	h.sh("rm /etc/init.d/netns.vpn")
	h.conf("daemon", "netns=vpn", "rc_after=firewall")
	equal(t, "after", depends("iafter"), "firewall ifstate networking")
	equal(t, "need", depends("ineed"), "")
}

// The shell's own trace, of all that is done.
func debug(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn", "rc_verbose=yes")
	for _, command := range []string{"rc-service -d daemon start", "RC_DEBUG=yes rc-service daemon restart", "/etc/init.d/daemon --debug --verbose reload"} {
		out := h.sh("rm -f /run/trace.daemon; exec 2>&1; " + command)
		contains(t, out, "\n+ ")
		contains(t, out, "+ trace ")
		equal(t, "daemon", h.where(h.daemon()), h.inside())
		for function, where := range trace(h, "daemon") {
			equal(t, function, where, h.inside())
		}
	}
	h.sh("rc-service --verbose daemon stop")
	h.noDaemon()
}

func oddName(t *testing.T, h *host) {
	for _, name := range []string{"a-b_c+d.e", "4[x]*?"} {
		h.sh("ln -s daemon '/etc/init.d/" + name + "'")
		h.conf(name, "netns=vpn", "netns_lock=yes")
		h.sh("rc-service '" + name + "' start")
		equal(t, name, h.where(h.daemon()), h.inside())
		cgroup, _ := h.cgroupOf(name)
		equal(t, name+"'s cgroup", h.sh("sed -n s/^0:://p /proc/"+h.daemon()+"/cgroup"), cgroup)
		contains(t, h.sh("rc-service '"+name+"' status"), "started")
		h.sh("rc-service '" + name + "' restart")
		equal(t, name, h.where(h.daemon()), h.inside())
		h.sh("rc-service '" + name + "' stop; rm '/run/trace." + name + "'")
		h.noDaemon()
	}
}

// OpenRC 0.45 and 0.56 know of /usr/local/etc, later ones have RC_PATH.
func scriptOutsideOfEtc(t *testing.T, h *host) {
	dir := "/usr/local/etc"
	if h.pathed() {
		dir = "/etc/rc"
	}
	h.sh("mkdir -p " + dir + "/init.d " + dir + "/conf.d; cp /etc/init.d/daemon " + dir + "/init.d/local; echo netns=vpn >" + dir + "/conf.d/local")
	h.sh("rc-service local start")
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	ran(h, "local", h.inside(), "start_pre", "start_post")
	h.sh("rm " + dir + "/conf.d/local; rc-service local stop")
	ran(h, "local", h.inside(), "stop_pre", "stop_post")
	h.noDaemon()

	// It needs the service of its namespace, which is in /etc.
	if !h.pathed() {
		h.sh("ip netns delete vpn; ln -s netns /etc/init.d/netns.vpn; echo netns=vpn >" + dir + "/conf.d/local; rc-update -u; rc-service local start")
		equal(t, "netns.vpn", h.state("netns.vpn"), "started")
		equal(t, "daemon", h.where(h.daemon()), h.inside())
		h.sh("rc-service netns.vpn stop")
		h.noDaemon()
	}
	h.sh("rm -r " + dir)
}

// pathed reports whether this OpenRC has RC_PATH.
func (h *host) pathed() bool {
	h.t.Helper()
	return h.Run("grep -q RC_PATH /usr/lib/rc/sh/openrc-run.sh").Code == 0
}

// A file of a folder that comes first in RC_PATH has the last word.
func confInPath(t *testing.T, h *host) {
	if !h.pathed() {
		t.Fatal("this OpenRC has no RC_PATH")
	}
	h.sh("mkdir -p /etc/rc/conf.d /run/openrc/conf.d; ip netns add mgmt; echo netns=vpn >/etc/rc/conf.d/daemon")
	mgmt := "net:[" + h.sh("stat -L -c %i /run/netns/mgmt") + "]"
	h.sh("rc-service daemon start")
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.conf("daemon", "netns=mgmt")
	h.sh("rc-service daemon restart")
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.sh("mv /etc/rc/conf.d/daemon /run/openrc/conf.d; rc-service daemon restart")
	equal(t, "daemon", h.where(h.daemon()), mgmt)
	h.sh("rm -r /etc/rc /run/openrc/conf.d; rc-service daemon stop")
	h.noDaemon()
}
