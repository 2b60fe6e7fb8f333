// Package deny runs a command on what is, to it, another kernel.
package deny

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

var syscalls = map[string]uint32{
	"bpf":                     unix.SYS_BPF,
	"faccessat":               unix.SYS_FACCESSAT,
	"fsopen":                  unix.SYS_FSOPEN,
	"getcwd":                  unix.SYS_GETCWD,
	"getsockopt":              unix.SYS_GETSOCKOPT,
	"landlock_create_ruleset": unix.SYS_LANDLOCK_CREATE_RULESET,
	"mount_setattr":           unix.SYS_MOUNT_SETATTR,
	"open_tree":               unix.SYS_OPEN_TREE,
	"setns":                   unix.SYS_SETNS,
	"unshare":                 unix.SYS_UNSHARE,
}

var errnos = map[string]unix.Errno{
	"EAGAIN": unix.EAGAIN, "EINVAL": unix.EINVAL, "EIO": unix.EIO, "ENODEV": unix.ENODEV, "ENOENT": unix.ENOENT, "ENOPROTOOPT": unix.ENOPROTOOPT, "ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM,
}

// Exec takes
//
//	SYSCALL ERROR COMMAND [ARG]...
//
// and becomes COMMAND, an absolute path, on what is, to it, a kernel that
// answers SYSCALL with ERROR: an older one, or one with a security module. It
// does not return.
func Exec(args []string) {
	if len(args) < 3 || syscalls[args[0]] == 0 || errnos[args[1]] == 0 {
		fmt.Fprintln(os.Stderr, "usage: deny SYSCALL ERROR COMMAND [ARG]...")
		os.Exit(2)
	}
	call, errno := syscalls[args[0]], errnos[args[1]]
	runtime.LockOSThread()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x00050000 | uint32(errno)}, // SECCOMP_RET_ERRNO
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000},                 // SECCOMP_RET_ALLOW
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	if err == nil {
		err = unix.Exec(args[2], args[2:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "deny:", err)
	os.Exit(2)
}
