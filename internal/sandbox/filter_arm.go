package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_ARM
	cloneFlags = 0 // the argument of clone(2) that has them
	sysMmap    = unix.SYS_MMAP2

	mmapByPointer = false // its arguments are in memory, where a filter cannot look
)

// archCalls are those of the runtime that other architectures do without.
var archCalls = [...]uintptr{unix.SYS_FUTEX_TIME64, unix.SYS_CLOCK_GETTIME64}
