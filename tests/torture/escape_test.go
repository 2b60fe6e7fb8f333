package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/vrf"
)

// Sockets of a VRF. This binary, launched under another name in the place of the
// command, makes one, and is out if it is neither refused nor bound. Ways out of
// a lock are tried by tests/openrc (TestWaysOut).

// What an escape exits with.
const (
	exitOut     = 10
	exitRefused = 11
	exitNotHere = 12
)

// errNotKnown says that this kernel has no such thing.
var errNotKnown = errors.New("this kernel has no such thing")

// socketKind is a kind of socket that a process of a VRF may make.
type socketKind struct {
	name                   string
	family, kind, protocol int
	admitted               string // the manual says that it is not bound
}

const (
	ipprotoSMC     = 256
	ipprotoMPTCP   = 262
	ipprotoUDPLite = 136
)

var socketKinds = []socketKind{
	{"tcp", unix.AF_INET, unix.SOCK_STREAM, 0, ""},
	{"udp", unix.AF_INET, unix.SOCK_DGRAM, 0, ""},
	{"raw", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP, ""},
	{"tcp6", unix.AF_INET6, unix.SOCK_STREAM, 0, ""},
	{"udp6", unix.AF_INET6, unix.SOCK_DGRAM, 0, ""},
	{"mptcp", unix.AF_INET, unix.SOCK_STREAM, ipprotoMPTCP, ""},
	{"mptcp6", unix.AF_INET6, unix.SOCK_STREAM, ipprotoMPTCP, ""},
	{"udplite", unix.AF_INET, unix.SOCK_DGRAM, ipprotoUDPLite, ""},
	{"sctp", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP, ""},
	{"dccp", unix.AF_INET, unix.SOCK_DCCP, unix.IPPROTO_DCCP, ""},
	{"l2tp", unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_L2TP, ""},
	{"smc-of-ip", unix.AF_INET, unix.SOCK_STREAM, ipprotoSMC, ""},
	{"smc", unix.AF_SMC, unix.SOCK_STREAM, 0, "what the kernel makes for another address family is not confined"},
	{"rds", unix.AF_RDS, unix.SOCK_SEQPACKET, 0, "what the kernel makes for another address family is not confined"},
	{"rxrpc", unix.AF_RXRPC, unix.SOCK_DGRAM, unix.AF_INET, "what the kernel makes for another address family is not confined"},
	{"tipc", unix.AF_TIPC, unix.SOCK_STREAM, 0, "TIPC sockets are not confined"},
	{"packet", unix.AF_PACKET, unix.SOCK_RAW, 0, "packet sockets are not confined"},
	{"xdp", unix.AF_XDP, unix.SOCK_RAW, 0, "packet sockets are not confined"},
}

// try makes such a socket, and is nil if it is neither refused nor bound.
func (s socketKind) try() error {
	fd, err := unix.Socket(s.family, s.kind|unix.SOCK_CLOEXEC, s.protocol)
	switch err {
	case unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT:
		return errNotKnown
	case nil:
	default:
		return err
	}
	defer unix.Close(fd)
	if s.protocol != ipprotoMPTCP {
		if bound, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX); err == nil && bound != 0 {
			return fmt.Errorf("bound to interface %d", bound)
		}
		return nil
	}
	// What such a socket says of itself is not true of what the kernel makes
	// for it: can it be reached by lo?
	var at unix.Sockaddr = &unix.SockaddrInet4{Port: 7262}
	if s.family == unix.AF_INET6 {
		at = &unix.SockaddrInet6{Port: 7262}
	}
	if err := unix.Bind(fd, at); err != nil {
		return err
	}
	if err := unix.Listen(fd, 1); err != nil {
		return err
	}
	// A socket of the host's cgroup would ask; an MPTCP one is as little bound.
	client, err := unix.Socket(s.family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, ipprotoMPTCP)
	if err != nil {
		return err
	}
	defer unix.Close(client)
	var peer unix.Sockaddr = &unix.SockaddrInet4{Port: 7262, Addr: [4]byte{127, 0, 0, 1}}
	if s.family == unix.AF_INET6 {
		peer = &unix.SockaddrInet6{Port: 7262, Addr: [16]byte{15: 1}}
	}
	timeout := unix.Timeval{Sec: 1}
	_ = unix.SetsockoptTimeval(client, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)
	return unix.Connect(client, peer)
}

// escape makes the socket that its arguments name, KIND DEVICE CGROUP, and does
// not return.
func escape(args []string) {
	if len(args) != 3 {
		os.Exit(2)
	}
	err := escapeVRF(args[0], args[1], args[2])
	switch {
	case err == nil:
		os.Exit(exitOut)
	case errors.Is(err, errNotKnown), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT):
		fmt.Println(err)
		os.Exit(exitNotHere)
	}
	fmt.Println(err)
	os.Exit(exitRefused)
}

// escapeVRF confines this process as --vrf does, to a device that stands in for
// a VRF, which most kernels of test machines have not; then it makes a socket.
func escapeVRF(kind, device, cgroup string) error {
	index, err := strconv.Atoi(device)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return err
	}
	c := vrf.Confinement{Cookie: cookie, Device: vrf.Device{Name: "peer", Index: uint32(index)}}
	if _, _, err := c.Apply(vrf.Cgroup{Path: cgroup}); err != nil {
		fmt.Println("confine:", err)
		os.Exit(2)
	}
	for _, s := range socketKinds {
		if s.name == kind {
			return s.try()
		}
	}
	return errors.New("no such kind")
}

// attackEscapes makes each kind of socket once.
func attackEscapes(r *report, until time.Time) {
	if err := bindName("escape", pool[1].path()); err != nil {
		r.broken("escape", "the attack itself failed", err.Error())
		return
	}
	defer os.Remove("/run/netns/escape")
	defer unix.Unmount("/run/netns/escape", unix.MNT_DETACH)
	for _, s := range socketKinds {
		cgroup := "/vrf-" + s.name
		argv := []string{bin + "/netns-exec", "escape", "--", filepath.Join(bin, escapeName), s.name, "2", cgroup}
		judgeEscape(r, "escape/vrf/"+s.name, argv, s.admitted)
		_ = unix.Rmdir(cgroupRoot + cgroup)
	}
}

func judgeEscape(r *report, id string, argv []string, admitted string) {
	if !wanted(id) {
		return
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = environment
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		r.broken(id, "the attack itself failed", err.Error())
		return
	}
	switch code := cmd.ProcessState.ExitCode(); {
	case code == exitRefused:
		r.count(id, "refused")
	case code == exitNotHere:
		r.count(id, "not in this kernel")
	case code == exitOut && admitted != "":
		r.count(id, "out, which is admitted: "+admitted)
	case code == exitOut:
		r.broken(id, "a way out", id)
	default:
		r.broken(id, "the attack itself failed", fmt.Sprintf("%s: %v: %s", id, err, out))
	}
}
