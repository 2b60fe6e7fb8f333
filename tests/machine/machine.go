// Package machine makes throw-away OpenRC machines: a Debian root with OpenRC
// under an overlay, in mount, network, PID, UTS, IPC and cgroup namespaces of
// its own. What a machine does to its /etc, routes, firewall, mounts or cgroups
// stays in it and ends with it, however the program that made it ends.
//
// Three processes take part. The program that calls [Start] runs commands
// inside with nsenter(1). Its child, the keeper, is the parent of the machine's
// PID 1: when the program closes the machine, or dies, a pipe between the two
// closes, and the keeper ends the machine and removes its cgroup. PID 1 puts
// the machine together and then reaps. Keeper and PID 1 are the program's own
// binary under another name, which is why the program calls [Init] first of
// all:
//
//	func main() {
//		machine.Init()
//		m, err := machine.Start(machine.Options{Log: os.Stderr})
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer m.Close()
//		fmt.Print(m.Run("rc-status").Output)
//	}
//
// Tests call it in TestMain, and have their machines from package kit.
package machine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options says which machine [Start] makes. The zero value is Debian sid's
// OpenRC with dash.
type Options struct {
	Release string        // Debian release: "sid" (default), "trixie" or "bookworm"
	Shell   string        // what /bin/sh is: "dash" (default), "bash" or "busybox", which is then sed and grep and more too
	Alone   bool          // with sid and busybox: that is all there is beside OpenRC, laid out as on Alpine
	Cgroups string        // what is at /sys/fs/cgroup: cgroup v2 by default, "none", or "v1", OpenRC's own hierarchy alone
	Install string        // a folder that "make install DESTDIR=" has filled: its content is in "/" from the beginning; folders beside it are kept for that
	Timeout time.Duration // for each Run; 20 minutes by default
	Log     io.Writer     // gets the building of the root, and what background processes say after their Run
}

// Machine is a running machine. Its methods may be called from several
// goroutines; none may be active at Close.
type Machine struct {
	timeout time.Duration
	log     io.Writer
	before  string // what a script begins with
	legacy  string // the hierarchy of cgroup v1 that ends with the machine

	pid        int
	root       *os.File // the machine's "/"
	cgroup     *os.File // the machine's own cgroup; nil without cgroup v2
	namespaces []*os.File

	keeper *exec.Cmd
	life   *os.File // the keeper ends the machine when this end of the pipe closes
	stderr bytes.Buffer
	late   sync.WaitGroup // copies the output of background processes to the log
}

// spec is what the keeper and PID 1 are told, as JSON on their standard input.
type spec struct {
	Root   string // folder of the root file system, which is only read
	Layer  string // folder of what lies over it, also only read; empty: nothing
	Shell  string // empty: the root's own
	Hybrid bool   // cgroup v2 is at /sys/fs/cgroup/unified
	Hidden bool   // it is nowhere
	V1     string // a hierarchy of cgroup v1 of this name is at /sys/fs/cgroup/openrc
	Cgroup bool   // the machine has a cgroup v2: the keeper's word to PID 1
}

// report is the keeper's answer, as JSON.
type report struct {
	PID      int    // of PID 1
	Cgroup   int    // the keeper's descriptor of the machine's cgroup; 0: none
	NoCgroup string // why not
	Err      string // why there is no machine
}

// Start makes a machine, building its root with [Root] where the cache has
// none, and returns once it takes commands. The caller must be root and must
// have called [Init].
func Start(opts Options) (m *Machine, err error) {
	if !initialized {
		return nil, errors.New("start machine: the program has to call machine.Init first of all")
	}
	if err := Check(); err != nil {
		return nil, fmt.Errorf("start machine: %w", err)
	}
	if !slices.Contains([]string{"", "none", "v1"}, opts.Cgroups) {
		return nil, fmt.Errorf("start machine: unknown cgroups %q (none or v1)", opts.Cgroups)
	}
	s := spec{Shell: cmp.Or(opts.Shell, "dash"), Hidden: opts.Cgroups != ""}
	if opts.Cgroups == "v1" {
		s.V1 = legacyName()
	}
	if !slices.Contains([]string{"dash", "bash", "busybox"}, s.Shell) {
		return nil, fmt.Errorf("start machine: unknown shell %q (dash, bash or busybox)", s.Shell)
	}
	// Left to its defaults, OpenRC 0.45 has the hybrid layout, and makes
	// cgroups for services in no other.
	s.Hybrid = opts.Release == "bookworm"
	m = &Machine{legacy: s.V1, timeout: cmp.Or(opts.Timeout, 20*time.Minute), log: &logWriter{to: cmp.Or(opts.Log, io.Discard)}}
	if opts.Alone {
		if s.Shell != "busybox" || cmp.Or(opts.Release, "sid") != "sid" {
			return nil, errors.New("start machine: only sid's OpenRC is alone with busybox")
		}
		s.Shell, m.before = "", testFunctions()
		s.Root, err = CachedRoot("busybox-sid", "sid", busyboxRecipe, m.log)
	} else {
		s.Root, err = cachedRoot(opts.Release, m.log)
	}
	if err == nil && opts.Install != "" {
		s.Layer, err = layer(opts.Install, s.Root)
	}
	if err != nil {
		return nil, err
	}
	if err := m.start(s); err != nil {
		return nil, errors.Join(fmt.Errorf("start machine: %w", err), m.Close())
	}
	return m, nil
}

