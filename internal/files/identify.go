package files

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ID tells a file from every other one.
type ID struct{ Device, Inode uint64 }

// Identify returns the ID of the file at path below the directory dir, of dir
// itself where path is empty; resolve is that of openat2(2). It opens nothing,
// so that it waits for nothing, whatever lies there. Any thread may call it.
func Identify(dir int, path string, resolve uint64) (ID, error) {
	var stat unix.Stat_t
	if path == "" {
		err := unix.Fstat(dir, &stat)
		return ID{uint64(stat.Dev), stat.Ino}, err
	}
	fd, err := unix.Openat2(dir, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve})
	if errors.Is(err, unix.ENOSYS) && resolve == 0 { // Linux 5.6
		fd, err = unix.Openat(dir, path, unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return ID{}, err
	}
	defer unix.Close(fd)
	err = unix.Fstat(fd, &stat)
	return ID{uint64(stat.Dev), stat.Ino}, err
}

// ErrOtherRoot says that a process is in a chroot, or has another root mounted.
var ErrOtherRoot = errors.New("the process has another root directory")

// OpenRoot opens the root directory of a process, if that is the one of this
// process too, with O_PATH; else the error is ErrOtherRoot.
func OpenRoot(pid int) (int, error) {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	its, err := Identify(root, "", 0)
	ours, ourErr := Identify(unix.AT_FDCWD, "/", 0)
	if err != nil || ourErr != nil || its != ours {
		unix.Close(root)
		return -1, ErrOtherRoot
	}
	return root, nil
}
