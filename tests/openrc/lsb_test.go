package openrc

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"openrc-netns/tests/machine"
)

// lsbHost is a machine on which Debian's own script starts sshd, with a peer on
// the loopback of each network.
func lsbHost(t *testing.T, options machine.Options) *host {
	t.Helper()
	h := bootRelease(t, options, true)
	h.sh("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; ip -n vpn link set lo up")
	contains(t, h.sh("head -3 /etc/init.d/ssh"), "BEGIN INIT INFO")
	return h
}

// sshd asserts where an sshd answers: inside, outside or nowhere. It listens
// when it writes its file, and removes that when it ends.
func (h *host) sshd(when, want string) {
	h.t.Helper()
	wait := "-s"
	if want == "nowhere" {
		wait = "! -e"
	}
	h.sh("for i in $(seq 600); do [ " + wait + " /run/sshd.pid ] && exit; sleep 0.1; done; exit 1")
	got := "nowhere"
	for where, prefix := range map[string]string{"inside": "ip netns exec vpn ", "outside": ""} {
		out := h.Run(prefix + "timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/22 && head -1 <&3'").Output
		switch {
		case strings.Contains(out, "SSH-2.0-OpenSSH"):
			got = where
			equal(h.t, "sshd after "+when, where, want)
		case !strings.Contains(out, "Connection refused"):
			h.t.Errorf("%s after %s: %s", where, when, out)
		}
	}
	equal(h.t, "sshd after "+when, got, want)
}

// TestLSBScripts has Debian's own script for sshd run in every way there is: by
// OpenRC, which knows such scripts, and past it.
func TestLSBScripts(t *testing.T) {
	t.Parallel()
	for _, options := range []machine.Options{
		{Release: "sid"},
		{Release: "sid", Shell: "bash"},
		{Release: "sid", Shell: "busybox"},
		{Release: "trixie"},
		{Release: "bookworm"},
	} {
		t.Run(options.Release+" "+options.Shell, func(t *testing.T) {
			t.Parallel()
			h := lsbHost(t, options)
			for _, way := range []struct{ name, command string }{
				{"rc-service", "rc-service ssh "},
				{"the script", "/etc/init.d/ssh "},
				{"service", "service ssh "},
			} {
				if options.Shell != "" && way.name != "the script" {
					continue // another shell is nothing to them
				}
				// Without settings nothing changes.
				h.sh("rm -f /etc/conf.d/ssh")
				h.sh(way.command + "start")
				h.sshd(way.name+" start without netns", "outside")
				h.sh(way.command + "stop")
				h.sshd(way.name+" stop without netns", "nowhere")

				h.conf("ssh", "netns=nowhere")
				contains(t, h.fails(way.command+"start"), `ssh: network namespace "nowhere" does not exist`)
				h.sshd(way.name+" start without the namespace", "nowhere")

				h.conf("ssh", "netns=vpn")
				h.sh(way.command + "start")
				h.sshd(way.name+" start", "inside")
				equal(t, "state", h.state("ssh"), "started")
				h.sh(way.command + "status")
				first := h.sh("cat /run/sshd.pid")
				h.sh(way.command + "reload")
				h.sshd(way.name+" reload", "inside")
				equal(t, "process after reload", h.sh("cat /run/sshd.pid"), first)
				h.sh(way.command + "restart")
				h.sshd(way.name+" restart", "inside")
				if h.sh("cat /run/sshd.pid") == first {
					t.Errorf("%s restart left the old sshd", way.name)
				}
				h.sh(way.command + "stop")
				h.sshd(way.name+" stop", "nowhere")
				equal(t, "state", h.state("ssh"), "stopped")
				if h.Run(way.command+"status").Code == 0 {
					t.Errorf("%s status of a stopped sshd succeeds", way.name)
				}
				if t.Failed() {
					t.FailNow()
				}
			}

			// What a runlevel starts, and what was started so is stopped in any way.
			h.sh("rc-update add ssh default; openrc default")
			h.sshd("openrc default", "inside")
			h.sh("rm /etc/conf.d/ssh; cd /etc/init.d; ./ssh stop")
			h.sshd("stop with the setting removed", "nowhere")
			equal(t, "state", h.state("ssh"), "stopped")
		})
	}
}

