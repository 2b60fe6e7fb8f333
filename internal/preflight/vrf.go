package preflight

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"openrc-netns/internal/namespace"
	"openrc-netns/internal/vrf"
)

// lookAtVRF looks for the device in the namespace.
func (s *subject) lookAtVRF(ns *namespace.Namespace) {
	if s.VRF == "" {
		return
	}
	var others []*netlink.Vrf
	err := ns.Do(func() error {
		_, err := vrf.Find(s.VRF)
		if err != nil {
			others = devices()
		}
		return err
	})
	const why = "every IP socket of the service is to be bound to it"
	switch {
	case err == nil:
	case errors.As(err, new(*vrf.NotExistError)):
		s.add("vrf-missing", Fails, s.from["vrf"], err.Error(), why,
			run("create it, and give it the devices of its network", s.makeVRF(s.VRF, others)...))
	default:
		id := "vrf-bad-name"
		if errors.As(err, new(*vrf.OtherDeviceError)) {
			id = "vrf-other"
		}
		if len(others) > 0 {
			s.add(id, Fails, s.from["vrf"], err.Error(), why, s.edit("name one that there is", "vrf", others[0].Name))
			return
		}
		remedy := s.edit("make one, and name it", "vrf", "mgmt")
		remedy.Commands = s.makeVRF("mgmt", nil)
		s.add(id, Fails, s.from["vrf"], err.Error(), why, remedy)
	}
}

// devices lists the VRFs in the network namespace of the calling thread.
func devices() (vrfs []*netlink.Vrf) {
	links, _ := netlink.LinkList()
	for _, link := range links {
		if device, is := link.(*netlink.Vrf); is {
			vrfs = append(vrfs, device)
		}
	}
	return vrfs
}

// makeVRF makes a device with a routing table that none of the others has.
func (s *subject) makeVRF(name string, others []*netlink.Vrf) []string {
	table := uint32(10)
	for slices.ContainsFunc(others, func(v *netlink.Vrf) bool { return v.Table == table }) {
		table += 10
	}
	ip := "ip "
	if base := namespace.BaseName(s.Netns); base != "" {
		ip = "ip -n " + base + " "
	} else if s.Netns != "" {
		ip = "nsenter --net=" + s.Netns + " ip "
	}
	return []string{fmt.Sprintf("%slink add %s type vrf table %d", ip, name, table), ip + "link set " + name + " up"}
}
