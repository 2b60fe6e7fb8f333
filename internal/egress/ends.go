package egress

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"

	"openrc-netns/internal/files"
	"openrc-netns/internal/namespace"
)

// Peer is one of a WireGuard interface.
type Peer struct {
	Endpoint string // empty if it is not known yet
	// Handshake is how long ago the last one was; negative if there was none.
	Handshake time.Duration
	// Through is how the endpoint is reached: from the host's network, or where
	// OwnNetwork says so from that of the process that holds the interface.
	Through    Route
	OwnNetwork bool
}

// end is what a link says of its other end.
type end struct {
	index int
	kind  string
	peer  int // the index of a veth's other end, or of what a link is stacked on; 0 if it has none
	// nsid is the number of the namespace with the other end, as ip-netns(8)
	// set has it; -1 if that is this one.
	nsid  int
	peers []Peer
}

func endOf(link netlink.Link) end {
	a := link.Attrs()
	e := end{index: a.Index, kind: link.Type(), peer: a.ParentIndex, nsid: a.NetNsID}
	if e.kind == "wireguard" || e.kind == "tuntap" || e.kind == "tun" {
		e.peers = wireguardPeers(a.Name)
	}
	return e
}

// wireguardPeers asks the kernel, or the wireguard-go that made the interface.
func wireguardPeers(name string) []Peer {
	client, err := wgctrl.New()
	if err != nil {
		return nil
	}
	defer client.Close()
	device, err := client.Device(name)
	if err != nil {
		return nil
	}
	var peers []Peer
	for _, p := range device.Peers {
		peer := Peer{Handshake: -1}
		if p.Endpoint != nil {
			peer.Endpoint = p.Endpoint.String()
		}
		if !p.LastHandshakeTime.IsZero() {
			peer.Handshake = max(0, time.Since(p.LastHandshakeTime))
		}
		peers = append(peers, peer)
	}
	return peers
}

// trace follows each exit to its other end, from outside.
func (s *survey) trace(ns *namespace.Namespace) {
	numbers := map[int]*place{} // by the number that the namespace has given them
	for i := range s.report.Exits {
		exit, e := &s.report.Exits[i], s.ends[i]
		switch {
		case e.kind == "wireguard":
			exit.Leads, exit.Peers = "WireGuard", e.peers
			reach(exit.Peers, namespace.Host)
		case exit.Kind == "tun":
			holder := findHolder(ns, exit.Interface)
			if holder == nil {
				continue
			}
			exit.Leads = holder.words(ns)
			if !holder.serves(exit.Interface) {
				continue // the peers are those of another interface of that name
			}
			exit.Peers = e.peers
			reach(exit.Peers, holder.netns())
		case e.peer != 0:
			if numbers[e.nsid] == nil {
				numbers[e.nsid] = findNumber(ns, e.nsid)
			}
			at := numbers[e.nsid]
			name := at.link(e.peer)
			if exit.Kind == "veth" {
				exit.Leads = fmt.Sprintf("to %s %s", name, at.words)
			} else {
				exit.Leads = fmt.Sprintf("on %s %s", name, at.words)
			}
		}
	}
}

// reach finds out how peers are reached from a network namespace.
func reach(peers []Peer, netns string) {
	ns, err := namespace.Open(netns)
	if err != nil {
		return
	}
	defer ns.Close()
	own := true
	if host, err := namespace.Open(namespace.Host); err == nil {
		own = host.Inode() != ns.Inode()
		host.Close()
	}
	_ = ns.Do(func() error {
		s := survey{links: map[int]netlink.Link{}}
		links, err := retry(netlink.LinkList)
		for _, link := range links {
			s.links[link.Attrs().Index] = link
		}
		for i := range peers {
			peers[i].OwnNetwork = own
			host, _, _ := net.SplitHostPort(peers[i].Endpoint)
			if ip := net.ParseIP(host); ip != nil {
				peers[i].Through = s.route(ip)
			}
		}
		return err
	})
}

// place is a namespace that has a number in another one.
type place struct {
	words string // where that is
	path  string // by which it can be opened; empty if it cannot
}

