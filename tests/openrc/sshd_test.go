package openrc

import (
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// TestSSHD is the main job, over the wire: a real sshd in the namespace vpn,
// with a peer behind a veth pair, and another one on the machine's own network.
func TestSSHD(t *testing.T) {
	inEachShell(t, func(t *testing.T, h *host) {
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		check(h.SSHD())
		check(h.AddNetns("peer"))
		check(h.AddNetns("outsider"))
		check(h.Veth(
			machine.End{Netns: "vpn", Device: "tun0", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}},
			machine.End{Netns: "peer", Device: "tun0", Addrs: []string{"192.0.2.2/24", "2001:db8::2/64"}}))
		check(h.Veth(
			machine.End{Device: "eth0", Addrs: []string{"198.51.100.1/24"}},
			machine.End{Netns: "outsider", Device: "eth0", Addrs: []string{"198.51.100.2/24"}}))
		h.Sh("echo nameserver 198.51.100.2 >/etc/resolv.conf; mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf")

		const (
			ssh     = "ip netns exec peer ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=5 root@192.0.2.1 "
			refused = "Connection refused"
		)
		dial := func(from, to string) string {
			return h.Run("ip netns exec " + from + " timeout 5 bash -c 'exec 3<>/dev/tcp/" + to + "/22 && head -1 <&3'").Output
		}
		host := func(to string) string {
			return h.Run("timeout 5 bash -c 'exec 3<>/dev/tcp/" + to + "/22 && head -1 <&3'").Output
		}

		// Started outside it answers outside: the test can fail.
		h.Sh("rc-service sshd start")
		kit.Contains(t, host("127.0.0.1"), "SSH-2.0-OpenSSH")
		kit.Contains(t, dial("outsider", "198.51.100.1"), "SSH-2.0-OpenSSH")
		kit.Contains(t, dial("peer", "192.0.2.1"), refused)
		h.Sh("rc-service sshd stop")

		// The one line, as an administrator writes it.
		h.Sh("echo netns=vpn >>/etc/conf.d/sshd")
		h.Sh("rc-service sshd start")
		pid := h.Sh("cat /run/sshd.pid")
		kit.Equal(t, "sshd", h.where(pid), h.inside())
		kit.Contains(t, dial("peer", "192.0.2.1"), "SSH-2.0-OpenSSH")
		kit.Contains(t, dial("peer", "2001:db8::1"), "SSH-2.0-OpenSSH")
		kit.Contains(t, host("127.0.0.1"), refused)
		kit.Contains(t, host("198.51.100.1"), refused)
		kit.Contains(t, dial("outsider", "198.51.100.1"), refused)

		// A real login lands inside, with vpn's files and the host's cgroups.
		kit.Equal(t, "session", h.Sh(ssh+"readlink /proc/self/ns/net"), h.inside())
		kit.Equal(t, "session's resolv.conf", h.Sh(ssh+"cat /etc/resolv.conf"), "nameserver 192.0.2.53")
		kit.Equal(t, "host's resolv.conf", h.Sh("cat /etc/resolv.conf"), "nameserver 198.51.100.2")
		kit.Equal(t, "session's devices", h.Sh(ssh+"ls /sys/class/net | xargs"), "lo tun0")
		kit.Equal(t, "session's cgroups", h.Sh(ssh+"ls /sys/fs/cgroup"), h.Sh("ls /sys/fs/cgroup"))
		mount := "grep ' /sys/fs/cgroup ' /proc/self/mountinfo | cut -d' ' -f4-6,8-"
		kit.Equal(t, "session's cgroup mount", h.Sh(ssh+"\""+mount+"\""), h.Sh(mount))

		// reload keeps the daemon, restart replaces it, both stay inside.
		h.Sh("rc-service sshd reload; sleep 0.5")
		kit.Equal(t, "after reload", h.Sh("cat /run/sshd.pid"), pid)
		kit.Equal(t, "after reload", h.Sh(ssh+"readlink /proc/self/ns/net"), h.inside())
		h.Sh("rc-service sshd restart")
		if h.Sh("cat /run/sshd.pid") == pid {
			t.Error("the restart left the old sshd")
		}
		kit.Equal(t, "after restart", h.Sh(ssh+"readlink /proc/self/ns/net"), h.inside())
		kit.Contains(t, host("127.0.0.1"), refused)

		h.Sh("rc-service sshd stop")
		kit.Contains(t, dial("peer", "192.0.2.1"), refused)
		if out := h.Run("pgrep -a sshd").Stdout; out != "" {
			t.Errorf("left: %s", out)
		}

		// And without its namespace it does not start.
		h.Sh("ip netns delete vpn")
		kit.Contains(t, h.Fails("rc-service sshd start"), `sshd: network namespace "vpn" does not exist; create it with: ip netns add vpn`)
		kit.Contains(t, host("127.0.0.1"), refused)
		if out := h.Run("pgrep -a sshd").Stdout; out != "" {
			t.Errorf("runs: %s", out)
		}
	})
}
