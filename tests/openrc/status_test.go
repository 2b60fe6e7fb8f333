package openrc

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// statusReport is the JSON of status as the manual describes it.
type statusReport struct {
	Version  int
	Services []struct {
		Name, State, Netns, VRF, Verdict, Remedy string
		Known                                    bool `json:"settings_known"`
		Problems                                 []struct{ Verdict, Text string }
		Remarks                                  []string
		Processes                                []struct {
			PID                   int
			Name, Netns, Position string
			Host, Claimed         bool
			Inode                 uint64
		}
	}
	Namespaces []struct {
		Name       string
		Inode      uint64
		Sound      bool
		Services   []string
		Interfaces []struct {
			Name, Kind string
			Index      int
			Up         bool
		}
		Processes []struct {
			PID  int
			Name string
		}
		Published []struct{ Network, Listen, Target string }
	}
	Unseen []string
}

const statusCommand = "rc-netns status "

// statusJSON is what status says to a program, and its exit status.
func (h *host) statusJSON(before, args string) (statusReport, int) {
	h.T.Helper()
	result := h.Run(before + statusCommand + "--json " + args)
	lacks(h.T, result.Stdout, "null")
	return kit.Decode[statusReport](h.T, result.Stdout), result.Code
}

// says asserts the verdict on a service, in the table, in the JSON and as an
// exit status, and a text below it in the table. It returns the remedy that the
// table gives.
func (h *host) says(service, verdict, text string) string {
	h.T.Helper()
	code := 1
	switch verdict {
	case "ok", "stopped", "unknown":
		code = 0
	}
	result := h.Run(statusCommand + service)
	if result.Code != code {
		h.T.Errorf("exit status %d, want %d", result.Code, code)
	}
	row := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(service) + ` .* ` + verdict + `$`)
	if !row.MatchString(result.Stdout) || !strings.Contains(result.Stdout, text) || result.Stderr != "" {
		h.T.Errorf("missing %q or %q in:\n%s", verdict, text, result.Output)
	}
	r, code := h.statusJSON("", service)
	if code != result.Code || r.Services[0].Verdict != verdict {
		h.T.Errorf("JSON: %+v, exit status %d", r.Services, code)
	}
	remedy := ""
	if match := regexp.MustCompile(`(?m)fix it with: (.*)$`).FindStringSubmatch(result.Stdout); match != nil {
		remedy = match[1]
	}
	kit.Equal(h.T, "remedy in the JSON", r.Services[0].Remedy, remedy)
	if (remedy != "") != (code == 1) {
		h.T.Errorf("remedy %q with exit status %d", remedy, code)
	}
	h.T.Logf("%s", result.Stdout)
	return remedy
}

// fixed asserts a verdict as says does, applies the remedy word for word, and
// asserts that all is well then.
func (h *host) fixed(service, verdict, text, after string) {
	h.T.Helper()
	remedy := h.says(service, verdict, text)
	h.Sh(remedy)
	h.says(service, after, "")
}

