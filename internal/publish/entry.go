// Package publish lets the host reach ports inside a network namespace: it
// listens on the host's network, and passes what it hears on to addresses
// inside.
//
// Two processes do that once everything is open. The relay has the sockets of
// the host's network, and no system call that makes a socket, connects one or
// binds one. The connector is inside, makes the sockets that lead to the
// targets, and hands them to the relay; it has none of the host's. So neither
// can reach out. Both are in the namespace, in a sandbox (package sandbox).
package publish

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// Setting is what lists entries in conf.d, OptionsSetting has the options of
// netns-publish(8).
const (
	Setting        = "netns_publish"
	OptionsSetting = "netns_publish_options"
)

// ServicePrefix is what the names of the services begin with that run
// netns-publish(8); that of the network namespace follows.
const ServicePrefix = "netns-publish."

// Network is what an entry listens on.
type Network string

const (
	TCP  Network = "tcp"
	UDP  Network = "udp"
	Unix Network = "unix" // a stream socket in the file system
)

// Entry is what the host may reach.
type Entry struct {
	Network Network
	Listen  netip.AddrPort // on the host's network; none for Unix
	Path    string         // of a socket of Unix; else empty
	Target  netip.AddrPort // inside
}

// maxPath is the longest path of a socket, in bytes (unix(7)).
const maxPath = 107

// ParseList reads entries that are separated by white space. The error names
// the one at fault, and says what to do.
func ParseList(text string) ([]Entry, error) { return ParseWords(strings.Fields(text)) }

// ParseWords is ParseList for words.
func ParseWords(words []string) ([]Entry, error) {
	var entries []Entry
	for _, word := range words {
		entry, err := Parse(word)
		if err != nil {
			return nil, err
		}
		for _, other := range entries {
			if entry.Clashes(other) {
				return nil, fmt.Errorf("%q: %s is in the list twice: remove one of the two", word, entry.Name())
			}
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// Clashes reports whether the two cannot be listened on at the same time.
func (e Entry) Clashes(o Entry) bool {
	if (e.Network == UDP) != (o.Network == UDP) || e.Path != o.Path {
		return false
	}
	a, b := e.Listen, o.Listen
	return a == b || a.Port() == b.Port() && a.Addr().BitLen() == b.Addr().BitLen() &&
		(a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

// Parse reads one entry, [tcp:|udp:]ADDRESS:PORT[=ADDRESS:PORT] or
// unix:/PATH=ADDRESS:PORT.
func Parse(word string) (Entry, error) {
	bad := func(format string, args ...any) (Entry, error) {
		return Entry{}, fmt.Errorf("%q: %s", word, fmt.Sprintf(format, args...))
	}
	e := Entry{Network: TCP}
	rest := word
	for _, network := range []Network{TCP, UDP, Unix} {
		if after, found := strings.CutPrefix(word, string(network)+":"); found {
			e.Network, rest = network, after
		}
	}
	listen, target, hasTarget := strings.Cut(rest, "=")
	if e.Network == Unix {
		switch {
		case !hasTarget:
			return bad("a socket in the file system needs a target: write unix:%s=127.0.0.1:80, for instance", listen)
		case !filepath.IsAbs(listen), strings.HasSuffix(listen, "/"):
			return bad("%q is not the absolute path of a socket: write unix:/run/name.sock=%s, for instance", listen, target)
		case strings.ContainsAny(listen, "'\"\\"):
			return bad("the path has a quote or a backslash in it: choose another one")
		case len(listen) > maxPath:
			return bad("the path has %d bytes, the limit is %d: choose a shorter one", len(listen), maxPath)
		}
		e.Path = filepath.Clean(listen)
	} else {
		if !hasTarget {
			target = listen
		}
		var problem string
		if e.Listen, problem = parseAddrPort(listen); problem != "" {
			return bad("%s", problem)
		}
	}
	var problem string
	if e.Target, problem = parseAddrPort(target); problem != "" {
		return bad("%s", problem)
	}
	if e.Target.Addr().IsUnspecified() {
		if hasTarget {
			return bad("%s is no address to connect to: write the one inside, 127.0.0.1:%d, for instance", e.Target.Addr(), e.Target.Port())
		}
		return bad("%s stands for every address of the host, and nothing says which one inside is meant: write %s=127.0.0.1:%d, for instance",
			e.Target.Addr(), listen, e.Target.Port())
	}
	return e, nil
}

// parseAddrPort reads ADDRESS:PORT, and returns what is wrong with it and what
// to do, or nothing.
func parseAddrPort(text string) (a netip.AddrPort, problem string) {
	const example = "write 127.0.0.1:80 or [::1]:80, for instance"
	if text == "" {
		return a, "there is no address: " + example
	}
	if bare, err := netip.ParseAddr(text); err == nil {
		if bare.Is6() {
			return a, fmt.Sprintf("%q has no brackets or no port: write [%s]:80, for instance", text, text)
		}
		return a, fmt.Sprintf("%q has no port: write %s:80, for instance", text, text)
	}
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		return a, fmt.Sprintf("%q has no port: write %s:80, for instance", text, text)
	}
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return a, fmt.Sprintf("%q is not an address and a port: %s", text, example)
	}
	a, err := netip.ParseAddrPort(text)
	if err == nil {
		switch {
		case a.Port() == 0:
			return a, fmt.Sprintf("%q has no port: write one from 1 to 65535", text)
		case a.Addr().Zone() != "":
			return a, fmt.Sprintf("%q names an interface, which is not supported: use an address that needs none", text)
		case a.Addr().Is4In6():
			return a, fmt.Sprintf("%q is an IPv4 address in disguise: write %s", text, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
		}
		return a, ""
	}
	host := strings.Trim(text[:colon], "[]")
	if _, err := netip.ParseAddr(host); err == nil {
		if strings.Contains(host, ":") && !strings.HasPrefix(text, "[") {
			return a, fmt.Sprintf("%q has no brackets: write [%s]:%s", text, host, text[colon+1:])
		}
		return a, fmt.Sprintf("%q is not a port: write a number from 1 to 65535", text[colon+1:])
	}
	return a, fmt.Sprintf("%q is not an address (names are not looked up): %s", text[:colon], example)
}

// Name is where the entry listens, as it is written.
func (e Entry) Name() string {
	switch e.Network {
	case Unix:
		return "unix:" + e.Path
	case UDP:
		return "udp:" + e.Listen.String()
	}
	return e.Listen.String()
}

// String is the entry as it is written.
func (e Entry) String() string {
	if e.Listen == e.Target {
		return e.Name()
	}
	return e.Name() + "=" + e.Target.String()
}
