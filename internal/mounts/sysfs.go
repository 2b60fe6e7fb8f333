package mounts

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// mark is the source of the /sys that a view has, for who looks into a mount
// namespace for our mounts.
const mark = "openrc-netns"

// newSysfs replaces /sys by one that shows this thread's network namespace,
// and carries over what was mounted below the old one: control groups, bpf,
// debugfs and so on, which ip-netns(8) loses.
func newSysfs(warn func(string)) error {
	old, below, err := mountsOfSys()
	if err != nil {
		return fmt.Errorf("list the mounts below /sys: %w", err)
	}
	if old == nil {
		return nil // this system does without
	}
	sysfs, err := makeSysfs(old.attr)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		warn("the kernel allows no new /sys here, as in a container: /sys still shows the devices of the caller's network namespace")
		return nil
	}
	if err != nil {
		return fmt.Errorf("mount a new /sys: %w", err)
	}
	trees := []tree{{sysfs, "sysfs", "/sys"}}
	for _, point := range below {
		t, err := pickUp(point, point)
		if err != nil {
			return err
		}
		trees = append(trees, t)
	}
	// A mount that came with a container is locked (mount_namespaces(7)):
	// it stays, and the new one covers it.
	_ = unix.Unmount("/sys", unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	for _, t := range trees {
		err := t.putDown()
		if errors.Is(err, unix.ENOENT) && t.target != "/sys" {
			// On a directory of a device that is not in this namespace.
			warn(fmt.Sprintf("the mount on %s is not in the namespace's /sys, which has no such directory", t.target))
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeSysfs returns a detached sysfs with these flags, MOUNT_ATTR_* of
// mount_setattr(2).
func makeSysfs(attr uint64) (int, error) {
	fsfd, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) {
		return -1, errOldKernel
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigSetString(fsfd, "source", mark); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return -1, err
	}
	const kept = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC |
		unix.MOUNT_ATTR_NOATIME | unix.MOUNT_ATTR_NODIRATIME
	return unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, int(attr&kept))
}