func TestStatusVerdicts(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	scene := func(name string, play func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			h.T = t
			h.Sh("rm -f /etc/conf.d/*daemon* /etc/conf.d/plain; ip netns add vpn 2>/dev/null || :")
			play(t)
			h.T = t
			h.Sh("for s in daemon plain supervised; do rc-service $s stop; done; pkill -x sleeper || :; rm -rf /etc/netns; ip netns delete mgmt 2>/dev/null || :")
		})
	}

	// What the remedy puts right, in one step. "PID" is the daemon.
	const confined = "echo netns=vpn >/etc/conf.d/"
	for _, test := range []struct{ name, service, before, verdict, text string }{
		{"outside, started before it was configured", "daemon", "rc-service daemon start; " + confined + "daemon",
			"outside", "outside: process PID (sleeper) is on the host's network"},
		{"outside, a script without a daemon", "plain", "rc-service plain start; " + confined + "plain",
			"outside", `it was not started in network namespace "vpn": what it has set up is outside`},
		{"outside, in another namespace", "daemon", "ip netns add mgmt; echo netns=mgmt >/etc/conf.d/daemon; rc-service daemon start; " + confined + "daemon",
			"outside", `it was started in network namespace "mgmt", but its settings now put it in network namespace "vpn"`},
		{"stale, recreated", "daemon", confined + "daemon; rc-service daemon start; ip netns delete vpn; ip netns add vpn",
			"stale", `the name "vpn" leads to a different network namespace than at the start`},
		{"stale, an ordinary file left", "daemon", confined + "daemon; rc-service daemon start; umount /run/netns/vpn",
			"stale", `the name "vpn" was deleted since the start`},
		// The record of another namespace, that had this one's number.
		{"stale, without a process and the inode given again", "plain",
			confined + "plain; rc-service plain start; sed -i 2s/.*/12345678/ /run/openrc/options/plain/netns",
			"stale", "leads to a different network namespace"},
	} {
		scene(test.name, func(t *testing.T) {
			h.Sh(test.before)
			text := test.text
			if test.service == "daemon" {
				text = strings.Replace(text, "PID", h.daemon(), 1)
			}
			h.fixed(test.service, test.verdict, text, "ok")
			if test.service == "daemon" {
				kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
			}
		})
	}

	scene("ok and stopped", func(t *testing.T) {
		h.Conf("daemon", "netns=vpn")
		h.says("daemon", "stopped", "")
		h.Sh("rc-service daemon start")
		pid := h.daemon()
		h.says("daemon", "ok", pid+"  sleeper")
		r, _ := h.statusJSON("", "daemon")
		p := r.Services[0].Processes
		if len(p) != 1 || fmt.Sprint(p[0].PID) != pid || p[0].Netns != "vpn" || p[0].Position != "inside" ||
			fmt.Sprintf("net:[%d]", p[0].Inode) != h.inside() {
			t.Errorf("processes: %+v", p)
		}
		h.Sh("rc-service daemon stop")
		h.says("daemon", "stopped", "")
	})

	scene("outside, a child that went there", func(t *testing.T) {
		h.Conf("daemon", "netns=vpn", `start_post() { setsid nsenter --net=/proc/1/ns/net sleeper 1000 </dev/null >/dev/null 2>&1 & }`)
		h.Sh("sed -i '/^start_post/,/^}/d' /etc/init.d/daemon; rc-service daemon start; until [ $(pgrep -xc sleeper) = 2 ]; do sleep 0.1; done")
		kit.Contains(t, h.says("daemon", "outside", ""), "kill ")
		h.Conf("daemon", "netns=vpn")
		h.fixed("daemon", "outside", " is on the host's network", "ok")
	})

	scene("outside or missing, by a name of the host's namespace", func(t *testing.T) {
		const name = "touch /run/netns/own; mount --bind /proc/1/ns/net /run/netns/own; "
		const text = `network namespace "own" is the host's own`
		h.Sh(name + "rc-service daemon start")
		h.Conf("daemon", "netns=own")
		h.fixed("daemon", "outside", text, "ok")
		kit.Equal(t, "daemon", h.where(h.daemon()), "net:["+h.Sh("stat -L -c %i /run/netns/own")+"]")
		// It runs where it should, and could not be started again.
		h.Sh("ip netns delete own; " + name)
		kit.Contains(t, h.Run(statusCommand+"daemon").Stdout, "missing: "+text)
		h.fixed("daemon", "stale", "leads to a different network namespace", "ok")
		h.Sh("rc-service daemon stop; ip netns delete own; " + name)
		h.fixed("daemon", "missing", text, "stopped")
		h.Sh("ip netns delete own")
	})

	scene("outside, and the namespace missing", func(t *testing.T) {
		h.Sh("rc-service daemon start")
		h.Conf("daemon", "netns=nowhere")
		kit.Contains(t, h.Run(statusCommand+"daemon").Stdout, `missing: network namespace "nowhere" does not exist`)
		h.fixed("daemon", "outside", "(sleeper) is on the host's network", "ok")
		h.Sh("rc-service daemon stop; ip netns delete nowhere")
	})

	scene("stale, deleted", func(t *testing.T) {
		h.Conf("daemon", "netns=vpn")
		h.Sh("rc-service daemon start; ip netns delete vpn")
		// It gets the name back, with all that is set up there.
		pid := h.daemon()
		was := h.where(pid)
		h.fixed("daemon", "stale", `the name "vpn" was deleted since the start, and the service runs on in the network namespace that had it`, "ok")
		kit.Equal(t, "daemon", h.daemon(), pid)
		kit.Equal(t, "vpn", h.inside(), was)
	})

	scene("stale, deleted, and nothing there", func(t *testing.T) {
		h.Conf("plain", "netns=vpn")
		h.Sh("rc-service plain start; ip netns delete vpn")
		kit.Contains(t, h.Run(statusCommand+"plain").Stdout, "a network namespace made with ip netns add is empty: first set up in it what the service needs")
		kit.Equal(t, "status", h.Sh("exec 2>&1; rc-service plain status"), " * plain: the network namespace \"vpn\" that the service was started in is gone: acting in a new, empty one"+
			"; fix it, setting up the new network namespace before the service starts there, with: ip netns add vpn && rc-service plain restart\n"+
			" * status: started")
		h.fixed("plain", "stale", `the name "vpn" was deleted since the start, and the service has no process where it was started`, "ok")
	})

	scene("unknown, a daemon that has no pidfile and died", func(t *testing.T) {
		h.Conf("loose", "netns=vpn")
		h.Write("/etc/init.d/loose", "#!/sbin/openrc-run\nstart()\n{\n\tpgrep -x sleeper >/dev/null && return 0\n\tstart-stop-daemon --start --background --exec /usr/local/bin/sleeper -- 1000\n}\nstop()\n{\n\tpkill -x sleeper || :\n}\n")
		h.Sh("rc-service loose start")
		h.says("loose", "ok", h.daemon()+"  sleeper")
		h.killDaemon()
		h.says("loose", "unknown", "it is recorded as started, but has no process where it belongs")
		kit.Contains(t, h.Sh("exec 2>&1; rc-service loose status || :"), " * loose: it has no process where it belongs\n")
		// A start that is content with somebody else's.
		h.Sh("rc-service loose stop; rc-service daemon start; rc-service loose start")
		h.says("loose", "unknown", "its start made do with one that runs elsewhere")
		h.Sh("rc-service loose zap; rm /etc/init.d/loose /etc/conf.d/loose")
		// A firewall has none to have.
		h.startWith("plain", "netns=vpn")
		h.says("plain", "ok", "")
	})

	scene("a daemon with another pidfile than its script says", func(t *testing.T) {
		h.Conf("daemon", "netns=vpn")
		h.Sh("rc-service daemon start; mv /run/daemon.pid /run/other.pid")
		pid := h.daemon()
		h.says("daemon", "ok", "its pidfile is missing, which OpenRC takes for a crash")
		kit.Contains(t, h.Sh(statusCommand+"daemon"), "daemon   started  vpn ")
		h.Sh("kill " + pid + "; while [ -e /proc/" + pid + " ]; do sleep 0.1; done")
		h.says("daemon", "stopped", "it is recorded as started, but its daemon is gone")
		h.Sh("rm /run/other.pid")
	})

	scene("sockets, by a lock", func(t *testing.T) {
		const cgroup = "/sys/fs/cgroup/openrc.daemon"
		h.startWith("daemon", "netns=vpn")
		h.Conf("daemon", "netns=vpn", "netns_lock=yes")
		h.fixed("daemon", "sockets", "it was started before vrf or netns_lock was set", "ok")
		pid := h.daemon()
		h.Sh("echo " + pid + " >/sys/fs/cgroup/cgroup.procs")
		h.fixed("daemon", "sockets", "process "+pid+" (sleeper) is not in its cgroup /openrc.daemon", "ok")
		h.Sh("echo " + h.daemon() + " >/sys/fs/cgroup/cgroup.procs; rmdir " + cgroup + "; mkdir " + cgroup + "; echo " + h.daemon() + " >" + cgroup + "/cgroup.procs")
		h.fixed("daemon", "sockets", "no BPF program of ours is on its cgroup /openrc.daemon", "ok")
		h.Conf("daemon", "netns=vpn")
		h.fixed("daemon", "sockets", "it is locked, but its settings no longer ask for that", "ok")
	})

	scene("files, the host's file renamed over", func(t *testing.T) {
		h.Sh("mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf")
		h.startWith("daemon", "netns=vpn")
		h.says("daemon", "ok", "")
		h.Sh("cp /etc/resolv.conf /etc/resolv.new; mv /etc/resolv.new /etc/resolv.conf")
		h.fixed("daemon", "files", "it sees the host's /etc/resolv.conf and not /etc/netns/vpn/resolv.conf", "ok")
		kit.Equal(t, "resolv.conf", h.Sh("cat /proc/"+h.daemon()+"/root/etc/resolv.conf"), "nameserver 192.0.2.53")

		h.Sh("cd /etc/netns/vpn && echo nameserver 192.0.2.54 >new && mv new resolv.conf")
		h.fixed("daemon", "files", "it sees a different /etc/resolv.conf from /etc/netns/vpn/resolv.conf", "ok")
		kit.Equal(t, "resolv.conf", h.Sh("cat /proc/"+h.daemon()+"/root/etc/resolv.conf"), "nameserver 192.0.2.54")

		h.Sh("rm /etc/resolv.conf")
		h.fixed("daemon", "files", "it sees no /etc/resolv.conf", "ok")

		// A link that leads elsewhere in the daemon's view than in ours.
		h.Sh("rc-service daemon stop; mkdir -p /run/r; mv /etc/resolv.conf /run/r/; ln -s /run/r/resolv.conf /etc/resolv.conf; rc-service daemon start")
		h.says("daemon", "ok", "")
		h.Sh("cp /run/r/resolv.conf /run/r/new; mv /run/r/new /run/r/resolv.conf")
		h.says("daemon", "ok", "")
		h.Sh("ln -s /run/r/resolv.conf /etc/new; mv /etc/new /etc/resolv.conf")
		h.fixed("daemon", "files", "it sees the host's /etc/resolv.conf", "ok")

		// Not asked for, not looked at.
		h.Conf("daemon", "netns=vpn", "netns_etc=no")
		h.Sh("rc-service daemon restart")
		h.says("daemon", "ok", "")
	})

	scene("missing", func(t *testing.T) {
		h.Conf("daemon", "netns=nowhere")
		h.fixed("daemon", "missing", `network namespace "nowhere" does not exist`, "stopped")
		h.Sh("umount /run/netns/nowhere")
		h.fixed("daemon", "missing", `network namespace "nowhere" is stale`, "stopped")
		// A service of its own would make it.
		h.Sh("ip netns delete nowhere; ln -s netns /etc/init.d/netns.nowhere; rc-update -u")
		h.says("daemon", "stopped", "")
		h.Sh("rc-service daemon start")
		h.says("daemon", "ok", "")
		h.Sh("ip netns delete nowhere")
		// OpenRC restarts in the background what needs the service.
		h.Sh(h.says("daemon", "stale", "was deleted") + "; until [ -e /run/openrc/started/daemon ] && [ ! -e /run/openrc/starting/daemon ]; do sleep 0.1; done")
		h.says("daemon", "ok", "")
		h.Sh("rc-service daemon stop; ip netns delete nowhere")
		kit.Equal(t, "state", h.state("netns.nowhere"), "started")
		h.fixed("daemon", "missing", "does not exist", "stopped")
		h.Sh("rc-service netns.nowhere stop; rm /etc/init.d/netns.nowhere")
	})

	scene("settings that only a shell can read, or none", func(t *testing.T) {
		h.Conf("daemon", "netns=$(echo vpn)")
		h.says("daemon", "stopped", "")
		h.Sh("rc-service daemon start")
		h.says("daemon", "ok", "")
		unknown := func(verdict, remark string) statusReport {
			t.Helper()
			r, code := h.statusJSON("", "daemon daemon")
			if code != 1 || len(r.Services) != 1 || r.Services[0].Verdict != verdict || len(r.Services[0].Remarks) != 1 || !strings.HasSuffix(r.Services[0].Remarks[0], remark) {
				t.Errorf("%d, %+v", code, r.Services)
			}
			return r
		}
		h.Conf("daemon", "netns=$(ip netns list)")
		r := unknown("ok", "to ask the network; what is shown was recorded by the start")
		kit.Equal(t, "what is shown", fmt.Sprint(r.Services[0].Known, r.Services[0].Netns), "falsevpn")
		h.Sh("rm /etc/conf.d/daemon")
		h.says("daemon", "ok", "no settings in /etc/conf.d; what is shown was recorded by the start")
		// Without a record too, nobody knows.
		h.Sh("rc-service daemon stop; rc-service daemon start")
		h.Conf("daemon", "netns=$(ip netns list)")
		unknown("unknown", "to ask the network, and no start has recorded any")
		// A file that says nothing of this is no reason to list a service.
		h.Conf("daemon", "start_pre() { echo hello; }")
		kit.Contains(t, h.Fails(statusCommand+"daemon"), "is not confined")
		h.Conf("daemon", "netns=vpn")
		h.Sh("rc-service daemon restart; echo damaged >/run/openrc/options/daemon/netns")
		h.says("daemon", "stale", "cannot tell where the service was started: /run/openrc/options/daemon/netns is damaged")
	})

	scene("children, respawned ones and crashes", func(t *testing.T) {
		h.startWith("supervised", "netns=vpn")
		pid := h.daemon()
		h.says("supervised", "ok", pid+"  sleeper")
		h.says("supervised", "ok", "supervise-daemo")
		// Where there are no cgroups, OpenRC's record and descent tell.
		h.Sh(`while p=$(head -1 /sys/fs/cgroup/openrc.supervised/cgroup.procs) && [ "$p" ]; do echo $p >/sys/fs/cgroup/cgroup.procs || :; done`)
		h.says("supervised", "ok", pid+"  sleeper")

		h.Conf("daemon", "netns=vpn")
		h.Sh("rc-service daemon start; kill -9 $(cat /run/daemon.pid); while [ -e /proc/$(cat /run/daemon.pid) ]; do sleep 0.1; done")
		h.says("daemon", "stopped", "it is recorded as started, but its daemon is gone")
		kit.Contains(t, h.Run(statusCommand+"daemon").Stdout, "crashed")
	})
}

