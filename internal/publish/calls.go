package publish

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the relay and the connector. None of them blocks, so they
// do not tell the Go scheduler, and none is interrupted. They are direct: on 386
// and s390x package unix has one system call for all of sockets, socketcall(2),
// into which a filter cannot look.

func closeFD(fd int32) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

const acceptFlags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC

func accept(listener int32) (int32, unix.Errno) {
	fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0, acceptFlags, 0, 0)
	return int32(fd), errno
}

func shutdownWrite(fd int32) {
	_, _, _ = unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
}

const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

func splice(from, to, size int32) (int32, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(size), spliceFlags)
	return int32(n), errno
}

// socketError is the error that the socket has met, 0 if none; it is cleared.
func socketError(fd int32) unix.Errno {
	var value int32
	size := uint32(unsafe.Sizeof(value))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return unix.Errno(value)
}

// reset has the peer of a TCP connection see that it was cut, and not that it
// ended (SO_LINGER in socket(7)), unless some of what it was sent is still on
// its way.
func reset(fd int32) {
	var waiting int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCOUTQ, uintptr(unsafe.Pointer(&waiting)))
	if errno != 0 || waiting > 0 {
		return
	}
	linger := unix.Linger{Onoff: 1}
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
}

func write(fd int32, data []byte) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
	return errno
}

// poller waits for descriptors.
type poller struct {
	fd     int32
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &poller{fd: int32(fd)}, err
}

func (p *poller) control(operation int, fd int32, events uint32, t token) unix.Errno {
	event := unix.EpollEvent{Events: events, Fd: t.index, Pad: t.tag}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(operation), uintptr(fd),
		uintptr(unsafe.Pointer(&event)), 0, 0)
	return errno
}

// wait returns the events that have come within so many milliseconds; -1 is
// without end. To wait in a way that the Go scheduler knows of costs it a
// wakeup of its monitor thread, so that is for when nothing happens for a
// while.
func (p *poller) wait(timeout int) []unix.EpollEvent {
	const brief = 5
	first := timeout
	if timeout < 0 || timeout > brief {
		first = brief
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events)),
		uintptr(len(p.events)), uintptr(first), 0, 0)
	if errno == 0 && n == 0 && first != timeout {
		n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events)),
			uintptr(len(p.events)), uintptr(timeout), 0, 0)
	}
	if errno != 0 { // EINTR: the runtime's signals
		return nil
	}
	return p.events[:n]
}

// token is what an event says of its descriptor. The generation tells it from
// an earlier one that had the same index.
type token struct{ index, tag int32 }

type kind int32

const (
	acceptor kind = iota
	answers
	outside // the end of a connection on the host's network
	inside  // the other end
	datagrams
	client
)

// next is the generation after g, of those that a token has room for.
func next(g uint32) uint32 { return (g + 1) & (1<<29 - 1) }

func newToken(index int, k kind, generation uint32) token {
	return token{int32(index), int32(generation<<3 | uint32(k))}
}

func (t token) kind() kind         { return kind(t.tag & 7) }
func (t token) generation() uint32 { return uint32(t.tag) >> 3 }

const pipeFlags = unix.O_NONBLOCK | unix.O_CLOEXEC

func newPipe() (read, write int32, errno unix.Errno) {
	var fds [2]int32
	_, _, errno = unix.RawSyscall(unix.SYS_PIPE2, uintptr(unsafe.Pointer(&fds)), pipeFlags, 0)
	return fds[0], fds[1], errno
}
