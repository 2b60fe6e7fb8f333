package provision

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/namespace"
)

// Route is one through an interface.
type Route struct {
	To       netip.Prefix
	Via, Src netip.Addr // the zero Addr where there is none
	Metric   uint32     // 0 leaves it to the kernel
	Table    uint32     // 0 is the main one
	OnLink   bool       // Via is reached whatever the addresses say
}

// String is the route in the spelling of routes_IFACE.
func (r Route) String() string {
	text := r.To.String()
	if r.Via.IsValid() {
		text += " via " + r.Via.String()
	}
	if r.Table != 0 {
		text += fmt.Sprintf(" table %d", r.Table)
	}
	return text
}

// ParseRoutes reads a value of routes_IFACE, where iface stands for IFACE: a
// route a line, and comments behind #. Name is the interface. A route is
// "default" or a network, then via, dev, src, metric, table, each with a value,
// and onlink. That is part of what netifrc reads there.
func ParseRoutes(iface, name, value string) ([]Route, error) {
	var routes []Route
	for line := range strings.Lines(value) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		route, err := parseRoute(name, words)
		if err != nil {
			return nil, fmt.Errorf("routes_%s: %w", iface, err)
		}
		routes = append(routes, route)
	}
	return routes, nil
}

func parseRoute(name string, words []string) (r Route, err error) {
	line := strings.Join(words, " ")
	to, words := words[0], words[1:]
	for len(words) > 0 {
		key := words[0]
		words = words[1:]
		if key == "onlink" {
			r.OnLink = true
			continue
		}
		if !slices.Contains([]string{"via", "dev", "src", "metric", "table"}, key) {
			return r, fmt.Errorf("%q in %q is not known here; there are via, dev, src, metric, table and onlink, and for the rest there is netns_post_up()", key, line)
		}
		if len(words) == 0 {
			return r, fmt.Errorf("%q ends behind %q; a value belongs there", line, key)
		}
		value := words[0]
		words = words[1:]
		switch key {
		case "via":
			r.Via, err = routeAddress(value)
		case "src":
			r.Src, err = routeAddress(value)
		case "metric":
			r.Metric, err = routeNumber(value)
		case "table":
			if r.Table, err = routeNumber(value); value == "main" {
				r.Table, err = unix.RT_TABLE_MAIN, nil
			}
		case "dev":
			if value != name {
				return r, fmt.Errorf("%q leads through %q; a route belongs in the variable of its own interface", line, value)
			}
		}
		if err != nil {
			return r, fmt.Errorf("bad %s %q in %q; %w", key, value, line, err)
		}
	}
	if r.To, err = routeTarget(to, r); err != nil {
		return r, fmt.Errorf("%w in %q", err, line)
	}
	for _, a := range []netip.Addr{r.Via, r.Src} {
		if a.IsValid() && a.Is4() != r.To.Addr().Is4() {
			return r, fmt.Errorf("%s is of another family than %s in %q; write a route for each family", a, r.To, line)
		}
	}
	if r.OnLink && !r.Via.IsValid() {
		return r, fmt.Errorf("onlink without via in %q; it says that the gateway is on the link", line)
	}
	return r, nil
}

// routeTarget reads where a route leads. "default" is that of the family of the
// other addresses.
func routeTarget(word string, r Route) (netip.Prefix, error) {
	if word == "default" {
		if r.Via.Is6() || r.Src.Is6() {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0), nil
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
	}
	prefix, err := netip.ParsePrefix(word)
	if err != nil {
		var address netip.Addr
		if address, err = routeAddress(word); err == nil {
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
	}
	if err != nil || prefix.Addr().Is4In6() {
		return prefix, fmt.Errorf("%q is no network, such as 192.0.2.0/24 or default,", word)
	}
	if prefix != prefix.Masked() {
		return prefix, fmt.Errorf("%q has bits behind its length, write %s,", word, prefix.Masked())
	}
	return prefix, nil
}

func routeAddress(word string) (netip.Addr, error) {
	address, err := netip.ParseAddr(word)
	if err != nil || address.Zone() != "" || address.Is4In6() || address.IsUnspecified() || address.IsMulticast() {
		return netip.Addr{}, errors.New("give an address, such as 192.0.2.1 or 2001:db8::1")
	}
	return address, nil
}

func routeNumber(word string) (uint32, error) {
	number, err := strconv.ParseUint(word, 0, 32)
	if err != nil || number == 0 {
		return 0, errors.New("give a number, from 1")
	}
	return uint32(number), nil
}

// addRoutes makes the routes through an interface of ns. It is fine if one is
// there.
func addRoutes(ns *namespace.Namespace, name string, routes []Route) error {
	return ns.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("look up interface %q: %w", name, err)
		}
		var there map[routeKey]bool
		for _, r := range routes {
			route := r.netlink(link.Attrs().Index)
			err := netlink.RouteAdd(route)
			if errors.Is(err, unix.EEXIST) {
				if there == nil { // asked once: there may be many
					there = routesThrough(route.LinkIndex)
				}
				if there[keyOf(route)] {
					continue
				}
				err = errors.New("the network namespace has another route there")
			}
			if err != nil {
				return fmt.Errorf("make route %s through interface %q: %w", r, name, ipv6Off(r.To, err))
			}
		}
		return nil
	})
}

func (r Route) netlink(index int) *netlink.Route {
	route := &netlink.Route{LinkIndex: index, Dst: ipNet(r.To), Priority: int(r.Metric), Table: int(r.Table)}
	if r.Via.IsValid() {
		route.Gw = r.Via.AsSlice()
	} else if r.To.Addr().Is4() {
		route.Scope = netlink.SCOPE_LINK
	}
	if r.Src.IsValid() {
		route.Src = r.Src.AsSlice()
	}
	if r.OnLink {
		route.SetFlag(netlink.FLAG_ONLINK)
	}
	return route
}

// routeKey is what tells the routes through one interface apart.
type routeKey struct {
	to, via string
	table   int
}

func keyOf(route *netlink.Route) routeKey {
	return routeKey{route.Dst.String(), route.Gw.String(), cmp.Or(route.Table, unix.RT_TABLE_MAIN)}
}

// routesThrough are those of the calling thread's namespace through an
// interface, as far as they can be listed.
func routesThrough(index int) map[routeKey]bool {
	there := map[routeKey]bool{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, _ := netlink.RouteListFiltered(family, &netlink.Route{LinkIndex: index}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
		for _, route := range routes {
			there[keyOf(&route)] = true
		}
	}
	return there
}
