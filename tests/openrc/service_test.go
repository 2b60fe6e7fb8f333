package openrc

import (
	"fmt"
	"os"
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
	text, err := os.ReadFile(file)
	if err != nil {
		h.T.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		h.T.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
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

func wholeScriptRunsInside(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	out := h.Run("rc-service daemon start")
	if err := out.Err(); err != nil {
		t.Fatal(err)
	}
	ran(h, "daemon", h.inside(), "start_pre", "start_post")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	kit.Equal(t, "state", h.state("daemon"), "started")
	h.Run("rm -f /run/trace.daemon")

	kit.Contains(t, h.Sh("rc-service daemon status"), "status: started")
	ran(h, "daemon", h.inside(), "status")
	h.Sh("rc-service daemon reload")
	ran(h, "daemon", h.inside(), "reload")
	h.Sh("rc-service daemon checkconfig")
	ran(h, "daemon", h.inside(), "checkconfig")

	before := h.daemon()
	h.Sh("rc-service daemon restart")
	ran(h, "daemon", h.inside(), "stop_pre", "stop_post", "start_pre", "start_post")
	if after := h.daemon(); after == before {
		t.Error("the restart left the old daemon")
	}
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())

	// The daemon has nothing of ours in its environment or its parents.
	environ := h.Sh("tr '\\0' '\\n' </proc/" + h.daemon() + "/environ")
	if strings.Contains(environ, "OPENRC_NETNS") {
		t.Errorf("the daemon has our variables:\n%s", environ)
	}
	if out := h.Run("pgrep -a netns").Stdout; out != "" {
		t.Errorf("something of ours stays: %s", out)
	}

	h.Sh("rc-service daemon stop")
	ran(h, "daemon", h.inside(), "stop_pre", "stop_post")
	kit.Equal(t, "state", h.state("daemon"), "stopped")
	h.noDaemon()
	h.Run("rm -f /run/trace.daemon")

	// A stopped service answers status as well.
	kit.Contains(t, h.Run("rc-service daemon status").Output, "status: stopped")
	ran(h, "daemon", h.inside(), "status")
	if left := h.Sh("find /run/openrc/options /run/openrc/daemons -name daemon"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func missingNamespaceFailsTheStart(t *testing.T, h *host) {
	h.Conf("daemon", "netns=nowhere")
	mounts := h.Sh("cat /proc/self/mountinfo")
	out := h.Fails("rc-service daemon start")
	t.Log(out)
	kit.Equal(t, "output", out, " * daemon: network namespace \"nowhere\" does not exist; create it with: ip netns add nowhere\n"+
		" * ERROR: daemon failed to start\n")
	kit.Equal(t, "state", h.state("daemon"), "stopped")
	h.noDaemon()
	if h.Run("test -e /run/trace.daemon").Code == 0 {
		t.Errorf("the script ran:\n%s", h.Sh("cat /run/trace.daemon"))
	}
	kit.Equal(t, "mounts", h.Sh("cat /proc/self/mountinfo"), mounts)
	kit.Equal(t, "processes", h.Sh("pgrep -c -f '[n]etns-exec|[n]etns-hook|[o]penrc-run' || :"), "0")

	// The remedy, word for word.
	h.Sh("ip netns add nowhere")
	h.Sh("rc-service daemon start")
	kit.Equal(t, "daemon", h.where(h.daemon()), "net:["+h.Sh("stat -L -c %i /run/netns/nowhere")+"]")
	h.Sh("rc-service daemon stop")
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
			h.Conf("daemon", test.conf...)
			out := h.Fails("rc-service daemon start")
			kit.Equal(t, "output", out, " * "+test.want+"\n * ERROR: daemon failed to start\n")
			kit.Equal(t, "state", h.state("daemon"), "stopped")
			h.noDaemon()
			if left := h.Sh("find /sys/fs/cgroup -name '*daemon'"); left != "" {
				t.Errorf("a cgroup is left: %s", left)
			}

			// The same setting must not take a running daemon away.
			h.Conf("daemon", "netns=vpn")
			h.Sh("rc-service daemon start; rm /run/trace.daemon")
			before := h.daemon()
			h.Conf("daemon", test.conf...)
			out = h.Fails("rc-service daemon restart")
			kit.Contains(t, out, strings.TrimPrefix(test.want, "daemon: "))
			kit.Contains(t, out, "failed to stop")
			kit.Equal(t, "daemon", h.daemon(), before)
			kit.Equal(t, "state", h.state("daemon"), "started")
			if out := h.Run("grep -v ^script /run/trace.daemon").Stdout; out != "" {
				t.Errorf("functions of the script ran:\n%s", out)
			}

			// And it does not stand in the way of a stop. (With another supervisor
			// OpenRC would ask that one to stop what it never started.)
			if strings.Contains(strings.Join(test.conf, " "), "supervisor") {
				h.Conf("daemon", "netns=vpn")
			}
			h.Sh("rc-service daemon stop")
			h.noDaemon()
		})
	}
}

