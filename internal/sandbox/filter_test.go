package sandbox

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The numbers of architectures, by hand from linux/audit.h: EM_* of
// linux/elf-em.h, 0x80000000 with 64 bits, 0x40000000 where little-endian. To
// take the one of a neighbour would end the process.
var auditNumbers = map[string]uint32{
	"386": 0x40000003, "amd64": 0xc000003e, "arm": 0x40000028, "arm64": 0xc00000b7,
	"loong64": 0xc0000102, "ppc64le": 0xc0000015, "riscv64": 0xc00000f3, "s390x": 0x80000016,
}

// What the program does with a 64-bit argument, by hand after struct
// seccomp_data of linux/seccomp.h: a filter loads 32 bits, and the lower ones
// come second on a big-endian machine. (tests/arches runs this on one.)
func TestFilterOfAnArgument(t *testing.T) {
	lower, upper := uint32(24), uint32(28) // of the second argument
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		lower, upper = upper, lower
	}
	got := program(0x80000000, 0x00050001, list{[]Call{{Number: 7, Args: []Arg{{1, 0xffffffff_00ff00ff, 0x11223344_00660088}}}}, 0x7fff0000})
	want := []unix.SockFilter{
		{Code: 0x20, K: 4}, // the architecture
		{Code: 0x15, Jt: 1, K: auditNumbers[runtime.GOARCH]},
		{Code: 0x06, K: 0x80000000}, // kill the process
		{Code: 0x20, K: 0},          // the number
		{Code: 0x15, Jf: 7, K: 7},
		{Code: 0x20, K: lower},
		{Code: 0x54, K: 0x00ff00ff},
		{Code: 0x15, Jf: 4, K: 0x00660088},
		{Code: 0x20, K: upper},
		{Code: 0x54, K: 0xffffffff},
		{Code: 0x15, Jf: 1, K: 0x11223344},
		{Code: 0x06, K: 0x7fff0000}, // allow
		{Code: 0x06, K: 0x00050001}, // EPERM
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
}

// notSealed are system calls that the runtime makes before Seal, for profiles
// and timers, which there are none of, on Android, or to die of a signal, which
// it does without where it may not (tkill, on riscv64).
var notSealed = strings.Fields(`
	access arch_prctl brk connect epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 eventfd2 faccessat fcntl gettimeofday
	kill mincore mprotect open openat pipe2 prctl pread64 pselect6 sched_getaffinity setitimer setittimer socket socketcall
	tkill timer_create timer_delete timer_settime timer_settime64 uname`)

// definition is a number of a system call in the runtime's source.
var definition = regexp.MustCompile(`(?m)^(?:#define|const)?\s*SYS_(\w+)\s*=?\s*(?:\(SYS_BASE\s*\+\s*)?(\d+)`)

// Each system call that the runtime has a number of on this architecture is
// allowed, or said not to be needed. (tests/arches runs this on others.)
func TestRuntimeMay(t *testing.T) {
	arch := runtime.GOARCH
	if arch == "ppc64le" {
		arch = "ppc64x"
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("the sources of Go are not here: ", err) // on a machine of tests/arches
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src")
	files := []string{"runtime/sys_linux_" + arch + ".s"}
	for _, pattern := range []string{"internal/runtime/syscall/*_linux_" + arch + ".go", "internal/runtime/syscall/linux/*_linux_" + arch + ".go"} {
		found, _ := filepath.Glob(filepath.Join(source, pattern))
		for _, path := range found {
			path, _ = filepath.Rel(source, path)
			files = append(files, path)
		}
	}
	numbers := map[string]uintptr{}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(source, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range definition.FindAllStringSubmatch(string(text), -1) {
			number, err := strconv.Atoi(match[2])
			if err != nil {
				t.Fatal(err)
			}
			numbers[strings.ToLower(match[1])] = uintptr(number)
		}
	}
	if len(files) < 2 || len(numbers) < 12 || numbers["exit_group"] != unix.SYS_EXIT_GROUP || numbers["futex"] != unix.SYS_FUTEX {
		t.Fatalf("the sources are not as they were: %q have %v", files, numbers)
	}
	calls := runtimeCalls()
	for name, number := range numbers {
		allowed := slices.ContainsFunc(calls, func(c Call) bool { return c.Number == number })
		if !allowed && !slices.Contains(notSealed, name) {
			t.Errorf("%s (%d) is not allowed", name, number)
		}
	}
	t.Logf("%d system calls of %q", len(numbers), files)
}
