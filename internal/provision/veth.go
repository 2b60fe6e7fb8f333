package provision

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/namespace"
)

// Veth is a pair of interfaces, one on the host's network and one inside: what
// goes into one comes out of the other (veth(4)).
type Veth struct {
	Host, Inside string
}

// vethKind is that of the interfaces, as ip-link(8) has it.
const vethKind = "veth"

// ParseVeths reads a list of pairs with blanks between them, each
// HOSTNAME:NAME.
func ParseVeths(list string) ([]Veth, error) {
	var veths []Veth
	for _, word := range strings.Fields(list) {
		host, inside, found := strings.Cut(word, ":")
		if !found || !isInterfaceName(host) || !isInterfaceName(inside) {
			return nil, fmt.Errorf("bad veth pair %q: give two names of interfaces with a colon between them, the one on the host's network first", word)
		}
		veths = append(veths, Veth{host, inside})
	}
	return veths, nil
}

// makeVeth makes a pair. It is fine if it is there, from a start that was cut
// short.
func (j *journal) makeVeth(ns both, v Veth, tell func(string)) error {
	outer, err := find(ns.host, v.Host)
	if err != nil {
		return err
	}
	inner, err := find(ns.inside, v.Inside)
	if err != nil {
		return err
	}
	ours := j.has(veth, v.Inside, v.Host)
	switch {
	case ours && outer != nil && inner != nil:
		return nil
	case ours:
		if err := j.undo(ns, func(s step) bool { return s.kind == veth && s.words[0] == v.Inside }, tell); err != nil {
			return err
		}
		return j.makeVeth(ns, v, tell)
	case outer != nil:
		return fmt.Errorf("cannot make veth %q: the host has another interface of that name", v.Host)
	case inner != nil:
		return fmt.Errorf("cannot make veth %q: the namespace has another interface of that name", v.Inside)
	}
	address := newAddress()
	if err := j.note(veth, v.Inside, v.Host, address.String()); err != nil {
		return err
	}
	target, closeTarget, err := descriptor(ns.inside)
	if err != nil {
		return err
	}
	defer closeTarget()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = v.Host, address
	err = ns.host.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: v.Inside, PeerNamespace: netlink.NsFd(target)})
	})
	if err != nil {
		return fmt.Errorf("make veth pair %s:%s: %w", v.Host, v.Inside, err)
	}
	return nil
}

// newAddress is a hardware address as the kernel would choose one: random, for
// this machine alone, and of one station. It tells the pair from others, and is
// known before there is one, unlike an index.
func newAddress() net.HardwareAddr {
	const local, group = 2, 1
	address := make(net.HardwareAddr, 6)
	_, _ = rand.Read(address) // never fails
	address[0] = address[0]&^group | local
	return address
}

// deleteVeth deletes one end, and the other goes with it, wherever that is and
// whatever either is called by now. The one outside has the hardware address.
// If that has been changed, or the end is elsewhere, the name inside has to do.
func deleteVeth(ns both, v Veth, address string, tell func(string)) error {
	deleted, err := deleteVethOf(ns.host, address)
	if err == nil && !deleted {
		deleted, err = deleteLink(ns, v.Inside, vethKind)
	}
	if err == nil && !deleted {
		tell(fmt.Sprintf("interface %q is gone", v.Inside))
	}
	return err
}

// deleteVethOf deletes the end with a hardware address; false if there is none.
func deleteVethOf(host *namespace.Namespace, address string) (deleted bool, err error) {
	wanted, err := net.ParseMAC(address)
	if err != nil {
		return false, nil // another version has written it down
	}
	err = host.Do(func() error {
		links, err := netlink.LinkList()
		for range 10 {
			if !errors.Is(err, netlink.ErrDumpInterrupted) { // something has changed meanwhile
				break
			}
			links, err = netlink.LinkList()
		}
		if err != nil {
			return fmt.Errorf("list the host's interfaces: %w", err)
		}
		for _, link := range links {
			if link.Type() != vethKind || !bytes.Equal(link.Attrs().HardwareAddr, wanted) {
				continue
			}
			if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) { // it is going with its namespace
				return fmt.Errorf("delete interface %q: %w", link.Attrs().Name, err)
			}
			deleted = true
		}
		return nil
	})
	return deleted, err
}
