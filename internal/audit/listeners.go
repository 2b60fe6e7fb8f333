package audit

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
)

// Socket is an IP socket that waits for what comes in.
type Socket struct {
	Protocol string // TCP, UDP, raw, UDP-Lite, SCTP or DCCP
	Port     int    // of raw the number of the protocol
	// Interface is the index of the device that it is bound to; 0 if to none.
	Interface int

	cgroup uint64 // the one that it was made in, see cgroup.IDs
	inode  uint64 // as in /proc/PID/fd; of what the kernel has made for itself, in none
}

// listeners lists the sockets of a network namespace, once, as sock_diag(7) has
// them. The sockets that the kernel makes on behalf of a process are among
// them.
func (s *netns) listeners() ([]Socket, error) {
	if s.listed {
		return s.sockets, s.socketsErr
	}
	s.listed = true
	s.socketsErr = s.do(func() error {
		devices, err := netlink.LinkList()
		if err != nil {
			return err
		}
		s.masters = map[int]int{}
		for _, device := range devices {
			s.masters[device.Attrs().Index] = device.Attrs().MasterIndex
		}
		s.sockets, err = listening()
		return err
	})
	return s.sockets, s.socketsErr
}

// States of sockets, of net/tcp_states.h.
const (
	closed        = 1 << 7  // TCP_CLOSE: of UDP all that are not connected
	listen        = 1 << 10 // TCP_LISTEN
	boundInactive = 1 << 13 // TCP_BOUND_INACTIVE, since Linux 6.8
)

// protocols are those whose sockets sock_diag(7) lists, and in which states they
// can hear what comes in. To SCTP and to an older DCCP the last state is another
// one, of a connection.
//
// To ask costs next to nothing where a protocol is not in use: until its module
// is loaded the kernel answers ENOENT, and loads nothing for the question
// (sock_load_diag_module in net/core/sock.c). What lists UDP lists UDP-Lite.
var protocols = []struct {
	number uint8
	name   string
	states uint32
}{
	{unix.IPPROTO_TCP, "TCP", closed | listen | boundInactive},
	{unix.IPPROTO_UDP, "UDP", closed | listen | boundInactive},
	{unix.IPPROTO_RAW, "raw", closed | listen | boundInactive},
	{unix.IPPROTO_UDPLITE, "UDP-Lite", closed},
	{unix.IPPROTO_SCTP, "SCTP", closed | listen},
	{unix.IPPROTO_DCCP, "DCCP", closed | listen},
}

// listening lists such sockets of the calling thread's network namespace.
func listening() ([]Socket, error) {
	var sockets []Socket
	for _, protocol := range protocols {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			found, err := dump(family, protocol.number, protocol.states)
			if err == unix.ENOENT {
				break // it lists such sockets of neither family
			}
			if err == unix.EINVAL || err == unix.EOPNOTSUPP {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, socket := range found {
				socket.Protocol = protocol.name
				sockets = append(sockets, socket)
			}
		}
	}
	return sockets, nil
}

// dump asks the kernel for the sockets of one kind: struct inet_diag_req_v2 and
// struct inet_diag_msg of linux/inet_diag.h.
func dump(family, protocol uint8, states uint32) ([]Socket, error) {
	const (
		message    = 72 // size of struct inet_diag_msg
		sourcePort = 4  // offsets in it
		ifindex    = 40
		inode      = 68
		cgroupID   = 21 // INET_DIAG_CGROUP_ID
	)
	request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	request.AddData(diagRequest{family, protocol, states})
	answers, err := request.Execute(unix.NETLINK_INET_DIAG, 0)
	if err != nil {
		return nil, err
	}
	var sockets []Socket
	for _, m := range answers {
		if len(m) < message {
			continue
		}
		socket := Socket{
			Port:      int(binary.BigEndian.Uint16(m[sourcePort:])),
			Interface: int(binary.NativeEndian.Uint32(m[ifindex:])),
			inode:     uint64(binary.NativeEndian.Uint32(m[inode:])),
		}
		attributes, err := nl.ParseRouteAttr(m[message:])
		if err != nil {
			return nil, err
		}
		for _, a := range attributes {
			if a.Attr.Type&^unix.NLA_F_NESTED == cgroupID && len(a.Value) == 8 {
				socket.cgroup = binary.NativeEndian.Uint64(a.Value)
			}
		}
		sockets = append(sockets, socket)
	}
	return sockets, nil
}

// diagRequest is struct inet_diag_req_v2 of linux/inet_diag.h, for a dump.
type diagRequest struct {
	family, protocol uint8
	states           uint32
}

func (r diagRequest) Len() int { return 56 }

func (r diagRequest) Serialize() []byte {
	b := make([]byte, r.Len())
	b[0], b[1] = r.family, r.protocol
	binary.NativeEndian.PutUint32(b[4:], r.states)
	return b
}

// judgeListeners looks for sockets of s that wait for what comes in from
// elsewhere than its VRF: those that its processes have, and those that were
// made in its cgroup, by whomever.
func (a *auditor) judgeListeners(s *Service, home *netns, device Interface) {
	sockets, err := home.listeners()
	if err != nil {
		a.unseen.Programs++
		return
	}
	cgroups, err := cgroup.IDs(s.Record.Cgroup)
	if err != nil {
		a.unseen.Programs++
		return
	}
	var inodes map[uint64]bool
	var stray []Socket
	for _, socket := range sockets {
		// What a device of the VRF hears is the VRF's.
		if socket.Interface == device.Index || home.masters[socket.Interface] == device.Index {
			continue
		}
		if !slices.Contains(cgroups, socket.cgroup) {
			if inodes == nil {
				inodes = a.socketsOf(s, home.inode)
			}
			if !inodes[socket.inode] {
				continue
			}
		}
		if !slices.ContainsFunc(stray, func(other Socket) bool {
			return other.Protocol == socket.Protocol && other.Port == socket.Port
		}) {
			stray = append(stray, socket)
		}
	}
	if len(stray) > 0 {
		s.addRestart(finding.Sockets, finding.SocketsUnbound, stray, finding.VRF(s.VRF()))
	}
}

// socketsOf are the sockets that daemons of s in a network namespace have, by their
// inodes.
func (a *auditor) socketsOf(s *Service, netns uint64) map[uint64]bool {
	const most = 500_000 // descriptors, in one Run: seconds
	inodes := map[uint64]bool{}
	for _, p := range s.Daemons() {
		if p.Inode != netns {
			continue
		}
		found, err := files.Descriptors(p.PID, most-a.descriptors+1)
		a.descriptors += len(found)
		if a.descriptors > most || errors.Is(err, files.ErrStuck) {
			a.unseen.Stuck++
			break
		}
		for _, d := range found {
			number, socket := strings.CutPrefix(d.Target, "socket:[")
			if inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64); err == nil && socket {
				inodes[inode] = true
			}
		}
	}
	return inodes
}
