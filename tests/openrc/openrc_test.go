// Package openrc tests the drop-in on real OpenRC, in throw-away machines. A
// test asserts what an administrator would see: what rc-service says, and the
// network namespace of the live process.
package openrc

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// installed is the folder that "make install DESTDIR=" filled, and the probe.
var installed string

func TestMain(m *testing.M) {
	machine.Init()
	code := kit.Main(m, &installed)
	if err := printTable(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// eachOf runs play for each of the values, all at the same time; in a short run
// for one of them, which is not the same in every test.
func eachOf(t *testing.T, values []string, play func(t *testing.T, value string)) {
	t.Parallel()
	if testing.Short() {
		turn := int(crc32.ChecksumIEEE([]byte(t.Name()))) % len(values)
		values = values[turn : turn+1]
	}
	for _, value := range values {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			play(t, value)
		})
	}
}

// inEachShell plays on a machine for each /bin/sh that OpenRC is used with.
func inEachShell(t *testing.T, play func(t *testing.T, h *host)) {
	eachOf(t, binShells, func(t *testing.T, shell string) { play(t, boot(t, shell, true)) })
}

// host is a machine with the namespace vpn and the scripts of testdata.
type host struct {
	*machine.Machine
	kit.Host
}

// with is the machine as another test uses it.
func (h *host) with(t *testing.T) *host { return &host{h.Machine, kit.Host{Machine: h.Machine, T: t}} }

func boot(t *testing.T, shell string, install bool) *host {
	t.Helper()
	return bootRelease(t, machine.Options{Shell: shell}, install)
}

func bootRelease(t *testing.T, options machine.Options, install bool) *host {
	t.Helper()
	if install {
		options.Install = installed
	}
	h := (&host{Machine: kit.StartMachine(t, options)}).with(t)
	// A sleep(1) that no other test's pgrep would find, which a link to busybox
	// could not be.
	h.Sh("mkdir " + debians + "; cd /etc/init.d; for script in *; do case $script in netns*) ;; *) mv $script " + debians + `; esac; done
		mkdir -p /usr/local/bin; [ -e /usr/local/bin/sleeper ] || cp $(command -v sleep) /usr/local/bin/sleeper; ip netns add vpn`)
	h.scripts("daemon", "plain", "supervised")
	return h
}

// debians is where the init scripts of Debian's packages are. OpenRC starts a
// handful of processes for each script whenever a file in conf.d is newer than
// what it knows of dependencies, so a machine has those that its test starts.
const debians = "/root/init.d"

// scripts brings init scripts of testdata.
func (h *host) scripts(names ...string) {
	h.T.Helper()
	if slices.Contains(names, "six") {
		names = append(names, "s6-svscan") // which it needs
	}
	for _, name := range names {
		h.Write("/etc/init.d/"+name, kit.Read(h.T, filepath.Join("testdata/init.d", name)))
	}
}

// path is a file of the machine as the test sees it. To look costs much less
// than a command in the machine does.
func (h *host) path(name string) string { return fmt.Sprintf("/proc/%d/root%s", h.PID(), name) }

// outside is the machine's own network namespace, inside that called vpn.
func (h *host) outside() string { h.T.Helper(); return h.where("1") }
func (h *host) inside() string  { h.T.Helper(); return h.namespace("vpn") }

// namespace is that of a name, as the links of /proc/PID/ns show it.
func (h *host) namespace(name string) string {
	h.T.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(h.path("/run/netns/"+name), &stat); err != nil {
		h.T.Fatal("/run/netns/", name, ": ", err)
	}
	return fmt.Sprintf("net:[%d]", stat.Ino)
}

// daemon is the process number of the one sleeper that runs, or is about to:
// start-stop-daemon does not wait for what it puts into the background.
func (h *host) daemon() string {
	h.T.Helper()
	return h.Await("pgrep -x sleeper")
}

// killDaemon ends the daemon without OpenRC's doing, once it is there, and
// waits for its end.
func (h *host) killDaemon() {
	h.T.Helper()
	pid := h.daemon()
	h.Sh("kill -9 " + pid + "; while [ -e /proc/" + pid + " ]; do sleep 0.05; done")
}

// where is the network namespace of a process.
func (h *host) where(pid string) string {
	h.T.Helper()
	namespace, err := os.Readlink(h.path("/proc/" + pid + "/ns/net"))
	if err != nil {
		h.T.Fatal(err)
	}
	return namespace
}

// cgroup is that of the daemon.
func (h *host) cgroup() string {
	h.T.Helper()
	return h.Sh("sed -n s/^0:://p /proc/" + h.daemon() + "/cgroup")
}

// likeness is what the daemon was given at its start, but for the network.
func (h *host) likeness() string {
	h.T.Helper()
	return h.Sh("pid=" + h.daemon() + `; cd /proc/$pid; readlink cwd; cat limits oom_score_adj
		tr '\0' '\n' <environ | sed 's/_PID=.*/_PID=/' | sort
		tr '\0' ' ' <cmdline; ls -l fd | cut -c60- | sed 's/:\[.*//'
		grep -E '^(Umask|Uid|Gid|Groups|Sig[BIC]|Cap|NoNew)' status; ps -o user=,group=,ni=,tty= -p $pid`)
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

// startWith starts a service with settings.
func (h *host) startWith(service string, lines ...string) {
	h.T.Helper()
	h.Conf(service, lines...)
	h.Sh("rc-service " + service + " start")
}

// starts asserts that a service starts, and that its daemon is in the network
// namespace of a name, or in "host". It returns the daemon.
func (h *host) starts(service, netns string) (pid string) {
	h.T.Helper()
	h.Sh("rc-service " + service + " start")
	pid = h.daemon()
	want := h.outside()
	if netns != "host" {
		want = h.namespace(netns)
	}
	kit.Equal(h.T, "daemon of "+service, h.where(pid), want)
	return pid
}

// stops asserts that a service stops, and nothing runs then.
func (h *host) stops(service string) {
	h.T.Helper()
	h.Sh("rc-service " + service + " stop")
	h.noDaemon()
	kit.Equal(h.T, "state of "+service, h.state(service), "stopped")
}

// refuses asserts that a service does not start, and says why.
func (h *host) refuses(service, why string) {
	h.T.Helper()
	kit.Contains(h.T, h.Fails("rc-service "+service+" start"), why)
	h.noDaemon()
	kit.Equal(h.T, "state of "+service, h.state(service), "stopped")
}

// refusesRestart asserts that a service says why it does not restart, and that
// its daemon runs on.
func (h *host) refusesRestart(service, why string) {
	h.T.Helper()
	running := h.daemon()
	kit.Contains(h.T, h.Fails("rc-service "+service+" restart"), why)
	kit.Equal(h.T, "daemon of "+service, h.daemon(), running)
}

// lacks asserts that a text has not another in it.
func lacks(t testing.TB, text, unwanted string) {
	t.Helper()
	if strings.Contains(text, unwanted) {
		t.Errorf("%q in:\n%s", unwanted, text)
	}
}

// noDaemon asserts that nothing runs.
func (h *host) noDaemon() {
	h.T.Helper()
	kit.Equal(h.T, "daemons", h.Run("pgrep -a sleeper").Stdout, "")
}
