package openrc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// respawned kills the daemon that runs, and returns the one that its supervisor
// starts in its place.
func (h *host) respawned() string {
	h.T.Helper()
	h.killDaemon()
	return h.daemon()
}

func TestS6(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.scripts("six")
		h.Sh("ip netns add other; mkdir -p /srv")
		more := []string{"command_user=daemon", "directory=/srv", "umask=027"}
		h.Conf("six", more...)
		h.starts("six", "host")
		outside := h.likeness()

		// It runs, and is to move inside. All else is as it was.
		h.Conf("six", append(more, "netns=vpn")...)
		h.Sh("rc-service six restart; rc-service six stop")
		first := h.starts("six", "vpn")
		if diff := cmp.Diff(outside, h.likeness()); diff != "" {
			t.Errorf("the daemon differs (-without +with netns):\n%s", diff)
		}
		kit.Equal(t, "state", h.state("six"), "started")
		kit.Contains(t, h.Sh("rc-service six status"), "up (pid "+first)

		h.Sh("rc-service six restart")
		if h.daemon() == first {
			t.Error("the restart left the old daemon")
		}
		kit.Equal(t, "daemon after restart", h.where(h.daemon()), h.inside())
		kit.Equal(t, "daemon after kill -9", h.where(h.respawned()), h.inside())
		first = h.daemon()
		h.Sh("rc-service six reload; while [ -e /proc/" + first + " ]; do sleep 0.1; done") // a sleep dies of SIGHUP
		kit.Equal(t, "daemon after reload", h.where(h.daemon()), h.inside())

		// What s6.sh keeps of a start is not used with other settings.
		h.Conf("six", append(more, "netns=other")...)
		h.Sh("rc-service six restart")
		kit.Equal(t, "daemon with other settings", h.where(h.daemon()), h.namespace("other"))
		h.Conf("six", more...)
		h.Sh("rc-service six restart")
		kit.Equal(t, "daemon with settings removed", h.where(h.daemon()), h.outside())
		kit.Contains(t, h.Sh("rc-service six restart"), "using cached service directory")
		h.stops("six")

		// Without what the drop-in knows of s6, the start fails with settings,
		// and is as it was without.
		h.Sh("mv /usr/share/openrc-netns/supervisors.sh /root")
		h.Conf("six", append(more, "netns=vpn")...)
		h.refuses("six", "six: /usr/share/openrc-netns/supervisors.sh is missing or of another version than the drop-in, install openrc-netns again")
		h.Conf("six", more...)
		h.starts("six", "host")
		h.Sh("rc-service six stop")
	})
}

// s6 starts the daemon again, and it must not come up outside.
func TestS6NamespaceGone(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.scripts("six")
	h.Conf("six", "netns=vpn")
	h.starts("six", "vpn")
	h.Sh("ip netns delete vpn")
	h.refusesRestart("six", "not stopped, because the start would fail")
	h.killDaemon()
	h.Sh("until grep 'netns-exec: network namespace \"vpn\" does not exist' /run/s6.log; do sleep 0.1; done")
	h.noDaemon()
	h.Sh("until rc-service six status | grep 'want up'; do sleep 0.1; done") // not while it tries

	// It goes on trying.
	h.Sh("ip netns add vpn")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())

	h.Sh("ip netns delete vpn; kill -9 " + h.daemon())
	h.stops("six")
	h.refuses("six", `six: network namespace "vpn" does not exist`)
}

// The daemon of s6 has a private view of its own, so what the start has mounted
// is seen neither by it nor by the actions after the start; and these are never
// in the daemon's.
func TestS6View(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.scripts("six")
	h.Sh("mkdir -p /srv /etc/netns/vpn; echo first >/etc/netns/vpn/motd; touch /etc/motd")
	h.Conf("six", "netns=vpn", "before='mount -t tmpfs jail /srv && touch /srv/mounted && seen start'",
		`seen() { echo "$1 $(cat /etc/motd) $(ls /srv) $(readlink /proc/self/ns/mnt)" >>/run/seen; }`,
		"reload_pre() { seen reload; }", "stop_pre() { seen stop; }")
	h.Sh("rc-service six start")
	kit.Contains(t, h.Sh("cat /run/seen; rm /run/seen"), "start first mounted mnt:")
	daemon := "/proc/" + h.daemon()
	own := h.Sh("[ ! -e " + daemon + "/root/srv/mounted ] && cat " + daemon + "/root/etc/motd && readlink " + daemon + "/ns/mnt")
	kit.Contains(t, own, "first\nmnt:")
	// A file that is replaced is seen by those that make a view from then on.
	h.Sh("echo second >/run/motd; mv /run/motd /etc/netns/vpn/motd")
	h.Sh("kill -STOP " + strings.TrimPrefix(daemon, "/proc/") + "; rc-service six reload")
	h.Sh("exec 2>&1; kill -CONT " + strings.TrimPrefix(daemon, "/proc/") + "; rc-service six stop")
	seen := h.Sh("cat /run/seen")
	kit.Contains(t, seen, "reload second  mnt:")
	kit.Contains(t, seen, "stop second  mnt:")
	if _, link, _ := strings.Cut(own, "\n"); strings.Contains(seen, "reload second  "+link) {
		t.Errorf("reload ran in the daemon's mount namespace:\n%s", seen)
	}
	h.noDaemon()
}

