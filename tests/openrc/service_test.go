package openrc

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// trace is what the functions of a script wrote down: where each of them ran.
func trace(h *host, service string) map[string]string {
	h.t.Helper()
	seen := map[string]string{}
	file := h.path("/run/trace." + service)
	text, err := os.ReadFile(file)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		function, namespace, _ := strings.Cut(strings.TrimSpace(line), " ")
		if before, again := seen[function]; again && before != namespace && function != "script" {
			h.t.Errorf("%s ran in %s and in %s", function, before, namespace)
		}
		seen[function] = namespace
	}
	return seen
}

func ran(h *host, service, namespace string, functions ...string) {
	h.t.Helper()
	seen := trace(h, service)
	for _, function := range append(functions, "script") {
		if seen[function] != namespace {
			h.t.Errorf("%s ran in %q, want %s", function, seen[function], namespace)
		}
		delete(seen, function)
	}
	if len(seen) > 0 {
		h.t.Errorf("these ran too: %v", seen)
	}
}

func wholeScriptRunsInside(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	out := h.Run("rc-service daemon start")
	if err := out.Err(); err != nil {
		t.Fatal(err)
	}
	ran(h, "daemon", h.inside(), "start_pre", "start_post")
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	equal(t, "state", h.state("daemon"), "started")
	h.Run("rm -f /run/trace.daemon")

	contains(t, h.sh("rc-service daemon status"), "status: started")
	ran(h, "daemon", h.inside(), "status")
	h.sh("rc-service daemon reload")
	ran(h, "daemon", h.inside(), "reload")
	h.sh("rc-service daemon checkconfig")
	ran(h, "daemon", h.inside(), "checkconfig")

	before := h.daemon()
	h.sh("rc-service daemon restart")
	ran(h, "daemon", h.inside(), "stop_pre", "stop_post", "start_pre", "start_post")
	if after := h.daemon(); after == before {
		t.Error("the restart left the old daemon")
	}
	equal(t, "daemon", h.where(h.daemon()), h.inside())

	// The daemon has nothing of ours in its environment or its parents.
	environ := h.sh("tr '\\0' '\\n' </proc/" + h.daemon() + "/environ")
	if strings.Contains(environ, "OPENRC_NETNS") {
		t.Errorf("the daemon has our variables:\n%s", environ)
	}
	if out := h.Run("pgrep -a netns").Stdout; out != "" {
		t.Errorf("something of ours stays: %s", out)
	}

	h.sh("rc-service daemon stop")
	ran(h, "daemon", h.inside(), "stop_pre", "stop_post")
	equal(t, "state", h.state("daemon"), "stopped")
	h.noDaemon()
	h.Run("rm -f /run/trace.daemon")

	// A stopped service answers status as well.
	contains(t, h.Run("rc-service daemon status").Output, "status: stopped")
	ran(h, "daemon", h.inside(), "status")
	if left := h.sh("find /run/openrc/options /run/openrc/daemons -name daemon"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func missingNamespaceFailsTheStart(t *testing.T, h *host) {
	h.conf("daemon", "netns=nowhere")
	mounts := h.sh("cat /proc/self/mountinfo")
	out := h.fails("rc-service daemon start")
	t.Log(out)
	equal(t, "output", out, " * daemon: network namespace \"nowhere\" does not exist; create it with: ip netns add nowhere\n"+
		" * ERROR: daemon failed to start\n")
	equal(t, "state", h.state("daemon"), "stopped")
	h.noDaemon()
	if h.Run("test -e /run/trace.daemon").Code == 0 {
		t.Errorf("the script ran:\n%s", h.sh("cat /run/trace.daemon"))
	}
	equal(t, "mounts", h.sh("cat /proc/self/mountinfo"), mounts)
	equal(t, "processes", h.sh("pgrep -c -f '[n]etns-exec|[n]etns-hook|[o]penrc-run' || :"), "0")

	// The remedy, word for word.
	h.sh("ip netns add nowhere")
	h.sh("rc-service daemon start")
	equal(t, "daemon", h.where(h.daemon()), "net:["+h.sh("stat -L -c %i /run/netns/nowhere")+"]")
	h.sh("rc-service daemon stop")
}

func TestBadSettingFailsTheStart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		conf []string
		want string
	}{
		"name":       {[]string{"netns=../vpn"}, `daemon: bad network namespace name "../vpn": give a name without a slash, or an absolute path`},
		"netns_etc":  {[]string{"netns=vpn", "netns_etc=copy"}, `daemon: netns_etc="copy": use "bind" or "none"`},
		"hide":       {[]string{"netns=vpn", "netns_hide=/nowhere"}, `daemon: cannot hide "/nowhere": no such file or directory`},
		"capability": {[]string{"netns=vpn", "netns_lock=yes", "netns_lock_keep=net_adm"}, `daemon: netns_lock_keep: "net_adm" is not a capability that a lock takes away: use bpf, checkpoint_restore, dac_read_search, mknod, net_admin, perfmon, sys_admin, sys_boot, sys_module, sys_ptrace or sys_rawio`},
		"lock":       {[]string{"netns=vpn", "netns_lock=maybe"}, `daemon: netns_lock="maybe": use "yes" or "no"`},
		"vrf":        {[]string{"netns=vpn", "vrf=mgmt"}, `daemon: VRF "mgmt": no such device in this network namespace`},
		"no vrf":     {[]string{"netns=vpn", "vrf=lo"}, `daemon: device "lo" is not a VRF`},
		"vrf alone":  {[]string{"vrf=mgmt"}, `daemon: VRF "mgmt": no such device in this network namespace`},
		"runit":      {[]string{"netns=vpn", "supervisor=runit"}, `daemon: runit would start the daemon outside: remove the settings from conf.d, and start it in the run script with: exec netns-exec vpn -- COMMAND`},
		"s6":         {[]string{"netns=vpn", "supervisor=s6", "chroot=/srv"}, `daemon: s6 would look for netns-exec below chroot="/srv": use supervisor=supervise-daemon`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := boot(t, "dash", true)
			h.conf("daemon", test.conf...)
			out := h.fails("rc-service daemon start")
			equal(t, "output", out, " * "+test.want+"\n * ERROR: daemon failed to start\n")
			equal(t, "state", h.state("daemon"), "stopped")
			h.noDaemon()
			if left := h.sh("find /sys/fs/cgroup -name '*daemon'"); left != "" {
				t.Errorf("a cgroup is left: %s", left)
			}

			// The same setting must not take a running daemon away.
			h.conf("daemon", "netns=vpn")
			h.sh("rc-service daemon start; rm /run/trace.daemon")
			before := h.daemon()
			h.conf("daemon", test.conf...)
			out = h.fails("rc-service daemon restart")
			contains(t, out, strings.TrimPrefix(test.want, "daemon: "))
			contains(t, out, "failed to stop")
			equal(t, "daemon", h.daemon(), before)
			equal(t, "state", h.state("daemon"), "started")
			if out := h.Run("grep -v ^script /run/trace.daemon").Stdout; out != "" {
				t.Errorf("functions of the script ran:\n%s", out)
			}

			// And it does not stand in the way of a stop. (With another supervisor
			// OpenRC would ask that one to stop what it never started.)
			if strings.Contains(strings.Join(test.conf, " "), "supervisor") {
				h.conf("daemon", "netns=vpn")
			}
			h.sh("rc-service daemon stop")
			h.noDaemon()
		})
	}
}