func TestStatusOfAll(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	kit.Equal(t, "nothing confined", h.Sh(statusCommand), "no service is confined\n\nNAMESPACE  SERVICES  INTERFACES  OTHER PROCESSES\nvpn        -         lo          -")
	h.Sh("touch /run/netns/old; mkdir /run/netns/dir")
	kit.Equal(t, "names of none", h.Sh(statusCommand+"| sed -n '/^NAMESPACE/,$p'"), "NAMESPACE  SERVICES  INTERFACES  OTHER PROCESSES\n"+
		"dir        -         -           -\n  \"/run/netns/dir\" is not a network namespace\n"+
		"old        -         -           -\n  network namespace \"old\" is stale: /run/netns/old is an ordinary file; remove it with: rm /run/netns/old\n"+
		"vpn        -         lo          -")
	if r, code := h.statusJSON("", ""); code != 0 || r.Namespaces[0].Sound || r.Namespaces[1].Sound || !r.Namespaces[2].Sound {
		t.Errorf("exit status %d, %+v", code, r.Namespaces)
	}
	h.Sh("rm /run/netns/old; rmdir /run/netns/dir")
	h.Conf("daemon", "netns=vpn")
	h.Conf("plain", "netns=vpn")
	h.Sh("rc-service daemon start; rc-service plain start; ip -n vpn link add tun0 type veth peer name tun1; ip netns exec vpn /usr/local/bin/sleeper 1000 >/dev/null 2>&1 & until [ $(pgrep -xc sleeper) = 2 ]; do sleep 0.1; done")
	r, code := h.statusJSON("", "")
	n := r.Namespaces
	if code != 0 || r.Version != 1 || len(r.Services) != 2 || len(n) != 1 || len(n[0].Services) != 2 ||
		len(n[0].Interfaces) != 3 || n[0].Interfaces[0].Name != "lo" || n[0].Interfaces[1].Kind != "veth" ||
		len(n[0].Processes) != 1 || n[0].Processes[0].Name != "sleeper" || len(r.Unseen) != 0 {
		t.Errorf("exit status %d, %+v", code, r)
	}

	// A hung process does not hold it up.
	h.Sh("kill -STOP " + fmt.Sprint(n[0].Processes[0].PID) + " $(cat /run/daemon.pid); timeout 20 " + statusCommand)
	h.Sh("echo 1 >/sys/fs/cgroup/openrc.daemon/cgroup.freeze; timeout 20 " + statusCommand + "; echo 0 >/sys/fs/cgroup/openrc.daemon/cgroup.freeze; kill -CONT $(cat /run/daemon.pid)")

	h.scripts("watched")
	for args, want := range map[string]string{
		"nosuch":           `rc-netns: status: unknown service "nosuch": there is no /etc/init.d/nosuch`,
		"../daemon":        `rc-netns: status: bad service name "../daemon"`,
		"watched":          `rc-netns: status: service "watched" is not confined: /etc/conf.d sets none of netns, vrf and netns_lock for it`,
		"--watch":          `rc-netns: status: --watch needs a terminal that it can clear: leave it out, and call status again and again`,
		"--watch=0":        `rc-netns: status: --watch=0: give a number of seconds from 1 to 86400`,
		"--watch=2 --json": `rc-netns: status: --watch is for people and --json for programs: give one of the two`,
	} {
		kit.Equal(t, args, h.Run("exec 2>&1; "+statusCommand+args+"; echo $?").Stdout, want+"\n125\n")
	}
	kit.Equal(t, "no OpenRC", h.Run("exec 2>&1; mv /run/openrc /run/elsewhere; "+statusCommand+"; echo $?").Stdout,
		"rc-netns: status: OpenRC has not booted this machine: there is no /run/openrc/softlevel\n125\n")
	h.Sh("mv /run/elsewhere /run/openrc")
	kit.Equal(t, "a full disk", fmt.Sprint(h.Run(statusCommand+" >/dev/full").Code), "125")

	// Without root it says what it cannot see, and raises no alarm for that.
	const nobody = "setpriv --reuid nobody --regid nogroup --clear-groups "
	r, code = h.statusJSON(nobody, "")
	if code != 0 || r.Services[0].Verdict != "unknown" || len(r.Services[0].Processes) != 1 || len(r.Unseen) != 2 {
		t.Errorf("without root: exit status %d, %+v", code, r)
	}
	kit.Contains(t, h.Sh(nobody+statusCommand), "1 process of another user could not be inspected: run as root")
	h.Sh("mount -o remount,hidepid=2 /proc")
	kit.Contains(t, h.Sh(nobody+statusCommand), "processes of other users are hidden: run as root")
	h.Sh("rm /run/openrc/options/plain/netns")
	if r, code = h.statusJSON(nobody, "plain"); code != 0 || r.Services[0].Verdict != "unknown" {
		t.Errorf("with hidepid: exit status %d, %+v", code, r)
	}
	h.Sh("mount -o remount,hidepid=0 /proc")
	if r, code = h.statusJSON(nobody, "plain"); code != 1 || r.Services[0].Verdict != "outside" {
		t.Errorf("without: exit status %d, %+v", code, r)
	}
	// What it can see counts.
	h.Sh("ip netns delete vpn")
	if r, code = h.statusJSON(nobody, ""); code != 1 || r.Services[0].Verdict != "stale" {
		t.Errorf("without root: exit status %d, %+v", code, r)
	}
}

