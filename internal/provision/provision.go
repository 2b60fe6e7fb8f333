// Package provision makes a named network namespace ready for services, and
// undoes that: it makes the namespace where there is none, brings its loopback
// up, moves network interfaces in, makes WireGuard interfaces and veth pairs,
// gives them addresses and routes, writes a resolv.conf and sets sysctls.
//
// Each change is written to a journal before it is made, and Down undoes what
// the journal says and nothing else: a namespace that was there before Up is
// adopted, and outlives Down with its old settings. No key is in the journal.
//
// Interfaces come from, and return to, the network namespace of PID 1, and
// namespaces are named in its mount namespace. All functions that take a name
// or a Spec need CAP_SYS_ADMIN and CAP_NET_ADMIN, leave the calling thread
// where it is, and may be called from any one; two at a time for the same name
// are not safe.
package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"openrc-netns/internal/files"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/wgquick"
)

// Spec is what a network namespace is to be.
type Spec struct {
	// Name is its name in namespace.Dir.
	Name string
	// Interfaces are moved in, in order, and stay down unless Addresses or
	// Routes have them.
	Interfaces []Interface
	// WireGuard are made with a socket on the host's network, and brought up
	// with what their files say.
	WireGuard []*wgquick.Config
	// Veths are made, and brought up.
	Veths []Veth
	// Addresses and Routes are those of interfaces, by the name inside or that
	// of the host's end of a veth pair.
	Addresses map[string][]netip.Prefix
	Routes    map[string][]Route
	// DNS is what the resolv.conf of the namespace says; there is none if it is
	// zero.
	DNS DNS
	// Sysctls are set in order. One that comes with an interface is set once
	// the interface is there, before it is brought up, and all others before
	// any is, so that the defaults for interfaces have their effect.
	Sysctls []Sysctl
}

// both are the two namespaces that setting up and undoing work on.
type both struct {
	host, inside *namespace.Namespace
}

// Up makes the namespace what spec says. It may be called again after it was
// cut short: what is there already is fine. Names of endpoints are resolved
// first, and nothing is made where that fails. After an error all that the
// journal has is undone, and the journal removed. Tell is told what an
// administrator should know.
func Up(spec Spec, tell func(string)) error {
	log, host, err := begin(spec.Name)
	if err != nil {
		return err
	}
	defer host.Close()
	tunnels, err := prepare(host, spec, true, tell)
	if err == nil {
		err = log.up(host, spec, tunnels, tell)
	}
	if err != nil {
		if undoing := log.down(host, spec.Name, false, tell); undoing != nil {
			return fmt.Errorf("%w; and to undo what was done before: %w", err, undoing)
		}
		return err
	}
	return nil
}

// Try finds out what would keep Up from it, as far as that can be known while
// the namespace may be there, set up as it was before.
func Try(spec Spec) error {
	log, host, err := begin(spec.Name)
	if err != nil {
		return err
	}
	defer host.Close()
	ns := both{host: host}
	if ns.inside = log.id.Find(spec.Name); ns.inside != nil {
		defer ns.inside.Close()
	}
	for _, i := range spec.Interfaces {
		link, err := find(host, i.Name)
		if err == nil && link == nil && ns.inside != nil {
			link, err = find(ns.inside, i.Inside)
		}
		if err != nil {
			return err
		}
		if link == nil {
			return fmt.Errorf("interface %q does not exist", i.Name)
		}
	}
	_, err = prepare(host, spec, false, func(string) {})
	return err
}

// Down undoes what the journal says was done to the namespace, and removes the
// journal. What has gone since is no error, and tell is told; what cannot be
// undone stays in the journal. Restart says that Up is to follow: a namespace
// that Up has made is then kept if processes are in it, and they are in it
// still when it is set up again.
func Down(name string, restart bool, tell func(string)) error {
	log, host, err := begin(name)
	if err != nil {
		return err
	}
	defer host.Close()
	if log.id.Inode == 0 {
		tell(fmt.Sprintf("network namespace %q: nothing is on record that would have to be undone", name))
		return log.remove() // it may be another boot's
	}
	return log.down(host, name, restart, tell)
}

