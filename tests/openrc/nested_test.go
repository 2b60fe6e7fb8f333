package openrc

import (
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// doctor changes openrc-run.sh, and takes care that the dependencies are worked
// out once more. What docs/upstream.md has added to it is gone then.
func (h *host) doctor(script string) {
	h.T.Helper()
	h.Sh("cd /usr/lib/rc/sh 2>/dev/null && [ -e openrc-run.sh ] || cd /lib/rc/sh; cp -p openrc-run.sh /run/openrc-run.sh.stock; sed -i s/service_loaded/loaded/g openrc-run.sh; " + script +
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
	kit.Equal(h.T, "functions of the script that ran", h.Run("grep -v ^script /run/trace.daemon").Stdout, "")
	// A service without netns is none the wiser.
	h.Sh("rc-service plain start; rc-service plain stop")
}

// The guard for an OpenRC that no longer sources the way it does today.
func unknownOpenRC(t *testing.T, h *host) {
	h.Conf("daemon", "netns=vpn")
	h.doctor("sed -i 's/sourcex/load/g' openrc-run.sh") // another name
	guarded(h)
	h.cure()
	h.starts("daemon", "vpn")
	h.stops("daemon")
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

// However OpenRC comes to work out dependencies, the guard finds nothing amiss.
func TestGuardIsQuietOnAStockOpenRC(t *testing.T) {
	eachOf(t, releases, func(t *testing.T, release string) {
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
