package egress

import (
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"openrc-netns/internal/namespace"
)

// Peer is one of a WireGuard interface.
type Peer struct {
	Endpoint string // empty if it is not known yet
	// Handshake is how long ago the last one was; negative if there was none.
	Handshake time.Duration
	// Through is how the endpoint is reached: from the host's network, or where
	// OwnNetwork says so from that of the process that holds the interface.
	Through    Route
	OwnNetwork bool
}

// end is what a link says of its other end.
type end struct {
	index int
	kind  string
	peer  int // the index of a veth's other end, or of what a link is stacked on; 0 if it has none
	// nsid is the number of the namespace with the other end, as ip-netns(8)
	// set has it; -1 if that is this one.
	nsid int
}

func endOf(link netlink.Link) end {
	a := link.Attrs()
	return end{index: a.Index, kind: link.Type(), peer: a.ParentIndex, nsid: a.NetNsID}
}

// peers asks the kernel, or the wireguard-go that made the interface, which may
// never answer: it may be stopped. Where many do not, no more are asked.
func (s *survey) peers(ns *namespace.Namespace, name string) []Peer {
	if s.run.waited > 2*patience {
		s.missed("the peers of %s: others do not answer", name)
		return nil
	}
	answer := make(chan []wgtypes.Peer, 1)
	go func() {
		var found []wgtypes.Peer
		_ = ns.Do(func() error {
			client, err := wgctrl.New()
			if err != nil {
				return err
			}
			defer client.Close()
			if device, err := client.Device(name); err == nil {
				found = device.Peers
			}
			return nil
		})
		answer <- found
	}()
	var found []wgtypes.Peer
	wait := max(patience-s.run.waited, patience/20)
	select {
	case found = <-answer:
	case <-time.After(wait):
		s.run.waited += wait
		s.waiting = true
		s.missed("the peers of %s: nobody answers", name)
	}
	if len(found) > mostPeers {
		s.missed("what follows the first %d peers of %s", mostPeers, name)
		found = found[:mostPeers]
	}
	var peers []Peer
	for _, p := range found {
		peer := Peer{Handshake: -1}
		if p.Endpoint != nil {
			peer.Endpoint = p.Endpoint.String()
		}
		if !p.LastHandshakeTime.IsZero() {
			peer.Handshake = max(0, time.Since(p.LastHandshakeTime))
		}
		peers = append(peers, peer)
	}
	return peers
}

// trace follows each exit to its other end, from outside.
func (s *survey) trace(ns *namespace.Namespace) {
	var numbers map[int]*place // by the number that the namespace has given them
	for i := range s.report.Exits {
		exit, e := &s.report.Exits[i], s.ends[i]
		switch {
		case e.kind == "wireguard":
			exit.Leads, exit.Peers = "WireGuard", s.peers(ns, exit.Interface)
			reach(exit.Peers, namespace.Host)
		case exit.Kind == "tun":
			holder := s.findHolder(ns, exit.Interface)
			if holder == nil {
				continue
			}
			exit.Leads = holder.words(ns)
			serves, err := holder.serves(exit.Interface)
			if err != nil {
				s.missed("the peers of %s: %v", exit.Interface, err)
			}
			if !serves {
				continue // the peers are those of another interface of that name
			}
			exit.Peers = s.peers(ns, exit.Interface)
			reach(exit.Peers, holder.netns())
		case e.peer != 0:
			if numbers == nil {
				numbers = findNumbers(ns)
			}
			at := numbers[e.nsid]
			if at == nil {
				at = &place{words: "in another network namespace"}
			}
			name := at.link(e.peer)
			if exit.Kind == "veth" {
				exit.Leads = fmt.Sprintf("to %s %s", name, at.words)
			} else {
				exit.Leads = fmt.Sprintf("on %s %s", name, at.words)
			}
		}
	}
}

// reach finds out how peers are reached from a network namespace.
func reach(peers []Peer, netns string) {
	ns, err := namespace.Open(netns)
	if err != nil {
		return
	}
	defer ns.Close()
	own := true
	if host, err := namespace.Open(namespace.Host); err == nil {
		own = host.Inode() != ns.Inode()
		host.Close()
	}
	_ = ns.Do(func() error {
		s := survey{links: map[int]netlink.Link{}}
		for i := range peers {
			peers[i].OwnNetwork = own
			host, _, _ := net.SplitHostPort(peers[i].Endpoint)
			if ip := net.ParseIP(host); ip != nil {
				peers[i].Through = s.route(ip)
			}
		}
		return nil
	})
}

// place is a namespace that has a number in another one.
type place struct {
	words string // where that is
	path  string // by which it can be opened; empty if it cannot
}

// findNumbers looks for the namespaces that ns knows by a number: itself, those with
// a name, and the host's.
func findNumbers(ns *namespace.Namespace) map[int]*place {
	found := map[int]*place{-1: {words: "in the same namespace"}}
	_ = ns.Do(func() error {
		for _, name := range namespace.Names() {
			named, err := namespace.Look(name)
			if err != nil {
				continue
			}
			id, err := netlink.GetNetNsIdByFd(named.FD())
			named.Close()
			if err == nil && id >= 0 && found[id] == nil {
				found[id] = &place{fmt.Sprintf("in network namespace %q", name), name}
			}
		}
		if id, err := netlink.GetNetNsIdByPid(1); err == nil && id >= 0 {
			found[id] = &place{"on the host's network", namespace.Host}
		}
		return nil
	})
	return found
}

// link is the name of a link there.
func (p *place) link(index int) string {
	name := fmt.Sprintf("interface %d", index)
	if p.path == "" {
		return name
	}
	ns, err := namespace.Open(p.path)
	if err != nil {
		return name
	}
	defer ns.Close()
	_ = ns.Do(func() error {
		link, err := netlink.LinkByIndex(index)
		if err == nil {
			name = link.Attrs().Name
		}
		return err
	})
	return name
}
