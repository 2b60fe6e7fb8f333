package torture

import (
	"cmp"
	"debug/elf"
	"debug/gosym"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/attack"
)

// Every system call of a launch that the programs make themselves, from the
// first init function on, fails in turn. The launcher is traced (ptrace(2));
// what makes the difference between the programs and the Go runtime is the
// function that the call comes from. Where the command would begin the trace
// ends, and what it is at that moment is compared with what it is after a
// launch in which nothing failed.

// call is one that the programs make, with the errors that it may fail with;
// some of any call where there are none. One that is missing in calls goes by its
// number.
type call struct {
	name   string
	errnos []unix.Errno
}

var (
	someErrors = []unix.Errno{unix.EPERM, unix.ENOMEM, unix.EINVAL}
	pathErrors = []unix.Errno{unix.ENOENT, unix.EACCES, unix.ENOMEM, unix.EIO}
	refusals   = []unix.Errno{unix.EPERM, unix.EINVAL}
)

var calls = map[uint64]call{
	unix.SYS_OPENAT:        {"openat", []unix.Errno{unix.ENOENT, unix.EACCES, unix.EMFILE, unix.ENOMEM, unix.EINTR, unix.EIO}},
	unix.SYS_FSTAT:         {"fstat", []unix.Errno{unix.ENOMEM, unix.EIO}},
	unix.SYS_STATFS:        {"statfs", []unix.Errno{unix.ENOSYS, unix.ENOMEM, unix.EIO}},
	unix.SYS_FSTATFS:       {"fstatfs", []unix.Errno{unix.ENOSYS, unix.ENOMEM, unix.EIO}},
	unix.SYS_FACCESSAT2:    {"faccessat2", []unix.Errno{unix.ENOENT, unix.EACCES, unix.ENOSYS, unix.EIO}},
	unix.SYS_GETCWD:        {"getcwd", []unix.Errno{unix.ENOENT, unix.ENOMEM, unix.EACCES}},
	unix.SYS_READ:          {"read", []unix.Errno{unix.EIO, unix.EINTR, unix.ENOMEM}},
	unix.SYS_PREAD64:       {"pread64", []unix.Errno{unix.EIO, unix.EINTR, unix.ENOMEM}},
	unix.SYS_GETDENTS64:    {"getdents64", []unix.Errno{unix.EIO, unix.ENOMEM}},
	unix.SYS_WRITE:         {"write", []unix.Errno{unix.ENOSPC, unix.EIO, unix.EINTR, unix.EBUSY, unix.ENODEV, unix.ENOMEM}},
	unix.SYS_CLOSE:         {"close", []unix.Errno{unix.EIO, unix.EINTR}},
	unix.SYS_LSEEK:         {"lseek", []unix.Errno{unix.EINVAL, unix.ESPIPE}},
	unix.SYS_IOCTL:         {"ioctl", []unix.Errno{unix.ENOTTY, unix.EPERM, unix.ENOMEM, unix.EINVAL}},
	unix.SYS_FCNTL:         {"fcntl", []unix.Errno{unix.EINVAL, unix.EMFILE}},
	unix.SYS_UNSHARE:       {"unshare", []unix.Errno{unix.EPERM, unix.ENOSPC, unix.ENOMEM, unix.EINVAL}},
	unix.SYS_MOUNT:         {"mount", []unix.Errno{unix.EPERM, unix.ENOMEM, unix.EINVAL, unix.EBUSY, unix.ENOSPC}},
	unix.SYS_UMOUNT2:       {"umount2", []unix.Errno{unix.EPERM, unix.EINVAL, unix.EBUSY, unix.ENOMEM}},
	unix.SYS_OPEN_TREE:     {"open_tree", []unix.Errno{unix.ENOSYS, unix.EPERM, unix.ENOENT, unix.ENOMEM, unix.EMFILE}},
	unix.SYS_MOVE_MOUNT:    {"move_mount", []unix.Errno{unix.ENOSYS, unix.EPERM, unix.ENOENT, unix.ENOMEM, unix.EINVAL, unix.ENOSPC}},
	unix.SYS_FSOPEN:        {"fsopen", []unix.Errno{unix.ENOSYS, unix.EPERM, unix.ENODEV, unix.ENOMEM, unix.EMFILE}},
	unix.SYS_FSCONFIG:      {"fsconfig", []unix.Errno{unix.EPERM, unix.EINVAL, unix.EBUSY, unix.ENOMEM}},
	unix.SYS_FSMOUNT:       {"fsmount", []unix.Errno{unix.EPERM, unix.EINVAL, unix.ENOMEM, unix.EMFILE}},
	unix.SYS_MOUNT_SETATTR: {"mount_setattr", []unix.Errno{unix.ENOSYS, unix.EPERM, unix.EINVAL, unix.ENOMEM}},
	unix.SYS_BPF:           {"bpf", []unix.Errno{unix.EPERM, unix.EINVAL, unix.ENOMEM, unix.EAGAIN, unix.ENOSYS, unix.E2BIG, unix.EACCES}},
	unix.SYS_MKDIRAT:       {"mkdirat", []unix.Errno{unix.ENOENT, unix.EACCES, unix.ENOSPC, unix.ENOMEM, unix.EROFS}},
	unix.SYS_UNLINKAT:      {"unlinkat", []unix.Errno{unix.EBUSY, unix.ENOENT, unix.EACCES, unix.EROFS}},
	unix.SYS_RENAMEAT:      {"renameat", []unix.Errno{unix.ENOENT, unix.ENOSPC, unix.EACCES, unix.EROFS}},
	unix.SYS_SOCKET:        {"socket", []unix.Errno{unix.EMFILE, unix.ENOBUFS, unix.EAFNOSUPPORT, unix.EPERM}},
	unix.SYS_GETSOCKOPT:    {"getsockopt", []unix.Errno{unix.ENOPROTOOPT, unix.ENOMEM, unix.EPERM}},
	unix.SYS_SETUID:        {"setuid", []unix.Errno{unix.EPERM, unix.EAGAIN}},
	unix.SYS_RT_SIGACTION:  {"rt_sigaction", []unix.Errno{unix.EINVAL}},
	unix.SYS_EPOLL_CREATE1: {"epoll_create1", []unix.Errno{unix.EMFILE, unix.ENOMEM}},
	unix.SYS_EXECVE:        {"execve", []unix.Errno{unix.ENOENT, unix.EACCES, unix.ENOMEM, unix.E2BIG, unix.ETXTBSY, unix.EIO, unix.EPERM}},

	unix.SYS_NEWFSTATAT: {"newfstatat", pathErrors}, unix.SYS_STATX: {"statx", pathErrors},
	unix.SYS_FACCESSAT: {"faccessat", pathErrors}, unix.SYS_READLINKAT: {"readlinkat", pathErrors},
	unix.SYS_CHDIR:  {"chdir", pathErrors},
	unix.SYS_SETGID: {"setgid", refusals}, unix.SYS_PRLIMIT64: {"prlimit64", refusals},
	unix.SYS_CAPGET: {"capget", refusals}, unix.SYS_CAPSET: {"capset", refusals},
	unix.SYS_SETNS: {"setns", nil}, unix.SYS_SETGROUPS: {"setgroups", nil}, unix.SYS_PRCTL: {"prctl", nil},
	unix.SYS_RT_SIGPROCMASK: {"rt_sigprocmask", nil}, unix.SYS_EPOLL_CTL: {"epoll_ctl", nil},
	unix.SYS_EVENTFD2: {"eventfd2", nil}, unix.SYS_SETRESUID: {"setresuid", nil}, unix.SYS_SETRESGID: {"setresgid", nil},
	unix.SYS_EPOLL_PWAIT: {"epoll_pwait", nil}, unix.SYS_LISTMOUNT: {"listmount", nil},
	unix.SYS_STATMOUNT: {"statmount", nil},
}

