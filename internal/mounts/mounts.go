// Package mounts gives a process its own view of /sys, /etc and of the
// host's resolver sockets, to match the network namespace that it is in.
//
// It builds on mount_namespaces(7) and on the mount interface of Linux 5.2
// (open_tree(2), fsopen(2), move_mount(2)): a tree is picked up by descriptor
// before anything is covered, and put down on its new place afterwards, flags
// and all.
package mounts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/procfs"
)

// EtcDir holds a directory for each namespace with the files that stand in
// for those of /etc, as in ip-netns(8).
const EtcDir = "/etc/netns"

// resolvers are directories with the sockets of name-service daemons. A
// socket in the file system is reached from every network namespace, so the
// C library would hand a query to the host's daemon, which asks outside.
// They are the two places where glibc looks for nscd(8).
var resolvers = [...]string{"/run/nscd", "/var/run/nscd"}

// Bind puts the file or directory Source over Target, both absolute paths.
type Bind struct{ Source, Target string }

// View is what a process is to see, where that is not what its caller sees.
type View struct {
	// Sysfs asks for the /sys of the network namespace that Apply runs in.
	Sysfs bool
	// Binds are made in order.
	Binds []Bind
	// Hide are paths to cover: a directory with an empty, read-only one,
	// anything else with /dev/null.
	Hide []string
	// Lock makes read-only what belongs to the kernel as a whole: /proc/sys, /sys
	// and the like. It needs Linux 5.12 or later.
	Lock bool
	// NetSysctl excepts /proc/sys/net from Lock.
	NetSysctl bool
}

// EtcBinds lists the binds for the entries of /etc/netns/NAME; none where the
// directory does not exist. It is an error if an entry's target is missing or
// not of the same kind, because what the entry was to replace would be seen.
func EtcBinds(name string) ([]Bind, error) {
	binds, err := EtcEntries(name)
	if err != nil {
		return nil, err
	}
	for _, bind := range binds {
		if err := bind.Check(); err != nil {
			return nil, err
		}
	}
	return binds, nil
}

// EtcEntries is EtcBinds without a look at the targets.
func EtcEntries(name string) ([]Bind, error) {
	dir := filepath.Join(EtcDir, name)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the files of the namespace: %w", err)
	}
	var binds []Bind
	for _, entry := range entries {
		binds = append(binds, Bind{filepath.Join(dir, entry.Name()), filepath.Join("/etc", entry.Name())})
	}
	return binds, nil
}

// Check finds out whether the bind can be made: both have to exist, and to be of
// the same kind.
func (b Bind) Check() error {
	source, err := os.Stat(b.Source)
	if err != nil {
		return fmt.Errorf("cannot bind %q over %q: %w", b.Source, b.Target, err)
	}
	target, err := os.Stat(b.Target)
	if errors.Is(err, fs.ErrNotExist) {
		if link, err := os.Readlink(b.Target); err == nil {
			return fmt.Errorf("cannot bind %q over %q: it is a link to %q, which does not exist; create that file, or remove the link and create %s",
				b.Source, b.Target, link, b.Target)
		}
		return fmt.Errorf("cannot bind %q over %q, which does not exist; create it, or remove %s",
			b.Source, b.Target, b.Source)
	}
	if err != nil {
		return fmt.Errorf("cannot bind %q over %q: %w", b.Source, b.Target, err)
	}
	if source.IsDir() != target.IsDir() {
		return fmt.Errorf("cannot bind %q over %q: one is a directory and the other is not", b.Source, b.Target)
	}
	return nil
}

// Hidden lists what to hide: the host's resolver sockets where there are any,
// and the paths in extra, which have to be absolute and to exist.
func Hidden(extra []string) ([]string, error) {
	var hide []string
	var seen os.FileInfo
	for _, dir := range resolvers {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || seen != nil && os.SameFile(info, seen) {
			continue // /var/run is mostly a link to /run
		}
		seen = info
		hide = append(hide, dir)
	}
	for _, path := range extra {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("cannot hide %q: give an absolute path", path)
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("cannot hide %q: %w", path, errors.Unwrap(err))
		}
		hide = append(hide, path)
	}
	return hide, nil
}

// Apply moves the calling thread into a mount namespace of its own and builds
// the view there. It needs CAP_SYS_ADMIN and a locked thread, which is already
// in the network namespace that /sys is to show. Nothing that it mounts is
// seen outside; what the host mounts later arrives inside where the host
// shares its mounts. Where the kernel forbids a new sysfs, as it does in some
// containers, the old view of /sys stays and warn is told.
//
// A View that asks for nothing leaves the thread in the mount namespace where it
// is. After an error the thread is somewhere in between: exit, and the kernel
// takes it all down.
func (v View) Apply(warn func(string)) error {
	if !v.Sysfs && len(v.Binds) == 0 && len(v.Hide) == 0 && !v.Lock {
		return nil
	}
	cwd, err := unix.Getwd()
	if err != nil {
		cwd = "" // it was removed; nothing to come back to
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("create a mount namespace: %w", err)
	}
	err = unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) {
		return errors.New(`cannot keep mounts apart from the host's: "/" is not a mount point, as in a chroot; bind it onto itself before chroot: mount --rbind DIR DIR`)
	}
	if err != nil {
		return fmt.Errorf("keep mounts apart from the host's: %w", err)
	}

	// The sources are picked up first: a bind over /etc/netns, or a new /sys,
	// must not change what the next one finds.
	trees := make([]tree, 0, len(v.Binds))
	for _, bind := range v.Binds {
		t, err := pickUp(bind.Source, bind.Target)
		if err != nil {
			return err
		}
		trees = append(trees, t)
	}
	if v.Sysfs {
		if err := newSysfs(warn); err != nil {
			return err
		}
	}
	for _, t := range trees {
		if err := t.putDown(); err != nil {
			return err
		}
	}
	for _, path := range v.Hide {
		if err := hide(path); err != nil {
			return err
		}
	}
	if v.Sysfs && (cwd == "/sys" || strings.HasPrefix(cwd, "/sys/")) {
		if err := unix.Chdir(cwd); err != nil {
			return fmt.Errorf("working directory %q in the namespace's /sys: %w", cwd, err)
		}
	}
	if !v.Lock {
		return nil
	}
	if err := v.lockKernel(); err != nil {
		return err
	}
	return comeBack(cwd)
}

