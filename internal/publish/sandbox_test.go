package publish

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/sandbox"
)

// partVariable has the test program play one of the two processes, and try to
// get out, in the two steps of the real ones.
const partVariable = "OPENRC_NETNS_PUBLISH_TEST"

func init() {
	part, sealed := strings.CutPrefix(os.Getenv(partVariable), "sealed ")
	if part == "" {
		return
	}
	if err := play(part, sealed); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// The descriptors that the attempts are made on.
const (
	listenerFD = 3 // of the host's network
	acceptedFD = 4 // the same
	peerFD     = 5 // a process to attack
)

func play(part string, sealed bool) error {
	if !sealed {
		// The namespace, which package namespace enters for the real ones.
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return sandbox.Become(os.Args, []string{partVariable + "=sealed " + part}, listenerFD, acceptedFD, peerFD)
	}
	calls := connectorCalls()
	if part == "relay" {
		calls = relayCalls([]Entry{{Network: UDP}})
	}
	if err := sandbox.Seal(calls); err != nil {
		return err
	}
	for _, a := range attempts {
		errno := a.try()
		fmt.Printf("%s = %d\n", a.what, errno)
	}
	return nil
}

type attempt struct {
	what string
	try  func() unix.Errno
}

func direct(number uintptr, args ...uintptr) func() unix.Errno {
	return func() unix.Errno {
		var a [6]uintptr
		copy(a[:], args)
		_, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		return errno
	}
}

// someName is an address of the host's network, and root is a path, in memory
// that does not move.
var (
	someName = newName(netip.MustParseAddrPort("127.0.0.1:1"))
	unspec   [16]byte // AF_UNSPEC, which takes a connection apart (connect(2))
	root     = [2]byte{'/'}
	space    [4096]byte
)

func at[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// attempts are ways out. Each of them has to fail with EPERM, the word of the
// filter, before the kernel looks at what else is wrong with it.
var attempts = []attempt{
	{"another connection of an accepted socket: disconnect", direct(unix.SYS_CONNECT, acceptedFD, at(&unspec), 16)},
	{"another connection of an accepted socket", direct(unix.SYS_CONNECT, acceptedFD, at(&someName), 16)},
	{"an address for the listener", direct(unix.SYS_BIND, listenerFD, at(&someName), 16)},
	{"another listener", direct(unix.SYS_LISTEN, acceptedFD, 1)},
	{"data in a new connection", direct(unix.SYS_SENDTO, acceptedFD, at(&space), 1, unix.MSG_FASTOPEN, at(&someName), 16)},
	{"many in new connections", direct(unix.SYS_SENDMMSG, acceptedFD, at(&space), 1, unix.MSG_FASTOPEN)},
	{"IPv4 socket", direct(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|socketFlags, 0)},
	{"IPv6 socket", direct(unix.SYS_SOCKET, unix.AF_INET6, unix.SOCK_DGRAM|socketFlags, 0)},
	{"raw socket", direct(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW|socketFlags, unix.IPPROTO_ICMP)},
	{"multipath socket", direct(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|socketFlags, unix.IPPROTO_MPTCP)},
	{"Unix socket", direct(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM|socketFlags, 0)},
	{"netlink socket", direct(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0)},
	{"packet socket", direct(unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW, 0)},
	{"vsock", direct(unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
	{"socket pair", direct(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM, 0, at(&space))},
	{"the device of a socket", direct(unix.SYS_SETSOCKOPT, acceptedFD, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, at(&space), 16)},
	{"the mark of a socket", direct(unix.SYS_SETSOCKOPT, acceptedFD, unix.SOL_SOCKET, unix.SO_MARK, at(&space), 4)},
	{"setns", direct(unix.SYS_SETNS, peerFD, 0)},
	{"unshare", direct(unix.SYS_UNSHARE, unix.CLONE_NEWUSER)},
	{"a process", direct(unix.SYS_CLONE, uintptr(unix.SIGCHLD), uintptr(unix.SIGCHLD))},
	{"a process of the new kind", direct(unix.SYS_CLONE3, at(&space), 88)},
	{"execve", direct(unix.SYS_EXECVE, at(&root), 0, 0)},
	{"execveat", direct(unix.SYS_EXECVEAT, uintptr(^uint32(99)), at(&root), 0, 0, 0)},
	{"open", direct(unix.SYS_OPENAT, uintptr(0), at(&root), 0)},
	{"openat2", direct(unix.SYS_OPENAT2, 0, at(&root), at(&space), 24)},
	{"open by handle", direct(unix.SYS_OPEN_BY_HANDLE_AT, 0, at(&space), 0)},
	{"mount", direct(unix.SYS_MOUNT, at(&root), at(&root), 0, 0, 0)},
	{"pivot_root", direct(unix.SYS_PIVOT_ROOT, at(&root), at(&root))},
	{"chroot", direct(unix.SYS_CHROOT, at(&root))},
	{"ptrace", direct(unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1, 0, 0)},
	{"pidfd_open", direct(unix.SYS_PIDFD_OPEN, 1, 0)},
	{"pidfd_getfd", direct(unix.SYS_PIDFD_GETFD, peerFD, 0, 0)},
	{"process_vm_readv", direct(unix.SYS_PROCESS_VM_READV, 1, 0, 0, 0, 0)},
	{"kill", direct(unix.SYS_KILL, 1, 0)},
	{"tgkill of another process", direct(unix.SYS_TGKILL, 1, 1, 0)},
	{"io_uring", direct(unix.SYS_IO_URING_SETUP, 1, at(&space))},
	{"bpf", direct(unix.SYS_BPF, 0, at(&space), 64)},
	{"userfaultfd", direct(unix.SYS_USERFAULTFD, 0)},
	{"keyctl", direct(unix.SYS_KEYCTL, 0, 0, 0, 0, 0)},
	{"perf_event_open", direct(unix.SYS_PERF_EVENT_OPEN, at(&space), 0, 0, 0, 0)},
	{"setuid", direct(unix.SYS_SETUID, 0)},
	{"capset", direct(unix.SYS_CAPSET, at(&space), at(&space))},
	{"prctl", direct(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0, 0, 0)},
	{"dup", direct(unix.SYS_DUP, 0)},
	{"fcntl", direct(unix.SYS_FCNTL, 0, unix.F_DUPFD, 0)},
	{"ioctl", direct(unix.SYS_IOCTL, 0, unix.TIOCSTI, at(&space))},
	{"executable memory", func() unix.Errno {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		errno, _ := err.(unix.Errno)
		return errno
	}},
	{"mprotect", direct(unix.SYS_MPROTECT, at(&space), 4096, unix.PROT_EXEC)},
	{"memfd", direct(unix.SYS_MEMFD_CREATE, at(&root), 0)},
}

// inMemory is a program that any user may run, whatever the umask and the mount
// options of the directory that it was built in.
func inMemory(t *testing.T, program string) string {
	t.Helper()
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.MemfdCreate("static.test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	written := os.NewFile(uintptr(fd), "/proc/self/fd/"+strconv.Itoa(fd))
	defer written.Close() // what is open for writing cannot be executed
	if _, err := written.Write(text); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(written.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return "/proc/self/fd/" + strconv.Itoa(int(file.Fd()))
}

// connectorMay is what a connector needs, and has in the namespace alone. That
// it has no socket of the host's to connect TestPublishProcesses of tests/openrc
// says.
var connectorMay = map[string]bool{
	"IPv4 socket": true, "IPv6 socket": true,
	"another connection of an accepted socket":             true,
	"another connection of an accepted socket: disconnect": true,
}

func TestNeitherProcessGetsOut(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	other, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	var files []*os.File
	for _, socket := range []interface{ File() (*os.File, error) }{listener.(*net.TCPListener), accepted.(*net.TCPConn)} {
		file, err := socket.File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		files = append(files, file)
	}
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, os.NewFile(uintptr(self), "pidfd"))
	// As the real program, and maybe not this one, without the C library, which
	// is not in the sandbox.
	program := filepath.Join(t.TempDir(), "static.test")
	build := exec.Command("go", "test", "-c", "-o", program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program = inMemory(t, program)
	for part, may := range map[string]map[string]bool{"relay": {}, "connector": connectorMay} {
		// The arguments of mmap(2) are in memory there, where no filter can look.
		may["executable memory"] = runtime.GOARCH == "s390x"
		t.Run(part, func(t *testing.T) {
			cmd := exec.Command(program)
			cmd.Env = []string{partVariable + "=" + part}
			cmd.ExtraFiles = files
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s%s", err, out, stderr.String())
			}
			seen := 0
			for line := range strings.Lines(string(out)) {
				what, result, _ := strings.Cut(strings.TrimSpace(line), " = ")
				seen++
				if refused := result == fmt.Sprint(int(syscall.EPERM)); refused == may[what] {
					t.Errorf("%s: error %s", what, result)
				}
			}
			if seen != len(attempts) {
				t.Errorf("%d attempts, want %d:\n%s", seen, len(attempts), out)
			}
		})
	}
}