// infallible calls cannot fail.
var infallible = map[uint64]bool{
	unix.SYS_GETPID: true, unix.SYS_GETPPID: true, unix.SYS_GETTID: true, unix.SYS_GETUID: true, unix.SYS_GETEUID: true,
	unix.SYS_GETGID: true, unix.SYS_GETEGID: true, unix.SYS_EXIT_GROUP: true, unix.SYS_EXIT: true, unix.SYS_UMASK: true,
	unix.SYS_SCHED_YIELD: true,
}

func callName(nr uint64) string {
	return cmp.Or(calls[nr].name, strconv.FormatUint(nr, 10))
}

func errnosOf(name string) []unix.Errno {
	for _, c := range calls {
		if c.name == name && c.errnos != nil {
			return c.errnos
		}
	}
	return someErrors
}

// fault is a system call that fails: the one of that name that comes n-th, from
// 0, or from then on each.
type fault struct {
	call    string
	n       int
	errno   unix.Errno
	forever bool
}

func (f fault) String() string {
	often := "once"
	if f.forever {
		often = "forever"
	}
	return fmt.Sprintf("%s.%d=%s,%s", f.call, f.n, unix.ErrnoName(f.errno), often)
}

// program is a launcher, with what has to be known of it to trace it.
type program struct {
	path string
	main uintptr // where runtime.main begins, which calls the init functions and main.main
	code *gosym.Table
}

