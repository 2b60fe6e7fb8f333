package torture

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a launch may take before it counts as one that hangs.
const patience = 60 * time.Second

// launch is one run of a launcher.
type launch struct {
	argv   []string
	env    []string
	dir    string
	cgroup int // a descriptor; 0 is the caller's
	closed int // of descriptors 0 to 2 those that are closed, a bit for each

	// prepare, which only tracing knows, is called before the launcher's first
	// instruction.
	prepare func(pid int) error
	unshare uintptr // flags of unshare(2), for the launcher itself
}

// outcome is what became of a launch.
type outcome struct {
	pid        int
	running    bool // the command runs, and waits
	hung       bool
	status     unix.WaitStatus
	stderr     string
	begin, end int64 // what the launch can have seen, it saw between these two (now)
}

// now is the time on the clock of the histories, in nanoseconds.
func now() int64 { return int64(time.Since(epoch)) }

var epoch = time.Now()

// lane runs launches one after another, on pipes that all of them use.
type lane struct {
	in, out, err pipe
	filled       bool // a byte waits in in
}

type pipe struct{ r, w int }

func newPipe() (pipe, error) {
	var p [2]int
	err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(p[1]), unix.F_SETFL, 0)
	}
	return pipe{p[0], p[1]}, err
}

func newLane() (*lane, error) {
	var l lane
	for _, p := range []*pipe{&l.in, &l.out, &l.err} {
		var err error
		if *p, err = newPipe(); err != nil {
			return nil, err
		}
	}
	_, err := unix.FcntlInt(uintptr(l.in.r), unix.F_SETFL, 0) // the command's
	return &l, err
}

func (l *lane) attr(c launch) *syscall.ProcAttr {
	attr := &syscall.ProcAttr{Dir: c.dir, Env: c.env, Sys: &syscall.SysProcAttr{Unshareflags: c.unshare}}
	for i, fd := range []int{l.in.r, l.out.w, l.err.w} {
		file := uintptr(fd)
		if c.closed&(1<<i) != 0 {
			file = ^uintptr(0)
		}
		attr.Files = append(attr.Files, file)
	}
	if c.cgroup != 0 {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, c.cgroup
	}
	return attr
}

// run launches, and returns when the command runs or the launcher has ended.
func (l *lane) run(c launch) (outcome, error) {
	if !l.filled {
		if _, err := unix.Write(l.in.w, []byte{'.'}); err != nil {
			return outcome{}, err
		}
		l.filled = true
	}
	attr := l.attr(c)
	ended := -1
	attr.Sys.PidFD = &ended
	o := outcome{begin: now()}
	pid, err := syscall.ForkExec(c.argv[0], c.argv, attr)
	if err != nil {
		return o, fmt.Errorf("start %s: %w", c.argv[0], err)
	}
	defer unix.Close(ended)
	o.pid = pid
	polled := []unix.PollFd{{Fd: int32(l.out.r), Events: unix.POLLIN}, {Fd: int32(ended), Events: unix.POLLIN}}
	deadline := time.Now().Add(patience)
	for polled[0].Revents == 0 && polled[1].Revents == 0 && !o.hung {
		_, _ = unix.Poll(polled, 1000)
		o.hung = time.Now().After(deadline)
	}
	o.end = now()
	var b [64]byte
	if n, _ := unix.Read(l.out.r, b[:]); n > 0 {
		l.filled = false
		o.running = polled[1].Revents == 0
	}
	if o.running {
		return o, nil
	}
	l.finish(&o)
	return o, nil
}

// finish ends what runs, and gathers what it has said.
func (l *lane) finish(o *outcome) {
	_ = unix.Kill(o.pid, unix.SIGKILL)
	for {
		if _, err := unix.Wait4(o.pid, &o.status, 0, nil); err != unix.EINTR {
			break
		}
	}
	l.gather(o)
}

// gather reads what has been said.
func (l *lane) gather(o *outcome) {
	var b [8192]byte
	var text strings.Builder
	for {
		n, _ := unix.Read(l.err.r, b[:])
		if n <= 0 {
			break
		}
		text.Write(b[:n])
	}
	o.stderr += text.String()
}

// unclean says what is wrong with a launch that has failed; empty if nothing
// is: it has ended by itself with a status that the manual names, and said so
// in one line.
func (o *outcome) unclean(hook bool) (promise, text string) {
	documented := []int{125, 126, 127}
	if hook {
		documented = []int{1}
	}
	first := firstLine(o.stderr)
	switch {
	case o.hung:
		return "a hang", fmt.Sprintf("no end after %v; it said %q", patience, first)
	case isTrace(o.stderr):
		return "a trace", fmt.Sprintf("%s: %s", statusText(o.status), first)
	case o.status.Signaled():
		return "killed by a signal", fmt.Sprintf("%s: %s", statusText(o.status), first)
	case !slices.Contains(documented, o.status.ExitStatus()):
		return "an undocumented status", fmt.Sprintf("%s: %s", statusText(o.status), first)
	case strings.Count(o.stderr, "\n")-strings.Count(o.stderr, ": warning: ") != 1:
		return "not one line", fmt.Sprintf("%s: %q", statusText(o.status), o.stderr)
	}
	return "", ""
}

// firstLine is the first of what has been said.
func firstLine(text string) string {
	line, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		line += " ..."
	}
	return line
}

func statusText(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("status %d", status.ExitStatus())
}