// TestBadSettingFailsTheStart has every setting; of two it is enough to see that
// each shell passes them on.
func badSettingIsRefused(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start")
	running := h.daemon()
	for setting, want := range map[string]string{
		"netns=../vpn":                  `bad network namespace name "../vpn": give a name without a slash, or an absolute path`,
		"netns=vpn netns_lock='on  on'": `netns_lock="on  on": use "yes" or "no"`,
	} {
		h.Conf("daemon", setting)
		h.Sh("rm -f /run/trace.daemon")
		kit.Contains(t, h.Fails("rc-service daemon restart"), "daemon: not stopped, because the start would fail: "+want)
		kit.Equal(t, "daemon", h.daemon(), running)
		kit.Equal(t, "state", h.state("daemon"), "started")
		if out := h.Run("grep -v ^script /run/trace.daemon").Stdout; out != "" {
			t.Errorf("functions of the script ran:\n%s", out)
		}
	}
	h.Sh("rc-service daemon stop")
	h.noDaemon()
	kit.Contains(t, h.Fails("rc-service daemon start"), "daemon: ")
	h.noDaemon()
	kit.Equal(t, "state", h.state("daemon"), "stopped")
}

func restartIsRefusedWhenTheNamespaceIsMissing(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start; rm /run/trace.daemon")
	before := h.daemon()
	h.Sh("ip netns delete vpn")
	for _, verb := range []string{"restart", "condrestart", "conditionalrestart"} {
		out := h.Fails("rc-service daemon " + verb)
		kit.Equal(t, verb, out, " * daemon: not stopped, because the start would fail: network namespace \"vpn\" does not exist; create it with: ip netns add vpn\n"+
			" * ERROR: daemon failed to stop\n")
		kit.Equal(t, "daemon", h.daemon(), before)
		kit.Equal(t, "state", h.state("daemon"), "started")
	}
	if h.Run("test -e /run/trace.daemon").Code == 0 {
		t.Errorf("the script ran:\n%s", h.Sh("cat /run/trace.daemon"))
	}
	h.Sh("rc-service daemon stop")
	h.noDaemon()
}

// A name can go and its namespace live on, because the daemon is in it.
func nameGoneDaemonAlive(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	inside := h.inside()
	h.Sh("rc-service daemon start; rm /run/trace.daemon")
	h.Sh("ip netns delete vpn")

	out := h.Sh("exec 2>&1; rc-service daemon status")
	kit.Contains(t, out, "status: started")
	kit.Contains(t, out, `daemon: the name "vpn" no longer leads to the network namespace that the service was started in: acting in that one`)
	ran(h, "daemon", inside, "status")
	h.Sh("rc-service daemon reload")
	ran(h, "daemon", inside, "reload")
	h.Sh("rc-service daemon stop")
	ran(h, "daemon", inside, "stop_pre", "stop_post")
	h.noDaemon()
	kit.Equal(t, "state", h.state("daemon"), "stopped")
}

