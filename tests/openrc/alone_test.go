package openrc

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// alone is a machine as Alpine makes it: OpenRC, busybox, and no other userland.
// It is a column of the table.
var alone = machine.Options{Release: "sid", Shell: "busybox", Alone: true}

// Of musl the resolver is another one than glibc's: it knows no nsswitch.conf,
// and asks all name servers of resolv.conf at once.
func TestMuslResolver(t *testing.T) {
	t.Parallel()
	h := bootRelease(t, alone, true)
	h.Sh(`mkdir -p /etc/netns/vpn; echo nameserver 198.51.100.53 >/etc/netns/vpn/resolv.conf
		ip addr add 192.0.2.53/32 dev lo; ip -n vpn link set lo up; ip -n vpn addr add 198.51.100.53/32 dev lo
		setsid probe whoami 192.0.2.53 >/run/outside 2>&1 &
		ip netns exec vpn setsid probe whoami 198.51.100.53 >/run/inside 2>&1 &`)
	h.Await("grep -q ready /run/outside && grep -q ready /run/inside")
	h.Write("/etc/init.d/asks", "#!/sbin/openrc-run\nstart() { /usr/local/bin/resolver www.example.net >/run/answer; }\n")
	for _, test := range []struct{ conf, want string }{{"", "192.0.2.53"}, {"netns=vpn", "198.51.100.53"}} {
		h.Conf("asks", test.conf)
		h.Sh("rc-service asks start; rc-service asks stop")
		kit.Equal(t, "answer with "+test.conf, h.Sh("cat /run/answer"), test.want)
	}
}

// Busybox's ip(8) knows no netns, so what an administrator is told to type is
// something else there. It is run here as it stands, by a shell without the
// functions of these tests.
func TestRemediesWithoutIPNetns(t *testing.T) {
	t.Parallel()
	h := bootRelease(t, alone, true)
	h.scripts("six")
	kit.Contains(t, h.Fails("/sbin/ip netns"), "BusyBox")
	remedy := func(said, before string) string {
		t.Helper()
		_, after, _ := strings.Cut(said, before)
		after, _, _ = strings.Cut(after, "\n")
		after, _, _ = strings.Cut(after, "; or ")
		return after
	}

	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start; umount /run/netns/vpn; rm /run/netns/vpn")
	kit.Contains(t, h.Run("rc-netns status daemon").Stdout, "rc-netns repair daemon")
	h.Sh("rc-netns repair daemon")
	kit.Contains(t, h.Sh("rc-netns status daemon"), " ok")
	h.Sh("rc-service daemon stop; umount /run/netns/vpn; rm /run/netns/vpn")

	create := remedy(h.Fails("rc-service daemon start"), "create it with: ")
	kit.Equal(t, "create", create, "rc-netns up vpn")
	kit.Contains(t, h.Run("rc-netns check daemon").Stdout, create)
	h.Sh("sh -c '" + create + "'; rc-service daemon start")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	h.Sh("rc-service daemon stop; rc-netns down vpn")

	h.Sh("touch /run/netns/vpn; mount -o bind /proc/1/ns/net /run/netns/vpn")
	remove := remedy(h.Fails("rc-service daemon start"), "delete the name with: ")
	kit.Equal(t, "delete", remove, "umount /run/netns/vpn && rm /run/netns/vpn")
	kit.Contains(t, h.Run("rc-netns check daemon").Stdout, "umount /run/netns/vpn")
	h.Sh("sh -c '" + remove + "'")
	kit.Equal(t, "names", h.names(), "")

	h.Write("/etc/init.d/s6-svscan", "#!/sbin/openrc-run\nstart() { :; }\n")
	h.Sh("rc-netns up vpn; rc-service daemon start")
	h.Conf("six", "netns=/proc/"+h.daemon()+"/ns/net")
	kit.Contains(t, h.Fails("rc-service six start"), "give the namespace a name, with: touch /run/netns/NAME && mount -o bind /proc/PID/ns/net /run/netns/NAME")
}

// Where cgroup v2 is nowhere to be seen: with nothing at /sys/fs/cgroup, as in
// many containers and in a runlevel without the service cgroups, and with
// OpenRC's own hierarchy of cgroup v1, as Alpine was for long. The scenes are
// those in which a cgroup is made, joined, looked at or removed.
func TestOtherCgroups(t *testing.T) {
	prepare := map[string]string{"none": "", "v1": "echo rc_cgroup_mode=legacy >>/etc/rc.conf"}
	eachOf(t, slices.Sorted(maps.Keys(prepare)), func(t *testing.T, mode string) {
		options := alone
		options.Cgroups = mode
		stage := newStage(t, options, prepare[mode])
		for _, scene := range []row{
			{name: "start_status_reload_restart_stop"},
			{name: "supervise-daemon_respawn_health_check"},
			{name: "namespace_missing_start_fails"},
			{name: "netns.NAME_made_and_deleted"},
			{name: "a lock", play: lockedWithoutCgroups},
			{name: "a VRF that is none", play: noVRF},
			{name: "repair", play: repairsWithoutCgroups},
		} {
			ok := t.Run(scene.name, func(t *testing.T) {
				h := stage.with(t)
				if scene.play != nil {
					scene.play(t, h)
				} else {
					playTranscript(t, h, options, "testdata/scenes/"+scene.name+".txtar", func(string) {})
				}
				same(t, "the scene", h, stage.empty)
			})
			if !ok {
				return // what it has left is no stage for the next
			}
			stage.reset()
		}
	})
}

