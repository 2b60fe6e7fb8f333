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

// Values of Spec.Etc.
const (
	EtcBind = "bind" // bind the entries of /etc/netns/NAME over /etc
	EtcNone = "none" // leave /etc alone
)

// Spec is what is wanted.
type Spec struct {
	// Netns is the network namespace: a name or an absolute path. Empty means
	// the caller's, if VRF or Lock is set.
	Netns string
	// VRF is a VRF device of the namespace to bind every IP socket to.
	VRF string
	// Etc is EtcBind or EtcNone; empty means EtcBind.
	Etc string
	// Hide are absolute paths to hide besides the resolvers' sockets.
	Hide []string
	// Lock keeps the command in the namespace: no IP sockets in any other, and no
	// way out through the kernel.
	Lock bool
	// Keep are the capabilities that Lock is to leave; see CheckKeep.
	Keep []string
	// Service is the OpenRC service that the command is; it has a cgroup of its
	// own. Empty for a command by hand.
	Service string
	// Cgroup is the one to confine the command in, for VRF and Lock, as in
	// /proc/PID/cgroup; empty leaves the choice to the plan.
	Cgroup string
	// User is USER or USER:GROUP to become; empty means no change.
	User string
	// Argv is the command; empty means the user's shell.
	Argv []string
	// Env is the environment, as in inherited.Environ: with duplicates, of which
	// the first counts, as for getenv(3), and with what is no assignment.
	Env []string

	// Home lets the command see the mounts of process 1 and, where it is not
	// confined, leave the cgroup that its caller was confined in: a service is
	// not to inherit what another service was put into. In a chroot, where
	// process 1 has another root directory, the caller's mounts stay.
	Home bool
	// NotHost refuses a Netns that leads to the host's own namespace, by a name of
	// it or by a process that is there: a service would run outside. Tolerant lets
	// it pass.
	NotHost bool
	// Inside, where it is set, is entered in place of the namespace that
	// Netns names; Netns then only chooses the files of /etc/netns.
	Inside *namespace.Namespace
	// View, where it is set, is the mount namespace of a service that runs: it has
	// the private view of its start, and is entered in place of a new one.
	View *mounts.Namespace
	// Join, where it is set, is the cgroup that a Plan of the service's start
	// was confined in, and stands in for VRF and Lock.
	Join string
	// Tolerant turns faults of the private view of /etc, of hidden paths and of
	// Join into warnings. A service has to be stoppable with a broken
	// /etc/netns.
	Tolerant bool
	// Trial says that the plan will not be carried out: Check then looks for the
	// VRF itself, on a thread inside the namespace, which a launch leaves to
	// Enter because it is there anyway.
	Trial bool
	// Warn is told, in one line, what is wrong and was let pass; never nil.
	Warn func(string)
}

// Plan is a Spec that was found possible.
type Plan struct {
	spec       Spec
	shown      uint64 // the inode of the namespace whose devices /sys shows
	namespace  *namespace.Namespace
	view       mounts.View
	confine    *vrf.Confinement
	vrf        string
	cgroup     vrf.Cgroup
	keep       capabilities
	join       string
	undo       func() // takes the process out of the cgroup that Enter put it in
	home       bool
	credential *credential
	path       string
	argv       []string
	env        []string
	warn       func(string)
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
	if err := checkSettings(spec); err != nil {
		return nil, err
	}
	if err := privilege.CheckSysAdmin(); err != nil {
		return nil, err
	}
	plan := &Plan{spec: spec, namespace: spec.Inside, join: spec.Join, home: spec.Home, argv: spec.Argv, env: spec.Env, warn: spec.Warn}
	var err error
	if spec.Lock {
		if plan.keep, err = parseKeep(spec.Keep); err != nil {
			return nil, err
		}
	}
	switch {
	case plan.namespace != nil:
	case spec.Netns == "" && (spec.VRF != "" || spec.Lock):
		plan.namespace, err = namespace.Current()
	default:
		plan.namespace, err = namespace.Open(spec.Netns)
	}
	if err != nil {
		return nil, err
	}
	if spec.View == nil {
		err = plan.setView(spec)
	}
	if err != nil {
		return nil, err
	}
	if err := plan.setConfinement(spec); err != nil {
		return nil, err
	}
	if spec.User != "" {
		if plan.credential, err = lookupUser(spec.User); err != nil {
			return nil, err
		}
		plan.env = plan.credential.environ(plan.env)
	}
	if len(plan.argv) == 0 {
		plan.argv = []string{shell(plan.env)}
	}
	if plan.path, err = lookPath(plan.argv[0], getenv(plan.env, "PATH")); err != nil {
		return nil, err
	}
	return plan, nil
}

// Stay plans to become the command in the place where this process is. It
// looks at Argv, Env and Warn alone.
func Stay(spec Spec) (*Plan, error) {
	path, err := lookPath(spec.Argv[0], getenv(spec.Env, "PATH"))
	return &Plan{path: path, argv: spec.Argv, env: spec.Env, warn: spec.Warn}, err
}

func checkSettings(spec Spec) error {
	switch spec.Etc {
	case "", EtcBind, EtcNone:
		return nil
	}
	return fmt.Errorf("%q says nothing about /etc: use %q or %q", spec.Etc, EtcBind, EtcNone)
}