// TestBadSettingFailsTheStart has every setting; of two it is enough to see that
// each shell passes them on.
func badSettingIsRefused(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	h.sh("rc-service daemon start")
	running := h.daemon()
	for setting, want := range map[string]string{
		"netns=../vpn":                  `bad network namespace name "../vpn": give a name without a slash, or an absolute path`,
		"netns=vpn netns_lock='on  on'": `netns_lock="on  on": use "yes" or "no"`,
	} {
		h.conf("daemon", setting)
		h.sh("rm -f /run/trace.daemon")
		contains(t, h.fails("rc-service daemon restart"), "daemon: not stopped, because the start would fail: "+want)
		equal(t, "daemon", h.daemon(), running)
		equal(t, "state", h.state("daemon"), "started")
		if out := h.Run("grep -v ^script /run/trace.daemon").Stdout; out != "" {
			t.Errorf("functions of the script ran:\n%s", out)
		}
	}
	h.sh("rc-service daemon stop")
	h.noDaemon()
	contains(t, h.fails("rc-service daemon start"), "daemon: ")
	h.noDaemon()
	equal(t, "state", h.state("daemon"), "stopped")
}

func restartIsRefusedWhenTheNamespaceIsMissing(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	h.sh("rc-service daemon start; rm /run/trace.daemon")
	before := h.daemon()
	h.sh("ip netns delete vpn")
	for _, verb := range []string{"restart", "condrestart", "conditionalrestart"} {
		out := h.fails("rc-service daemon " + verb)
		equal(t, verb, out, " * daemon: not stopped, because the start would fail: network namespace \"vpn\" does not exist; create it with: ip netns add vpn\n"+
			" * ERROR: daemon failed to stop\n")
		equal(t, "daemon", h.daemon(), before)
		equal(t, "state", h.state("daemon"), "started")
	}
	if h.Run("test -e /run/trace.daemon").Code == 0 {
		t.Errorf("the script ran:\n%s", h.sh("cat /run/trace.daemon"))
	}
	h.sh("rc-service daemon stop")
	h.noDaemon()
}

