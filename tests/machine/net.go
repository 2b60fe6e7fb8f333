package machine

import "fmt"

// End is one end of a veth pair.
type End struct {
	Netns  string   // name of the network namespace; empty: the machine's own
	Device string   // name of the device
	Addrs  []string // addresses with prefix lengths: "192.0.2.1/24", "2001:db8::1/64"
}

// AddNetns makes a network namespace under /run/netns, with its loopback device
// up.
func (m *Machine) AddNetns(name string) error {
	if err := m.script(`ip netns add "$1" && ip -n "$1" link set lo up`, name); err != nil {
		return fmt.Errorf("add network namespace %q: %w", name, err)
	}
	return nil
}

// Veth lays a veth pair between two network namespaces that exist, and brings
// both ends up with their addresses. These are usable at once, IPv6 too.
func (m *Machine) Veth(a, b End) error {
	if err := m.veth(a, b); err != nil {
		return fmt.Errorf("lay veth %s - %s: %w", a.Device, b.Device, err)
	}
	return nil
}

func (m *Machine) veth(a, b End) error {
	const lay = `ip link add "$1" ${2:+netns "$2"} type veth peer name "$3" ${4:+netns "$4"}`
	if err := m.script(lay, a.Device, a.Netns, b.Device, b.Netns); err != nil {
		return err
	}
	for _, end := range []End{a, b} {
		// nodad: nobody else is on this wire, so IPv6 need not spend two
		// seconds asking.
		const up = `
			device=$1 netns=$2; shift 2
			for addr; do
				case $addr in *:*) nodad=nodad ;; *) nodad= ;; esac
				ip ${netns:+-n "$netns"} addr add "$addr" dev "$device" $nodad
			done
			ip ${netns:+-n "$netns"} link set "$device" up`
		if err := m.script(up, append([]string{end.Device, end.Netns}, end.Addrs...)...); err != nil {
			return err
		}
	}
	return nil
}
