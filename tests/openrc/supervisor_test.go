package openrc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/tests/machine"
)

// respawned kills the daemon that runs, and returns the one that its supervisor
// starts in its place.
func (h *host) respawned() string {
	h.t.Helper()
	first := h.daemon()
	h.sh("kill -9 " + first + "; until [ ! -e /proc/" + first + " ] && pgrep -x sleeper >/dev/null; do sleep 0.1; done")
	return h.daemon()
}

// program writes an executable file.
func (h *host) program(name, text string) {
	h.t.Helper()
	h.write(name, text)
	h.sh("chmod 755 " + name)
}

func TestS6(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.sh("ip netns add other; mkdir -p /srv")
		look := func() string {
			h.sh("rc-service six start")
			return h.sh("cd /proc/" + h.daemon() + "; readlink cwd; cat limits oom_score_adj; tr '\\0' '\\n' <environ | sort; ls -l fd | cut -c60- | sed 's/:.*//'; " +
				"grep -E '^(Umask|Uid|Gid|Groups|Sig[BIC]|Cap|NoNew)' status; tr '\\0' ' ' <cmdline")
		}
		more := []string{"command_user=daemon", "directory=/srv", "umask=027"}
		h.conf("six", more...)
		outside := look()
		equal(t, "daemon without settings", h.where(h.daemon()), h.outside())

		// It runs, and is to move inside. All else is as it was.
		h.conf("six", append(more, "netns=vpn")...)
		h.sh("rc-service six restart; rc-service six stop")
		inside := look()
		equal(t, "daemon", h.where(h.daemon()), h.inside())
		if diff := cmp.Diff(outside, inside); diff != "" {
			t.Errorf("the daemon differs (-without +with netns):\n%s", diff)
		}
		equal(t, "state", h.state("six"), "started")
		contains(t, h.sh("rc-service six status"), "up (pid "+h.daemon())

		first := h.daemon()
		h.sh("rc-service six restart")
		if h.daemon() == first {
			t.Error("the restart left the old daemon")
		}
		equal(t, "daemon after restart", h.where(h.daemon()), h.inside())
		equal(t, "daemon after kill -9", h.where(h.respawned()), h.inside())
		first = h.daemon()
		h.sh("rc-service six reload; while [ -e /proc/" + first + " ]; do sleep 0.1; done") // a sleep dies of SIGHUP
		equal(t, "daemon after reload", h.where(h.daemon()), h.inside())

		// What s6.sh keeps of a start is not used with other settings.
		h.conf("six", append(more, "netns=other")...)
		h.sh("rc-service six restart")
		equal(t, "daemon with other settings", h.where(h.daemon()), "net:["+h.sh("stat -L -c %i /run/netns/other")+"]")
		h.conf("six", more...)
		h.sh("rc-service six restart")
		equal(t, "daemon with settings removed", h.where(h.daemon()), h.outside())
		contains(t, h.sh("rc-service six restart"), "using cached service directory")
		h.sh("rc-service six stop")
		h.noDaemon()
		equal(t, "state", h.state("six"), "stopped")

		// Without what the drop-in knows of s6, the start fails with settings, and
		// is as it was without.
		h.sh("mv /usr/share/openrc-netns/supervisors.sh /root")
		h.conf("six", append(more, "netns=vpn")...)
		contains(t, h.fails("rc-service six start"), "six: /usr/share/openrc-netns/supervisors.sh is missing or of another version than the drop-in, install openrc-netns again")
		h.noDaemon()
		h.conf("six", more...)
		h.sh("rc-service six start")
		equal(t, "daemon", h.where(h.daemon()), h.outside())
		h.sh("rc-service six stop")
	})
}

