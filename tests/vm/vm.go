// Package vm makes virtual machines for tests that want another kernel than the
// host's, above all one with VRF devices: User-Mode Linux with the root of an
// OpenRC system, in a few seconds, on any host that package machine runs on.
//
// The kernel comes as a Debian package in the same cached root that it boots,
// so the host needs nothing but mmdebstrap, and neither its own kernel nor
// hardware virtualisation matters. The root is only read: whatever the guest
// writes goes to its memory.
//
// Three processes of this very program, under other names, take part, which is
// why it calls [Init] first of all. On the host, vm-host is PID 1 of namespaces
// in which the kernel runs, and ends when the program closes the virtual
// machine or dies; with it go the kernel and all that it keeps in files. In the
// guest, vm-init is PID 1, unless it makes way for OpenRC's, and vm-agent does
// what the program asks for:
//
//	func main() {
//		vm.Init()
//		v, err := vm.Start(vm.Options{})
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer v.Close()
//		fmt.Print(v.Run("ip link add mgmt type vrf table 10 && ip -br link").Output)
//	}
//
// Tests call it in TestMain, and have their virtual machines from package kit.
package vm

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/machine"
)

// Options says which virtual machine [Start] makes.
type Options struct {
	// Install is a folder that "make install DESTDIR=" has filled. Its content
	// is copied to the guest's "/", as root's, before OpenRC starts.
	Install string

	// Boot has OpenRC boot the guest to the runlevel "default". Without, the
	// guest starts as if it had, in less time.
	Boot bool

	// Cgroup says which cgroups are mounted, as OpenRC's rc_cgroup_mode does:
	// "unified" (default), "hybrid" or "none". Only with Boot does rc.conf say
	// it too.
	Cgroup string

	Timeout time.Duration // for each Run; 20 minutes by default
	Log     io.Writer     // gets the building of the root, and the guest's console
}

// Result is what became of a script.
type Result = machine.Result

// VM is a running virtual machine. Its methods may be called from several
// goroutines; none may be active at Close.
type VM struct {
	timeout time.Duration
	host    *exec.Cmd
	life    *os.File // vm-host ends the virtual machine when this end of the pipe closes
	line    *os.File // to the agent
	agent   *rpc.Client
	console console
}

// spec is what vm-host and vm-init are told, as JSON.
type spec struct {
	Root    string
	Install string
	Boot    bool
	Cgroup  string
}

// Start makes a virtual machine, building its root where the cache has none,
// and returns once it takes commands. The caller must be root and must have
// called [Init].
func Start(opts Options) (*VM, error) {
	if !initialized {
		return nil, errors.New("start virtual machine: the program has to call vm.Init first of all")
	}
	s := spec{Install: opts.Install, Boot: opts.Boot, Cgroup: cmp.Or(opts.Cgroup, "unified")}
	if !slices.Contains([]string{"unified", "hybrid", "none"}, s.Cgroup) {
		return nil, fmt.Errorf("start virtual machine: unknown cgroup mode %q (unified, hybrid or none)", s.Cgroup)
	}
	if err := Check(); err != nil {
		return nil, fmt.Errorf("start virtual machine: %w", err)
	}
	v := &VM{
		timeout: cmp.Or(opts.Timeout, 20*time.Minute),
		console: console{log: cmp.Or(opts.Log, io.Discard), ended: make(chan struct{})},
	}
	var err error
	if s.Root, err = cachedRoot(v.console.log); err != nil {
		return nil, fmt.Errorf("start virtual machine: %w", err)
	}
	if s.Install != "" {
		if s.Install, err = filepath.Abs(s.Install); err != nil {
			return nil, fmt.Errorf("start virtual machine: %w", err)
		}
	}
	if err := v.start(s); err != nil {
		v.Close()
		return nil, fmt.Errorf("start virtual machine: %w%s", err, v.console.tail())
	}
	return v, nil
}

