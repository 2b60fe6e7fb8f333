package openrc

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// lsbHost is a machine on which Debian's own script starts sshd, with a peer on
// the loopback of each network.
func lsbHost(t *testing.T, options machine.Options) *host {
	t.Helper()
	h := bootRelease(t, options, true)
	h.Sh("mv " + debians + "/ssh /etc/init.d; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; ip -n vpn link set lo up")
	kit.Contains(t, h.Sh("head -3 /etc/init.d/ssh"), "BEGIN INIT INFO")
	return h
}

// sshd asserts where an sshd answers: inside, outside or nowhere. It listens
// when it writes its file, and removes that when it ends.
func (h *host) sshd(when, want string) {
	h.T.Helper()
	wait := "-s"
	if want == "nowhere" {
		wait = "! -e"
	}
	h.Await("[ " + wait + " /run/sshd.pid ]")
	got := "nowhere"
	for where, prefix := range map[string]string{"inside": "ip netns exec vpn ", "outside": ""} {
		out := h.Run(prefix + "timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/22 && head -1 <&3'").Output
		switch {
		case strings.Contains(out, "SSH-2.0-OpenSSH"):
			got = where
			kit.Equal(h.T, "sshd after "+when, where, want)
		case !strings.Contains(out, "Connection refused"):
			h.T.Errorf("%s after %s: %s", where, when, out)
		}
	}
	kit.Equal(h.T, "sshd after "+when, got, want)
}

// TestLSBScripts has Debian's own script for sshd run in every way there is: by
// OpenRC, which knows such scripts, and past it.
func TestLSBScripts(t *testing.T) {
	eachOf(t, []string{"sid", "sid bash", "sid busybox", "trixie", "bookworm"}, func(t *testing.T, which string) {
		release, shell, _ := strings.Cut(which, " ")
		h := lsbHost(t, machine.Options{Release: release, Shell: shell})
		for _, way := range []struct{ name, command string }{
			{"rc-service", "rc-service ssh "},
			{"the script", "/etc/init.d/ssh "},
			{"service", "service ssh "},
		} {
			if shell != "" && way.name != "the script" {
				continue // another shell is nothing to them
			}
			does := func(action, settings, want string) {
				t.Helper()
				h.Sh(way.command + action)
				h.sshd(way.name+" "+action+" "+settings, want)
			}
			// Without settings nothing changes.
			h.Sh("rm -f /etc/conf.d/ssh")
			does("start", "without netns", "outside")
			does("stop", "without netns", "nowhere")

			h.Conf("ssh", "netns=nowhere")
			kit.Contains(t, h.Fails(way.command+"start"), `ssh: network namespace "nowhere" does not exist`)
			h.sshd(way.name+" start without the namespace", "nowhere")

			h.Conf("ssh", "netns=vpn")
			does("start", "", "inside")
			kit.Equal(t, "state", h.state("ssh"), "started")
			h.Sh(way.command + "status")
			first := h.Sh("cat /run/sshd.pid")
			does("reload", "", "inside")
			kit.Equal(t, "process after reload", h.Sh("cat /run/sshd.pid"), first)
			does("restart", "", "inside")
			if h.Sh("cat /run/sshd.pid") == first {
				t.Errorf("%s restart left the old sshd", way.name)
			}
			does("stop", "", "nowhere")
			kit.Equal(t, "state", h.state("ssh"), "stopped")
			if h.Run(way.command+"status").Code == 0 {
				t.Errorf("%s status of a stopped sshd succeeds", way.name)
			}
			h.Sh("rm /etc/conf.d/ssh; echo netns_default=vpn >/etc/rc.conf.d/all.conf")
			does("start", "by default", "inside")
			does("stop", "by default", "nowhere")
			h.Sh("rm /etc/rc.conf.d/all.conf")
			if t.Failed() {
				t.FailNow()
			}
		}

		h.Conf("ssh", "netns=vpn")
		// What a runlevel starts, and what was started so is stopped in any
		// way.
		h.Sh("rc-update add ssh default; openrc default")
		h.sshd("openrc default", "inside")
		h.Sh("rm /etc/conf.d/ssh; cd /etc/init.d; ./ssh stop")
		h.sshd("stop with the setting removed", "nowhere")
		kit.Equal(t, "state", h.state("ssh"), "stopped")
	})
}

