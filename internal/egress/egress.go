// Package egress finds out where the packets of a process would leave, by
// asking the kernel: nothing is sent. It looks from where the process is, in
// its network namespace, as its user, at its files, with the VRF that its
// sockets are bound to. All of that may be made by whoever is looked at, to lie,
// to last or to fill: what it takes has limits, and what is behind them is said
// to be not looked at.
package egress

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/namespace"
)

// Subject is whose packets are asked about.
type Subject struct {
	// Netns is the network namespace, as of namespace.Open.
	Netns string
	// PID is the process; 0 where there is none, and only the namespace is
	// looked at.
	PID int
	// VRF is the device that its sockets are bound to; empty if they are not.
	VRF string
}

// Verdict is what is to be said in a word.
type Verdict string

// The verdicts.
const (
	// NoWayOut: no interface leads anywhere.
	NoWayOut Verdict = "no-way-out"
	// TunnelOnly: all that leads out is one tunnel.
	TunnelOnly Verdict = "tunnel-only"
	// NoTunnel: packets leave, and none of the exits is a tunnel.
	NoTunnel Verdict = "no-tunnel"
	// Leak: there is a tunnel, and an exit beside it, or something on the host
	// answers questions for names.
	Leak Verdict = "leak"
	// NotLookedAt: what was seen is not all that decides.
	NotLookedAt Verdict = "not-looked-at"
)

// Report is what was found.
type Report struct {
	Verdict Verdict
	// Routes are the ways of packets to the internet, IPv4 first; of a family
	// that has none, one without an interface.
	Routes []Route
	// Exits are all interfaces that lead out, in the order of their indexes.
	Exits []Exit
	// Resolvers are the nameservers of the process's resolv.conf.
	Resolvers []Resolver
	// Sockets are those in the process's file system of name services that run
	// on the host's network as a rule, whatever network asks.
	Sockets []string
	// NotLookedAt says, in words, what was not, and why.
	NotLookedAt []string
}

// Route is the way of a packet.
type Route struct {
	Family    string // IPv4 or IPv6
	Interface string // empty if there is no route
	Source    net.IP // the address that the packet would have
	Gateway   net.IP // nil if there is none, as with most tunnels
}

// Exit is an interface that leads out.
type Exit struct {
	Interface string
	Kind      string   // as ip-link(8) has it; "device" for hardware
	Tunnel    bool     // packets leave wrapped into others, which leave elsewhere
	To        []string // where its routes lead, "default" first
	Leads     string   // what is known of the other end; empty if nothing is
	Peers     []Peer   // of a WireGuard interface
}

// Resolver is a nameserver.
type Resolver struct {
	Address string
	// Route is how it is reached, empty where Address is none. A nameserver on a
	// loopback address is inside.
	Route Route
}

// Limits of what is looked at.
const (
	mostRoutes = 10_000 // of a family, with those of addresses and links
	mostRules  = 10_000
	mostExits  = 250
	mostPeers  = 1_000 // of an interface
)

// Run is what one run of a program looks at. The zero value is ready to be used.
type Run struct {
	tuns   *tuns         // nil until somebody asks
	waited time.Duration // for programs that are asked
}

// Look looks. It needs CAP_SYS_ADMIN, and one thread may call it at a time.
func (r *Run) Look(s Subject) (*Report, error) {
	ns, err := namespace.Open(s.Netns)
	if err != nil {
		return nil, err
	}
	l := &survey{run: r, subject: s, links: map[int]netlink.Link{}}
	defer func() {
		if !l.waiting {
			ns.Close()
		}
	}()
	if s.PID != 0 {
		if err := l.lookAtProcess(); err != nil {
			return nil, err
		}
	}
	if err := ns.Do(l.inside); err != nil {
		return nil, fmt.Errorf("network namespace %q: %w", s.Netns, err)
	}
	l.trace(ns)
	l.report.Verdict = l.verdict()
	return &l.report, nil
}

// survey is the work of one Look.
type survey struct {
	run         *Run
	subject     Subject
	uid         uint32
	nameservers []string

	links   map[int]netlink.Link // that were asked for; nil where there is none
	vrf     *netlink.Vrf
	report  Report
	ends    []end // of report.Exits
	partial bool  // what was not looked at may be a way out
	waiting bool  // somebody still uses the namespace, and waits in it for an answer
}

// missed adds what was not looked at.
func (s *survey) missed(format string, args ...any) {
	if what := fmt.Sprintf(format, args...); !slices.Contains(s.report.NotLookedAt, what) {
		s.report.NotLookedAt = append(s.report.NotLookedAt, what)
	}
}

// link is that of an index, or nil.
func (s *survey) link(index int) netlink.Link {
	link, asked := s.links[index]
	if !asked {
		link, _ = netlink.LinkByIndex(index)
		s.links[index] = link
	}
	return link
}

// inside asks what is only known in the namespace.
func (s *survey) inside() error {
	if s.subject.VRF != "" {
		link, err := netlink.LinkByName(s.subject.VRF)
		vrf, ok := link.(*netlink.Vrf)
		if err != nil || !ok {
			return fmt.Errorf("VRF %q: no such device", s.subject.VRF)
		}
		s.vrf = vrf
	}
	for _, family := range families {
		for _, address := range family.internet {
			route := s.route(net.ParseIP(address))
			if !slices.ContainsFunc(s.report.Routes, func(r Route) bool { return r.Family == route.Family && r.Interface == route.Interface }) {
				s.report.Routes = append(s.report.Routes, route)
			}
		}
	}
	if err := s.findExits(); err != nil {
		return err
	}
	for _, word := range s.nameservers {
		resolver := Resolver{Address: word}
		if ip, err := netip.ParseAddr(word); err == nil {
			resolver.Route = s.route(ip.AsSlice())
		} else {
			s.missed("the nameserver %.100q, which is not an IP address", word)
		}
		s.report.Resolvers = append(s.report.Resolvers, resolver)
	}
	return nil
}

