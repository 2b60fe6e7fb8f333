package sandbox

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call is a system call that Seal leaves, if all its Args are as said. Several
// with the same number are alternatives.
type Call struct {
	Number uintptr
	Args   []Arg
}

// Arg is what an argument of a system call has to be: Value, as far as Mask
// looks at it.
type Arg struct {
	Index       int // from 0
	Mask, Value uint64
}

// Is is an Arg that has to be value, as a C int.
func Is(index int, value uint32) Arg { return Arg{index, 0xffffffff, uint64(value)} }

// Seal leaves the process, all its threads and all that they may start, the
// system calls in calls and those that the Go runtime cannot do without; any
// other fails with EPERM (seccomp(2)). It also hides the process from others of
// its user: none can trace it, or open its descriptors (PR_SET_DUMPABLE, see
// ptrace(2)). The process must have no_new_privs, or root.
func Seal(calls []Call) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide from other processes: %w", err)
	}
	filter := program(unix.SECCOMP_RET_KILL_PROCESS, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM),
		list{append(calls, runtimeCalls()...), unix.SECCOMP_RET_ALLOW})
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("give up system calls: seccomp: %w", errno)
	}
	if thread != 0 {
		return fmt.Errorf("give up system calls: seccomp: thread %d has another filter", thread)
	}
	return nil
}

// Offsets in struct seccomp_data of linux/seccomp.h.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// list has what is to become of system calls, unless an earlier list has them.
type list struct {
	calls   []Call
	verdict uint32 // SECCOMP_RET_*
}

// program is the BPF program of a filter, with what is to become of calls of another
// architecture, and of those that are in no list. The kernel keeps the calls that it
// allows whatever their arguments are in a table, and does not run the program
// for them (Linux 5.11), so the order of the list does not matter.
func program(foreign, otherwise uint32, lists ...list) []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	unless := func(value uint32, skip int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: uint8(skip), K: value}
	}
	and := func(mask uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask}
	}
	verdict := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	out := []unix.SockFilter{
		load(offsetArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: auditArch, Jt: 1},
		verdict(foreign),
	}
	for _, list := range lists {
		for _, call := range list.calls {
			var block []unix.SockFilter
			for _, arg := range call.Args {
				for half, word := range halves() {
					if mask := uint32(arg.Mask >> (32 * half)); mask != 0 {
						offset := uint32(offsetArgs + 8*arg.Index + 4*word)
						block = append(block, load(offset), and(mask), unless(uint32(arg.Value>>(32*half)), 0))
					}
				}
			}
			block = append(block, verdict(list.verdict))
			for i := range block { // a failed test leads behind the block
				if block[i].Code == unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K {
					block[i].Jf = uint8(len(block) - i - 1)
				}
			}
			out = append(append(out, load(offsetNumber), unless(uint32(call.Number), len(block))), block...)
		}
	}
	return append(out, verdict(otherwise))
}

// halves are the words of an argument in which its lower and its upper half
// are.
func halves() [2]int {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return [2]int{1, 0}
	}
	return [2]int{0, 1}
}

// runtimeCalls are those of the Go runtime (runtime/sys_linux_*.s), for memory,
// threads, signals to itself, time and the end. Memory is never executable, a
// new thread is in the same namespaces, and a signal is for this process.
func runtimeCalls() []Call {
	const newNamespace = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME
	calls := []Call{
		{Number: unix.SYS_CLONE, Args: []Arg{{cloneFlags, unix.CLONE_THREAD | newNamespace, unix.CLONE_THREAD}}},
		{Number: unix.SYS_TGKILL, Args: []Arg{Is(0, uint32(unix.Getpid()))}},
	}
	for _, number := range append([]uintptr{
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_FUTEX,
		unix.SYS_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_SCHED_YIELD, unix.SYS_RT_SIGACTION,
		unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
		unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	}, archCalls[:]...) {
		calls = append(calls, Call{Number: number})
	}
	mmap := Call{Number: sysMmap, Args: []Arg{{2, unix.PROT_EXEC, 0}}}
	if mmapByPointer {
		mmap.Args = nil
	}
	return append(calls, mmap)
}
