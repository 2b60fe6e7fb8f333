package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/apart"
)

// The machine that the attack runs on: that of package apart, and what it has for
// the attack.

// outside is where the real machine's /proc and cgroups are, for the odd cases.
const outside = "/run/outside"

// cgroupRoot is where the machine has cgroup v2.
const cgroupRoot = "/sys/fs/cgroup"

var (
	bin       string // the directory of the binaries
	probe     string // the command that is launched, see probe_test.go
	hostInode uint64 // of the machine's own network namespace
	pool      []*netns
	steady    *netns // one of the pool, which the name "steady" leads to all the time
)

// netns is a network namespace that lives as long as the run, so that its inode
// belongs to no other one. A device called mark tells whose /sys it is.
type netns struct {
	file  *os.File
	inode uint64
	mark  string
}

func (n *netns) path() string { return fmt.Sprintf("/proc/self/fd/%d", n.file.Fd()) }

// The first thread stands for process 1 in /proc/1/ns, so that no goroutine may
// take it elsewhere.
func init() { runtime.LockOSThread() }

func makeHost() error {
	bin = apart.Bin
	if err := apart.Fresh("/run/nscd", "/run/away", "/run/openrc", outside+"/proc", outside+"/cgroup"); err != nil {
		return err
	}
	for _, file := range []string{"/run/nscd/socket", "/run/away/mark"} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{"/proc": outside + "/proc", "/sys/fs/cgroup": outside + "/cgroup"} {
		if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("keep %s: %w", from, err)
		}
	}
	for _, name := range tokenFiles {
		if err := os.Remove("/etc/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.WriteFile("/etc/"+name, []byte(hostToken), 0o644); err != nil {
			return err
		}
	}
	if err := apart.System(); err != nil {
		return err
	}
	var err error
	if hostInode, err = inodeOf("/proc/self/ns/net"); err != nil {
		return err
	}
	if err := addMark("in-host"); err != nil {
		return err
	}
	for i := range 6 {
		n, err := newNetns(fmt.Sprintf("in-%d", i))
		if err != nil {
			return err
		}
		pool = append(pool, n)
	}
	steady = pool[0]
	probe, err = writeProbe("/run/probe")
	return err
}

// outerPID is this process to the real machine.
func outerPID() int {
	link, _ := os.Readlink(outside + "/proc/self")
	pid, _ := strconv.Atoi(link)
	return pid
}

// cgroupOf is the cgroup v2 of a process, as in /proc/PID/cgroup.
func cgroupOf(pid string) (string, error) {
	table, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(table)) {
		if path, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); found {
			return path, nil
		}
	}
	return "", errors.New("cgroup v2 is not available")
}

// hostToken is what the machine's own files of /etc say.
const hostToken = "# host\n"

// tokenFiles are the files of /etc that tell whose they are.
var tokenFiles = []string{"resolv.conf", "hosts"}

func inodeOf(path string) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return 0, fmt.Errorf("look at %s: %w", path, err)
	}
	return stat.Ino, nil
}

// newNetns makes a network namespace, on a thread that goes with it.
func newNetns(mark string) (*netns, error) {
	n := &netns{mark: mark}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := addMark(mark); err != nil {
			return err
		}
		if n.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		n.inode, err = inodeOf("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return n, nil
}

// onThread calls a function on a thread that goes with it.
func onThread(call func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		done <- call()
	}()
	return <-done
}

// addMark makes a device to know the calling thread's network namespace by, and
// brings its loopback up.
func addMark(name string) error {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	lo, err := handle.LinkByName("lo")
	if err == nil {
		err = handle.LinkSetUp(lo)
	}
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	return handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"})
}
