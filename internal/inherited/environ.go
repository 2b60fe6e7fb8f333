//go:build !mips && !mipsle && !mips64 && !mips64le

package inherited

import (
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// argc and argv are what the kernel put on the stack, and envs is the runtime's
// copy of the environment, all of it (runtime/runtime1.go). The pointers to the
// environment come behind those to the arguments and a NULL.
//
//go:linkname argc runtime.argc
var argc int32

//go:linkname argv runtime.argv
var argv unsafe.Pointer

//go:linkname envs runtime.envs
var envs []string

// first is the first variable of the environment, which _openrc_netns_entry
// (entry_*.s) has replaced by oneProcessor on the stack: the runtime then
// starts a thread less or two, which nobody needs and execve(2) would have to
// end. It is nil in a process that started elsewhere, and without any
// environment.
var first *byte

//lint:ignore U1000 entry_*.s
var oneProcessor = [...]byte{'G', 'O', 'M', 'A', 'X', 'P', 'R', 'O', 'C', 'S', '=', '1', 0}

// Getenv in this process is to see what was replaced, and not what by.
func init() {
	if first == nil {
		return
	}
	envs[0] = unix.BytePtrToString(first)
	_ = syscall.Unsetenv("GOMAXPROCS")
	name, value, found := strings.Cut(envs[0], "=")
	if found && name != "" && !strings.HasPrefix(name, "GO") {
		_ = syscall.Setenv(name, value)
	}
}

// Environ returns a copy of the environment that the process was started with:
// in its order, with what comes twice and what is no assignment, which
// os.Environ leaves out.
//
// The Go runtime obeys GODEBUG, GOMEMLIMIT, GOTRACEBACK and others before any
// Go code of ours runs: they make it print, or end it. But they are meant for
// the command. So the binaries start at _openrc_netns_entry (entry_*.s), which
// the linker's flag -E makes their ELF entry point. For each variable that
// begins with GO it moves the pointer on the stack on by one, and then goes on
// to the runtime's own entry point. The runtime, os.Getenv and os.Environ see
// ODEBUG.
//
// The kernel puts the strings side by side, those of the arguments first
// (create_elf_tables in fs/binfmt_elf.c). So before a string that a pointer
// still leads to is the NUL of another one, and before one that was cut is its
// G: the two cannot be mistaken. A process that started elsewhere, such as a
// test, has cut none.
func Environ() []string {
	env := slices.Clone(envs)
	for i, entry := range env {
		if len(entry) == 0 || entry[0] != 'O' {
			continue
		}
		if i == 0 && first != nil {
			continue
		}
		pointer := unsafe.Add(argv, (int(argc)+1+i)*int(unsafe.Sizeof(argv)))
		if *(*byte)(unsafe.Add(*(*unsafe.Pointer)(pointer), -1)) == 'G' {
			env[i] = "G" + entry
		}
	}
	return env
}