// hiddenCgroups is the folder of all cgroups v2 in a script that is run with it
// mounted.
const hiddenCgroups = "/mnt"

func (h *host) withCgroups(script string) string {
	h.T.Helper()
	return h.Sh("mount -t cgroup2 none " + hiddenCgroups + "; " + script + "; code=$?; umount " + hiddenCgroups + "; exit $code")
}

// lockedWithoutCgroups asserts that a lock is whole: it has a cgroup of its own
// with the program on it, though nobody sees one, and takes that away again.
func lockedWithoutCgroups(t *testing.T, h *host) {
	const cgroup = "/openrc-netns.daemon"
	h.Conf("daemon", "netns=vpn", "netns_lock=yes")
	for _, when := range []string{"start", "restart"} {
		result := h.Run("rc-service daemon " + when)
		kit.Equal(t, "complaints of "+when, result.Stderr, "")
		pid := h.daemon()
		kit.Equal(t, "daemon after "+when, h.where(pid), h.inside())
		kit.Equal(t, "cgroup after "+when, h.Sh("sed -n s/^0:://p /proc/"+pid+"/cgroup"), cgroup)
		kit.Equal(t, "programs after "+when, h.withCgroups("probe programs "+hiddenCgroups+cgroup), "openrc_netns CGroupSock, 16 instructions")
		kit.Contains(t, h.Sh("rc-netns status daemon"), " ok")
		kit.Contains(t, h.Sh("rc-service daemon status"), `daemon: runs in network namespace "vpn"`)
	}
	h.Sh("rc-service daemon stop")
	h.noDaemon()
	kit.Equal(t, "cgroups", h.withCgroups("find "+hiddenCgroups+" -name '*daemon*'"), "")

	// What is started again comes from inside, where nothing can be mounted.
	h.Conf("supervised", "netns=vpn", "netns_lock=yes")
	h.Sh("rc-service supervised start")
	h.killDaemon()
	h.Sh("rm -f /run/trace.supervised")
	h.Await("[ -s /run/trace.supervised ]")
	kit.Equal(t, "health check", trace(h, "supervised")["healthcheck"], h.inside())
	kit.Equal(t, "daemon", h.where(h.daemon()), h.inside())
	kit.Equal(t, "its cgroup", h.Sh("sed -n s/^0:://p /proc/"+h.daemon()+"/cgroup"), "/openrc-netns.supervised")
	h.Sh("rc-service supervised stop")
	h.noDaemon()
	kit.Equal(t, "cgroups", h.withCgroups("find "+hiddenCgroups+" -name '*supervised*'"), "")
}

// noVRF asserts that what cannot be bound is refused in one line, and that
// nothing is left of the attempt.
func noVRF(t *testing.T, h *host) {
	h.Sh("ip link add mgmt type veth peer name other")
	for _, test := range []struct{ vrf, why string }{
		{"nowhere", `daemon: VRF "nowhere": no such device in this network namespace`},
		{"mgmt", `daemon: device "mgmt" is not a VRF`},
	} {
		h.Conf("daemon", "vrf="+test.vrf)
		said := h.Fails("rc-service daemon start")
		kit.Contains(t, said, test.why)
		if lines := strings.Count(said, "\n"); lines != 2 {
			t.Errorf("it takes %d lines, want ours and that of OpenRC:\n%s", lines, said)
		}
		h.noDaemon()
	}
	kit.Equal(t, "cgroups", h.withCgroups("find "+hiddenCgroups+" -name '*daemon*'"), "")
	h.Sh("ip link delete mgmt")
}

// repairsWithoutCgroups asserts that a service without a lock, which then has no
// cgroup to be found by, is found by what it has on record.
func repairsWithoutCgroups(t *testing.T, h *host) {
	h.Write("/etc/netns/vpn/resolv.conf", "nameserver 198.51.100.53\n")
	h.Conf("daemon", "netns=vpn")
	h.Sh("rc-service daemon start")
	pid := h.daemon()
	h.Sh("cd /etc/netns/vpn; echo nameserver 198.51.100.54 >new; mv new resolv.conf")
	kit.Contains(t, h.Run("rc-netns status daemon").Output, "resolv.conf")
	h.Sh("rc-netns repair")
	kit.Contains(t, h.Sh("cat /proc/"+pid+"/root/etc/resolv.conf"), "198.51.100.54")
	kit.Contains(t, h.Sh("rc-netns status daemon"), " ok")
	h.Sh("rc-service daemon stop; rm -r /etc/netns")
	h.noDaemon()
}
