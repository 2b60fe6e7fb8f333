// Package vrf tests confinement on real VRF devices, which the kernels of test
// machines mostly lack: in a virtual machine. A test asserts what a peer sees
// and what a socket says of itself.
package vrf

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

// installed is what "make install DESTDIR=" has filled, and the probe.
var installed string

func TestMain(m *testing.M) {
	vm.Init()
	os.Exit(kit.Main(m, &installed))
}

// guest is a virtual machine in which the namespace vpn has two VRFs, mgmt and
// blue, each with a veth of the same address, 192.0.2.1, to a peer of its own
// with the same address, 192.0.2.2. The guest itself has a VRF called host.
type guest struct{ kit.Host }

const topology = `
ip netns add vpn
ip -n vpn link set lo up
add() { # VRF TABLE PEER
	ip -n vpn link add $1 type vrf table $2
	ip -n vpn link set $1 up
	ip netns add $3
	ip link add to-$3 netns vpn type veth peer name eth0 netns $3
	ip -n vpn link set to-$3 master $1 up
	ip -n vpn address add 192.0.2.1/24 dev to-$3
	ip -n vpn address add 2001:db8::1/64 dev to-$3 nodad
	ip -n $3 address add 192.0.2.2/24 dev eth0
	ip -n $3 address add 2001:db8::2/64 dev eth0 nodad
	ip -n $3 link set eth0 up
}
add mgmt 10 peer-m
add blue 20 peer-b
ip link add host type vrf table 30
ip link set host up
`

func boot(t *testing.T, options vm.Options) *guest {
	t.Helper()
	t.Parallel()
	options.Install = installed
	g := &guest{kit.Host{Machine: kit.StartVM(t, options), T: t}}
	g.Sh(topology)
	return g
}

// scenes returns what plays a scene on the guest, as a test of its own.
func (g *guest) scenes(t *testing.T) func(name string, scene func(t *testing.T)) {
	return func(name string, scene func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			g.T = t
			g.Sh("rm -f /run/trace")
			scene(t)
		})
	}
}

// bound is what "probe sockets" prints where every socket is bound to device.
func bound(device string) string {
	var lines []string
	for _, kind := range []string{"IPv4 TCP", "IPv4 UDP", "IPv4 raw", "IPv6 TCP", "IPv6 UDP", "IPv6 raw"} {
		lines = append(lines, fmt.Sprintf("%s: %q", kind, device))
	}
	return strings.Join(lines, "\n")
}
