package audit

import (
	"os"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
)

// What the kernel has made for a process, as the TCP socket behind an MPTCP
// socket, is seen as well as what the process has made, and known by its
// cgroup.
func TestDumpSeesSubflows(t *testing.T) {
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
		found, err := dump(unix.AF_INET, unix.IPPROTO_TCP)
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