// A start of Debian's scripts is content with a daemon that runs already, where
// that may be.
func TestLSBScriptRunsAlready(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"sid", "trixie", "bookworm"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			h := lsbHost(t, machine.Options{Release: release})
			for _, way := range []string{"rc-service ssh ", "/etc/init.d/ssh ", "service ssh "} {
				h.sh("rm -f /etc/conf.d/ssh; /etc/init.d/ssh start")
				h.sshd("start past OpenRC", "outside")
				h.conf("ssh", "netns=vpn")
				out := h.Run(way + "start").Output
				if !strings.Contains(out, "already been started") {
					contains(t, out, "ssh: it runs already, and OpenRC did not start it: move it with: /etc/init.d/ssh restart")
				}
				h.sshd(way+"start", "outside")

				// A typo must not take it away.
				h.conf("ssh", "netns=nowhere")
				h.fails("/etc/init.d/ssh restart")
				h.sshd("a restart that would fail", "outside")

				h.conf("ssh", "netns=vpn")
				h.sh("/etc/init.d/ssh restart")
				h.sshd("restart", "inside")
				equal(t, "state", h.state("ssh"), "started")
				h.sh(way + "stop")
				h.sshd(way+"stop", "nowhere")
				equal(t, "state", h.state("ssh"), "stopped")
			}

			// OpenRC cannot run what has no header.
			h.sh("cp /etc/init.d/ssh /etc/init.d/bare; sed -i '/^###/d' /etc/init.d/bare; cp /etc/conf.d/ssh /etc/conf.d/bare")
			contains(t, h.fails("/etc/init.d/bare start"), "bare: /etc/init.d/bare has no LSB header")
			h.sshd("start of a script without a header", "nowhere")
			contains(t, h.fails("rc-service ssh reload"), "ssh: cannot reload: it was not started in a network namespace or a VRF")
		})
	}
}

// TestLSBScriptIsConfined has the last look before a script runs, for scripts
// that OpenRC does not source.
func TestLSBScriptIsConfined(t *testing.T) {
	t.Parallel()
	for release, cgroup := range map[string]string{
		"sid": "/sys/fs/cgroup/openrc.ssh", "trixie": "/sys/fs/cgroup/openrc.ssh", "bookworm": "/sys/fs/cgroup/unified/ssh",
	} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			h := lsbHost(t, machine.Options{Release: release})
			h.conf("ssh", "netns=vpn", "netns_lock=yes")
			for _, command := range []string{"start", "restart", "stop", "start"} {
				h.sh("rc-service ssh " + command)
			}
			h.sshd("start", "inside")
			pid := h.sh("cat /run/sshd.pid")
			contains(t, cgroup, h.sh("sed -n s/^0:://p /proc/"+pid+"/cgroup"))
			equal(t, "programs", h.sh("probe programs "+cgroup), "openrc_netns CGroupSock, 16 instructions")
			const sysAdmin = "echo $((0x$(sed -n 's/^CapBnd:\t//p' /proc/%/status) >> 21 & 1))"
			equal(t, "CAP_SYS_ADMIN of this shell", h.sh(strings.ReplaceAll(sysAdmin, "%", "self")), "1")
			equal(t, "CAP_SYS_ADMIN of sshd", h.sh(strings.ReplaceAll(sysAdmin, "%", pid)), "0")
			h.sh("rc-service ssh stop")
			h.sh("for i in $(seq 600); do [ -z \"$(cat " + cgroup + "/cgroup.procs)\" ] && exit; sleep 0.1; done; exit 1") // sshd may be ending

			// Moved out of that cgroup on the way, it does not start.
			h.sh("sed -i 's,^lsbh=.*,&\\necho 0 >" + path.Dir(cgroup) + "/cgroup.procs; cgroup2_set_limits() { :; },' $(find /lib/rc/ -name openrc-run.sh)")
			contains(t, h.fails("rc-service ssh start"), "ssh: OpenRC moved the service out of the cgroup that binds its sockets")
			h.sshd("a start in another cgroup", "nowhere")
		})
	}
}

// Other scripts of Debian's: chrony's calls itself, and its stop does not wait
// for the daemon's end.
func TestOtherLSBScripts(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"sid", "trixie", "bookworm"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			h := bootRelease(t, machine.Options{Release: release}, true)
			root, err := machine.Root(t.Context(), release)
			if err != nil {
				t.Fatal(err)
			}
			h.sh("ip -n vpn link set lo up; echo DAEMON_OPTS=-x >/etc/default/chrony")
			for service, process := range map[string]string{"nginx": "nginx", "dnsmasq": "dnsmasq", "chrony": "chronyd"} {
				where := func(when, want string) {
					t.Helper()
					// The process found may be the parent of the daemon, at its end.
					out := h.sh("for i in $(seq 600); do pid=$(pgrep -o -x " + process + ") && readlink /proc/$pid/ns/net && exit; sleep 0.1; done; exit 1")
					equal(t, service+" after "+when, out, want)
				}
				// (testdata has scripts of the same names.)
				script, err := os.ReadFile(filepath.Join(root, "etc/init.d", service))
				if err != nil {
					t.Fatal(err)
				}
				h.write("/etc/init.d/"+service, string(script))
				h.sh("chmod 755 /etc/init.d/" + service)
				h.conf(service, "netns=vpn")
				for _, command := range []string{"start", "restart", "status"} {
					h.sh("/etc/init.d/" + service + " " + command)
					where(command, h.inside())
				}
				h.sh("rc-service " + service + " stop")
				h.sh("while pgrep -x " + process + "; do sleep 0.1; done >/dev/null")

				// Without settings it belongs outside, though its caller be inside.
				h.sh("rm /etc/conf.d/" + service + "; netns-exec vpn /etc/init.d/" + service + " start")
				where("a start from inside", h.outside())
				h.sh("netns-exec vpn rc-service " + service + " stop")
				h.sh("while pgrep -x " + process + "; do sleep 0.1; done >/dev/null")
			}
		})
	}
}
