package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// View is the file system as a process sees it. Who may mount there, or own a
// directory on the way, decides what a path leads to: a FUSE file system that
// never answers, a file that never ends. Nothing that View does waits for that.
type View struct {
	pid    int // of the process; 0: this one
	root   int
	mounts string // what the process has mounted, as proc_pid_mountinfo(5)
	// What has been admitted, by the numbers of mounts, each with a descriptor that
	// keeps another mount from getting the number.
	admitted map[int]int
	// Somebody else than root may write on the way to what was opened last.
	others bool
	firm   bool // see OpenFirm
	left   bool // to a thread that still waits
}

// WaitsError says that to get at a path is to wait for whatever is behind a
// file system.
type WaitsError struct{ Path, Kind string }

func (e *WaitsError) Error() string {
	return fmt.Sprintf("%q leads to a file system that is not the host's own (%s)", e.Path, e.Kind)
}

// ownMounts is what this process has mounted.
const ownMounts = "/proc/thread-self/mountinfo"

// OpenView opens the view of a process; with 0 that of this one.
func OpenView(pid int) (*View, error) {
	v, path := &View{pid: pid, mounts: ownMounts, admitted: map[int]int{}}, "/"
	if pid != 0 {
		v.mounts, path = Proc(pid)+"/mountinfo", Proc(pid)+"/root"
	}
	var err error
	if v.root, err = unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	return v, nil
}

// Close closes the view; nil is none.
func (v *View) Close() {
	if v == nil || v.left {
		return
	}
	unix.Close(v.root)
	for _, fd := range v.admitted {
		unix.Close(fd)
	}
}

// Read reads what has to be a regular file with no more than limit bytes.
func (v *View) Read(path string, limit int) ([]byte, error) {
	fd, err := v.open(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	stat, err := look(fd)
	switch {
	case err != nil:
		return nil, err
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%q is not a regular file", path)
	case stat.Size > uint64(limit):
		return nil, fmt.Errorf("%q has more than %d bytes", path, limit)
	}
	// O_NONBLOCK: somebody may have a lease on it (fcntl(2)).
	f, err := open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, errors.Unwrap(err))
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(limit)))
}

// OpenNear opens the file at path, with O_PATH, if nothing on the way keeps anybody
// waiting. Any thread may call it.
func OpenNear(path string) (*os.File, error) { return openHere(path, false) }

var errOthersLink = errors.New("a link on the way is not root's alone")

// OpenFirm opens the file at path, with O_PATH, if nobody but root decides which one
// that is: it follows root's links, and no others. Any thread may call it.
func OpenFirm(path string) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	switch err {
	case nil:
		return os.NewFile(uintptr(fd), path), nil
	case unix.ELOOP, unix.ENOSYS, unix.EPERM: // a link; Linux before 5.6, or a filter
		return openHere(path, true)
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

func openHere(path string, firm bool) (*os.File, error) {
	view, err := OpenView(0)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	view.firm = firm
	fd, err := view.open(path)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// IsSocket reports whether a path leads to a socket.
func (v *View) IsSocket(path string) (bool, error) {
	fd, err := v.open(path)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	stat, err := look(fd)
	return err == nil && stat.Mode&unix.S_IFMT == unix.S_IFSOCK, err
}

// open opens a file, with O_PATH. Of what a process has mounted the kernel may wait for
// an answer before there is anything to be admitted (autofs): ErrStuck then.
func (v *View) open(path string) (fd int, err error) {
	switch {
	case v.pid == 0:
		return v.walk(path)
	case v.left:
		return -1, ErrStuck
	}
	fd, err = Patiently(v.pid, func() (int, error) { return v.walk(path) })
	v.left = errors.Is(err, ErrStuck)
	return fd, err
}

// walk walks to a file as the kernel would in the root directory of the view. It goes
// step by step, because the kernel asks the file system for each of them, and looks
// before the next one where it has got to.
func (v *View) walk(path string) (fd int, err error) {
	const mostSteps = 256
	at, steps := []int{v.root}, strings.Split(path, "/")
	leave := func(to int) {
		for len(at) > to {
			unix.Close(at[len(at)-1])
			at = at[:len(at)-1]
		}
	}
	defer func() { leave(1) }()
	if err := v.admit(v.root, -1, path); err != nil {
		return -1, err
	}
	v.others = false
	for taken := 0; len(steps) > 0; taken++ {
		step := steps[0]
		steps = steps[1:]
		switch {
		case taken == mostSteps:
			return -1, fmt.Errorf("%q: %w", path, unix.ELOOP)
		case step == "" || step == ".":
			continue
		case step == "..":
			leave(max(1, len(at)-1))
			continue
		}
		dir := at[len(at)-1]
		next, err := openStep(dir, step, path)
		if err != nil {
			return -1, fmt.Errorf("%q: %w", path, err)
		}
		at = append(at, next)
		if err := v.admit(next, dir, path); err != nil {
			return -1, err
		}
		others, err := othersMayWrite(next)
		if err != nil {
			return -1, err
		}
		v.others = v.others || others
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(next, "", target)
		if err != nil { // it is no link
			continue
		}
		if around, err := othersMayWrite(dir); v.firm && (others || around || err != nil) {
			return -1, fmt.Errorf("%q: %w", path, errOthersLink)
		}
		leave(len(at) - 1)
		if target[0] == '/' {
			leave(1)
		}
		steps = append(strings.Split(string(target[:n]), "/"), steps...)
	}
	return unix.FcntlInt(uintptr(at[len(at)-1]), unix.F_DUPFD_CLOEXEC, 0)
}

// RootsAlone reports of the file that was read last whether root alone decides what
// lies at its path: it and all directories and links on the way are root's, and
// nobody else may write to them.
func (v *View) RootsAlone() bool { return !v.others }

func othersMayWrite(fd int) (bool, error) {
	stat, err := look(fd)
	const others = 0o022
	return stat.Uid != 0 || stat.Mode&others != 0 && stat.Mode&unix.S_IFMT != unix.S_IFLNK, err
}

// openStep opens the entry called step of a directory. One that the kernel does not
// remember it looks up under the lock of the directory, which somebody who may
// write there can keep for ever (and not even SIGKILL ends the wait).
func openStep(dir int, step, path string) (int, error) {
	const (
		flags         = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
		resolveCached = 0x20 // RESOLVE_CACHED of linux/openat2.h (Linux 5.12)
	)
	const attempts = 5 // for who renames something just then
	how := unix.OpenHow{Flags: flags, Resolve: resolveCached}
	fd, err := unix.Openat2(dir, step, &how)
	for i := 1; err == unix.EAGAIN && i < attempts; i++ {
		fd, err = unix.Openat2(dir, step, &how)
	}
	switch err {
	case unix.EAGAIN:
		var stat unix.Statx_t
		if err := unix.Statx(dir, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MODE|unix.STATX_UID, &stat); err != nil {
			return -1, err
		}
		const others = 0o022
		if stat.Uid == 0 && stat.Mode&others == 0 {
			break
		}
		var fs unix.Statfs_t
		if unix.Fstatfs(dir, &fs) == nil && (uint32(fs.Type) == unix.TMPFS_MAGIC || uint32(fs.Type) == unix.RAMFS_MAGIC) {
			return -1, unix.ENOENT // these remember all that there is
		}
		return -1, &WaitsError{path, "a directory of others"}
	case unix.ENOSYS, unix.EINVAL, unix.EPERM: // Linux before 5.12, or a filter
	default:
		return fd, err
	}
	return unix.Openat(dir, step, flags, 0)
}

// look is fstat(2), of what is known without asking: a FUSE file system would
// be asked, by statfs(2) too.
func look(fd int) (*unix.Statx_t, error) {
	var stat unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_MODE|unix.STATX_UID|unix.STATX_SIZE|unix.STATX_INO, &stat)
	return &stat, err
}

// admit says whether the file system that a descriptor is on waits for nobody:
// it is that of dir, which has been admitted; one that programs of ours live on;
// one in memory; or another one of the host's that is of a kind that may be.
// Kind alone is not enough: behind an overlay or a loop device may be anything.
func (v *View) admit(fd, dir int, path string) error {
	id, err := mountID(fd)
	if _, known := v.admitted[id]; known || err != nil {
		return err
	}
	const most = 16 // each takes a look at all that is mounted
	if len(v.admitted) >= most {
		return &WaitsError{path, "one of too many on the way"}
	}
	if err := v.examine(fd, dir, id, path); err != nil {
		return err
	}
	keeps, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		v.admitted[id] = keeps
	}
	return err
}

