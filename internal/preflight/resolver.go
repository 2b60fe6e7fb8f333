package preflight

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
)

// daemons resolve names of hosts for others through a socket in the file system,
// if nsswitch.conf(5) names their module. A socket is reached from every network
// namespace, and they ask on the host's network. (nscd is hidden in any case.)
var daemons = []struct{ name, module, socket, hide string }{
	{"systemd-resolved", "resolve", "/run/systemd/resolve/io.systemd.Resolve", "/run/systemd/resolve/io.systemd.Resolve"},
	{"avahi-daemon", "mdns", "/run/avahi-daemon/socket", "/run/avahi-daemon"},
	{"nslcd", "ldap", "/run/nslcd/socket", "/run/nslcd"},
	{"sssd", "sss", "/var/lib/sss/pipes/nss", "/var/lib/sss/pipes/nss"},
}

// lookAtResolver looks at where the service would have names resolved.
func (s *subject) lookAtResolver() {
	if s.onHost {
		return // by another name
	}
	modules := s.hostModules()
	for _, d := range daemons {
		named := slices.ContainsFunc(modules, func(m string) bool {
			return m == d.module || d.module == "mdns" && strings.HasPrefix(m, d.module)
		})
		if _, err := os.Stat(d.socket); err != nil || !named || s.hides(d.socket) {
			continue
		}
		s.add("resolver-socket", Warning, Where{Path: d.socket},
			fmt.Sprintf("the service can ask %s, which resolves names on the host's network", d.name),
			"a socket in the file system leads out of the network namespace, and what is asked is seen outside",
			s.hide(d.hide))
	}
	if s.Netns != "" {
		s.lookAtNameservers()
	}
}

// etcFile is the file that the service sees as /etc/NAME.
func (s *subject) etcFile(name string) string {
	if dir := s.etcName(); dir != "" {
		own := filepath.Join(mounts.EtcDir, dir, name)
		if _, err := os.Stat(own); err == nil {
			return own
		}
	}
	return filepath.Join("/etc", name)
}

// hostModules are the words after "hosts:" in nsswitch.conf(5), which musl does
// not read and systems with musl do not have.
func (s *subject) hostModules() []string {
	text, _ := os.ReadFile(s.etcFile("nsswitch.conf"))
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if words, found := strings.CutPrefix(strings.TrimSpace(line), "hosts:"); found {
			return strings.Fields(words)
		}
	}
	return nil
}

// lookAtNameservers looks at the addresses in the host's resolv.conf(5), if the
// service is to use that.
func (s *subject) lookAtNameservers() {
	file := s.etcFile("resolv.conf")
	if file != "/etc/resolv.conf" {
		return // made for this namespace
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	where, loopback, others := Where{}, "", false
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if address, err := netip.ParseAddr(fields[1]); err == nil && address.IsLoopback() {
			where, loopback = Where{file, number}, fields[1]
		} else {
			others = true
		}
	}
	if loopback == "" || others {
		return
	}
	s.add("resolver-loopback", Warning, where,
		fmt.Sprintf("the service is to ask the resolver on %s, which is not there in its network namespace", loopback),
		"each network namespace has a loopback of its own, and the host's resolver listens on the host's",
		s.ownResolver())
}

func (s *subject) ownResolver() Remedy {
	name := namespace.BaseName(s.Netns)
	if name == "" {
		return run("have a resolver listen on that address inside")
	}
	dir := filepath.Join(mounts.EtcDir, name)
	remedy := run("give the network namespace a file of its own, with the address of a resolver that is reached from there in place of 192.0.2.53",
		"mkdir -p "+dir, "echo nameserver 192.0.2.53 >"+dir+"/resolv.conf")
	if _, set := s.from["netns_etc"]; set && s.etcName() == "" {
		remedy.Edits = s.edit("", "netns_etc", "bind").Edits
	}
	return remedy
}