// Whatever s6.sh is told of, it is done inside.
func TestS6Settings(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.scripts("six")
		h.Write("/usr/local/bin/serve", `#!/bin/sh
for argument; do echo "<$argument>"; done >/run/arguments
exec sleeper 3600
`)
		h.notifiers()
		h.Write("/usr/local/bin/log", "#!/bin/sh\nreadlink /proc/self/ns/net >/run/logger\nexec cat\n")
		h.Sh("mkdir -p /etc/netns/vpn /run/secret /run/more; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf; echo nameserver 192.0.2.1 >/etc/resolv.conf; touch /run/secret/socket /run/more/socket")
		const resolver, logger = "cat /proc/$pid/root/etc/resolv.conf", "until [ -s /run/logger ]; do sleep 0.1; done; cat /run/logger; rm /run/logger"
		for _, test := range []struct {
			name  string
			lines []string
			look  string // a script, which has the daemon's ID in pid
			want  string // of it
		}{
			{"arguments", []string{"program=/usr/local/bin/serve", `arguments="-x 'a b' \"c d\" -- '' \\\$HOME"`},
				"cat /run/arguments; " + resolver, "<-x>\n<a b>\n<c d>\n<-->\n<>\n<$HOME>\nnameserver 192.0.2.53"},
			{"notify=fd", []string{"program=/usr/local/bin/by-fd", "notify=fd:5", "timeout_ready=5000", "command_user=daemon"},
				"rc-service six status | grep -o ready", "ready"},
			{"notify=socket:ready", []string{"program=/usr/local/bin/by-socket", "notify=socket:ready", "timeout_ready=5000", "command_user=daemon"},
				"rc-service six status | grep -o ready; ps -o user= -p $pid", "ready\ndaemon"},
			{"netns_etc", []string{"netns_etc=no"}, resolver, "nameserver 192.0.2.1"},
			{"netns_hide", []string{`netns_hide="/run/secret /run/more"`}, "cd /proc/$pid/root/run; ls -A secret more", "more:\n\nsecret:"},
			{"output_logger", []string{`output_logger="/usr/local/bin/log here"`}, logger, h.inside()},
			{"error_logger", []string{"error_logger=/usr/local/bin/log"}, logger, h.inside()},
			{"output_logger=auto", []string{"output_logger=auto"}, "[ -d /var/log/six ]", ""},
			{"command set late", []string{"program=", "before='command=/usr/local/bin/serve command_args=late'"}, "cat /run/arguments", "<late>"},
			{"supervisor set late", []string{"supervisor=", "before='supervisor=s6'"}, ":", ""},
		} {
			t.Run(test.name, func(t *testing.T) {
				h := h.with(t)
				h.Conf("six", append(test.lines, "netns=vpn")...)
				pid := h.starts("six", "vpn")
				kit.Equal(t, test.look, h.Sh("pid="+pid+"; "+test.look), test.want)
				h.Sh("rc-service six stop; while pgrep -x sleeper; do sleep 0.1; done >/dev/null")
			})
		}
	})
}

