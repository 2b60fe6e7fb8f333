package vrf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
)

// hierarchy is the cgroup v2 file system: where it usually is, or else mounted
// for this process alone, so that it does not matter where, and whether, the
// host has it. A process that may not mount, because it is locked, looks
// further.
type hierarchy struct{ fd int }

func openHierarchy() (*hierarchy, error) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if h := openRoot(dir); h != nil {
			return h, nil
		}
	}
	fsfd, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	switch {
	case errors.Is(err, unix.ENODEV):
		return nil, errors.New("cgroup v2 is not available: this kernel was built without CONFIG_CGROUPS")
	case errors.Is(err, unix.ENOSYS):
		return nil, errors.New("this kernel has no fsopen(2): Linux 5.2 or later is needed")
	case errors.Is(err, unix.EPERM):
		return mountedHierarchy()
	case err != nil:
		return nil, fmt.Errorf("open cgroup v2: %w", err)
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, fmt.Errorf("cgroup v2 is not available here: %w", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mount cgroup v2 for this process: %w", err)
	}
	return &hierarchy{fd}, nil
}

// openRoot opens dir if it is the root that the paths in /proc/PID/cgroup start
// from; nil if not. To take that down again which was mounted for this process
// alone makes the kernel wait for all CPUs, which is worth the look.
func openRoot(dir string) *hierarchy {
	var own, hosts, root unix.Stat_t
	var fs unix.Statfs_t
	if unix.Stat("/proc/thread-self/ns/cgroup", &own) != nil || unix.Stat("/proc/1/ns/cgroup", &hosts) != nil ||
		own.Ino != hosts.Ino {
		return nil // in a cgroup namespace the paths start elsewhere
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	const rootInode = 1 // of kernfs; a part of the hierarchy, bound there, has another
	if unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC &&
		unix.Fstat(fd, &root) == nil && root.Ino == rootInode {
		return &hierarchy{fd}
	}
	unix.Close(fd)
	return nil
}

func mountedHierarchy() (*hierarchy, error) {
	table, err := files.Read("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find cgroup v2: %w", err)
	}
	mounts, err := mountinfo.GetMountsFromReader(bytes.NewReader(table), mountinfo.FSTypeFilter("cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("find cgroup v2: %w", err)
	}
	for _, m := range mounts {
		if m.Root != "/" {
			continue
		}
		if fd, err := unix.Open(m.Mountpoint, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			return &hierarchy{fd}, nil
		}
	}
	return nil, errors.New("cgroup v2 is not mounted, and this process may not mount it")
}

func (h *hierarchy) close() { unix.Close(h.fd) }

// open opens the directory of the cgroup, a path as in /proc/PID/cgroup.
func (h *hierarchy) open(cgroup string) (int, error) { return openBelow(h.fd, cgroup) }

// openBelow opens the directory of a cgroup that is given relative to another one.
func openBelow(dir int, cgroup string) (int, error) {
	return unix.Openat(dir, path.Join(".", cgroup), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// makeBelow makes a cgroup that is given relative to another one, and those
// between the two, where they are missing.
func makeBelow(dir int, cgroup string) error {
	made := "."
	for part := range strings.SplitSeq(strings.Trim(cgroup, "/"), "/") {
		made = path.Join(made, part)
		if err := unix.Mkdirat(dir, made, 0o755); err != nil && err != unix.EEXIST {
			return fmt.Errorf("create cgroup %q: %w", cgroup, err)
		}
	}
	return nil
}

// mkdir makes the cgroup, and reports whether it was missing.
func (h *hierarchy) mkdir(cgroup string) (made bool, err error) {
	err = unix.Mkdirat(h.fd, "."+cgroup, 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("create cgroup %q: %w", cgroup, err)
	}
	return true, nil
}

// join moves the process pid, or this one where it is 0, into the cgroup.
func (h *hierarchy) join(cgroup string, pid int) error {
	dir, err := h.open(cgroup)
	if err == nil {
		err = joinDir(dir, pid)
		unix.Close(dir)
	}
	if err != nil {
		return fmt.Errorf("join cgroup %q: %w", cgroup, err)
	}
	return nil
}

// joinDir is join for a cgroup that is open: this one and no other that has
// come to have its name. The kernel answers ENOENT or ENODEV for one that has been
// removed.
func joinDir(dir, pid int) error {
	fd, err := unix.Openat(dir, "cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, strconv.AppendInt(nil, int64(pid), 10))
	return err
}

// remove removes the cgroup if nothing is in it.
func (h *hierarchy) remove(cgroup string) error {
	return unix.Unlinkat(h.fd, "."+cgroup, unix.AT_REMOVEDIR)
}

// Processes lists the processes in a cgroup, a path as in /proc/PID/cgroup. It is an
// error if there are cgroups below, whose processes are its own too.
func Processes(cgroup string) ([]int, error) {
	h, err := openHierarchy()
	if err != nil {
		return nil, err
	}
	defer h.close()
	dir := fmt.Sprintf("/proc/thread-self/fd/%d/%s/", h.fd, path.Join(".", cgroup))
	entries, err := files.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the processes of cgroup %q: %w", cgroup, err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			return nil, fmt.Errorf("there are cgroups below cgroup %q", cgroup)
		}
	}
	lines, err := files.Read(dir + "cgroup.procs")
	if err != nil {
		return nil, fmt.Errorf("list the processes of cgroup %q: %w", cgroup, err)
	}
	var pids []int
	for line := range strings.Lines(string(lines)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Current returns the cgroup v2 of this process, as in /proc/PID/cgroup.
func Current() (string, error) {
	return cgroupIn("/proc/self/cgroup")
}

// Of is Current for another process.
func Of(pid int) (string, error) { return cgroupIn(fmt.Sprintf("/proc/%d/cgroup", pid)) }

func cgroupIn(file string) (string, error) {
	table, err := files.Read(file)
	if err != nil {
		return "", fmt.Errorf("find the cgroup of this process: %w", err)
	}
	for line := range bytes.Lines(table) {
		cgroup, v2 := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "0::")
		if !v2 {
			continue
		}
		if strings.HasPrefix(cgroup, "/..") {
			return "", errors.New("the cgroup of this process lies outside of its cgroup namespace")
		}
		return cgroup, nil
	}
	return "", errors.New("cgroup v2 is not available: this process is in none")
}