// setView plans the private view. A namespace given by its path has no files
// in /etc/netns, unless the path is that of a name. It knows which namespace is
// the host's, and refuses that where it must.
func (p *Plan) setView(spec Spec) error {
	if spec.Netns == "" && spec.VRF == "" && !spec.Lock && spec.Join == "" && !p.namespace.IsFresh() {
		return nil // a service that is brought home
	}
	var err error
	if p.shown == 0 {
		if p.shown, err = shownBySys(spec.Home); err != nil {
			return err
		}
	}
	p.view.Sysfs = p.shown != p.namespace.Inode()
	p.view.Tolerant, p.view.Warn = spec.Tolerant, spec.Warn
	if spec.NotHost && !spec.Tolerant {
		host := p.shown
		if !spec.Home {
			if host, err = shownBySys(true); err != nil {
				return err
			}
		}
		if p.namespace.Inode() == host {
			return &namespace.HostError{Name: spec.Netns}
		}
	}
	tolerate := func(err error) error {
		if err != nil && spec.Tolerant {
			spec.Warn(err.Error())
			return nil
		}
		return err
	}
	if p.bindsByName() {
		p.view.Binds, err = mounts.EtcBinds(namespace.BaseName(spec.Netns))
		if err := tolerate(err); err != nil {
			return err
		}
	}
	p.view.Lock, p.view.NetSysctl = spec.Lock, p.keep.has(unix.CAP_NET_ADMIN)
	p.view.Hide, err = mounts.Hidden(spec.Hide)
	return tolerate(err)
}

// shownBySys is the network namespace, by its inode, of which the command would
// see the devices in /sys.
func shownBySys(home bool) (uint64, error) {
	open := namespace.Current
	if home {
		open = func() (*namespace.Namespace, error) { return namespace.Open(namespace.Host) }
	}
	ns, err := open()
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	return ns.Inode(), nil
}

// setConfinement plans what becomes of the sockets. The device has to be in the
// namespace that the command is to run in.
func (p *Plan) setConfinement(spec Spec) error {
	if spec.VRF == "" && !spec.Lock {
		return nil
	}
	p.confine = &vrf.Confinement{Lock: spec.Lock}
	p.cgroup = vrf.Cgroup{Service: spec.Service, Netns: namespace.BaseName(spec.Netns), Path: spec.Cgroup}
	if err := p.cgroup.Check(); err != nil {
		return err
	}
	p.vrf = spec.VRF
	if !spec.Trial {
		return nil
	}
	return p.namespace.Do(p.findVRF)
}

// findVRF looks for the device in the calling thread's namespace.
func (p *Plan) findVRF() (err error) {
	if p.vrf != "" {
		p.confine.Device, err = vrf.Find(p.vrf)
	}
	return err
}

// HasView reports whether the command gets a mount namespace of its own.
func (p *Plan) HasView() bool { return !p.view.Empty() }

// Namespace is what Exec enters.
func (p *Plan) Namespace() *namespace.Namespace { return p.namespace }

// String shows a plan made on trial, a line for each step, for people.
func (p *Plan) String() string {
	var b strings.Builder
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
	if p.vrf != "" {
		line("vrf", fmt.Sprintf("%s (interface %d)", p.vrf, p.confine.Device.Index))
	}
	if p.confine != nil && p.confine.Lock {
		line("lock", "no IP sockets in other network namespaces, no way out through the kernel")
		for _, d := range dropped {
			if p.keep.has(d.bit) {
				line("keep", "CAP_"+strings.ToUpper(d.name))
			}
		}
	}
	if p.cgroup.Path != "" {
		line("cgroup", p.cgroup.Path)
	}
	if p.credential != nil {
		line("user", p.credential.String())
	}
	line("command", fmt.Sprintf("%s %q", p.path, p.argv))
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
	if p.join != "" {
		err := vrf.JoinCgroup(p.join)
		if err == nil {
			return p.join, nil
		}
		p.warn(fmt.Sprintf("sockets are not confined as at the start: %v", err))
	}
	if p.confine == nil {
		if p.home {
			return "", cgroup.LeaveInherited()
		}
		return "", nil
	}
	if err := p.findCookie(); err != nil {
		return "", err
	}
	confined, p.undo, err = p.confine.Apply(p.cgroup)
	return confined, err
}

// enterView does the part of Enter that concerns the calling thread alone.
func (p *Plan) enterView() error {
	if err := p.enterNamespaces(); err != nil {
		return err
	}
	if p.confine != nil {
		if err := p.findVRF(); err != nil {
			return err
		}
	}
	return p.view.Apply()
}

func (p *Plan) enterNamespaces() error {
	if p.spec.View != nil {
		err := p.spec.View.Enter()
		if err == nil {
			return p.namespace.Enter()
		}
		if !p.spec.Tolerant || errors.Is(err, mounts.ErrAstray) {
			return err
		}
		p.warn(fmt.Sprintf("%v: acting in a new view", err))
		if err := p.setView(p.spec); err != nil {
			return err
		}
	}
	if p.home {
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
		if p.spec.Inside != nil || !p.bindsByName() || p.namespace.IsNamed() {
			return err
		}
		named, err := namespace.Open(p.spec.Netns)
		if err != nil {
			return err
		}
		p.namespace.Close()
		p.namespace = named
		if err := p.setView(p.spec); err != nil {
			return err
		}
	}
	return fmt.Errorf("network namespace %q was made again and again while it was entered", p.spec.Netns)
}

// bindsByName reports whether files of /etc/netns go with the name of the
// namespace.
func (p *Plan) bindsByName() bool {
	return p.spec.Etc != EtcNone && namespace.BaseName(p.spec.Netns) != ""
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
	if p.confine != nil && p.confine.Lock {
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
	err := unix.Exec(p.path, p.argv, p.env)
	if errors.Is(err, unix.ENOEXEC) {
		// A script without #!, which execvp(3) gives to the shell.
		err = unix.Exec("/bin/sh", append([]string{"/bin/sh", p.path}, p.argv[1:]...), p.env)
	}
	return &CommandError{p.argv[0], err}
}

// Setenv sets a variable in the command's environment.
func (p *Plan) Setenv(name, value string) { p.env = setenv(p.env, name, value) }

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