// A name can go and its namespace live on, because the daemon is in it.
func nameGoneDaemonAlive(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	inside := h.inside()
	h.sh("rc-service daemon start; rm /run/trace.daemon")
	h.sh("ip netns delete vpn")

	out := h.sh("exec 2>&1; rc-service daemon status")
	contains(t, out, "status: started")
	contains(t, out, `daemon: the name "vpn" no longer leads to the network namespace that the service was started in: acting in that one`)
	ran(h, "daemon", inside, "status")
	h.sh("rc-service daemon reload")
	ran(h, "daemon", inside, "reload")
	h.sh("rc-service daemon stop")
	ran(h, "daemon", inside, "stop_pre", "stop_post")
	h.noDaemon()
	equal(t, "state", h.state("daemon"), "stopped")
}

func nameMadeAnew(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	before := h.inside()
	h.sh("rc-service daemon start; rm /run/trace.daemon")
	h.sh("ip netns delete vpn; ip netns add other; ip netns add vpn")
	if h.inside() == before {
		t.Fatal("the new namespace has the old one's inode")
	}
	contains(t, h.sh("rc-service daemon status"), "status: started")
	ran(h, "daemon", before, "status")

	// restart moves it to where the name leads now.
	h.sh("rc-service daemon restart")
	seen := trace(h, "daemon")
	equal(t, "stop_pre", seen["stop_pre"], before)
	equal(t, "start_pre", seen["start_pre"], h.inside())
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.sh("rc-service daemon stop")
	h.noDaemon()
}

// With the daemon dead and the name gone there is nothing left to act on, and
// it must not be the host.
func nameGoneDaemonDead(t *testing.T, h *host) {
	stop := func() string {
		if h.seesCrashes() {
			return h.sh("exec 2>&1; rc-service daemon stop")
		}
		// dpkg's start-stop-daemon does not stop what has gone, with us or without.
		out := h.Run("rc-service daemon stop").Output
		contains(t, out, "none killed")
		h.sh("rc-service daemon zap; rmdir /sys/fs/cgroup/unified/daemon")
		return out
	}
	h.conf("daemon", "netns=vpn")
	h.sh("rc-service daemon start; rm /run/trace.daemon")
	h.sh("ip netns delete vpn")
	h.killDaemon()

	if h.seesCrashes() {
		contains(t, h.fails("rc-service daemon status"), "status: crashed")
	} else {
		h.sh("rc-service daemon status")
	}
	if where := trace(h, "daemon")["status"]; where == h.outside() || where == "" {
		t.Errorf("status ran in %q", where)
	}
	// What needs the namespace does not pretend.
	out := h.fails("rc-service daemon checkconfig")
	contains(t, out, `daemon: the network namespace "vpn" that the service was started in is gone`)

	out = stop()
	contains(t, out, `daemon: the network namespace "vpn" that the service was started in is gone: acting in a new, empty one`)
	if where := trace(h, "daemon")["stop_pre"]; where == h.outside() || where == "" {
		t.Errorf("stop_pre ran in %q", where)
	}
	equal(t, "state", h.state("daemon"), "stopped")

	// The inode of a namespace that has gone is given again; a new one of
	// that number is not taken for the old one.
	h.sh("ip netns add vpn; rc-service daemon start; rm /run/trace.daemon")
	h.sh("ip netns delete vpn")
	h.killDaemon()
	h.sh("for i in 1 2 3 4 5; do ip netns add other$i; done")
	stop()
	where := trace(h, "daemon")["stop_pre"]
	others := h.sh("for i in 1 2 3 4 5; do echo net:[$(stat -L -c %i /run/netns/other$i)]; done")
	if strings.Contains(others, where) {
		t.Errorf("stop_pre ran in %s, which is another's:\n%s", where, others)
	}
}

