package publish

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/sandbox"
)

// The relay asks the connector for sockets over a pair of sockets that keep
// messages apart (SOCK_SEQPACKET), and has as many answers as requests, with a
// descriptor for each that went well (SCM_RIGHTS in unix(7)). Both messages are
// lists of two words: the relay's own number of the connection, and the number
// of the entry or the error.
const (
	wordSize   = 4
	pairSize   = 2 * wordSize
	maxMessage = 64  // pairs in a message; the kernel takes 253 descriptors
	maxAsked   = 128 // pairs without an answer: both ways have room for them
)

// connectorCalls are the system calls that a connector needs beside those of
// the runtime: IP sockets, and a way to the relay.
func connectorCalls() []sandbox.Call {
	calls := []sandbox.Call{
		{Number: unix.SYS_EPOLL_PWAIT},
		{Number: unix.SYS_CONNECT},
		{Number: unix.SYS_SENDMSG, Args: []sandbox.Arg{sandbox.Is(2, unix.MSG_NOSIGNAL)}},
	}
	for _, domain := range []uint32{unix.AF_INET, unix.AF_INET6} {
		for _, kind := range []uint32{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
			calls = append(calls, sandbox.Call{Number: unix.SYS_SOCKET, Args: []sandbox.Arg{
				sandbox.Is(0, domain), sandbox.Is(1, kind|socketFlags), sandbox.Is(2, 0)}})
		}
	}
	for _, o := range append(keepalive[:], nodelay) {
		calls = append(calls, sandbox.Call{Number: unix.SYS_SETSOCKOPT, Args: []sandbox.Arg{
			sandbox.Is(1, uint32(o.level)), sandbox.Is(2, uint32(o.option))}})
	}
	return calls
}

const socketFlags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC

// Connect is the connector: it seals the process, and makes sockets for the
// relay until that goes.
func Connect(entries []Entry, relay int) error {
	c, err := newConnector(entries, relay)
	if err != nil {
		return err
	}
	if err := sandbox.Seal(connectorCalls()); err != nil {
		return err
	}
	c.run()
	return nil
}

type connector struct {
	*poller
	relay   int
	targets []target // one an entry
}

func newConnector(entries []Entry, relay int) (*connector, error) {
	p, err := newPoller()
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if errno := p.control(unix.EPOLL_CTL_ADD, int32(relay), unix.EPOLLIN, token{}); errno != 0 {
		return nil, fmt.Errorf("epoll_ctl: %w", errno)
	}
	c := &connector{p, relay, make([]target, len(entries))}
	for i, e := range entries {
		c.targets[i] = newTarget(e)
	}
	return c, nil
}

// run makes sockets until the relay has gone.
func (c *connector) run() {
	requests := make([]byte, maxMessage*pairSize)
	answer := make([]byte, 0, maxMessage*pairSize)
	fds := make([]int32, 0, maxMessage)
	for {
		if len(c.wait(-1)) == 0 {
			continue
		}
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(c.relay), uintptr(unsafe.Pointer(&requests[0])), uintptr(len(requests)))
		if errno == unix.EAGAIN {
			continue
		}
		if errno != 0 || n == 0 {
			return
		}
		answer, fds = answer[:0], fds[:0]
		for request := requests[:n]; len(request) >= pairSize; request = request[pairSize:] {
			fd, errno := c.targets[binary.NativeEndian.Uint32(request[wordSize:])].connect()
			if errno == 0 {
				fds = append(fds, fd)
			}
			answer = append(answer, request[:wordSize]...)
			answer = binary.NativeEndian.AppendUint32(answer, uint32(errno))
		}
		if errno := sendDescriptors(int32(c.relay), answer, fds); errno != 0 {
			return
		}
		for _, fd := range fds {
			closeFD(fd)
		}
	}
}

// target is an address as the kernel takes it, and what a socket to it is to
// be.
type target struct {
	domain, kind uintptr
	address      name
	options      []option
}

var nodelay = option{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}

func newTarget(e Entry) target {
	t := target{domain: unix.AF_INET, kind: unix.SOCK_STREAM | socketFlags, address: newName(e.Target)}
	if e.Target.Addr().Is6() {
		t.domain = unix.AF_INET6
	}
	switch {
	case e.Network == UDP:
		t.kind = unix.SOCK_DGRAM | socketFlags
	case e.Target.Addr().IsLoopback(): // such a peer does not vanish
		t.options = []option{nodelay}
	default:
		t.options = append(keepalive[:], nodelay)
	}
	return t
}

// connect makes a socket, and begins to connect it.
func (t *target) connect() (fd int32, errno unix.Errno) {
	s, _, errno := unix.RawSyscall(unix.SYS_SOCKET, t.domain, t.kind, 0)
	if errno != 0 {
		return -1, errno
	}
	for _, o := range t.options {
		value := int32(o.value)
		_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, s, uintptr(o.level), uintptr(o.option),
			uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	}
	_, _, errno = unix.RawSyscall(unix.SYS_CONNECT, s, uintptr(unsafe.Pointer(&t.address.raw)), uintptr(t.address.size))
	if errno != 0 && errno != unix.EINPROGRESS {
		closeFD(int32(s))
		return -1, errno
	}
	return int32(s), 0
}

// sendDescriptors sends a message and descriptors with it.
func sendDescriptors(fd int32, data []byte, fds []int32) unix.Errno {
	vector := unix.Iovec{Base: &data[0]}
	vector.SetLen(len(data))
	header := unix.Msghdr{Iov: &vector}
	header.SetIovlen(1)
	var control rights
	if len(fds) > 0 {
		control.header = unix.Cmsghdr{Level: unix.SOL_SOCKET, Type: unix.SCM_RIGHTS}
		control.header.SetLen(unix.CmsgLen(len(fds) * wordSize))
		copy(control.fds[:], fds)
		header.Control = (*byte)(unsafe.Pointer(&control))
		header.SetControllen(unix.CmsgSpace(len(fds) * wordSize))
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&header)), unix.MSG_NOSIGNAL)
	return errno
}

// receiveDescriptors is the other end of it.
func receiveDescriptors(fd int32, data []byte, control *rights) (message []byte, fds []int32, errno unix.Errno) {
	vector := unix.Iovec{Base: &data[0]}
	vector.SetLen(len(data))
	header := unix.Msghdr{Iov: &vector, Control: (*byte)(unsafe.Pointer(control))}
	header.SetIovlen(1)
	header.SetControllen(int(unsafe.Sizeof(*control)))
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&header)), receiveFlags)
	if errno != 0 {
		return nil, nil, errno
	}
	if header.Controllen > 0 {
		fds = control.fds[:(int(control.header.Len)-unix.CmsgLen(0))/wordSize]
	}
	return data[:n], fds, 0
}

const receiveFlags = unix.MSG_DONTWAIT | unix.MSG_CMSG_CLOEXEC

// rights is a control message with descriptors (cmsg(3)).
type rights struct {
	header unix.Cmsghdr
	fds    [maxMessage]int32
}
