//go:build !mips && !mipsle && !mips64 && !mips64le

// Package inherited hands on what a process inherits and the Go runtime changes
// as it starts, or shows in part: the ignored signals and the signal mask, the
// limit of open files, the environment.
//
// The runtime installs a handler for nearly every signal, also for those that
// were ignored, and unblocks some of them; execve(2) resets handlers to the
// default. A command that was to run with SIGPIPE ignored would die of it.
//
// The runtime keeps what it found, but shows it to nobody, so this package
// reads variables of it and of package syscall. The linker allows that with
// -checklinkname=0 only. The Makefile passes that flag, and the tag linkname; a
// program that was built without the tag is for vet and editors. Should a later
// runtime rename the variables, TestTransparent in tests/cli fails.
package inherited

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// numSignals is _NSIG of asm-generic/signal.h, and one for signal 0. (MIPS has
// more, and other layouts: not supported.)
const numSignals = 65

// sigIgn is SIG_IGN of asm-generic/signal-defs.h.
const sigIgn = 1

// Check is nil in a program that can do this.
func Check() error {
	if !linked {
		return errors.New("built without -tags=linkname, it cannot hand on signals and environment as they are: build it with make")
	}
	return nil
}

// Environ returns a copy of the environment that the process was started with:
// in its order, with what comes twice and what is no assignment, which
// os.Environ leaves out.
func Environ() []string { return slices.Clone(envs) }

// sigaction is the head of the kernel's struct sigaction; SIG_IGN needs none
// of what follows the handler.
type sigaction struct {
	handler uintptr
	_       [4]uint64
}

// Restore ignores the signals that were ignored when the process started, sets
// the calling thread's signal mask to what it was then, and RLIMIT_NOFILE too.
// It is the last thing before execve(2), on the thread that calls it.
func Restore() error {
	if err := restoreOpenFiles(); err != nil {
		return fmt.Errorf("restore the limit of open files: %w", err)
	}
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

// restoreOpenFiles sets nothing where nothing was raised: that may have been
// forbidden too.
func restoreOpenFiles() error {
	found := foundOpenFiles.Load()
	if found == nil {
		return nil
	}
	var now syscall.Rlimit
	if err := prlimitOpenFiles(nil, &now); err != nil {
		return err
	}
	if now != *found {
		if err := prlimitOpenFiles(found, nil); err != nil {
			return err
		}
		if err := prlimitOpenFiles(nil, &now); err != nil {
			return err
		}
	}
	if now != *found {
		return fmt.Errorf("it is %d and not %d", now.Cur, found.Cur)
	}
	foundOpenFiles.Store(nil) // Exec has nothing to do
	return nil
}

// prlimitOpenFiles is prlimit(2) without what package syscall does beside it:
// it would forget the limit that it found.
func prlimitOpenFiles(set, get *syscall.Rlimit) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE,
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