func TestStatusOnATerminal(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Conf("daemon", "netns=vpn")
	h.Sh("ln -s daemon /etc/init.d/daemon.with-a-long-name; rc-service daemon start; rc-service daemon.with-a-long-name start; sed -i s/vpn/nowhere/ /etc/conf.d/daemon; rc-service daemon stop")
	terminal := func(columns int, environment string) string {
		t.Helper()
		return strings.ReplaceAll(h.Run(fmt.Sprintf("TERM=xterm script -qec 'stty cols %d rows 20; %s %s' /dev/null", columns, environment, statusCommand)).Stdout, "\r", "")
	}
	colours := regexp.MustCompile("\x1b\\[[0-9]*m")
	wide := terminal(200, "")
	if !colours.MatchString(wide) {
		t.Errorf("no colours on a terminal:\n%q", wide)
	}
	for _, environment := range []string{"NO_COLOR=1", "TERM=dumb", "env -u TERM"} {
		if out := terminal(200, environment); strings.Contains(out, "\x1b") || out != colours.ReplaceAllString(wide, "") {
			t.Errorf("%s:\n%q", environment, out)
		}
	}
	kit.Equal(t, "on a pipe", h.Run(statusCommand+"| cat").Stdout, colours.ReplaceAllString(wide, ""))
	const titles = "SERVICE        STATE    NETNS    VERDICT" // TestTitlesFitAnyWidth has those of others
	narrow := terminal(40, "")
	kit.Equal(t, "40 columns", strings.TrimRight(strings.Split(colours.ReplaceAllString(narrow, ""), "\n")[0], " "), titles)
	kit.Equal(t, "with COLUMNS", terminal(200, "COLUMNS=40"), narrow)

	// --watch draws again and again, and ends with Ctrl-C.
	out := h.Run(`rm -f /run/typescript; mkfifo /run/keys
		TERM=xterm script -qfec '` + statusCommand + ` --watch=1; echo ended $?' /run/typescript </run/keys >/dev/null 2>&1 &
		exec 3>/run/keys
		until [ "$(grep -c "SERVICE" /run/typescript)" -ge 1 ]; do sleep 0.1; done
		rc-service daemon.with-a-long-name stop >/dev/null
		until grep -q long-name.*stopped /run/typescript; do sleep 0.1; done
		printf '\003' >&3
		until grep -q 'ended [0-9]' /run/typescript; do sleep 0.1; done
		cat /run/typescript`)
	kit.Contains(t, out.Stdout, "ended 0")
	kit.Contains(t, out.Stdout, "\x1b[H")
}

