// Package launch turns what is wanted, a Spec, into a checked Plan, and the
// Plan into one execve(2) inside the network namespace.
//
// Check changes nothing. Exec changes the calling thread step by step and
// never comes back where it succeeds; where it fails the process must exit,
// and with it goes all that was changed.
package launch

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
	"openrc-netns/internal/inherited"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/vrf"
)

// Spec is what is wanted.
type Spec struct {
	Place   Place
	View    *View // nil leaves the command the mounts of its place
	Sockets Sockets
	Command Command
	// Warn is told, in one line, what is wrong and was let pass; never nil.
	Warn func(string)
}

// Place is where the command is to run: in a network namespace, with the mounts of its
// caller or of the host.
type Place struct {
	// Netns is the network namespace: a name or an absolute path. One that leads to the
	// host's own is refused, unless it is namespace.Host: a service would run outside.
	// Empty means the caller's, if the sockets are confined.
	Netns string
	// AllowHost admits the host's own namespace by any name.
	AllowHost bool
	// Namespace, where it is set, is entered in place of the one that Netns names.
	Namespace *namespace.Namespace
	// HostMounts are those of process 1. In a chroot, where that has another root
	// directory, the caller's stay.
	HostMounts bool
}

// View is what the command sees of /sys, of /etc and of the host's resolvers, where that
// is not what its place shows.
type View struct {
	// Etc is the directory in /etc/netns whose entries are bound over those of /etc;
	// empty for none.
	Etc string
	// Hide are absolute paths to hide besides the resolvers' sockets.
	Hide []string
	// BestEffort turns faults of Etc, Hide and Running into warnings. A service has to be
	// stoppable with a broken /etc/netns.
	BestEffort bool
	// Running, where it is set, is the mount namespace of a service that runs: it has the
	// view of its start, and is entered in place of a new one.
	Running *mounts.Namespace
}

// Sockets says what becomes of the command's IP sockets.
type Sockets struct {
	// VRF is a VRF device of the namespace to bind every one to.
	VRF string
	// Lock keeps the command in the namespace: no IP sockets in any other, and no
	// way out through the kernel.
	Lock bool
	// Keep are the capabilities that Lock is to leave; see CheckKeep.
	Keep []string
	// Service is the OpenRC service that the command is: it has a cgroup of its own, and
	// does not stay in the one that its caller is confined in. Empty for a command by
	// hand.
	Service string
	// Cgroup is the one to confine the command in, for VRF and Lock, as in
	// /proc/PID/cgroup; empty leaves the choice to the plan.
	Cgroup string
	// Join, where it is set, is the cgroup that the service's start was confined in, and
	// stands in for VRF and Lock. A fault is a warning.
	Join string
}

// Command is what to become.
type Command struct {
	// Argv is the command; empty means the user's shell.
	Argv []string
	// Env is the environment, as in inherited.Environ: with duplicates, of which
	// the first counts, as for getenv(3), and with what is no assignment.
	Env []string
	// User is USER or USER:GROUP to become; empty means no change.
	User string
}

// Plan is a Spec that was found possible.
type Plan struct {
	spec       Spec
	namespace  *namespace.Namespace // nil to stay in this one
	host       uint64               // the inode of the host's, once it was looked at
	shown      uint64               // the inode of the one whose devices /sys shows, likewise
	view       mounts.View
	confine    *vrf.Confinement // nil if sockets are not to be confined
	keep       capabilities
	undo       func() // takes the process out of the cgroup that Enter put it in
	credential *credential
	path       string
}

// CommandError says that the command cannot be executed. It wraps the
// system's error: fs.ErrNotExist where there is no such command.
type CommandError struct {
	Command string
	Err     error
}

