package openrc

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/kit"
)

// elsewhere is a command that makes an IP socket in a network namespace of its
// own, which takes no privilege: a new user namespace brings it.
const elsewhere = `unshare --user --map-root-user --net perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 0) or die "no socket: $!\n"; print "a socket\n"'`

// TestLockByHand shows each way out, and that it is shut by the lock alone.
func TestLockByHand(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	for name, test := range map[string]struct{ command, open, shut string }{
		"setns by path": {
			"nsenter --net=/proc/1/ns/net readlink /proc/self/ns/net", h.outside(), "Permission denied"},
		"setns by a descriptor from outside": {
			"sh -c 'nsenter --net=/proc/self/fd/9 readlink /proc/self/ns/net' 9</proc/1/ns/net", h.outside(), "Operation not permitted"},
		"socket in another namespace": {elsewhere, "a socket", "no socket: Operation not permitted"},
		"a shell with all capabilities of root": {
			"sh -c 'setpriv --dump | grep -i bounding'", "sys_admin", "bounding"},
	} {
		t.Run(name, func(t *testing.T) {
			out := h.Run("netns-exec vpn " + test.command).Output
			kit.Contains(t, out, test.open)
			out = h.Run("netns-exec --lock vpn " + test.command).Output
			kit.Contains(t, out, test.shut)
			if strings.Contains(out, test.open) {
				t.Errorf("open in spite of the lock:\n%s", out)
			}
		})
	}
	// At home it can do what it always could.
	kit.Contains(t, h.Sh("netns-exec --lock vpn perl -MSocket -e 'socket(S, PF_INET, SOCK_RAW, 1) or die $!; print qq(a socket)'"), "a socket")
	// For a user without privileges too, and twice in the same cgroup.
	kit.Contains(t, h.Sh("netns-exec --lock -u daemon vpn grep CapBnd /proc/self/status"), "CapBnd")
	cgroups := "find /sys/fs/cgroup -name 'netns-exec.*' | wc -l"
	kit.Equal(t, "cgroups", h.Sh(cgroups), "1")
	// An unlocked run beside it is not locked.
	kit.Contains(t, h.Run("netns-exec vpn "+elsewhere).Output, "a socket")
	// Alone, in the caller's namespace.
	kit.Contains(t, h.Fails("netns-exec --lock -- "+elsewhere), "no socket: Operation not permitted")
}

// The cgroup can be chosen: it is made, or used, and what a launch that fails
// has made does not stay.
func TestLockInAChosenCgroup(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Write("/run/broken", "#!/nowhere\n")
	lock := "netns-exec --lock --cgroup /chosen vpn "
	kit.Contains(t, h.Fails(lock+"/run/broken"), `netns-exec: cannot execute "/run/broken": no such file or directory`)
	h.Sh("[ ! -e /sys/fs/cgroup/chosen ]")
	kit.Contains(t, h.Fails("netns-exec --lock --cgroup /nowhere/chosen vpn true"), `netns-exec: create cgroup "/nowhere/chosen": no such file or directory`)
	for range 2 {
		kit.Equal(t, "cgroup", h.Sh(lock+"sed -n s/^0:://p /proc/self/cgroup"), "/chosen")
		kit.Equal(t, "programs", h.Sh("probe programs /sys/fs/cgroup/chosen"), "openrc_netns CGroupSock, 16 instructions")
		kit.Contains(t, h.Fails(lock+elsewhere), "no socket: Operation not permitted")
	}
	h.Fails(lock + "/run/broken")
	h.Sh("rmdir /sys/fs/cgroup/chosen") // it was there before
}

// cgroupOf is the cgroup that OpenRC makes for a service, and where cgroup v2
// is mounted.
func (h *host) cgroupOf(service string) (cgroup, mounted string) {
	h.T.Helper()
	if strings.Contains(h.Sh("openrc --version"), " 0.45") {
		return "/" + service, "/sys/fs/cgroup/unified"
	}
	return "/openrc." + service, "/sys/fs/cgroup"
}

// lockedAway are the capabilities that a lock takes, bits of capabilities(7).
const lockedAway = 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_SYS_MODULE | 1<<unix.CAP_SYS_RAWIO |
	1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_BOOT | 1<<unix.CAP_MKNOD | 1<<unix.CAP_PERFMON |
	1<<unix.CAP_BPF | 1<<unix.CAP_CHECKPOINT_RESTORE

// capabilities is a set of them that a process has, "CapBnd" for instance.
func (h *host) capabilities(pid, set string) (bits uint64) {
	h.T.Helper()
	if _, err := fmt.Sscanf(h.Sh("grep "+set+": /proc/"+pid+"/status"), set+":%x", &bits); err != nil {
		h.T.Fatal(err)
	}
	return bits
}

// The program that locks the service in is on the service's own cgroup, in the
// daemon's place from the first, and goes with it.
func locked(t *testing.T, h *host) {
	cgroup, mounted := h.cgroupOf("daemon")
	lockedIn(t, h, cgroup, mounted)
	kit.Equal(t, "cgroups", h.Sh("find /sys/fs/cgroup -name '*daemon*'"), "")
}

