package preflight

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"openrc-netns/internal/finding"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/vrf"
)

// checkVRF looks for the device in the namespace.
func (s *serviceCheck) checkVRF(ns *namespace.Namespace) {
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
	if err == nil {
		return
	}
	id, idAlone := finding.VRFBadName, finding.VRFBadNameAlone
	if errors.As(err, new(*vrf.OtherDeviceError)) {
		id, idAlone = finding.VRFOther, finding.VRFOtherAlone
	}
	remedy := finding.Remedy{}
	switch {
	case errors.As(err, new(*vrf.NotExistError)):
		id, remedy = finding.VRFMissing, s.makeVRF(remedy, s.VRF, others)
	case len(others) > 0:
		remedy = s.edit("vrf", others[0].Name)
	default:
		id, remedy = idAlone, s.makeVRF(s.edit("vrf", "mgmt"), "mgmt", nil)
	}
	s.add(id, finding.Fails, s.from["vrf"], remedy, err)
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

// makeVRF adds the commands that create a device with a routing table that none
// of the others has.
func (s *serviceCheck) makeVRF(r finding.Remedy, name string, others []*netlink.Vrf) finding.Remedy {
	table := uint32(10)
	for slices.ContainsFunc(others, func(v *netlink.Vrf) bool { return v.Table == table }) {
		table += 10
	}
	ip := []string{"ip"}
	if base := namespace.BaseName(s.Netns); base != "" {
		ip = append(ip, "-n", base)
	} else if s.Netns != "" {
		ip = append([]string{"nsenter", "--net=" + s.Netns}, ip...)
	}
	return r.Run(slices.Concat(ip, []string{"link", "add", name, "type", "vrf", "table", fmt.Sprint(table)})...).
		Run(slices.Concat(ip, []string{"link", "set", name, "up"})...)
}