// A start of Debian's scripts is content with a daemon that runs already, where
// that may be.
func TestLSBScriptRunsAlready(t *testing.T) {
	eachOf(t, releases, func(t *testing.T, release string) {
		h := lsbHost(t, machine.Options{Release: release})
		for _, way := range []string{"rc-service ssh ", "/etc/init.d/ssh ", "service ssh "} {
			h.Sh("rm -f /etc/conf.d/ssh; /etc/init.d/ssh start")
			h.sshd("start past OpenRC", "outside")
			h.Conf("ssh", "netns=vpn")
			out := h.Run(way + "start").Output
			if !strings.Contains(out, "already been started") {
				kit.Contains(t, out, "ssh: it runs already, and OpenRC did not start it: move it with: /etc/init.d/ssh restart")
			}
			h.sshd(way+"start", "outside")

			// A typo must not take it away.
			h.Conf("ssh", "netns=nowhere")
			h.Fails("/etc/init.d/ssh restart")
			h.sshd("a restart that would fail", "outside")

			h.Conf("ssh", "netns=vpn")
			h.Sh("/etc/init.d/ssh restart")
			h.sshd("restart", "inside")
			kit.Equal(t, "state", h.state("ssh"), "started")
			h.Sh(way + "stop")
			h.sshd(way+"stop", "nowhere")
			kit.Equal(t, "state", h.state("ssh"), "stopped")
		}

		// OpenRC cannot run what has no header.
		h.Sh("cp /etc/init.d/ssh /etc/init.d/bare; sed -i '/^###/d' /etc/init.d/bare; cp /etc/conf.d/ssh /etc/conf.d/bare")
		kit.Contains(t, h.Fails("/etc/init.d/bare start"), "bare: /etc/init.d/bare has no LSB header")
		h.sshd("start of a script without a header", "nowhere")
		kit.Contains(t, h.Fails("rc-service ssh reload"), "ssh: cannot reload: it was not started in a network namespace or a VRF")
	})
}

// TestLSBScriptIsConfined has the last look before a script runs, for scripts
// that OpenRC does not source.
func TestLSBScriptIsConfined(t *testing.T) {
	eachOf(t, releases, func(t *testing.T, release string) {
		cgroup := "/sys/fs/cgroup/openrc.ssh"
		if release == "bookworm" {
			cgroup = "/sys/fs/cgroup/unified/ssh"
		}
		h := lsbHost(t, machine.Options{Release: release})
		h.Conf("ssh", "netns=vpn", "netns_lock=yes")
		for _, command := range []string{"start", "restart", "stop", "start"} {
			h.Sh("rc-service ssh " + command)
		}
		h.sshd("start", "inside")
		pid := h.Sh("cat /run/sshd.pid")
		kit.Contains(t, cgroup, h.Sh("sed -n s/^0:://p /proc/"+pid+"/cgroup"))
		kit.Equal(t, "programs", h.Sh("probe programs "+cgroup), "openrc_netns CGroupSock, 16 instructions")
		kit.Equal(t, "CAP_SYS_ADMIN of this shell", fmt.Sprint(h.capabilities("self", "CapBnd")>>unix.CAP_SYS_ADMIN&1), "1")
		kit.Equal(t, "capabilities of sshd", fmt.Sprintf("%x", h.capabilities(pid, "CapBnd")&lockedAway), "0")
		h.Sh("rc-service ssh stop")
		h.Await("[ -z \"$(cat " + cgroup + "/cgroup.procs)\" ]") // sshd may be ending

		// Moved out of that cgroup on the way, it does not start.
		h.Sh("sed -i 's,^lsbh=.*,&\\necho 0 >" + path.Dir(cgroup) + "/cgroup.procs; cgroup2_set_limits() { :; },' $(find /lib/rc/ -name openrc-run.sh)")
		kit.Contains(t, h.Fails("rc-service ssh start"), "ssh: OpenRC moved the service out of the cgroup that binds its sockets")
		h.sshd("a start in another cgroup", "nowhere")
	})
}

// Other scripts of Debian's: chrony's calls itself, and its stop does not wait
// for the daemon's end.
func TestOtherLSBScripts(t *testing.T) {
	eachOf(t, releases, func(t *testing.T, release string) {
		h := bootRelease(t, machine.Options{Release: release}, true)
		root, err := machine.Root(release)
		if err != nil {
			t.Fatal(err)
		}
		h.Sh("ip -n vpn link set lo up; echo DAEMON_OPTS=-x >/etc/default/chrony")
		for service, process := range map[string]string{"nginx": "nginx", "dnsmasq": "dnsmasq", "chrony": "chronyd"} {
			where := func(when, want string) {
				t.Helper()
				// The process found may be the parent of the daemon, at its
				// end.
				out := h.Await("pid=$(pgrep -o -x " + process + ") && readlink /proc/$pid/ns/net")
				kit.Equal(t, service+" after "+when, out, want)
			}
			// (testdata has scripts of the same names.)
			h.Write("/etc/init.d/"+service, kit.Read(t, filepath.Join(root, "etc/init.d", service)))
			h.Sh("chmod 755 /etc/init.d/" + service)
			h.Conf(service, "netns=vpn")
			for _, command := range []string{"start", "restart", "status"} {
				h.Sh("/etc/init.d/" + service + " " + command)
				h.Await("cat /run/" + service + ".pid /run/" + service + "/*.pid 2>/dev/null | grep -q .") // it may not be ready yet
				where(command, h.inside())
			}
			h.Sh("rc-service " + service + " stop")
			h.Sh("while pgrep -x " + process + "; do sleep 0.1; done >/dev/null")

			// Without settings it belongs outside, though its caller be
			// inside.
			h.Sh("rm /etc/conf.d/" + service + "; netns-exec vpn /etc/init.d/" + service + " start")
			where("a start from inside", h.outside())
			h.Sh("netns-exec vpn rc-service " + service + " stop")
			h.Sh("while pgrep -x " + process + "; do sleep 0.1; done >/dev/null")
		}
	})
}