// A stop acts where the start acted, whatever conf.d says by then.
func settingRemovedWhileRunning(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	h.sh("rc-service daemon start; rm /run/trace.daemon")
	h.sh("rm /etc/conf.d/daemon")
	h.sh("rc-service daemon status")
	ran(h, "daemon", h.inside(), "status")
	h.sh("rc-service daemon restart")
	seen := trace(h, "daemon")
	equal(t, "stop_pre", seen["stop_pre"], h.inside())
	equal(t, "start_pre", seen["start_pre"], h.outside())
	equal(t, "daemon", h.where(h.daemon()), h.outside())

	// And the other way round: it was started outside, and is to move.
	h.conf("daemon", "netns=vpn")
	contains(t, h.sh("exec 2>&1; rc-service daemon restart"), "daemon: it was not started in a network namespace: what it has set up outside stays there")
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.sh("rc-service daemon stop")
	h.noDaemon()
}

// A record that cannot be read is no licence to act on the host's network.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	for _, damage := range []string{": >", "rm $record; mkdir "} {
		h.conf("daemon", "netns=vpn")
		h.sh("record=/run/openrc/options/daemon/netns; rc-service daemon start; rm /run/trace.daemon; " + damage + "$record")

		// The setting says where.
		out := h.sh("exec 2>&1; rc-service daemon status")
		contains(t, out, "daemon: cannot tell where the service was started: ")
		ran(h, "daemon", h.inside(), "status")

		// Without it nobody knows.
		h.sh("rm /etc/conf.d/daemon")
		contains(t, h.fails("rc-service daemon reload"), "daemon: cannot tell where the service was started: ")
		out = h.sh("exec 2>&1; rc-service daemon stop")
		contains(t, out, "daemon: cannot tell where the service was started: ")
		contains(t, out, ": acting in a new, empty one")
		if where := trace(h, "daemon")["stop_pre"]; where == h.outside() || where == "" {
			t.Errorf("stop_pre ran in %q", where)
		}
		h.noDaemon()
		equal(t, "state", h.state("daemon"), "stopped")

		// It sees no devices of the host there.
		h.initScript("wall", "#!/sbin/openrc-run\nstart() { :; }\nstop() { ls /sys/class/net >/run/trace.wall; }\n")
		h.conf("wall", "netns=vpn")
		h.sh("record=/run/openrc/options/wall/netns; rc-service wall start; " + damage + "$record; rm /etc/conf.d/wall; ip link add eth9 type veth peer name eth8; rc-service wall stop")
		equal(t, "devices", h.sh("cat /run/trace.wall; ip link delete eth9"), "lo")

		// A stop does not claim what nobody knows.
		h.conf("daemon", "netns=vpn")
		h.sh("record=/run/openrc/options/daemon/netns; rc-service daemon start; rm /run/trace.daemon; " + damage + "$record")
		out = h.sh("exec 2>&1; rc-service daemon stop")
		if strings.Contains(out, "it was not started in a network namespace") {
			t.Errorf("it was:\n%s", out)
		}
		ran(h, "daemon", h.inside(), "stop_pre", "stop_post")
	}
}

// A setting that leads to the host's own namespace is no licence to start there:
// by a name that was given to it, or by a process that was another one once.
func TestNamespaceIsTheHosts(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.sh("touch /run/netns/own; mount --bind /proc/1/ns/net /run/netns/own")
	sleeper := h.sh("sleep 1000 >/dev/null 2>&1 & echo $!")
	for netns, why := range map[string]string{
		"own":                          `network namespace "own" is the host's own; delete the name with: ip netns delete own; or write /proc/1/ns/net, if that is meant`,
		"/run/netns/own":               `network namespace "/run/netns/own" is the host's own; delete the name with: ip netns delete own; or write /proc/1/ns/net, if that is meant`,
		"/proc/" + sleeper + "/ns/net": `network namespace "/proc/` + sleeper + `/ns/net" is the host's own; name another one, or write /proc/1/ns/net, if that is meant`,
	} {
		h.conf("daemon", "netns=vpn")
		h.sh("rc-service daemon start; rm /run/trace.daemon")
		running := h.daemon()
		h.conf("daemon", "netns="+netns)
		contains(t, h.fails("rc-service daemon restart"), "daemon: not stopped, because the start would fail: "+why)
		equal(t, "daemon", h.daemon(), running)
		h.sh("rc-service daemon stop; rm /run/trace.daemon")
		equal(t, "start", h.fails("rc-service daemon start"), " * daemon: "+why+"\n * ERROR: daemon failed to start\n")
		h.noDaemon()
		if h.Run("test -e /run/trace.daemon").Code == 0 {
			t.Errorf("the script ran:\n%s", h.sh("cat /run/trace.daemon"))
		}
		equal(t, "by hand, with the settings", h.fails("netns-exec --service daemon true"), "netns-exec: "+why+"\n")
		// A stop works, and what is said outright is done: in OpenRC, and by hand.
		h.sh("rc-service daemon stop")
		equal(t, "by hand", h.sh("netns-exec vpn netns-exec "+netns+" readlink /proc/self/ns/net"), h.outside())
	}
	h.conf("daemon", "netns=/proc/1/ns/net")
	h.sh("rc-service daemon start")
	equal(t, "daemon", h.where(h.daemon()), h.outside())
	h.sh("rc-service daemon stop; kill " + sleeper)
}

