package mounts

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
)

// BindAgain makes a bind in the mount namespace, as View.Apply has made it, and
// reports whether it was gone: one that is there is left alone. Its source is
// what the calling thread sees, which has to be in the host's mount namespace. It
// waits for the file systems of n, which may be for ever. It needs CAP_SYS_ADMIN and
// CAP_SYS_CHROOT.
func (n *Namespace) BindAgain(b Bind) (bound bool, err error) {
	const attempts = 10 // each time, the host has to replace the target just then
	for i := 0; i == 0 || i < attempts && errors.Is(err, unix.ENOENT); i++ {
		if err := b.Check(); err != nil {
			return false, err
		}
		var t tree
		if t, err = b.pickUp(); err != nil {
			return false, err
		}
		err = n.do(func() (err error) {
			bound, err = t.bindAgain()
			return err
		})
		unix.Close(t.fd)
	}
	return bound, err
}

// bindAgain puts the tree down if its target is something else. It reports
// whether it did.
func (t tree) bindAgain() (bound bool, err error) {
	ours, err := files.Identify(t.fd, "")
	if err != nil {
		return false, fmt.Errorf("look at %q: %w", t.source, err)
	}
	if there, err := files.Identify(unix.AT_FDCWD, t.target); err == nil && there == ours {
		return false, nil
	}
	if shared, err := isShared(t.target); err != nil || shared {
		return false, errors.Join(err, fmt.Errorf("%q is on a mount that is shared: what is bound there would be bound elsewhere too", t.target))
	}
	if t.replaces() {
		if t.replace() == nil {
			return true, nil
		}
		// Before Linux 6.5 there is a moment without any, as the kernel
		// mounts nothing over a file that was removed.
		if err := unix.Unmount(t.target, unix.MNT_DETACH); err != nil {
			return false, fmt.Errorf("unmount what was bound over %q: %w", t.target, err)
		}
	}
	err = t.bind()
	return err == nil, err
}

// isShared reports whether what is mounted on a file, or over what is mounted there,
// appears in other mount namespaces too, the host's perhaps. What Apply has made is
// not shared, but the service may have.
func isShared(path string) (bool, error) {
	at, err := files.MountOf(unix.AT_FDCWD, path)
	if err != nil {
		return false, fmt.Errorf("look at %q: %w", path, err)
	}
	table, err := files.Read("/proc/thread-self/mountinfo")
	if err != nil {
		return false, err
	}
	mounts, err := mountinfo.GetMountsFromReader(bytes.NewReader(table), nil)
	parents, shared := map[int]int{}, map[int]bool{}
	for _, m := range mounts {
		parents[m.ID], shared[m.ID] = m.Parent, strings.Contains(m.Optional, "shared:")
	}
	on := int(at)
	return shared[on] || shared[parents[on]], err
}

// replaces reports whether on the target is a mount of a file that had the name
// of the source, and has been removed since: one that Apply has made.
func (t tree) replaces() bool {
	target, err := files.MountOf(unix.AT_FDCWD, t.target)
	if err != nil {
		return false
	}
	table, err := files.Read("/proc/thread-self/mountinfo")
	if err != nil {
		return false
	}
	mounts, err := mountinfo.GetMountsFromReader(bytes.NewReader(table), func(m *mountinfo.Info) (skip, stop bool) {
		return uint64(m.ID) != target, uint64(m.ID) == target
	})
	// Its root is given from that of its file system on, where /etc may be one.
	name := path.Join("/", path.Base(path.Dir(t.source)), path.Base(t.source)) + "//deleted"
	return err == nil && len(mounts) == 1 && strings.HasSuffix(mounts[0].Root, name)
}

// moveMountBeneath is MOVE_MOUNT_BENEATH of linux/mount.h (Linux 6.5).
const moveMountBeneath = 0x200

// replace puts the tree beneath the mount that is on the target, and takes that
// away: who reads the target sees the old one or the new.
func (t tree) replace() error {
	if err := unix.MountSetattr(t.fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Propagation: unix.MS_SLAVE}); err != nil {
		return err
	}
	if err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, t.target,
		unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS|moveMountBeneath); err != nil {
		return err
	}
	return unix.Unmount(t.target, unix.MNT_DETACH)
}
