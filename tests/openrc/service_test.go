package openrc

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/tests/kit"
)

// trace is what the functions of a script wrote down: where each of them ran.
func trace(h *host, service string) map[string]string {
	h.T.Helper()
	seen := map[string]string{}
	file := h.path("/run/trace." + service)
	text := kit.Read(h.T, file)
	if err := os.Remove(file); err != nil {
		h.T.Fatal(err)
	}
	for line := range strings.Lines(text) {
		function, namespace, _ := strings.Cut(strings.TrimSpace(line), " ")
		if before, again := seen[function]; again && before != namespace && function != "script" {
			h.T.Errorf("%s ran in %s and in %s", function, before, namespace)
		}
		seen[function] = namespace
	}
	return seen
}

func ran(h *host, service, namespace string, functions ...string) {
	h.T.Helper()
	seen := trace(h, service)
	for _, function := range append(functions, "script") {
		if seen[function] != namespace {
			h.T.Errorf("%s ran in %q, want %s", function, seen[function], namespace)
		}
		delete(seen, function)
	}
	if len(seen) > 0 {
		h.T.Errorf("these ran too: %v", seen)
	}
}

// A record that cannot be read is no licence to act on the host's network.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	for _, damage := range []string{": >", "rm $record; mkdir "} {
		start := func(service string) {
			t.Helper()
			h.startWith(service, "netns=vpn")
			h.Sh("rm -f /run/trace." + service + "; record=/run/openrc/options/" + service + "/netns; " + damage + "$record")
		}
		start("daemon")

		// The setting says where.
		out := h.Sh("exec 2>&1; rc-service daemon status")
		kit.Contains(t, out, "daemon: cannot tell where the service was started: ")
		ran(h, "daemon", h.inside(), "status")

		// Without it nobody knows.
		h.Sh("rm /etc/conf.d/daemon")
		kit.Contains(t, h.Fails("rc-service daemon reload"), "daemon: cannot tell where the service was started: ")
		out = h.Sh("exec 2>&1; rc-service daemon stop")
		kit.Contains(t, out, "daemon: cannot tell where the service was started: ")
		kit.Contains(t, out, ": acting in a new, empty one")
		if where := trace(h, "daemon")["stop_pre"]; where == h.outside() || where == "" {
			t.Errorf("stop_pre ran in %q", where)
		}
		h.noDaemon()
		kit.Equal(t, "state", h.state("daemon"), "stopped")

		// It sees no devices of the host there.
		h.Write("/etc/init.d/wall", "#!/sbin/openrc-run\nstart() { :; }\nstop() { ls /sys/class/net >/run/trace.wall; }\n")
		start("wall")
		h.Sh("rm /etc/conf.d/wall; ip link add eth9 type veth peer name eth8; rc-service wall stop")
		kit.Equal(t, "devices", h.Sh("cat /run/trace.wall; ip link delete eth9"), "lo")

		// A stop does not claim what nobody knows.
		start("daemon")
		out = h.Sh("exec 2>&1; rc-service daemon stop")
		lacks(t, out, "it was not started in a network namespace")
		ran(h, "daemon", h.inside(), "stop_pre", "stop_post")
	}
}