// A script that calls no supervisor: what it does to a network must be done to
// its namespace's, in every order of events.
func scriptWithItsOwnStart(t *testing.T, h *host) {
	h.initScript("firewall", `#!/sbin/openrc-run
extra_commands="save"
start() { ip link add rule0 type veth peer name rule1; }
stop() { for rule in $(ip -o link | sed -n 's/^[0-9]*: \(rule[0-9]\)@.*/\1/p'); do ip link delete "$rule" 2>/dev/null; done; return 0; }
save() { ip -o link >/run/trace.rules; }
`)
	h.conf("firewall", "netns=vpn")
	h.sh("ip link add rule8 type veth peer name rule9")
	links := func(where string) string { return h.sh(where + " ip -o link | cut -d: -f2 | tr -d '\\n'") }
	host := links("")

	h.sh("rc-service firewall start")
	contains(t, links("ip netns exec vpn"), "rule0@rule1")
	equal(t, "host", links(""), host)
	h.sh("rc-service firewall save")
	contains(t, h.sh("cat /run/trace.rules"), "rule0@rule1")

	h.sh("rc-service firewall stop")
	equal(t, "namespace", links("ip netns exec vpn"), " lo")
	equal(t, "host", links(""), host)

	// With the namespace gone: stop works, the host keeps its rules, and the
	// saved ones are not overwritten with none.
	h.sh("rc-service firewall start; ip netns delete vpn")
	contains(t, h.fails("rc-service firewall save"), "is gone")
	contains(t, h.sh("cat /run/trace.rules"), "rule0@rule1")
	h.sh("rc-service firewall stop")
	equal(t, "host", links(""), host)
	equal(t, "state", h.state("firewall"), "stopped")
	h.sh("ip link delete rule8")
}

func whereSettingsCanStand(t *testing.T, h *host) {
	h.sh("ip netns add mgmt; ln -s daemon /etc/init.d/daemon.b")
	mgmt := "net:[" + h.sh("stat -L -c %i /run/netns/mgmt") + "]"
	started := func(service, want string) {
		t.Helper()
		h.sh("rc-service " + service + " start")
		equal(t, service, h.where(h.daemon()), want)
		h.sh("rc-service " + service + " stop")
	}
	// conf.d/BASE counts for NAME, conf.d/NAME overrides it.
	h.conf("daemon", "netns=vpn")
	started("daemon.b", h.inside())
	h.conf("daemon.b", "netns=mgmt")
	started("daemon.b", mgmt)
	started("daemon", h.inside())
	// NAME.RUNLEVEL stands in for NAME.
	h.conf("daemon.default", "netns=mgmt")
	started("daemon", mgmt)
	h.sh("rm /etc/conf.d/daemon*")
	started("daemon", h.outside())
	// The shell's view counts, not a reader's.
	h.conf("daemon", "tunnel=mgmt", `netns="${tunnel}"`)
	started("daemon", mgmt)

	// The script itself.
	started("own-netns", h.inside())
	h.conf("own-netns", "netns=mgmt")
	contains(t, h.fails("rc-service own-netns start"), "own-netns: the init script changes what conf.d says about netns")
	h.noDaemon()
	h.conf("own-netns", "netns=vpn")
	started("own-netns", h.inside())
	h.sh("rm /etc/conf.d/own-netns; ip netns delete vpn")
	contains(t, h.fails("rc-service own-netns start"), `own-netns: network namespace "vpn" does not exist`)
	h.noDaemon()
}

