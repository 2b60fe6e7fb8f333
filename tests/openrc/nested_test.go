package openrc

import (
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// A service belongs where its own settings say, whoever starts it.
func nestedCalls(t *testing.T, h *host) {
	h.Sh("mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf; ip netns add mgmt; cp /etc/resolv.conf /run/host-resolv.conf")
	mgmt := "net:[" + h.Sh("stat -L -c %i /run/netns/mgmt") + "]"
	hostFiles := h.Sh("cat /etc/resolv.conf")
	resolv := func() string { return h.Sh("cat /proc/" + h.daemon() + "/root/etc/resolv.conf") }
	mounts := func(pid string) string { return h.Sh("readlink /proc/" + pid + "/ns/mnt") }
	h.Conf("nest", "netns=vpn", "other=daemon")

	// One without netns: in the host's namespace, with the host's mounts.
	h.Sh("rc-service nest start")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.outside())
	kit.Equal(t, "resolv.conf", resolv(), hostFiles)
	kit.Equal(t, "mounts", mounts(h.daemon()), mounts("1"))
	ran(h, "daemon", h.outside(), "start_pre", "start_post")
	h.Sh("rc-service nest stop")
	ran(h, "daemon", h.outside(), "stop_pre", "stop_post")
	h.noDaemon()

	// One with another netns: with that one's files, or none.
	h.Conf("daemon", "netns=mgmt")
	h.Sh("rc-service nest start")
	kit.Equal(t, "daemon", h.where(h.daemon()), mgmt)
	kit.Equal(t, "resolv.conf", resolv(), hostFiles)
	h.Sh("rc-service nest stop")
	h.noDaemon()

	// One whose script says it.
	h.Conf("nest", "netns=mgmt", "other=own-netns")
	h.Sh("rc-service nest start")
	kit.Equal(t, "own-netns", h.where(h.daemon()), h.inside())
	kit.Equal(t, "resolv.conf", resolv(), "nameserver 192.0.2.53")
	h.Sh("rc-service nest stop")
	h.noDaemon()

	// The same, with a setting that asks for nothing by itself.
	h.Conf("own-netns", "netns_etc=none")
	h.Sh("netns-exec mgmt rc-service own-netns start")
	kit.Equal(t, "own-netns", h.where(h.daemon()), h.inside())
	kit.Equal(t, "resolv.conf", resolv(), hostFiles)
	h.Sh("netns-exec mgmt rc-service own-netns stop; rm /etc/conf.d/own-netns")
	h.noDaemon()

	// By hand, from a shell inside.
	h.Sh("rm /etc/conf.d/daemon; netns-exec vpn rc-service daemon start")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.outside())
	kit.Equal(t, "status", h.Sh("exec 2>&1; netns-exec vpn rc-service daemon status"), h.Sh("exec 2>&1; rc-service daemon status"))
	h.Sh("rm -f /run/trace.daemon; netns-exec vpn rc-service daemon status; netns-exec vpn rc-service daemon reload")
	ran(h, "daemon", h.outside(), "status", "reload")
	h.Sh("netns-exec vpn rc-service daemon restart; netns-exec vpn rc-service daemon stop")
	h.noDaemon()

	// Out of a lock there is no way, and no way out is taken.
	kit.Contains(t, h.Fails("netns-exec --lock vpn rc-service daemon start"), "entering a network namespace needs CAP_SYS_ADMIN")
	h.noDaemon()
	h.Sh("rmdir $(find /sys/fs/cgroup -depth -name 'netns-exec.*')")
}

// In a chroot process 1 has another root, and its mounts are not ours to see.
func TestChroot(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh(`mkdir /run/root; mount --rbind / /run/root; mkdir -p /run/root/run; mount -t tmpfs none /run/root/run
		mkdir -p /run/root/run/netns; cp -a /run/openrc /run/root/run/; mount --rbind /run/netns /run/root/run/netns`)
	h.Sh("echo only here >/run/root/run/mark")
	h.Conf("daemon", "netns=vpn")
	h.Sh("chroot /run/root rc-service daemon start")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	kit.Equal(t, "mark", h.Sh("cat /proc/"+h.daemon()+"/root/run/mark"), "only here")
	h.Sh("chroot /run/root rc-service daemon stop")
	h.noDaemon()
}

