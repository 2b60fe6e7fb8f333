//go:build arm64 || loong64 || riscv64

package sandbox

import "golang.org/x/sys/unix"

// pathOfOpen has the system calls that open a path, with the argument that it is.
var pathOfOpen = map[uintptr]int{unix.SYS_OPENAT: 1}

// olderCalls are those of beyondLooking that this architecture does without.
var olderCalls []uintptr
