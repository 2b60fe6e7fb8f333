package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"openrc-netns/internal/launch"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/provision"
	"openrc-netns/internal/vrf"
)

// lookAtPlace looks at what a start needs, then rehearses it. What a part of it
// lacks is found with the functions that the start itself calls; the rehearsal
// finds what nobody has thought of.
func (s *subject) lookAtPlace(root bool, system System) {
	s.lookAtWords()
	ns := s.lookAtNamespace(root)
	if ns != nil {
		defer ns.Close()
	}
	s.lookAtEtc()
	s.lookAtHidden()
	if root && ns != nil {
		s.lookAtVRF(ns)
	}
	switch {
	case s.fails():
	case root:
		s.rehearse(filepath.Join(system.Directory, runScript), ns == nil)
	case s.VRF != "":
		s.Unchecked = append(s.Unchecked, fmt.Sprintf("VRF %q, and whether a start could enter: only root can find out", s.VRF))
	default:
		s.Unchecked = append(s.Unchecked, "whether a start could enter: only root can find out")
	}
	s.lookAtResolver()
}

// fails reports whether it is known already that a start would fail.
func (s *subject) fails() bool {
	for _, f := range s.Findings {
		if f.Effect == Fails {
			return true
		}
	}
	return false
}

// lookAtWords looks at the settings that know a few words only.
func (s *subject) lookAtWords() {
	for _, setting := range []struct {
		name, word string
		alone      openrc.Settings
	}{
		{"netns_etc", openrc.EtcBind, openrc.Settings{Etc: s.settings.Etc}},
		{"netns_lock", "yes", openrc.Settings{Lock: s.settings.Lock}},
	} {
		if _, err := setting.alone.Spec(); err != nil {
			s.add("setting-bad", Fails, s.from[setting.name], err.Error(),
				"a value that is not known is an error at start",
				s.edit("write one of the two words", setting.name, setting.word))
		}
	}
	if _, err := (openrc.Settings{Keep: s.settings.Keep}).Spec(); err != nil {
		var good []string
		for _, name := range openrc.Capabilities(s.settings.Keep) {
			if launch.CheckKeep([]string{name}) == nil {
				good = append(good, name)
			}
		}
		s.add("setting-bad", Fails, s.from["netns_lock_keep"], err.Error(),
			"a value that is not known is an error at start",
			s.edit("write the names of capabilities that a lock takes away", "netns_lock_keep", strings.Join(good, " ")))
	}
}

// lookAtNamespace opens the namespace; nil if there is none. A service that
// makes it makes it in time.
func (s *subject) lookAtNamespace(root bool) *namespace.Namespace {
	name := s.settings.Netns
	if name == "" {
		if !root {
			return nil // only root may look at process 1
		}
		name = namespace.Host
	}
	if err := namespace.CheckName(name); err != nil {
		s.add("namespace-bad-name", Fails, s.from["netns"], err.Error(),
			"no network namespace can have that name", s.edit("write a name", "netns", properName(name)))
		return nil
	}
	if script := maker(name); script != "" && !executable(script) {
		s.add("script-not-executable", Fails, Where{Path: script}, "the init script cannot be executed",
			fmt.Sprintf("%s needs the service of its network namespace, and OpenRC does not know that", s.Name),
			run("make it executable, and have OpenRC look again", "chmod 755 "+script, "rc-update -u"))
		return nil
	}
	ns, err := namespace.Open(name)
	if err == nil {
		s.lookAtHost(ns)
		return ns
	}
	if errors.Is(err, fs.ErrPermission) && !root {
		s.Unchecked = append(s.Unchecked, err.Error())
		return nil
	}
	if maker(name) != "" && provision.Makes(err) {
		if s.VRF != "" && root {
			s.Unchecked = append(s.Unchecked, fmt.Sprintf("VRF %q: the service netns.%s makes its network namespace first", s.VRF, name))
		}
		return nil
	}
	s.addNamespace(name, err)
	return nil
}

// lookAtHost finds out whether a setting leads to the host's own namespace.
func (s *subject) lookAtHost(ns *namespace.Namespace) {
	host, err := namespace.Open(namespace.Host)
	if err != nil {
		return // only root may look at process 1
	}
	defer host.Close()
	s.onHost = s.Netns != "" && ns.Inode() == host.Inode()
	if !s.onHost || namespace.MeansHost(s.Netns) {
		return
	}
	remedy := s.edit("name another one, made with ip netns add vpn for instance; or write "+namespace.Host+", if that is meant", "netns", "vpn")
	if base := namespace.BaseName(s.Netns); base != "" {
		remedy = run("delete the name, and create a network namespace; or write "+namespace.Host+", if that is meant",
			"ip netns delete "+base, "ip netns add "+base)
	}
	s.add("namespace-host", Fails, s.from["netns"], fmt.Sprintf("network namespace %q is the host's own", s.Netns),
		"the service would run outside, and does not start", remedy)
}