// The daemon is in the service's own cgroup, as that of any other supervisor.
func TestS6Locked(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.scripts("six")
	h.startWith("six", "netns=vpn", "netns_lock=yes")
	pid := h.daemon()
	kit.Equal(t, "CAP_SYS_ADMIN", h.Sh("echo $((0x$(sed -n 's/^CapBnd:.//p' /proc/"+pid+"/status) >> 21 & 1))"), "0")
	const cgroup = "/openrc.six"
	kit.Equal(t, "cgroup", h.cgroup(), cgroup)
	kit.Equal(t, "programs", h.Sh("probe programs /sys/fs/cgroup"+cgroup), "openrc_netns CGroupSock, 16 instructions")
	kit.Equal(t, "respawned daemon", h.where(h.respawned()), h.inside())
	kit.Equal(t, "its cgroup", h.cgroup(), cgroup)
	h.Sh("rc-service six restart")
	kit.Equal(t, "cgroup after restart", h.cgroup(), cgroup)
	h.Sh("rc-service six stop")
	kit.Equal(t, "cgroups", h.Sh("find /sys/fs/cgroup -name '*six' -o -name 'netns-exec.*'"), "")

	// Without OpenRC's cgroups it has one of ours.
	h.Sh("echo rc_cgroup_mode=legacy >>/etc/rc.conf; rc-service six start")
	kit.Contains(t, h.cgroup(), "/openrc-netns.six")
	h.respawned()
	kit.Contains(t, h.cgroup(), "/openrc-netns.six")
	h.Sh("rc-service six stop; sed -i /rc_cgroup_mode=legacy/d /etc/rc.conf")
	kit.Equal(t, "cgroups", h.Sh("find /sys/fs/cgroup -name '*six' -o -name 'netns-exec.*'"), "")

	// The lock alone is one to the host's network, wherever s6 is.
	h.Conf("six", "netns_lock=yes")
	h.Conf("s6-svscan", "netns=vpn")
	h.Sh("rc-service s6-svscan restart")
	kit.Equal(t, "s6-svscan", h.where(h.Sh("pgrep s6-svscan")), h.inside())
	h.starts("six", "host")
}

// What cannot be done inside is not done, neither by a start nor by a restart.
func TestS6Refused(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.scripts("six")
		h.Sh("ip netns add 'two words'; ip netns add '$(reboot)'; mkdir -p /run/it\\'s")
		sleeper := h.Sh("unshare -n sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'")
		const restart = true
		const names = "six: s6 takes netns, vrf, netns_hide and command_user with letters, digits and _./:@%+,=- alone: use supervisor=supervise-daemon"
		for _, test := range []struct {
			lines   []string
			want    string
			restart bool // tried too; what a function of the script does is not known by then
		}{
			{[]string{"netns=vpn", "chroot=/srv"}, `six: s6 would look for netns-exec below chroot="/srv": use supervisor=supervise-daemon`, restart},
			{[]string{"netns=vpn", "before='chroot=/srv'"}, `six: s6 would look for netns-exec below chroot="/srv": use supervisor=supervise-daemon`, !restart},
			{[]string{"netns='two words'"}, names, restart},
			{[]string{"netns='$(reboot)'"}, names, !restart},
			{[]string{"netns=vpn", `netns_hide="/run/it's"`}, names, !restart},
			{[]string{"netns=vpn", `command_user='daemon; reboot'`}, names, !restart},
			{[]string{"netns=vpn", `before='command_user="daemon \"x\""'`}, names, !restart},
			{[]string{"netns=/proc/" + sleeper + "/ns/net"}, `six: netns="/proc/` + sleeper + `/ns/net" may be another process's when s6 starts the daemon again: give the namespace a name, with: ip netns attach NAME PID`, restart},
			{[]string{"netns=vpn", "output_logger='cat | cat'"}, "six: s6 would start part of its logger outside: give output_logger or error_logger one command", restart},
			{[]string{"netns=vpn", "error_logger='cat $(true)'"}, "six: s6 would start part of its logger outside: give output_logger or error_logger one command", !restart},
			{[]string{"netns=vpn", "program="}, "six: s6 would start the daemon outside: remove the settings from conf.d, and start it in /var/svc.d/six/run with: exec netns-exec vpn -- COMMAND", !restart},
			{[]string{"netns=vpn", "before='netns='"}, "six: a function of the init script sets netns, vrf or a netns_ variable, which is too late: set it in /etc/conf.d/six", !restart},
			{[]string{"netns=vpn", "before='supervisor=runit'"}, "six: runit would start the daemon outside: remove the settings from conf.d, and start it in the run script with: exec netns-exec vpn -- COMMAND", !restart},
		} {
			h.Conf("six", test.lines...)
			h.refuses("six", " * "+test.want+"\n * ERROR: six failed to start\n")
			if !test.restart {
				continue
			}
			h.startWith("six", "netns=vpn")
			h.Conf("six", test.lines...)
			h.refusesRestart("six", " * "+test.want+"\n * ERROR: six failed to stop\n")
			h.Sh("rc-service six stop")
		}

		// Where s6.sh writes something else than expected, it is not used.
		h.Sh(`sed -i 's/printf .* \$1 ; shift/shift $(($# - 2))/' /usr/lib/rc/sh/s6.sh`)
		h.Conf("six", "netns=vpn")
		h.refuses("six", "six: this OpenRC uses s6 in a way that openrc-netns does not know: use supervisor=supervise-daemon")
		h.Sh("rm /etc/conf.d/six")
		h.starts("six", "host")
	})
}

