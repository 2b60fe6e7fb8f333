package openrc

import (
	"testing"

	"openrc-netns/tests/kit"
)

// A user's services cannot enter a namespace. One that asks for it must not
// start outside.
func TestUserServices(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh(`mkdir -p /tmp/home/.config/rc/init.d /tmp/home/.config/rc/conf.d /tmp/home/.config/rc/runlevels/default /tmp/run
		printf '#!/sbin/openrc-run\nstart() { echo started >>/tmp/home/ran; }\n' >/tmp/home/.config/rc/init.d/mine
		chmod 755 /tmp/home/.config/rc/init.d/mine; chown -R daemon:daemon /tmp/home /tmp/run; chmod 700 /tmp/run`)
	const user = "exec 2>&1; setpriv --reuid daemon --regid daemon --clear-groups env HOME=/tmp/home XDG_RUNTIME_DIR=/tmp/run rc-service --user mine "
	h.Sh(user + "start")
	kit.Equal(t, "without netns", h.Sh("cat /tmp/home/ran"), "started")
	h.Sh(user + "stop; rm /tmp/home/ran")

	for _, setting := range []string{"netns=vpn", "vrf=mgmt", "netns_lock=yes"} {
		h.Sh("echo " + setting + " >/tmp/home/.config/rc/conf.d/mine")
		result := h.Run(user + "start")
		kit.Contains(t, result.Stdout, "mine: entering a network namespace needs CAP_SYS_ADMIN")
		if result.Code == 0 || h.Run("test -e /tmp/home/ran").Code == 0 {
			t.Errorf("%s: it started outside:\n%s", setting, result.Stdout)
		}
	}

	// It is the link in /etc/user that sees to it: without, the test fails.
	h.Sh("rm /etc/user/rc.conf.d/50-netns.conf; " + user + "start")
	kit.Equal(t, "without the link", h.Sh("cat /tmp/home/ran"), "started")
}
