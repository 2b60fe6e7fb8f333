package publish

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// name is a struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)).
type name struct {
	raw  [unix.SizeofSockaddrInet6]byte
	size uint32
}

func newName(a netip.AddrPort) name {
	var n name
	port := [2]byte{byte(a.Port() >> 8), byte(a.Port())}
	if a.Addr().Is4() {
		s := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
		*(*[2]byte)(unsafe.Pointer(&s.Port)) = port
		n.size = unix.SizeofSockaddrInet4
		copy(n.raw[:], (*[unix.SizeofSockaddrInet4]byte)(unsafe.Pointer(&s))[:])
		return n
	}
	s := unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.Addr().As16()}
	*(*[2]byte)(unsafe.Pointer(&s.Port)) = port
	n.size = unix.SizeofSockaddrInet6
	copy(n.raw[:], (*[unix.SizeofSockaddrInet6]byte)(unsafe.Pointer(&s))[:])
	return n
}