// families are the two, each with an address in either half of what is in use:
// tunnels put two routes that halve it before the default route. Nothing is
// sent to these addresses.
var families = []struct {
	number   int
	name     string
	internet []string
}{
	{unix.AF_INET, "IPv4", []string{"9.0.0.1", "193.0.0.1"}},
	{unix.AF_INET6, "IPv6", []string{"2600::1", "2a00::1"}},
}

// route asks the kernel for the way of a packet of the process.
func (s *survey) route(destination net.IP) Route {
	found := Route{Family: "IPv6"}
	if destination.To4() != nil {
		found.Family = "IPv4"
	}
	options := &netlink.RouteGetOptions{UID: &s.uid}
	if s.vrf != nil {
		options.OifIndex = s.vrf.Index
	}
	routes, err := netlink.RouteGetWithOptions(destination, options)
	if err != nil || len(routes) == 0 {
		return found
	}
	r := routes[0]
	if link := s.link(r.LinkIndex); link != nil && leads(link) {
		found.Interface, found.Source, found.Gateway = link.Attrs().Name, r.Src, r.Gw
	} else if link != nil && link.Attrs().Flags&net.FlagLoopback != 0 && destination.IsLoopback() {
		found.Interface = link.Attrs().Name
	}
	return found
}

// leads reports whether packets can leave through an interface.
func leads(link netlink.Link) bool {
	a := link.Attrs()
	return a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_LOOPBACK == 0 && link.Type() != "dummy" && link.Type() != "vrf"
}

// findExits lists the interfaces that a route of any table leads to which the
// process uses: with a VRF that of the VRF, else those that a rule names.
func (s *survey) findExits() error {
	to := map[int][]string{}
	for _, family := range families {
		tables, err := s.tables(family.number)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // a kernel without that family
		}
		if err != nil {
			return err
		}
		routes, more, err := routes(family.number)
		if err != nil {
			return err
		}
		if more {
			s.partial = true
			s.missed("what follows the first %d %s routes", mostRoutes, family.name)
		}
		own := map[string]bool{}
		for _, r := range routes {
			if r.kind == unix.RTN_LOCAL && r.to.IsSingleIP() && (r.table == unix.RT_TABLE_LOCAL || s.vrf != nil && tables[r.table]) {
				own[r.to.String()] = true
			}
		}
		for _, r := range routes {
			switch {
			case r.kind != unix.RTN_UNICAST || !tables[r.table]:
				continue
			case own[r.to.String()]:
				continue // by IPv6 every address of its own is such a route too
			case r.to.Addr().IsLinkLocalUnicast() || r.to.Addr().IsMulticast():
				continue // the interface's own link, with every interface that is up
			case len(r.links) == 0:
				s.partial = true
				s.missed("%s routes by next hops that have no interface", family.name)
			}
			where := "default"
			if r.to.Bits() > 0 {
				where = r.to.String()
			}
			for _, index := range r.links {
				if link := s.link(index); link != nil && leads(link) {
					to[index] = append(to[index], where)
				}
			}
		}
	}
	for _, index := range slices.Sorted(maps.Keys(to)) {
		if len(s.ends) == mostExits {
			s.partial = true
			s.missed("what follows the first %d interfaces", mostExits)
			break
		}
		link, destinations := s.links[index], to[index]
		slices.SortFunc(destinations, func(a, b string) int {
			return cmp.Or(-compareBool(a == "default", b == "default"), cmp.Compare(a, b))
		})
		exit := Exit{Interface: link.Attrs().Name, Kind: kind(link), Tunnel: tunnels[link.Type()], To: slices.Compact(destinations)}
		s.report.Exits = append(s.report.Exits, exit)
		s.ends = append(s.ends, endOf(link))
	}
	return nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// tables are the numbers of the routing tables that the process's packets look
// at.
func (s *survey) tables(family int) (map[int]bool, error) {
	if s.vrf != nil {
		return map[int]bool{int(s.vrf.Table): true}, nil
	}
	tables, more, err := ruleTables(family)
	if more {
		s.partial = true
		s.missed("what follows the first %d rules", mostRules)
	}
	return tables, err
}

// kind is that of a link, as ip-link(8) has it.
func kind(link netlink.Link) string {
	if link.Type() == "tuntap" {
		return "tun"
	}
	return link.Type()
}

// tunnels are the kinds of links whose packets leave inside others.
var tunnels = map[string]bool{
	"wireguard": true, "tuntap": true, "tun": true, "ipip": true, "ip6tnl": true, "sit": true, "gre": true, "ip6gre": true,
	"vti": true, "vti6": true, "xfrm": true, "ppp": true,
}

// verdict sums it up.
func (s *survey) verdict() Verdict {
	in, out := 0, len(s.report.Sockets)
	for _, exit := range s.report.Exits {
		if exit.Tunnel {
			in++
		} else {
			out++
		}
	}
	switch {
	case s.partial && (in == 0 || in == 1 && out == 0):
		return NotLookedAt
	case in == 0 && out == 0:
		return NoWayOut
	case in == 0 && len(s.report.Sockets) == 0:
		return NoTunnel
	case in == 1 && out == 0:
		return TunnelOnly
	}
	return Leak
}