// prepare finds out all that the host has to say, before anything is made.
func prepare(host *namespace.Namespace, spec Spec, patient bool, tell func(string)) ([]tunnel, error) {
	if len(spec.WireGuard) == 0 {
		return nil, nil
	}
	if err := CheckWireGuard(); err != nil {
		return nil, err
	}
	var tunnels []tunnel
	for _, config := range spec.WireGuard {
		endpoints, zones, err := resolveEndpoints(host, config, patient, tell)
		if err != nil {
			return nil, err
		}
		t := tunnel{Config: config, endpoints: endpoints, zones: zones}
		err = host.Do(func() error {
			t.mtu = findMTU(t)
			return nil
		})
		if err != nil {
			return nil, err
		}
		tunnels = append(tunnels, t)
	}
	return tunnels, nil
}

func begin(name string) (*journal, *namespace.Namespace, error) {
	if err := checkName(name); err != nil {
		return nil, nil, err
	}
	if err := checkMounts(); err != nil {
		return nil, nil, err
	}
	log, err := readJournal(journalPath(name))
	if err != nil {
		return nil, nil, err
	}
	host, err := namespace.Open(namespace.Host)
	return log, host, err
}

// checkName refuses what namespace.Open would take for a path.
func checkName(name string) error {
	if name != "" && name[0] == '/' {
		return fmt.Errorf("bad network namespace name %q: give a name without a slash", name)
	}
	return namespace.CheckName(name)
}

// checkMounts refuses to make or remove a name that nobody else would see.
func checkMounts() error {
	own, err := os.Stat("/proc/self/ns/mnt")
	if err != nil {
		return fmt.Errorf("find the mount namespace (is /proc mounted?): %w", err)
	}
	hosts, err := os.Stat("/proc/1/ns/mnt")
	if err != nil {
		return fmt.Errorf("find the host's mount namespace: %w", err)
	}
	if !os.SameFile(own, hosts) {
		return errors.New("this is not the host's mount namespace; enter that first, with: nsenter -t 1 -m -n")
	}
	return nil
}

func (j *journal) up(host *namespace.Namespace, spec Spec, tunnels []tunnel, tell func(string)) error {
	inside, err := j.open(host, spec.Name, tell)
	if err != nil {
		return err
	}
	defer inside.Close()
	if inside.Inode() == host.Inode() {
		return fmt.Errorf("%q is the host's own network namespace", spec.Name)
	}
	ns := both{host, inside}
	if err := inside.Do(j.loopbackUp); err != nil {
		return err
	}
	late, err := j.setSysctls(inside, spec.Sysctls, true)
	if err != nil {
		return err
	}
	if err := j.undo(ns, func(s step) bool { return !spec.wants(s) }, tell); err != nil {
		return err
	}
	if err := j.writeResolvConf(spec.DNS); err != nil {
		return err
	}
	for _, i := range spec.Interfaces {
		if err := j.moveIn(ns, i); err != nil {
			return err
		}
	}
	for _, t := range tunnels {
		if err := j.makeWireGuard(ns, t, tell); err != nil {
			return err
		}
	}
	for _, v := range spec.Veths {
		if err := j.makeVeth(ns, v, tell); err != nil {
			return err
		}
	}
	if _, err = j.setSysctls(inside, late, false); err != nil {
		return err
	}
	return spec.bringUp(ns, tunnels, tell)
}

// wants reports whether a step of an earlier start is one of this spec's too.
// What was made for files and settings that have been changed since must not
// stay beside what is made for the new ones.
func (s *Spec) wants(old step) bool {
	switch old.kind {
	case wireguard:
		return slices.ContainsFunc(s.WireGuard, func(c *wgquick.Config) bool { return c.Name == old.words[0] })
	case veth:
		return slices.Contains(s.Veths, Veth{old.words[1], old.words[0]})
	case resolver:
		return !s.DNS.IsZero()
	}
	return true
}

// ready is an interface that is to be brought up.
type ready struct {
	ns        *namespace.Namespace
	name      string
	addresses []netip.Prefix
	routes    []Route
	mtu       int  // 0 leaves it
	alone     bool // on its wire
}