// readProgram reads the table of functions, which is in a stripped program too.
func readProgram(path string) (*program, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines, err := file.Section(".gopclntab").Data()
	if err != nil {
		return nil, err
	}
	code, err := gosym.NewTable(nil, gosym.NewLineTable(lines, file.Section(".text").Addr))
	if err != nil {
		return nil, err
	}
	main := code.LookupFunc("runtime.main")
	if main == nil {
		return nil, fmt.Errorf("%s has no function runtime.main", path)
	}
	return &program{path, uintptr(main.Entry), code}, nil
}

// ofRuntime reports whether a system call is one that the Go runtime makes for
// itself.
func (p *program) ofRuntime(at uint64) bool {
	function := p.code.PCToFunc(at)
	return function != nil && strings.HasPrefix(function.Name, "runtime.")
}

// traced is a launch under ptrace(2).
type traced struct {
	outcome
	calls    map[string]int // those that count, how often by name
	hit      int            // how often the fault struck
	portrait []string       // of the command, where it began
	endless  bool           // the fault struck too often: nobody ends the loop
}

// tooOften is how often one fault may strike. A launch makes a few hundred
// calls.
const tooOften = 3000

// trace launches with a fault, or without one if it is nil. The thread is
// locked: it alone may wait for what it traces.
func (p *program) trace(l *lane, c launch, f *fault) (t *traced, err error) {
	t = &traced{calls: map[string]int{}}
	attr := l.attr(c)
	attr.Sys.Ptrace = true
	pid, err := syscall.ForkExec(p.path, c.argv, attr)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.path, err)
	}
	t.pid = pid
	defer func() {
		if err != nil {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}()
	if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != nil {
		return nil, err
	}
	if c.prepare != nil {
		if err := c.prepare(pid); err != nil {
			return nil, err
		}
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		return nil, err
	}
	if p.main == 0 { // the command itself
		if t.portrait, err = portrait(pid); err == nil {
			t.running = true
			err = unix.Kill(pid, unix.SIGKILL)
		}
		_, _ = unix.Wait4(pid, &t.status, unix.WALL, nil)
		return t, err
	}
	var original [1]byte
	if _, err := unix.PtracePeekText(pid, p.main, original[:]); err != nil {
		return nil, err
	}
	if _, err := unix.PtracePokeText(pid, p.main, []byte{0xcc}); err != nil { // int3
		return nil, err
	}
	var hung atomic.Bool
	timer := time.AfterFunc(patience, func() {
		hung.Store(true)
		_ = unix.Kill(pid, unix.SIGKILL)
	})
	defer timer.Stop()
	_ = unix.PtraceSyscall(pid, 0)

	begun := false
	failing := map[int]unix.Errno{}
	asking := map[int]uintptr{} // threads that ask what driver a device has, and where they want it
	known := map[int]bool{pid: true}
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("wait for %s: %w", p.path, err)
		}
		if !status.Stopped() {
			if tid == pid && (status.Exited() || status.Signaled()) {
				t.status, t.hung = status, hung.Load()
				l.gather(&t.outcome)
				return t, nil
			}
			continue
		}
		first := !known[tid]
		known[tid] = true
		deliver := 0
		switch signal := status.StopSignal(); {
		case signal == unix.SIGTRAP|0x80: // PTRACE_O_TRACESYSGOOD
			info, err := syscallInfo(tid)
			if err != nil {
				break // it has been killed
			}
			if info.op == unix.PTRACE_SYSCALL_INFO_EXIT {
				if errno, fails := failing[tid]; fails {
					delete(failing, tid)
					setRegs(tid, func(regs *unix.PtraceRegs) { regs.Rax = uint64(-int64(errno)) })
				} else if where, asks := asking[tid]; asks {
					asVRF(tid, where)
				}
				delete(asking, tid)
				break
			}
			if info.nr == unix.SYS_IOCTL && info.args[1] == unix.SIOCETHTOOL {
				asking[tid] = uintptr(info.args[2])
			}
			if !begun || infallible[info.nr] || p.ofRuntime(info.at) || info.nr == unix.SYS_WRITE && info.args[0] == 2 {
				break
			}
			call := callName(info.nr)
			n := t.calls[call]
			t.calls[call]++
			if f == nil || call != f.call || n < f.n || n > f.n && !f.forever {
				break
			}
			failing[tid] = f.errno
			if t.hit++; t.hit > tooOften {
				t.endless = true
				_ = unix.Kill(pid, unix.SIGKILL)
				break
			}
			setRegs(tid, func(regs *unix.PtraceRegs) { regs.Orig_rax = ^uint64(0) }) // no call
		case signal == unix.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_EXEC:
			t.running = true
			if t.portrait, err = portrait(pid); err != nil {
				return nil, err
			}
			_ = unix.Kill(pid, unix.SIGKILL)
		case signal == unix.SIGTRAP && status.TrapCause() > 0: // a thread was made
		case signal == unix.SIGTRAP && !begun:
			var regs unix.PtraceRegs
			if err := unix.PtraceGetRegs(tid, &regs); err != nil {
				break
			}
			if regs.Rip != uint64(p.main)+1 {
				deliver = int(signal)
				break
			}
			begun = true
			regs.Rip--
			if _, err := unix.PtracePokeText(tid, p.main, original[:]); err != nil {
				return nil, err
			}
			if err := unix.PtraceSetRegs(tid, &regs); err != nil {
				return nil, err
			}
		case signal == unix.SIGSTOP && first: // every new thread begins with one
		default:
			deliver = int(signal)
		}
		_ = unix.PtraceSyscall(tid, deliver)
	}
}

