package sandbox

import "golang.org/x/sys/unix"

// looking are those of beyondLooking that do no more than to look.
func looking() []Call {
	return []Call{
		{unix.SYS_SOCKET, []Arg{Is(0, unix.AF_UNIX)}},
		// Package syscall, in a new PID namespace, takes its parent for dead (see
		// Pdeathsig). Nothing comes of it; and nobody could be asked, as the
		// program waits in vfork(2).
		{unix.SYS_KILL, []Arg{Is(0, 1), Is(1, uint32(unix.SIGKILL))}},
	}
}

// beyondLooking are the system calls that do more than to look: they change
// something, ask somebody, or have another result in a process that may not.
func beyondLooking() []Call {
	var calls []Call
	for number, path := range pathOfOpen {
		for _, flag := range []uint64{unix.O_WRONLY, unix.O_RDWR, unix.O_CREAT, unix.O_TRUNC} {
			calls = append(calls, Call{number, []Arg{{path + 1, flag, flag}}})
		}
	}
	for _, number := range append([]uintptr{
		unix.SYS_SOCKET, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_OPENAT2, unix.SYS_OPEN_BY_HANDLE_AT,
		unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT,
		unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_TRUNCATE, unix.SYS_UTIMENSAT,
		unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR,
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT,
		unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
		unix.SYS_MSGGET, unix.SYS_SEMGET, unix.SYS_SHMGET, unix.SYS_MQ_OPEN, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
		unix.SYS_BPF, unix.SYS_IO_URING_SETUP, unix.SYS_PERF_EVENT_OPEN, unix.SYS_FANOTIFY_INIT, unix.SYS_SYSLOG, unix.SYS_ACCT,
		unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_REBOOT,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_QUOTACTL,
	}, olderCalls...) {
		calls = append(calls, Call{Number: number})
	}
	return calls
}