// bringUp gives the interfaces their addresses, and then their routes.
func (s *Spec) bringUp(ns both, tunnels []tunnel, tell func(string)) error {
	interfaces := s.ready(ns, tunnels)
	for _, i := range interfaces {
		if err := setAddresses(i.ns, i.name, i.addresses, i.mtu, i.alone); err != nil {
			return err
		}
	}
	for _, i := range interfaces {
		if err := awaitAddresses(i.ns, i.name, tell); err != nil {
			return err
		}
		if err := addRoutes(i.ns, i.name, i.routes); err != nil {
			return err
		}
	}
	for _, t := range tunnels {
		if kindOf(ns.inside, t.Name) == wireguardKind {
			continue
		}
		if err := awaitSocket(ns.host, t); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spec) ready(ns both, tunnels []tunnel) (interfaces []ready) {
	for _, i := range s.Interfaces {
		addresses, hasAddresses := s.Addresses[i.Inside]
		routes, hasRoutes := s.Routes[i.Inside]
		if hasAddresses || hasRoutes {
			interfaces = append(interfaces, ready{ns: ns.inside, name: i.Inside, addresses: addresses, routes: routes})
		}
	}
	for _, t := range tunnels {
		interfaces = append(interfaces, ready{ns.inside, t.Name, append(slices.Clone(t.Addresses), s.Addresses[t.Name]...),
			append(routesOf(t.Config), s.Routes[t.Name]...), t.mtu, true})
	}
	for _, v := range s.Veths {
		interfaces = append(interfaces, ready{ns.host, v.Host, s.Addresses[v.Host], s.Routes[v.Host], 0, true},
			ready{ns.inside, v.Inside, s.Addresses[v.Inside], s.Routes[v.Inside], 0, true})
	}
	return interfaces
}

// open makes the namespace or adopts it, and begins the journal.
func (j *journal) open(host *namespace.Namespace, name string, tell func(string)) (*namespace.Namespace, error) {
	ns, err := namespace.Open(name)
	if err != nil && !namespace.Vacant(err) {
		return nil, err
	}
	if j.id.Inode != 0 && (err != nil || !j.id.Is(ns)) {
		// Another one had the name when a start was cut short.
		if err := j.down(host, name, false, tell); err != nil {
			return nil, err
		}
	}
	if err != nil {
		if err := create(name, j.begin); err != nil {
			*j = journal{path: j.path}
			return nil, err
		}
		return namespace.Open(name)
	}
	if j.id.Inode == 0 {
		if j.id, err = ns.ID(); err == nil {
			err = j.write()
		}
		if err != nil {
			ns.Close()
			return nil, err
		}
	}
	if !j.made {
		tell(fmt.Sprintf("network namespace %q is there already, and stays when this service stops", name))
	}
	return ns, nil
}

// down undoes the journal, last things first. For a restart, the namespace is
// kept where processes are in it.
func (j *journal) down(host *namespace.Namespace, name string, restart bool, tell func(string)) error {
	if j.id.Inode == 0 {
		return j.remove()
	}
	inside := j.id.Find(name)
	named := inside != nil && inside.Name() == name
	switch {
	case inside == nil:
		tell(fmt.Sprintf("network namespace %q is gone", name))
	case !named:
		tell(fmt.Sprintf("network namespace %q has lost its name, and lives on", name))
	}
	if inside != nil {
		defer inside.Close()
	}

	kept := restart && j.made && named && inhabited(inside)
	err := j.undoSteps(both{host, inside}, func(step) bool { return true }, kept, tell)
	if kept && err == nil {
		tell(fmt.Sprintf("network namespace %q is kept, for the processes in it", name))
	}
	if err != nil || kept {
		// Where something is left the namespace stays too: an interface in it
		// might go with it.
		return errors.Join(err, j.write())
	}
	if j.made && (named || stale(name)) {
		if err := remove(name); err != nil {
			return err
		}
	}
	return j.remove()
}

// inhabited reports whether a process is in ns, or may be.
func inhabited(ns *namespace.Namespace) bool {
	link := fmt.Sprintf("net:[%d]", ns.Inode())
	processes, _ := files.ReadDir("/proc")
	return slices.ContainsFunc(processes, func(process fs.DirEntry) bool {
		pid, notProcess := strconv.Atoi(process.Name())
		return notProcess == nil && (files.NSLink(pid, "net") == link || files.Stuck(pid))
	})
}