// The example in the manual is what it really prints.
func TestStatusExampleOfTheManual(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh(`ln -s daemon /etc/init.d/sshd; ln -s daemon /etc/init.d/web
		ip netns add mgmt; ip link add tun0 netns vpn type veth peer name eth1 netns mgmt
		mkdir -p /etc/netns/vpn; cp /etc/resolv.conf /etc/netns/vpn/
		echo netns=mgmt >/etc/conf.d/sshd; echo netns=vpn >/etc/conf.d/web
		rc-service sshd start; rc-service web start
		cp /etc/resolv.conf /etc/new; mv /etc/new /etc/resolv.conf`)
	_, example, _ := strings.Cut(strings.ReplaceAll(kit.Read(t, "../../man/rc-netns.8"), `\(aq`, "'"), "\n# rc-netns status\n")
	want, after, found := strings.Cut(example, "\n# ")
	kit.Equal(t, "status", strings.TrimSuffix(h.Run(statusCommand).Stdout, "\n"), want)
	command, answer, _ := strings.Cut(after, "\n# ")
	answer, _, _ = strings.Cut(answer, "\n.Ed")
	h.Sh(command)
	command, answer, _ = strings.Cut(answer, "\n")
	kit.Equal(t, command, h.Sh(command), answer)
	if !found || answer == "" {
		t.Error("the manual has no example")
	}
}

