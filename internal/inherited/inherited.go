//go:build !mips && !mipsle && !mips64 && !mips64le

// Package inherited hands on what a process inherits and the Go runtime
// changes as it starts: the ignored signals and the signal mask.
//
// The runtime installs a handler for nearly every signal, also for those that
// were ignored, and unblocks some of them; execve(2) resets handlers to the
// default. A command that was to run with SIGPIPE ignored would die of it.
//
// The runtime keeps what it found, but shows it to nobody, so this package
// reads two of its variables. The linker allows that with -checklinkname=0
// only, which the Makefile passes; without it the build stops with an error.
// Should a later runtime rename them, TestTransparent in tests/cli fails.
package inherited

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// numSignals is _NSIG of asm-generic/signal.h, and one for signal 0. (MIPS has
// more, and other layouts: not supported.)
const numSignals = 65

// sigIgn is SIG_IGN of asm-generic/signal-defs.h.
const sigIgn = 1

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

// sigaction is the head of the kernel's struct sigaction; SIG_IGN needs none
// of what follows the handler.
type sigaction struct {
	handler uintptr
	_       [4]uint64
}

// Restore ignores the signals that were ignored when the process started, and
// sets the calling thread's signal mask to what it was then. It is the last
// thing before execve(2), on the thread that calls it.
func Restore() error {
	for sig := 1; sig < numSignals; sig++ {
		if foundHandlers[sig] != sigIgn {
			continue
		}
		action := sigaction{handler: sigIgn}
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
			uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(foundMask), 0, 0)
		if errno != 0 {
			return fmt.Errorf("ignore signal %d again: %w", sig, errno)
		}
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		uintptr(unsafe.Pointer(&foundMask)), 0, unsafe.Sizeof(foundMask), 0, 0)
	if errno != 0 {
		return fmt.Errorf("restore the signal mask: %w", errno)
	}
	return nil
}
