package audit

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/namespace"
)

// space is a network namespace that exists: one with a name, or one that a process
// of a service is in.
type space struct {
	inode  uint64
	name   string // empty if it has none
	path   string // by which it can be opened
	looked bool
	err    error // why what follows could not be seen
	cookie uint64
	links  []Interface

	heard      bool // and what was seen of its sockets
	sockets    []Socket
	masters    map[int]int // which device each device is enslaved to
	socketsErr error
}

// name is one in the directory of named namespaces.
type name struct {
	name  string
	space *space // nil where err is set
	err   error  // as of namespace.Open
}

// survey looks at processes and namespaces, and finds out which process is of
// which service.
func (l *lookout) survey(all bool) error {
	var err error
	if l.processes, err = scan(); err != nil {
		return err
	}
	if _, err := os.Stat("/proc/1/stat"); err != nil {
		l.unseen.Everybody = true // proc(5), hidepid
	}
	l.host, _ = inodeOf(namespace.Host)
	l.spaces = map[uint64]*space{}
	l.etc = map[string][]etcFile{}
	for _, n := range namespace.Names() {
		l.addName(n)
	}
	if !all {
		l.names = nil
	}
	l.assign()
	return nil
}

func (l *lookout) addName(n string) {
	ns, err := namespace.Open(n)
	if err != nil {
		l.names = append(l.names, &name{name: n, err: err})
		return
	}
	defer ns.Close()
	s := l.space(ns.Inode(), n)
	if s.name == "" {
		s.name = n
	}
	l.names = append(l.names, &name{name: n, space: s})
}

// space is the one of that inode, which path leads to.
func (l *lookout) space(inode uint64, path string) *space {
	s := l.spaces[inode]
	if s == nil {
		s = &space{inode: inode, path: path}
		l.spaces[inode] = s
	}
	return s
}

// look goes inside, once, for what is only seen there. It needs CAP_SYS_ADMIN.
func (s *space) look() {
	if s.looked {
		return
	}
	s.looked = true
	s.err = s.do(func() error {
		s.cookie = namespace.CurrentCookie()
		links, err := links()
		s.links = links
		return err
	})
}

// do calls f inside.
func (s *space) do(f func() error) error {
	ns, err := namespace.Open(s.path)
	if err != nil {
		return err
	}
	defer ns.Close()
	if ns.Inode() != s.inode {
		return errors.New("it is another one by now")
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

// is reports whether s is the namespace of that ID. Where this user cannot see the
// cookie, the inode has to do.
func (s *space) is(id namespace.ID) bool {
	if s.inode != id.Inode {
		return false
	}
	s.look()
	return s.err != nil || s.cookie == id.Cookie
}

// namespaces describes those with a name.
func (l *lookout) namespaces() []Namespace {
	inside := map[uint64][]*process{}
	for _, p := range l.processes {
		inside[p.inode] = append(inside[p.inode], p)
	}
	var result []Namespace
	for _, n := range l.names {
		result = append(result, l.describe(n, inside))
	}
	return result
}

func (l *lookout) describe(n *name, inside map[uint64][]*process) Namespace {
	described := Namespace{Name: n.name}
	for _, s := range l.services {
		if namespace.BaseName(s.Netns) == n.name {
			described.Services = append(described.Services, s.Name)
		}
	}
	if n.space == nil {
		described.Err = n.err
		return described
	}
	described.Inode = n.space.inode
	n.space.look()
	if n.space.err != nil {
		l.unseen.Namespaces++
	}
	described.Interfaces = n.space.links
	for _, p := range inside[n.space.inode] {
		if owner := l.owners[p.pid]; owner != "" {
			described.Services = append(described.Services, owner)
			continue
		}
		described.Processes = append(described.Processes, l.process(p))
	}
	slices.Sort(described.Services)
	described.Services = slices.Compact(described.Services)
	slices.SortFunc(described.Processes, byPID)
	return described
}

func byPID(a, b Process) int { return cmp.Compare(a.PID, b.PID) }

// process describes p, without its position.
func (l *lookout) process(p *process) Process {
	described := Process{PID: p.pid, Name: p.name, Inode: p.inode}
	switch s := l.spaces[p.inode]; {
	case p.inode == 0:
	case p.inode == l.host:
		described.Host = true
	case s != nil:
		described.Netns = s.name
	}
	return described
}

// procPath is the namespace of a process.
func procPath(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/ns/net" }
