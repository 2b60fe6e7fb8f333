package vrf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
)

// inChild runs the test called name once more in a process of its own, whose
// cgroup and network namespace it may change; it returns false in that process.
func inChild(t *testing.T, name string) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if os.Getenv("VRF_TEST_CHILD") == name {
		return false
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), "VRF_TEST_CHILD="+name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return true
}

// elsewhere makes a network namespace for the calling process, with the
// loopback device up and another one, and returns the index of that: a socket
// that is bound to it hears nothing of 127.0.0.1.
func elsewhere(t *testing.T) (cookie uint64, device uint32) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "link", "add", "device", "type", "veth", "peer", "name", "peer"},
		{"ip", "link", "set", "device", "up"},
		{"ip", "link", "set", "peer", "up"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err != nil {
		t.Fatal(err)
	}
	request, err := unix.NewIfreq("device")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		t.Fatal(err)
	}
	return cookie, request.Uint32()
}

// confine puts this process into a cgroup of its own, with the program there
// that load has loaded, and returns what undoes that.
func confine(t *testing.T, load func() (int, error)) (confined string) {
	t.Helper()
	before, err := cgroup.Current()
	if err != nil {
		t.Skip(err)
	}
	root, err := cgroup.OpenRoot()
	if err != nil {
		t.Fatal(err)
	}
	confined = path.Join(before, fmt.Sprintf("vrf_test.%d", os.Getpid()))
	if _, err := root.Make(confined); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = root.Join(before, 0)
		if err := root.Remove(confined); err != nil {
			t.Error(err)
		}
		root.Close()
	})
	dir, err := root.Open(confined)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	program, err := load()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(program)
	if err := attach(dir, program, programs{}); err != nil {
		t.Fatal(err)
	}
	if err := root.Join(confined, 0); err != nil {
		t.Fatal(err)
	}
	return confined
}

// ipVRF is the program of "ip vrf exec" (ip-vrf(8)): bound_dev_if = index;
// return 1.
func ipVRF(index uint32) func() (int, error) {
	const r0, r1, r2, r6 = 0, 1, 2, 6
	return func() (int, error) {
		return load([]instruction{
			{move64, registers(r6, r1), 0, 0},
			{move64K, registers(r2, 0), 0, int32(index)},
			{store32, registers(r6, r2), boundDevIf, 0},
			{move64K, registers(r0, 0), 0, 1},
			{exit, 0, 0, 0},
		})
	}
}

