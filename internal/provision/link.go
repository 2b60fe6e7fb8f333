package provision

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/namespace"
)

// Interface is a network interface: its name on the host and that inside.
type Interface struct {
	Name, Inside string
}

// ParseInterfaces reads a list of interfaces with blanks between them, each
// NAME or NAME:INSIDE.
func ParseInterfaces(list string) ([]Interface, error) {
	var interfaces []Interface
	for _, word := range strings.Fields(list) {
		name, inside, renamed := strings.Cut(word, ":")
		if !renamed {
			inside = name
		}
		for _, n := range []string{name, inside} {
			if !isInterfaceName(n) {
				return nil, fmt.Errorf("bad interface %q: give the name of an interface, or two with a colon between them", word)
			}
		}
		interfaces = append(interfaces, Interface{name, inside})
	}
	return interfaces, nil
}

// isInterfaceName reports whether the kernel would take the name, and has no
// use for it.
func isInterfaceName(name string) bool {
	return name != "" && name != "." && name != ".." && name != "lo" && len(name) < unix.IFNAMSIZ && !strings.ContainsAny(name, "/:%")
}

// moveIn moves an interface in. It is fine if it is inside already, from a
// start that was cut short.
func (j *journal) moveIn(ns both, i Interface) error {
	link, err := find(ns.host, i.Name)
	if err != nil {
		return err
	}
	other, err := find(ns.inside, i.Inside)
	switch {
	case err != nil:
		return err
	case link == nil && other == nil:
		return fmt.Errorf("interface %q does not exist", i.Name)
	case link == nil:
		return nil
	case other != nil:
		return fmt.Errorf("cannot move interface %q in: the namespace has another one called %q", i.Name, i.Inside)
	}
	if err := j.note(moved, i.Name, i.Inside, link.HardwareAddr.String()); err != nil {
		return err
	}
	err = move(ns.host, link, ns.inside, i.Inside)
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("cannot move interface %q in: it is of a kind that cannot leave its network namespace", i.Name)
	}
	return fmt.Errorf("cannot move interface %q in: %w", i.Name, err)
}

// moveOut returns an interface to the host, under its old name. One that has
// gone is no error; one that came out in another way, as those with hardware do
// when the namespace goes, has its name back.
func moveOut(ns both, i Interface, address string, tell func(string)) error {
	other, err := find(ns.host, i.Name)
	if err != nil {
		return err
	}
	if ns.inside != nil {
		link, err := find(ns.inside, i.Inside)
		if err != nil {
			return err
		}
		if link != nil && other != nil {
			return fmt.Errorf("cannot return interface %q: the host has another one called %q", i.Inside, i.Name)
		}
		if link != nil {
			if err := move(ns.inside, link, ns.host, i.Name); err != nil {
				return fmt.Errorf("cannot return interface %q: %w", i.Inside, err)
			}
			return nil
		}
	}
	if other != nil {
		return nil
	}
	link, err := find(ns.host, i.Inside)
	if err != nil {
		return err
	}
	if link != nil && address != "" && link.HardwareAddr.String() == address {
		if err := move(ns.host, link, ns.host, i.Name); err != nil {
			return fmt.Errorf("cannot give interface %q its old name %q: %w", i.Inside, i.Name, err)
		}
		return nil
	}
	tell(fmt.Sprintf("interface %q is gone", i.Name))
	return nil
}

// find returns nil if ns has no interface of that name.
func find(ns *namespace.Namespace, name string) (attrs *netlink.LinkAttrs, err error) {
	err = ns.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err == nil {
			attrs = link.Attrs()
			return nil
		}
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil
		}
		return fmt.Errorf("look up interface %q: %w", name, err)
	})
	return attrs, err
}

// kindOf is the kind of an interface of ns, as ip-link(8) has it; empty if
// there is none.
func kindOf(ns *namespace.Namespace, name string) (kind string) {
	_ = ns.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err == nil {
			kind = link.Type()
		}
		return err
	})
	return kind
}

// move moves an interface from one namespace to another and names it, in one
// step: the old name may be taken there. The kernel takes it down on the way,
// and its addresses from it.
func move(from *namespace.Namespace, link *netlink.LinkAttrs, to *namespace.Namespace, name string) error {
	target, closeTarget, err := descriptor(to)
	if err != nil {
		return err
	}
	defer closeTarget()
	return from.Do(func() error {
		message := nl.NewIfInfomsg(unix.AF_UNSPEC)
		message.Index = int32(link.Index)
		request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
		request.AddData(message)
		request.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(target))))
		request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
		_, err := request.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
}

// descriptor is one of ns for the kernel, until it is closed.
func descriptor(ns *namespace.Namespace) (fd int, closeIt func(), err error) {
	err = ns.Do(func() (err error) {
		fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, func() { unix.Close(fd) }, err
}

// deleteLink deletes the interface inside that has that name and is of that
// kind (as ip-link(8) has it); false if there is none.
func deleteLink(ns both, name, kind string) (deleted bool, err error) {
	if ns.inside == nil {
		return true, nil // it has gone with the namespace
	}
	err = ns.inside.Do(func() error {
		link, err := netlink.LinkByName(name)
		if errors.As(err, new(netlink.LinkNotFoundError)) || err == nil && link.Type() != kind {
			return nil
		}
		if err == nil {
			err = netlink.LinkDel(link)
		}
		deleted = err == nil
		if err != nil {
			return fmt.Errorf("delete interface %q: %w", name, err)
		}
		return nil
	})
	return deleted, err
}

// loopbackUp brings the calling thread's loopback up, and notes it.
func (j *journal) loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil && lo.Attrs().RawFlags&unix.IFF_UP == 0 {
		if err := j.note(loopback); err != nil {
			return err
		}
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("bring the loopback up: %w", err)
	}
	return nil
}

func loopbackDown() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetDown(lo)
	}
	if err != nil {
		return fmt.Errorf("bring the loopback down again: %w", err)
	}
	return nil
}
