package privilege

import "golang.org/x/sys/unix"

// SetUser makes uid all three user IDs of the calling thread alone, which is
// the one that execve(2) keeps: syscall.Setresuid signals every thread of the
// runtime, and ends the process with a stack trace if one of them fails.
func SetUser(uid int) error { return setAll(sysSetresuid, uid) }

// SetGroup is SetUser for the group IDs. Supplementary groups stay.
func SetGroup(gid int) error { return setAll(sysSetresgid, gid) }

func setAll(call uintptr, id int) error {
	if _, _, errno := unix.RawSyscall(call, uintptr(id), uintptr(id), uintptr(id)); errno != 0 {
		return errno
	}
	return nil
}
