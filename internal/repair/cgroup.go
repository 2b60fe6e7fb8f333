package repair

import (
	"errors"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/files"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/vrf"
)

// putBack puts the program on the cgroup of the service, where its processes are
// still. Those that have left it stay where they are: a cgroup lists who wants to be
// in it, and what a process has opened meanwhile only a restart closes.
func (m *repairing) putBack() {
	put := true
	confinement, err := m.confinement()
	if err == nil && !m.try {
		put, err = confinement.PutBack(m.Record.Cgroup)
	}
	if err != nil || put {
		m.add(Attached, m.Record.Cgroup, audit.Process{}, err)
	}
}

// confinement is what the program has to do, by the settings. The VRF is that
// of the network namespace that the service was started in, whatever its name
// leads to by now.
func (m *repairing) confinement() (c vrf.Confinement, err error) {
	spec, err := m.Settings.Spec()
	if err != nil {
		return c, err
	}
	c = vrf.Confinement{Cookie: m.Record.ID.Cookie, Lock: spec.Sockets.Lock}
	if spec.Sockets.VRF == "" {
		return c, nil
	}
	for _, p := range m.Processes {
		if p.Inode != m.Record.ID.Inode {
			continue
		}
		ns, err := namespace.Open(files.Proc(p.PID) + "/ns/net")
		if err != nil {
			continue
		}
		defer ns.Close()
		err = ns.Do(func() (err error) {
			cookie, err := namespace.CurrentCookie()
			if err != nil {
				return err
			}
			if ns.Inode() != m.Record.ID.Inode || cookie != c.Cookie {
				return errNowhere
			}
			c.Device, err = vrf.Find(spec.Sockets.VRF)
			return err
		})
		return c, err
	}
	return c, errNowhere
}

var errNowhere = errors.New("no process is left where the service was started")
