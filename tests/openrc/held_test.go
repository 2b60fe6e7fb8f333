package openrc

import (
	"fmt"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// TestCgroupRemadeUnderALaunch takes the cgroup that a launch has put the
// program on, or found it on, away from under it. Whatever has its name then,
// no command runs without the program.
func TestCgroupRemadeUnderALaunch(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Write("/run/command", "#!/bin/sh\necho ran\n"+elsewhere+" 2>&1 || :\n")
	const (
		unlocked = "ran\na socket\n"
		locked   = "ran\nno socket: Operation not permitted\n"

		// Where it stands: it has put the program on the cgroup; cgroup.procs is
		// open, and nothing written to it; it is in the cgroup.
		attached = `hold "$anew" bpf:when=3 'grep bpf /run/trace | tail -n 1 | grep -q PROG_ATTACH' `
		opened   = `hold "$anew" openat 'true' -P cgroup.procs `
		joined   = `hold "$anew" openat 'grep -q "^0::$name\$" /proc/$pid/cgroup' -P /proc/self/cgroup `

		remake = "rmdir $cgroup && mkdir $cgroup"
	)
	kit.Equal(t, "without the lock", h.Sh("netns-exec vpn /run/command"), strings.TrimSpace(unlocked))
	// One that goes each time is given up at last.
	gone := h.Run("strace -e quiet=attach,path-resolution -f -o /dev/null -e trace=openat -e inject=openat:error=ENODEV -P cgroup.procs netns-exec --lock vpn /run/command")
	kit.Held{Status: fmt.Sprint(gone.Code), Stdout: gone.Stdout, Stderr: gone.Stderr}.Refused(t, `join cgroup "/netns-exec.`)
	h.Sh("rmdir /sys/fs/cgroup/netns-exec.*") // it could not leave

	for option, name := range map[string]string{
		"--lock":                  "/netns-exec." + h.Sh("netns-exec --lock vpn sed -n 's,^0::/netns-exec.,,p' /proc/self/cgroup; rmdir /sys/fs/cgroup/netns-exec.*"),
		"--lock --cgroup /chosen": "/chosen",
	} {
		launch := "netns-exec " + option + " vpn /run/command\n"
		names := fmt.Sprintf("name=%s; cgroup=/sys/fs/cgroup$name; ", name)
		// A program of an earlier launch was found, and is replaced where the
		// cgroup was chosen.
		found := `hold "$anew" bpf:when=4 'grep -q PROG_GET_FD_BY_ID /run/trace' `
		if name == "/chosen" {
			found = `hold "$anew" bpf:when=5 'grep -q "PROG_ATTACH.*REPLACE" /run/trace' `
		}
		const remove = "[ ! -d $cgroup ] || rmdir $cgroup"
		// A cgroup that was chosen is made again by the launch too, if somebody
		// has removed it.
		for what, test := range map[string]struct{ before, hold, meddle, refused string }{
			"removed":                     {"", attached, "rmdir $cgroup", ""},
			"remade":                      {"", attached, remake, ""},
			"remade with another program": {"", attached, remake + " && probe attach $cgroup harmless", ""},
			"remade, found":               {"; netns-exec " + option + " vpn true", found, remake, ""},
			"remade when it was opened":   {"", opened, remake, ""},
			"removed when it was opened":  {"", opened, "rmdir $cgroup", ""},
			"program taken off":           {"", attached, "probe detach $cgroup", "the BPF program is not in effect in cgroup \"" + name + "\", where this process is"},
			"another program in its place": {"", attached, "probe detach $cgroup && probe attach $cgroup harmless",
				"the BPF program is not in effect in cgroup \"" + name + "\", where this process is"},
			"moved away": {"", joined, "mkdir -p /sys/fs/cgroup/away && echo $pid >/sys/fs/cgroup/away/cgroup.procs",
				`the BPF program is not in effect in cgroup "/away", where this process is`},
			"remade with the launcher in it": {"", joined, "echo $pid >/sys/fs/cgroup/cgroup.procs && " + remake + " && echo $pid >$cgroup/cgroup.procs",
				"the BPF program is not in effect in cgroup \"" + name + "\", where this process is"},
		} {
			t.Run(strings.ReplaceAll(option, " /", "=")+" "+what, func(t *testing.T) {
				h := h.with(t)
				end := h.End(names + "anew='" + remove + test.before + "'\n" + test.hold + launch + test.meddle)
				if test.refused == "" {
					end.Ran(t, locked)
				} else {
					end.Refused(t, test.refused)
				}
				// Nothing is left but what somebody else has made.
				h.Sh(names + remove + "; [ ! -d /sys/fs/cgroup/away ] || rmdir /sys/fs/cgroup/away")
				kit.Equal(t, "cgroups", h.Run("cd /sys/fs/cgroup && ls -d netns-exec.* chosen away 2>/dev/null").Stdout, "")
			})
		}
	}
}

// TestCgroupRemadeUnderAnAction does so to an action of a service that was
// locked at its start, whose cgroup the action joins. It acts in the namespace
// all the same, as a service can always be stopped, and says what it lacks.
func TestCgroupRemadeUnderAnAction(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("cat >>/etc/init.d/daemon <<'EOF'\nreload() { trace reload; " + elsewhere + " >/run/reload 2>&1 || :; }\nEOF")
	h.Conf("daemon", "netns=vpn", "netns_lock=yes")
	cgroup, mounted := h.cgroupOf("daemon")
	names := fmt.Sprintf("name=%s; cgroup=%s$name; ", cgroup, mounted)
	const (
		reload = `hold : openat true -P "${name#/}/cgroup.procs" rc-service daemon reload` + "\n"
		remake = "rmdir $cgroup; mkdir $cgroup; "
	)
	for what, test := range map[string]struct{ before, meddle, lacks string }{
		"as it was":                        {"", "", ""},
		"remade":                           {remake, "", `there is no longer a program on cgroup "` + cgroup + `"`},
		"remade with another program":      {remake + "probe attach $cgroup harmless; ", "", `there is no longer a program on cgroup "` + cgroup + `"`},
		"remade when it was opened":        {"", remake, `join cgroup "` + cgroup + `": no such device`},
		"program taken off, when opened":   {"", "probe detach $cgroup", `there is no longer a program on cgroup "` + cgroup + `"`},
		"another program, when opened too": {"", "probe detach $cgroup; probe attach $cgroup harmless", `there is no longer a program on cgroup "` + cgroup + `"`},
	} {
		t.Run(what, func(t *testing.T) {
			h := h.with(t)
			h.Sh("rm -f /run/trace.daemon /run/reload; rc-service daemon start")
			h.Sh(names + "echo " + h.daemon() + " >$cgroup/../cgroup.procs")
			end := h.End(names + test.before + reload + test.meddle)
			kit.Equal(t, "status", end.Status, "0")
			kit.Equal(t, "reload", trace(h, "daemon")["reload"], h.inside())
			want, said := "no socket: Operation not permitted", "sockets are not confined as at the start: "
			if test.lacks != "" {
				want = "a socket"
				kit.Contains(t, end.Stderr, "daemon: "+said+test.lacks+"\n")
			}
			kit.Equal(t, "reload had", h.Sh("cat /run/reload"), want)
			if n := strings.Count(end.Stderr, said); n > 1 || test.lacks == "" && n > 0 {
				t.Errorf("%d warnings:\n%s", n, end.Stderr)
			}
			h.Sh("rc-service daemon stop")
		})
	}
}

// TestNameRemadeUnderALaunch has an administrator delete the name of a
// namespace that a launch is on its way into, change its files in /etc/netns
// and make it again. The command gets the namespace and the files of one
// moment, or does not run.
func TestNameRemadeUnderALaunch(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	// Each time both have another number.
	h.Write("/run/remake", `#!/bin/sh -e
number=$(($(cat /run/number) + 1))
echo $number >/run/number
[ ! -e /run/netns/vpn ] || ip netns delete vpn
mkdir -p /etc/netns/vpn
echo "nameserver 192.0.2.$number" >/etc/netns/vpn/new
mv /etc/netns/vpn/new /etc/netns/vpn/resolv.conf
ip netns add vpn
ip netns exec vpn sysctl -qw net.ipv4.ip_default_ttl=$number
`)
	h.Write("/run/command", "#!/bin/sh\necho $(cat /proc/sys/net/ipv4/ip_default_ttl) $(sed 's/.*[.]//' /etc/resolv.conf)\n")
	h.Sh("echo nameserver 203.0.113.99 >/etc/resolv.conf")
	const (
		launch = "netns-exec vpn /run/command\n"

		// Where it stands: it has the namespace, or the list of files, or has
		// entered the namespace, or has the file.
		opened  = "hold : openat true -P /run/netns/vpn "
		listed  = "hold : openat true -P /etc/netns/vpn "
		entered = "hold : setns true "
		picked  = "hold : open_tree true -P /etc/netns/vpn/resolv.conf "
	)
	for where, hold := range map[string]string{"opened": opened, "listed": listed, "entered": entered, "picked up": picked} {
		for what, test := range map[string]struct{ meddle, out, refused string }{
			"as it was": {":", "10 10\n", ""},
			"remade":    {"/run/remake", "11 11\n", ""},
			"remade without files": {"ip netns delete vpn; rm -r /etc/netns/vpn; ip netns add vpn; ip netns exec vpn sysctl -qw net.ipv4.ip_default_ttl=50",
				"50 99\n", ""},
			"deleted": {"ip netns delete vpn; echo nameserver 192.0.2.50 >/etc/netns/vpn/resolv.conf",
				"", `network namespace "vpn" does not exist`},
		} {
			t.Run(where+" "+what, func(t *testing.T) {
				h := h.with(t)
				h.Sh("echo 9 >/run/number; /run/remake")
				end := h.End(hold + launch + test.meddle)
				if test.refused == "" {
					end.Ran(t, test.out)
				} else {
					end.Refused(t, test.refused)
				}
			})
		}
	}
	// Some times in a row, and without an end.
	h.Sh("echo 9 >/run/number; /run/remake")
	h.End(entered+launch+"for _ in 1 2 3 4; do /run/remake; again true; done").Ran(t, "14 14\n")
	h.Sh("echo 9 >/run/number; /run/remake")
	h.End(entered+launch+"while /run/remake; kill -CONT $pid; stand true; do [ $(cat /run/number) -lt 60 ] || in_vain; done").
		Refused(t, `network namespace "vpn" kept being recreated while it was entered`)
}
