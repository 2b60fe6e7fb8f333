//go:build 386 || arm

package privilege

import "golang.org/x/sys/unix"

// Those of setresuid(2) with 32-bit numbers; the first ones had 16.
const (
	sysSetresuid = unix.SYS_SETRESUID32
	sysSetresgid = unix.SYS_SETRESGID32
)
