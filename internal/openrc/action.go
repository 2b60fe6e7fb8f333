package openrc

import (
	"errors"
	"fmt"

	"openrc-netns/internal/launch"
	"openrc-netns/internal/namespace"
)

// Start is the action that confines a service: it is strict, all others act
// where start acted.
const Start = "start"

// Action is one call of openrc-run.sh for a service.
type Action struct {
	Service string
	Name    string // start, stop, status, or a command of the script's own
	Restart bool   // a stop that a start is to follow
}

// survives reports whether the action makes sense with the namespace gone:
// stop and status always work, and so does OpenRC's own clean-up. A command of
// the script's own does not: a firewall's "save" in an empty namespace would
// overwrite the saved rules with none.
func (a Action) survives() bool {
	switch a.Name {
	case "stop", "status", "cgroup_cleanup":
		return true
	}
	return false
}

// Check plans the action: argv in the place where it belongs. Warn is told
// what an administrator should know of that place.
func (a Action) Check(settings Settings, argv, env []string, warn func(string)) (*launch.Plan, error) {
	spec, err := settings.Spec()
	spec.Argv, spec.Env, spec.Warn = argv, env, warn
	if a.Name == Start {
		if err != nil {
			return nil, err
		}
		return launch.Check(spec)
	}
	if a.Restart && settings.Confined() {
		if err == nil {
			_, err = launch.Check(spec)
		}
		if err != nil {
			return nil, fmt.Errorf("not stopped, because the start would fail: %w", err)
		}
	}
	if err := launch.CheckPrivilege(); err != nil {
		return nil, err // before it is taken for a namespace that has gone
	}
	record, err := ReadRecord(a.Service)
	if err != nil {
		warn(err.Error())
	}
	if record != nil {
		spec.Netns = record.Netns
	}
	if spec.Inside, err = a.where(spec.Netns, record, warn); err != nil {
		return nil, err
	}
	spec.Tolerant = true
	spec.VRF, spec.Lock = "", false
	if settings.Etc != launch.EtcNone {
		spec.Etc = launch.EtcBind
	}
	return launch.Check(spec)
}

// where chooses the namespace for an action other than start. It is never the
// one that the caller happens to be in.
func (a Action) where(netns string, record *Record, warn func(string)) (*namespace.Namespace, error) {
	var reason error
	if record != nil {
		ns := record.find()
		if ns != nil {
			if ns.Name() != netns {
				warn(fmt.Sprintf("the name %q no longer leads to the network namespace that the service was started in: acting in that one", netns))
			}
			return ns, nil
		}
		reason = fmt.Errorf("the network namespace %q that the service was started in is gone", netns)
	} else {
		ns, err := namespace.Open(netns)
		if err == nil {
			return ns, nil
		}
		reason = err
	}
	if !a.survives() {
		return nil, reason
	}
	if errors.As(reason, new(*namespace.NotExistError)) || errors.As(reason, new(*namespace.StaleError)) {
		reason = fmt.Errorf("network namespace %q is gone", netns)
	}
	warn(fmt.Sprintf("%v: acting in a new, empty one", reason))
	return namespace.Fresh(), nil
}