func nameMadeAnew(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	before := h.inside()
	h.Sh("rc-service daemon start; rm /run/trace.daemon")
	h.Sh("ip netns delete vpn; ip netns add other; ip netns add vpn")
	if h.inside() == before {
		t.Fatal("the new namespace has the old one's inode")
	}
	kit.Contains(t, h.Sh("rc-service daemon status"), "status: started")
	ran(h, "daemon", before, "status")

	// restart moves it to where the name leads now.
	h.Sh("rc-service daemon restart")
	seen := trace(h, "daemon")
	kit.Equal(t, "stop_pre", seen["stop_pre"], before)
	kit.Equal(t, "start_pre", seen["start_pre"], h.inside())
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.Sh("rc-service daemon stop")
	h.noDaemon()
}

// With the daemon dead and the name gone there is nothing left to act on, and
// it must not be the host.
func nameGoneDaemonDead(t *testing.T, h *host) {
	stop := func() string {
		if h.seesCrashes() {
			return h.Sh("exec 2>&1; rc-service daemon stop")
		}
		// dpkg's start-stop-daemon does not stop what has gone, with us or without.
		out := h.Run("rc-service daemon stop").Output
		kit.Contains(t, out, "none killed")
		h.Sh("rc-service daemon zap; rmdir /sys/fs/cgroup/unified/daemon")
		return out
	}
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start; rm /run/trace.daemon")
	h.Sh("ip netns delete vpn")
	h.killDaemon()

	if h.seesCrashes() {
		kit.Contains(t, h.Fails("rc-service daemon status"), "status: crashed")
	} else {
		h.Sh("rc-service daemon status")
	}
	if where := trace(h, "daemon")["status"]; where == h.outside() || where == "" {
		t.Errorf("status ran in %q", where)
	}
	// What needs the namespace does not pretend.
	out := h.Fails("rc-service daemon checkconfig")
	kit.Contains(t, out, `daemon: the network namespace "vpn" that the service was started in is gone`)

	out = stop()
	kit.Contains(t, out, `daemon: the network namespace "vpn" that the service was started in is gone: acting in a new, empty one`)
	if where := trace(h, "daemon")["stop_pre"]; where == h.outside() || where == "" {
		t.Errorf("stop_pre ran in %q", where)
	}
	kit.Equal(t, "state", h.state("daemon"), "stopped")

	// The inode of a namespace that has gone is given again; a new one of
	// that number is not taken for the old one.
	h.Sh("ip netns add vpn; rc-service daemon start; rm /run/trace.daemon")
	h.Sh("ip netns delete vpn")
	h.killDaemon()
	h.Sh("for i in 1 2 3 4 5; do ip netns add other$i; done")
	stop()
	where := trace(h, "daemon")["stop_pre"]
	others := h.Sh("for i in 1 2 3 4 5; do echo net:[$(stat -L -c %i /run/netns/other$i)]; done")
	if strings.Contains(others, where) {
		t.Errorf("stop_pre ran in %s, which is another's:\n%s", where, others)
	}
}

// A stop acts where the start acted, whatever conf.d says by then.
func settingRemovedWhileRunning(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start; rm /run/trace.daemon")
	h.Sh("rm /etc/conf.d/daemon")
	h.Sh("rc-service daemon status")
	ran(h, "daemon", h.inside(), "status")
	h.Sh("rc-service daemon restart")
	seen := trace(h, "daemon")
	kit.Equal(t, "stop_pre", seen["stop_pre"], h.inside())
	kit.Equal(t, "start_pre", seen["start_pre"], h.outside())
	kit.Equal(t, "daemon", h.where(h.daemon()), h.outside())

	// And the other way round: it was started outside, and is to move.
	h.Conf("daemon", "netns=vpn")
	kit.Contains(t, h.Sh("exec 2>&1; rc-service daemon restart"), "daemon: it was not started in a network namespace: what it has set up outside stays there")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.Sh("rc-service daemon stop")
	h.noDaemon()
}