// A daemon that s6 has started is not in the cgroup of its service.
func TestStatusUnderS6(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.scripts("six")
	h.Sh("rc-service six start")
	pid := h.daemon()
	kit.Contains(t, h.Sh("cat /proc/"+pid+"/cgroup"), "/openrc.s6-svscan")
	h.Conf("six", "netns=vpn")
	h.fixed("six", "outside", "process "+pid+" (sleeper) is on the host's network", "ok")
	h.says("six", "ok", h.daemon()+"  sleeper")
	h.Conf("six", "netns=vpn", "netns_lock=yes")
	h.says("six", "sockets", "it was started before vrf or netns_lock was set")
	h.Sh("rc-service six restart") // s6 starts the daemon a moment later
	h.says("six", "ok", h.daemon()+"  sleeper")
	// s6 looks for the name again, and it leads to the host's namespace by now.
	h.Conf("six", "netns=vpn")
	h.Sh("rc-service six restart; ip netns delete vpn; touch /run/netns/vpn; mount --bind /proc/1/ns/net /run/netns/vpn")
	pid = h.respawned()
	kit.Equal(t, "daemon", h.where(pid), h.outside())
	kit.Contains(t, h.Run(statusCommand+"six").Stdout, `missing: network namespace "vpn" is the host's own`)
	h.fixed("six", "outside", "process "+pid+" (sleeper) is on the host's network", "ok")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.Sh("rc-service six stop")
	h.says("six", "stopped", "")
}

