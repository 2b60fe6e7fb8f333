package mounts

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unsafe"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
)

// sysMount is the sysfs on /sys.
type sysMount struct {
	id   uint64
	attr uint64 // MOUNT_ATTR_* of mount_setattr(2)
}

// mountsOfSys finds the sysfs on /sys, nil if there is none, and the points of
// the mounts directly on it, in order. Any thread may call it, for its own
// mount namespace.
//
// listmount(2) and statmount(2) of Linux 6.8 tell of these mounts alone. The
// mount table, which has to do on an older kernel, grows with every network
// namespace that has a name.
func mountsOfSys() (*sysMount, []string, error) {
	old, below, err := askMountsOfSys()
	switch err {
	case nil:
		return old, below, nil
	case unix.ENOSYS, unix.EPERM, unix.EINVAL, // an older kernel, a filter of system calls
		unix.ENOENT: // no /sys, which the table has to confirm
		return readMountsOfSys()
	}
	return nil, nil, err
}

func askMountsOfSys() (*sysMount, []string, error) {
	var sys unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, "/sys", unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID_UNIQUE, &sys); err != nil {
		return nil, nil, err
	}
	if sys.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return nil, nil, unix.ENOSYS
	}
	top, err := statmount(sys.Mnt_id, statSuperblock|statMount|statPoint)
	if err != nil {
		return nil, nil, err
	}
	if top.magic != unix.SYSFS_MAGIC || top.point != "/sys" {
		return nil, nil, nil
	}
	var points []string
	ids, err := listmount(top.id)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		m, err := statmount(id, statMount|statPoint)
		if err == unix.ENOENT { // gone since
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if m.parent == top.id {
			points = append(points, m.point)
		}
	}
	return &sysMount{top.id, top.attr}, points, nil
}

// mountRequest is struct mnt_id_req of linux/mount.h, in its first size.
type mountRequest struct {
	size, _   uint32
	id, param uint64
}

// What statmount(2) is asked for: STATMOUNT_SB_BASIC, _MNT_BASIC and _MNT_POINT
// of linux/mount.h.
const (
	statSuperblock = 0x01
	statMount      = 0x02
	statPoint      = 0x10
)

type mountStatus struct {
	id, parent, attr, magic uint64
	point                   string
}

// statmount is statmount(2) for the mount of that number (STATX_MNT_ID_UNIQUE).
func statmount(id, mask uint64) (mountStatus, error) {
	// The offsets in struct statmount of linux/mount.h. What is a string is an
	// offset too, from its end.
	const offsetMagic, offsetID, offsetParent, offsetAttr, offsetPoint, end = 24, 40, 48, 64, 108, 512
	var buffer [end + unix.PathMax]byte
	request := mountRequest{id: id, param: mask}
	request.size = uint32(unsafe.Sizeof(request))
	_, _, errno := unix.Syscall6(unix.SYS_STATMOUNT, uintptr(unsafe.Pointer(&request)),
		uintptr(unsafe.Pointer(&buffer)), unsafe.Sizeof(buffer), 0, 0, 0)
	if errno != 0 {
		return mountStatus{}, errno
	}
	number := func(offset int) uint64 { return binary.NativeEndian.Uint64(buffer[offset:]) }
	m := mountStatus{id: number(offsetID), parent: number(offsetParent), attr: number(offsetAttr), magic: number(offsetMagic)}
	if at := binary.NativeEndian.Uint32(buffer[offsetPoint:]); at < unix.PathMax {
		m.point = unix.ByteSliceToString(buffer[end+at:])
	}
	return m, nil
}

// listmount is listmount(2): the mounts below that one, at any depth.
func listmount(id uint64) ([]uint64, error) {
	var ids []uint64
	var buffer [64]uint64
	request := mountRequest{id: id}
	request.size = uint32(unsafe.Sizeof(request))
	for {
		n, _, errno := unix.Syscall6(unix.SYS_LISTMOUNT, uintptr(unsafe.Pointer(&request)),
			uintptr(unsafe.Pointer(&buffer)), uintptr(len(buffer)), 0, 0, 0)
		if errno != 0 {
			return nil, errno
		}
		ids = append(ids, buffer[:n]...)
		if int(n) < len(buffer) {
			return ids, nil
		}
		request.param = buffer[n-1]
	}
}

// readMountsOfSys is askMountsOfSys by proc_pid_mountinfo(5).
func readMountsOfSys() (*sysMount, []string, error) {
	table, err := files.Read("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, nil, err
	}
	mounts, err := mountinfo.GetMountsFromReader(bytes.NewReader(table), mountinfo.PrefixFilter("/sys"))
	if err != nil {
		return nil, nil, err
	}
	var top *mountinfo.Info
	for _, m := range mounts {
		if m.Mountpoint == "/sys" && (top == nil || m.Parent == top.ID) { // that is not covered by another one there
			top = m
		}
	}
	if top == nil || top.FSType != "sysfs" {
		return nil, nil, nil
	}
	old := &sysMount{id: uint64(top.ID)}
	for option := range strings.SplitSeq(top.Options, ",") {
		old.attr |= attrOf[option]
	}
	var points []string
	for _, m := range mounts {
		if m.Parent == top.ID && m.ID != top.ID {
			points = append(points, m.Mountpoint)
		}
	}
	return old, points, nil
}

// attrOf gives the flags of mount_setattr(2) for the options in the mount
// table.
var attrOf = map[string]uint64{
	"ro": unix.MOUNT_ATTR_RDONLY, "nosuid": unix.MOUNT_ATTR_NOSUID, "nodev": unix.MOUNT_ATTR_NODEV,
	"noexec": unix.MOUNT_ATTR_NOEXEC, "noatime": unix.MOUNT_ATTR_NOATIME, "nodiratime": unix.MOUNT_ATTR_NODIRATIME,
}