// A record that cannot be read is no licence to act on the host's network.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	for _, damage := range []string{": >", "rm $record; mkdir "} {
		h.Conf("daemon", "netns=vpn")
		h.Sh("record=/run/openrc/options/daemon/netns; rc-service daemon start; rm /run/trace.daemon; " + damage + "$record")

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
		h.Conf("wall", "netns=vpn")
		h.Sh("record=/run/openrc/options/wall/netns; rc-service wall start; " + damage + "$record; rm /etc/conf.d/wall; ip link add eth9 type veth peer name eth8; rc-service wall stop")
		kit.Equal(t, "devices", h.Sh("cat /run/trace.wall; ip link delete eth9"), "lo")

		// A stop does not claim what nobody knows.
		h.Conf("daemon", "netns=vpn")
		h.Sh("record=/run/openrc/options/daemon/netns; rc-service daemon start; rm /run/trace.daemon; " + damage + "$record")
		out = h.Sh("exec 2>&1; rc-service daemon stop")
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
	h.Sh("touch /run/netns/own; mount --bind /proc/1/ns/net /run/netns/own")
	sleeper := h.Sh("sleep 1000 >/dev/null 2>&1 & echo $!")
	for netns, why := range map[string]string{
		"own":                          `network namespace "own" is the host's own; delete the name with: ip netns delete own; or write /proc/1/ns/net, if that is meant`,
		"/run/netns/own":               `network namespace "/run/netns/own" is the host's own; delete the name with: ip netns delete own; or write /proc/1/ns/net, if that is meant`,
		"/proc/" + sleeper + "/ns/net": `network namespace "/proc/` + sleeper + `/ns/net" is the host's own; name another one, or write /proc/1/ns/net, if that is meant`,
	} {
		h.Conf("daemon", "netns=vpn")
		h.Sh("rc-service daemon start; rm /run/trace.daemon")
		running := h.daemon()
		h.Conf("daemon", "netns="+netns)
		kit.Contains(t, h.Fails("rc-service daemon restart"), "daemon: not stopped, because the start would fail: "+why)
		kit.Equal(t, "daemon", h.daemon(), running)
		h.Sh("rc-service daemon stop; rm /run/trace.daemon")
		kit.Equal(t, "start", h.Fails("rc-service daemon start"), " * daemon: "+why+"\n * ERROR: daemon failed to start\n")
		h.noDaemon()
		if h.Run("test -e /run/trace.daemon").Code == 0 {
			t.Errorf("the script ran:\n%s", h.Sh("cat /run/trace.daemon"))
		}
		kit.Equal(t, "by hand, with the settings", h.Fails("netns-exec --service daemon true"), "netns-exec: "+why+"\n")
		// A stop works, and what is said outright is done: in OpenRC, and by hand.
		h.Sh("rc-service daemon stop")
		kit.Equal(t, "by hand", h.Sh("netns-exec vpn netns-exec "+netns+" readlink /proc/self/ns/net"), h.outside())
	}
	h.Conf("daemon", "netns=/proc/1/ns/net")
	h.Sh("rc-service daemon start")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.outside())
	h.Sh("rc-service daemon stop; kill " + sleeper)
}

