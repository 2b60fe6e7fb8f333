package preflight

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
)

// daemons resolve names of hosts for others through a socket in the file
// system, if nsswitch.conf(5) names their module. A socket is reached from
// every network namespace, and they ask on the host's network. (nscd is hidden
// in any case.)
var daemons = []struct{ name, module, socket, hide string }{
	{"systemd-resolved", "resolve", "/run/systemd/resolve/io.systemd.Resolve", "/run/systemd/resolve/io.systemd.Resolve"},
	{"avahi-daemon", "mdns", "/run/avahi-daemon/socket", "/run/avahi-daemon"},
	{"nslcd", "ldap", "/run/nslcd/socket", "/run/nslcd"},
	{"sssd", "sss", "/var/lib/sss/pipes/nss", "/var/lib/sss/pipes/nss"},
}

// checkResolver looks at where the service would have names resolved.
func (s *serviceCheck) checkResolver() {
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
		s.add(finding.ResolverSocket, finding.Warning, finding.Where{Path: d.socket}, s.hide(d.hide), d.name)
	}
	if s.Netns != "" {
		s.checkNameservers()
	}
}

// etcFile is the file that the service sees as /etc/NAME.
func (s *serviceCheck) etcFile(name string) string {
	if dir := s.etcName(); dir != "" {
		own := filepath.Join(mounts.EtcDir, dir, name)
		if _, err := os.Stat(own); err == nil {
			return own
		}
		if made := mounts.ResolvConf(dir); name == filepath.Base(made) && (exists(made) || s.makesResolvConf(dir)) {
			return made
		}
	}
	return filepath.Join("/etc", name)
}

// makesResolvConf reports whether the service of a namespace is going to make
// one, when it is started.
func (s *serviceCheck) makesResolvConf(netns string) bool {
	makes, known := s.run.dns[netns]
	if script := maker(netns); script != "" && !known {
		settings, _ := readMaker(filepath.Base(script))
		spec, _, _ := settings.Spec(netns)
		makes = !spec.DNS.IsZero()
		s.run.dns[netns] = makes
	}
	return makes
}

// hostModules are the words after "hosts:" in nsswitch.conf(5), which musl does
// not read and systems with musl do not have.
func (s *serviceCheck) hostModules() []string {
	text, _ := files.Read(s.etcFile("nsswitch.conf"))
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if words, found := strings.CutPrefix(strings.TrimSpace(line), "hosts:"); found {
			return strings.Fields(words)
		}
	}
	return nil
}

// checkNameservers looks at the addresses in the host's resolv.conf(5), if the
// service is to use that.
func (s *serviceCheck) checkNameservers() {
	file := s.etcFile("resolv.conf")
	if file != "/etc/resolv.conf" {
		return // made for this namespace
	}
	text, err := files.Read(file)
	if err != nil {
		return
	}
	where, loopback, others := finding.Where{}, "", false
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if address, err := netip.ParseAddr(fields[1]); err == nil && address.IsLoopback() {
			where, loopback = finding.Where{Path: file, Line: number}, fields[1]
		} else {
			others = true
		}
	}
	if loopback == "" || others {
		return
	}
	id, remedy := finding.ResolverLoopbackPath, finding.Remedy{}
	if name := namespace.BaseName(s.Netns); name != "" {
		id, remedy = finding.ResolverLoopback, s.ownResolver(filepath.Join(mounts.EtcDir, name))
	}
	s.add(id, finding.Warning, where, remedy, loopback)
}

// ownResolver gives the network namespace a resolv.conf, in its directory.
func (s *serviceCheck) ownResolver(dir string) finding.Remedy {
	remedy := finding.Run("mkdir", "-p", dir).RunTo(filepath.Join(dir, "resolv.conf"), "echo", "nameserver", "192.0.2.53")
	if _, set := s.from["netns_etc"]; set && s.etcName() == "" {
		remedy.Edits = s.edit("netns_etc", "yes").Edits
	}
	return remedy
}
