package audit

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
)

// ownCgroup are the numbers of the cgroup that the test runs in.
func ownCgroup(t *testing.T) []uint64 {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	own, err := cgroup.Current()
	if err != nil {
		t.Skip(err)
	}
	ids, err := cgroup.IDs(own)
	if err != nil || len(ids) == 0 {
		t.Fatalf("cgroup %s: %v, %v", own, ids, err)
	}
	return ids
}

// What the kernel has made for a process, as the TCP socket behind an MPTCP
// socket, is seen as well as what the process has made, and known by its
// cgroup.
func TestDumpSeesSubflows(t *testing.T) {
	ids := ownCgroup(t)
	failed := make(chan string)
	go func() {
		runtime.LockOSThread()
		failed <- subflows(ids)
	}()
	if text := <-failed; text != "" {
		t.Error(text)
	}
}

func subflows(ids []uint64) string {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err.Error()
	}
	for _, protocol := range []int{unix.IPPROTO_TCP, unix.IPPROTO_MPTCP} {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, protocol)
		if err == unix.EPROTONOSUPPORT {
			continue
		}
		if err != nil {
			return err.Error()
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: 7000 + protocol}); err != nil {
			return err.Error()
		}
		if err := unix.Listen(fd, 5); err != nil {
			return err.Error()
		}
		found, err := dump(unix.AF_INET, unix.IPPROTO_TCP, listen)
		if err != nil {
			return err.Error()
		}
		i := slices.IndexFunc(found, func(s Socket) bool { return s.Port == 7000+protocol })
		if i < 0 || found[i].Interface != 0 || !slices.Contains(ids, found[i].cgroup) {
			return "not seen"
		}
	}
	return ""
}

// Sockets of each protocol are seen while they wait for what comes in, and not
// when they are connected. What a kernel has not is no error.
func TestListening(t *testing.T) {
	ids := ownCgroup(t)
	for _, p := range []struct {
		name           string
		kind, protocol int
	}{
		{"TCP", unix.SOCK_STREAM, unix.IPPROTO_TCP},
		{"UDP", unix.SOCK_DGRAM, unix.IPPROTO_UDP},
		{"raw", unix.SOCK_RAW, 89},
		{"UDP-Lite", unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE},
		{"SCTP", unix.SOCK_STREAM, unix.IPPROTO_SCTP},
		{"DCCP", unix.SOCK_DCCP, unix.IPPROTO_DCCP},
	} {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			t.Run(fmt.Sprintf("%s/%d", p.name, family), func(t *testing.T) {
				failed := make(chan error)
				go func() {
					runtime.LockOSThread()
					failed <- waitAndConnect(p.name, family, p.kind, p.protocol, ids)
				}()
				switch err := <-failed; err {
				case nil:
				case unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EAFNOSUPPORT:
					t.Skip("this kernel has none")
				case unix.ENOENT:
					t.Skip("this kernel lists none")
				default:
					t.Error(err)
				}
			})
		}
	}
}

// waitAndConnect has a socket of the protocol wait in a new network namespace,
// and then connects to it.
func waitAndConnect(name string, family, kind, protocol int, ids []uint64) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	port := 7262
	var address unix.Sockaddr = &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	if family == unix.AF_INET6 {
		address = &unix.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}}
	}
	fd, err := unix.Socket(family, kind, protocol)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	raw := kind == unix.SOCK_RAW
	if raw {
		port, protocol = protocol, unix.IPPROTO_RAW // as sock_diag(7) asks for all of them
	} else if err := unix.Bind(fd, address); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if !raw && kind != unix.SOCK_DGRAM {
		if err := unix.Listen(fd, 5); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	if !raw { // one of these hears as much when it is connected
		connection, err := unix.Socket(family, kind, protocol)
		if err != nil {
			return err
		}
		defer unix.Close(connection)
		if err := unix.Connect(connection, address); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
	}
	if _, err := dump(uint8(family), uint8(protocol), listen); err != nil {
		return err
	}
	found, err := listening()
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0].Protocol != name || found[0].Port != port || found[0].Interface != 0 || !slices.Contains(ids, found[0].cgroup) {
		return fmt.Errorf("found %+v", found)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil || uint64(stat.Ino) != found[0].inode {
		return fmt.Errorf("inode %d, found %+v", stat.Ino, found)
	}
	return nil
}