// s6 starts the daemon again, and it must not come up outside.
func TestS6NamespaceGone(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.conf("six", "netns=vpn")
	h.sh("rc-service six start")
	first := h.daemon()
	h.sh("ip netns delete vpn")
	contains(t, h.fails("rc-service six restart"), "not stopped, because the start would fail")
	equal(t, "daemon", h.daemon(), first)
	h.sh("kill -9 " + first)
	h.sh("until grep 'netns-exec: network namespace \"vpn\" does not exist' /run/s6.log; do sleep 0.1; done")
	h.noDaemon()
	h.sh("until rc-service six status | grep 'want up'; do sleep 0.1; done") // not while it tries

	// It goes on trying.
	h.sh("ip netns add vpn")
	equal(t, "daemon", h.where(h.daemon()), h.inside())

	h.sh("ip netns delete vpn; kill -9 " + h.daemon())
	h.sh("exec 2>&1; rc-service six stop")
	h.noDaemon()
	equal(t, "state", h.state("six"), "stopped")
	contains(t, h.fails("rc-service six start"), `six: network namespace "vpn" does not exist`)
	h.noDaemon()
}

// Whatever s6.sh is told of, it is done inside.
func TestS6Settings(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.program("/usr/local/bin/serve", `#!/bin/sh
for argument; do echo "<$argument>"; done >/run/arguments
exec sleeper 3600
`)
		h.program("/usr/local/bin/ready", "#!/bin/sh\necho >&4\nexec sleeper 3600\n")
		h.program("/usr/local/bin/sd-ready", `#!/usr/bin/perl
use Socket;
($name = $ENV{NOTIFY_SOCKET}) =~ s/^@/\0/;
socket(S, AF_UNIX, SOCK_DGRAM, 0) or die;
send(S, "READY=1\n", 0, sockaddr_un($name)) or die "$ENV{NOTIFY_SOCKET}: $!";
exec qw(sleeper 3600);
`)
		h.program("/usr/local/bin/log", "#!/bin/sh\nreadlink /proc/self/ns/net >/run/logger\nexec cat\n")
		h.sh("mkdir -p /etc/netns/vpn /run/secret /run/more; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf; echo nameserver 192.0.2.1 >/etc/resolv.conf; touch /run/secret/socket /run/more/socket")
		resolver := func(h *host) string { return h.sh("cat /proc/" + h.daemon() + "/root/etc/resolv.conf") }
		for _, test := range []struct {
			name  string
			lines []string
			check func(t *testing.T, h *host)
		}{
			{"arguments", []string{"program=/usr/local/bin/serve", `arguments="-x 'a b' \"c d\" -- '' \\\$HOME"`}, func(t *testing.T, h *host) {
				equal(t, "arguments", h.sh("cat /run/arguments"), "<-x>\n<a b>\n<c d>\n<-->\n<>\n<$HOME>")
				equal(t, "resolv.conf", resolver(h), "nameserver 192.0.2.53")
			}},
			{"notify=fd", []string{"program=/usr/local/bin/ready", "notify=fd:4", "timeout_ready=5000", "command_user=daemon"}, func(t *testing.T, h *host) {
				contains(t, h.sh("rc-service six status"), "ready")
			}},
			{"notify=socket:ready", []string{"program=/usr/local/bin/sd-ready", "notify=socket:ready", "timeout_ready=5000", "command_user=daemon"}, func(t *testing.T, h *host) {
				contains(t, h.sh("rc-service six status"), "ready")
				equal(t, "user", h.sh("ps -o user= -p "+h.daemon()), "daemon")
			}},
			{"netns_etc", []string{"netns_etc=none"}, func(t *testing.T, h *host) { equal(t, "resolv.conf", resolver(h), "nameserver 192.0.2.1") }},
			{"netns_hide", []string{`netns_hide="/run/secret /run/more"`}, func(t *testing.T, h *host) {
				equal(t, "hidden", h.sh("cd /proc/"+h.daemon()+"/root/run; ls -A secret more"), "more:\n\nsecret:")
			}},
			{"output_logger", []string{`output_logger="/usr/local/bin/log here"`}, func(t *testing.T, h *host) {
				h.sh("until [ -s /run/logger ]; do sleep 0.1; done")
				equal(t, "logger", h.sh("cat /run/logger; rm /run/logger"), h.inside())
			}},
			{"error_logger", []string{"error_logger=/usr/local/bin/log"}, func(t *testing.T, h *host) {
				h.sh("until [ -s /run/logger ]; do sleep 0.1; done")
				equal(t, "logger", h.sh("cat /run/logger; rm /run/logger"), h.inside())
			}},
			{"output_logger=auto", []string{"output_logger=auto"}, func(t *testing.T, h *host) { h.sh("[ -d /var/log/six ]") }},
			{"command set late", []string{"program=", "before='command=/usr/local/bin/serve command_args=late'"}, func(t *testing.T, h *host) {
				equal(t, "arguments", h.sh("cat /run/arguments"), "<late>")
			}},
			{"supervisor set late", []string{"supervisor=", "before='supervisor=s6'"}, func(*testing.T, *host) {}},
		} {
			t.Run(test.name, func(t *testing.T) {
				h := &host{h.Machine, t}
				h.conf("six", append(test.lines, "netns=vpn")...)
				h.sh("rc-service six start")
				equal(t, "daemon", h.where(h.daemon()), h.inside())
				test.check(t, h)
				h.sh("rc-service six stop")
				h.noDaemon()
			})
		}
	})
}

