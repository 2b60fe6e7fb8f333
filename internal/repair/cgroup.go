package repair

import (
	"errors"
	"fmt"
	"strings"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/cgroup"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/vrf"
)

// restoreCgroup puts the program back on the cgroup of the service, and then
// the processes that have left it into it: their sockets are bound from then on.
func (m *repairing) restoreCgroup() {
	path := m.Record.Cgroup
	root, err := cgroup.OpenRoot()
	if err != nil {
		m.add(Attached, path, audit.Process{}, err)
		return
	}
	defer root.Close()
	if m.program {
		made, err := m.putBack(root)
		if made {
			// If the service has ended meanwhile, nothing is in it.
			defer func() { _ = root.Remove(path) }()
		}
		if err != nil {
			return
		}
	}
	for _, p := range m.left {
		if at, err := cgroup.Of(p.PID); err != nil || at == path || strings.HasPrefix(at, path+"/") || !p.Lives() {
			continue
		}
		var err error
		if !m.try {
			err = root.Join(path, p.PID)
		}
		if p.Lives() {
			m.add(Moved, path, p, err)
		}
	}
}

// putBack puts the program on the cgroup, which it makes if it is missing.
func (m *repairing) putBack(root cgroup.Dir) (made bool, err error) {
	put := true
	confinement, err := m.confinement()
	if err == nil && !m.try {
		if made, err = root.Make(m.Record.Cgroup); err == nil {
			put, err = confinement.PutBack(m.Record.Cgroup)
		}
	}
	if err != nil || put {
		m.add(Attached, m.Record.Cgroup, audit.Process{}, err)
	}
	return made, err
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
		ns, err := namespace.Open(fmt.Sprintf("/proc/%d/ns/net", p.PID))
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