// A script that calls no supervisor: what it does to a network must be done to
// its namespace's, in every order of events.
func scriptWithItsOwnStart(t *testing.T, h *host) {
	h.Write("/etc/init.d/firewall", `#!/sbin/openrc-run
extra_commands="save"
start() { ip link add rule0 type veth peer name rule1; }
stop() { for rule in $(ip -o link | sed -n 's/^[0-9]*: \(rule[0-9]\)@.*/\1/p'); do ip link delete "$rule" 2>/dev/null; done; return 0; }
save() { ip -o link >/run/trace.rules; }
`)
	h.Conf("firewall", "netns=vpn")
	h.Sh("ip link add rule8 type veth peer name rule9")
	links := func(where string) string { return h.Sh(where + " ip -o link | cut -d: -f2 | tr -d '\\n'") }
	host := links("")

	h.Sh("rc-service firewall start")
	kit.Contains(t, links("ip netns exec vpn"), "rule0@rule1")
	kit.Equal(t, "host", links(""), host)
	h.Sh("rc-service firewall save")
	kit.Contains(t, h.Sh("cat /run/trace.rules"), "rule0@rule1")

	h.Sh("rc-service firewall stop")
	kit.Equal(t, "namespace", links("ip netns exec vpn"), " lo")
	kit.Equal(t, "host", links(""), host)

	// With the namespace gone: stop works, the host keeps its rules, and the
	// saved ones are not overwritten with none.
	h.Sh("rc-service firewall start; ip netns delete vpn")
	kit.Contains(t, h.Fails("rc-service firewall save"), "is gone")
	kit.Contains(t, h.Sh("cat /run/trace.rules"), "rule0@rule1")
	h.Sh("rc-service firewall stop")
	kit.Equal(t, "host", links(""), host)
	kit.Equal(t, "state", h.state("firewall"), "stopped")
	h.Sh("ip link delete rule8")
}

func whereSettingsCanStand(t *testing.T, h *host) {
	h.Sh("ip netns add mgmt; ln -s daemon /etc/init.d/daemon.b")
	mgmt := "net:[" + h.Sh("stat -L -c %i /run/netns/mgmt") + "]"
	started := func(service, want string) {
		t.Helper()
		h.Sh("rc-service " + service + " start")
		kit.Equal(t, service, h.where(h.daemon()), want)
		h.Sh("rc-service " + service + " stop")
	}
	// conf.d/BASE counts for NAME, conf.d/NAME overrides it.
	h.Conf("daemon", "netns=vpn")
	started("daemon.b", h.inside())
	h.Conf("daemon.b", "netns=mgmt")
	started("daemon.b", mgmt)
	started("daemon", h.inside())
	// NAME.RUNLEVEL stands in for NAME.
	h.Conf("daemon.default", "netns=mgmt")
	started("daemon", mgmt)
	h.Sh("rm /etc/conf.d/daemon*")
	started("daemon", h.outside())
	// The shell's view counts, not a reader's.
	h.Conf("daemon", "tunnel=mgmt", `netns="${tunnel}"`)
	started("daemon", mgmt)

	// The script itself.
	started("own-netns", h.inside())
	h.Conf("own-netns", "netns=mgmt")
	kit.Contains(t, h.Fails("rc-service own-netns start"), "own-netns: the init script changes what conf.d says about netns")
	h.noDaemon()
	h.Conf("own-netns", "netns=vpn")
	started("own-netns", h.inside())
	h.Sh("rm /etc/conf.d/own-netns; ip netns delete vpn")
	kit.Contains(t, h.Fails("rc-service own-netns start"), `own-netns: network namespace "vpn" does not exist`)
	h.noDaemon()
}