// start runs the keeper, waits until PID 1 is ready and opens what Run and
// Close need. After an error m wants Close.
func (m *Machine) start(s spec) error {
	lifeRead, lifeWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer lifeRead.Close()
	m.life = lifeWrite
	answer, answerWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer answer.Close()
	defer answerWrite.Close()

	keeper := reexec(keeperName, s)
	keeper.Stderr = &m.stderr
	keeper.ExtraFiles = []*os.File{lifeRead, answerWrite} // descriptors 3 and 4
	// A session of its own: an interrupt from the terminal is for the program,
	// whose end the keeper then sees.
	keeper.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := keeper.Start(); err != nil {
		return err
	}
	m.keeper = keeper
	answerWrite.Close()

	var r report
	if err := json.NewDecoder(answer).Decode(&r); err != nil {
		return fmt.Errorf("no answer from the machine's keeper: %w", err)
	}
	if r.Err != "" {
		return errors.New(r.Err)
	}
	m.pid = r.PID
	if m.namespaces, err = openNamespaces(m.pid); err != nil {
		return err
	}
	if m.root, err = os.OpenFile(fmt.Sprintf("/proc/%d/root", m.pid), unix.O_PATH, 0); err != nil {
		return err
	}
	if r.NoCgroup != "" {
		fmt.Fprintf(m.log, "machine: no cgroup v2: %s\n", r.NoCgroup)
		return nil
	}
	m.cgroup, err = os.Open(fmt.Sprintf("/proc/%d/fd/%d", keeper.Process.Pid, r.Cgroup))
	return err
}

// PID returns the number of the machine's PID 1 as the host counts.
func (m *Machine) PID() int { return m.pid }

// Close ends every process of the machine and removes its cgroup. It returns an
// error if any of it outlives that. Closing a second time does nothing.
func (m *Machine) Close() error {
	err := m.end()
	if m.legacy != "" {
		err = errors.Join(err, forgetLegacy(m.legacy))
	}
	return err
}

// end lets go of everything of the machine, its mount namespace too.
func (m *Machine) end() error {
	for _, f := range []*os.File{m.root, m.cgroup, m.life} {
		f.Close() // nil is fine
	}
	defer func() {
		for _, namespace := range m.namespaces {
			namespace.Close()
		}
	}()
	if m.keeper == nil {
		return nil
	}
	err := m.keeper.Wait()
	m.keeper = nil
	if err != nil {
		return fmt.Errorf("close machine: %w: %s", err, bytes.TrimSpace(m.stderr.Bytes()))
	}
	if left := inNamespaces(m.namespaces); len(left) > 0 {
		return fmt.Errorf("close machine: still in its namespaces: %s", strings.Join(left, ", "))
	}
	m.late.Wait()
	return nil
}

// logWriter takes turns: every background process writes to the log from a
// goroutine of its own.
type logWriter struct {
	turn sync.Mutex
	to   io.Writer
}

func (l *logWriter) Write(p []byte) (int, error) {
	l.turn.Lock()
	defer l.turn.Unlock()
	return l.to.Write(p)
}

// openNamespaces opens the namespaces that a machine has for itself. A mount or
// a network device lives as long as a process is in its namespace, so these
// answer for mounts and devices as well.
func openNamespaces(pid int) (open []*os.File, err error) {
	for _, kind := range []string{"mnt", "net", "pid", "uts", "ipc"} {
		namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			return open, err
		}
		open = append(open, namespace)
	}
	return open, nil
}

// inNamespaces lists the processes that are in one of the namespaces. These are
// open, so no newer namespace can have taken their inode.
func inNamespaces(namespaces []*os.File) (found []string) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, namespace := range namespaces {
		wanted, err := namespace.Stat()
		if err != nil {
			return append(found, err.Error())
		}
		kind := filepath.Base(namespace.Name())
		for _, process := range processes {
			info, err := os.Stat(filepath.Join(process, "ns", kind))
			if err != nil || !os.SameFile(info, wanted) { // an error: the process has ended meanwhile
				continue
			}
			comm, _ := os.ReadFile(filepath.Join(process, "comm"))
			found = append(found, fmt.Sprintf("%s (%s) in %s", filepath.Base(process), bytes.TrimSpace(comm), kind))
		}
	}
	return found
}

// reexec is a command that runs this binary again as the keeper or as PID 1.
func reexec(name string, s spec) *exec.Cmd {
	what, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and a bool
	}
	return &exec.Cmd{
		Path:  "/proc/self/exe",
		Args:  []string{name},
		Env:   []string{},
		Dir:   "/",
		Stdin: bytes.NewReader(what),
	}
}