// findNumber looks for the namespace that ns knows by a number: itself, the
// host's, or one with a name.
func findNumber(ns *namespace.Namespace, nsid int) *place {
	if nsid < 0 {
		return &place{"in the same namespace", ""}
	}
	found := &place{"in another network namespace", ""}
	_ = ns.Do(func() error {
		if id, err := netlink.GetNetNsIdByPid(1); err == nil && id == nsid {
			found = &place{"on the host's network", namespace.Host}
			return nil
		}
		for _, name := range namespace.Names() {
			other, err := namespace.Open(name)
			if err != nil {
				continue
			}
			file, err := os.Open(filepath.Join(namespace.Dir, name))
			if err == nil {
				id, err := netlink.GetNetNsIdByFd(int(file.Fd()))
				file.Close()
				if err == nil && id == nsid {
					found = &place{fmt.Sprintf("in network namespace %q", name), name}
				}
			}
			other.Close()
		}
		return nil
	})
	return found
}

// link is the name of a link there.
func (p *place) link(index int) string {
	name := fmt.Sprintf("interface %d", index)
	if p.path == "" {
		return name
	}
	ns, err := namespace.Open(p.path)
	if err != nil {
		return name
	}
	defer ns.Close()
	_ = ns.Do(func() error {
		link, err := netlink.LinkByIndex(index)
		if err == nil {
			name = link.Attrs().Name
		}
		return err
	})
	return name
}

// holder is the process that holds a tun interface, and whose own network its
// packets leave by.
type holder int

// findHolder returns nil where nobody is found.
func findHolder(ns *namespace.Namespace, name string) *holder {
	processes, _ := files.ReadDir("/proc")
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue
		}
		dir := fmt.Sprintf("/proc/%d/", pid)
		descriptors, _ := files.ReadDir(dir + "fd")
		for _, descriptor := range descriptors {
			if target, _ := os.Readlink(dir + "fd/" + descriptor.Name()); target != "/dev/net/tun" {
				continue
			}
			info, _ := files.Read(dir + "fdinfo/" + descriptor.Name())
			fd, _ := strconv.Atoi(descriptor.Name())
			if strings.Contains(string(info), "iff:\t"+name+"\n") && tunIn(ns, pid, fd) {
				found := holder(pid)
				return &found
			}
		}
	}
	return nil
}

func (h holder) netns() string { return fmt.Sprintf("/proc/%d/ns/net", h) }

// words are which process it is, and where its packets leave.
func (h holder) words(ns *namespace.Namespace) string {
	comm, _ := files.Read(fmt.Sprintf("/proc/%d/comm", h))
	where := "in a network namespace of its own"
	link, _ := os.Readlink(h.netns())
	host, _ := os.Readlink(namespace.Host)
	switch {
	case link == host:
		where = "on the host's network"
	case link == fmt.Sprintf("net:[%d]", ns.Inode()):
		where = "in the same namespace"
	}
	return fmt.Sprintf("of process %d (%s) %s", h, strings.TrimSpace(string(comm)), where)
}

// serves reports whether it has the socket that answers for the WireGuard
// interface of that name: there is one for a name, in whatever namespaces
// interfaces have it.
func (h holder) serves(name string) bool {
	dir := fmt.Sprintf("/proc/%d/", h)
	sockets, _ := files.Read(dir + "net/unix")
	links := map[string]bool{}
	for line := range strings.Lines(string(sockets)) {
		// Num RefCount Protocol Flags Type St Inode Path
		if fields := strings.Fields(line); len(fields) == 8 && strings.HasSuffix(fields[7], "/wireguard/"+name+".sock") {
			links["socket:["+fields[6]+"]"] = true
		}
	}
	descriptors, _ := files.ReadDir(dir + "fd")
	return slices.ContainsFunc(descriptors, func(descriptor os.DirEntry) bool {
		target, _ := os.Readlink(dir + "fd/" + descriptor.Name())
		return links[target]
	})
}

// tunIn reports whether the tun device behind a descriptor of another process
// is in ns: the same name may be in use elsewhere. Before Linux 5.12
// (TUNGETDEVNETNS) it is taken for granted.
func tunIn(ns *namespace.Namespace, pid, fd int) bool {
	const tunGetDevNetns = 0x54e3 // _IO('T', 227) of linux/if_tun.h
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ENOSYS)
	}
	defer unix.Close(pidfd)
	tun, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return errors.Is(err, unix.ENOSYS)
	}
	defer unix.Close(tun)
	got, err := unix.IoctlRetInt(tun, tunGetDevNetns)
	if err != nil {
		return true
	}
	defer unix.Close(got)
	var stat unix.Stat_t
	return unix.Fstat(got, &stat) == nil && stat.Ino == ns.Inode()
}
