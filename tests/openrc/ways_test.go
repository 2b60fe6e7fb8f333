package openrc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/kit"
)

// hasDomains reports whether this kernel has the kind of Landlock domain that
// keeps a lock apart from processes of the same user: that of Linux 6.12.
func hasDomains() bool {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1)
	return errno == 0 && version >= 6
}

// tryWays has the probe try them as the command of a launch, and returns what
// the kernel says, and what it is to say to a locked root of those that a lock
// shuts.
func tryWays(h *host, launch string) (said, shut map[string]string) {
	h.T.Helper()
	said, shut = map[string]string{}, map[string]string{}
	for line := range strings.Lines(h.Sh(strings.Replace(launch, "netns-exec", "probe leave-open netns-exec", 1) + " probe ways $(cat /run/victim) $(cat /sys/class/net/outer/ifindex)")) {
		fields := strings.Split(strings.TrimSpace(line), ": ")
		said[fields[0]] = fields[2]
		if fields[1] != "" {
			shut[fields[0]] = fields[1]
		}
	}
	return said, shut
}

func TestWaysOut(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("ip link add outer type veth peer name inner; mkdir -p /mnt /tmp")
	h.Sh("/usr/local/bin/sleeper 1000 </dev/null >/dev/null 2>&1 & printf %s $! >/run/victim")
	h.Sh("setpriv --reuid 65534 --regid 65534 --clear-groups /usr/local/bin/sleeper 1000 </dev/null >/dev/null 2>&1 & printf %s $! >/run/process-of-nobody; sleep 0.2")
	// Nothing of this reaches past the machine: mounts, a node in its own /dev,
	// and a process to get things from.
	h.Sh("for kind in debugfs:debug tracefs:tracing configfs:config; do [ ! -d /sys/kernel/${kind#*:} ] || mount -t ${kind%:*} none /sys/kernel/${kind#*:} || :; done; mknod -m 600 /dev/mem c 1 1")
	h.Sh("probe hand-out >/dev/null 2>&1 & until [ -S /run/way-out.socket ]; do sleep 0.05; done")
	missing := func(answer string) bool {
		return slices.Contains([]string{"not here", "ENOENT", "ENOSYS", "ENXIO", "ENODEV", "ENOPROTOOPT"}, answer)
	}

	// With a program on its cgroup, which it can take off.
	h.Sh("mkdir /sys/fs/cgroup/own; probe attach /sys/fs/cgroup/own harmless")
	open, ways := tryWays(h, "echo $$ >/sys/fs/cgroup/own/cgroup.procs; netns-exec vpn")
	if !hasDomains() {
		t.Log("another process as its user: open in this kernel, which has no such Landlock domains")
		delete(ways, "another process as its user")
	}
	for name, shut := range ways {
		switch {
		case missing(open[name]):
			t.Logf("%s: not in this kernel: %s", name, open[name])
		case open[name] == shut:
			t.Errorf("%s: shut without the lock: %s", name, open[name])
		default:
			t.Logf("%s: without the lock: %s", name, open[name])
		}
	}
	judge := func(what string, said map[string]string) {
		t.Helper()
		for name, answer := range said {
			if want, shut := ways[name]; shut && answer != want && !(missing(open[name]) && answer != "done") {
				t.Errorf("%s: %s: %s, want %s", what, name, answer, want)
			}
		}
	}
	for what, launch := range map[string]string{
		"in a namespace": "netns-exec --lock vpn", "at home": "netns-exec --lock --",
		"where it had been": "cd /proc/sys/kernel && netns-exec --lock vpn",
	} {
		said, every := tryWays(h, launch)
		judge(what, said)
		for name, answer := range said {
			if every[name] == "" { // admitted, or shut to whoever asks
				kit.Equal(t, what+": "+name, answer, open[name])
			}
		}
		kit.Equal(t, "ways "+what, fmt.Sprint(len(said)), fmt.Sprint(len(open)))
	}
	said, _ := tryWays(h, "netns-exec --lock -u nobody vpn")
	for name := range ways {
		if said[name] == "" || said[name] == "done" {
			t.Errorf("as nobody: %s: %q", name, said[name])
		}
	}

	// What is kept opens what it is said to open, and nothing else.
	for keep, opened := range map[string][]string{
		"bpf":                {"BPF program"},
		"checkpoint_restore": {"PID of one's choice", "file that is mapped"},
		"dac_read_search":    {"file by its handle"},
		"mknod":              {"node of a disk"},
		"net_admin": {"number for another namespace", "macvlan on its device", "the same as nobody with NET_ADMIN",
			"device of one's own", "address", "route", "firewall", "sysctl of the network"},
		"perfmon": {"perf event of the kernel", "tracepoint", "probe in the kernel"},
		"sys_admin": {"mount", "remount of /proc/sys", "BPF program", "BPF program off its cgroup", "the same without its descriptor",
			"perf event of the kernel", "tracepoint", "probe in the kernel", "PID of one's choice", "file that is mapped",
			"network namespace of one's own", "socket in one by a user namespace"},
		"sys_boot":   {"reboot", "kexec_load", "kexec_file_load"},
		"sys_module": {"kernel module"},
		"SYS_PTRACE": {"pidfd_getfd", "ptrace", "memory of another process", "root of another process", "setns by path", "setns from there", "another process as its user"},
		"sys_rawio":  {"I/O port", "all I/O ports", "memory of the machine"},
	} {
		said, _ := tryWays(h, "netns-exec --lock --keep-cap "+keep+" vpn")
		for _, name := range opened {
			want := open[name]
			switch name {
			case "setns by path", "setns from there":
				want = "EPERM" // it can be opened by now, and not be entered
			case "remount of /proc/sys":
				want = "done" // without the lock it is no mount
			}
			kit.Equal(t, keep+": "+name, said[name], want)
			delete(said, name)
		}
		judge(keep, said)
	}

	// By the working directory, and by another mount of proc.
	for _, try := range []string{
		"cd /proc/sys/kernel && netns-exec --lock vpn sh -c ': 2>/dev/null >>core_pattern'",
		"mkdir -p /srv/proc && mount -t proc proc /srv/proc && netns-exec --lock vpn sh -c ': 2>/dev/null >>/srv/proc/sys/kernel/core_pattern'",
		"netns-exec --lock vpn sh -c ': 2>/dev/null >>/srv/proc/sys/kernel/core_pattern'",
	} {
		h.Fails(try)
	}
	h.Sh("mount --bind /proc/sys/kernel /srv")
	h.Fails("netns-exec --lock vpn sh -c ': 2>/dev/null >>/srv/core_pattern'")
	// The caller's own mounts are as they were.
	h.Sh(": >>/proc/sys/kernel/core_pattern; umount /srv /srv/proc")

	if hasDomains() {
		const listens = "until grep -q @way-out /proc/net/unix; do sleep 0.1; done; "
		h.Sh("netns-exec vpn probe abstract way-out >/dev/null 2>&1 & netns-exec vpn sh -c '" + listens + "probe ask-abstract way-out'")
		kit.Contains(t, h.Fails("netns-exec --lock vpn probe ask-abstract way-out"), "operation not permitted")
		h.Sh("netns-exec --lock vpn sh -c 'probe abstract inside & " + strings.ReplaceAll(listens, "way-out", "inside") + "probe ask-abstract inside; status=$?; kill $!; exit $status'")
	}
}