// callInfo is the head of struct ptrace_syscall_info of linux/ptrace.h, at the
// entry of a call.
type callInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	at   uint64
	_    uint64
	nr   uint64
	args [6]uint64
	_    [2]uint64
}

func syscallInfo(tid int) (*callInfo, error) {
	var info callInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return nil, errno
	}
	return &info, nil
}

// setRegs changes the registers of a thread that stands at a system call.
func setRegs(tid int, change func(*unix.PtraceRegs)) {
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(tid, &regs) == nil {
		change(&regs)
		_ = unix.PtraceSetRegs(tid, &regs)
	}
}

// asVRF makes the device that a thread has asked the driver of a VRF, which
// this kernel may not have: of struct ifreq, which is at where, the data is
// struct ethtool_drvinfo of linux/ethtool.h.
func asVRF(tid int, where uintptr) {
	var pointer [8]byte
	if _, err := unix.PtracePeekData(tid, where+unix.IFNAMSIZ, pointer[:]); err == nil {
		_, _ = unix.PtracePokeData(tid, uintptr(binary.LittleEndian.Uint64(pointer[:]))+4, []byte("vrf\x00"))
	}
}

// injection is a kind of launch whose calls fail: of netns-exec, or of the hook
// for an action.
type injection struct {
	kind     string
	action   string
	options  []string
	recorded bool // the service has been started
	living   bool // and its daemon lives
	away     bool // it comes from the mounts of another service
}

// hook reports whether the launch is one of a service's action.
func (k injection) hook() bool { return k.action != "" }

// id is the case of a fault.
func (k injection) id(f fault) string { return fmt.Sprintf("inject/%s/%s", k.kind, f) }

// dir is the working directory of the launch; OpenRC starts all in that of
// root.
func (k injection) dir() string {
	if k.hook() {
		return "/"
	}
	return "/usr"
}

// asks reports whether the launch may have rc-netns tell it something, which is
// a process more.
func (k injection) asks() bool { return k.kind == "service" || k.action == "status" }

// benchMark stands for the device of the bench's namespace, which passes for a
// VRF (asVRF).
const benchMark = "@mark"

var injections = []injection{
	{kind: "plain", options: []string{"--no-etc"}},
	{kind: "etc"},
	{kind: "user", options: []string{"-u", "nobody"}},
	{kind: "service", options: []string{"--service"}},
	{kind: "lock", options: []string{"--lock"}},
	{kind: "lock-user", options: []string{"--lock", "-u", "nobody"}},
	{kind: "vrf", options: []string{"--vrf", benchMark}},
	{kind: "start", action: "start"},
	{kind: "start-lock", action: "start", options: []string{"--netns_lock", "yes"}},
	{kind: "start-vrf", action: "start", options: []string{"--vrf", benchMark}},
	{kind: "start-away", action: "start", away: true},
	{kind: "status", action: "status", recorded: true},
	{kind: "stop", action: "stop", recorded: true},
	{kind: "status-living", action: "status", recorded: true, living: true},
	{kind: "stop-living", action: "stop", recorded: true, living: true},
	{kind: "stop-fresh", action: "stop"},
}

