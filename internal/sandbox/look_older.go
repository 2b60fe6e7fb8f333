//go:build !arm64 && !loong64 && !riscv64

package sandbox

import "golang.org/x/sys/unix"

// pathOfOpen has the system calls that open a path, with the argument that it is.
var pathOfOpen = map[uintptr]int{unix.SYS_OPENAT: 1, unix.SYS_OPEN: 0}

// olderCalls are those of beyondLooking that newer architectures do without.
var olderCalls = []uintptr{
	unix.SYS_CREAT, unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_MKNOD, unix.SYS_UNLINK, unix.SYS_RENAME, unix.SYS_RENAMEAT, unix.SYS_LINK,
	unix.SYS_SYMLINK, unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_UTIMES, unix.SYS_FUTIMESAT,
}
