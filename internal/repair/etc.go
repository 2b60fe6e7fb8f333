package repair

import (
	"errors"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/mounts"
)

// bind binds again what is gone, in each mount namespace of the service.
func (m *repairing) bind() {
	for _, v := range m.Views {
		// Where the name leads elsewhere by now, the files are those of
		// another network namespace.
		if len(v.Lost) == 0 || !v.Own || v.Apart || v.Process.Position != audit.Inside {
			continue
		}
		ns, err := mounts.Of(v.Process.PID)
		if err == nil && ns.ID().Inode == v.Mounts && ns.SameOwner() {
			m.bindIn(ns, v)
		}
		if err == nil {
			ns.Close()
		}
	}
}

func (m *repairing) bindIn(ns *mounts.Namespace, v audit.View) {
	if own, err := mounts.CurrentID(); err != nil || own == ns.ID() {
		m.add(Bound, v.Lost[0].Target, v.Process, errors.Join(err, errors.New("it shares the mount namespace of this program")))
		return
	}
	for _, bind := range v.Lost {
		bound, err := true, error(nil)
		if !m.try {
			bound, err = ns.BindAgain(bind)
		}
		if bound || err != nil && v.Process.Lives() {
			m.add(Bound, bind.Target, v.Process, err)
		}
	}
}
