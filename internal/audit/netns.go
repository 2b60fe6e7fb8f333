package audit

import (
	"cmp"
	"errors"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/namespace"
)

// netns is a network namespace that exists: one with a name, or one that a
// process of a service is in.
type netns struct {
	inode     uint64
	name      string // empty if it has none
	path      string // by which it can be opened
	inspected bool
	err       error // why what follows could not be seen
	cookie    uint64
	told      bool // the cookie is known
	links     []Interface

	listed     bool // the sockets were listed
	sockets    []Socket
	masters    map[int]int // which device each device is enslaved to
	socketsErr error
}

// namedNetns is one in the directory of named namespaces.
type namedNetns struct {
	name  string
	netns *netns // nil where err is set
	err   error  // as of namespace.Open
}

// scan looks at processes and namespaces, and finds out which process is of
// which service.
func (a *auditor) scan(all bool) error {
	var err error
	if a.processes, a.unseen.Stuck, err = readProcesses(); err != nil {
		return err
	}
	if _, err := os.Stat("/proc/1/stat"); err != nil {
		a.unseen.Everybody = true // proc(5), hidepid
	}
	a.host, _ = inodeOf(namespace.Host)
	a.hostMounts, _ = inodeOf("/proc/1/ns/mnt")
	a.byInode = map[uint64]*netns{}
	a.etc = map[string][]etcFile{}
	for _, n := range namespace.Names() {
		a.addName(n)
	}
	if !all {
		a.names = nil
	}
	a.assign()
	return nil
}

func (a *auditor) addName(n string) {
	ns, err := namespace.Look(n)
	if err != nil {
		a.names = append(a.names, &namedNetns{name: n, err: err})
		return
	}
	defer ns.Close()
	s := a.netnsOf(ns.Inode(), n)
	if s.name == "" {
		s.name = n
	}
	a.names = append(a.names, &namedNetns{name: n, netns: s})
}

// netnsOf is the one of that inode, which path leads to.
func (a *auditor) netnsOf(inode uint64, path string) *netns {
	s := a.byInode[inode]
	if s == nil {
		s = &netns{inode: inode, path: path}
		a.byInode[inode] = s
	}
	return s
}

// inspect goes inside, once, for what is only seen there. It needs
// CAP_SYS_ADMIN.
func (s *netns) inspect() {
	if s.inspected {
		return
	}
	s.inspected = true
	s.err = s.do(func() (err error) {
		if s.cookie, err = namespace.CurrentCookie(); err != nil {
			return err
		}
		s.told = true
		s.links, err = links()
		return err
	})
}

// do calls f inside.
func (s *netns) do(f func() error) error {
	ns, err := namespace.Open(s.path)
	if err != nil {
		return err
	}
	defer ns.Close()
	if ns.Inode() != s.inode {
		return errors.New("it was replaced meanwhile")
	}
	return ns.Do(f)
}

// links lists the interfaces of the calling thread's namespace.
func links() ([]Interface, error) {
	var found []netlink.Link
	var err error
	for range 3 { // a list that changed meanwhile may have gaps
		if found, err = netlink.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	var interfaces []Interface
	for _, link := range found {
		a := link.Attrs()
		interfaces = append(interfaces, Interface{
			Name: a.Name, Index: a.Index, Kind: link.Type(), Up: a.RawFlags&unix.IFF_UP != 0,
		})
	}
	slices.SortFunc(interfaces, func(a, b Interface) int { return cmp.Compare(a.Index, b.Index) })
	return interfaces, nil
}

// is reports whether s is the namespace of that ID. Where this user cannot see
// the cookie, the inode has to do.
func (s *netns) is(id namespace.ID) bool {
	if s.inode != id.Inode {
		return false
	}
	s.inspect()
	return !s.told || s.cookie == id.Cookie
}

// namespaces describes those with a name.
func (a *auditor) namespaces() []Namespace {
	inside := map[uint64][]*process{}
	for _, p := range a.processes {
		inside[p.inode] = append(inside[p.inode], p)
	}
	published := Published()
	var result []Namespace
	for _, n := range a.names {
		described := a.describe(n, inside)
		described.Published = published[described.Inode]
		result = append(result, described)
	}
	return result
}

func (a *auditor) describe(n *namedNetns, inside map[uint64][]*process) Namespace {
	described := Namespace{Name: n.name}
	for _, s := range a.services {
		if namespace.BaseName(s.Netns) == n.name {
			described.Services = append(described.Services, s.Name)
		}
	}
	if n.netns == nil {
		described.Err = n.err
		return described
	}
	described.Inode = n.netns.inode
	n.netns.inspect()
	if n.netns.err != nil {
		a.unseen.Namespaces++
	}
	described.Interfaces = n.netns.links
	for _, p := range inside[n.netns.inode] {
		if owner := a.owners[p.pid]; owner != "" {
			described.Services = append(described.Services, owner)
			continue
		}
		described.Processes = append(described.Processes, a.process(p))
	}
	slices.Sort(described.Services)
	described.Services = slices.Compact(described.Services)
	slices.SortFunc(described.Processes, byPID)
	return described
}

func byPID(a, b Process) int { return cmp.Compare(a.PID, b.PID) }

// process describes p, without its position.
func (a *auditor) process(p *process) Process {
	described := Process{PID: p.pid, Name: p.name, Inode: p.inode, start: p.start}
	switch s := a.byInode[p.inode]; {
	case p.inode == 0:
	case p.inode == a.host:
		described.Host = true
	case s != nil:
		described.Netns = s.name
	}
	return described
}

// procPath is the namespace of a process.
func procPath(pid int) string { return files.Proc(pid) + "/ns/net" }