func TestStartStopDaemonOptions(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.conf("picky", "netns=vpn")
		contains(t, h.fails("rc-service picky start"), "picky.conf' is not readable")
		equal(t, "state", h.state("picky"), "stopped")
		h.noDaemon()
		h.write("/etc/picky.conf", "")
		h.sh("echo 'rc_env_allow=\"ODD GODEBUG GOMEMLIMIT\"' >>/etc/rc.conf")
		// All as it is without us, but for the namespace.
		look := func() string {
			h.sh("ODD=\"$(printf 'a\\001b\\nc')\" GODEBUG=cgocheck=2 GOMEMLIMIT=nonsense rc-service picky start")
			pid := h.daemon()
			equal(t, "pidfile", h.sh("cat /run/picky.pid"), pid)
			return h.sh("cd /proc/" + pid + "; readlink cwd; cat limits oom_score_adj; tr '\\0' '\\n' <environ | sort; ls -l fd | cut -c60-; " +
				"grep -E '^(Umask|Uid|Gid|Groups|Sig[BIC]|Cap|NoNew)' status; ps -o user=,group=,ni=,tty= -p " + pid)
		}
		inside := look()
		equal(t, "daemon", h.where(h.daemon()), h.inside())
		contains(t, inside, "ODD=a\x01b\n")
		contains(t, inside, "GODEBUG=cgocheck=2\nGOMEMLIMIT=nonsense\n")
		h.sh("rc-service picky stop")
		h.sh("rm /etc/conf.d/picky")
		outside := look()
		if diff := cmp.Diff(outside, inside); diff != "" {
			t.Errorf("the daemon differs (-without +with netns):\n%s", diff)
		}
		h.sh("rc-service picky stop")
		h.noDaemon()
	})
}

func superviseDaemonRespawnsInside(t *testing.T, h *host) {
	h.conf("supervised", "netns=vpn")
	h.sh("rc-service supervised start")
	h.sh("until pgrep -x sleeper >/dev/null; do sleep 0.1; done")
	first := h.daemon()
	equal(t, "daemon", h.where(first), h.inside())
	equal(t, "supervisor", h.where(h.sh("pgrep -f '^supervise-daemon'")), h.inside())
	equal(t, "user", h.sh("ps -o user= -p "+first), "daemon")
	h.sh("kill -9 " + first + "; while [ -e /proc/" + first + " ] || ! pgrep -x sleeper; do sleep 0.1; done >/dev/null")
	second := h.daemon()
	if second == first {
		t.Fatal("not respawned")
	}
	equal(t, "respawned daemon", h.where(second), h.inside())
	h.sh("until [ -s /run/trace.supervised ]; do sleep 0.1; done")
	equal(t, "healthcheck", trace(h, "supervised")["healthcheck"], h.inside())
	contains(t, h.sh("rc-service supervised status"), "status: started")
	h.sh("rc-service supervised stop")
	h.noDaemon()
}

// What is between rc-service and the script must not depend on what an action
// is called.
func TestOddActions(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.conf("daemon", "netns=vpn")
		for _, action := range []string{"'start '", "' start'", "''", "\"$(printf 'start\\nx')\"", "nosuch", "'*'", "/etc/init.d/daemonstart"} {
			out := h.fails("/etc/init.d/daemon " + action)
			t.Logf("%s: %s", action, out)
			if strings.Contains(out, "openrc-netns-hook") {
				t.Errorf("%s: this is for the drop-in, not for an administrator: %s", action, out)
			}
			h.noDaemon()
		}
		contains(t, h.sh("rc-service daemon describe"), "A daemon that start-stop-daemon starts")
		equal(t, "what it needs", h.sh("rc-update -u >/dev/null; rc-service daemon ineed | xargs"), "")
		contains(t, h.sh("rc-update add daemon; rc-update -u; cat /run/openrc/deptree"), "_service='daemon'")
	})
}

func TestWithoutPrivilege(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.conf("daemon", "netns=vpn")
		h.sh("rc-service daemon start; rm /run/trace.daemon")
		out := h.sh("exec 2>&1; setpriv --reuid nobody --regid nogroup --clear-groups rc-service daemon status")
		contains(t, out, "daemon: only root can look inside its network namespace, this is what OpenRC knows")
		contains(t, out, "status: started")
		if h.Run("test -e /run/trace.daemon").Code == 0 {
			t.Error("the script ran outside")
		}
		// Root without the capability cannot enter, and does not go on outside.
		out = h.fails("setpriv --bounding-set -sys_admin rc-service daemon reload")
		contains(t, out, "entering a network namespace needs CAP_SYS_ADMIN")
		h.sh("rc-service daemon stop")
		out = h.fails("setpriv --bounding-set -sys_admin rc-service daemon start")
		contains(t, out, "entering a network namespace needs CAP_SYS_ADMIN")
		h.noDaemon()
	})
}

