package openrc

import (
	"fmt"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// Where OpenRC finds the drop-in, and that its library.
const (
	dropin  = "/etc/rc.conf.d/50-netns.conf"
	library = "/usr/share/openrc-netns/"
)

// losses are ways to lose the library, and what is said of them. In the table
// there is one of each kind.
type loss struct{ name, change, why string }

var losses = []loss{
	{"no service.sh", "rm " + library + "service.sh", library + "service.sh is missing"},
	{"another drop-in", "sed -i 's/in v1)/in v0)/' " + dropin, library + "service.sh is not of the version of the drop-in"},
	{"another hook", "sed -i -e 's/v1$/v0/' -e 's/--protocol v1/--protocol v0/' -e 's/^_netns_names=.*netns_lock/& netns_novel/' " + library +
		"*; sed -i 's/in v1)/in v0)/' " + dropin, "openrc-netns-hook is not of the version of the drop-in"},
}

func TestLostLibrary(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	loseLibrary(t, h, []loss{
		{"no library", "rm -r " + library, library + "service.sh is missing"},
		{"a directory", "cd " + library + " && rm service.sh && mkdir service.sh", library + "service.sh cannot be read"},
		{"an empty file", ": >" + library + "service.sh", library + "service.sh is not of the version of the drop-in"},
		{"another library", "sed -i s/v1$/v0/ " + library + "*", library + "service.sh is not of the version of the drop-in"},
		{"no script.sh", "rm " + library + "script.sh", library + "script.sh is missing or of another version than the drop-in"},
	})
}

func lostLibrary(t *testing.T, h *host) { loseLibrary(t, h, losses) }

// Without its library, or with one of another version, nothing starts and all
// that runs can be stopped.
func loseLibrary(t *testing.T, h *host, losses []loss) {
	const restore = "cd /; rm -rf " + library + "; cp -a /run/library/. " + library + "; cp -a /run/dropin " + dropin + "; "
	h.Sh("cp -a " + library + " /run/library; cp -a " + dropin + " /run/dropin; echo netns_etc=no >/etc/conf.d/plain")
	for _, test := range losses {
		// Nothing of the script runs outside, and the reason is told once.
		refused := func(command string) {
			t.Helper()
			h.Sh("rm -f /run/trace.daemon")
			out := h.Fails("rc-service daemon " + command)
			kit.Contains(t, out, "daemon: ")
			kit.Contains(t, out, test.why+", install openrc-netns again")
			kit.Equal(t, test.name+", "+command+", remedies told", fmt.Sprint(strings.Count(out, "install openrc-netns again")), "1")
			kit.Equal(t, test.name+", "+command+", the script", h.Sh("cat /run/trace.daemon 2>/dev/null || :"), "")
		}
		h.Conf("daemon", "netns=vpn")
		h.Sh("rc-service daemon start; rm /run/trace.daemon; " + test.change)
		running := h.daemon()
		refused("restart")
		kit.Equal(t, test.name+", after restart", h.daemon(), running)
		kit.Contains(t, h.Sh("rc-service daemon status"), "status: started")
		ran(h, "daemon", h.inside(), "status")
		h.Sh("exec 2>&1; rc-service daemon stop")
		ran(h, "daemon", h.inside(), "stop_pre", "stop_post")
		h.noDaemon()
		kit.Equal(t, test.name+", after stop", h.state("daemon"), "stopped")
		refused("start")
		h.Sh("rc-service daemon describe; rm -f /run/trace.daemon") // that is sourced outside, as ever
		for _, setting := range []string{"vrf=mgmt", "netns_lock=yes", "netns_lock=perhaps"} {
			h.Conf("daemon", setting)
			h.Fails("rc-service daemon start")
		}
		kit.Equal(t, test.name+", the script", h.Sh("cat /run/trace.daemon 2>/dev/null || :"), "")
		h.Sh("rm /etc/conf.d/daemon; netns-exec vpn rc-service plain start || exit 0; echo started >&2; exit 1")
		h.noDaemon()

		// Others are none the wiser.
		h.Sh("rc-service plain start; rc-service plain stop")

		// With the name gone and the daemon dead the stop acts in an empty
		// namespace.
		h.Conf("daemon", "netns=vpn")
		h.Sh(restore + "rc-service daemon start; rm /run/trace.daemon; " + test.change + "; ip netns delete vpn")
		h.killDaemon()
		h.Run("rc-service daemon stop || { rc-service daemon zap; rm -f /run/daemon.pid; }") // dpkg's start-stop-daemon wants one
		if where := trace(h, "daemon")["stop_pre"]; where == "" || where == h.outside() {
			t.Errorf("%s: with all gone, stop_pre ran in %q", test.name, where)
		}
		h.Sh(restore + "ip netns add vpn")
		if t.Failed() {
			return
		}
	}
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start; rc-service daemon stop; rm -r /run/library /run/dropin")
}

// settings are the lines of a file that librc takes for settings of OpenRC, as
// config_list of its librc-misc.c reads rc.conf.d.
func settings(text string) (found []string) {
	for line := range strings.Lines(text) {
		code, _, _ := strings.Cut(strings.TrimLeft(line, " \t"), "#")
		if strings.Contains(code, "=") {
			found = append(found, code)
		}
	}
	return found
}

// The drop-in sets nothing that librc could take for a setting.
func noSettings(t *testing.T, h *host) {
	text, err := h.ReadFile(dropin)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range settings(text) {
		t.Errorf("librc takes this for a setting of OpenRC: %s", line)
	}
}

// fewCalls bounds what the drop-in adds to the system calls of a service
// without settings. The shells read the cgroup byte by byte: that is counted
// once.
func fewCalls(t *testing.T, h *host) {
	const most = 100 // 40 to 80 were seen; each look more at the settings would be dozens
	commands := []string{"status", "describe"}
	count := func() []int {
		h.Sh("rc-update -u")
		calls := make([]int, len(commands))
		for i, command := range commands {
			// The fewest of some runs: programs that wait for others take some
			// more or less.
			for range 4 {
				n := 0
				if _, err := fmt.Sscan(h.Sh("strace -f -qq -o /run/trace."+command+" rc-service plain "+command+" >/dev/null 2>&1"+
					`; sed -e '/^[0-9]* *\(read\|ppoll\|poll\|lseek\|rt_sigprocmask\)(/d' -e '/^[0-9]* *[-+<]/d' /run/trace.`+command+" | wc -l"), &n); err != nil {
					t.Fatal(err)
				}
				if calls[i] == 0 || n < calls[i] {
					calls[i] = n
				}
			}
		}
		return calls
	}
	h.Sh("rc-service plain start")
	with := count()
	for _, command := range commands {
		kit.Equal(t, command+": looks at the cgroup", h.Sh(`grep -c '"/proc/self/cgroup"' /run/trace.`+command), "1")
		kit.Equal(t, command+": reads the library", h.Sh("grep -c '\""+library+"' /run/trace."+command+" || :"), "0")
	}
	h.Sh("mv " + dropin + " /root")
	without := count()
	h.Sh("mv /root/50-netns.conf " + dropin + "; rc-service plain stop")
	for i, command := range commands {
		if with[i]-without[i] > most {
			t.Errorf("%s: %d system calls, and %d without the drop-in", command, with[i], without[i])
		}
	}
}