// start runs vm-host and waits for vm-agent's greeting. After an error v wants
// Close.
func (v *VM) start(s spec) error {
	line, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(line[0], true); err != nil { // so that Close ends a Read
		return err
	}
	near, far := os.NewFile(uintptr(line[0]), "serial line"), os.NewFile(uintptr(line[1]), "serial line")
	v.line = near
	life, lifeWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer life.Close()
	v.life = lifeWrite

	what, err := json.Marshal(s)
	if err != nil {
		return err
	}
	screen, screenWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	v.host = &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{hostName, string(what)},
		Env:        []string{},
		Dir:        "/",
		Stdin:      life,
		Stdout:     screenWrite,
		Stderr:     screenWrite,
		ExtraFiles: []*os.File{far}, // descriptor 3
		SysProcAttr: &unix.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
			Setsid:     true, // an interrupt from the terminal is for the program, whose end vm-host then sees
		},
	}
	err = v.host.Start()
	far.Close() // so that the line ends with the kernel
	screenWrite.Close()
	go v.console.show(screen)
	if err != nil {
		v.host = nil
		return err
	}
	// Sent earlier, a call would be taken for what somebody types at a
	// terminal. Beside other tests a boot takes a while, whatever the timeout
	// of a call.
	const boot = 10 * time.Minute
	near.SetReadDeadline(time.Now().Add(max(v.timeout, boot)))
	got := make([]byte, len(greeting))
	if _, err := io.ReadFull(near, got); err != nil {
		return fmt.Errorf("no greeting from the guest: %w", err)
	}
	near.SetReadDeadline(time.Time{})
	folder, err := os.OpenRoot(fmt.Sprintf("/proc/%d/root%s", v.host.Process.Pid, exchange))
	if err != nil {
		return err
	}
	v.agent = rpc.NewClient(&postbox{bell: near, folder: folder, out: "call", in: "answer"})
	return nil
}

// Run runs "sh -c script" in the guest as root, in a session of its own, with
// an environment of PATH, HOME and TERM alone, the working directory "/" and
// /dev/null as standard input.
//
// Run returns when the script ends: a background process that holds on to the
// output does not keep it waiting, and what it says later goes to the console.
// After the timeout all that is in the script's process group is killed. Where
// there is no answer, the code is 125 and the output ends with what the console
// said last.
func (v *VM) Run(script string) Result {
	var result Result
	if err := v.call("Run", job{Script: script, Timeout: v.timeout}, &result); err != nil {
		v.console.wait(time.Minute) // what it said last may still be on its way
		message := fmt.Sprintf("vm: run: %v%s\n", err, v.console.tail())
		return Result{Stderr: message, Output: message, Code: 125}
	}
	return result
}

// WriteFile writes a file of the guest, as root's and with the very mode,
// whatever the umask. It makes the folders above it where they are missing.
func (v *VM) WriteFile(name string, mode os.FileMode, content string) error {
	return v.file("WriteFile", file{Name: name, Mode: mode, Content: []byte(content)}, &file{})
}

// ReadFile reads a file of the guest.
func (v *VM) ReadFile(name string) (string, error) {
	var f file
	err := v.file("ReadFile", file{Name: name}, &f)
	return string(f.Content), err
}

func (v *VM) file(method string, f file, answer *file) error {
	if err := v.call(method, f, answer); err != nil {
		return err
	}
	if answer.Errno != 0 {
		return &fs.PathError{Op: method + " in virtual machine", Path: f.Name, Err: answer.Errno}
	}
	return nil
}

// call calls a method of the guest's agent. It waits longer than the agent,
// which tells more about a timeout.
func (v *VM) call(method string, what, answer any) error {
	const longer = 30 * time.Second
	select {
	case call := <-v.agent.Go("Agent."+method, what, answer, make(chan *rpc.Call, 1)).Done:
		return call.Error
	case <-time.After(v.timeout + longer):
		return fmt.Errorf("no answer from the guest after %v", v.timeout+longer)
	}
}

// Close ends the virtual machine as if by the plug. Closing a second time does
// nothing.
func (v *VM) Close() error {
	v.life.Close() // nil is fine
	defer v.line.Close()
	if v.agent != nil {
		defer v.agent.Close()
	}
	if v.host == nil {
		return nil
	}
	err := v.host.Wait() // for all processes of its PID namespace too
	<-v.console.ended
	v.host = nil
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == unplugged {
		return nil
	}
	return fmt.Errorf("close virtual machine: it had ended before: %v%s", err, v.console.tail())
}

// console passes on what the guest says, and remembers the end of it.
type console struct {
	turn  sync.Mutex
	log   io.Writer
	last  []byte
	ended chan struct{} // closed when there will be no more
}

// show takes in all that comes from the screen, until nobody can write to it.
func (c *console) show(screen *os.File) {
	defer close(c.ended)
	defer screen.Close()
	io.Copy(c, screen)
}

// wait returns when there will be no more, or after the time.
func (c *console) wait(longest time.Duration) {
	select {
	case <-c.ended:
	case <-time.After(longest):
	}
}

func (c *console) Write(p []byte) (int, error) {
	const enough = 8 << 10
	c.turn.Lock()
	defer c.turn.Unlock()
	c.last = append(c.last, p...)
	c.last = c.last[max(0, len(c.last)-enough):]
	return c.log.Write(p)
}

// tail is to be appended to an error message.
func (c *console) tail() string {
	c.turn.Lock()
	defer c.turn.Unlock()
	last := bytes.TrimSpace(bytes.ReplaceAll(c.last, []byte("\r"), nil))
	if len(last) == 0 {
		return ""
	}
	return "; the console said last:\n" + strings.ToValidUTF8(string(last), "?")
}