// The daemon is in the service's own cgroup, as that of any other supervisor.
func TestS6Locked(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.conf("six", "netns=vpn", "netns_lock=yes")
	h.sh("rc-service six start")
	pid := h.daemon()
	equal(t, "CAP_SYS_ADMIN", h.sh("echo $((0x$(sed -n 's/^CapBnd:.//p' /proc/"+pid+"/status) >> 21 & 1))"), "0")
	cgroup := h.sh("sed -n s/^0:://p /proc/" + pid + "/cgroup")
	equal(t, "cgroup", cgroup, "/openrc.six")
	equal(t, "programs", h.sh("probe programs /sys/fs/cgroup"+cgroup), "openrc_netns CGroupSock, 16 instructions")
	pid = h.respawned()
	equal(t, "respawned daemon", h.where(pid), h.inside())
	equal(t, "its cgroup", h.sh("sed -n s/^0:://p /proc/"+pid+"/cgroup"), cgroup)
	h.sh("rc-service six restart")
	equal(t, "cgroup after restart", h.sh("sed -n s/^0:://p /proc/"+h.daemon()+"/cgroup"), cgroup)
	h.sh("rc-service six stop")
	equal(t, "cgroups", h.sh("find /sys/fs/cgroup -name '*six' -o -name 'netns-exec.*'"), "")

	// Without OpenRC's cgroups it has one of ours.
	h.sh("echo rc_cgroup_mode=legacy >>/etc/rc.conf; rc-service six start")
	contains(t, h.sh("sed -n s/^0:://p /proc/"+h.daemon()+"/cgroup"), "/openrc-netns.six")
	h.respawned()
	contains(t, h.sh("sed -n s/^0:://p /proc/"+h.daemon()+"/cgroup"), "/openrc-netns.six")
	h.sh("rc-service six stop; sed -i /rc_cgroup_mode=legacy/d /etc/rc.conf")
	equal(t, "cgroups", h.sh("find /sys/fs/cgroup -name '*six' -o -name 'netns-exec.*'"), "")

	// The lock alone is one to the host's network, wherever s6 is.
	h.conf("six", "netns_lock=yes")
	h.conf("s6-svscan", "netns=vpn")
	h.sh("rc-service s6-svscan restart; rc-service six start")
	equal(t, "s6-svscan", h.where(h.sh("pgrep s6-svscan")), h.inside())
	equal(t, "daemon", h.where(h.daemon()), h.outside())
}

