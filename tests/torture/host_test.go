package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The machine that the attack runs on, made of namespaces: throw-away /etc and
// /run, an own /proc and /sys, a cgroup.

// outside is where the real machine's /proc and cgroups are, for the odd cases.
const outside = "/run/outside"

// cgroupRoot is where the machine has cgroup v2.
const cgroupRoot = "/sys/fs/cgroup"

var (
	bin       string // the directory of the binaries
	probe     string // the command that is launched, see probe_test.go
	hostInode uint64 // of the machine's own network namespace
	ownCgroup string // all that is launched is below it, as in /proc/PID/cgroup
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
	bin = os.Getenv(insideEnv)
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := freshRun(); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := freshSys(); err != nil {
		return err
	}
	if err := freshEtc(); err != nil {
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

// freshRun makes an empty /run, with the real /proc and cgroups aside.
func freshRun() error {
	for unix.Unmount("/run", unix.MNT_DETACH) == nil {
	}
	if err := unix.Mount("none", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, dir := range []string{"/run/netns", "/run/nscd", "/run/away", "/run/etc", "/run/work", "/run/openrc", outside + "/proc", outside + "/cgroup"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
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
	return nil
}

// freshSys makes a /sys that shows the machine's own network namespace, and a
// cgroup for the run.
func freshSys() error {
	for unix.Unmount("/sys", unix.MNT_DETACH) == nil {
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := unix.Mount("cgroup2", cgroupRoot, "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mount cgroup v2: %w", err)
	}
	before, err := cgroupOf("self")
	if err != nil {
		return err
	}
	ownCgroup = filepath.Join(before, cgroupName(outerPID()))
	if err := os.Mkdir(cgroupRoot+ownCgroup, 0o755); err != nil {
		return err
	}
	return os.WriteFile(cgroupRoot+ownCgroup+"/cgroup.procs", []byte("0"), 0)
}

const cgroupPrefix = "netns-torture."

func cgroupName(pid int) string { return cgroupPrefix + strconv.Itoa(pid) }

// outerPID is this process to the real machine.
func outerPID() int {
	link, _ := os.Readlink(outside + "/proc/self")
	pid, _ := strconv.Atoi(link)
	return pid
}

// sweepCgroups removes, from the real machine, the cgroups of runs that have
// ended, by a signal for instance.
func sweepCgroups() {
	mounts, _ := mountinfo.GetMounts(func(info *mountinfo.Info) (skip, stop bool) { return !strings.HasPrefix(info.FSType, "cgroup"), false })
	current, _ := cgroupOf("self")
	for _, mount := range mounts {
		dir := mount.Mountpoint
		if mount.FSType == "cgroup2" {
			dir = filepath.Join(dir, current)
		}
		left, _ := filepath.Glob(filepath.Join(dir, cgroupPrefix+"*"))
		for _, dir := range left {
			pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix), ".")
			if _, err := os.Stat("/proc/" + pid); errors.Is(err, fs.ErrNotExist) {
				removeCgroups(dir)
			}
		}
	}
}

func leaveHost() {
	_ = os.WriteFile(filepath.Join(cgroupRoot, filepath.Dir(ownCgroup), "cgroup.procs"), []byte("0"), 0)
	removeCgroups(cgroupRoot + ownCgroup)
}

// removeCgroups removes the directory and all below it that is empty.
func removeCgroups(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			removeCgroups(filepath.Join(dir, entry.Name()))
		}
	}
	_ = unix.Rmdir(dir)
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

// freshEtc makes a throw-away copy of /etc.
func freshEtc() error {
	for unix.Unmount("/etc", unix.MNT_DETACH) == nil {
	}
	if err := unix.Mount("overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir=/run/etc,workdir=/run/work"); err != nil {
		return fmt.Errorf("mount /etc: %w", err)
	}
	for _, dir := range []string{"/etc/netns", "/etc/conf.d"} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
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
	return nil
}

func inodeOf(path string) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return 0, fmt.Errorf("look at %s: %w", path, err)
	}
	return stat.Ino, nil
}

// newNetns makes a network namespace, on a thread that goes with it.
func newNetns(mark string) (*netns, error) {
	type result struct {
		n   *netns
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		n, err := func() (*netns, error) {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return nil, err
			}
			if err := addMark(mark); err != nil {
				return nil, err
			}
			file, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				return nil, err
			}
			inode, err := inodeOf("/proc/thread-self/ns/net")
			return &netns{file, inode, mark}, err
		}()
		done <- result{n, err}
	}()
	r := <-done
	if r.err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", r.err)
	}
	return r.n, nil
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

// bindName makes a name of the namespace whose file is source, as ip-netns(8)
// does.
func bindName(name, source string) error {
	path := "/run/netns/" + name
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return err
	}
	return unix.Mount(source, path, "", unix.MS_BIND, "")
}
