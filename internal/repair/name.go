package repair

import (
	"fmt"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/namespace"
)

// name gives the network namespace that the service was started in, and still has
// processes in, its name again, with all that is set up in it: a new one would be
// empty. Which one it is, the record says, and no process.
func (m *repairing) name() {
	name := namespace.BaseName(m.Netns)
	ns := m.Record.ID.Find(m.Netns)
	if ns == nil {
		return // it went with its last process
	}
	defer ns.Close()
	var err error
	switch {
	case ns.Name() == m.Netns:
		return // another service in it was repaired
	case !m.try:
		if err = ns.SetName(name); err != nil {
			err = fmt.Errorf("name network namespace %q again: %w", name, err)
		}
	}
	m.add(Named, name, audit.Process{}, err)
}