// A setting that leads to the host's own namespace is no licence to start
// there: by a name that was given to it, or by a process that was another one
// once.
func TestNamespaceIsTheHosts(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("touch /run/netns/own; mount --bind /proc/1/ns/net /run/netns/own")
	sleeper := h.Sh("sleep 1000 >/dev/null 2>&1 & echo $!")
	for netns, why := range map[string]string{
		"own":                          `network namespace "own" is the host's own; delete the name with: ip netns delete own; or write /proc/1/ns/net, if that is meant`,
		"/run/netns/own":               `network namespace "/run/netns/own" is the host's own; delete the name with: ip netns delete own; or write /proc/1/ns/net, if that is meant`,
		"/proc/" + sleeper + "/ns/net": `network namespace "/proc/` + sleeper + `/ns/net" is the host's own; name another one, or write /proc/1/ns/net, if that is meant`,
	} {
		h.Conf("daemon", "netns=vpn")
		h.Sh("rc-service daemon start; rm /run/trace.daemon")
		h.Conf("daemon", "netns="+netns)
		h.refusesRestart("daemon", "daemon: not stopped, because the start would fail: "+why)
		h.Sh("rc-service daemon stop; rm /run/trace.daemon")
		kit.Equal(t, "start", h.Fails("rc-service daemon start"), " * daemon: "+why+"\n * ERROR: daemon failed to start\n")
		h.noDaemon()
		h.Sh("[ ! -e /run/trace.daemon ]") // the script has not run
		kit.Equal(t, "by hand, with the settings", h.Fails("netns-exec --service daemon true"), "netns-exec: "+why+"\n")
		// A stop works, and what is said outright is done: in OpenRC, and by
		// hand.
		h.Sh("rc-service daemon stop")
		kit.Equal(t, "by hand", h.Sh("netns-exec vpn netns-exec "+netns+" readlink /proc/self/ns/net"), h.outside())
	}
	h.startWith("daemon", "netns=/proc/1/ns/net")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.outside())
	h.Sh("rc-service daemon stop; kill " + sleeper)
}

// All that OpenRC's start-stop-daemon or dpkg's is told to take care of is as it
// is without us, but for the namespace.
func TestStartStopDaemons(t *testing.T) {
	eachOf(t, slices.Sorted(maps.Keys(openRCs)), func(t *testing.T, name string) {
		h := bootRelease(t, openRCs[name], true)
		h.scripts("watched")
		h.Sh("echo 'rc_env_allow=\"ODD GODEBUG GOMEMLIMIT GOTRACEBACK\"' >>/etc/rc.conf")
		settings := []string{"command_background=yes", "command_user=daemon:daemon", "directory=/usr", "umask=027", "required_files=/etc/watched.conf",
			"required_dirs=/usr", "start_stop_daemon_args='--nicelevel 5'", "retry=TERM/5/KILL/5"}
		if name != "bookworm" { // whose dpkg cannot
			settings = append(settings, "output_log=/tmp/watched.log")
		}
		h.Conf("watched", append(settings, "netns=vpn")...)
		if openRCs[name].Release == "" { // older ones do not look
			h.refuses("watched", "watched.conf' is not readable")
		}
		h.Write("/etc/watched.conf", "")
		look := func(netns string) string {
			h.Sh("ODD=\"$(printf 'a\\001b\\nc')\" GODEBUG=inittrace=1 GOMEMLIMIT=nonsense GOTRACEBACK=crash rc-service watched start")
			kit.Equal(t, "pidfile", h.Sh("cat /run/watched.pid"), h.daemon())
			kit.Equal(t, "daemon", h.where(h.daemon()), netns)
			defer h.stops("watched")
			return h.likeness()
		}
		inside := look(h.inside())
		kit.Contains(t, inside, "ODD=a\x01b\n")
		kit.Contains(t, inside, "GODEBUG=inittrace=1\nGOMEMLIMIT=nonsense\nGOTRACEBACK=crash\n")
		h.Conf("watched", settings...)
		if diff := cmp.Diff(look(h.outside()), inside); diff != "" {
			t.Errorf("the daemon differs (-without +with netns):\n%s", diff)
		}
	})
}

// What is between rc-service and the script must not depend on what an action
// is called.
func TestOddActions(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Conf("daemon", "netns=vpn")
		for _, action := range []string{"'start '", "' start'", "''", "\"$(printf 'start\\nx')\"", "nosuch", "'*'", "/etc/init.d/daemonstart"} {
			out := h.Fails("/etc/init.d/daemon " + action)
			t.Logf("%s: %s", action, out)
			lacks(t, out, "openrc-netns-hook") // which is for the drop-in, not for an administrator
			h.noDaemon()
		}
		kit.Contains(t, h.Sh("rc-service daemon describe"), "A daemon that start-stop-daemon starts")
		kit.Equal(t, "what it needs", h.Sh("rc-update -u >/dev/null; rc-service daemon ineed | xargs"), "")
		kit.Contains(t, h.Sh("rc-update add daemon; rc-update -u; cat /run/openrc/deptree"), "_service='daemon'")
	})
}

