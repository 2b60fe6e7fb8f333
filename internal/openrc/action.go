package openrc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"openrc-netns/internal/launch"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/rcdir"
)

// Start is the action that confines a service: it is strict, all others act
// where start acted.
const Start = "start"

// Status is the action that says how a service is.
const Status = "status"

// cgroupCleanup is the command that OpenRC gives to every script.
const cgroupCleanup = "cgroup_cleanup"

// startWouldFail begins the reason why a service is not stopped in a restart.
const startWouldFail = "not stopped, because the start would fail: "

// Action is one call of openrc-run.sh for a service.
type Action struct {
	Service string
	Name    string // start, stop, status, or a command of the script's own
	Restart bool   // a stop that a start is to follow
	Inherit string // netns_inherit; empty says that nobody has chosen
}

// survives reports whether the action makes sense with the namespace gone:
// stop and status always work, and so does OpenRC's own clean-up. A command of
// the script's own does not: a firewall's "save" in an empty namespace would
// overwrite the saved rules with none.
func (a Action) survives() bool {
	switch a.Name {
	case "stop", Status, cgroupCleanup:
		return true
	}
	return false
}

// plan plans the action: argv in the place where it belongs. Warn is told
// what an administrator should know of that place.
func (a Action) plan(settings Settings, argv, env []string, warn func(string)) (*launch.Plan, error) {
	if err := CheckName(a.Service); err != nil {
		return nil, err
	}
	spec, err := settings.Spec()
	spec.Place.HostMounts, spec.Sockets.Service = true, a.Service
	spec.Command, spec.Warn = launch.Command{Argv: argv, Env: env}, warn
	if a.Restart && settings.Confined() {
		if err == nil {
			err = rehearse(spec, func(string) {})
		}
		if err != nil {
			return nil, fmt.Errorf(startWouldFail+"%w", err)
		}
	}
	record, unreadable := a.record()
	if a.Name == Start {
		switch {
		case err != nil:
			return nil, err
		case unreadable != nil:
			return nil, unreadable
		case record == nil:
			if !settings.Confined() {
				if _, err := YesNo(a.Inherit); err != nil {
					return nil, fmt.Errorf("%s=%q: %w", InheritSetting, a.Inherit, err)
				}
				if a.Inherit == "" {
					a.warnOfHome(warn)
				}
			}
			return launch.Check(spec)
		}
	}
	if err := privilege.CheckSysAdmin(); err != nil {
		if record != nil && record.here() {
			// What is locked asks for a health check, or says that it is up.
			return launch.Stay(spec.Command)
		}
		return nil, err
	}
	if spec.Place, err = a.place(settings, record, unreadable, warn); err != nil {
		return nil, err
	}
	if spec.View, err = a.view(settings, record, spec.Place.Namespace); err != nil {
		return nil, err
	}
	if a.Name != Start {
		spec.Sockets = launch.Sockets{Service: a.Service}
		if record != nil && a.Name != cgroupCleanup { // which kills all that is in the cgroup
			spec.Sockets.Join = record.Cgroup
		}
	}
	return launch.Check(spec)
}

// warnOfHome says that a service without settings is not started where the
// caller is. Without openrc-netns it would be.
func (a Action) warnOfHome(warn func(string)) {
	own, err := namespace.Current()
	if err != nil {
		return
	}
	defer own.Close()
	host, err := namespace.Open(namespace.Host)
	if err != nil {
		return
	}
	defer host.Close()
	if own.Inode() == host.Inode() {
		return
	}
	where, name := "a network namespace", "NAME"
	if id, err := own.ID(); err == nil {
		if found := id.Find(""); found != nil {
			if found.Name() != "" {
				name = found.Name()
				where = fmt.Sprintf("network namespace %q", name)
			}
			found.Close()
		}
	}
	warn(fmt.Sprintf("started from %s, it goes to the host's network, as netns is not set: write netns=%s into %s; or netns_inherit=yes to have it stay, or no to have it go without a word",
		where, name, filepath.Join(rcdir.Conf, a.Service)))
}

