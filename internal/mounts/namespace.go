package mounts

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
)

// ID tells a mount namespace from every other one of this boot. The zero ID is
// of none.
type ID struct {
	// Inode is its number on nsfs, as in the "mnt:[4026531841]" of
	// /proc/PID/ns/mnt; another one may get it when this one is gone.
	Inode uint64
	// Number is that of NS_GET_MNTNS_ID (linux/nsfs.h, Linux 6.11), which is
	// never given to another one; 0 on a kernel that has none.
	Number uint64
}

// Namespace is an open mount namespace.
type Namespace struct {
	id ID
	fd int
}

// CurrentID is the ID of the calling thread's mount namespace.
func CurrentID() (ID, error) {
	ns, err := openNamespace("/proc/thread-self/ns/mnt")
	if err != nil {
		return ID{}, err
	}
	ns.Close()
	return ns.id, nil
}

// Of opens the mount namespace of a process. It needs the rights to trace it
// (ptrace(2)).
func Of(pid int) (*Namespace, error) {
	return openNamespace(files.Proc(pid) + "/ns/mnt")
}

// Find opens the mount namespace through the first of the processes that is in
// it; nil if none is. It needs the rights to trace them (ptrace(2)). Where ID
// has no Number, the inode may now be another mount namespace's: the caller
// then passes only processes that he knows by other means.
func (id ID) Find(pids []int) *Namespace {
	for _, pid := range pids {
		ns, err := Of(pid)
		if err != nil {
			continue
		}
		if ns.id.Inode == id.Inode && (id.Number == 0 || ns.id.Number == id.Number) && ns.SameOwner() {
			return ns
		}
		ns.Close()
	}
	return nil
}

func openNamespace(path string) (*Namespace, error) {
	fd, err := files.OpenNS(path, 0)
	if err != nil {
		return nil, fmt.Errorf("open mount namespace %s: %w", path, err)
	}
	ns := &Namespace{fd: fd}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		ns.Close()
		return nil, fmt.Errorf("look at mount namespace %s: %w", path, err)
	}
	ns.id.Inode = stat.Ino
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.NS_GET_MNTNS_ID, uintptr(unsafe.Pointer(&ns.id.Number)))
	if errno != 0 && errno != unix.ENOTTY && errno != unix.EINVAL {
		ns.Close()
		return nil, fmt.Errorf("look at mount namespace %s: %w", path, errno)
	}
	return ns, nil
}

// ID tells it from every other one.
func (n *Namespace) ID() ID { return n.id }

// SameOwner reports whether the user namespace of this process owns n
// (NS_GET_USERNS of ioctl_ns(2)). What lies where in any other one, a user who is
// nobody here has decided: nothing of it is to be entered, nor looked at.
func (n *Namespace) SameOwner() bool {
	owner, err := unix.IoctlRetInt(n.fd, unix.NS_GET_USERNS)
	if err != nil {
		return false
	}
	defer unix.Close(owner)
	own, err := files.Identify(unix.AT_FDCWD, "/proc/self/ns/user")
	its, itsErr := files.Identify(owner, "")
	return err == nil && itsErr == nil && its == own
}

// RootMount is the number of the mount that its root directory is on, as files.MountOf
// tells it. It needs CAP_SYS_ADMIN and CAP_SYS_CHROOT.
func (n *Namespace) RootMount() (number uint64, err error) {
	err = onThread(func() (err error) {
		if err := enter(n.fd); err != nil {
			return err
		}
		number, err = files.MountOf(unix.AT_FDCWD, "/")
		return err
	})
	return number, err
}

// Marked reports whether a process sees a /sys that View.Apply has made, or a copy
// of it: its mount namespace was made for a launch of ours, or from such a one.
// More than a mebibyte of mounts is not read.
func Marked(pid int) bool {
	table, err := os.Open(files.Proc(pid) + "/mountinfo")
	if err != nil {
		return false
	}
	defer table.Close()
	lines := bufio.NewScanner(io.LimitReader(table, 1<<20))
	for lines.Scan() {
		// proc_pid_mountinfo(5): blanks in a field are escaped.
		mount, source, _ := strings.Cut(lines.Text(), " - ")
		if strings.HasPrefix(source, "sysfs "+mark+" ") && strings.Contains(mount, " / /sys ") {
			return true
		}
	}
	return false
}

