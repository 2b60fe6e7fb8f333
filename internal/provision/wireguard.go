package provision

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"openrc-netns/internal/namespace"
	"openrc-netns/internal/wgquick"
)

// wireguardKind is that of WireGuard's interfaces, as ip-link(8) has it.
const wireguardKind = "wireguard"

// tunnel is a WireGuard interface of which all is known.
type tunnel struct {
	*wgquick.Config
	endpoints map[wgquick.Key]netip.AddrPort
	zones     map[string]int // of endpoints: interfaces of the host, and their indices
	mtu       int
}

// ParseFiles reads a list of files of wg-quick(8) with blanks between them.
func ParseFiles(list string) ([]string, error) {
	words := strings.Fields(list)
	for _, path := range words {
		if _, err := wgquick.InterfaceName(path); err != nil {
			return nil, err
		}
	}
	return words, nil
}

// findKernelWireGuard finds out whether the kernel has WireGuard, which it may
// have to load for that, by making an interface in a network namespace that
// goes with it.
func findKernelWireGuard() (bool, error) {
	err := namespace.Fresh().Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "wg0"
		return netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
	})
	if errors.Is(err, unix.EOPNOTSUPP) { // rtnetlink's word for a kind that it does not know
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find out whether the kernel has WireGuard: %w", err)
	}
	return true, nil
}

var errNoWireGuard = errors.New("there is no WireGuard here: neither a kernel with the module wireguard nor the program wireguard-go; install one of the two")

// CheckWireGuard says what to install where WireGuard interfaces cannot be
// made. It needs CAP_SYS_ADMIN.
func CheckWireGuard() error {
	found, err := findKernelWireGuard()
	if err != nil || found {
		return err
	}
	_, err = findProgram()
	return err
}

// makeWireGuard makes an interface, the socket of which is on the host's
// network, and tells it keys and peers. It is fine if it is there, from a start
// that was cut short. It stays down.
func (j *journal) makeWireGuard(ns both, t tunnel, tell func(string)) error {
	link, err := find(ns.inside, t.Name)
	if err != nil {
		return err
	}
	if !j.has(wireguard, t.Name) {
		if link != nil {
			return fmt.Errorf("cannot make interface %q: the namespace has another one of that name", t.Name)
		}
		return j.newWireGuard(ns, t)
	}
	if link != nil {
		if err = configure(ns.inside, t); err == nil {
			return nil
		}
	}
	// Nothing was made, or not all of it, or it is none of ours.
	if err := j.undo(ns, func(s step) bool { return s.kind == wireguard && s.words[0] == t.Name }, func(string) {}); err != nil {
		return err
	}
	return j.makeWireGuard(ns, t, tell)
}

// newWireGuard has the kernel make the interface, or wireguard-go.
func (j *journal) newWireGuard(ns both, t tunnel) error {
	kernel, err := findKernelWireGuard()
	if err != nil {
		return err
	}
	if err := checkPort(ns.host, t); err != nil {
		return err
	}
	if !kernel {
		return j.newUserspace(ns, t)
	}
	if err := j.note(wireguard, t.Name); err != nil {
		return err
	}
	target, closeTarget, err := descriptor(ns.inside)
	if err != nil {
		return err
	}
	defer closeTarget()
	// It belongs to the network that the request comes from, as its socket
	// does, and appears inside at once: the host never has it.
	err = ns.host.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.Namespace = t.Name, netlink.NsFd(target)
		return netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
	})
	if err != nil {
		return fmt.Errorf("make interface %q: %w", t.Name, err)
	}
	return configure(ns.inside, t)
}

// configure tells the interface called like t in ns, or the process that serves
// one of that name, all of t.
func configure(ns *namespace.Namespace, t tunnel) error {
	return ns.Do(func() error {
		client, err := wgctrl.New()
		if err != nil {
			return fmt.Errorf("configure WireGuard: %w", err)
		}
		defer client.Close()
		if err := client.ConfigureDevice(t.Name, t.wgctrl()); err != nil {
			return fmt.Errorf("configure WireGuard interface %q: %w", t.Name, err)
		}
		if err := t.setZones(); err != nil {
			return fmt.Errorf("configure the zones of WireGuard interface %q: %w", t.Name, err)
		}
		return nil
	})
}

// setZones tells the kernel the zones of endpoints, which wgctrl leaves out:
// wireguard-go has them by their names.
func (t tunnel) setZones() error {
	link, err := netlink.LinkByName(t.Name)
	if err != nil || link.Type() != wireguardKind || len(t.zones) == 0 {
		return err
	}
	family, err := netlink.GenlFamilyGet(unix.WG_GENL_NAME)
	if err != nil {
		return err
	}
	for key, endpoint := range t.endpoints {
		zone := endpoint.Addr().Zone()
		if zone == "" {
			continue
		}
		// struct sockaddr_in6 of ipv6(7)
		address := binary.NativeEndian.AppendUint16(nil, unix.AF_INET6)
		address = binary.BigEndian.AppendUint16(address, endpoint.Port())
		address = append(append(address, 0, 0, 0, 0), endpoint.Addr().AsSlice()...)
		address = binary.NativeEndian.AppendUint32(address, uint32(t.zones[zone]))

		peers := nl.NewRtAttr(unix.WGDEVICE_A_PEERS|unix.NLA_F_NESTED, nil)
		peer := peers.AddRtAttr(unix.NLA_F_NESTED, nil)
		peer.AddRtAttr(unix.WGPEER_A_PUBLIC_KEY, key[:])
		peer.AddRtAttr(unix.WGPEER_A_FLAGS, nl.Uint32Attr(unix.WGPEER_F_UPDATE_ONLY))
		peer.AddRtAttr(unix.WGPEER_A_ENDPOINT, address)
		request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
		request.AddData(&nl.Genlmsg{Command: unix.WG_CMD_SET_DEVICE, Version: unix.WG_GENL_VERSION})
		request.AddData(nl.NewRtAttr(unix.WGDEVICE_A_IFNAME, nl.ZeroTerminated(t.Name)))
		request.AddData(peers)
		if _, err := request.Execute(unix.NETLINK_GENERIC, 0); err != nil {
			return err
		}
	}
	return nil
}

