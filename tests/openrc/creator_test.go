package openrc

import (
	"testing"

	"openrc-netns/tests/kit"
)

// What creates the namespace on this machine is what the administrator is told
// to run: by a start, status, check and netns-exec alike.
func TestRemedyNamesTheCreator(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Conf("daemon", "netns=lan")
	told := func(command string) {
		t.Helper()
		kit.Contains(t, h.Fails("netns-exec lan true"), `network namespace "lan" does not exist; create it with: `+command+"\n")
		kit.Contains(t, h.Fails("rc-service -D daemon start"), `network namespace "lan" does not exist; create it with: `+command+"\n")
		kit.Contains(t, h.Run("rc-netns check daemon").Output, "\n           "+command+"\n")
		kit.Contains(t, h.Run("rc-netns status daemon").Output, "fix it with: "+command)
	}
	told("ip netns add lan")

	// An ifstate that nobody starts, and one that knows other namespaces.
	h.Write("/etc/init.d/ifstate", "#!/sbin/openrc-run\nstart() { ip netns add lan; }\nstop() { ip netns delete lan; }\n")
	h.Write("/etc/ifstate/config.yml", "namespaces:\n  lan:\n    interfaces: []\n")
	told("ip netns add lan")
	h.Sh("rc-update add ifstate boot")
	told("rc-service ifstate start")
	h.Write("/etc/ifstate/config.yml", "namespaces:\n  wan:\n    interfaces: []\n")
	told("ip netns add lan")
	h.Write("/etc/ifstate/config.yml", "namespaces:\n  lan:\n    interfaces: []\n")
	h.Sh("rc-service ifstate start; rc-service daemon start; rc-service daemon stop; ip netns delete lan")
	told("rc-service ifstate restart")
	h.Sh("rc-service ifstate stop || rc-service ifstate zap")

	// The service of the namespace, which a dependency starts as a rule: but
	// not in the second in which OpenRC wrote down the dependencies, and not if
	// it is started and somebody has deleted the namespace.
	h.service("lan")
	kit.Contains(t, h.Fails("netns-exec lan true"), "create it with: rc-service netns.lan start\n")
	kit.Contains(t, h.Fails("rc-service -D daemon start"), "create it with: rc-service netns.lan start\n")
	h.Sh("rc-service netns.lan start; ip netns delete lan")
	told("rc-service netns.lan restart")
	h.Sh("rc-service netns.lan restart; rc-service daemon start")
	kit.Equal(t, "daemon", h.where(h.daemon()), h.Sh("ip netns exec lan readlink /proc/self/ns/net"))
}