// A run script that is the user's own has to enter by itself. The start says
// with which line, and that line works as it stands.
func TestOwnRunScript(t *testing.T) {
	t.Parallel()
	runit := []string{"supervisor=runit", "rc_need=runsvdir"}
	s6 := []string{"supervisor=s6", "rc_need=s6-svscan"}
	for name, test := range map[string]struct {
		release    string
		supervisor []string
		run        string // the run script
		netns      string // where the daemon is then
		settings   []string
		line       string
	}{
		"runit, 0.64":             {"sid", runit, "/etc/sv/own-run/run", "vpn", []string{"netns=vpn"}, "exec netns-exec vpn -- COMMAND"},
		"runit, 0.56":             {"trixie", runit, "/etc/sv/own-run/run", "vpn", []string{"netns=vpn", "netns_etc=no", "netns_lock=yes", `netns_hide="/run/secret /run/it's"`}, `exec netns-exec --lock --no-etc --hide /run/secret --hide '/run/it'\''s' vpn -- COMMAND`},
		"runit, 0.45":             {"bookworm", runit, "/etc/sv/own-run/run", "two words", []string{"netns='two words'"}, "exec netns-exec 'two words' -- COMMAND"},
		"s6, 0.64":                {"sid", s6, "/var/svc.d/own-run/run", "-vpn", []string{"netns=-vpn"}, "exec netns-exec /run/netns/-vpn -- COMMAND"},
		"s6, 0.64, without netns": {"sid", s6, "/var/svc.d/own-run/run", "host", []string{"netns_lock=yes", "netns_keep_caps='net_admin mknod'"}, "exec netns-exec --lock --keep-cap net_admin --keep-cap mknod -- COMMAND"},
		"s6, 0.56":                {"trixie", s6, "/var/svc.d/own-run/run", "vpn", []string{"netns=vpn", "netns_lock=yes"}, "exec netns-exec --lock vpn -- COMMAND"},
		"s6, 0.45":                {"bookworm", append(s6, "s6_service_path=/srv/run-of-six"), "/srv/run-of-six/run", "vpn", []string{"netns=vpn"}, "exec netns-exec vpn -- COMMAND"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := bootRelease(t, machine.Options{Release: test.release}, true)
			h.scripts("own-run", "runsvdir", "s6-svscan")
			h.Sh(`cd /run/netns; ip netns add 'two words'; ip netns add x; touch ./-vpn; mount --bind x ./-vpn; mkdir /run/secret "/run/it's"; touch /run/secret/socket "/run/it's/socket"`)
			h.Write(test.run, "#!/bin/sh\nexec sleeper 3600\n")

			h.Conf("own-run", append(test.supervisor, test.settings...)...)
			where := "the run script"
			if test.supervisor[0] == "supervisor=s6" {
				where = test.run
			}
			h.refuses("own-run", " * own-run: "+strings.TrimPrefix(test.supervisor[0], "supervisor=")+
				" would start the daemon outside: remove the settings from conf.d, and start it in "+where+" with: "+test.line+"\n * ERROR: own-run failed to start\n")

			h.Write(test.run, "#!/bin/sh\n"+strings.Replace(test.line, "COMMAND", "sleeper 3600", 1)+"\n")
			h.Conf("own-run", test.supervisor...)
			pid := h.starts("own-run", test.netns)
			locked := strings.Contains(test.line, "--lock")
			if cgroup := h.cgroup(); strings.Contains(cgroup, ".lock") != locked {
				t.Errorf("locked: %t, in %s", locked, cgroup)
			}
			if strings.Contains(test.line, "--hide") {
				kit.Equal(t, "hidden", h.Sh("find /proc/"+pid+"/root/run/secret /proc/"+pid+"/root/run/it*s -name socket"), "")
			}
			before := h.where(pid)
			kit.Equal(t, "daemon after kill -9", h.where(h.respawned()), before)
			h.stops("own-run")
		})
	}
}