// maker is the init script of the service that makes the namespace called name,
// which the drop-in looks for too; empty if there is none.
func maker(name string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	script := filepath.Join(initDir, "netns."+name)
	if _, err := os.Stat(script); err != nil || strings.Trim(name, plain) != "" {
		return ""
	}
	return script
}

// properName makes a name of one that is none.
func properName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < '!' || r == 0x7f || strings.ContainsRune(`"'\$`, r) {
			return -1
		}
		return r
	}, filepath.Base(name))
	if len(name) > 15 {
		name = name[:15]
	}
	if namespace.CheckName(name) != nil {
		return "vpn"
	}
	return name
}

// addNamespace is for a namespace that cannot be opened. Only one that has a name
// can be made.
func (s *subject) addNamespace(name string, err error) {
	const why = "the service does not start anywhere else instead"
	base := namespace.BaseName(name)
	path := filepath.Join(namespace.Dir, base)
	create := "ip netns add " + base
	what, _, _ := strings.Cut(err.Error(), "; ")
	var stale *namespace.StaleError
	switch {
	case base == "":
		id := "namespace-other"
		if errors.As(err, new(*namespace.NotExistError)) {
			id = "namespace-missing"
		}
		s.add(id, Fails, s.from["netns"], what, why,
			s.edit("a name lasts, a path may not: name a network namespace, made with ip netns add vpn for instance", "netns", "vpn"))
	case errors.As(err, new(*namespace.NotExistError)):
		s.add("namespace-missing", Fails, s.from["netns"], what, why,
			run("create it; to have it at every boot, see the network namespace as a service in openrc-netns-hook(8)"+meant(base), create))
	case errors.As(err, &stale):
		s.add("namespace-stale", Fails, Where{Path: stale.Path}, what,
			"the network namespace that had this name has gone, and an empty file was left",
			run("remove it, and create the network namespace", "rm "+stale.Path, create))
	default:
		remove := "rm "
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			remove = "rmdir "
		}
		commands := []string{remove + path, create}
		if mounted(path) {
			commands = append([]string{"umount " + path}, commands...)
		}
		s.add("namespace-other", Fails, Where{Path: path}, what, why, run("remove it, and create the network namespace", commands...))
	}
}

// meant names a network namespace that name may be a mistake for, to add to a
// remedy; empty if there is none like it.
func meant(name string) string {
	others, _ := names(namespace.Dir)
	if other := nearest(name, others); other != "" {
		return fmt.Sprintf("; or write %q, if that is meant", other)
	}
	return ""
}

// mounted reports whether something is mounted on the file at path.
func mounted(path string) bool {
	text, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && strings.Contains(string(text), " "+path+" ")
}

// lookAtEtc looks at the files that are to stand in for those of /etc.
func (s *subject) lookAtEtc() {
	name := s.etcName()
	if name == "" {
		return
	}
	binds, err := mounts.EtcEntries(name)
	if errors.Is(err, fs.ErrPermission) {
		s.Unchecked = append(s.Unchecked, err.Error())
		return
	}
	dir := filepath.Join(mounts.EtcDir, name)
	if err != nil {
		s.add("etc-unreadable", Fails, Where{Path: dir}, err.Error(),
			"the files to see in place of those in /etc belong into a directory of that name",
			run("remove it, and make a directory", "rm "+dir, "mkdir "+dir))
		return
	}
	for _, bind := range binds {
		if err := bind.Check(); err != nil {
			s.addBind(bind, err)
		}
	}
}

// etcName is the directory below /etc/netns that the service sees in /etc; empty
// if it sees none.
func (s *subject) etcName() string {
	if s.settings.Etc == openrc.EtcNone || namespace.CheckName(s.settings.Netns) != nil {
		return ""
	}
	return namespace.BaseName(s.settings.Netns)
}

func (s *subject) addBind(bind mounts.Bind, err error) {
	const why = "the service would see the host's, or nothing, where it should see its own"
	what, _, _ := strings.Cut(err.Error(), "; ")
	source, sourceErr := os.Stat(bind.Source)
	target, targetErr := os.Stat(bind.Target)
	make := "touch " + bind.Target
	if sourceErr == nil && source.IsDir() {
		make = "mkdir " + bind.Target
	}
	switch {
	case sourceErr != nil:
		s.add("etc-source", Fails, Where{Path: bind.Source}, what, "there is nothing to bind",
			run("remove it", "rm "+bind.Source))
	case errors.Is(targetErr, fs.ErrNotExist):
		commands := []string{make}
		if _, err := os.Lstat(bind.Target); err == nil { // a link to nowhere
			commands = []string{"rm " + bind.Target, make}
		}
		s.add("etc-target-missing", Fails, Where{Path: bind.Source}, what, why,
			run("create what is to be covered; or remove "+bind.Source, commands...))
	case targetErr == nil && source.IsDir() != target.IsDir():
		s.add("etc-kind", Fails, Where{Path: bind.Source}, what, why,
			run("move it away", fmt.Sprintf("mv %s /root/%s.%s", bind.Source, s.etcName(), filepath.Base(bind.Source))))
	default:
		s.add("etc-target-missing", Fails, Where{Path: bind.Source}, what, why, run("remove it", "rm -r "+bind.Source))
	}
}

