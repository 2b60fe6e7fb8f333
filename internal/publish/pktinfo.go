package publish

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// packetInfo is the address of the host that a datagram was sent to, for the
// answer to come from: struct in_pktinfo (ip(7)) or in6_pktinfo (ipv6(7)),
// which the kernel reports where the socket is bound to no single address.
type packetInfo struct {
	data [unix.SizeofInet6Pktinfo]byte
	size uint32 // 0: not known, and not needed
}

// packetControl is the control message that has it (cmsg(3)).
type packetControl struct {
	header unix.Cmsghdr
	data   [unix.SizeofInet6Pktinfo + 4]byte // the kernel pads it
}

// info reads what was received.
func (p *packetControl) info(length int) (local packetInfo) {
	switch {
	case length < unix.CmsgLen(unix.SizeofInet4Pktinfo):
	case p.header.Level == unix.IPPROTO_IP && p.header.Type == unix.IP_PKTINFO:
		info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&p.data))
		info.Ifindex = 0 // the route decides
		info.Addr = [4]byte{}
		local.size = unix.SizeofInet4Pktinfo
	case p.header.Level == unix.IPPROTO_IPV6 && p.header.Type == unix.IPV6_PKTINFO:
		info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&p.data))
		if info.Addr[0] != 0xfe || info.Addr[1]&0xc0 != 0x80 { // link-local ones are an interface's
			info.Ifindex = 0
		}
		local.size = unix.SizeofInet6Pktinfo
	}
	copy(local.data[:], p.data[:local.size])
	return local
}

// set is for what is to be sent.
func (p *packetControl) set(local *packetInfo) {
	p.header = unix.Cmsghdr{Level: unix.IPPROTO_IP, Type: unix.IP_PKTINFO}
	if local.size == unix.SizeofInet6Pktinfo {
		p.header = unix.Cmsghdr{Level: unix.IPPROTO_IPV6, Type: unix.IPV6_PKTINFO}
	}
	p.header.SetLen(unix.CmsgLen(int(local.size)))
	copy(p.data[:], local.data[:local.size])
}
