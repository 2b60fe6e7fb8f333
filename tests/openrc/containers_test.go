package openrc

import (
	"testing"

	"openrc-netns/tests/kit"
)

// What docs/containers.md says of podman. The container is a busybox without an
// image; the machine has no controllers for cgroups, and nothing to lay images
// over one another with.
func TestPodman(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh(`mkdir -p /etc/netns/vpn /run/openrc-netns/vpn /srv/box; echo nameserver 203.0.113.1 >/etc/resolv.conf
		cd /srv/box; mkdir -p bin etc proc dev sys tmp run; cp --parents $(ldd /bin/busybox | grep -o '/[^ ]*') .
		cp /bin/busybox bin; for name in cat readlink; do ln -s busybox bin/$name; done`)
	const run = "export STORAGE_DRIVER=vfs; "
	const flags = " --rm --cgroups=disabled --pids-limit=-1 --rootfs /srv/box "
	const inside = "podman run --network ns:/run/netns/vpn" + flags

	kit.Equal(t, "namespace", h.Sh(run+inside+"readlink /proc/self/ns/net"), h.inside())
	kit.Equal(t, "name server, of no file", h.Sh(run+inside+"cat /etc/resolv.conf"), "nameserver 203.0.113.1")
	h.Sh("echo nameserver 192.0.2.53 >/run/openrc-netns/vpn/resolv.conf; ln -s /run/openrc-netns/vpn/resolv.conf /etc/netns/vpn/resolv.conf")
	kit.Equal(t, "name server, by the link", h.Sh(run+inside+"cat /etc/resolv.conf"), "nameserver 192.0.2.53")
	kit.Equal(t, "name server, by option", h.Sh(run+"podman run --dns 192.0.2.54 --network ns:/run/netns/vpn"+flags+"cat /etc/resolv.conf"), "nameserver 192.0.2.54")

	const host = "netns-exec vpn -- podman run --network host" + flags
	kit.Equal(t, "podman inside", h.Sh(run+host+"readlink /proc/self/ns/net"), h.inside())
	kit.Equal(t, "its name server", h.Sh(run+host+"cat /etc/resolv.conf"), "nameserver 192.0.2.53")

	h.Sh("ip netns delete vpn")
	if r := h.Run(run + inside + "true"); r.Code == 0 {
		t.Error("a container ran without its namespace")
	}
}