// What supervise-daemon starts again stays in the namespace of the start, with
// the name gone too, and gets its signals there.
func TestSuperviseDaemon(t *testing.T) {
	eachOf(t, releases, func(t *testing.T, release string) {
		h := bootRelease(t, machine.Options{Release: release}, true)
		h.scripts("watched")
		h.Write("/usr/local/bin/serve", `#!/usr/bin/perl
$SIG{HUP} = sub { open(F, ">>/run/hup") and print F readlink("/proc/self/ns/net"), "\n" and close F };
$0 = "sleeper";
open(F, ">/run/pid") and print F "$$\n" and close F;
sleep 1 while 1;
`)
		started := func() string { return h.Sh("until [ -s /run/pid ]; do sleep 0.1; done; cat /run/pid; rm /run/pid") }
		reload := func() string {
			h.Sh("rc-service watched reload")
			return h.Sh("until [ -s /run/hup ]; do sleep 0.1; done; cat /run/hup; rm /run/hup")
		}
		h.Conf("watched", "netns=vpn", "supervisor=supervise-daemon", "program=/usr/local/bin/serve")
		inside := h.inside()
		h.Sh("rc-service watched start")
		pid := started()
		kit.Equal(t, "daemon", h.where(pid), inside)
		kit.Equal(t, "reload", reload(), inside)

		h.Sh("ip netns delete vpn")
		h.refusesRestart("watched", "not stopped, because the start would fail")
		h.Sh("kill -9 " + pid)
		again := started()
		if again == pid {
			t.Error("not respawned")
		}
		kit.Equal(t, "respawned daemon", h.where(again), inside)
		kit.Equal(t, "reload", reload(), inside)
		h.Sh("rc-service watched stop; [ ! -e /proc/" + again + " ]")

		// It gives up, and nothing is left.
		h.Sh("ip netns add vpn")
		h.Write("/usr/local/bin/fail", "#!/bin/sh\nreadlink /proc/self/ns/net >>/run/failures\nsleep 0.5\n") // a child that dies at once is overlooked
		h.Conf("watched", "netns=vpn", "supervisor=supervise-daemon", "program=/usr/local/bin/fail", "respawn_max=1", "respawn_delay=1", "respawn_period=60")
		h.Sh("rc-service watched start; until [ -e /run/openrc/failed/watched ] || ! pgrep supervise-daem >/dev/null; do sleep 0.1; done")
		kit.Equal(t, "failures", h.Sh("cat /run/failures"), h.inside()+"\n"+h.inside())
		h.Sh("while pgrep supervise-daem; do sleep 0.1; done >/dev/null")
		kit.Equal(t, "record", h.Sh("find /run/openrc/options -path '*watched*'"), "")
	})
}

// notifiers brings daemons that say when they are ready, after they have left a
// note of it.
func (h *host) notifiers() {
	h.T.Helper()
	h.Write("/usr/local/bin/by-fd", `#!/usr/bin/perl
select(undef, undef, undef, 0.3);
open(F, ">/run/ready") and close F;
open(F, ">&=", 5) and print F "\n" or die;
close F;
exec qw(sleeper 3600);
`)
	h.Write("/usr/local/bin/by-socket", `#!/usr/bin/perl
use Socket;
select(undef, undef, undef, 0.3);
open(F, ">/run/ready") and close F;
($name = $ENV{NOTIFY_SOCKET}) =~ s/^@/\0/;
socket(S, AF_UNIX, SOCK_DGRAM, 0) or die;
send(S, "READY=1\n", 0, sockaddr_un($name)) or die "$ENV{NOTIFY_SOCKET}: $!";
exec qw(sleeper 3600);
`)
}

// A daemon says when it is ready, and the start waits for that.
func TestNotify(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.scripts("watched")
	h.notifiers()
	for _, supervisor := range []string{"supervisor=supervise-daemon", "command_background=yes"} {
		for program, notify := range map[string]string{"by-fd": "fd:5", "by-socket": "socket:ready"} {
			h.Conf("watched", "netns=vpn", "program=/usr/local/bin/"+program, "notify="+notify, supervisor)
			// OpenRC 0.64 leaves the socket behind, and then cannot make it.
			h.Sh("rm -f /run/ready /run/openrc/supervise-watched.sock; rc-service watched start; [ -e /run/ready ]")
			kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
			h.stops("watched")
		}
	}
}

// A service of s6 without settings pays no fork for them.
func TestS6NoTax(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.scripts("six")
	h.Sh("rc-service s6-svscan start")
	h.untaxed("six")
}
