package torture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Launches where something runs out, is missing or is odd. Each ends as a
// launch with a fault does: complete, or failed cleanly. What the Go runtime
// cannot start with is admitted, by name, if the command has not run.

// shortage is a state of the machine, or of the process, that a launch meets.
type shortage struct {
	name     string
	admitted string // why the runtime may die in it, or rc-netns, as README.md names it; empty if neither may
	complete bool   // a launch without rc-netns has to succeed all the same
	env      []string
	closed   int
	unshare  uintptr
	prepare  func(pid int) error // before the launcher's first instruction
	room     func() error        // makes a mount namespace for the launch alone what it has to be
	kinds    []string            // of launch, if not all
	lacks    string              // what a command that is launched by hand need not have
}

// What README.md admits.
const (
	secondThread = "a second thread"
	addressSpace = "address space"
	memory       = "memory"
	devNull      = "/dev/null for closed descriptors"
)

func shortages() []shortage {
	rlimit := func(resource int, value uint64) func(int) error {
		return func(pid int) error {
			return unix.Prlimit(pid, resource, &unix.Rlimit{Cur: value, Max: value}, nil)
		}
	}
	var list []shortage
	add := func(s shortage) { list = append(list, s) }
	add(shortage{name: "none", complete: true})
	for n := uint64(3); n <= 24; n++ {
		add(shortage{name: fmt.Sprintf("nofile-%d", n), prepare: rlimit(unix.RLIMIT_NOFILE, n), complete: n >= 12})
	}
	const mega = 1 << 20
	// From 1090 MiB on the runtime reserves more, and has too little left up to
	// 1190.
	for _, n := range []uint64{8, 64, 256, 512, 800, 1024, 1100, 1150, 1300} {
		add(shortage{name: fmt.Sprintf("as-%dM", n), prepare: rlimit(unix.RLIMIT_AS, n*mega), admitted: addressSpace,
			complete: n == 800 || n == 1024 || n >= 1300})
	}
	for _, n := range []uint64{1, 16, 64, 256, 1024} {
		add(shortage{name: fmt.Sprintf("data-%dM", n), prepare: rlimit(unix.RLIMIT_DATA, n*mega), admitted: addressSpace,
			complete: n >= 64})
	}
	for name, resource := range map[string]int{"fsize": unix.RLIMIT_FSIZE, "memlock": unix.RLIMIT_MEMLOCK, "core": unix.RLIMIT_CORE, "locks": unix.RLIMIT_LOCKS,
		"sigpending": unix.RLIMIT_SIGPENDING, "msgqueue": unix.RLIMIT_MSGQUEUE, "nproc": unix.RLIMIT_NPROC} {
		add(shortage{name: name + "-0", prepare: rlimit(resource, 0)})
	}
	add(shortage{name: "stack-128K", prepare: rlimit(unix.RLIMIT_STACK, 128<<10)})
	for n := 1; n <= 8; n++ {
		add(shortage{name: fmt.Sprintf("pids-%d", n), prepare: joinWith("pids", "pids.max", n), admitted: secondThread,
			complete: n >= 7}) // as many threads as the runtime has been seen to start
	}
	for _, n := range []int{1, 2, 4, 8, 32} {
		add(shortage{name: fmt.Sprintf("memory-%dM", n), prepare: joinWith("memory", "memory.limit_in_bytes", n*mega), admitted: memory,
			complete: n >= 32})
	}
	for closed := 1; closed < 8; closed++ {
		name := ""
		for fd := range 3 {
			if closed&(1<<fd) != 0 {
				name += strconv.Itoa(fd)
			}
		}
		add(shortage{name: "closed-" + name, closed: closed, complete: true})
		add(shortage{name: "closed-" + name + "-no-dev", closed: closed, admitted: devNull, room: empty("/dev")})
	}
	add(shortage{name: "no-dev", room: empty("/dev"), complete: true})
	add(shortage{name: "unshared-pid", unshare: unix.CLONE_NEWPID, admitted: secondThread})
	add(shortage{name: "no-proc", room: empty("/proc")})
	add(shortage{name: "outer-proc", room: func() error { return unix.Mount(outside+"/proc", "/proc", "", unix.MS_BIND, "") }})
	add(shortage{name: "read-only-root", complete: true, room: func() error {
		return unix.Mount("", "/", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}})
	add(shortage{name: "no-cgroup", complete: true, lacks: "not cgroups in sight true", room: func() error { return unix.Unmount(cgroupRoot, unix.MNT_DETACH) }})
	add(shortage{name: "no-sys", lacks: "not cgroups in sight true", room: empty("/sys")})
	add(shortage{name: "cgroup-namespace", unshare: unix.CLONE_NEWCGROUP})
	full := func(options string, fill int) func() error {
		return func() error {
			if err := unix.Mount("none", "/run/openrc", "tmpfs", 0, options); err != nil {
				return err
			}
			err := os.WriteFile("/run/openrc/fill", make([]byte, fill), 0o644)
			if errors.Is(err, unix.ENOSPC) {
				err = nil
			}
			return err
		}
	}
	add(shortage{name: "run-full", room: full("size=16k", 1<<20), kinds: []string{"start", "start-lock"}})
	add(shortage{name: "run-no-inodes", room: full("nr_inodes=2", 0), kinds: []string{"start", "start-lock"}})
	add(shortage{name: "run-read-only", kinds: []string{"start", "start-lock"}, room: func() error {
		if err := unix.Mount("none", "/run/openrc", "tmpfs", 0, ""); err != nil {
			return err
		}
		return unix.Mount("", "/run/openrc", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}})
	for name, env := range map[string][]string{
		"twice":        {"A=1", "A=2"},
		"malformed":    {"B", "=C", ""},
		"control":      {"A=\x01\n\x7f"},
		"empty":        {},
		"runtime":      {"GODEBUG=cgocheck=0", "GOGC=1", "GOMAXPROCS=1", "GOMEMLIMIT=1MiB", "GOTRACEBACK=crash"},
		"no-variables": nil,
	} {
		add(shortage{name: "env-" + name, complete: true, env: append(env, environment...)})
	}
	return list
}

// expects reports whether a line of a portrait is another one in each launch:
// of the cgroup namespace that each makes.
func (s shortage) expects(line string) bool {
	return s.unshare&unix.CLONE_NEWCGROUP != 0 && strings.HasPrefix(line, "ns/cgroup ")
}

// empty hides a directory behind an empty one.
func empty(dir string) func() error {
	return func() error { return unix.Mount("none", dir, "tmpfs", 0, "") }
}

// errNotHere says that the machine has not what a shortage is made of.
var errNotHere = errors.New("this machine has no such controller")

// joinWith moves the launcher into a cgroup of the controller with a limit: a
// cgroup v1, as the run's own cgroup v2 has processes in it.
func joinWith(controller, file string, value int) func(int) error {
	return func(pid int) error {
		dir := filepath.Join(outside, "cgroup", controller)
		if _, err := os.Stat(dir + "/cgroup.procs"); err != nil {
			return errNotHere
		}
		dir = filepath.Join(dir, fmt.Sprintf("netns-torture.%d.%d", outerPID(), pid))
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(value)), 0); err != nil {
			return err
		}
		return os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0)
	}
}