// What cannot be done inside is not done, neither by a start nor by a restart.
func TestS6Refused(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.sh("ip netns add 'two words'; ip netns add '$(reboot)'; mkdir -p /run/it\\'s")
		sleeper := h.sh("unshare -n sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'")
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
			h.conf("six", test.lines...)
			contains(t, h.fails("rc-service six start"), " * "+test.want+"\n * ERROR: six failed to start\n")
			h.noDaemon()
			equal(t, "state", h.state("six"), "stopped")
			if !test.restart {
				continue
			}
			h.conf("six", "netns=vpn")
			h.sh("rc-service six start")
			first := h.daemon()
			h.conf("six", test.lines...)
			contains(t, h.fails("rc-service six restart"), " * "+test.want+"\n * ERROR: six failed to stop\n")
			equal(t, "daemon", h.daemon(), first)
			h.sh("rc-service six stop")
		}

		// Where s6.sh writes something else than expected, it is not used.
		h.sh(`sed -i 's/printf .* \$1 ; shift/shift $(($# - 2))/' /usr/lib/rc/sh/s6.sh`)
		h.conf("six", "netns=vpn")
		contains(t, h.fails("rc-service six start"), "six: this OpenRC uses s6 in a way that openrc-netns does not know: use supervisor=supervise-daemon")
		h.noDaemon()
		h.sh("rm /etc/conf.d/six; rc-service six start")
		equal(t, "daemon without settings", h.where(h.daemon()), h.outside())
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
		settings   []string
		line       string
	}{
		"runit, 0.64":             {"sid", runit, "/etc/sv/own-run/run", []string{"netns=vpn"}, "exec netns-exec vpn -- COMMAND"},
		"runit, 0.56":             {"trixie", runit, "/etc/sv/own-run/run", []string{"netns=vpn", "netns_etc=none", "netns_lock=yes", `netns_hide="/run/secret /run/it's"`}, `exec netns-exec --lock --etc none --hide /run/secret --hide '/run/it'\''s' vpn -- COMMAND`},
		"runit, 0.45":             {"bookworm", runit, "/etc/sv/own-run/run", []string{"netns='two words'"}, "exec netns-exec 'two words' -- COMMAND"},
		"s6, 0.64":                {"sid", s6, "/var/svc.d/own-run/run", []string{"netns=-vpn"}, "exec netns-exec /run/netns/-vpn -- COMMAND"},
		"s6, 0.64, without netns": {"sid", s6, "/var/svc.d/own-run/run", []string{"netns_lock=yes", "netns_lock_keep='net_admin mknod'"}, "exec netns-exec --lock --lock-keep net_admin --lock-keep mknod -- COMMAND"},
		"s6, 0.56":                {"trixie", s6, "/var/svc.d/own-run/run", []string{"netns=vpn", "netns_lock=yes"}, "exec netns-exec --lock vpn -- COMMAND"},
		"s6, 0.45":                {"bookworm", s6, "/srv/run-of-six/run", []string{"s6_service_path=/srv/run-of-six", "netns=vpn"}, "exec netns-exec vpn -- COMMAND"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := bootRelease(t, machine.Options{Release: test.release}, true)
			h.sh(`cd /run/netns; ip netns add 'two words'; ip netns add x; touch ./-vpn; mount --bind x ./-vpn; mkdir /run/secret "/run/it's"; touch /run/secret/socket "/run/it's/socket"`)
			h.program(test.run, "#!/bin/sh\nexec sleeper 3600\n")

			h.conf("own-run", append(test.supervisor, test.settings...)...)
			out := h.fails("rc-service own-run start")
			where := "the run script"
			if test.supervisor[0] == "supervisor=s6" {
				where = test.run
			}
			contains(t, out, " * own-run: "+strings.TrimPrefix(test.supervisor[0], "supervisor=")+
				" would start the daemon outside: remove the settings from conf.d, and start it in "+where+" with: "+test.line+"\n * ERROR: own-run failed to start\n")
			h.noDaemon()
			equal(t, "state", h.state("own-run"), "stopped")

			h.program(test.run, "#!/bin/sh\n"+strings.Replace(test.line, "COMMAND", "sleeper 3600", 1)+"\n")
			rest := test.supervisor
			for _, line := range test.settings {
				if strings.HasPrefix(line, "s6_") {
					rest = append(rest, line)
				}
			}
			h.conf("own-run", rest...)
			h.sh("rc-service own-run start")
			where = h.outside()
			for _, line := range test.settings {
				if name, set := strings.CutPrefix(line, "netns="); set {
					where = "net:[" + h.sh("stat -L -c %i /run/netns/"+name) + "]"
				}
			}
			pid := h.daemon()
			equal(t, "daemon", h.where(pid), where)
			locked := strings.Contains(test.line, "--lock")
			if cgroup := h.sh("cat /proc/" + pid + "/cgroup"); strings.Contains(cgroup, ".lock") != locked {
				t.Errorf("locked: %t, in %s", locked, cgroup)
			}
			if strings.Contains(test.line, "--hide") {
				equal(t, "hidden", h.sh("find /proc/"+pid+"/root/run/secret /proc/"+pid+"/root/run/it*s -name socket"), "")
			}
			equal(t, "daemon after kill -9", h.where(h.respawned()), where)
			h.sh("rc-service own-run stop")
			h.noDaemon()
		})
	}
}

