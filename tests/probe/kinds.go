package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rarerKinds are neither TCP, UDP nor raw IP.
var rarerKinds = []socketKind{
	{"MPTCP", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP},
	{"SCTP one to one", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP},
	{"SCTP one to many", unix.AF_INET6, unix.SOCK_SEQPACKET, unix.IPPROTO_SCTP},
	{"packet", unix.AF_PACKET, unix.SOCK_RAW, 0},
	{"RDS", unix.AF_RDS, unix.SOCK_SEQPACKET, 0},
	{"RxRPC", unix.AF_RXRPC, unix.SOCK_DGRAM, unix.AF_INET},
	{"TIPC", unix.AF_TIPC, unix.SOCK_RDM, 0},
	{"vsock", unix.AF_VSOCK, unix.SOCK_STREAM, 0},
}

const sctpPort = 7

// sctp waits for a client, and prints what the sockets are bound to that the
// kernel has made for it: by accept(2), and by SCTP_SOCKOPT_PEELOFF (sctp(7)).
func sctp() error {
	const associations, peeloff = 29, 102 // SCTP_GET_ASSOC_ID_LIST and SCTP_SOCKOPT_PEELOFF of linux/sctp.h
	one, err := sctpListen(unix.SOCK_STREAM, sctpPort)
	if err != nil {
		return err
	}
	many, err := sctpListen(unix.SOCK_SEQPACKET, sctpPort+1)
	if err != nil {
		return err
	}
	accepted, _, err := unix.Accept(one)
	if err != nil {
		return err
	}
	var list struct {
		count uint32
		ids   [8]int32
	}
	for range 1200 {
		if err = getsockopt(many, associations, unsafe.Pointer(&list), unsafe.Sizeof(list)); err == nil && list.count > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if list.count == 0 {
		return fmt.Errorf("no association: %v", err)
	}
	peeled := struct{ id, fd int32 }{id: list.ids[0]}
	if err := getsockopt(many, peeloff, unsafe.Pointer(&peeled), unsafe.Sizeof(peeled)); err != nil {
		return err
	}
	return errors.Join(printBound("accepted", accepted), printBound("peeled off", int(peeled.fd)))
}

func sctpListen(kind, port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, kind, unix.IPPROTO_SCTP)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
		return -1, err
	}
	return fd, unix.Listen(fd, 5)
}

// askSCTP is the client of sctp, until that ends.
func askSCTP(host string) error {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	var fds [2]int
	for i := range fds {
		if fds[i], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP); err != nil {
			return err
		}
		if err := unix.Connect(fds[i], &unix.SockaddrInet4{Port: sctpPort + i, Addr: address.As4()}); err != nil {
			return err
		}
	}
	_, _ = unix.Read(fds[0], make([]byte, 1))
	return nil
}

func getsockopt(fd, option int, value unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_SCTP, uintptr(option),
		uintptr(value), uintptr(unsafe.Pointer(&length)), 0)
	return failure(errno)
}

// stray listens for TCP on a port with a socket that is bound to no device,
// which a process of a service can have from elsewhere or can free, and stays.
func stray(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, 0); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 5); err != nil {
		return err
	}
	return stay()
}

// rxrpc has the kernel make a UDP socket of its own, and stays.
func rxrpc(port int) error {
	fd, err := unix.Socket(unix.AF_RXRPC, unix.SOCK_DGRAM, unix.AF_INET)
	if err != nil {
		return err
	}
	// struct sockaddr_rxrpc of linux/rxrpc.h, with a sockaddr_in.
	address := struct {
		family, service, kind, length uint16
		transport                     unix.RawSockaddrInet4
		_                             [12]byte
	}{family: unix.AF_RXRPC, service: 1, kind: unix.SOCK_DGRAM, length: unix.SizeofSockaddrInet4}
	address.transport.Family = unix.AF_INET
	address.transport.Port = uint16(port)>>8 | uint16(port)<<8
	_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&address)), unsafe.Sizeof(address))
	if errno != 0 {
		return errno
	}
	return stay()
}

// stay does nothing until it is killed.
func stay() error {
	for {
		time.Sleep(time.Hour)
	}
}

// say prints what answer reads.
func say(err error) error {
	fmt.Println(errnoOf(err))
	return nil
}

// failure is what a system call has answered, as an error.
func failure(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// errnoOf is the kernel's word for an error, or "done".
func errnoOf(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &errno):
		return strings.ToUpper(unix.ErrnoName(errno))
	}
	return err.Error()
}
