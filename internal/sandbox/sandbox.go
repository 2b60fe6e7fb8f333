// Package sandbox gives up what a process may do, but for a list of system
// calls on descriptors that it holds already.
//
// It takes two steps. Namespaces, IDs and capabilities belong to threads, and a
// Go program has several: so Become gives up those of the calling thread and
// has it execute the program anew, all threads of which are born with what is
// left. That program calls Seal before anything else, which leaves it, on all
// threads, the system calls that it names.
package sandbox

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/privilege"
)

// ID is the user and the group that Become makes the process: nobody's, which
// own no file. It is a number because not every system has the names.
const ID = 65534

// Become executes this program anew with the arguments and the environment,
// and nothing else: an empty read-only root directory, user and group ID, no
// other group, no capability, no way to one (no_new_privs, see prctl(2)). Of
// the open descriptors it keeps standard input, output and error and those in
// keep.
//
// It needs root, /proc, and a locked thread. After an error the process has to
// exit.
func Become(argv, env []string, keep ...int) error {
	self, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if err := closeOnExec(keep); err != nil {
		return err
	}
	if err := emptyRoot(); err != nil {
		return fmt.Errorf("give up the file system: %w", err)
	}
	if err := dropPrivileges(); err != nil {
		return err
	}
	return fmt.Errorf("execute this program again: %w", execute(self, argv, env))
}

// closeOnExec has all descriptors closed but for the standard ones and those in
// keep, whoever opened them.
func closeOnExec(keep []int) error {
	open, err := files.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list open files: %w", err)
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd) // that of the list itself has gone
		}
	}
	for _, fd := range keep {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("keep descriptor %d open: %w", fd, err)
		}
	}
	return nil
}

// emptyRoot moves the calling thread to a mount namespace that has one file
// system in it, empty and read-only, as its root directory. In a chroot, where
// the root directory is no mount, it leaves that first.
func emptyRoot() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	self, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(self)
	// setns(2) makes the root of the mount namespace the root directory.
	if err := unix.Setns(self, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("setns: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	const onto = "/proc" // any directory would do
	if err := unix.Mount("none", onto, "tmpfs", flags, "size=4k,mode=0555"); err != nil {
		return fmt.Errorf("mount an empty file system: %w", err)
	}
	if err := unix.Chdir(onto); err != nil {
		return err
	}
	// With both the same, the old root is mounted over the new one, and goes
	// (pivot_root(2), NOTES).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root directory: %w", err)
	}
	return unix.Chdir("/")
}

// dropPrivileges takes from the calling thread all identities but ID, and every
// capability out of every set.
func dropPrivileges() error {
	for capability := uintptr(0); ; capability++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // the kernel knows no more (prctl(2))
		}
		if err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", capability, err)
		}
	}
	if err := unix.Setgroups(nil); err != nil {
		return fmt.Errorf("leave all groups: %w", err)
	}
	if err := privilege.SetGroup(ID); err != nil {
		return fmt.Errorf("become group %d: %w", ID, err)
	}
	if err := privilege.SetUser(ID); err != nil {
		return fmt.Errorf("become user %d: %w", ID, err)
	}
	// The ambient set follows these (capabilities(7)).
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}

// execute is execve(2) of an open file, which no path leads to any more.
func execute(fd int, argv, env []string) error {
	args, err := pointers(argv)
	if err != nil {
		return err
	}
	vars, err := pointers(env)
	if err != nil {
		return err
	}
	var empty [1]byte
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&empty)),
		uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&vars[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}

// pointers are those of strings, and a NULL.
func pointers(texts []string) ([]*byte, error) {
	list := make([]*byte, len(texts)+1)
	for i, text := range texts {
		var err error
		if list[i], err = unix.BytePtrFromString(text); err != nil {
			return nil, err
		}
	}
	return list, nil
}