// The same on each OpenRC: where dpkg's start-stop-daemon leaves no record of
// the daemon, its cgroup tells.
func TestStatusOnReleases(t *testing.T) {
	eachOf(t, []string{"bookworm", "trixie"}, func(t *testing.T, release string) {
		h := bootRelease(t, machine.Options{Release: release}, true)
		h.Conf("daemon", "netns=vpn", "netns_lock=yes")
		h.says("daemon", "stopped", "")
		h.Sh("rc-service daemon start")
		pid := h.daemon()
		h.says("daemon", "ok", pid+"  sleeper")
		// A command by hand from within makes a cgroup below the service's.
		h.Sh("root=$(find /sys/fs/cgroup -name '*daemon' -type d); mkdir $root/netns-exec.1.2; echo " + pid + " >$root/netns-exec.1.2/cgroup.procs")
		h.says("daemon", "ok", pid+"  sleeper")
		h.Sh("ip netns delete vpn")
		h.fixed("daemon", "stale", `the name "vpn" was deleted since the start`, "ok")
		kit.Contains(t, h.Sh("exec 2>&1; rc-service daemon status"), `runs in network namespace "vpn"`)
		h.Sh("rc-service daemon stop; rm /etc/conf.d/daemon; rc-service daemon start")
		pid = h.daemon()
		h.Conf("daemon", "netns=vpn")
		h.fixed("daemon", "outside", "process "+pid+" (sleeper) is on the host's network", "ok")
	})
}

