// Package openrc tests the drop-in on real OpenRC, in throw-away machines. A
// test asserts what an administrator would see: what rc-service says, and the
// network namespace of the live process.
package openrc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/machine"
	"openrc-netns/tests/scene"
)

// installed is the folder that "make install DESTDIR=" filled, and the probe.
var installed string

func TestMain(m *testing.M) {
	machine.Init()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := machine.Check(); err != nil {
		fmt.Println("skipped: the tests on real OpenRC:", err)
		if os.Getenv("CI") == "true" {
			return 1
		}
		return 0
	}
	code := scene.Installed(m, &installed)
	if err := printTable(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// inEachShell runs play on a machine for each /bin/sh that OpenRC is used with.
func inEachShell(t *testing.T, play func(t *testing.T, h *host)) {
	t.Parallel()
	for _, shell := range []string{"dash", "bash", "busybox"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			play(t, boot(t, shell, true))
		})
	}
}

// host is a machine with the namespace vpn and the scripts of testdata.
type host struct {
	*machine.Machine
	t *testing.T
}

func boot(t *testing.T, shell string, install bool) *host {
	t.Helper()
	return bootRelease(t, machine.Options{Shell: shell}, install)
}

func bootRelease(t *testing.T, options machine.Options, install bool) *host {
	t.Helper()
	m, err := machine.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &host{m, t}
	if install {
		if err := m.Install(installed); err != nil {
			t.Fatal(err)
		}
	}
	scripts, err := filepath.Glob("testdata/init.d/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		h.write("/etc/init.d/"+filepath.Base(script), string(text))
		h.sh("chmod 755 /etc/init.d/" + filepath.Base(script))
	}
	// Debian's script for sysctl needs a service that OpenRC does not have.
	h.sh("rm -f /etc/init.d/procps")
	// A sleep(1) that no other test's pgrep would find.
	h.sh("mkdir -p /usr/local/bin && cp $(command -v sleep) /usr/local/bin/sleeper")
	h.sh("ip netns add vpn")
	return h
}

// sh runs a script that has to succeed, fails one that has to fail. They return
// its output without the last newline, and what it printed as errors.
func (h *host) sh(script string) string    { h.t.Helper(); return scene.Sh(h.t, h, script) }
func (h *host) fails(script string) string { h.t.Helper(); return scene.Fails(h.t, h, script) }

func (h *host) write(name, content string) {
	h.t.Helper()
	if err := h.WriteFile(name, 0o644, content); err != nil {
		h.t.Fatal(err)
	}
}

// initScript is an init script that a test brings along.
func (h *host) initScript(name, text string) {
	h.t.Helper()
	h.write("/etc/init.d/"+name, text)
	h.sh("chmod 755 /etc/init.d/" + name)
}

// conf is the conf.d file of a service.
func (h *host) conf(service string, lines ...string) {
	h.t.Helper()
	h.write("/etc/conf.d/"+service, strings.Join(lines, "\n")+"\n")
}

// path is a file of the machine as the test sees it. To look costs much less than
// a command in the machine does.
func (h *host) path(name string) string { return fmt.Sprintf("/proc/%d/root%s", h.PID(), name) }

// outside is the machine's own network namespace, inside that called vpn.
func (h *host) outside() string { h.t.Helper(); return h.where("1") }
func (h *host) inside() string {
	h.t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(h.path("/run/netns/vpn"), &stat); err != nil {
		h.t.Fatal("/run/netns/vpn: ", err)
	}
	return fmt.Sprintf("net:[%d]", stat.Ino)
}

// daemon is the process number of the one sleeper that runs, or is about to:
// start-stop-daemon does not wait for what it puts into the background.
func (h *host) daemon() string {
	h.t.Helper()
	return h.sh("for i in $(seq 600); do pgrep -x sleeper && exit; sleep 0.1; done; exit 1")
}

// killDaemon ends the daemon without OpenRC's doing, once it is there, and waits
// for its end.
func (h *host) killDaemon() {
	h.t.Helper()
	pid := h.daemon()
	h.sh("kill -9 " + pid + "; while [ -e /proc/" + pid + " ]; do sleep 0.05; done")
}

// where is the network namespace of a process.
func (h *host) where(pid string) string {
	h.t.Helper()
	namespace, err := os.Readlink(h.path("/proc/" + pid + "/ns/net"))
	if err != nil {
		h.t.Fatal(err)
	}
	return namespace
}

// state is what OpenRC has on record of a service; of a stopped one nothing.
func (h *host) state(service string) string {
	state := "stopped"
	for _, s := range []string{"started", "inactive", "starting", "stopping", "failed"} {
		if _, err := os.Lstat(h.path("/run/openrc/" + s + "/" + service)); err == nil {
			state = s
		}
	}
	return state
}

// noDaemon asserts that nothing runs.
func (h *host) noDaemon() {
	h.t.Helper()
	if out := h.Run("pgrep -a sleeper").Stdout; out != "" {
		h.t.Errorf("a daemon runs: %s", out)
	}
}

func contains(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("missing %q in:\n%s", want, text)
	}
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}
