package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_AARCH64
	cloneFlags = 0 // the argument of clone(2) that has them
	sysMmap    = unix.SYS_MMAP

	mmapByPointer = false // its arguments are in memory, where a filter cannot look
)

// archCalls are those of the runtime that other architectures do without.
var archCalls [0]uintptr
