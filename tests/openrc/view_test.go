package openrc

import (
	"os"
	"testing"

	"openrc-netns/tests/kit"
)

// chrooted is in the manner of Gentoo's named: start_pre mounts what reload and
// stop look at.
const chrooted = `#!/sbin/openrc-run
command=/usr/local/bin/sleeper
command_args=3600
command_background=yes
pidfile="/run/$RC_SVCNAME.pid"
extra_started_commands="reload"

mounted()
{
	[ -e /srv/jail/mounted ] && return 0
	eerror "No /srv/jail/mounted"
	return 1
}

start_pre()
{
	mkdir -p /srv/jail && mount -t tmpfs jail /srv/jail && touch /srv/jail/mounted
}

reload()
{
	mounted && [ "$PWD" = / ] && readlink /proc/self/ns/mnt
}

stop_pre()
{
	mounted
	readlink /proc/self/ns/mnt
}

stop_post()
{
	umount /srv/jail
}
`

// oneView asserts that the actions after a start see what the start has
// mounted, as they would without a network namespace: they act in the mount
// namespace of the start while a process of the service lives in it, and never
// in one that the daemon has made for itself.
func oneView(t *testing.T, h *host) {
	h.Write("/etc/init.d/jailed", chrooted)
	h.Conf("jailed", "netns=vpn")
	mounts := func(pid string) string {
		t.Helper()
		link, err := os.Readlink(h.path("/proc/" + pid + "/ns/mnt"))
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	h.Sh("rc-service jailed start")
	kit.Contains(t, h.Sh("rc-service jailed reload"), mounts(h.daemon()))
	h.Sh("[ ! -e /srv/jail/mounted ]") // the host does not see it
	before := mounts(h.daemon())
	kit.Contains(t, h.Sh("rc-service jailed restart"), before)
	kit.Contains(t, h.Sh("rc-service jailed reload"), mounts(h.daemon()))

	// OpenRC does not know of the process by a pidfile: it is looked for.
	h.Sh("rm /run/jailed.pid")
	kit.Contains(t, h.Sh("rc-service jailed reload"), mounts(h.daemon()))
	h.Sh("echo " + h.daemon() + " >/run/jailed.pid")
	before = mounts(h.daemon())
	kit.Contains(t, h.Sh("rc-service jailed stop"), before)
	h.noDaemon()

	// A daemon with a root directory and mounts of its own: there is nobody
	// left in those of the start, so reload acts in new ones, and never in the
	// daemon's.
	h.Write("/etc/init.d/jailed", chrooted+`
command=/usr/bin/unshare
command_args="-m /usr/local/bin/sleeper 3600"
mounted() { :; }
stop_post() { :; }
stop()
{
	read -r pid <"$pidfile"
	kill "$pid"
	while [ -e "/proc/$pid" ]; do
		sleep 0.01
	done
}
`)
	h.Sh("rc-service jailed start")
	own := mounts(h.daemon())
	if out := h.Sh("rc-service jailed reload"); out == own {
		t.Errorf("reload ran in the daemon's own mount namespace: %s", out)
	}
	h.stops("jailed")
	h.Sh("rm /etc/init.d/jailed /etc/conf.d/jailed")
}

// The rest of a start acts in the view of its beginning, which cannot become
// that of other settings: it fails, and no daemon is left half hidden or half
// locked.
func TestSettingsChangedWhileInactive(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.scripts("watched")
		settings := []string{"command_background=yes", "start_inactive=yes", "in_background_fake='start stop'", "netns=vpn"}
		h.Conf("watched", settings...)
		h.Run("rc-service watched start")
		kit.Equal(t, "state", h.state("watched"), "inactive")
		for _, change := range []string{"netns_hide=/srv", "netns_lock=yes", "netns_etc=no"} {
			h.Conf("watched", append(settings, change)...)
			kit.Contains(t, h.Fails("IN_BACKGROUND=yes rc-service watched start"),
				"netns_etc, netns_hide, netns_lock or netns_keep_caps has changed since the start began: stop and start it again")
		}
		h.Conf("watched", settings...)
		h.Sh("IN_BACKGROUND=yes rc-service watched start")
		kit.Equal(t, "state", h.state("watched"), "started")
		kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
		h.stops("watched")
	})
}

// A mount namespace that has another root directory by now does not stop a
// stop.
func TestViewWithAnotherRoot(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		h.startWith("daemon", "netns=vpn")
		h.Sh("nsenter -t " + h.daemon() + " -m sh -c 'mkdir -p /srv/root && mount -t tmpfs root /srv/root && mkdir /srv/root/old && cd /srv/root && busybox pivot_root . old'")
		kit.Contains(t, h.Sh("exec 2>&1; rc-service daemon stop"), "the mount namespace of the service has another root directory: acting in a new view")
		h.noDaemon()
	})
}

// netns_hide follows the links of root, and those of nobody else, who would choose
// what the service does not see.
func TestHideFollowsNobodysLinks(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh("mkdir /run/theirs; : >/run/theirs/socket; ln -s /run/theirs /run/link; chown nobody /run/theirs")
	h.Conf("daemon", "netns=vpn", "netns_hide='/run/link/socket'")
	h.Sh("rc-service daemon start")
	kit.Equal(t, "hidden", h.Sh("stat -c %F /proc/"+h.daemon()+"/root/run/theirs/socket"), "character special file")
	h.Sh("rc-service daemon stop; ln -sf /etc/shadow /run/theirs/socket")
	const why = `cannot hide "/run/link/socket": a link on the way is not root's alone`
	kit.Contains(t, h.Fails("rc-service daemon start"), why)
	kit.Contains(t, h.Run("rc-netns check daemon").Stdout, why)
	h.noDaemon()
}
