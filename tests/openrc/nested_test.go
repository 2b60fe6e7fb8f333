package openrc

import (
	"testing"

	"openrc-netns/tests/machine"
)

// A service belongs where its own settings say, whoever starts it.
func TestNestedCalls(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.sh("mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf; ip netns add mgmt; cp /etc/resolv.conf /run/host-resolv.conf")
		mgmt := "net:[" + h.sh("stat -L -c %i /run/netns/mgmt") + "]"
		hostFiles := h.sh("cat /etc/resolv.conf")
		resolv := func() string { return h.sh("cat /proc/" + h.daemon() + "/root/etc/resolv.conf") }
		mounts := func(pid string) string { return h.sh("readlink /proc/" + pid + "/ns/mnt") }
		h.conf("nest", "netns=vpn", "other=daemon")

		// One without netns: in the host's namespace, with the host's mounts.
		h.sh("rc-service nest start")
		equal(t, "daemon", h.where(h.daemon()), h.outside())
		equal(t, "resolv.conf", resolv(), hostFiles)
		equal(t, "mounts", mounts(h.daemon()), mounts("1"))
		ran(h, "daemon", h.outside(), "start_pre", "start_post")
		h.sh("rc-service nest stop")
		ran(h, "daemon", h.outside(), "stop_pre", "stop_post")
		h.noDaemon()

		// One with another netns: with that one's files, or none.
		h.conf("daemon", "netns=mgmt")
		h.sh("rc-service nest start")
		equal(t, "daemon", h.where(h.daemon()), mgmt)
		equal(t, "resolv.conf", resolv(), hostFiles)
		h.sh("rc-service nest stop")
		h.noDaemon()

		// One whose script says it.
		h.conf("nest", "netns=mgmt", "other=own-netns")
		h.sh("rc-service nest start")
		equal(t, "own-netns", h.where(h.daemon()), h.inside())
		equal(t, "resolv.conf", resolv(), "nameserver 192.0.2.53")
		h.sh("rc-service nest stop")
		h.noDaemon()

		// By hand, from a shell inside.
		h.sh("rm /etc/conf.d/daemon; netns-exec vpn rc-service daemon start")
		equal(t, "daemon", h.where(h.daemon()), h.outside())
		h.sh("rm -f /run/trace.daemon; netns-exec vpn rc-service daemon status; netns-exec vpn rc-service daemon reload")
		ran(h, "daemon", h.outside(), "status", "reload")
		h.sh("netns-exec vpn rc-service daemon restart; netns-exec vpn rc-service daemon stop")
		h.noDaemon()

		// Out of a lock there is no way, and no way out is taken.
		contains(t, h.fails("netns-exec --lock vpn rc-service daemon start"), "entering a network namespace needs CAP_SYS_ADMIN")
		h.noDaemon()
	})
}

// In a chroot process 1 has another root, and its mounts are not ours to see.
func TestChroot(t *testing.T) {
	h := boot(t, "dash", true)
	h.sh(`mkdir /run/root; mount --rbind / /run/root; mkdir -p /run/root/run; mount -t tmpfs none /run/root/run
		mkdir -p /run/root/run/netns; cp -a /run/openrc /run/root/run/; mount --rbind /run/netns /run/root/run/netns`)
	h.sh("echo only here >/run/root/run/mark")
	h.conf("daemon", "netns=vpn")
	h.sh("chroot /run/root rc-service daemon start")
	equal(t, "daemon", h.where(h.daemon()), h.inside())
	equal(t, "mark", h.sh("cat /proc/"+h.daemon()+"/root/run/mark"), "only here")
	h.sh("chroot /run/root rc-service daemon stop")
	h.noDaemon()
}

// The guard for an OpenRC that no longer sources the way it does today.
func TestUnknownOpenRC(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		doctor := func(script string) {
			t.Helper()
			h.sh("cd /usr/lib/rc/sh && [ -e openrc-run.sh.stock ] || cp -p openrc-run.sh openrc-run.sh.stock; cp -p openrc-run.sh.stock openrc-run.sh; " + script + "; ! cmp -s openrc-run.sh openrc-run.sh.stock; sleep 1; touch /etc/conf.d/daemon")
		}
		h.conf("daemon", "netns=vpn")
		h.sh("rc-service daemon start; rc-service daemon stop; rm -f /run/trace.daemon")
		for _, change := range []string{
			`sed -i 's/^sourcex "/. "/; s/^\tsourcex "/\t. "/' openrc-run.sh`,   // no longer through sourcex
			`sed -i '/^\tfor _f in "$_f".*rc.conf.d/,/^\tdone/d' openrc-run.sh`, // rc.conf.d no longer read
			`sed -i 's/sourcex/load/g' openrc-run.sh`,                           // another name
		} {
			doctor(change)
			out := h.fails("rc-service daemon start")
			contains(t, out, "netns-unsupported-by-this-openrc")
			contains(t, out, "daemon: this OpenRC starts services in a way that openrc-netns does not know")
			h.noDaemon()
			// (It was sourced, as it is for its dependencies.)
			if out := h.Run("grep -v ^script /run/trace.daemon").Stdout; out != "" {
				t.Errorf("functions of the script ran:\n%s", out)
			}
			// A service without netns is none the wiser.
			h.sh("rc-service plain start; rc-service plain stop")
		}
		h.sh("cd /usr/lib/rc/sh && mv openrc-run.sh.stock openrc-run.sh; sleep 1; touch /etc/conf.d/daemon; rc-service daemon start")
		equal(t, "daemon", h.where(h.daemon()), h.inside())
	})
}

// A namespace that is a service is started first and stopped last.
func TestNeedsTheServiceOfItsNamespace(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.sh(`ip netns delete vpn; printf '#!/sbin/openrc-run\nstart() { ip netns add vpn; }\nstop() { ip netns delete vpn; }\n' >/etc/init.d/netns.vpn; chmod 755 /etc/init.d/netns.vpn`)
		h.conf("daemon", "netns=vpn")
		contains(t, h.sh("rc-service daemon ineed"), "netns.vpn")
		h.sh("rc-service daemon start")
		equal(t, "netns.vpn", h.state("netns.vpn"), "started")
		equal(t, "daemon", h.where(h.daemon()), h.inside())
		h.sh("rc-service netns.vpn stop")
		h.noDaemon()
		equal(t, "daemon", h.state("daemon"), "stopped")
	})
}

// However OpenRC comes to work out dependencies, the guard finds nothing amiss.
func TestGuardIsQuietOnAStockOpenRC(t *testing.T) {
	for _, release := range []string{"bookworm", "trixie", "sid"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			h := bootRelease(t, machine.Options{Release: release}, true)
			h.conf("daemon", "netns=vpn")
			for _, update := range []string{
				"rc-update -u",
				"$(find /usr/lib/rc /lib/rc -name rc-depend | head -1) -u daemon",
				"env -i $(find /usr/lib/rc /lib/rc -name rc-depend | head -1) -u daemon",
				"rc-service daemon ineed",
				"openrc default",
			} {
				h.sh("rm -f /run/openrc/deptree; " + update)
				if h.Run("grep -q _service=.daemon /run/openrc/deptree && ! grep unsupported /run/openrc/deptree").Code != 0 {
					t.Errorf("%s:\n%s", update, h.sh("grep -e daemon -e unsupported /run/openrc/deptree || :"))
				}
			}
		})
	}
}
