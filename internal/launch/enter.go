package launch

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
	"openrc-netns/internal/inherited"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/vrf"
)

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

// enterView does the part of Enter that concerns the calling thread alone. The
// VRF has to be in the namespace.
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

// enterNamed enters the namespace and opens the files of /etc/netns that belong
// to its name. An administrator may delete the name, change the files and
// create the name again in between: it starts over then, or the command would
// get the files of another namespace.
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
	return fmt.Errorf("network namespace %q kept being recreated while it was entered", p.spec.Place.Netns)
}

// findCookie notes which namespace the calling thread is in.
func (p *Plan) findCookie() (err error) {
	if p.confine.Cookie, err = namespace.CurrentCookie(); err != nil {
		return err
	}
	if p.confine.Cookie == 0 {
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

// Leave takes the process out of the cgroup that Enter put it in, and removes
// that if nothing else is in it: for a launch that does not go on. It does so
// on another thread, because the calling one may have become a user who may
// not.
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
		if err := p.findCommand(); err != nil {
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