func TestStartStopDaemonOptions(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Conf("picky", "netns=vpn")
		kit.Contains(t, h.Fails("rc-service picky start"), "picky.conf' is not readable")
		kit.Equal(t, "state", h.state("picky"), "stopped")
		h.noDaemon()
		h.Write("/etc/picky.conf", "")
		h.Sh("echo 'rc_env_allow=\"ODD GODEBUG GOMEMLIMIT\"' >>/etc/rc.conf")
		// All as it is without us, but for the namespace.
		look := func() string {
			h.Sh("ODD=\"$(printf 'a\\001b\\nc')\" GODEBUG=cgocheck=2 GOMEMLIMIT=nonsense rc-service picky start")
			pid := h.daemon()
			kit.Equal(t, "pidfile", h.Sh("cat /run/picky.pid"), pid)
			return h.Sh("cd /proc/" + pid + "; readlink cwd; cat limits oom_score_adj; tr '\\0' '\\n' <environ | sort; ls -l fd | cut -c60-; " +
				"grep -E '^(Umask|Uid|Gid|Groups|Sig[BIC]|Cap|NoNew)' status; ps -o user=,group=,ni=,tty= -p " + pid)
		}
		inside := look()
		kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
		kit.Contains(t, inside, "ODD=a\x01b\n")
		kit.Contains(t, inside, "GODEBUG=cgocheck=2\nGOMEMLIMIT=nonsense\n")
		h.Sh("rc-service picky stop")
		h.Sh("rm /etc/conf.d/picky")
		outside := look()
		if diff := cmp.Diff(outside, inside); diff != "" {
			t.Errorf("the daemon differs (-without +with netns):\n%s", diff)
		}
		h.Sh("rc-service picky stop")
		h.noDaemon()
	})
}

func superviseDaemonRespawnsInside(t *testing.T, h *host) {
	h.Conf("supervised", "netns=vpn")
	h.Sh("rc-service supervised start")
	h.Sh("until pgrep -x sleeper >/dev/null; do sleep 0.1; done")
	first := h.daemon()
	kit.Equal(t, "daemon", h.where(first), h.inside())
	kit.Equal(t, "supervisor", h.where(h.Sh("pgrep -f '^supervise-daemon'")), h.inside())
	kit.Equal(t, "user", h.Sh("ps -o user= -p "+first), "daemon")
	h.Sh("kill -9 " + first + "; while [ -e /proc/" + first + " ] || ! pgrep -x sleeper; do sleep 0.1; done >/dev/null")
	second := h.daemon()
	if second == first {
		t.Fatal("not respawned")
	}
	kit.Equal(t, "respawned daemon", h.where(second), h.inside())
	h.Sh("until [ -s /run/trace.supervised ]; do sleep 0.1; done")
	kit.Equal(t, "healthcheck", trace(h, "supervised")["healthcheck"], h.inside())
	kit.Contains(t, h.Sh("rc-service supervised status"), "status: started")
	h.Sh("rc-service supervised stop")
	h.noDaemon()
}

// What is between rc-service and the script must not depend on what an action
// is called.
func TestOddActions(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Conf("daemon", "netns=vpn")
		for _, action := range []string{"'start '", "' start'", "''", "\"$(printf 'start\\nx')\"", "nosuch", "'*'", "/etc/init.d/daemonstart"} {
			out := h.Fails("/etc/init.d/daemon " + action)
			t.Logf("%s: %s", action, out)
			if strings.Contains(out, "openrc-netns-hook") {
				t.Errorf("%s: this is for the drop-in, not for an administrator: %s", action, out)
			}
			h.noDaemon()
		}
		kit.Contains(t, h.Sh("rc-service daemon describe"), "A daemon that start-stop-daemon starts")
		kit.Equal(t, "what it needs", h.Sh("rc-update -u >/dev/null; rc-service daemon ineed | xargs"), "")
		kit.Contains(t, h.Sh("rc-update add daemon; rc-update -u; cat /run/openrc/deptree"), "_service='daemon'")
	})
}

func TestWithoutPrivilege(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Conf("daemon", "netns=vpn")
		h.Sh("rc-service daemon start; rm /run/trace.daemon")
		out := h.Sh("exec 2>&1; setpriv --reuid nobody --regid nogroup --clear-groups rc-service daemon status")
		kit.Contains(t, out, "daemon: only root can look inside its network namespace, this is what OpenRC knows")
		kit.Contains(t, out, "status: started")
		if h.Run("test -e /run/trace.daemon").Code == 0 {
			t.Error("the script ran outside")
		}
		// Root without the capability cannot enter, and does not go on outside.
		out = h.Fails("setpriv --bounding-set -sys_admin rc-service daemon reload")
		kit.Contains(t, out, "entering a network namespace needs CAP_SYS_ADMIN")
		h.Sh("rc-service daemon stop")
		out = h.Fails("setpriv --bounding-set -sys_admin rc-service daemon start")
		kit.Contains(t, out, "entering a network namespace needs CAP_SYS_ADMIN")
		h.noDaemon()
	})
}

