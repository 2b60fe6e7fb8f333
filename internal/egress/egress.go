// Package egress finds out where the packets of a process would leave, by
// asking the kernel: nothing is sent. It looks from where the process is, in
// its network namespace, as its user, at its files, with the VRF that its
// sockets are bound to.
package egress

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"

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
	// Route is how it is reached. A nameserver on a loopback address is inside.
	Route Route
}

// Look looks. It needs CAP_SYS_ADMIN, and any thread may call it.
func Look(s Subject) (*Report, error) {
	ns, err := namespace.Open(s.Netns)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	l := &survey{subject: s, uid: 0}
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
	subject     Subject
	uid         uint32
	nameservers []string

	links  map[int]netlink.Link
	vrf    *netlink.Vrf
	report Report
	ends   []end // of report.Exits
}

// inside asks what is only known in the namespace.
func (s *survey) inside() error {
	links, err := retry(netlink.LinkList)
	if err != nil {
		return err
	}
	s.links = map[int]netlink.Link{}
	for _, link := range links {
		s.links[link.Attrs().Index] = link
		if vrf, ok := link.(*netlink.Vrf); ok && s.subject.VRF == vrf.Name {
			s.vrf = vrf
		}
	}
	if s.subject.VRF != "" && s.vrf == nil {
		return fmt.Errorf("VRF %q: no such device", s.subject.VRF)
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
	for _, address := range s.nameservers {
		resolver := Resolver{Address: address}
		if ip, err := net.ResolveIPAddr("ip", address); err == nil {
			resolver.Route = s.route(ip.IP)
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
	if link := s.links[r.LinkIndex]; link != nil && leads(link) {
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
		routes, err := retry(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family.number, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return err
		}
		own, err := ownAddresses(family.number)
		if err != nil {
			return err
		}
		for _, r := range routes {
			if r.Type != unix.RTN_UNICAST || !tables[r.Table] {
				continue
			}
			if r.Dst != nil && own[r.Dst.String()] {
				continue // by IPv6 every address of its own is such a route too
			}
			where := "default"
			if r.Dst != nil {
				if r.Dst.IP.IsLinkLocalUnicast() || r.Dst.IP.IsMulticast() {
					continue // the interface's own link, with every interface that is up
				}
				if ones, _ := r.Dst.Mask.Size(); ones > 0 {
					where = r.Dst.String()
				}
			}
			indexes := []int{r.LinkIndex}
			for _, hop := range r.MultiPath {
				indexes = append(indexes, hop.LinkIndex)
			}
			for _, index := range indexes {
				if link := s.links[index]; link != nil && leads(link) && !slices.Contains(to[index], where) {
					to[index] = append(to[index], where)
				}
			}
		}
	}
	for index, destinations := range to {
		link := s.links[index]
		slices.SortFunc(destinations, func(a, b string) int {
			return cmp.Or(-compareBool(a == "default", b == "default"), cmp.Compare(a, b))
		})
		exit := Exit{Interface: link.Attrs().Name, Kind: kind(link), Tunnel: tunnels[link.Type()], To: destinations}
		s.report.Exits = append(s.report.Exits, exit)
		s.ends = append(s.ends, endOf(link))
	}
	s.sort()
	return nil
}

// ownAddresses are those of the namespace that are alone in their network, as
// routes have them.
func ownAddresses(family int) (map[string]bool, error) {
	addresses, err := retry(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, family) })
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for _, a := range addresses {
		if ones, bits := a.Mask.Size(); ones == bits && a.Peer == nil {
			own[a.IPNet.String()] = true
		}
	}
	return own, nil
}

// sort puts the exits, and what belongs to them, in the order of their indexes.
func (s *survey) sort() {
	order := make([]int, len(s.ends))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(s.ends[a].index, s.ends[b].index) })
	exits, ends := make([]Exit, len(order)), make([]end, len(order))
	for i, from := range order {
		exits[i], ends[i] = s.report.Exits[from], s.ends[from]
	}
	s.report.Exits, s.ends = exits, ends
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
	rules, err := retry(func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
	if err != nil {
		return nil, err
	}
	tables := map[int]bool{}
	for _, rule := range rules {
		tables[rule.Table] = true
	}
	return tables, nil
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
	case in == 0 && out == 0:
		return NoWayOut
	case in == 0 && len(s.report.Sockets) == 0:
		return NoTunnel
	case in == 1 && out == 0:
		return TunnelOnly
	}
	return Leak
}

// retry calls again what is interrupted by a change of what it lists.
func retry[T any](list func() ([]T, error)) (found []T, err error) {
	for range 3 {
		if found, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return found, err
}
