package wgquick

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parser reads a file line by line.
type parser struct {
	config  *Config
	path    string
	number  int    // of the line
	section string // "interface", "peer", or empty
	started int    // the line of [Interface]
	unknown bool   // the section is one of others
	given   map[string]int
	owners  map[netip.Prefix]int // of AllowedIPs, the last peer that they are given to
	mtuLine int
	faults  Faults
}

// sections are the keys with the section that each belongs in.
var sections = map[string]string{
	"PrivateKey": "interface", "ListenPort": "interface", "FwMark": "interface", "Address": "interface",
	"DNS": "interface", "MTU": "interface", "Table": "interface", "PreUp": "interface", "PostUp": "interface",
	"PreDown": "interface", "PostDown": "interface", "SaveConfig": "interface",
	"PublicKey": "peer", "PresharedKey": "peer", "AllowedIPs": "peer", "Endpoint": "peer", "PersistentKeepalive": "peer",
}

var titles = map[string]string{"interface": "[Interface]", "peer": "[Peer]"}

func (p *parser) fault(problem, remedy string) {
	p.faults.add(&Fault{p.path, p.number, problem, remedy})
}

func (p *parser) line(line string) {
	if len(line) > MaxLine {
		p.fault(fmt.Sprintf("longer than %d bytes", MaxLine), "break it up: a peer may have several lines of AllowedIPs")
		return
	}
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	switch {
	case line == "":
	case line[0] == '[':
		p.header(line)
	case !p.unknown: // what is in such a section has been spoken of
		p.assignment(line)
	}
}

func (p *parser) header(line string) {
	p.unknown = false
	switch strings.ToLower(strings.Join(strings.Fields(line), "")) {
	case "[interface]":
		p.section = "interface"
		if p.started == 0 {
			p.started = p.number
		}
	case "[peer]":
		p.section = "peer"
		p.config.Peers = append(p.config.Peers, Peer{Line: p.number})
		for name, section := range sections {
			if section == "peer" {
				delete(p.given, name)
			}
		}
	default:
		p.unknown = true
		p.fault("unknown section "+quote(line), "there are [Interface] and [Peer]")
	}
}

func (p *parser) assignment(line string) {
	key, value, found := strings.Cut(line, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	name := properName(key)
	switch {
	case !found:
		p.fault("no equals sign", "write a line as KEY = VALUE, and a comment behind #")
	case name == "" && !isWord(key): // it may be a key of the other kind
		p.fault("nothing that wg-quick knows", "write a line as KEY = VALUE, and a comment behind #")
	case name == "":
		p.fault(fmt.Sprintf("unknown key %q", key), "remove it; wg-quick(8) and wg(8) have the keys that there are")
	case p.section == "":
		p.fault(fmt.Sprintf("%q before any section", name), "write "+titles[sections[name]]+" above it")
	case p.section != sections[name]:
		p.fault(fmt.Sprintf("%q in a section %s", name, titles[p.section]), "it belongs in "+titles[sections[name]])
	default:
		p.set(name, value)
	}
}

// properName is the key in wg-quick's spelling; empty if there is none.
func properName(key string) string {
	for name := range sections {
		if strings.EqualFold(name, key) {
			return name
		}
	}
	return ""
}

// isWord reports whether a text can be shown: it is no WireGuard key, nor a
// piece of one that is worth anything.
func isWord(text string) bool {
	return len(text) <= 24 && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-' && r != ' '
	})
}

// quote shows a value, but for one that may be a key, and of a long one the
// beginning.
func quote(text string) string {
	const enough = 60
	run := 0
	for _, r := range text {
		run++
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '+' && r != '/' {
			run = 0
		}
		if run > 24 {
			return "(not shown, as it may be a key)"
		}
	}
	if len(text) > enough {
		return strconv.Quote(text[:enough]) + "..."
	}
	return strconv.Quote(text)
}

