package egress

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// patience is how long anything that is asked may take to answer.
const patience = 2 * time.Second

// message is what a list consists of, with its attributes by their numbers.
type message struct {
	head       unix.RtMsg
	attributes map[uint16][]byte
}

// number is an attribute of 32 bits, or 0.
func (m *message) number(attribute uint16) int {
	if value := m.attributes[attribute]; len(value) >= 4 {
		return int(binary.NativeEndian.Uint32(value))
	}
	return 0
}

// dump asks the kernel for a list, and calls each for no more than most of it;
// more says that there was more. What the kernel has left it keeps: package
// netlink would fetch it. A list that changes is asked for again.
func dump(request, family, most int, each func(*message)) (more bool, err error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer socket.Close()
	timeout := unix.NsecToTimeval(int64(patience))
	if err := socket.SetReceiveTimeout(&timeout); err != nil {
		return false, err
	}
	question := nl.NewNetlinkRequest(request, unix.NLM_F_DUMP)
	question.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family)}})
	if err := socket.Send(question); err != nil {
		return false, err
	}
	for seen, changed := 0, false; ; {
		messages, _, err := socket.Receive()
		if err != nil {
			return false, err
		}
		for _, m := range messages {
			changed = changed || m.Header.Flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case m.Header.Seq != question.Seq:
				continue
			case m.Header.Type == unix.NLMSG_DONE && changed:
				return false, netlink.ErrDumpInterrupted
			case m.Header.Type == unix.NLMSG_DONE:
				return false, nil
			case m.Header.Type == unix.NLMSG_ERROR:
				return false, syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
			case seen == most:
				return true, nil
			}
			seen++
			found := message{head: nl.DeserializeRtMsg(m.Data).RtMsg, attributes: map[uint16][]byte{}}
			attributes, err := nl.ParseRouteAttr(m.Data[unix.SizeofRtMsg:])
			if err != nil {
				return false, err
			}
			for _, a := range attributes {
				found.attributes[a.Attr.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = a.Value
			}
			each(&found)
		}
	}
}

// again is dump, a few times if the list changes while it is read; begin is
// called before each.
func again(request, family, most int, begin func(), each func(*message)) (more bool, err error) {
	for range 3 {
		begin()
		if more, err = dump(request, family, most, each); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return more, err
}

// route is one of a routing table.
type route struct {
	kind, table int
	to          netip.Prefix
	links       []int // their indexes; several of a route with several hops
}

// routes lists those of all tables; more says that there are more.
func routes(family int) (found []route, more bool, err error) {
	more, err = again(unix.RTM_GETROUTE, family, mostRoutes, func() { found = nil }, func(m *message) {
		r := route{kind: int(m.head.Type), table: m.table()}
		to, ok := netip.AddrFromSlice(m.attributes[unix.RTA_DST])
		switch {
		case m.head.Flags&unix.RTM_F_CLONED != 0 || int(m.head.Family) != family:
			return
		case !ok && family == unix.AF_INET:
			to = netip.IPv4Unspecified()
		case !ok:
			to = netip.IPv6Unspecified()
		}
		r.to = netip.PrefixFrom(to, int(m.head.Dst_len))
		if link := m.number(unix.RTA_OIF); link != 0 {
			r.links = append(r.links, link)
		}
		for rest := m.attributes[unix.RTA_MULTIPATH]; len(rest) >= unix.SizeofRtNexthop; {
			hop := nl.DeserializeRtNexthop(rest)
			r.links = append(r.links, int(hop.Ifindex))
			rest = rest[min(len(rest), max(unix.SizeofRtNexthop, int(hop.RtNexthop.Len))):]
		}
		found = append(found, r)
	})
	return found, more, err
}

// ruleTables are the numbers of the tables that rules name; more says that there
// are more rules.
func ruleTables(family int) (tables map[int]bool, more bool, err error) {
	more, err = again(unix.RTM_GETRULE, family, mostRules, func() { tables = map[int]bool{} }, func(m *message) {
		tables[m.table()] = true // fib_rule_hdr is laid out as rtmsg, FRA_TABLE is RTA_TABLE
	})
	return tables, more, err
}

// table is the number of one, of which the head has room for 8 bits.
func (m *message) table() int {
	if number := m.number(unix.RTA_TABLE); number != 0 {
		return number
	}
	return int(m.head.Table)
}