// heard reports whether a client of the loopback device, which is not the one
// that the sockets of this process are bound to, gets through to a listener.
func heard(t *testing.T, listener int) bool {
	t.Helper()
	bound, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	port := bound.(*unix.SockaddrInet4).Port
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	if err := unix.BindToDevice(client, "lo"); err != nil {
		t.Fatal(err)
	}
	err = unix.Connect(client, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err != nil && err != unix.ECONNREFUSED {
		t.Fatal(err)
	}
	return err == nil
}

func listen(t *testing.T, protocol int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, protocol)
	if err != nil {
		t.Fatalf("protocol %d: %v", protocol, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 5); err != nil {
		t.Fatal(err)
	}
	return fd
}

func boundTo(t *testing.T, fd int) uint32 {
	t.Helper()
	index, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(index)
}

// The kernel makes the TCP sockets behind an MPTCP socket by itself, and asks
// no program for them. This is how "ip vrf exec" lets a listener out.
func TestMPTCPGetsOutOfIPVRF(t *testing.T) {
	if inChild(t, "TestMPTCPGetsOutOfIPVRF") {
		return
	}
	if !hasMPTCP() {
		t.Skip("this kernel has no MPTCP")
	}
	_, device := elsewhere(t)
	confine(t, ipVRF(device))
	tcp, mptcp := listen(t, 0), listen(t, unix.IPPROTO_MPTCP)
	for name, fd := range map[string]int{"TCP": tcp, "MPTCP": mptcp} {
		if got := boundTo(t, fd); got != device {
			t.Errorf("%s says it is bound to %d, want %d", name, got, device)
		}
	}
	if heard(t, tcp) {
		t.Error("TCP is heard on another device")
	}
	if !heard(t, mptcp) {
		t.Error("MPTCP is not heard on another device: this kernel now asks for subflows, and README need not warn of ip vrf exec")
	}
}

// Ours refuses such sockets, and a Go program that listens with MPTCP by
// default gets TCP, which is bound.
func TestMPTCPIsRefused(t *testing.T) {
	if inChild(t, "TestMPTCPIsRefused") {
		return
	}
	if !hasMPTCP() {
		t.Skip("this kernel has no MPTCP")
	}
	cookie, device := elsewhere(t)
	c := Confinement{Cookie: cookie, Device: Device{"device", device}}
	confine(t, c.load)
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		if fd, err := unix.Socket(family, unix.SOCK_STREAM, unix.IPPROTO_MPTCP); err != unix.EPERM {
			t.Errorf("MPTCP of family %d: %d, %v", family, fd, err)
		}
	}
	var config net.ListenConfig
	config.SetMultipathTCP(true)
	listener, err := config.Listen(context.Background(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		if got := boundTo(t, int(fd)); got != device {
			t.Errorf("a Go listener is bound to %d, want %d", got, device)
		}
		if heard(t, int(fd)) {
			t.Error("a Go listener is heard on another device")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Device.checkBound(); err != nil {
		t.Error(err)
	}
	// In another namespace it is nobody's business, unless locked.
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
	if err != nil {
		t.Errorf("MPTCP in another namespace: %v", err)
	}
	unix.Close(fd)
}

// What ip vrf exec inside has bound already is refused as well.
func TestMPTCPIsRefusedBelow(t *testing.T) {
	if inChild(t, "TestMPTCPIsRefusedBelow") {
		return
	}
	if !hasMPTCP() {
		t.Skip("this kernel has no MPTCP")
	}
	cookie, device := elsewhere(t)
	confine(t, Confinement{Cookie: cookie, Device: Device{"device", device}}.load)
	confine(t, ipVRF(1))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil || boundTo(t, fd) != 1 {
		t.Errorf("TCP: %v", err)
	}
	if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP); err != unix.EPERM {
		t.Errorf("MPTCP: %d, %v", fd, err)
	}
}

// The lock alone lets MPTCP be: its subflows are in the namespace of the
// socket, and in another one there is none.
func TestLockAndMPTCP(t *testing.T) {
	if inChild(t, "TestLockAndMPTCP") {
		return
	}
	if !hasMPTCP() {
		t.Skip("this kernel has no MPTCP")
	}
	cookie, _ := elsewhere(t)
	confine(t, Confinement{Cookie: cookie, Lock: true}.load)
	if !heard(t, listen(t, unix.IPPROTO_MPTCP)) {
		t.Error("MPTCP at home is not heard")
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP); err != unix.EPERM {
		t.Errorf("MPTCP in another namespace: %d, %v", fd, err)
	}
}

// A program that lets MPTCP be does not pass for one of ours.
func TestCheckBoundKnowsMPTCP(t *testing.T) {
	if inChild(t, "TestCheckBoundKnowsMPTCP") {
		return
	}
	if !hasMPTCP() {
		t.Skip("this kernel has no MPTCP")
	}
	_, device := elsewhere(t)
	confine(t, ipVRF(device))
	if err := (Device{"device", device}).checkBound(); err == nil {
		t.Error("an MPTCP socket went unnoticed")
	} else {
		t.Log(err)
	}
}

// Every other way to a socket of a kernel that has it: bound, or, of those that
// are no IP sockets, admitted.
func TestEveryOtherSocket(t *testing.T) {
	if inChild(t, "TestEveryOtherSocket") {
		return
	}
	cookie, device := elsewhere(t)
	confine(t, Confinement{Cookie: cookie, Device: Device{"device", device}}.load)
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0); err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		name                   string
		family, kind, protocol int
		bound                  bool
	}{
		{"TCP", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP, true},
		{"UDP", unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP, true},
		{"UDP-Lite", unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE, true},
		{"ping", unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP, true},
		{"ping of IPv6", unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_ICMPV6, true},
		{"raw", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW, true},
		{"SCTP", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP, true},
		{"SCTP one to many", unix.AF_INET, unix.SOCK_SEQPACKET, unix.IPPROTO_SCTP, true},
		{"DCCP", unix.AF_INET, unix.SOCK_DCCP, unix.IPPROTO_DCCP, true},
		{"L2TP", unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_L2TP, true},
		{"packet", unix.AF_PACKET, unix.SOCK_RAW, 0, false},
		{"XDP", unix.AF_XDP, unix.SOCK_RAW, 0, false},
		{"RDS", unix.AF_RDS, unix.SOCK_SEQPACKET, 0, false},
		{"RxRPC", unix.AF_RXRPC, unix.SOCK_DGRAM, unix.AF_INET, false},
		{"TIPC", unix.AF_TIPC, unix.SOCK_RDM, 0, false},
		{"AF_SMC", unix.AF_SMC, unix.SOCK_STREAM, 0, false},
		{"vsock", unix.AF_VSOCK, unix.SOCK_STREAM, 0, false},
	} {
		fd, err := unix.Socket(s.family, s.kind, s.protocol)
		switch {
		case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.ESOCKTNOSUPPORT):
			t.Logf("%s: not in this kernel", s.name)
			continue
		case err != nil:
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		want := uint32(0)
		if s.bound {
			want = device
		}
		if got := boundTo(t, fd); got != want {
			t.Errorf("%s is bound to %d, want %d", s.name, got, want)
		}
		t.Logf("%s: bound: %v", s.name, s.bound)
		unix.Close(fd)
	}
	// As a protocol of IP, and not as a family of its own, SMC is refused.
	const smc = 256 // IPPROTO_SMC of linux/in.h
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		fd, err := unix.Socket(family, unix.SOCK_STREAM, smc)
		if err == nil {
			t.Errorf("IPPROTO_SMC of family %d: %d", family, fd)
		}
		t.Logf("IPPROTO_SMC of family %d: %v", family, err)
	}
}