// forks counts the forks and execs that a command takes. A fork that the end of
// another process interrupts (ERESTARTNOINTR) is made again, and counts once.
func (h *host) forks(command string) string {
	h.T.Helper()
	forks := h.Sh("strace -ff -o /run/trace.strace -e trace=clone,clone3,fork,vfork,execve " + command + ` || exit
		sed -n 's/^\([a-z0-9]*\)(.* = [0-9]*$/\1/p' /run/trace.strace.* | sort | uniq -c; rm /run/trace.strace.*`)
	kit.Contains(h.T, forks, " clone")
	kit.Contains(h.T, forks, " execve")
	return forks
}

// untaxed asserts that the start of a service without settings forks and execs
// exactly what it does without us.
func (h *host) untaxed(service string) {
	h.T.Helper()
	count := func() string {
		h.Sh("rc-update -u; rm -rf /run/openrc/s6-services/" + service) // an init script of ours is read for its dependencies, once
		forks := h.forks("rc-service " + service + " start")
		h.Sh("rc-service " + service + " stop")
		return forks
	}
	with := count()
	h.Sh("mv /etc/rc.conf.d/50-netns.conf /root")
	without := count()
	h.Sh("mv /root/50-netns.conf /etc/rc.conf.d")
	h.T.Logf("calls without the drop-in:\n%s", without)
	kit.Equal(h.T, "with the drop-in", with, without)
}

// A service without netns pays nothing for us, and runs where it would.
func noTax(t *testing.T, h *host) {
	h.untaxed("plain")
	pid := h.starts("daemon", "host")
	kit.Equal(t, "mounts", h.Sh("readlink /proc/"+pid+"/ns/mnt"), h.Sh("readlink /proc/1/ns/mnt"))
	h.Sh("rc-service daemon stop")
	ran(h, "daemon", h.outside(), "start_pre", "start_post", "stop_pre", "stop_post")
}

// Settings that a function of the script makes are too late to be followed, and
// not ignored either.
func TestLateSettings(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.scripts("watched")
		const refusal = "watched: a function of the init script sets netns, vrf or a netns_ variable, which is too late: set it in /etc/conf.d/watched"
		for _, test := range []struct{ conf, late string }{
			{"", "netns=vpn"},
			{"", "vrf=mgmt"},
			{"netns=vpn", "netns=other"},
			{"netns=vpn", "netns_lock=yes"},
			{"supervisor=supervise-daemon", "netns=vpn"},
		} {
			h.Conf("watched", "command_background=yes", test.conf, "before='"+test.late+"'")
			h.refuses("watched", refusal)
			// With colours there is other machinery around the messages.
			out := h.Run("script -qec 'TERM=xterm rc-service watched start' /dev/null")
			kit.Contains(t, out.Output, refusal)
			h.noDaemon()
		}

		// The remedy; and what says the same again does no harm.
		h.Conf("watched", "command_background=yes", "netns=vpn", "before='netns=vpn'")
		h.starts("watched", "vpn")
		h.Sh("rc-service watched stop")

		// Nor does a variable of that name in a script that starts nothing
		// itself.
		h.Write("/etc/init.d/maker", "#!/sbin/openrc-run\nstart() { for netns in a b; do ebegin \"Making $netns\"; ip netns add $netns; eend $?; done; }\n")
		h.Sh("rc-service maker start")

		// The messages are what they are without us.
		h.Conf("watched", "command_background=yes", "before=:")
		for _, command := range []string{
			"rc-service watched start; rc-service watched stop",
			"script -qec 'export TERM=xterm; rc-service watched start; rc-service watched stop' /dev/null",
			"script -qec 'export TERM=xterm; rc-service -C watched start; rc-service watched stop' /dev/null",
		} {
			// (Not at a time when OpenRC has to work out dependencies as well.)
			without := h.Run("mv /etc/rc.conf.d/50-netns.conf /run; rc-update -u >/dev/null; " + command).Output
			h.Sh("mv /run/50-netns.conf /etc/rc.conf.d; rc-update -u")
			kit.Equal(t, command, h.Run(command).Output, without)
		}
	})
}
