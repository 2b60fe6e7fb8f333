package mounts

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
)

// kernelProc are the entries of proc(5) that belong to the kernel as a whole,
// and not to a process: whoever may write there can have a program run in the
// first namespaces (sys/kernel/core_pattern), or stop the machine. Most kernels
// lack some of them.
var kernelProc = [...]string{"sys", "sysrq-trigger", "bus", "fs", "irq", "acpi", "scsi"}

// kernelTypes are the file systems that belong to the kernel in the same way.
// Control groups are not among them, which OpenRC needs, nor those of security
// modules: their libraries ask questions by writing.
var kernelTypes = [...]string{
	"binfmt_misc", "bpf", "configfs", "debugfs", "efivarfs", "fusectl", "nfsd", "pstore", "resctrl", "sysfs", "tracefs", "xenfs",
}

// lockKernel makes what belongs to the kernel as a whole read-only, wherever it
// is mounted. It is for the last step of Apply: what it does cannot be undone
// without CAP_SYS_ADMIN.
func (v *View) lockKernel() error {
	table, err := files.Read("/proc/thread-self/mountinfo")
	if err != nil {
		return fmt.Errorf("make /proc/sys read-only: %w", err)
	}
	mounts, err := mountinfo.GetMountsFromReader(bytes.NewReader(table), nil)
	if err != nil {
		return fmt.Errorf("make /proc/sys read-only: %w", err)
	}
	for _, m := range mounts {
		switch {
		case m.FSType == "proc" && m.Root == "/":
			err = v.lockProc(m)
		case m.FSType == "proc" && v.isKernelProc(m.Root), slices.Contains(kernelTypes[:], m.FSType):
			err = v.lockMount(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isKernelProc is asked about a part of proc that is mounted by itself.
func (v *View) isKernelProc(root string) bool {
	if v.NetSysctl && strings.HasPrefix(root+"/", "/sys/net/") {
		return false
	}
	name, _, _ := strings.Cut(root[1:], "/")
	return slices.Contains(kernelProc[:], name)
}

// lockMount makes a mount read-only, unless it is covered by another one and so
// out of reach.
func (v *View) lockMount(m *mountinfo.Info) error {
	fd, err := openMount(m)
	if err == nil && fd >= 0 {
		defer unix.Close(fd)
		err = setReadOnly(fd, unix.AT_EMPTY_PATH)
	}
	if err != nil {
		return fmt.Errorf("make %q read-only: %w", m.Mountpoint, err)
	}
	return nil
}

// lockProc covers the kernel's part of a proc file system by itself, read-only.
func (v *View) lockProc(m *mountinfo.Info) error {
	fd, err := openMount(m)
	if err != nil {
		return fmt.Errorf("make %q read-only: %w", m.Mountpoint+"/sys", err)
	}
	if fd < 0 {
		return nil
	}
	defer unix.Close(fd)
	net := -1
	if v.NetSysctl {
		if net, err = cloneTree(fd, "sys/net", 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("leave %q writable: %w", m.Mountpoint+"/sys/net", err)
		}
	}
	for _, name := range kernelProc {
		if err := coverReadOnly(fd, name); err != nil {
			return fmt.Errorf("make %q read-only: %w", filepath.Join(m.Mountpoint, name), err)
		}
	}
	if net < 0 {
		return nil
	}
	defer unix.Close(net)
	if err := unix.MoveMount(net, "", fd, "sys/net", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("leave %q writable: %w", m.Mountpoint+"/sys/net", err)
	}
	return nil
}

// coverReadOnly does nothing if there is no such file in dir.
func coverReadOnly(dir int, name string) error {
	fd, err := cloneTree(dir, name, unix.AT_RECURSIVE)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := setReadOnly(fd, unix.AT_EMPTY_PATH|unix.AT_RECURSIVE); err != nil {
		return err
	}
	return unix.MoveMount(fd, "", dir, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

func cloneTree(dir int, name string, flags uint) (int, error) {
	return unix.OpenTree(dir, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|flags)
}

func setReadOnly(fd int, flags uint) error {
	return unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// openMount opens the root of a mount; -1 if its path leads elsewhere, because
// it is covered.
func openMount(m *mountinfo.Info) (int, error) {
	fd, err := unix.Open(m.Mountpoint, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	var stat unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &stat); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if stat.Mnt_id != uint64(m.ID) {
		unix.Close(fd)
		return -1, nil
	}
	return fd, nil
}

// comeBack looks up the working directory again. It may be covered, by
// lockKernel or from before, and through the old directory everything would be
// writable.
func comeBack(cwd string) error {
	if cwd == "" {
		return errors.New("the working directory was removed, so a lock cannot tell what is there: start from another one")
	}
	if err := unix.Chdir(cwd); err != nil {
		return fmt.Errorf("working directory %q under a lock: %w", cwd, err)
	}
	return nil
}

// leaveOuterTree detaches what is outside the root directory, as in a chroot,
// from the thread's mount namespace: chroot(2) leads out of a chroot, and to a
// /proc that is not read-only. The root directory is a mount point here, or
// Apply would have failed.
func leaveOuterTree() error {
	wrap := func(err error) error {
		if err != nil {
			return fmt.Errorf("detach what is outside the root directory: %w", err)
		}
		return nil
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return wrap(err)
	}
	defer unix.Close(root)
	self, err := openNamespace("/proc/thread-self/ns/mnt")
	if err != nil {
		return wrap(err)
	}
	defer self.Close()
	// setns(2) makes the root of the mount namespace the root directory.
	if err := enter(self.fd); err != nil {
		return wrap(err)
	}
	var inner, outer unix.Statx_t
	if err := unix.Statx(root, "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_MNT_ID, &inner); err != nil {
		return wrap(err)
	}
	if err := unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_INO|unix.STATX_MNT_ID, &outer); err != nil {
		return wrap(err)
	}
	if inner.Mnt_id == outer.Mnt_id && inner.Ino == outer.Ino {
		return nil
	}
	if err := unix.Fchdir(root); err != nil {
		return wrap(err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return wrap(err)
	}
	return wrap(unix.Unmount(".", unix.MNT_DETACH))
}