// What supervise-daemon starts again stays in the namespace of the start, with
// the name gone too, and gets its signals there.
func TestSuperviseDaemon(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"sid", "trixie", "bookworm"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			h := bootRelease(t, machine.Options{Release: release}, true)
			h.program("/usr/local/bin/serve", `#!/usr/bin/perl
$SIG{HUP} = sub { open(F, ">>/run/hup") and print F readlink("/proc/self/ns/net"), "\n" and close F };
$0 = "sleeper";
open(F, ">/run/pid") and print F "$$\n" and close F;
sleep 1 while 1;
`)
			started := func() string { return h.sh("until [ -s /run/pid ]; do sleep 0.1; done; cat /run/pid; rm /run/pid") }
			reload := func() string {
				h.sh("rc-service watched reload")
				return h.sh("until [ -s /run/hup ]; do sleep 0.1; done; cat /run/hup; rm /run/hup")
			}
			h.conf("watched", "netns=vpn", "supervisor=supervise-daemon", "program=/usr/local/bin/serve")
			inside := h.inside()
			h.sh("rc-service watched start")
			pid := started()
			equal(t, "daemon", h.where(pid), inside)
			equal(t, "reload", reload(), inside)

			h.sh("ip netns delete vpn")
			contains(t, h.fails("rc-service watched restart"), "not stopped, because the start would fail")
			h.sh("kill -9 " + pid)
			again := started()
			if again == pid {
				t.Error("not respawned")
			}
			equal(t, "respawned daemon", h.where(again), inside)
			equal(t, "reload", reload(), inside)
			h.sh("rc-service watched stop; [ ! -e /proc/" + again + " ]")

			// It gives up, and nothing is left.
			h.sh("ip netns add vpn")
			h.program("/usr/local/bin/fail", "#!/bin/sh\nreadlink /proc/self/ns/net >>/run/failures\nsleep 0.5\n") // a child that dies at once is overlooked
			h.conf("watched", "netns=vpn", "supervisor=supervise-daemon", "program=/usr/local/bin/fail", "respawn_max=1", "respawn_delay=1", "respawn_period=60")
			h.sh("rc-service watched start; until [ -e /run/openrc/failed/watched ] || ! pgrep supervise-daem >/dev/null; do sleep 0.1; done")
			equal(t, "failures", h.sh("cat /run/failures"), h.inside()+"\n"+h.inside())
			h.sh("while pgrep supervise-daem; do sleep 0.1; done >/dev/null")
			equal(t, "record", h.sh("find /run/openrc/options -path '*watched*'"), "")
		})
	}
}

