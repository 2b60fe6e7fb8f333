package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Looked is what came of a command that was run by Look.
type Looked struct {
	Output, Errors []byte
	Status         int
	// Beyond reports whether it tried more than to look, such as to write to a file,
	// to make a socket or to send a signal. It was ended then.
	Beyond bool
}

// What ends a command that Look has run; with neither it was not run.
var (
	ErrTooLong = errors.New("it takes too long")
	ErrTooMuch = errors.New("it prints too much")
)

// Look runs a command that may only look, and returns what came of it: all file
// systems are read-only to it, it has no capability but to read what others may not,
// and what it starts ends with it. It is ended if it takes longer than patience, or
// prints more than limit bytes, and by the first system call that is beyond looking:
// whatever that call had answered, the command would take for what a process
// without such limits sees. Standard input is empty, and there is no terminal.
//
// The network is that of the caller: /proc/net and /sys show what they show to a
// service that starts, and no socket but of unix(7) can be made.
//
// It needs CAP_SYS_ADMIN, Linux 5.12, and a locked thread, whose mounts the command
// sees.
func Look(argv, env []string, patience time.Duration, limit int64) (Looked, error) {
	c, err := newCommand()
	if err != nil {
		return Looked{}, err
	}
	defer c.close()
	listening := make(chan error)
	go func() {
		defer close(c.ended)
		runtime.LockOSThread() // and no unlock: the thread ends with the goroutine
		err := c.confine()
		if err == nil {
			c.listener, err = listen()
		}
		listening <- err
		if err == nil {
			c.run(argv, env)
		}
	}()
	if err := <-listening; err != nil {
		<-c.ended
		return Looked{}, fmt.Errorf("run %q in a sandbox: %w", argv[0], err)
	}
	defer unix.Close(c.listener)
	return c.watch(patience, limit)
}

// command is one that Look runs.
type command struct {
	mounts, root, null *os.File // those of the caller; /dev/null
	output, errors     [2]*os.File
	listener           int // see listen

	started chan struct{} // closed when process is there, or err
	process *os.Process
	err     error
	ended   chan struct{} // closed when state is there, if there was a process
	state   *os.ProcessState
}

func newCommand() (c *command, err error) {
	c = &command{started: make(chan struct{}), ended: make(chan struct{})}
	open := func(path string, flags int) *os.File {
		if err != nil {
			return nil
		}
		var fd int
		if fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0); err != nil {
			err = fmt.Errorf("open %s: %w", path, err)
			return nil
		}
		return os.NewFile(uintptr(fd), path)
	}
	c.mounts, c.root = open("/proc/thread-self/ns/mnt", unix.O_RDONLY), open("/", unix.O_PATH|unix.O_DIRECTORY)
	c.null = open(os.DevNull, unix.O_RDONLY)
	for _, pipe := range []*[2]*os.File{&c.output, &c.errors} {
		if err == nil {
			pipe[0], pipe[1], err = os.Pipe()
		}
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *command) close() {
	for _, f := range []*os.File{c.mounts, c.root, c.null, c.output[0], c.output[1], c.errors[0], c.errors[1]} {
		f.Close()
	}
}

// confine gives up what the calling thread may do. What it starts has no more.
func (c *command) confine() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Setns(int(c.mounts.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the mounts of the caller: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE,
	}); err != nil {
		return fmt.Errorf("make all mounts read-only: %w", err)
	}
	if err := unix.Fchdir(int(c.root.Fd())); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	for capability := uintptr(0); ; capability++ {
		if capability == unix.CAP_DAC_READ_SEARCH {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // the kernel knows no more (prctl(2))
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	return nil
}

// listen has the kernel report what the calling thread, and what it starts, does
// beyond looking, to the descriptor that it returns (seccomp_unotify(2)).
func listen() (int, error) {
	filter := program(unix.SECCOMP_RET_USER_NOTIF, unix.SECCOMP_RET_ALLOW,
		list{looking(), unix.SECCOMP_RET_ALLOW}, list{beyondLooking(), unix.SECCOMP_RET_USER_NOTIF})
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return -1, fmt.Errorf("seccomp: %w", errno)
	}
	return int(fd), nil
}

