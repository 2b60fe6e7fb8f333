package publish

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// backlog is how many connections may wait to be accepted; the kernel allows
// net.core.somaxconn (listen(2)).
const backlog = 4096

// Open opens the socket that an entry listens on, in the network namespace of
// the calling thread. A socket in the file system that nobody listens on any
// more is replaced.
func (e Entry) Open() (fd int, err error) {
	if e.Network == Unix {
		fd, err = openUnix(e.Path)
	} else {
		fd, err = openIP(e.Network, e.Listen)
	}
	if err != nil {
		return -1, fmt.Errorf("cannot listen on %s: %s", e.Name(), e.reason(err))
	}
	return fd, nil
}

// reason says why, and what to do.
func (e Entry) reason(err error) string {
	switch {
	case errors.Is(err, unix.EADDRINUSE) && e.Network == Unix:
		return "another program listens there: stop it, or choose another path"
	case errors.Is(err, unix.EADDRINUSE):
		return "another program has the port: stop it, or choose another one"
	case errors.Is(err, unix.EACCES) && e.Network != Unix:
		return fmt.Sprintf("port %d is a privileged one, which takes CAP_NET_BIND_SERVICE: choose one above 1023", e.Listen.Port())
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return "the host has no such address: give it one first, or choose another one"
	case errors.Is(err, unix.EAFNOSUPPORT):
		return "the kernel has no IPv6: choose an IPv4 address"
	case errors.Is(err, unix.ENOENT):
		return fmt.Sprintf("there is no directory %s: create it", filepath.Dir(e.Path))
	}
	return err.Error()
}

func openIP(network Network, address netip.AddrPort) (fd int, err error) {
	domain, kind := unix.AF_INET, unix.SOCK_STREAM
	if address.Addr().Is6() {
		domain = unix.AF_INET6
	}
	if network == UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err = unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	set := func(level, option, value int) {
		if err == nil {
			err = unix.SetsockoptInt(fd, level, option, value)
		}
	}
	if domain == unix.AF_INET6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1) // [::] is not 0.0.0.0
	}
	switch {
	case network == TCP:
		set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) // connections of an earlier run may linger
		set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // what is accepted inherits these
		for _, o := range keepalive {
			set(o.level, o.option, o.value)
		}
	case !address.Addr().IsUnspecified():
	case domain == unix.AF_INET6: // an answer comes from the address that was asked
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	default:
		set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(address))
	}
	if err == nil && network == TCP {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// option is one of a socket.
type option struct{ level, option, value int }

// keepalive tells within two minutes that a peer is gone (tcp(7)).
var keepalive = [...]option{
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// openUnix listens on a path. Everybody may connect, as to a port: who is not
// to has to be kept out of the directory.
func openUnix(path string) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Umask(unix.Umask(0o111))
	address := &unix.SockaddrUnix{Name: path}
	if err = unix.Bind(fd, address); errors.Is(err, unix.EADDRINUSE) {
		if err = removeStale(path); err == nil {
			err = unix.Bind(fd, address)
		}
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// removeStale removes a socket that nobody listens on, and nothing else.
func removeStale(path string) error {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return errors.New("there is a file of that name, which is no socket: remove it, or choose another path")
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); !errors.Is(err, unix.ECONNREFUSED) {
		return unix.EADDRINUSE
	}
	return unix.Unlink(path)
}

// Close closes the socket that Open has opened, and removes it from the file
// system.
func (e Entry) Close(fd int) {
	if e.Network == Unix {
		_ = unix.Unlink(e.Path)
	}
	unix.Close(fd)
}