func TestHookMissing(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.conf("daemon", "netns=vpn")
		h.sh("mv /usr/sbin/openrc-netns-hook /root")
		out := h.fails("rc-service daemon start")
		contains(t, out, `daemon: cannot enter its network namespace: /usr/sbin/openrc-netns-hook is missing, install openrc-netns again`)
		h.noDaemon()
		if h.Run("test -e /run/trace.daemon").Code == 0 {
			t.Error("the script ran outside")
		}
		// A service without netns does not care.
		h.sh("rc-service plain start; rc-service plain stop")
	})
}

// /etc and /sys are those of the namespace, and all that is mounted below /sys
// stays.
func privateView(t *testing.T, h *host) {
	h.sh(`mkdir -p /etc/netns/vpn; echo nameserver 198.51.100.53 >/etc/netns/vpn/resolv.conf
		ip -n vpn link add wan type veth peer name lan netns vpn`)
	h.conf("daemon", "netns=vpn")
	const below = "awk '$5 ~ \"^/sys/\" { print $4, $5, $6 }' /proc/%s/mountinfo"
	h.sh("rc-service daemon start")
	pid := h.daemon()
	root := "/proc/" + pid + "/root"
	equal(t, "resolv.conf", h.sh("cat "+root+"/etc/resolv.conf"), "nameserver 198.51.100.53")
	equal(t, "the host's resolv.conf", h.sh("cat /etc/resolv.conf"), "nameserver 192.0.2.53")
	equal(t, "devices", h.sh("ls "+root+"/sys/class/net | xargs"), "lan lo wan")
	equal(t, "the host's devices", h.sh("ls /sys/class/net | xargs"), "lo")
	mounts := h.sh(fmt.Sprintf(below, "1"))
	contains(t, mounts, "/sys/fs/cgroup")
	equal(t, "mounts below /sys", h.sh(fmt.Sprintf(below, pid)), mounts)
	equal(t, "cgroups", h.sh("ls "+root+"/sys/fs/cgroup"), h.sh("ls /sys/fs/cgroup"))
	h.sh("rc-service daemon stop")
}

// The private view of /etc is strict for start, and no obstacle to stop.
func brokenEtc(t *testing.T, h *host) {
	h.conf("daemon", "netns=vpn")
	h.sh("mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf; touch /etc/resolv.conf")
	h.sh("rc-service daemon start")
	equal(t, "resolv.conf", h.sh("cat /proc/"+h.daemon()+"/root/etc/resolv.conf"), "nameserver 192.0.2.53")
	h.sh("touch /etc/netns/vpn/nowhere")
	contains(t, h.fails("rc-service daemon restart"), `not stopped, because the start would fail: cannot bind "/etc/netns/vpn/nowhere"`)
	equal(t, "warnings of a stop in the view of the start", h.sh("rc-service -q daemon stop 2>&1"), "")
	h.noDaemon()
	contains(t, h.Run("rc-service daemon status 2>&1").Output, `cannot bind "/etc/netns/vpn/nowhere" over "/etc/nowhere", which does not exist`)
	contains(t, h.fails("rc-service daemon start"), `cannot bind "/etc/netns/vpn/nowhere"`)
	h.noDaemon()
}

// forks counts the forks and execs that a command takes. A fork that the end of
// another process interrupts (ERESTARTNOINTR) is made again, and counts once.
func (h *host) forks(command string) string {
	h.t.Helper()
	forks := h.sh("strace -ff -o /run/trace.strace -e trace=clone,clone3,fork,vfork,execve " + command + ` || exit
		sed -n 's/^\([a-z0-9]*\)(.* = [0-9]*$/\1/p' /run/trace.strace.* | sort | uniq -c; rm /run/trace.strace.*`)
	contains(h.t, forks, " clone")
	contains(h.t, forks, " execve")
	return forks
}