// leaveControllers removes the cgroups of joinWith.
func leaveControllers() {
	dirs, _ := filepath.Glob(filepath.Join(outside, "cgroup", "*", fmt.Sprintf("netns-torture.%d.*", outerPID())))
	for _, dir := range dirs {
		_ = unix.Rmdir(dir)
	}
}

// attackLimits tries every shortage with every kind of launch, as far as the
// time goes; in a random order.
func attackLimits(r *report, until time.Time) {
	type work struct {
		id string
		shortage
		kind injection
	}
	var todo []work
	for _, s := range shortages() {
		for _, k := range injections {
			id := fmt.Sprintf("limit/%s/%s", s.name, k.kind)
			if s.kinds != nil && !slices.Contains(s.kinds, k.kind) || k.away || !wanted(id) {
				continue
			}
			todo = append(todo, work{id, s, k})
		}
	}
	shuffle(todo)
	defer leaveControllers()
	onBenches(r, "limit", len(todo), until, func(b *bench, i int) error {
		err := b.set(todo[i].kind)
		if err == nil {
			err = b.limit(r, todo[i].id, todo[i].shortage, todo[i].kind)
		}
		b.sweep()
		return err
	})
}

// limit tries one shortage with one kind of launch, on a thread and in mounts
// of its own.
func (b *bench) limit(r *report, id string, s shortage, k injection) error {
	if k.asks() && s.admitted != "" {
		s.complete = false // rc-netns needs more, or as much once more
	}
	before := b.traces()
	var direct, t *traced
	err := inRoom(s.room, func() error {
		l := launch{argv: []string{probe}, env: s.env, dir: k.dir(), cgroup: b.cgroup, closed: s.closed, unshare: s.unshare, prepare: s.prepare}
		if l.env == nil {
			l.env = environment
		}
		var err error
		if direct, err = (&program{path: probe}).trace(b.lane, l, nil); err != nil {
			return err
		}
		l.argv = b.argv(k)
		t, err = b.programs[k.hook()].trace(b.lane, l, nil)
		return err
	})
	if errors.Is(err, errNotHere) {
		r.count(id, "not tried: "+err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	promise, text := "", ""
	class := "failed cleanly"
	left := unlike(b.traces(), before)
	switch {
	case t.running:
		class = "complete"
		if problem := b.checkWhole(k, t); problem != "" && problem != s.lacks {
			promise, text = "half of what was asked", problem
		} else if odd := slices.DeleteFunc(unlike(inherited(k.kind, direct.portrait), inherited(k.kind, t.portrait)), s.expects); len(odd) > 0 {
			promise, text = "not transparent", fmt.Sprintf("not as without the launcher: %s", strings.Join(odd, "; "))
		} else if t.stderr != "" && s.env != nil {
			promise, text = "not transparent", fmt.Sprintf("it said %q", t.stderr)
		}
	case s.complete:
		promise, text = "failed where it must not", fmt.Sprintf("%s: %s", statusText(t.status), firstLine(t.stderr))
	case s.admitted != "" && !t.hung && (t.status.Signaled() || t.status.ExitStatus() != 0):
		if unclean, _ := t.unclean(k.hook()); unclean != "" {
			class = "failed, which is admitted: " + s.admitted
		}
	case s.closed&4 != 0:
		// Nobody hears what it says.
	default:
		promise, text = t.unclean(k.hook())
	}
	if promise == "" && !t.running && !t.status.Signaled() && len(left) > 0 {
		promise, text = "something is left", fmt.Sprintf("%s, after: %s", strings.Join(left, ", "), t.stderr)
	}
	r.judged(id, class, promise, text)
	return nil
}