func TestHookMissing(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Conf("daemon", "netns=vpn")
		h.Sh("mv /usr/sbin/openrc-netns-hook /root")
		out := h.Fails("rc-service daemon start")
		kit.Contains(t, out, `daemon: cannot enter its network namespace: /usr/sbin/openrc-netns-hook is missing, install openrc-netns again`)
		h.noDaemon()
		if h.Run("test -e /run/trace.daemon").Code == 0 {
			t.Error("the script ran outside")
		}
		// A service without netns does not care.
		h.Sh("rc-service plain start; rc-service plain stop")
	})
}

// /etc and /sys are those of the namespace, and all that is mounted below /sys
// stays.
func privateView(t *testing.T, h *host) {
	h.Sh(`mkdir -p /etc/netns/vpn; echo nameserver 198.51.100.53 >/etc/netns/vpn/resolv.conf
		ip -n vpn link add wan type veth peer name lan netns vpn`)
	h.Conf("daemon", "netns=vpn")
	const below = "awk '$5 ~ \"^/sys/\" { print $4, $5, $6 }' /proc/%s/mountinfo"
	h.Sh("rc-service daemon start")
	pid := h.daemon()
	root := "/proc/" + pid + "/root"
	kit.Equal(t, "resolv.conf", h.Sh("cat "+root+"/etc/resolv.conf"), "nameserver 198.51.100.53")
	kit.Equal(t, "the host's resolv.conf", h.Sh("cat /etc/resolv.conf"), "nameserver 192.0.2.53")
	kit.Equal(t, "devices", h.Sh("ls "+root+"/sys/class/net | xargs"), "lan lo wan")
	kit.Equal(t, "the host's devices", h.Sh("ls /sys/class/net | xargs"), "lo")
	mounts := h.Sh(fmt.Sprintf(below, "1"))
	kit.Contains(t, mounts, "/sys/fs/cgroup")
	kit.Equal(t, "mounts below /sys", h.Sh(fmt.Sprintf(below, pid)), mounts)
	kit.Equal(t, "cgroups", h.Sh("ls "+root+"/sys/fs/cgroup"), h.Sh("ls /sys/fs/cgroup"))
	h.Sh("rc-service daemon stop")
}

// The private view of /etc is strict for start, and no obstacle to stop.
func brokenEtc(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	h.Sh("mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf; touch /etc/resolv.conf")
	h.Sh("rc-service daemon start")
	kit.Equal(t, "resolv.conf", h.Sh("cat /proc/"+h.daemon()+"/root/etc/resolv.conf"), "nameserver 192.0.2.53")
	h.Sh("touch /etc/netns/vpn/nowhere")
	kit.Contains(t, h.Fails("rc-service daemon restart"), `not stopped, because the start would fail: cannot bind "/etc/netns/vpn/nowhere"`)
	kit.Equal(t, "warnings of a stop in the view of the start", h.Sh("rc-service -q daemon stop 2>&1"), "")
	h.noDaemon()
	kit.Contains(t, h.Run("rc-service daemon status 2>&1").Output, `cannot bind "/etc/netns/vpn/nowhere" over "/etc/nowhere", which does not exist`)
	kit.Contains(t, h.Fails("rc-service daemon start"), `cannot bind "/etc/netns/vpn/nowhere"`)
	h.noDaemon()
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

// A service without netns forks and execs exactly what it does without us, and
// runs where it would.
func noTax(t *testing.T, h *host) {
	count := func() string {
		h.Sh("rc-update -u") // an init script of ours is read for its dependencies, once
		forks := h.forks("rc-service plain start")
		h.Sh("rc-service plain stop")
		return forks
	}
	with := count()
	h.Sh("rc-service daemon start")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.outside())
	kit.Equal(t, "mounts", h.Sh("readlink /proc/"+h.daemon()+"/ns/mnt"), h.Sh("readlink /proc/1/ns/mnt"))
	h.Sh("rc-service daemon stop")
	ran(h, "daemon", h.outside(), "start_pre", "start_post", "stop_pre", "stop_post")

	h.Sh("mv /etc/rc.conf.d/50-netns.conf /root")
	without := count()
	h.Sh("mv /root/50-netns.conf /etc/rc.conf.d")
	t.Logf("calls without the drop-in:\n%s", without)
	kit.Equal(t, "with the drop-in", with, without)
}