// A service without netns forks and execs exactly what it does without us, and
// runs where it would.
func noTax(t *testing.T, h *host) {
	count := func() string {
		h.sh("rc-update -u") // an init script of ours is read for its dependencies, once
		forks := h.forks("rc-service plain start")
		h.sh("rc-service plain stop")
		return forks
	}
	with := count()
	h.sh("rc-service daemon start")
	equal(t, "daemon", h.where(h.daemon()), h.outside())
	equal(t, "mounts", h.sh("readlink /proc/"+h.daemon()+"/ns/mnt"), h.sh("readlink /proc/1/ns/mnt"))
	h.sh("rc-service daemon stop")
	ran(h, "daemon", h.outside(), "start_pre", "start_post", "stop_pre", "stop_post")

	h.sh("mv /etc/rc.conf.d/50-netns.conf /root")
	without := count()
	h.sh("mv /root/50-netns.conf /etc/rc.conf.d")
	t.Logf("calls without the drop-in:\n%s", without)
	equal(t, "with the drop-in", with, without)
}

// Alpine's OpenRC puts RC_VRF_EXEC before start-stop-daemon, made from the same
// variables. Entering once is enough, and ip netns exec would lose the cgroups.
func TestAlpinesPatch(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.sh(`cd /usr/lib/rc/sh && sed -i -e 's/eval start-stop-daemon --start/eval $RC_VRF_EXEC start-stop-daemon --start/' \
			-e '1i [ -z "$netns" ] || RC_VRF_EXEC="ip netns exec $netns"' start-stop-daemon.sh && grep -c RC_VRF_EXEC start-stop-daemon.sh`)
		cgroups := func() string {
			return h.sh("grep -c ' /sys/fs/cgroup ' /proc/" + h.daemon() + "/mountinfo || :")
		}
		h.conf("daemon", "netns=vpn")
		h.sh("rc-service daemon start")
		equal(t, "daemon", h.where(h.daemon()), h.inside())
		equal(t, "cgroup mounts", cgroups(), "1")
		h.sh("rc-service daemon stop")

		// Without us the patch works, and loses them: the test can fail.
		h.sh("mv /etc/rc.conf.d/50-netns.conf /root; rc-service daemon start")
		equal(t, "daemon", h.where(h.daemon()), h.inside())
		equal(t, "cgroup mounts without the drop-in", cgroups(), "0")
	})
}

// Settings that a function of the script makes are too late to be followed, and
// not ignored either.
func TestLateSettings(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		const refusal = "late-netns: a function of the init script sets netns, vrf or a netns_ variable, which is too late: set it in /etc/conf.d/late-netns"
		for _, test := range []struct{ conf, late string }{
			{"", "netns=vpn"},
			{"", "vrf=mgmt"},
			{"netns=vpn", "netns=other"},
			{"netns=vpn", "netns_lock=yes"},
			{"supervisor=supervise-daemon", "netns=vpn"},
		} {
			h.conf("late-netns", test.conf, "late='"+test.late+"'")
			contains(t, h.fails("rc-service late-netns start"), refusal)
			equal(t, "state", h.state("late-netns"), "stopped")
			h.noDaemon()
			// With colours there is other machinery around the messages.
			out := h.Run("script -qec 'TERM=xterm rc-service late-netns start' /dev/null")
			contains(t, out.Output, refusal)
			h.noDaemon()
		}

		// The remedy; and what says the same again does no harm.
		h.conf("late-netns", "netns=vpn", "late='netns=vpn'")
		h.sh("rc-service late-netns start")
		equal(t, "daemon", h.where(h.daemon()), h.inside())
		h.sh("rc-service late-netns stop")

		// Nor does a variable of that name in a script that starts nothing itself.
		h.write("/etc/init.d/maker", "#!/sbin/openrc-run\nstart() { for netns in a b; do ebegin \"Making $netns\"; ip netns add $netns; eend $?; done; }\n")
		h.sh("chmod 755 /etc/init.d/maker; rc-service maker start")

		// The messages are what they are without us.
		h.conf("late-netns", "late=:")
		for _, command := range []string{
			"rc-service late-netns start; rc-service late-netns stop",
			"script -qec 'export TERM=xterm; rc-service late-netns start; rc-service late-netns stop' /dev/null",
			"script -qec 'export TERM=xterm; rc-service -C late-netns start; rc-service late-netns stop' /dev/null",
		} {
			// (Not at a time when OpenRC has to work out dependencies as well.)
			without := h.Run("mv /etc/rc.conf.d/50-netns.conf /run; rc-update -u >/dev/null; " + command).Output
			h.sh("mv /run/50-netns.conf /etc/rc.conf.d; rc-update -u")
			equal(t, command, h.Run(command).Output, without)
		}
	})
}