func lockedIn(t *testing.T, h *host, cgroup, mounted string) {
	h.Conf("daemon", "netns=vpn", "netns_lock=yes")
	h.Sh("rc-service daemon start")
	for _, when := range []string{"start", "restart"} {
		h.Sh("rc-service daemon " + when)
		pid := h.daemon()
		kit.Equal(t, "daemon after "+when, h.where(pid), h.inside())
		kit.Equal(t, "cgroup after "+when, h.Sh("sed -n s/^0:://p /proc/"+pid+"/cgroup"), cgroup)
		kit.Equal(t, "programs after "+when, h.Sh("probe programs "+mounted+cgroup), "openrc_netns CGroupSock, 16 instructions")
		for _, set := range []string{"CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"} {
			kit.Equal(t, set+" after "+when, fmt.Sprintf("%x", h.capabilities(pid, set)&lockedAway), "0")
		}
	}
	h.Sh("rm -f /run/trace.daemon; rc-service daemon status; rc-service daemon reload; rc-service daemon checkconfig")
	ran(h, "daemon", h.inside(), "status", "reload", "checkconfig")
	h.stops("daemon")
	kit.Equal(t, "cgroups", h.Sh("find "+mounted+" -name '*daemon'"), "")
}

// The supervisor is locked in as well, and still has its health checked.
func TestLockedSupervisor(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Conf("supervised", "netns=vpn", "netns_lock=yes")
		h.Sh("rc-service supervised start")
		first := h.daemon()
		h.Sh("until [ -s /run/trace.supervised ]; do sleep 0.1; done; sleep 1.5")
		kit.Equal(t, "healthcheck", trace(h, "supervised")["healthcheck"], h.inside())
		kit.Equal(t, "daemon after health checks", h.daemon(), first)
		h.Sh("rc-service supervised stop")
		h.noDaemon()
	})
}

// A daemon can keep what it needs, under start-stop-daemon and under s6.
func TestLockKeeps(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Conf("daemon", "netns=vpn", "netns_lock=yes", "netns_keep_caps=net_admin,Sys_Ptrace")
	h.Sh("rc-service daemon restart; rc-service daemon restart")
	if kept := h.capabilities(h.daemon(), "CapBnd") & lockedAway; kept != 1<<unix.CAP_NET_ADMIN|1<<unix.CAP_SYS_PTRACE {
		t.Errorf("it keeps %x", kept)
	}
	kit.Contains(t, h.Sh("rc-netns status daemon"), " ok")
	// A script that changes it would not be believed.
	h.Sh("rc-service daemon stop; echo 'netns_keep_caps=sys_admin' >>/etc/init.d/daemon")
	kit.Contains(t, h.Fails("rc-service daemon start"), "the init script changes what conf.d says about netns, vrf or a netns_ variable")
	h.noDaemon()

	// By hand, and what is refused.
	h.Conf("svc", "netns=vpn", "netns_lock=yes", "netns_keep_caps=mknod")
	kit.Equal(t, "CapBnd", h.Sh("netns-exec -s svc --keep-cap bpf sh -c 'echo $((0x$(sed -n s/^CapBnd:.//p /proc/self/status) >> 27 & 1)) $((0x$(sed -n s/^CapBnd:.//p /proc/self/status) >> 39 & 1))'"), "1 1")
	kit.Contains(t, h.Sh("netns-exec -n --lock --keep-cap mknod,bpf vpn true"), "keep       CAP_BPF\nkeep       CAP_MKNOD\n")
	for options, want := range map[string]string{
		"--keep-cap mknod":         "netns-exec: option --keep-cap goes with --lock; see: netns-exec --help",
		"--lock --keep-cap=":       `netns-exec: option "--keep-cap" needs a value; see: netns-exec --help`,
		"--lock --keep-cap chown":  `netns-exec: "chown" is not a capability that a lock takes away: use bpf, `,
		"--lock --keep-cap nosuch": `netns-exec: "nosuch" is not a capability that a lock takes away: use bpf, `,
	} {
		kit.Contains(t, h.Fails("netns-exec "+options+" vpn true"), want)
	}
}

// What a locked service starts belongs elsewhere, and cannot get there; it is
// not started in the lock instead.
func TestLockedServiceStartsNoOther(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.Sh("echo 'start_pre() { rc-service daemon start; return 0; }' >>/etc/init.d/plain")
		for _, conf := range [][]string{{"netns=vpn", "netns_lock=yes"}, {"netns_lock=yes"}} {
			h.Conf("plain", conf...)
			kit.Contains(t, h.Run("rc-service plain start").Output, "daemon: entering a network namespace needs CAP_SYS_ADMIN")
			kit.Equal(t, "daemon", h.state("daemon"), "stopped")
			h.Run("rc-service plain stop")
		}
	})
}
