// Package cgroup opens, joins and removes control groups of cgroup v2
// (cgroups(7)), and knows the names that OpenRC, netns-exec and ip-vrf(8) give
// them. A cgroup is named by its path as in /proc/PID/cgroup.
package cgroup

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

// Dir is the open directory of a cgroup: of that one, and of no other that has
// come to have its path.
type Dir struct {
	fd   int
	path string
}

// OpenRoot opens the root of cgroup v2: where it usually is, or else mounted
// for this process alone, so that it does not matter where, and whether, the
// host has it. A process that may not mount, because it is locked, looks for it
// in the mount table.
func OpenRoot() (Dir, error) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if root, ok := openRoot(dir); ok {
			return root, nil
		}
	}
	fsfd, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	switch {
	case errors.Is(err, unix.ENODEV):
		return Dir{}, errors.New("cgroup v2 is not available: this kernel was built without CONFIG_CGROUPS")
	case errors.Is(err, unix.ENOSYS):
		return Dir{}, errors.New("this kernel has no fsopen(2): Linux 5.2 or later is needed")
	case errors.Is(err, unix.EPERM):
		return openMounted()
	case err != nil:
		return Dir{}, fmt.Errorf("open cgroup v2: %w", err)
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return Dir{}, fmt.Errorf("cgroup v2 is not available here: %w", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return Dir{}, fmt.Errorf("mount cgroup v2 for this process: %w", err)
	}
	return Dir{fd, "/"}, nil
}

// openRoot opens dir if it is the root that the paths in /proc/PID/cgroup start
// from. That is worth a look: to unmount one that was mounted for this process
// alone makes the kernel wait for all CPUs.
func openRoot(dir string) (root Dir, ok bool) {
	var own, hosts, stat unix.Stat_t
	var fs unix.Statfs_t
	if unix.Stat("/proc/thread-self/ns/cgroup", &own) != nil || unix.Stat("/proc/1/ns/cgroup", &hosts) != nil ||
		own.Ino != hosts.Ino {
		return Dir{}, false // in a cgroup namespace the paths start elsewhere
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Dir{}, false
	}
	const rootInode = 1 // of kernfs; a part of the hierarchy, bound there, has another
	if unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC &&
		unix.Fstat(fd, &stat) == nil && stat.Ino == rootInode {
		return Dir{fd, "/"}, true
	}
	unix.Close(fd)
	return Dir{}, false
}

// errHidden is what a locked process gets where the machine has no cgroup v2
// mounted.
var errHidden = errors.New("cgroup v2 is not mounted, and this process may not mount it")

func openMounted() (Dir, error) {
	table, err := files.Read("/proc/thread-self/mountinfo")
	if err != nil {
		return Dir{}, fmt.Errorf("find cgroup v2: %w", err)
	}
	mounts, err := mountinfo.GetMountsFromReader(bytes.NewReader(table), mountinfo.FSTypeFilter("cgroup2"))
	if err != nil {
		return Dir{}, fmt.Errorf("find cgroup v2: %w", err)
	}
	for _, m := range mounts {
		if m.Root != "/" {
			continue
		}
		if fd, err := unix.Open(m.Mountpoint, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			return Dir{fd, "/"}, nil
		}
	}
	return Dir{}, errHidden
}

// FD is the descriptor, for bpf(2).
func (d Dir) FD() int { return d.fd }

// Path is that of the cgroup when it was opened.
func (d Dir) Path() string { return d.path }

// Close gives the descriptor back.
func (d Dir) Close() { unix.Close(d.fd) }

// Open opens a cgroup below, or d once more for ".". The kernel answers ENOENT
// or ENODEV where it was removed, here and elsewhere.
func (d Dir) Open(below string) (Dir, error) {
	fd, err := unix.Openat(d.fd, path.Join(".", below), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Dir{}, fmt.Errorf("open cgroup %q: %w", path.Join(d.path, below), err)
	}
	return Dir{fd, path.Join(d.path, below)}, nil
}

// Make makes a cgroup below, and reports whether it was missing.
func (d Dir) Make(below string) (made bool, err error) {
	err = unix.Mkdirat(d.fd, path.Join(".", below), 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("create cgroup %q: %w", path.Join(d.path, below), err)
	}
	return true, nil
}

// MakeAll makes a cgroup below, and those between, where they are missing.
func (d Dir) MakeAll(below string) error {
	made := ""
	for part := range strings.SplitSeq(strings.Trim(below, "/"), "/") {
		made = path.Join(made, part)
		if _, err := d.Make(made); err != nil {
			return err
		}
	}
	return nil
}

// Join moves the process pid, or this one where it is 0, into a cgroup below,
// or into d for ".".
func (d Dir) Join(below string, pid int) error {
	fd, err := unix.Openat(d.fd, path.Join(".", below, "cgroup.procs"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, strconv.AppendInt(nil, int64(pid), 10))
		unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("join cgroup %q: %w", path.Join(d.path, below), err)
	}
	return nil
}

// Remove removes a cgroup below if nothing is in it.
func (d Dir) Remove(below string) error {
	if err := unix.Unlinkat(d.fd, path.Join(".", below), unix.AT_REMOVEDIR); err != nil {
		return fmt.Errorf("remove cgroup %q: %w", path.Join(d.path, below), err)
	}
	return nil
}

// RemoveUp removes the cgroups from cgroup up to, and without, the given one,
// as far as they are empty. It is a method of the root.
func (d Dir) RemoveUp(cgroup, stop string) {
	for cgroup != stop && cgroup != "/" && cgroup != "." {
		if err := d.Remove(cgroup); err != nil && !errors.Is(err, unix.ENOENT) {
			return
		}
		cgroup = path.Dir(cgroup)
	}
}