func (e *CommandError) Error() string {
	if e.Err == errNotInPath {
		return fmt.Sprintf("command %q: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("cannot execute %q: %v", e.Command, e.Err)
}

func (e *CommandError) Unwrap() error { return e.Err }

// Check finds out whether spec can be done, as far as that can be known
// without doing it. It opens the namespace and changes nothing.
func Check(spec Spec) (*Plan, error) {
	if err := privilege.CheckSysAdmin(); err != nil {
		return nil, err
	}
	p := &Plan{spec: spec}
	if err := p.checkSockets(); err != nil {
		return nil, err
	}
	if err := p.open(); err != nil {
		return nil, err
	}
	if spec.View != nil && spec.View.Running == nil {
		if err := p.setView(); err != nil {
			return nil, err
		}
	}
	return p, p.checkCommand()
}

// Stay plans to become the command in the place where this process is.
func Stay(command Command) (*Plan, error) {
	p := &Plan{spec: Spec{Command: command}}
	return p, p.checkCommand()
}

// checkSockets does without the VRF, for which the namespace has to be entered.
func (p *Plan) checkSockets() (err error) {
	sockets := p.spec.Sockets
	if sockets.Lock {
		if p.keep, err = parseKeep(sockets.Keep); err != nil {
			return err
		}
	}
	if sockets.VRF == "" && !sockets.Lock {
		return nil
	}
	p.confine = &vrf.Confinement{Lock: sockets.Lock}
	return p.cgroup().Check()
}

// cgroup is the one to confine the command in.
func (p *Plan) cgroup() vrf.Cgroup {
	return vrf.Cgroup{Service: p.spec.Sockets.Service, Netns: namespace.BaseName(p.spec.Place.Netns), Path: p.spec.Sockets.Cgroup}
}

// open opens the namespace of the place.
func (p *Plan) open() (err error) {
	place := p.spec.Place
	switch {
	case place.Namespace != nil:
		p.namespace = place.Namespace
		return nil
	case place.Netns == "" && p.confine != nil:
		p.namespace, err = namespace.Current()
		return err
	}
	if p.namespace, err = namespace.Open(place.Netns); err != nil || place.AllowHost || namespace.MeansHost(place.Netns) {
		return err
	}
	if err := p.findHost(); err != nil {
		return err
	}
	if p.namespace.Inode() == p.host {
		return &namespace.HostError{Name: place.Netns}
	}
	return nil
}

func (p *Plan) findHost() (err error) {
	if p.host == 0 {
		p.host, err = inodeOf(namespace.Open(namespace.Host))
	}
	return err
}

// findShown finds out of which network namespace the command would see the devices in
// /sys.
func (p *Plan) findShown() (err error) {
	switch {
	case p.spec.Place.HostMounts:
		err = p.findHost()
		p.shown = p.host
	case p.shown == 0:
		p.shown, err = inodeOf(namespace.Current())
	}
	return err
}

func inodeOf(ns *namespace.Namespace, err error) (uint64, error) {
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	return ns.Inode(), nil
}

// setView plans the view that Running has not.
func (p *Plan) setView() (err error) {
	spec := p.spec.View
	if err := p.findShown(); err != nil {
		return err
	}
	p.view = mounts.View{
		Sysfs:     p.shown != p.namespace.Inode(),
		Lock:      p.spec.Sockets.Lock,
		NetSysctl: p.keep.has(unix.CAP_NET_ADMIN),
		Tolerant:  spec.BestEffort,
		Warn:      p.spec.Warn,
	}
	tolerate := func(err error) error {
		if err != nil && spec.BestEffort {
			p.spec.Warn(err.Error())
			return nil
		}
		return err
	}
	if spec.Etc != "" {
		p.view.Binds, err = mounts.EtcBinds(spec.Etc)
		if err := tolerate(err); err != nil {
			return err
		}
	}
	p.view.Hide, err = mounts.Hidden(spec.Hide)
	return tolerate(err)
}

// checkCommand looks up the user and the command.
func (p *Plan) checkCommand() (err error) {
	command := &p.spec.Command
	if command.User != "" {
		if p.credential, err = lookupUser(command.User); err != nil {
			return err
		}
		command.Env = p.credential.environ(command.Env)
	}
	if len(command.Argv) == 0 {
		command.Argv = []string{shell(command.Env)}
	}
	p.path, err = lookPath(command.Argv[0], getenv(command.Env, "PATH"))
	return err
}

// HasView reports whether the command gets a mount namespace of its own.
func (p *Plan) HasView() bool { return !p.view.Empty() }

// Namespace is what Exec enters.
func (p *Plan) Namespace() *namespace.Namespace { return p.namespace }

// String shows a plan that was rehearsed, a line for each step, for people.
func (p *Plan) String() string {
	var b strings.Builder
	sockets := p.spec.Sockets
	line := func(what, detail string) { fmt.Fprintf(&b, "%-10s %s\n", what, detail) }
	line("namespace", p.namespace.String())
	if p.view.Sysfs {
		line("sysfs", "of the namespace, with all that is mounted below /sys")
	}
	for _, bind := range p.view.Binds {
		line("bind", bind.Source+" over "+bind.Target)
	}
	for _, path := range p.view.Hide {
		line("hide", path)
	}
	if sockets.VRF != "" {
		line("vrf", fmt.Sprintf("%s (interface %d)", sockets.VRF, p.confine.Device.Index))
	}
	if sockets.Lock {
		line("lock", "no IP sockets in other network namespaces, no way out through the kernel")
		for _, d := range dropped {
			if p.keep.has(d.bit) {
				line("keep", "CAP_"+strings.ToUpper(d.name))
			}
		}
	}
	if sockets.Cgroup != "" {
		line("cgroup", sockets.Cgroup)
	}
	if p.credential != nil {
		line("user", p.credential.String())
	}
	line("command", fmt.Sprintf("%s %q", p.path, p.spec.Command.Argv))
	return b.String()
}

// Enter moves the calling thread, which the caller has locked, into the
// namespace and its private view, and the process into the cgroup that binds
// its sockets. It returns that cgroup; empty where there is none.
func (p *Plan) Enter() (confined string, err error) {
	if p.namespace == nil {
		return "", nil
	}
	if err := p.enterView(); err != nil {
		return "", err
	}
	sockets := p.spec.Sockets
	if sockets.Join != "" {
		err := vrf.JoinCgroup(sockets.Join)
		if err == nil {
			return sockets.Join, nil
		}
		p.spec.Warn(fmt.Sprintf("sockets are not confined as at the start: %v", err))
	}
	switch {
	case p.confine != nil:
		if err := p.findCookie(); err != nil {
			return "", err
		}
		confined, p.undo, err = p.confine.Apply(p.cgroup())
		return confined, err
	case sockets.Service != "":
		return "", cgroup.LeaveInherited()
	}
	return "", nil
}

// enterView does the part of Enter that concerns the calling thread alone. The VRF has to
// be in the namespace.
func (p *Plan) enterView() error {
	if err := p.enterNamespaces(); err != nil {
		return err
	}
	if name := p.spec.Sockets.VRF; name != "" {
		var err error
		if p.confine.Device, err = vrf.Find(name); err != nil {
			return err
		}
	}
	return p.view.Apply()
}

func (p *Plan) enterNamespaces() error {
	if view := p.spec.View; view != nil && view.Running != nil {
		err := view.Running.Enter()
		if err == nil {
			return p.namespace.Enter()
		}
		if !view.BestEffort || errors.Is(err, mounts.ErrAstray) {
			return err
		}
		p.spec.Warn(fmt.Sprintf("%v: acting in a new view", err))
		if err := p.setView(); err != nil {
			return err
		}
	}
	if p.spec.Place.HostMounts {
		if err := mounts.EnterHost(); err != nil {
			return err
		}
	}
	return p.enterNamed()
}

// enterNamed enters the namespace and takes hold of the files of /etc/netns that
// go with its name. An administrator may delete the name, change the files and
// make the name again in between: it starts over then, lest the command has the
// files of another namespace.
func (p *Plan) enterNamed() error {
	const attempts = 10
	for range attempts {
		if err := p.namespace.Enter(); err != nil {
			return err
		}
		err := p.view.PickUp()
		if p.spec.Place.Namespace != nil || p.spec.View == nil || p.spec.View.Etc == "" || p.namespace.IsNamed() {
			return err
		}
		p.view.LetGo()
		p.namespace.Close()
		if err := p.open(); err != nil {
			return err
		}
		if err := p.setView(); err != nil {
			return err
		}
	}
	return fmt.Errorf("network namespace %q was made again and again while it was entered", p.spec.Place.Netns)
}

// findCookie notes which namespace the calling thread is in.
func (p *Plan) findCookie() error {
	if p.confine.Cookie = namespace.CurrentCookie(); p.confine.Cookie == 0 {
		return errors.New("this kernel does not tell network namespaces apart by cookie: VRF and lock need Linux 5.14 or later")
	}
	return nil
}

// Exec becomes the command, on the thread that Enter was called on. It
// returns only if that fails, with a *CommandError where the command itself is
// at fault.
func (p *Plan) Exec() error {
	err := p.exec()
	p.Leave()
	return err
}

// Leave takes the process out of the cgroup that Enter put it in, and removes that
// if nothing else is in it: for a launch that is not to go on. The calling thread
// may be another user by now, without the right to; the others are not.
func (p *Plan) Leave() {
	if p.undo == nil {
		return
	}
	left := make(chan struct{})
	go func() {
		p.undo()
		close(left)
	}()
	<-left
}

func (p *Plan) exec() error {
	if p.spec.Sockets.Lock {
		if err := lock(p.keep); err != nil {
			return err
		}
	}
	if p.credential != nil {
		if err := p.credential.become(); err != nil {
			return err
		}
	}
	if err := inherited.Restore(); err != nil {
		return err
	}
	command := p.spec.Command
	err := unix.Exec(p.path, command.Argv, command.Env)
	if errors.Is(err, unix.ENOEXEC) {
		// A script without #!, which execvp(3) gives to the shell.
		err = unix.Exec("/bin/sh", append([]string{"/bin/sh", p.path}, command.Argv[1:]...), command.Env)
	}
	return &CommandError{command.Argv[0], err}
}

// Setenv sets a variable in the command's environment.
func (p *Plan) Setenv(name, value string) {
	p.spec.Command.Env = setenv(p.spec.Command.Env, name, value)
}

func getenv(env []string, name string) string {
	for _, entry := range env {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}

// setenv returns a copy of env with the variable set, in its old place if it has
// one, as by setenv(3). That would leave duplicates as they are; here they go,
// because the last one counts for a shell.
func setenv(env []string, name, value string) []string {
	result := make([]string, 0, len(env)+1)
	set := false
	for _, entry := range env {
		switch {
		case !strings.HasPrefix(entry, name+"="):
			result = append(result, entry)
		case !set:
			result = append(result, name+"="+value)
			set = true
		}
	}
	if !set {
		result = append(result, name+"="+value)
	}
	return result
}

func shell(env []string) string {
	if shell := getenv(env, "SHELL"); shell != "" {
		return shell
	}
	return "/bin/sh"
}
