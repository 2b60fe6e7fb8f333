package migrate

import (
	"path"
	"strings"

	"openrc-netns/internal/script"
)

// entry is a way into a network namespace, a VRF or both, as a script has it:
// words that another command follows.
type entry struct {
	end        int          // the index of the word behind it
	netns, vrf *script.Word // nil where it names none
	odd        bool         // it does more than that
}

// enters finds one that begins with the word of that index. One that follows the
// other, "ip netns exec vpn ip vrf exec mgmt", is part of it.
func (s *service) enters(words []script.Word, at int) (e entry, found bool) {
	for e.end = at; e.end < len(words); {
		var next entry
		ok := false
		switch s.program(words[e.end]) {
		case "ip":
			next, ok = afterIP(words, e.end+1)
		case "nsenter":
			next, ok = afterNsenter(words, e.end+1)
		}
		if !ok {
			break
		}
		found = true
		e.odd = e.odd || next.odd || e.netns != nil && next.netns != nil || e.vrf != nil && next.netns != nil
		e.end = next.end
		if next.netns != nil {
			e.netns = next.netns
		}
		if next.vrf != nil {
			e.vrf = next.vrf
		}
	}
	return e, found
}

// afterIP is for the words behind "ip", which takes its own abbreviated, as
// ip(8) does.
func afterIP(words []script.Word, at int) (e entry, found bool) {
	all := false
	for ; at < len(words); at++ {
		option := literal(words[at])
		if !strings.HasPrefix(option, "-") || option == "--" {
			break
		}
		option = strings.TrimPrefix(option, "-")
		switch {
		case abbreviates(option, "-netns", 2), abbreviates(option, "netns", 1):
			if at++; at < len(words) {
				e.netns = &words[at]
			}
		case abbreviates(option, "-all", 2), abbreviates(option, "all", 1):
			all = true
		case abbreviates(option, "family", 1), abbreviates(option, "-family", 2):
			at++
		}
	}
	if at+2 > len(words) {
		return entry{}, false
	}
	object, verb := literal(words[at]), literal(words[at+1])
	netns := abbreviates(object, "netns", 3)
	if !netns && !abbreviates(object, "vrf", 1) || !abbreviates(verb, "exec", 1) {
		return entry{}, false
	}
	if all || at+2 == len(words) || strings.HasPrefix(literal(words[at+2]), "-") {
		return entry{end: min(at+2, len(words)), odd: true}, true
	}
	if netns {
		e.odd = e.netns != nil
		e.netns = &words[at+2]
	} else {
		e.vrf = &words[at+2]
	}
	e.end = at + 3
	return e, true
}

// afterNsenter is for the words behind "nsenter": the network namespace of a
// file and no other one.
func afterNsenter(words []script.Word, at int) (e entry, found bool) {
	for ; at < len(words); at++ {
		raw := words[at].Raw
		if !strings.HasPrefix(raw, "-") {
			break
		}
		if raw == "--" {
			at++
			break
		}
		file := ""
		switch {
		case strings.HasPrefix(raw, "--net="):
			file = "--net="
		case raw == "--net" || raw == "-n":
			found, e.odd = true, true
			continue
		case strings.HasPrefix(raw, "-n"):
			file = "-n"
		case raw == "-F" || raw == "--no-fork":
			continue
		case raw == "-t" || raw == "--target":
			at++
			e.odd = true
			continue
		default:
			e.odd = true
			continue
		}
		found = true
		w := words[at]
		w.Raw, w.Start = w.Raw[len(file):], w.Start+len(file)
		e.netns = &w
	}
	e.end = min(at, len(words))
	return e, found
}

// abbreviates reports whether a word stands for another one, of which it has at
// least so many letters.
func abbreviates(word, whole string, least int) bool {
	return len(word) >= least && strings.HasPrefix(whole, word)
}

// literal is a word without its quotes; empty where it has an expansion.
func literal(w script.Word) string {
	text, _ := w.Literal()
	return text
}

// program is the name of one, without its directory.
func (s *service) program(w script.Word) string {
	text, unknown := w.Expand(s.lookup)
	if unknown != "" {
		return ""
	}
	return path.Base(text)
}

// speaks are commands that print their arguments.
var speaks = []string{
	"ebegin", "echo", "eend", "eerror", "eerrorn", "einfo", "einfon", "elog", "eqawarn", "ewarn", "ewarnn", "ewend", "logger", "printf",
	"vebegin", "veend", "veinfo", "veinfon", "vewarn", "vewarnn", "vewend",
}

// actsOnNetwork are programs that set up networks, or show them.
var actsOnNetwork = []string{
	"arptables", "bridge", "brctl", "conntrack", "dhclient", "dhcpcd", "ebtables", "ethtool", "ifconfig", "ifdown", "ifup", "ip",
	"ip6tables", "ip6tables-restore", "ip6tables-save", "ipset", "iptables", "iptables-restore", "iptables-save",
	"iw", "nft", "ovs-vsctl", "route", "sysctl", "tc", "udhcpc", "vconfig", "wg", "wg-quick",
}