// run starts the command and waits for it, on the thread that it must not outlive.
func (c *command) run(argv, env []string) {
	c.process, c.err = os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir: "/", Env: env, Files: []*os.File{c.null, c.output[1], c.errors[1]},
		Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL},
	})
	c.output[1].Close()
	c.errors[1].Close()
	close(c.started)
	if c.err == nil {
		c.state, _ = c.process.Wait()
	}
}

func (c *command) kill() {
	if <-c.started; c.process != nil {
		_ = c.process.Kill()
	}
}

// watch reads what the command prints until it has ended, one way or another.
func (c *command) watch(patience time.Duration, limit int64) (Looked, error) {
	var looked Looked
	late := time.AfterFunc(patience, c.kill)
	read := make(chan int64)
	for _, stream := range []struct {
		from *os.File
		to   *[]byte
	}{{c.output[0], &looked.Output}, {c.errors[0], &looked.Errors}} {
		go func() {
			*stream.to, _ = io.ReadAll(io.LimitReader(stream.from, limit+1))
			if int64(len(*stream.to)) > limit {
				c.kill()
			}
			read <- int64(len(*stream.to))
		}()
	}
	looked.Beyond = c.serve()
	<-c.ended
	onTime := late.Stop()
	tooMuch := max(<-read, <-read) > limit
	switch {
	case c.err != nil:
		return looked, fmt.Errorf("run it in a sandbox: %w", c.err)
	case looked.Beyond:
	case tooMuch:
		return looked, ErrTooMuch
	case !onTime:
		return looked, ErrTooLong
	}
	if c.state != nil {
		looked.Status = c.state.ExitCode()
	}
	return looked, nil
}

// serve answers the kernel until the command has ended: what is harmless goes
// on, any other call that was reported ends it.
func (c *command) serve() (beyond bool) {
	const tick = 20 // in ms, should the kernel not tell that it was the last process
	for {
		select {
		case <-c.ended:
			return beyond
		default:
		}
		fds := []unix.PollFd{{Fd: int32(c.listener), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, tick); n <= 0 || err != nil || fds[0].Revents&unix.POLLIN == 0 {
			if n > 0 {
				<-c.ended
			}
			continue
		}
		var call notification
		if ioctl(c.listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&call)) != nil {
			continue // it was killed meanwhile
		}
		answer, looks := call.answer()
		if !looks || ioctl(c.listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&answer)) != nil { // before Linux 5.5
			beyond = true
			c.kill()
		}
	}
}

// notification and response are struct seccomp_notif and seccomp_notif_resp of
// linux/seccomp.h.
type notification struct {
	id         uint64
	pid, flags uint32
	number     int32
	arch       uint32
	pointer    uint64
	args       [6]uint64
}

type response struct {
	id    uint64
	value int64
	error int32
	flags uint32
}

func ioctl(fd int, request uintptr, argument unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
	if errno != 0 {
		return errno
	}
	return nil
}

// harmless are files that may be opened for writing: nothing comes of that. (There is
// no terminal; bash looks for one when it starts.)
var harmless = []string{os.DevNull, "/dev/stderr", "/dev/tty"}

// nscd are the sockets of the name service cache, which glibc tries before it reads
// files itself. Nobody answers there.
var nscd = []string{"/run/nscd/socket", "/var/run/nscd/socket"}

// answer is what becomes of a call that was reported; false if it is beyond looking.
// (Another thread may change the path before the kernel reads it: whoever runs code as
// root to fool his own look.)
func (n *notification) answer() (response, bool) {
	number := uintptr(n.number)
	if at, opens := pathOfOpen[number]; n.arch == auditArch && opens && slices.Contains(harmless, n.text(n.args[at])) {
		return response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}, true
	}
	const path = 2 // offsetof(struct sockaddr_un, sun_path)
	if n.arch == auditArch && number == unix.SYS_CONNECT && slices.Contains(nscd, n.text(n.args[1]+path)) {
		return response{id: n.id, error: -int32(unix.ECONNREFUSED)}, true
	}
	return response{}, false
}

// text is the string at an address of the process that calls, unless it is longer than
// any that is looked for.
func (n *notification) text(address uint64) string {
	memory, err := os.Open("/proc/" + strconv.Itoa(int(n.pid)) + "/mem")
	if err != nil {
		return ""
	}
	defer memory.Close()
	path := make([]byte, 32)
	got, _ := memory.ReadAt(path, int64(address))
	text, _, terminated := bytes.Cut(path[:got], []byte{0})
	if !terminated {
		return ""
	}
	return string(text)
}
