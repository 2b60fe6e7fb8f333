package files

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ID tells a file from every other one.
type ID struct{ Device, Inode uint64 }

// Identify returns the ID of the file at path below the directory dir, of dir
// itself where path is empty. It opens nothing, so that it waits for nothing but
// file systems on the way; where others decide about these, a View does. Any
// thread may call it.
func Identify(dir int, path string) (ID, error) {
	if path != "" {
		fd, err := unix.Openat(dir, path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return ID{}, err
		}
		defer unix.Close(fd)
		dir = fd
	}
	stat, err := look(dir)
	return ID{unix.Mkdev(stat.Dev_major, stat.Dev_minor), stat.Ino}, err
}

// Identify returns the ID of the file that a path leads to.
func (v *View) Identify(path string) (ID, error) {
	fd, err := v.open(path)
	if err != nil {
		return ID{}, err
	}
	defer unix.Close(fd)
	return Identify(fd, "")
}

// ErrOtherRoot says that a process is in a chroot, or has another root mounted.
var ErrOtherRoot = errors.New("the process has another root directory")

// OpenSameView is OpenView for a process whose root directory has to be that of
// this one too; else the error is ErrOtherRoot. It may be in a chroot of that on
// another mount still, which RootMount tells.
func OpenSameView(pid int) (*View, error) {
	v, err := OpenView(pid)
	if err != nil {
		return nil, err
	}
	its, err := Identify(v.root, "")
	ours, ourErr := Identify(unix.AT_FDCWD, "/")
	if err != nil || ourErr != nil || its != ours {
		v.Close()
		return nil, ErrOtherRoot
	}
	return v, nil
}

// RootMount is the number of the mount that the root directory is on; 0 before Linux
// 5.8.
func (v *View) RootMount() (uint64, error) { return MountOf(v.root, "") }

// MountOf is the number of the mount that a file is on, as Identify finds it; 0 before
// Linux 5.8.
func MountOf(dir int, path string) (uint64, error) {
	flags := unix.AT_STATX_DONT_SYNC
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var stat unix.Statx_t
	err := unix.Statx(dir, path, flags, unix.STATX_MNT_ID, &stat)
	return stat.Mnt_id, err
}
