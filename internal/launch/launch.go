// Package launch turns what is wanted, a Spec, into a checked Plan, and the
// Plan into one execve(2) inside the network namespace.
//
// Check changes nothing. Enter changes the calling thread step by step, and
// Exec does not return if it succeeds. If either fails the process must exit,
// which undoes what was changed but for the cgroup; see Plan.Leave.
package launch

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/vrf"
)

// Plan is a Spec that was found possible.
type Plan struct {
	spec       Spec
	namespace  *namespace.Namespace // nil to stay in this one
	host       uint64               // the inode of the host's; 0 until findHost
	shown      uint64               // the inode of the one whose devices /sys shows; 0 until findShown
	view       mounts.View
	confine    *vrf.Confinement // nil if sockets are not to be confined
	keep       capabilities
	undo       func() // takes the process out of the cgroup that Enter put it in
	credential *credential
	path       string // of the command; for a user it is looked up last of all, as that user
}

// Check finds out whether spec is possible, as far as that can be told without
// doing it. It opens the namespace and changes nothing.
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

// checkSockets leaves out the VRF, for which the namespace has to be entered.
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

// findShown finds out of which network namespace the command would see the
// devices in /sys.
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

// setView plans a new view.
func (p *Plan) setView() (err error) {
	spec := p.spec.View
	if err := p.findShown(); err != nil {
		return err
	}
	p.view = mounts.View{
		Sysfs:      p.shown != p.namespace.Inode(),
		Lock:       p.spec.Sockets.Lock,
		NetSysctl:  p.keep.has(unix.CAP_NET_ADMIN),
		BestEffort: spec.BestEffort,
		Warn:       p.spec.Warn,
	}
	if spec.Etc != "" {
		p.view.Binds, err = mounts.EtcBinds(spec.Etc)
		if err := p.view.Tolerate(err); err != nil {
			return err
		}
	}
	p.view.Hide, err = mounts.Hidden(spec.Hide)
	return p.view.Tolerate(err)
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
	if p.credential == nil {
		return p.findCommand()
	}
	return nil
}

// findCommand looks for the command as the calling thread may: what root can see
// is nothing to tell a user of.
func (p *Plan) findCommand() (err error) {
	p.path, err = lookPath(p.spec.Command.Argv[0], getenv(p.spec.Command.Env, "PATH"))
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

// Setenv sets a variable in the command's environment.
func (p *Plan) Setenv(name, value string) {
	p.spec.Command.Env = setenv(p.spec.Command.Env, name, value)
}