func (p *parser) set(name, value string) {
	c := p.config
	switch name {
	case "PreUp", "PostUp", "PreDown", "PostDown":
		p.refuseHook(name, value)
		return
	case "SaveConfig":
		p.refuseSave(value)
		return
	case "Address":
		for _, word := range list(value) {
			if address, ok := p.prefix(name, word); ok {
				c.Addresses = append(c.Addresses, address)
			}
		}
		return
	case "DNS":
		p.dns(value)
		return
	case "AllowedIPs":
		p.allowedIPs(value)
		return
	}
	if line := p.given[name]; line > 0 {
		p.fault(fmt.Sprintf("%q a second time in one section", name), fmt.Sprintf("remove it here, or on line %d", line))
		return
	}
	p.given[name] = p.number
	if value == "" && (name == "MTU" || name == "Table") {
		return // as to wg-quick
	}
	peer := &Peer{}
	if p.section == "peer" {
		peer = &c.Peers[len(c.Peers)-1]
	}
	switch name {
	case "PrivateKey":
		p.key(name, value, &c.PrivateKey)
	case "PublicKey":
		p.key(name, value, &peer.PublicKey)
	case "PresharedKey":
		p.key(name, value, &peer.PresharedKey)
	case "ListenPort":
		c.ListenPort = uint16(p.value(name, value, 0, 65535, false, "give a port number, up to 65535; or remove the line, for any port"))
	case "FwMark":
		c.Mark = uint32(p.value(name, value, 0, 1<<32-1, true, "give a number, up to 0xffffffff, or off"))
	case "MTU":
		p.mtuLine = p.number
		c.MTU = int(p.value(name, value, 576, 65535, false, "give a number of bytes, from 576 to 65535"))
	case "Table":
		p.table(value)
	case "Endpoint":
		p.endpoint(value, &peer.Endpoint)
	case "PersistentKeepalive":
		peer.Keepalive = time.Second * time.Duration(p.value(name, value, 0, 65535, true, "give a number of seconds, up to 65535, or off"))
	}
}