// Alpine's OpenRC puts RC_VRF_EXEC before start-stop-daemon, made from the same
// variables. Entering once is enough, and ip netns exec would lose the cgroups.
func TestAlpinesPatch(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Sh(`cd /usr/lib/rc/sh && sed -i -e 's/eval start-stop-daemon --start/eval $RC_VRF_EXEC start-stop-daemon --start/' \
			-e '1i [ -z "$netns" ] || RC_VRF_EXEC="ip netns exec $netns"' start-stop-daemon.sh && grep -c RC_VRF_EXEC start-stop-daemon.sh`)
		cgroups := func() string {
			return h.Sh("grep -c ' /sys/fs/cgroup ' /proc/" + h.daemon() + "/mountinfo || :")
		}
		h.Conf("daemon", "netns=vpn")
		h.Sh("rc-service daemon start")
		kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
		kit.Equal(t, "cgroup mounts", cgroups(), "1")
		h.Sh("rc-service daemon stop")

		// Without us the patch works, and loses them: the test can fail.
		h.Sh("mv /etc/rc.conf.d/50-netns.conf /root; rc-service daemon start")
		kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
		kit.Equal(t, "cgroup mounts without the drop-in", cgroups(), "0")
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
			h.Conf("late-netns", test.conf, "late='"+test.late+"'")
			kit.Contains(t, h.Fails("rc-service late-netns start"), refusal)
			kit.Equal(t, "state", h.state("late-netns"), "stopped")
			h.noDaemon()
			// With colours there is other machinery around the messages.
			out := h.Run("script -qec 'TERM=xterm rc-service late-netns start' /dev/null")
			kit.Contains(t, out.Output, refusal)
			h.noDaemon()
		}

		// The remedy; and what says the same again does no harm.
		h.Conf("late-netns", "netns=vpn", "late='netns=vpn'")
		h.Sh("rc-service late-netns start")
		kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
		h.Sh("rc-service late-netns stop")

		// Nor does a variable of that name in a script that starts nothing itself.
		h.Write("/etc/init.d/maker", "#!/sbin/openrc-run\nstart() { for netns in a b; do ebegin \"Making $netns\"; ip netns add $netns; eend $?; done; }\n")
		h.Sh("chmod 755 /etc/init.d/maker; rc-service maker start")

		// The messages are what they are without us.
		h.Conf("late-netns", "late=:")
		for _, command := range []string{
			"rc-service late-netns start; rc-service late-netns stop",
			"script -qec 'export TERM=xterm; rc-service late-netns start; rc-service late-netns stop' /dev/null",
			"script -qec 'export TERM=xterm; rc-service -C late-netns start; rc-service late-netns stop' /dev/null",
		} {
			// (Not at a time when OpenRC has to work out dependencies as well.)
			without := h.Run("mv /etc/rc.conf.d/50-netns.conf /run; rc-update -u >/dev/null; " + command).Output
			h.Sh("mv /run/50-netns.conf /etc/rc.conf.d; rc-update -u")
			kit.Equal(t, command, h.Run(command).Output, without)
		}
	})
}