func (v *View) examine(fd, dir, id int, path string) error {
	stat, err := look(fd)
	if err != nil {
		return err
	}
	for _, own := range []string{"/", "/run", "/etc", "/var"} {
		var there unix.Statx_t
		if unix.Statx(unix.AT_FDCWD, own, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &there) == nil &&
			there.Dev_major == stat.Dev_major && there.Dev_minor == stat.Dev_minor {
			return nil
		}
	}
	if dir >= 0 {
		if around, err := mountID(dir); err == nil && around == id {
			return nil
		}
	}
	// A subvolume of btrfs has a device of its own, which is in no table; a
	// mount that a chroot hides is in no table of the process.
	if own, err := hasMounted(int(stat.Dev_major), int(stat.Dev_minor)); own || err != nil {
		return err
	}
	mount, err := findMount(v.mounts, func(m *mountinfo.Info) bool { return m.ID == id })
	switch {
	case err != nil:
		return err
	case mount == nil:
		return &WaitsError{path, "unknown"}
	case slices.Contains(memory, mount.FSType):
		return nil
	}
	if own, err := hasMounted(mount.Major, mount.Minor); own || err != nil {
		return err
	}
	return &WaitsError{path, mount.FSType}
}

// hasMounted reports whether the host has mounted a device with a file system
// that waits for nobody.
func hasMounted(major, minor int) (bool, error) {
	mount, err := findMount(ownMounts, func(m *mountinfo.Info) bool {
		return m.Major == major && m.Minor == minor && (slices.Contains(local, m.FSType) || slices.Contains(memory, m.FSType))
	})
	return mount != nil, err
}

// memory are the kinds of file systems that hold what they have in memory, local
// those whose answers come from this machine's kernel.
var memory = []string{"tmpfs", "ramfs", "nsfs"}

var local = []string{
	"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "jfs", "nilfs2", "reiserfs",
	"vfat", "exfat", "ntfs3", "iso9660", "squashfs", "erofs", "overlay", "aufs",
}

// mountID is the number of the mount that a descriptor is on. While that is
// open, no other mount gets it.
func mountID(fd int) (int, error) {
	info, err := Read(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(info), "mnt_id:\t")
	number, _, _ := strings.Cut(after, "\n")
	return strconv.Atoi(number)
}

// findMount returns nil where no mount is wanted.
func findMount(table string, wanted func(*mountinfo.Info) bool) (*mountinfo.Info, error) {
	const most = 4 << 20 // there may be 100,000, and their paths are not ours
	f, err := Open(table)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := mountinfo.GetMountsFromReader(io.LimitReader(f, most), func(m *mountinfo.Info) (skip, stop bool) {
		is := wanted(m)
		return !is, is
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}