// bench is where launches are injected: a name, a service and a cgroup that
// nobody else uses.
type bench struct {
	*lane
	name, service string
	cgroup        int
	cgroupDir     string
	programs      map[bool]*program // the hook, and netns-exec
	inode         uint64
	mark          string
	daemonLane    *lane
	daemon        *outcome            // of the service, if it lives
	whole         map[string][]string // by kind, the portrait of a command that was launched without a fault
}

// argv is the command line of a kind of launch.
func (b *bench) argv(k injection) []string {
	options := slices.Clone(k.options)
	if i := slices.Index(options, benchMark); i >= 0 {
		options[i] = b.mark
	}
	if k.hook() {
		return hook(b.service, b.name, k.action, options...)
	}
	return byHand(b.name, probe, options...)
}

func newBench(i int) (*bench, error) {
	i %= len(pool)
	b := &bench{name: fmt.Sprintf("bench%d", i), service: fmt.Sprintf("benched%d", i), programs: map[bool]*program{}, whole: map[string][]string{}}
	var err error
	for _, l := range []**lane{&b.lane, &b.daemonLane} {
		if *l, err = newLane(); err != nil {
			return nil, err
		}
	}
	for hook, name := range map[bool]string{true: "openrc-netns-hook", false: "netns-exec"} {
		if b.programs[hook], err = readProgram(filepath.Join(bin, name)); err != nil {
			return nil, err
		}
	}
	n := pool[i]
	b.inode, b.mark = n.inode, n.mark
	b.cgroupDir = cgroupRoot + "/" + b.name
	for _, dir := range []string{"/etc/netns/" + b.name, b.cgroupDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	files := map[string]string{"/run/netns/" + b.name: "", "/etc/conf.d/" + b.name: "netns=" + b.name + "\n"}
	for _, f := range tokenFiles {
		files["/etc/netns/"+b.name+"/"+f] = "# " + b.name + "\n"
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if err := unix.Mount(n.path(), "/run/netns/"+b.name, "", unix.MS_BIND, ""); err != nil {
		return nil, err
	}
	b.cgroup, err = unix.Open(b.cgroupDir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return b, err
}

func (b *bench) close() {
	_ = unix.Unmount("/run/netns/"+b.name, unix.MNT_DETACH)
	_ = os.Remove("/run/netns/" + b.name)
	_ = os.RemoveAll("/etc/netns/" + b.name)
	b.sweep()
	unix.Close(b.cgroup)
	_ = unix.Rmdir(b.cgroupDir)
	b.lane.close()
	b.daemonLane.close()
}

// set brings the bench to what it is before a launch of the kind.
func (b *bench) set(k injection) error {
	if !k.recorded {
		return nil
	}
	o, err := b.daemonLane.run(launch{argv: hook(b.service, b.name, "start"), env: environment, cgroup: b.cgroup})
	if err == nil && !o.running {
		err = fmt.Errorf("start %s: %s", b.service, o.stderr)
	}
	b.daemon = &o
	if !k.living {
		b.end()
	}
	return err
}

// end ends the daemon.
func (b *bench) end() {
	if b.daemon != nil && b.daemon.running {
		b.daemonLane.finish(b.daemon)
	}
	b.daemon = nil
}

func (b *bench) sweep() {
	b.end()
	_ = os.RemoveAll("/run/openrc/options/" + b.service)
	for _, dir := range slices.Backward(cgroupsBelow(b.cgroupDir)) {
		_ = unix.Rmdir(dir)
	}
}

// traces lists what a launch may leave behind.
func (b *bench) traces() []string {
	left := cgroupsBelow(b.cgroupDir)
	_ = filepath.WalkDir("/run/openrc/options/"+b.service, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			text, _ := os.ReadFile(path)
			left = append(left, fmt.Sprintf("%s %q", path, text))
		}
		return nil
	})
	return left
}

// recorded is what a record says of where the service is, but for the mount
// namespace, which each start makes anew.
func (b *bench) recorded() string {
	text, _ := os.ReadFile("/run/openrc/options/" + b.service + "/netns")
	lines := strings.Split(string(text), "\n")
	return fmt.Sprintf("recorded %q", lines[:min(len(lines), 4)])
}

func (b *bench) trace(k injection, f *fault) (t *traced, err error) {
	trace := func() error {
		t, err = b.programs[k.hook()].trace(b.lane, launch{argv: b.argv(k), env: environment, dir: k.dir(), cgroup: b.cgroup}, f)
		return err
	}
	if !k.away {
		return t, trace()
	}
	return t, inRoom(empty("/run/away"), trace) // where the machine has a mark
}

// inRoom calls a function on a thread that goes with it, and in mounts of its
// own if room, which makes them what they are to be, is not nil.
func inRoom(room, call func() error) error {
	return onThread(func() error {
		if room == nil {
			return call()
		}
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := room(); err != nil {
			return fmt.Errorf("make the room: %w", err)
		}
		return call()
	})
}

// benches is how many launches are injected at a time.
const benches = 2

// attackCalls makes every call of every kind of launch fail, as far as the time
// goes; in a random order.
func attackCalls(r *report, until time.Time) {
	type work struct {
		kind injection
		fault
	}
	var todo []work
	b, err := newBench(0)
	if err != nil {
		r.failed("inject", err)
		return
	}
	runtime.LockOSThread()
	for _, k := range injections {
		id := "inject/" + k.kind
		if !wanted(id) && !strings.HasPrefix(*attack.Only, id+"/") {
			continue
		}
		var t *traced
		if err = b.set(k); err == nil {
			t, err = b.trace(k, nil)
		}
		if err == nil && !t.running {
			err = fmt.Errorf("without a fault: %s: %s", statusText(t.status), t.stderr)
		}
		if err == nil && t.calls["execve"] != 1 {
			err = fmt.Errorf("these calls were seen: %v", t.calls)
		}
		b.sweep()
		if err != nil {
			r.failed(id, err)
			continue
		}
		for call, times := range t.calls {
			if call == "close" && k.asks() {
				// Who is only told that it failed has the descriptor open
				// still, which no kernel does, and fork in Go's library waits
				// for the end of a pipe.
				continue
			}
			for n := range times {
				for _, errno := range errnosOf(call) {
					todo = append(todo, work{k, fault{call, n, errno, false}})
					if errno != unix.EINTR { // no signal comes for ever
						todo = append(todo, work{k, fault{call, n, errno, true}})
					}
				}
			}
		}
	}
	todo = slices.DeleteFunc(todo, func(w work) bool { return !wanted(w.kind.id(w.fault)) })
	slices.SortFunc(todo, func(a, b work) int {
		return strings.Compare(a.kind.kind+" "+a.String(), b.kind.kind+" "+b.String())
	})
	runtime.UnlockOSThread()
	b.close()
	shuffle(todo)
	onBenches(r, "inject", len(todo), until, func(b *bench, i int) error {
		return b.inject(r, todo[i].kind, todo[i].fault)
	})
}

// shuffle puts work into an order that the seed decides.
func shuffle[W any](todo []W) {
	rand.New(rand.NewPCG(*attack.Seed, 3)).Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
}

// onBenches does work on all benches, as far as the time goes.
func onBenches(r *report, part string, work int, until time.Time, do func(b *bench, i int) error) {
	var next, done atomic.Int64
	var wait sync.WaitGroup
	for i := range benches {
		wait.Go(func() {
			runtime.LockOSThread()
			b, err := newBench(i)
			if err != nil {
				r.failed(part, err)
				return
			}
			defer b.close()
			for time.Now().Before(until) {
				i := int(next.Add(1)) - 1
				if i >= work {
					break
				}
				if err := do(b, i); err != nil {
					r.failed(part, err)
				}
				done.Add(1)
			}
		})
	}
	wait.Wait()
	fmt.Printf("%s: %d of %d cases\n", part, done.Load(), work)
}

// inject launches with a fault, and judges what becomes of it.
func (b *bench) inject(r *report, k injection, f fault) error {
	defer b.sweep()
	if err := b.set(k); err != nil {
		return err
	}
	if b.whole[k.kind] == nil {
		t, err := b.trace(k, nil)
		if err != nil {
			return err
		}
		if problem := b.checkWhole(k, t); problem != "" {
			return fmt.Errorf("inject/%s without a fault: %s", k.kind, problem)
		}
		b.whole[k.kind] = append(t.portrait, b.recorded())
		b.sweep()
		if err := b.set(k); err != nil {
			return err
		}
	}
	before := b.traces()
	t, err := b.trace(k, &f)
	if err != nil {
		return err
	}
	promise, text := "", ""
	left := unlike(b.traces(), before)
	class := "failed cleanly"
	switch {
	case t.endless:
		promise, text = "a loop without an end", fmt.Sprintf("the call failed %d times", t.hit)
	case t.running && t.hit == 0:
		class = "complete: the call did not come again"
	case t.running:
		class = "complete"
		odd := slices.DeleteFunc(unlike(append(t.portrait, b.recorded()), b.whole[k.kind]), volatile)
		warned := slices.DeleteFunc(slices.Clone(odd), func(line string) bool { return excused(k, f, line, t) })
		if len(warned) > 0 {
			promise, text = "half of what was asked", strings.Join(warned, "; ")
		} else if len(odd) > 0 {
			class = "complete but for what the manuals let pass"
		} else if isTrace(t.stderr) {
			promise, text = "a trace", t.stderr
		}
	default:
		promise, text = t.unclean(k.hook())
		if promise == "" && len(left) > 0 {
			if f.forever && slices.Contains(cleaners, f.call) {
				class = "failed, and could not clean up with " + f.call + " failing for ever"
				break
			}
			promise, text = "something is left", fmt.Sprintf("%s, after: %s", strings.Join(left, ", "), t.stderr)
		}
	}
	r.judged(k.id(f), class, promise, text)
	return nil
}

// cleaners are the calls without which no cgroup and no record can be removed.
var cleaners = []string{"openat", "write", "unlinkat"}

// excused reports whether the manuals say that what a line says can be; most of
// that only with a warning.
func excused(k injection, f fault, line string, t *traced) bool {
	if f.errno == unix.ENOENT && strings.HasPrefix(line, "/etc/") {
		return true // a directory of files that is not there asks for nothing
	}
	if f.errno == unix.ENOPROTOOPT && strings.HasPrefix(line, "recorded ") {
		return true // a kernel that has no cookies
	}
	warning := t.stderr
	for _, line := range t.portrait {
		if strings.HasPrefix(line, "environ ") {
			_, notice, _ := strings.Cut(line, "OPENRC_NETNS_NOTICE=")
			warning += notice
		}
	}
	if line == "cgroups in sight false" && strings.Contains(warning, "is not in the namespace's /sys") {
		return true
	}
	isSys := strings.HasPrefix(line, "/sys shows ")
	if isSys && strings.Contains(warning, "the kernel allows no new /sys here") {
		return true
	}
	if !k.hook() || k.action == "start" || warning == "" {
		return false
	}
	// stop and status go on, in a new namespace where they have to.
	inode, isNet := strings.CutPrefix(line, "net ")
	known := slices.ContainsFunc(pool, func(n *netns) bool { return strconv.FormatUint(n.inode, 10) == inode })
	return isNet && !known && inode != strconv.FormatUint(hostInode, 10) ||
		isSys && strings.HasSuffix(line, " false") || strings.HasPrefix(line, "/etc/")
}

// volatile lines of a portrait differ between any two launches.
func volatile(line string) bool {
	return strings.HasPrefix(line, "environ ") && strings.Contains(line, "OPENRC_NETNS_")
}

// checkWhole says what is wrong with a launch in which nothing was made to
// fail, against which the others are measured.
func (b *bench) checkWhole(k injection, t *traced) string {
	if !t.running {
		return fmt.Sprintf("%s: %s", statusText(t.status), t.stderr)
	}
	token := "# " + b.name + "\n"
	if k.kind == "plain" {
		token = hostToken
	}
	want := []string{
		"net " + strconv.FormatUint(b.inode, 10), fmt.Sprintf("/etc/resolv.conf %q", token), fmt.Sprintf("/etc/hosts %q", token),
		"own mounts true", "/sys shows in-host false", "cgroups in sight true", "nscd in sight false",
		"the machine's mounts true",
		fmt.Sprintf("confined %t", strings.Contains(k.kind, "lock") || strings.Contains(k.kind, "vrf")),
	}
	if missing := unlike(want, t.portrait); len(missing) > 0 {
		return fmt.Sprintf("not %s", strings.Join(missing, "; "))
	}
	return ""
}
