package provision

import (
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
)

// Veth is a pair of interfaces, one on the host's network and one inside: what
// goes into one comes out of the other (veth(4)).
type Veth struct {
	Host, Inside string
}

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
	if err := j.note(veth, v.Inside, v.Host); err != nil {
		return err
	}
	target, closeTarget, err := descriptor(ns.inside)
	if err != nil {
		return err
	}
	defer closeTarget()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = v.Host
	err = ns.host.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: v.Inside, PeerNamespace: netlink.NsFd(target)})
	})
	if err != nil {
		return fmt.Errorf("make veth pair %s:%s: %w", v.Host, v.Inside, err)
	}
	return nil
}

// deleteVeth deletes the end inside, and the other goes with it. Where the
// namespace has gone, both have.
func deleteVeth(ns both, v Veth, tell func(string)) error {
	deleted, err := deleteLink(ns, v.Inside, "veth")
	if err == nil && !deleted {
		tell(fmt.Sprintf("interface %q is gone", v.Inside))
	}
	return err
}