// doctor changes openrc-run.sh, and takes care that the dependencies are worked
// out once more.
func (h *host) doctor(script string) {
	h.T.Helper()
	h.Sh("cd /usr/lib/rc/sh 2>/dev/null && [ -e openrc-run.sh ] || cd /lib/rc/sh; cp -p openrc-run.sh /run/openrc-run.sh.stock; " + script +
		"; ! cmp -s openrc-run.sh /run/openrc-run.sh.stock; rm -f /run/openrc/deptree")
}

// cure undoes what doctor did.
func (h *host) cure() {
	h.T.Helper()
	h.Sh("cd /usr/lib/rc/sh 2>/dev/null && [ -e openrc-run.sh ] || cd /lib/rc/sh; mv /run/openrc-run.sh.stock openrc-run.sh; rm -f /run/openrc/deptree")
}

// guarded asserts that the service daemon does not start on a doctored OpenRC.
func guarded(h *host) {
	h.T.Helper()
	h.Sh("rm -f /run/trace.daemon")
	out := h.Fails("rc-service daemon start")
	kit.Contains(h.T, out, "netns-unsupported-by-this-openrc")
	kit.Contains(h.T, out, "daemon: this OpenRC starts services in a way that openrc-netns does not know")
	h.noDaemon()
	// (It was sourced, as it is for its dependencies.)
	if out := h.Run("grep -v ^script /run/trace.daemon").Stdout; out != "" {
		h.T.Errorf("functions of the script ran:\n%s", out)
	}
	// A service without netns is none the wiser.
	h.Sh("rc-service plain start; rc-service plain stop")
}

// The guard for an OpenRC that no longer sources the way it does today.
func unknownOpenRC(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	h.doctor("sed -i 's/sourcex/load/g' openrc-run.sh") // another name
	guarded(h)
	h.cure()
	h.Sh("rc-service daemon start")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.Sh("rc-service daemon stop")
}

// Other changes that the guard is to notice.
func TestUnknownOpenRC(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"no longer through sourcex": `sed -i 's/^sourcex "/. "/; s/^\tsourcex "/\t. "/' openrc-run.sh`,
		"rc.conf.d no longer read":  `sed -i '/^\tfor _f in "$_f".*rc.conf.d/,/^\tdone/d' openrc-run.sh`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := boot(t, "dash", true)
			h.Conf("daemon", "netns=vpn")
			h.doctor(change)
			guarded(h)
		})
	}
}

// A namespace that is a service is started first and stopped last.
func needsTheServiceOfItsNamespace(t *testing.T, h *host) {
	h.Sh(`ip netns delete vpn; printf '#!/sbin/openrc-run\nstart() { ip netns add vpn; }\nstop() { ip netns delete vpn; }\n' >/etc/init.d/netns.vpn; chmod 755 /etc/init.d/netns.vpn`)
	h.Conf("daemon", "netns=vpn")
	kit.Contains(t, h.Sh("rc-service daemon ineed"), "netns.vpn")
	h.Sh("rc-service daemon start")
	kit.Equal(t, "netns.vpn", h.state("netns.vpn"), "started")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.Sh("rc-service netns.vpn stop")
	h.noDaemon()
	kit.Equal(t, "daemon", h.state("daemon"), "stopped")
}

// However OpenRC comes to work out dependencies, the guard finds nothing amiss.
func TestGuardIsQuietOnAStockOpenRC(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"bookworm", "trixie", "sid"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			h := bootRelease(t, machine.Options{Release: release}, true)
			h.Conf("daemon", "netns=vpn")
			for _, update := range []string{
				"rc-update -u",
				"$(find /usr/lib/rc /lib/rc -name rc-depend | head -1) -u daemon",
				"env -i $(find /usr/lib/rc /lib/rc -name rc-depend | head -1) -u daemon",
				"rc-service daemon ineed",
				"openrc default",
			} {
				h.Sh("rm -f /run/openrc/deptree; " + update)
				if h.Run("grep -q _service=.daemon /run/openrc/deptree && ! grep unsupported /run/openrc/deptree").Code != 0 {
					t.Errorf("%s:\n%s", update, h.Sh("grep -e daemon -e unsupported /run/openrc/deptree || :"))
				}
			}
		})
	}
}