// Whoever logs in through a confined sshd and goes elsewhere is no alarm, as
// long as it is a person at a terminal.
func TestStatusOfSessions(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	for _, err := range []error{
		h.SSHD(),
		h.AddNetns("peer"),
		h.Veth(machine.End{Netns: "vpn", Device: "tun0", Addrs: []string{"192.0.2.1/24"}},
			machine.End{Netns: "peer", Device: "tun0", Addrs: []string{"192.0.2.2/24"}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const ssh = "ip netns exec peer ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=5 root@192.0.2.1 "
	h.Sh("mkdir -p /etc/netns/vpn; cp /etc/resolv.conf /etc/netns/vpn/; echo netns=vpn >>/etc/conf.d/sshd; rc-service sshd start")
	h.says("sshd", "ok", "")

	// What one sees in there is what one sees outside, also of what was mounted
	// since: here a namespace.
	kit.Contains(t, h.Sh(ssh+statusCommand+"sshd"), "ok\n")
	h.Sh("touch /run/late; unshare --net=/run/late true; sed -i s,vpn,/run/late, /etc/conf.d/sshd")
	kit.Equal(t, "seen from inside", h.Sh(ssh+"'"+statusCommand+"sshd | grep :'"), h.Sh(statusCommand+"sshd | grep :"))
	kit.Contains(t, h.Sh(statusCommand+"sshd || :"), `its settings now put it in network namespace "/run/late"`)
	h.Sh("sed -i s,/run/late,vpn, /etc/conf.d/sshd; umount /run/late")

	// With a terminal.
	h.Sh(ssh + "-tt nsenter --net=/proc/1/ns/net /usr/local/bin/sleeper 1000 </dev/null >/dev/null 2>&1 &")
	pid := h.daemon()
	h.Await("[ /proc/" + pid + "/ns/net -ef /proc/1/ns/net ]")
	h.says("sshd", "ok", "process "+pid+" (sleeper) belongs to a person who has logged in, on the host's network")
	h.Sh("kill " + pid)
	h.Await("! pgrep -x sleeper >/dev/null")

	// Without one it is what a daemon would be.
	h.Sh(ssh + "nsenter --net=/proc/1/ns/net /usr/local/bin/sleeper 1000 </dev/null >/dev/null 2>&1 &")
	pid = h.daemon()
	h.Await("[ /proc/" + pid + "/ns/net -ef /proc/1/ns/net ]")
	h.fixed("sshd", "outside", "process "+pid+" (sleeper) is on the host's network", "ok")

	// In a namespace of its own, as browsers and some servers make for their
	// workers; and by hand, in a cgroup below.
	h.Sh(ssh + "'unshare --net /usr/local/bin/sleeper 1000' </dev/null >/dev/null 2>&1 &")
	pid = h.daemon()
	h.Await("! [ /proc/" + pid + "/ns/net -ef /run/netns/vpn ]")
	h.says("sshd", "ok", "process "+pid+" (sleeper) is in a network namespace without a name, net:[")
	h.Sh("kill " + pid)
	h.Sh(ssh + "netns-exec --lock vpn /usr/local/bin/sleeper 1000 </dev/null >/dev/null 2>&1 &")
	h.Await("pgrep -x sleeper >/dev/null && grep -q netns-exec /proc/$(pgrep -x sleeper)/cgroup")
	pid = h.daemon()
	kit.Contains(t, h.Sh("cat /proc/"+pid+"/cgroup"), "/openrc.sshd/netns-exec.")
	h.says("sshd", "ok", pid+"  sleeper ")

	// An old session is no daemon: it does not keep a restart from repairing.
	h.Sh("cp /etc/resolv.conf /etc/new; mv /etc/new /etc/resolv.conf")
	h.fixed("sshd", "files", "it sees the host's /etc/resolv.conf", "ok")
	kit.Contains(t, h.Sh(statusCommand+"sshd"), pid+"  sleeper ")
}

// What leads nowhere that anybody gets to is not what was bound.
func TestStatusOfALongWay(t *testing.T) {
	t.Parallel()
	h := bootResolved(t)
	h.startWith("daemon", "netns=vpn")
	h.says("daemon", "ok", "")
	h.Sh("nsenter -t " + h.daemon() + ` -m sh -c 'mount -t tmpfs none /etc; echo other >/etc/r; ln -s "$(printf ./%.0s $(seq 300))r" /etc/resolv.conf'`)
	h.says("daemon", "files", "it sees a different /etc/resolv.conf")
}

// Without its record, of which a damaged one is no more, nobody knows what a start has
// set up.
func TestStatusWithoutARecord(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	for _, loss := range []string{"rm ", "echo x >"} {
		h.startWith("daemon", "netns=vpn", "netns_lock=yes")
		h.says("daemon", "ok", "")
		h.Sh(loss + "/run/openrc/options/daemon/netns")
		h.fixed("daemon", "stale", "nothing is on record of its start", "ok")
		h.stops("daemon")
	}
}

// A monitor must not be woken by a restart.
func TestStatusDuringRestarts(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("mkdir -p /etc/netns/vpn; cp /etc/resolv.conf /etc/netns/vpn")
	h.Conf("daemon", "netns=vpn", "netns_lock=yes")
	h.Conf("supervised", "netns=vpn")
	out := h.Sh(`rc-service daemon start; rc-service supervised start
		(for i in $(seq 4); do rc-service daemon restart; rc-service supervised restart; done >/dev/null 2>&1; touch /run/done) &
		until [ -e /run/done ]; do ` + statusCommand + ` >/run/out 2>&1 || cat /run/out; done >/run/alarms; cat /run/alarms`)
	lacks(t, out, "SERVICE") // alarms
}

// rc-service SERVICE status says where the service runs.
func TestStatusActionSaysWhere(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		const inside, started = `daemon: runs in network namespace "vpn"`, "status: started"
		says := func(lines ...string) {
			t.Helper()
			kit.Equal(t, "status", h.Sh("exec 2>&1; rc-service daemon status"), " * "+strings.Join(lines, "\n * "))
		}
		h.Conf("daemon", "netns=vpn")
		lacks(t, h.Sh("exec 2>&1; rc-service daemon status; [ $? = 3 ]"), "namespace")
		h.Sh("rc-service daemon start")
		says(inside, started)
		h.Sh("mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf")
		says(inside, "daemon: it sees the host's /etc/resolv.conf and not /etc/netns/vpn/resolv.conf; fix it with: rc-netns repair daemon", started)
		h.Sh("rc-service daemon restart")
		says(inside, started)
		// Where nothing is wrong that takes no program more.
		lacks(t, h.Sh("strace -f -qq -e trace=execve -o /run/calls rc-service daemon status >/dev/null; cat /run/calls"), `execve("/usr/sbin/rc-netns"`)

		// What the action says of the name is not said again.
		h.Sh("rm /etc/netns/vpn/resolv.conf; ip netns delete vpn")
		says(`daemon: the name "vpn" no longer leads to the network namespace that the service was started in: acting in that one`+
			"; fix it with: rc-netns repair daemon", started)
		kit.Equal(t, "repair", h.Sh("rc-netns repair daemon"), `daemon: its network namespace has the name "vpn" again`)
		says(inside, started)
		h.Sh("rc-service daemon restart")

		// What it finds makes no difference to the status.
		h.killDaemon()
		h.Sh("rc-service daemon status; [ $? = 32 ]")
		h.Sh("rc-service daemon stop; rm /etc/conf.d/daemon; rc-service daemon start")
		says(started)
		h.Conf("daemon", "netns=vpn")
		out := h.Sh("exec 2>&1; rc-service daemon status")
		kit.Contains(t, out, " * daemon: runs on the host's network\n")
		kit.Contains(t, out, "(sleeper) is on the host's network; fix it with: rc-service daemon restart")
	})
}