// Close closes the descriptor.
func (n *Namespace) Close() { unix.Close(n.fd) }

// Enter moves the calling thread into the mount namespace, to the working
// directory of the same name there. It needs CAP_SYS_ADMIN, CAP_SYS_CHROOT and
// a locked thread, with the root directory of process 1. One with another root
// directory, or without that working directory, is an error, and the thread is
// back where it was then; else the error wraps ErrAstray.
func (n *Namespace) Enter() error {
	cwd, err := unix.Getwd()
	if err != nil {
		return fmt.Errorf("find the working directory: %w", err)
	}
	back, err := openNamespace("/proc/thread-self/ns/mnt")
	if err != nil {
		return err
	}
	defer back.Close()
	var before unix.Stat_t
	if err := unix.Stat("/", &before); err != nil {
		return fmt.Errorf("look at the root directory: %w", err)
	}
	if err := enter(n.fd); err != nil {
		return fmt.Errorf("enter the mount namespace of the service: %w", err)
	}
	if err = settle(before, cwd); err == nil {
		return nil
	}
	if astray := enter(back.fd); astray != nil {
		return fmt.Errorf("%w: %w", ErrAstray, astray)
	}
	if astray := unix.Chdir(cwd); astray != nil {
		return fmt.Errorf("%w: %w", ErrAstray, astray)
	}
	return err
}

// settle ends Enter, in the mount namespace that was entered.
func settle(root unix.Stat_t, cwd string) error {
	var stat unix.Stat_t
	if err := unix.Stat("/", &stat); err != nil {
		return fmt.Errorf("look at the root directory: %w", err)
	}
	if root.Dev != stat.Dev || root.Ino != stat.Ino {
		return errors.New("the mount namespace of the service has another root directory")
	}
	if err := unix.Chdir(cwd); err != nil {
		return fmt.Errorf("working directory %q in the mount namespace of the service: %w", cwd, err)
	}
	return nil
}

// do calls f inside, on a thread of its own that ends with it. It is an error if the
// root directory there is not that of this process.
func (n *Namespace) do(f func() error) error {
	return onThread(func() error {
		var root unix.Stat_t
		if err := unix.Stat("/", &root); err != nil {
			return fmt.Errorf("look at the root directory: %w", err)
		}
		if err := enter(n.fd); err != nil {
			return fmt.Errorf("enter the mount namespace of the service: %w", err)
		}
		if err := settle(root, "/"); err != nil {
			return err
		}
		return f()
	})
}

func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and no unlock: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

// EnterHost moves the calling thread into the mount namespace of process 1, if
// it is in another one over the same root directory: one that Apply made, then.
// It needs CAP_SYS_ADMIN and CAP_SYS_CHROOT and a locked thread, and makes "/"
// the working directory (setns(2)).
func EnterHost() error {
	inside, err := same("/proc/thread-self/ns/mnt", "/proc/1/ns/mnt")
	if err != nil || inside {
		return err
	}
	at, err := same("/", "/proc/1/root")
	if err != nil || !at {
		return err
	}
	fd, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the mount namespace of process 1: %w", err)
	}
	defer unix.Close(fd)
	if err := enter(fd); err != nil {
		return fmt.Errorf("enter the mount namespace of process 1: %w", err)
	}
	return nil
}

// AtRoot reports whether the calling process has the root directory of process
// 1: it is in no chroot or container.
func AtRoot() bool {
	at, err := same("/", "/proc/1/root")
	return err == nil && at
}

// same reports whether two paths lead to one file.
func same(a, b string) (bool, error) {
	var stats [2]unix.Stat_t
	for i, path := range []string{a, b} {
		if err := unix.Stat(path, &stats[i]); err != nil {
			return false, fmt.Errorf("look at %s (is /proc mounted?): %w", path, err)
		}
	}
	return stats[0].Dev == stats[1].Dev && stats[0].Ino == stats[1].Ino, nil
}

// ErrAstray says that the calling thread was not brought back to the mount
// namespace that it came from.
var ErrAstray = errors.New("lost between mount namespaces")

// enter is setns(2), which leaves the thread in the root directory.
func enter(fd int) error {
	// The threads of a process share their root and working directory, and
	// setns(2) wants a thread that does not.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	return unix.Setns(fd, unix.CLONE_NEWNS)
}