// record is what is on record of the start that the action belongs to.
func (a Action) record() (*Record, error) {
	if a.Name == Start && !a.resumes() {
		return nil, nil
	}
	return ReadRecord(a.Service)
}

// resumes reports whether the action is the rest of a start: of one that left
// the service inactive (start_inactive in openrc-run(8)), until the daemon or
// what watches it says in the background that it is up. The record of that
// start then stays.
func (a Action) resumes() bool {
	if a.Name != Start {
		return false
	}
	_, err := os.Lstat(filepath.Join(rcdir.State(), "wasinactive", a.Service))
	if err != nil {
		return false
	}
	_, err = os.Lstat(valuePath(a.Service, recordValue))
	return err == nil
}

// place is where an action other than a first start belongs: where the start
// was, whatever the name leads to now. It is never where the caller happens to
// be.
func (a Action) place(settings Settings, record *Record, unreadable error, warn func(string)) (launch.Place, error) {
	place := launch.Place{HostMounts: true}
	var err error
	switch {
	case record != nil:
		place.Namespace, err = a.recorded(record, warn)
	case settings.Netns != "":
		if unreadable != nil {
			warn(unreadable.Error())
		}
		place.Namespace, err = a.configured(settings.Netns, warn)
		if a.Name == "stop" && unreadable == nil && err == nil && !place.Namespace.IsFresh() {
			warn("it was not started in a network namespace: what it has set up outside stays there")
		}
	case unreadable != nil:
		// It may have been started in any namespace.
		place.Namespace, err = a.elsewhere(unreadable, warn)
	default:
		place.Netns = namespace.Host
	}
	return place, err
}

// view is what such an action sees: that of the start, as far as it is still
// there. A service that belongs on the host has none.
func (a Action) view(settings Settings, record *Record, ns *namespace.Namespace) (*launch.View, error) {
	if ns == nil {
		return nil, nil
	}
	netns := settings.Netns
	if record != nil {
		netns = record.Netns
	}
	view := settings.view(netns)
	view.BestEffort = a.Name != Start
	if record != nil && !ns.IsFresh() {
		view.Running = record.view(a.Service)
	}
	if a.Name == Start && view.Running != nil && settings.Confined() && record.View != settings.viewLine() {
		return nil, errors.New("netns_etc, netns_hide, netns_lock or netns_keep_caps has changed since the start began: stop and start it again")
	}
	return view, nil
}

// recorded is the namespace of a service that was started in one.
func (a Action) recorded(record *Record, warn func(string)) (*namespace.Namespace, error) {
	ns := record.find()
	if ns == nil {
		return a.elsewhere(fmt.Errorf("the network namespace %q that the service was started in is gone", record.Netns), warn)
	}
	if record.Netns != "" && ns.Name() != record.Netns {
		warn(fmt.Sprintf("the name %q no longer leads to the network namespace that the service was started in: acting in that one", record.Netns))
	}
	return ns, nil
}

// configured is the namespace of a service of which nothing is recorded.
func (a Action) configured(netns string, warn func(string)) (*namespace.Namespace, error) {
	ns, err := namespace.Open(netns)
	switch {
	case err == nil:
		return ns, nil
	case !a.survives(): // says how to make it
	case errors.As(err, new(*namespace.NotExistError)):
		err = fmt.Errorf("network namespace %q does not exist", netns)
	case errors.As(err, new(*namespace.StaleError)):
		err = fmt.Errorf("network namespace %q is stale", netns)
	}
	return a.elsewhere(err, warn)
}

// elsewhere is for an action that has nowhere to act: a new namespace, where
// the action makes sense there.
func (a Action) elsewhere(reason error, warn func(string)) (*namespace.Namespace, error) {
	if !a.survives() {
		return nil, reason
	}
	warn(fmt.Sprintf("%v: acting in a new, empty one", reason))
	return namespace.Fresh(), nil
}