// lookAtHidden looks at the paths in netns_hide.
func (s *subject) lookAtHidden() {
	var good []string
	type fault struct{ id, what string }
	var faults []fault
	for _, path := range strings.Fields(s.settings.Hide) {
		_, err := mounts.Hidden([]string{path})
		switch {
		case err == nil:
			good = append(good, path)
			continue
		case errors.Is(err, fs.ErrPermission):
			s.Unchecked = append(s.Unchecked, err.Error())
			good = append(good, path)
			continue
		case filepath.IsAbs(path):
			faults = append(faults, fault{"hide-missing", err.Error()})
			continue
		}
		faults = append(faults, fault{"hide-relative", err.Error()})
		if _, err := os.Stat("/" + path); err == nil {
			good = append(good, "/"+path)
		}
	}
	for _, f := range faults {
		s.add(f.id, Fails, s.from["netns_hide"], f.what,
			"what cannot be hidden would be seen, so the service does not start",
			s.edit("keep those that are there; or start first what makes the others", "netns_hide", strings.Join(good, " ")))
	}
}

// lookAtVRF looks for the device in the namespace.
func (s *subject) lookAtVRF(ns *namespace.Namespace) {
	if s.VRF == "" {
		return
	}
	var others []*netlink.Vrf
	err := ns.Do(func() error {
		_, err := vrf.Find(s.VRF)
		if err != nil {
			others = devices()
		}
		return err
	})
	const why = "every IP socket of the service is to be bound to it"
	switch {
	case err == nil:
	case errors.As(err, new(*vrf.NotExistError)):
		s.add("vrf-missing", Fails, s.from["vrf"], err.Error(), why,
			run("create it, and give it the devices of its network", s.makeVRF(s.VRF, others)...))
	default:
		id := "vrf-bad-name"
		if errors.As(err, new(*vrf.OtherDeviceError)) {
			id = "vrf-other"
		}
		if len(others) > 0 {
			s.add(id, Fails, s.from["vrf"], err.Error(), why, s.edit("name one that there is", "vrf", others[0].Name))
			return
		}
		remedy := s.edit("make one, and name it", "vrf", "mgmt")
		remedy.Commands = s.makeVRF("mgmt", nil)
		s.add(id, Fails, s.from["vrf"], err.Error(), why, remedy)
	}
}

// devices lists the VRFs in the network namespace of the calling thread.
func devices() (vrfs []*netlink.Vrf) {
	links, _ := netlink.LinkList()
	for _, link := range links {
		if device, is := link.(*netlink.Vrf); is {
			vrfs = append(vrfs, device)
		}
	}
	return vrfs
}

// makeVRF makes a device with a routing table that none of the others has.
func (s *subject) makeVRF(name string, others []*netlink.Vrf) []string {
	table := uint32(10)
	for slices.ContainsFunc(others, func(v *netlink.Vrf) bool { return v.Table == table }) {
		table += 10
	}
	ip := "ip "
	if base := namespace.BaseName(s.Netns); base != "" {
		ip = "ip -n " + base + " "
	} else if s.Netns != "" {
		ip = "nsenter --net=" + s.Netns + " ip "
	}
	return []string{fmt.Sprintf("%slink add %s type vrf table %d", ip, name, table), ip + "link set " + name + " up"}
}

// rehearse does what a start would do.
func (s *subject) rehearse(program string, fresh bool) {
	warn := func(text string) {
		s.add("start-warns", Warning, Where{Path: "/sys"}, text,
			"the service sees devices of another network in /sys", run("let this container mount sysfs, or live with it"))
	}
	err := openrc.Rehearsal{Service: s.Name, Settings: s.settings, Program: program, Fresh: fresh, Warn: warn}.Try()
	switch {
	case err == nil:
	case errors.As(err, new(*launch.KernelError)):
		remedy := write("use another kernel, or do without")
		for _, name := range []string{"vrf", "netns_lock"} {
			if where := s.from[name]; where.Path != "" {
				remedy.Edits = append(remedy.Edits, Edit{where.Path, where.Line, assign(lineOf(where.Path, where.Line), name, "")})
			}
		}
		s.add("kernel", Fails, s.from[s.confiner()], err.Error(),
			"vrf and netns_lock are done by a BPF program on a cgroup, for one network namespace", remedy)
	default:
		s.add("start-fails", Fails, s.from[s.first()], err.Error(), "a start fails with this message", run("do what the message says"))
	}
}

// confiner is the setting that needs something of the kernel.
func (s *subject) confiner() string {
	if s.VRF != "" {
		return "vrf"
	}
	return "netns_lock"
}

// first is the setting that makes this service one of ours.
func (s *subject) first() string {
	if s.Netns != "" {
		return "netns"
	}
	return s.confiner()
}