var errOldKernel = errors.New("this kernel has no open_tree(2) or fsopen(2): Linux 5.2 or later is needed")

// GoHome moves the calling thread into the mount namespace of process 1, if it
// is in another one over the same root directory: one that Apply made, then. It
// needs CAP_SYS_ADMIN and CAP_SYS_CHROOT and a locked thread, and makes "/" the
// working directory (setns(2)).
func GoHome() error {
	if same("/proc/thread-self/ns/mnt", "/proc/1/ns/mnt") || !same("/", "/proc/1/root") {
		return nil
	}
	home, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the mount namespace of process 1: %w", err)
	}
	defer unix.Close(home)
	// The threads of a process share their root and working directory, and
	// setns(2) wants a thread that does not.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("enter the mount namespace of process 1: %w", err)
	}
	if err := unix.Setns(home, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the mount namespace of process 1: %w", err)
	}
	return nil
}

// same reports whether two paths lead to one file.
func same(a, b string) bool {
	var x, y unix.Stat_t
	if unix.Stat(a, &x) != nil || unix.Stat(b, &y) != nil {
		return false
	}
	return x.Dev == y.Dev && x.Ino == y.Ino
}

// tree is a mount with all below it, picked up and not yet put down.
type tree struct {
	fd     int
	source string
	target string
}

func pickUp(source, target string) (tree, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, source,
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if errors.Is(err, unix.ENOSYS) {
		return tree{}, errOldKernel
	}
	if err != nil {
		return tree{}, fmt.Errorf("bind %q over %q: %w", source, target, err)
	}
	return tree{fd, source, target}, nil
}

func (t tree) putDown() error {
	defer unix.Close(t.fd)
	err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, t.target,
		unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS)
	if err != nil {
		return fmt.Errorf("bind %q over %q: %w", t.source, t.target, err)
	}
	return nil
}

func hide(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("hide %q: %w", path, errors.Unwrap(err))
	}
	if !info.IsDir() {
		null, err := pickUp("/dev/null", path)
		if err != nil {
			return err
		}
		return null.putDown()
	}
	err = unix.Mount("none", path, "tmpfs",
		unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4k,mode=0555")
	if err != nil {
		return fmt.Errorf("hide %q: %w", path, err)
	}
	return nil
}

// newSysfs replaces /sys by one that shows this thread's network namespace,
// and carries over what was mounted below the old one: control groups, bpf,
// debugfs and so on, which ip-netns(8) loses.
func newSysfs(warn func(string)) error {
	table, err := procfs.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return fmt.Errorf("read the mounts below /sys: %w", err)
	}
	mounts, err := mountinfo.GetMountsFromReader(bytes.NewReader(table), mountinfo.PrefixFilter("/sys"))
	if err != nil {
		return fmt.Errorf("read the mounts below /sys: %w", err)
	}
	old := topmost("/sys", mounts)
	if old == nil || old.FSType != "sysfs" {
		return nil // this system does without
	}
	sysfs, err := makeSysfs(old.Options)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		warn("the kernel allows no new /sys here, as in a container: /sys still shows the devices of the caller's network namespace")
		return nil
	}
	if err != nil {
		return fmt.Errorf("mount a new /sys: %w", err)
	}
	trees := []tree{{sysfs, "sysfs", "/sys"}}
	for _, m := range mounts {
		if m.Parent != old.ID || m.ID == old.ID {
			continue
		}
		t, err := pickUp(m.Mountpoint, m.Mountpoint)
		if err != nil {
			return err
		}
		trees = append(trees, t)
	}
	// A mount that came with a container is locked (mount_namespaces(7)):
	// it stays, and the new one covers it.
	_ = unix.Unmount("/sys", unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	for _, t := range trees {
		if err := t.putDown(); err != nil {
			return err
		}
	}
	return nil
}

// topmost finds the mount at path that is not covered by another one there.
func topmost(path string, mounts []*mountinfo.Info) *mountinfo.Info {
	var top *mountinfo.Info
	for _, m := range mounts {
		if m.Mountpoint == path && (top == nil || m.Parent == top.ID) {
			top = m
		}
	}
	return top
}

// makeSysfs returns a detached sysfs with the flags in options, the per-mount
// options of proc_pid_mountinfo(5).
func makeSysfs(options string) (int, error) {
	fsfd, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) {
		return -1, errOldKernel
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return -1, err
	}
	attr := 0
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "ro":
			attr |= unix.MOUNT_ATTR_RDONLY
		case "nosuid":
			attr |= unix.MOUNT_ATTR_NOSUID
		case "nodev":
			attr |= unix.MOUNT_ATTR_NODEV
		case "noexec":
			attr |= unix.MOUNT_ATTR_NOEXEC
		case "noatime":
			attr |= unix.MOUNT_ATTR_NOATIME
		case "nodiratime":
			attr |= unix.MOUNT_ATTR_NODIRATIME
		}
	}
	return unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, attr)
}