// wgctrl is all of t in the words of that package.
func (t tunnel) wgctrl() wgtypes.Config {
	key, port, mark := wgtypes.Key(t.PrivateKey), int(t.ListenPort), int(t.Mark)
	config := wgtypes.Config{PrivateKey: &key, ListenPort: &port, FirewallMark: &mark, ReplacePeers: true}
	for _, p := range t.Peers {
		peer := wgtypes.PeerConfig{PublicKey: wgtypes.Key(p.PublicKey), ReplaceAllowedIPs: true, PersistentKeepaliveInterval: &p.Keepalive}
		if p.PresharedKey != (wgquick.Key{}) {
			shared := wgtypes.Key(p.PresharedKey)
			peer.PresharedKey = &shared
		}
		if endpoint, found := t.endpoints[p.PublicKey]; found {
			peer.Endpoint = net.UDPAddrFromAddrPort(endpoint)
		}
		for _, allowed := range p.AllowedIPs {
			peer.AllowedIPs = append(peer.AllowedIPs, *ipNet(allowed))
		}
		config.Peers = append(config.Peers, peer)
	}
	return config
}

// checkPort finds out whether the host has the port to spare.
func checkPort(host *namespace.Namespace, t tunnel) error {
	if t.ListenPort == 0 || !portInUse(host, t.ListenPort) {
		return nil
	}
	return fmt.Errorf("%s: ListenPort %d is in use on the host's network; give another one, or remove the line, for any port", t.Path, t.ListenPort)
}

func portInUse(host *namespace.Namespace, port uint16) bool {
	var inUse bool
	_ = host.Do(func() error {
		for _, address := range []unix.Sockaddr{&unix.SockaddrInet4{Port: int(port)}, &unix.SockaddrInet6{Port: int(port)}} {
			family := unix.AF_INET
			if _, is := address.(*unix.SockaddrInet6); is {
				family = unix.AF_INET6
			}
			fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				continue // without that family
			}
			if family == unix.AF_INET6 {
				_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
			}
			inUse = inUse || errors.Is(unix.Bind(fd, address), unix.EADDRINUSE)
			unix.Close(fd)
		}
		return nil
	})
	return inUse
}

// routesOf are the routes that wg-quick(8) would make for the addresses that
// the peers of c are to be sent to: none with Table=off, all of them in a table
// with a number, and else those that the addresses of the interface do not
// cover. Everything may go to a peer, as there is no other way out that would
// have to be kept.
func routesOf(c *wgquick.Config) []Route {
	if c.Table.Off {
		return nil
	}
	own := networks{}
	for _, a := range c.Addresses {
		if !a.IsSingleIP() {
			own.add(a)
		}
	}
	var routes []Route
	for _, peer := range c.Peers {
		for _, to := range peer.AllowedIPs {
			if c.Table.Number != 0 || to.Bits() == 0 || !own.contain(to) {
				routes = append(routes, Route{To: to, Table: c.Table.Number})
			}
		}
	}
	slices.SortStableFunc(routes, func(a, b Route) int { return b.To.Bits() - a.To.Bits() })
	return routes
}

// networks is a set of them.
type networks map[netip.Prefix]bool

func (n networks) add(network netip.Prefix) { n[network.Masked()] = true }

// contain reports whether a network is in one of them as a whole.
func (n networks) contain(network netip.Prefix) bool {
	for bits := range network.Bits() + 1 {
		if wider, err := network.Addr().Prefix(bits); err == nil && n[wider] {
			return true
		}
	}
	return false
}

// findMTU is wg-quick's: the smallest of the ways to the endpoints, or that of
// the host's default route, less the 80 bytes that WireGuard may add to a
// packet.
func findMTU(t tunnel) int {
	if t.MTU > 0 {
		return t.MTU
	}
	const overhead, ethernet, least = 80, 1500, 576
	mtu := 0
	take := func(way int) {
		if way > 0 && (mtu == 0 || way < mtu) {
			mtu = way
		}
	}
	for _, endpoint := range t.endpoints {
		routes, _ := netlink.RouteGetWithOptions(endpoint.Addr().AsSlice(), &netlink.RouteGetOptions{OifIndex: t.zones[endpoint.Addr().Zone()]})
		for _, route := range routes {
			take(routeMTU(route))
		}
	}
	if mtu == 0 {
		routes, _ := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, netlink.RT_FILTER_DST)
		if len(routes) > 0 {
			take(routeMTU(routes[0]))
		}
	}
	if mtu == 0 {
		mtu = ethernet
	}
	mtu -= overhead
	if slices.ContainsFunc(t.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() }) {
		return max(mtu, 1280) // less is none for IPv6 (RFC 8200)
	}
	return max(mtu, least)
}

func routeMTU(route netlink.Route) int {
	if route.MTU > 0 {
		return route.MTU
	}
	link, err := netlink.LinkByIndex(route.LinkIndex)
	if err != nil {
		return 0
	}
	return link.Attrs().MTU
}
