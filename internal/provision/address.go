package provision

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/namespace"
)

// noAddresses is netifrc's word for an interface that is to be up without any.
const noAddresses = "null"

// ParseAddresses reads a value of config_IFACE, where iface stands for IFACE:
// addresses with blanks or new lines between them, each with the length of its
// network, or else of a host; or the word null, for none. That is part of what
// netifrc reads there.
func ParseAddresses(iface, value string) ([]netip.Prefix, error) {
	fail := func(word, remedy string) error { return fmt.Errorf("config_%s: %s; %s", iface, word, remedy) }
	words := strings.Fields(value)
	if len(words) == 1 && words[0] == noAddresses {
		return nil, nil
	}
	var addresses []netip.Prefix
	for _, word := range words {
		switch word {
		case "dhcp", "dhcpcd", "dhclient", "udhcpc", "dhcpv6", "dhclientv6", "pump":
			return nil, fail(fmt.Sprintf("%q is not done here", word), "run the client as a service with netns set, or in netns_post_up()")
		case "netmask", "broadcast", "brd", "peer", "pointopoint", "scope", "label", "noop", "apipa", "adsl", "ppp", noAddresses:
			return nil, fail(fmt.Sprintf("%q is not known here", word), "give addresses alone, such as 192.0.2.2/24, or do the rest in netns_post_up()")
		}
		prefix, err := netip.ParsePrefix(word)
		if err != nil {
			var address netip.Addr
			if address, err = netip.ParseAddr(word); err == nil {
				prefix = netip.PrefixFrom(address.WithZone(""), address.BitLen())
			}
		}
		if a := prefix.Addr(); err != nil || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || strings.Contains(word, "%") {
			return nil, fail(fmt.Sprintf("%q is no address", word), "write one as 192.0.2.2/24 or 2001:db8::2/64")
		}
		addresses = append(addresses, prefix)
	}
	return addresses, nil
}

// setAddresses gives an interface of ns its addresses and brings it up. It is
// fine if it has them. Alone says that nobody else is on its wire, so that
// addresses of IPv6 can be used at once.
func setAddresses(ns *namespace.Namespace, name string, addresses []netip.Prefix, mtu int, alone bool) error {
	return ns.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("look up interface %q: %w", name, err)
		}
		for _, address := range addresses {
			a := netlink.Addr{IPNet: ipNet(address)}
			if alone && address.Addr().Is6() {
				a.Flags = unix.IFA_F_NODAD
			}
			if err := netlink.AddrAdd(link, &a); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("give interface %q the address %s: %w", name, address, ipv6Off(address, err))
			}
		}
		if mtu > 0 {
			if err := netlink.LinkSetMTU(link, mtu); err != nil {
				return fmt.Errorf("give interface %q an MTU of %d: %w", name, mtu, err)
			}
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("bring interface %q up: %w", name, err)
		}
		return nil
	})
}

// ipv6Off puts into words what the kernel says of an address of IPv6 where it
// has none.
func ipv6Off(address netip.Prefix, err error) error {
	if address.Addr().Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)) {
		return fmt.Errorf("IPv6 is off here, by the kernel's command line or a sysctl: %w", err)
	}
	return err
}

// awaitAddresses waits until the addresses of IPv6 of an interface can be used:
// until then they cannot be bound to, nor be the source of a route. The kernel
// asks first whether anybody has them (RFC 4862), which takes a second or two,
// and no answer comes where there is no carrier: then nobody waits.
func awaitAddresses(ns *namespace.Namespace, name string, tell func(string)) error {
	const patience, pause = 5 * time.Second, 50 * time.Millisecond
	return ns.Do(func() error {
		for begin := time.Now(); ; time.Sleep(pause) {
			link, err := netlink.LinkByName(name)
			if err != nil {
				return fmt.Errorf("look up interface %q: %w", name, err)
			}
			addresses, err := netlink.AddrList(link, netlink.FAMILY_V6)
			if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
				return fmt.Errorf("list the addresses of interface %q: %w", name, err)
			}
			tentative := err != nil
			for _, a := range addresses {
				if a.Flags&unix.IFA_F_DADFAILED != 0 {
					return fmt.Errorf("another host has the address %s of interface %q", a.IPNet, name)
				}
				tentative = tentative || a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0
			}
			if !tentative || link.Attrs().RawFlags&unix.IFF_RUNNING == 0 {
				return nil
			}
			if time.Since(begin) > patience {
				tell(fmt.Sprintf("the addresses of interface %q are not ready yet", name))
				return nil
			}
		}
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