// What accept(2) returns has not been asked for either, and is bound as the
// listener is.
func TestAcceptedSocketIsBound(t *testing.T) {
	if inChild(t, "TestAcceptedSocketIsBound") {
		return
	}
	const lo = 1
	cookie, _ := elsewhere(t)
	confine(t, Confinement{Cookie: cookie, Device: Device{"lo", lo}}.load)
	listener := listen(t, 0)
	if !heard(t, listener) {
		t.Fatal("not heard")
	}
	fd, _, err := unix.Accept(listener)
	if err != nil {
		t.Fatal(err)
	}
	if got := boundTo(t, fd); got != lo {
		t.Errorf("bound to %d, want %d", got, lo)
	}
}

// io_uring(7) makes sockets on a thread of the kernel's, which is in the cgroup
// of the process.
func TestSocketOfIOUring(t *testing.T) {
	if inChild(t, "TestSocketOfIOUring") {
		return
	}
	cookie, device := elsewhere(t)
	confine(t, Confinement{Cookie: cookie, Device: Device{"device", device}}.load)
	for _, flags := range []uint32{0, 1 << 1} { // IORING_SETUP_SQPOLL: no system call of ours makes it
		fd, err := ringSocket(flags, unix.AF_INET, unix.SOCK_STREAM, 0)
		if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
			t.Skip("io_uring makes no sockets in this kernel: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := boundTo(t, fd); got != device {
			t.Errorf("bound to %d, want %d", got, device)
		}
		if hasMPTCP() {
			if fd, err := ringSocket(flags, unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP); err != unix.EPERM {
				t.Errorf("MPTCP: %d, %v", fd, err)
			}
		}
	}
}

// ringSocket has io_uring make a socket, by IORING_OP_SOCKET with IOSQE_ASYNC
// (linux/io_uring.h).
func ringSocket(flags uint32, domain, kind, protocol int) (int, error) {
	params := struct {
		sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
		_                                                    [3]uint32
		sq                                                   struct {
			head, tail, mask, entries, flags, dropped, array, _ uint32
			_                                                   uint64
		}
		cq struct {
			head, tail, mask, entries, overflow, cqes, flags, _ uint32
			_                                                   uint64
		}
	}{flags: flags, idle: 1000}
	r, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return -1, errno
	}
	ring := int(r)
	defer unix.Close(ring)
	const offsetCQ, offsetSQEs = 0x8000000, 0x10000000
	sq, err := unix.Mmap(ring, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return -1, err
	}
	cq, err := unix.Mmap(ring, offsetCQ, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return -1, err
	}
	entries, err := unix.Mmap(ring, offsetSQEs, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return -1, err
	}
	entry := (*struct {
		opcode, flags uint8
		_             uint16
		fd            int32
		off           uint64
		_             uint64
		len           uint32
	})(unsafe.Pointer(&entries[0]))
	entry.opcode, entry.flags = 45, 1<<4
	entry.fd, entry.off, entry.len = int32(domain), uint64(kind), uint32(protocol)
	*(*uint32)(unsafe.Pointer(&sq[params.sq.array])) = 0
	*(*uint32)(unsafe.Pointer(&sq[params.sq.tail]))++
	submit, enter := uintptr(1), uintptr(1) // IORING_ENTER_GETEVENTS
	if flags != 0 {
		submit, enter = 0, 1|1<<1 // and IORING_ENTER_SQ_WAKEUP
	}
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(ring), submit, 1, enter, 0, 0); errno != 0 {
		return -1, errno
	}
	tail := (*uint32)(unsafe.Pointer(&cq[params.cq.tail]))
	for deadline := time.Now().Add(5 * time.Second); *tail == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return -1, errors.New("io_uring does not answer")
		}
	}
	result := (*struct {
		user uint64
		res  int32
	})(unsafe.Pointer(&cq[params.cq.cqes])).res
	if result < 0 {
		return -1, unix.Errno(-result)
	}
	return int(result), nil
}