// list takes words apart as wg-quick does: at commas, and at blanks too.
func list(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

func (p *parser) key(name, value string, key *Key) {
	var err error
	if *key, err = parseKey(value); err != nil {
		p.fault(fmt.Sprintf("%q is no key: it is %v", name, err), "copy it again: 44 characters, the last one an equals sign")
	} else if *key == (Key{}) && name != "PresharedKey" {
		p.fault(fmt.Sprintf("%q is no key: it is all zeros", name), "make one with: wg genkey")
	}
}

// value reads a number as wg(8) does, in hexadecimal too where off is a word
// for zero.
func (p *parser) value(name, value string, low, high uint64, off bool, remedy string) uint64 {
	if off && strings.EqualFold(value, "off") {
		return 0
	}
	digits, base := value, 10
	if hex, found := strings.CutPrefix(strings.ToLower(value), "0x"); found && name == "FwMark" {
		digits, base = hex, 16
	}
	number, err := strconv.ParseUint(digits, base, 64)
	if err != nil || number < low || number > high {
		p.fault(fmt.Sprintf("bad %s %s", name, quote(value)), remedy)
		return 0
	}
	return number
}

func (p *parser) table(value string) {
	switch strings.ToLower(value) {
	case "off":
		p.config.Table.Off = true
		return
	case "auto":
		return
	case "main":
		p.config.Table.Number = 254 // RT_TABLE_MAIN of linux/rtnetlink.h
		return
	}
	number, err := strconv.ParseUint(value, 0, 32)
	if err != nil || number == 0 {
		p.fault("bad Table "+quote(value), "give the number of a routing table, or off, or auto")
		return
	}
	p.config.Table.Number = uint32(number)
}

// prefix reads an address with the length of its network; without one, it is a
// host.
func (p *parser) prefix(name, word string) (netip.Prefix, bool) {
	if prefix, err := netip.ParsePrefix(word); err == nil && !prefix.Addr().Is4In6() {
		return prefix, true
	}
	if address, err := netip.ParseAddr(word); err == nil && !address.Is4In6() && address.Zone() == "" {
		return netip.PrefixFrom(address, address.BitLen()), true
	}
	remedy := "write one as 192.0.2.1/32 or 2001:db8::1/128"
	if name == "AllowedIPs" {
		remedy = "write one as 192.0.2.0/24 or 2001:db8::/32"
	}
	p.fault(fmt.Sprintf("bad address %s in %s", quote(word), name), remedy)
	return netip.Prefix{}, false
}

func (p *parser) allowedIPs(value string) {
	c, last := p.config, len(p.config.Peers)-1
	for _, word := range list(value) {
		prefix, ok := p.prefix("AllowedIPs", word)
		if !ok {
			continue
		}
		prefix = prefix.Masked()
		owner, taken := p.owners[prefix]
		if taken && owner == last {
			continue
		}
		if taken {
			c.Warnings.add(&Fault{p.path, p.number, fmt.Sprintf("AllowedIPs %s is that of the peer on line %d too", prefix, c.Peers[owner].Line),
				"the last one has it: give it to one peer only"})
		}
		p.owners[prefix] = last
		c.Peers[last].AllowedIPs = append(c.Peers[last].AllowedIPs, prefix)
	}
}

// dns tells name servers from domains as wg-quick does.
func (p *parser) dns(value string) {
	for _, word := range list(value) {
		server, domain, err := ParseDNS(word)
		switch {
		case err != nil:
			p.fault(fmt.Sprintf("bad DNS %s", quote(word)), "give the address of a name server, or a domain to search")
		case domain != "":
			p.config.Search = append(p.config.Search, domain)
		default:
			p.config.DNS = append(p.config.DNS, server)
		}
	}
}

// ParseDNS reads a word of the setting DNS: the address of a name server, or
// else a domain to look names up in.
func ParseDNS(word string) (server netip.Addr, domain string, err error) {
	if strings.Contains(word, ":") || strings.Trim(word, "0123456789.") == "" {
		if server, err = netip.ParseAddr(word); err == nil && (server.Is4In6() || server.Zone() != "" || server.IsUnspecified()) {
			err = fmt.Errorf("%q is no address of a name server", word)
		}
		return server, "", err
	}
	if !isHostName(word) {
		return server, "", fmt.Errorf("%q is no domain", word)
	}
	return server, word, nil
}

// isHostName reports whether a resolver may be asked for the name (RFC 1123,
// and the underscore that some use all the same).
func isHostName(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}

func (p *parser) endpoint(value string, endpoint *Endpoint) {
	const remedy = "write it as vpn.example.com:51820, 192.0.2.1:51820 or [2001:db8::1]:51820"
	at := strings.LastIndexByte(value, ':')
	if at < 0 {
		p.fault(fmt.Sprintf("Endpoint %s has no port", quote(value)), remedy)
		return
	}
	host, port := value[:at], value[at+1:]
	inner, opened := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	bracketed := opened && closed
	address, err := netip.ParseAddr(inner)
	numeric := strings.Contains(inner, ":") || strings.Trim(inner, "0123456789.") == ""
	switch {
	case err == nil && address.Zone() != "" && !(address.IsLinkLocalUnicast() && isInterfaceName(address.Zone())):
		p.fault(fmt.Sprintf("bad zone %s in Endpoint", quote(address.Zone())), "give the name of an interface behind an address of fe80::/10, as in [fe80::1%eth0]:51820")
		return
	case opened != closed,
		bracketed && (err != nil || !address.Is6()),
		numeric && (err != nil || address.Is4In6() || address.IsUnspecified() || address.IsMulticast()),
		!numeric && !isHostName(inner):
		p.fault("bad Endpoint "+quote(value), remedy)
		return
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		p.fault(fmt.Sprintf("bad port %s in Endpoint", quote(port)), "give a number, from 1 to 65535")
		return
	}
	*endpoint = Endpoint{inner, uint16(number), p.number}
}

// isInterfaceName reports whether an interface may be called that (IFNAMSIZ of
// linux/if.h), by somebody who wants to read it.
func isInterfaceName(name string) bool {
	return len(name) < 16 && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/:%", r) })
}

// refuseHook is for commands, which no file of keys should have. An empty one
// is none.
func (p *parser) refuseHook(name, value string) {
	if value == "" {
		return
	}
	function := "netns_post_up"
	if strings.HasSuffix(name, "Down") {
		function = "netns_pre_down"
	}
	p.fault(fmt.Sprintf("%q is a command, and none of a file like this is run", name),
		fmt.Sprintf("remove it; what it is to do inside belongs in %s() in the conf.d file of the namespace", function))
}

func (p *parser) refuseSave(value string) {
	if strings.EqualFold(value, "false") {
		return
	}
	p.fault(`"SaveConfig" is refused: nothing writes to this file`,
		"remove it; what is to be kept, netns_pre_down() in the conf.d file of the namespace can save")
}

// end looks at what only the whole file tells. What is missing may be missing
// because of a mistake that has been found.
func (p *parser) end() {
	c, whole := p.config, len(p.faults) == 0
	at := func(line int) *parser { p.number = line; return p }
	if whole && p.started == 0 {
		at(0).fault("no section [Interface]", "write it above PrivateKey and Address")
	} else if whole && p.given["PrivateKey"] == 0 {
		at(p.started).fault(`[Interface] has no "PrivateKey"`, "write it there")
	}
	if n := len(c.Addresses); n > MaxAddresses {
		at(0).fault(fmt.Sprintf("%d addresses, and the kernel looks through all of them for each", n), fmt.Sprintf("give the interface no more than %d", MaxAddresses))
	}
	lines := map[Key]int{}
	for i, peer := range c.Peers {
		c.Peers[i].AllowedIPs = slices.DeleteFunc(peer.AllowedIPs, func(a netip.Prefix) bool { return p.owners[a] != i })
		switch {
		case whole && peer.PublicKey == (Key{}):
			at(peer.Line).fault(`[Peer] has no "PublicKey"`, "write it there")
		case lines[peer.PublicKey] > 0 && peer.PublicKey != (Key{}):
			at(peer.Line).fault(fmt.Sprintf("the peer on line %d has the same PublicKey", lines[peer.PublicKey]), "make one section of the two")
		}
		lines[peer.PublicKey] = peer.Line
	}
	if c.MTU > 0 && c.MTU < 1280 && slices.ContainsFunc(c.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() }) {
		at(p.mtuLine).fault(fmt.Sprintf("MTU %d is too small for IPv6", c.MTU), "give 1280 or more, or remove the IPv6 address")
	}
}