// A daemon says when it is ready, and the start waits for that.
func TestNotify(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.program("/usr/local/bin/by-fd", `#!/usr/bin/perl
select(undef, undef, undef, 0.3);
open(F, ">/run/ready") and close F;
open(F, ">&=", 5) and print F "\n" or die;
close F;
exec qw(sleeper 3600);
`)
	h.program("/usr/local/bin/by-socket", `#!/usr/bin/perl
use Socket;
select(undef, undef, undef, 0.3);
open(F, ">/run/ready") and close F;
($name = $ENV{NOTIFY_SOCKET}) =~ s/^@/\0/;
socket(S, AF_UNIX, SOCK_DGRAM, 0) or die;
send(S, "READY=1", 0, sockaddr_un($name)) or die "$ENV{NOTIFY_SOCKET}: $!";
exec qw(sleeper 3600);
`)
	for _, supervisor := range []string{"supervisor=supervise-daemon", "command_background=yes"} {
		for program, notify := range map[string]string{"by-fd": "fd:5", "by-socket": "socket:ready"} {
			h.conf("watched", "netns=vpn", "program=/usr/local/bin/"+program, "notify="+notify, supervisor)
			// OpenRC 0.64 leaves the socket behind, and then cannot make it.
			h.sh("rm -f /run/ready /run/openrc/supervise-watched.sock; rc-service watched start; [ -e /run/ready ]")
			equal(t, "daemon", h.where(h.daemon()), h.inside())
			h.sh("rc-service watched stop")
			h.noDaemon()
		}
	}
}

// The options of OpenRC's start-stop-daemon and of dpkg's mean what they do
// without us.
func TestStartStopDaemons(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"sid", "trixie", "bookworm"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			h := bootRelease(t, machine.Options{Release: release}, true)
			settings := []string{"command_background=yes", "command_user=daemon", "directory=/usr", "umask=027",
				"start_stop_daemon_args='--nicelevel 5'", "retry=TERM/5/KILL/5"}
			look := func() string {
				h.sh("rc-service watched start")
				pid := h.daemon()
				equal(t, "pidfile", h.sh("cat /run/watched.pid"), pid)
				return h.sh("cd /proc/" + pid + "; readlink cwd; cat limits oom_score_adj; tr '\\0' '\\n' <environ | grep -v _PID= | sort; ls -l fd | cut -c60-; " +
					"grep -E '^(Umask|Uid|Gid|Groups|Sig[BIC]|Cap|NoNew)' status; ps -o user=,group=,ni=,tty= -p " + pid)
			}
			h.conf("watched", settings...)
			outside := look()
			equal(t, "daemon without netns", h.where(h.daemon()), h.outside())
			h.sh("rc-service watched stop")
			h.noDaemon()
			h.conf("watched", append(settings, "netns=vpn")...)
			inside := look()
			equal(t, "daemon", h.where(h.daemon()), h.inside())
			if diff := cmp.Diff(outside, inside); diff != "" {
				t.Errorf("the daemon differs (-without +with netns):\n%s", diff)
			}
			h.sh("rc-service watched stop")
			h.noDaemon()
			equal(t, "state", h.state("watched"), "stopped")
		})
	}
}

// A service of s6 without settings pays no fork for them.
func TestS6NoTax(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.sh("rc-service s6-svscan start")
	count := func() string {
		h.sh("rc-update -u; rm -rf /run/openrc/s6-services/six")
		forks := h.forks("rc-service six start")
		h.sh("rc-service six stop")
		return forks
	}
	with := count()
	h.sh("mv /etc/rc.conf.d/50-netns.conf /root")
	equal(t, "with the drop-in", with, count())
}
