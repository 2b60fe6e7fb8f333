//go:build linkname

package inherited

import (
	"sync/atomic"
	"syscall"
	_ "unsafe" // go:linkname
)

const linked = true

// foundHandlers is the runtime's record of the action that each signal had
// when the process started (runtime/signal_unix.go).
//
//go:linkname foundHandlers runtime.fwdSig
var foundHandlers [numSignals]uintptr

// foundMask is the runtime's record of the signal mask that the process
// started with (runtime/proc.go), in the kernel's own layout.
//
//go:linkname foundMask runtime.initSigmask
var foundMask [2]uint32

// foundOpenFiles is RLIMIT_NOFILE as it was when the process started, where
// package syscall has raised it (syscall/rlimit.go), else nil. Its Exec puts it
// back, but does not look whether that was done.
//
//go:linkname foundOpenFiles syscall.origRlimitNofile
var foundOpenFiles atomic.Pointer[syscall.Rlimit]

// envs is the runtime's copy of the environment (runtime/runtime1.go).
//
//go:linkname envs runtime.envs
var envs []string
